"""Commands on sorted sets, one member or a few at a time.

Knows what Redis answers for each, and how a score is spelled. Ranges are in zranges.py, unions and the like in
zalgebra.py. What is random comes from the hub's dice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from math import inf, isnan
from typing import Final

from crdt.errors import UsageError
from crdt.types import keyspace, zsets
from daemon.api.arguments import MAX_INT64, SYNTAX, integer
from daemon.api.commands.encodings import compact_zset
from daemon.api.commands.scanning import Scan, nothing, parse_cursor
from daemon.api.commands.sets import NOT_POSITIVE, check_sample, sample_count
from daemon.api.database import Database
from daemon.api.registry import command
from daemon.api.resp import Resp, format_double
from daemon.api.session import Session

NOT_A_FLOAT: Final = "ERR value is not a valid float"
_decimal = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?").fullmatch
_hexadecimal = re.compile(rb"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?").fullmatch
_infinite = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE).fullmatch


def strtod(text: bytes) -> float | None:
    """The double that C reads from the whole text, 0 or infinite where that is out of range; None if there is none."""
    if _decimal(text) or _infinite(text):
        return float(text)
    if _hexadecimal(text):
        try:
            return float.fromhex(text.decode())
        except OverflowError:
            return -inf if text[:1] == b"-" else inf
    return None


def double(text: bytes, error: str = NOT_A_FLOAT) -> float:
    """A score or weight as strictly as Redis reads it. Raises UsageError."""
    value = strtod(text)
    if value is None or (abs(value) == inf and not _infinite(text)) or (value == 0 and _vanished(text)):
        raise UsageError(error)
    return value


def _vanished(text: bytes) -> bool:
    """Whether a text that reads as 0 spells something else."""
    digits = re.split(rb"[pP]" if b"x" in text.lower() else rb"[eE]", text)[0]
    return any(digit in digits for digit in b"123456789abcdefABCDEF" if digit not in b"xX")


def pairs(resp: Resp, scored: Iterable[tuple[float, bytes]], with_scores: bool = True) -> bytes:
    """Members, or members with scores: pairs of their own in RESP3, flat in RESP2."""
    if not with_scores:
        return resp.bulks([member for _, member in scored])
    if resp.version == 2:
        return resp.bulks([part for score, member in scored for part in (member, format_double(score))])
    return nested(resp, scored)


def nested(resp: Resp, scored: Iterable[tuple[float, bytes]]) -> bytes:
    """An array of pairs in both versions."""
    return resp.array([resp.array([resp.bulk(member), resp.double(score)]) for score, member in scored])


def announce_removal(db: Database, key: bytes, event: str) -> None:
    """Members have gone, and with the last one the key."""
    db.touch(key, event)
    if not keyspace.exists(db.state, key):
        db.touch(key, "del")


# -- writes


class _Add:
    """The options of ZADD."""

    __slots__ = ("ch", "gt", "incr", "lt", "nx", "rest", "xx")

    def __init__(self, words: list[bytes]) -> None:
        """`words` follow the key. Raises UsageError."""
        self.nx = self.xx = self.gt = self.lt = self.ch = self.incr = False
        at = 0
        while at < len(words) and words[at].lower() in (b"nx", b"xx", b"gt", b"lt", b"ch", b"incr"):
            setattr(self, words[at].lower().decode(), True)
            at += 1
        self.rest = words[at:]
        if not self.rest or len(self.rest) % 2:
            raise UsageError(SYNTAX)
        if self.nx and self.xx:
            raise UsageError("ERR XX and NX options at the same time are not compatible")
        if (self.gt and self.nx) or (self.lt and self.nx) or (self.gt and self.lt):
            raise UsageError("ERR GT, LT, and/or NX options at the same time are not compatible")
        if self.incr and len(self.rest) > 2:
            raise UsageError("ERR INCR option supports a single increment-element pair")

    def allows(self, old: float | None, new: float) -> bool:
        """Whether the conditions let this change happen."""
        if old is None:
            return not self.xx
        return not (self.nx or (self.gt and new <= old) or (self.lt and new >= old))


@command(
    "ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]",
    arity=-4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Add one or more members to a sorted set, or update its score if it already exists",
)
def zadd(session: Session, args: list[bytes]) -> bytes:
    options = _Add(args[2:])
    scores = [double(text) for text in options.rest[::2]]
    members = options.rest[1::2]
    db, key = session.db, args[1]
    if options.incr:
        return _zadd_incr(session, key, options, scores[0], members[0])
    added = changed = 0
    wanted: dict[bytes, float] = {}
    for member, score in zip(members, scores, strict=True):
        old = wanted[member] if member in wanted else zsets.score(db.state, key, member)
        if options.allows(old, score):
            added += old is None
            changed += old is not None and old != score
            wanted[member] = score
    zsets.put(db.state, key, list(wanted.items()))
    if not wanted:
        zsets.size(db.state, key)  # of another type: an error, whatever was asked
    if (added or changed) and db.observed:
        db.touch(key, "zadd")
        session.served(db)
    return session.resp.integer(added + changed if options.ch else added)


def _zadd_incr(session: Session, key: bytes, options: _Add, by: float, member: bytes) -> bytes:
    db = session.db
    old = zsets.score(db.state, key, member)
    new = by if old is None else old + by
    if (options.nx and old is not None) or (options.xx and old is None):
        return session.resp.null
    if isnan(new):
        raise UsageError(zsets.NOT_A_SCORE)
    if not options.allows(old, new):
        return session.resp.null
    return session.resp.double(_increase(session, key, member, by, old))


def _increase(session: Session, key: bytes, member: bytes, by: float, old: float | None) -> float:
    db = session.db
    if old is not None and old + by == old:
        return old
    new = zsets.increase(db.state, key, member, by)  # of an absent member too: all who begin at once count
    if db.observed:
        db.touch(key, "zincr")
        session.served(db)
    return new


@command(
    "ZINCRBY key increment member",
    arity=4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Increment the score of a member in a sorted set",
)
def zincrby(session: Session, args: list[bytes]) -> bytes:
    options = _Add(args[2:])  # as in Redis, where `NX` in the place of the increment is an option
    return _zadd_incr(session, args[1], options, double(options.rest[0]), options.rest[1])


@command(
    "ZREM key member [member ...]",
    arity=-3,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove one or more members from a sorted set",
)
def zrem(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    removed = zsets.remove(db.state, args[1], args[2:])
    if removed and db.observed:
        announce_removal(db, args[1], "zrem")
    return session.resp.integer(removed)


# -- reads


@command(
    "ZSCORE key member",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Get the score associated with the given member in a sorted set",
)
def zscore(session: Session, args: list[bytes]) -> bytes:
    return _score(session.resp, zsets.score(session.db.state, args[1], args[2]))


def _score(resp: Resp, score: float | None) -> bytes:
    return resp.null if score is None else resp.double(score)


@command(
    "ZMSCORE key member [member ...]",
    arity=-3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Get the score associated with the given members in a sorted set",
)
def zmscore(session: Session, args: list[bytes]) -> bytes:
    state, resp = session.db.state, session.resp
    return resp.array([_score(resp, zsets.score(state, args[1], member)) for member in args[2:]])


@command(
    "ZCARD key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Get the number of members in a sorted set",
)
def zcard(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(zsets.size(session.db.state, args[1]))


@command(
    "ZRANK key member",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Determine the index of a member in a sorted set",
)
def zrank(session: Session, args: list[bytes]) -> bytes:
    found = zsets.rank(session.db.state, args[1], args[2])
    return session.resp.null if found is None else session.resp.integer(found)


@command(
    "ZREVRANK key member",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Determine the index of a member in a sorted set, with scores ordered from high to low",
)
def zrevrank(session: Session, args: list[bytes]) -> bytes:
    state = session.db.state
    found = zsets.rank(state, args[1], args[2])
    return session.resp.null if found is None else session.resp.integer(zsets.size(state, args[1]) - 1 - found)


@command(
    "ZRANDMEMBER key [count [WITHSCORES]]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Get one or multiple random elements from a sorted set",
)
def zrandmember(session: Session, args: list[bytes]) -> bytes:
    state, resp, rng, key = session.db.state, session.resp, session.hub.rng, args[1]
    if len(args) == 2:
        member = zsets.sample(state, key, rng)
        return resp.null if member is None else resp.bulk(member)
    count = sample_count(args[2])
    with_scores = len(args) > 3
    if len(args) > 4 or (with_scores and args[3].upper() != b"WITHSCORES"):
        raise UsageError(SYNTAX)
    if with_scores and abs(count) > MAX_INT64 // 2:
        raise UsageError("ERR value is out of range")
    if count < 0 and zsets.size(state, key):
        check_sample(session, -count)
    members = zsets.samples(state, key, count, rng)
    if count < 0:
        session.hub.limits.check_reply(sum(map(len, members)))
    return pairs(resp, [(zsets.score(state, key, member) or 0.0, member) for member in members], with_scores)


@command(
    "ZSCAN key cursor [MATCH pattern] [COUNT count]",
    arity=-3,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Incrementally iterate sorted sets elements and associated scores",
)
def zscan(session: Session, args: list[bytes]) -> bytes:
    state, key = session.db.state, args[1]
    cursor = parse_cursor(args[2])
    members = zsets.live(state, key)
    if not members:
        return nothing(session.resp)
    options = Scan(args[3:])
    page: Iterable[bytes] = members
    spell: Callable[[float], bytes] = format_double
    if compact_zset(state, key):
        cursor, spell = 0, _packed
    else:
        cursor, page = session.db.scans.page(cursor, key, members, options.count)
    flat: list[bytes] = []
    for member in options.select(page):
        score = zsets.score(state, key, member)
        if score is not None:
            flat += (member, spell(score))
    return options.reply(session.resp, cursor, flat)


def _packed(score: float) -> bytes:
    """A score as Redis's compact encoding keeps it: whole numbers as integers."""
    return b"%d" % score if abs(score) < 1 << 62 and score.is_integer() else format_double(score)


