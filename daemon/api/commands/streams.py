"""Commands on streams.

Knows Redis's grammar and replies. Readers (`XREAD`) follow the order of arrival at this replica, ranges the order of
ids: the same thing as long as nobody else writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import ceil
from typing import Final

from crdt.errors import UsageError, WrongTypeError
from crdt.types import streams
from crdt.types.streams import MOST, NOTHING, Id, Left, StreamEntry
from daemon.api.arguments import MAX_INT64, SYNTAX, integer, printable
from daemon.api.commands.blocking import wait
from daemon.api.database import Database
from daemon.api.registry import TABLE, command, wrong_arity
from daemon.api.session import Session

INVALID: Final = "ERR Invalid stream ID specified as stream command argument"
UNBALANCED: Final = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
ONLY_GROUPS: Final = "ERR The %s option is only supported by XREADGROUP. You called XREAD instead."
LONGEST: Final = 127
"""Bytes of an id."""
_number = re.compile(rb"[ \t\n\v\f\r]*\+?[0-9]+").fullmatch
LAST: Final = Id(MOST, MOST)
FIRST: Final = Id(0, 0)


# -- ids ---------------------------------------------------------------------------------------------------------------


def strict(text: bytes, missing: int = 0) -> Id:
    """`ms` or `ms-seq`. Raises UsageError."""
    if len(text) > LONGEST:  # before it is read: Python refuses numbers of thousands of digits in its own way
        raise UsageError(INVALID)
    ms, dash, seq = text.partition(b"-")
    parts = [_natural(part) for part in ((ms, seq) if dash else (ms,))]
    if None in parts:
        raise UsageError(INVALID)
    return Id(parts[0] or 0, (parts[1] or 0) if dash else missing)


def _natural(text: bytes) -> int | None:
    """As C reads an unsigned long long."""
    if _number(text) is None or int(text) > MOST:
        return None
    return int(text)


def _bound(text: bytes, missing: int, upper: bool) -> Id:
    """An end of a range: `-`, `+`, an id, or `(` and an id."""
    if len(text) > 1 and text[:1] == b"(":
        found = strict(text[1:], missing)
        inner = found.preceding() if upper else found.following()
        if inner is None:
            raise UsageError(f"ERR invalid {'end' if upper else 'start'} ID for the interval")
        return inner
    return FIRST if text == b"-" else LAST if text == b"+" else strict(text, missing)


def spelled(field: bytes) -> bytes:
    """An id as clients see it."""
    return b"%d-%d" % streams.id_of(field)


# -- trimming ----------------------------------------------------------------------------------------------------------


class Trim:
    """MAXLEN or MINID with their options, as XADD and XTRIM have them. `at`: where the words end."""

    __slots__ = ("at", "least", "limit", "longest", "nomkstream")

    def __init__(self, words: list[bytes], adding: bool) -> None:
        """`words` follow the key. Raises UsageError."""
        self.longest: int | None = None
        self.least: bytes | None = None
        self.nomkstream = False
        self.limit = 0
        self.at = 0
        limited = approximate = False
        while self.at < len(words):
            word, left = words[self.at].lower(), len(words) - 1 - self.at
            if adding and word == b"*":
                break
            if word in (b"maxlen", b"minid") and left:
                if self.longest is not None or self.least is not None:
                    raise UsageError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
                if left > 1 and words[self.at + 1] in (b"~", b"="):
                    approximate = words[self.at + 1] == b"~"
                    self.at += 1
                self._threshold(word, words[self.at + 1])
                self.at += 1
            elif word == b"limit" and left:
                self.limit = integer(words[self.at + 1])
                if self.limit < 0:
                    raise UsageError("ERR The LIMIT argument must be >= 0.")
                limited = True
                self.at += 1
            elif adding and word == b"nomkstream":
                self.nomkstream = True
            elif adding:
                _wanted(words[self.at])  # an error in it comes before those of the options
                break
            else:
                raise UsageError(SYNTAX)
            self.at += 1
        if self.longest is None and self.least is None:
            if limited and self.limit:
                raise UsageError("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
            if not adding:
                raise UsageError("ERR syntax error, XTRIM must be called with trimming strategy")
        elif limited and not approximate:
            raise UsageError("ERR syntax error, LIMIT cannot be used without the special ~ option")

    def _threshold(self, word: bytes, text: bytes) -> None:
        if word == b"minid":
            self.least = strict(text).field()
            return
        self.longest = integer(text)
        if self.longest < 0:
            raise UsageError("ERR The MAXLEN argument must be >= 0.")

    def apply(self, db: Database, key: bytes) -> int:
        """Remove what is too much, and say so; how many entries that were."""
        entry = streams.find(db.state, key)
        if entry is None:
            return 0
        if self.longest is not None:
            count = max(0, len(entry.ids) - self.longest)
        elif self.least is not None:
            count = entry.ids.bisect_left(self.least)
        else:
            return 0
        gone = list(entry.ids[: min(count, self.limit) if self.limit else count])
        removed = streams.remove(db.state, key, gone, trimmed=True)
        if removed and db.observed:
            db.touch(key, "xtrim")
        return removed


# -- writes ------------------------------------------------------------------------------------------------------------


@command(
    "XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value [field value ...]",
    arity=-5,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="stream",
    summary="Appends a new entry to a stream",
)
def xadd(session: Session, args: list[bytes]) -> bytes:
    trim = Trim(args[2:], adding=True)
    db, key = session.db, args[1]
    words = args[2 + trim.at :]
    ms, wanted = _wanted(words[0]) if words else (None, None)
    if len(words) < 3 or not len(words) % 2:
        raise UsageError(wrong_arity(TABLE[b"xadd"]))
    if wanted == FIRST:
        raise UsageError("ERR The ID specified in XADD must be greater than 0-0")
    if streams.find(db.state, key) is None and trim.nomkstream:
        return session.resp.null
    found = streams.next_id(db.state, key, ms) if wanted is None else wanted
    streams.add(db.state, key, found, words[1:])
    if db.observed:
        db.touch(key, "xadd")
    trim.apply(db, key)
    session.served(db)
    return session.resp.bulk(spelled(found.field()))


def _wanted(text: bytes) -> tuple[int | None, Id | None]:
    """(ms for `ms-*`, None for `*`), or the id."""
    if text == b"*":
        return None, None
    if text.endswith(b"-*"):
        return strict(text[:-2]).ms, None
    return None, strict(text)


@command(
    "XDEL key id [id ...]",
    arity=-3,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="stream",
    summary="Removes the specified entries from the stream. Returns the number of items actually deleted",
)
def xdel(session: Session, args: list[bytes]) -> bytes:
    db, key = session.db, args[1]
    if streams.find(db.state, key) is None:
        return session.resp.integer(0)
    removed = streams.remove(db.state, key, [strict(text).field() for text in args[2:]])
    if removed and db.observed:
        db.touch(key, "xdel")
    return session.resp.integer(removed)


@command(
    "XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count]",
    arity=-4,
    flags=("write",),
    keys=(1, 1, 1),
    group="stream",
    summary="Trims the stream to (approximately if '~' is passed) a certain size",
)
def xtrim(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(Trim(args[2:], adding=False).apply(session.db, args[1]))


@command(
    "XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="stream",
    summary="An internal command for replicating stream values",
)
def xsetid(session: Session, args: list[bytes]) -> bytes:
    db, key, last = session.db, args[1], strict(args[2])
    added, highest = _set_words(args[3:], last)
    entry = streams.find(db.state, key)
    if entry is None:
        raise UsageError("ERR no such key")
    left = entry.left(db.state)
    if entry.ids and last.field() < entry.ids[-1]:
        raise UsageError("ERR The ID specified in XSETID is smaller than the target stream top item")
    if entry.ids and added is not None and added < len(entry.ids):
        raise UsageError("ERR The entries_added specified in XSETID is smaller than the target stream length")
    removed = left.removed if added is None else added - len(entry.ids)
    top = highest.field() if highest is not None and highest != FIRST else left.highest
    streams.set_left(db.state, key, Left(last.field(), removed, top))
    if db.observed:
        db.touch(key, "xsetid")
    return session.resp.ok


def _set_words(words: list[bytes], last: Id) -> tuple[int | None, Id | None]:
    added, highest = None, None
    for at in range(0, len(words), 2):
        word = words[at].lower()
        if at + 1 == len(words) or word not in (b"entriesadded", b"maxdeletedid"):
            raise UsageError(SYNTAX)
        if word == b"entriesadded":
            added = integer(words[at + 1])
            if added < 0:
                raise UsageError("ERR entries_added must be positive")
        else:
            highest = strict(words[at + 1])
            if last < highest:
                raise UsageError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
    return added, highest


# -- reads -------------------------------------------------------------------------------------------------------------


def _entries(session: Session, entry: StreamEntry, fields: Iterable[bytes]) -> bytes:
    resp, state = session.resp, session.db.state
    shown = [resp.array([resp.bulk(spelled(f)), resp.bulks(entry.words(state, f))]) for f in fields]
    session.hub.limits.check_reply(sum(map(len, shown)))
    return resp.array(shown)


@command(
    "XLEN key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="stream",
    summary="Return the number of entries in a stream",
)
def xlen(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(streams.size(session.db.state, args[1]))


def _range(session: Session, key: bytes, start: bytes, end: bytes, words: list[bytes], reverse: bool) -> bytes:
    low, high = _bound(start, 0, upper=False), _bound(end, MOST, upper=True)
    count: int | None = None
    for at in range(0, len(words), 2):
        if words[at].lower() != b"count" or at + 1 == len(words):
            raise UsageError(SYNTAX)
        count = max(0, integer(words[at + 1]))
    entry = streams.find(session.db.state, key)
    if entry is None:
        return session.resp.empty_array
    if count == 0:
        return session.resp.null_array
    first, last = entry.ids.bisect_left(low.field()), entry.ids.bisect_right(high.field())
    if count is not None and last - first > count:
        first, last = (last - count, last) if reverse else (first, first + count)
    found = list(entry.ids[first:last]) if first < last else []
    return _entries(session, entry, reversed(found) if reverse else found)


@command(
    "XRANGE key start end [COUNT count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="stream",
    summary="Return a range of elements in a stream, with IDs matching the specified IDs interval",
)
def xrange(session: Session, args: list[bytes]) -> bytes:
    return _range(session, args[1], args[2], args[3], args[4:], reverse=False)


@command(
    "XREVRANGE key end start [COUNT count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="stream",
    summary="Return a range of elements in a stream, with IDs matching the specified IDs interval, in reverse order",
)
def xrevrange(session: Session, args: list[bytes]) -> bytes:
    return _range(session, args[1], args[3], args[2], args[4:], reverse=True)


class _Read:
    """The words of XREAD. `wanted`: keys, and the id behind which each is read."""

    __slots__ = ("block", "count", "wanted")

    def __init__(self, session: Session, words: list[bytes]) -> None:
        """Raises UsageError, WrongTypeError."""
        self.block: int | None = None
        self.count = 0
        at = 0
        while True:
            left = len(words) - 1 - at
            if left < 0:
                raise UsageError(SYNTAX)
            word = words[at].lower()
            if word == b"block" and left:
                self.block = integer(words[at + 1], "ERR timeout is not an integer or out of range")
                if self.block < 0:
                    raise UsageError("ERR timeout is negative")
                at += 1
            elif word == b"count" and left:
                self.count = max(0, integer(words[at + 1]))
                at += 1
            elif word == b"streams" and left:
                break
            elif word == b"group" and left > 1:
                raise UsageError(ONLY_GROUPS % "GROUP")
            elif word == b"noack":
                raise UsageError(ONLY_GROUPS % "NOACK")
            else:
                raise UsageError(SYNTAX)
            at += 1
        names = words[at + 1 :]
        if len(names) % 2:
            raise UsageError(UNBALANCED)
        half = len(names) // 2
        pairs = zip(names[:half], names[half:], strict=True)
        self.wanted = [(key, self._position(session, key, text)) for key, text in pairs]

    @staticmethod
    def _position(session: Session, key: bytes, text: bytes) -> bytes:
        entry = streams.find(session.db.state, key)
        if text == b"$":
            return NOTHING if entry is None else entry.newest(session.db.state)
        if text == b">":
            raise UsageError(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
            )
        return strict(text).field()

    def reply(self, session: Session) -> bytes | None:
        """What there is to read; None if there is nothing. Raises WrongTypeError."""
        resp = session.resp
        found = []
        for key, position in self.wanted:
            entry = streams.find(session.db.state, key)
            if entry is None:
                continue
            after = entry.after(session.db.state, position)
            fields = [field for field, _ in zip(after, range(self.count), strict=False)] if self.count else list(after)
            if fields:
                found.append((resp.bulk(key), _entries(session, entry, fields)))
        if not found:
            return None
        return resp.map(found) if resp.version == 3 else resp.array([resp.array(pair) for pair in found])


@command(
    "XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
    arity=-4,
    flags=("readonly", "blocking", "movablekeys"),
    group="stream",
    summary="Return never seen elements in multiple streams, with IDs greater than the ones reported by the caller",
)
def xread(session: Session, args: list[bytes]) -> bytes:
    asked = _Read(session, args[1:])
    reply = asked.reply(session)
    if reply is not None or asked.block is None:
        return reply or session.resp.null_array
    if not session.may_park():
        return session.resp.null_array

    def attempt(key: bytes) -> bytes | None:
        try:
            return asked.reply(session)
        except WrongTypeError:
            return None  # waited over, as in Redis

    keys = [key for key, _ in asked.wanted]
    return wait(session, keys, asked.block / 1000 or None, attempt, session.resp.null_array)


# -- seeing ------------------------------------------------------------------------------------------------------------


@command(
    "XINFO STREAM key [FULL [COUNT count]]",
    arity=-3,
    flags=("readonly",),
    keys=(2, 2, 1),
    group="stream",
    summary="Get information about a stream",
)
def xinfo_stream(session: Session, args: list[bytes]) -> bytes:
    resp, state = session.resp, session.db.state
    entry = streams.find(state, args[2])
    if entry is None:
        raise UsageError("ERR no such key")
    full, count = len(args) > 3, 10
    if full:
        if args[3].lower() != b"full" or len(args) not in (4, 6) or (len(args) == 6 and args[4].lower() != b"count"):
            word = printable(args[1][:128])
            raise UsageError(f"ERR unknown subcommand or wrong number of arguments for '{word}'. Try XINFO HELP.")
        count = integer(args[5]) if len(args) == 6 else count
    left, ids = entry.left(state), entry.ids
    pairs = [
        ("length", resp.integer(len(ids))),
        ("radix-tree-keys", resp.integer(ceil(len(ids) / 100))),
        ("radix-tree-nodes", resp.integer(ceil(len(ids) / 100) + 1)),
        ("last-generated-id", resp.bulk(spelled(entry.last(state)))),
        ("max-deleted-entry-id", resp.bulk(spelled(left.highest))),
        ("entries-added", resp.integer(min(len(ids) + left.removed, MAX_INT64))),
        ("recorded-first-entry-id", resp.bulk(spelled(ids[0] if ids else NOTHING))),
    ]
    if full:
        shown = list(ids) if count <= 0 else list(ids[:count])
        pairs += [("entries", _entries(session, entry, shown)), ("groups", resp.empty_array)]
    else:
        ends = [_one(session, entry, ids[at]) if ids else resp.null for at in (0, -1)]
        pairs += [("groups", resp.integer(0)), ("first-entry", ends[0]), ("last-entry", ends[1])]
    return resp.map([(resp.bulk(name.encode()), value) for name, value in pairs])


def _one(session: Session, entry: StreamEntry, field: bytes) -> bytes:
    resp = session.resp
    return resp.array([resp.bulk(spelled(field)), resp.bulks(entry.words(session.db.state, field))])