# -- pops


def pop(db: Database, key: bytes, count: int, highest: bool) -> list[tuple[float, bytes]]:
    """Take members from one end, and say so."""
    order = zsets.ordered(db.state, key)
    taken = list(reversed(order[-count:])) if highest else list(order[:count])
    if taken:
        zsets.remove(db.state, key, [member for _, member in taken])
        if db.observed:
            announce_removal(db, key, "zpopmax" if highest else "zpopmin")
    return taken


def _zpop(session: Session, args: list[bytes], highest: bool) -> bytes:
    if len(args) > 3:
        raise UsageError(SYNTAX)
    resp = session.resp
    if len(args) == 2:
        taken = pop(session.db, args[1], 1, highest)
        if not taken:
            return resp.empty_array
        return resp.array([resp.bulk(taken[0][1]), resp.double(taken[0][0])])
    count = integer(args[2], NOT_POSITIVE, 0)
    zsets.size(session.db.state, args[1])
    taken = pop(session.db, args[1], count, highest) if count else []
    return pairs(resp, taken)


@command(
    "ZPOPMIN key [count]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove and return members with the lowest scores in a sorted set",
)
def zpopmin(session: Session, args: list[bytes]) -> bytes:
    return _zpop(session, args, highest=False)


@command(
    "ZPOPMAX key [count]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove and return members with the highest scores in a sorted set",
)
def zpopmax(session: Session, args: list[bytes]) -> bytes:
    return _zpop(session, args, highest=True)


class MultiPop:
    """The words of ZMPOP and BZMPOP after the timeout: keys, the end, how many."""

    __slots__ = ("count", "highest", "keys")

    def __init__(self, words: list[bytes]) -> None:
        """Raises UsageError."""
        numkeys = integer(words[0], "ERR numkeys should be greater than 0", 1)
        rest = words[1 + numkeys :]
        if not rest:
            raise UsageError(SYNTAX)
        self.keys = words[1 : 1 + numkeys]
        where = rest[0].upper()
        if where not in (b"MIN", b"MAX"):
            raise UsageError(SYNTAX)
        self.highest = where == b"MAX"
        self.count = 1
        if len(rest) > 2 and rest[1].upper() == b"COUNT":
            self.count = integer(rest[2], "ERR count should be greater than 0", 1)
            rest = rest[2:]
        if len(rest) > 1:
            raise UsageError(SYNTAX)

    def take(self, session: Session, keys: list[bytes]) -> bytes | None:
        """The reply, if one of these keys has members. Raises WrongTypeError."""
        for key in keys:
            if zsets.size(session.db.state, key):
                taken = pop(session.db, key, self.count, self.highest)
                return session.resp.array([session.resp.bulk(key), nested(session.resp, taken)])
        return None


@command(
    "ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]",
    arity=-4,
    flags=("write", "movablekeys"),
    group="sorted-set",
    summary="Remove and return members with scores in a sorted set",
)
def zmpop(session: Session, args: list[bytes]) -> bytes:
    asked = MultiPop(args[1:])
    return asked.take(session, asked.keys) or session.resp.null_array
