"""Commands on lists that never wait; those that do are in blocking.py.

Knows what Redis answers for each. What makes or fills a list ends with `session.served`: somebody may be blocked on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from crdt.errors import UsageError
from crdt.types import keyspace, lists
from daemon.api.arguments import MIN_INT64, SYNTAX, integer
from daemon.api.database import Database
from daemon.api.registry import command, lookup, wrong_arity
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
NOT_POSITIVE: Final = "ERR value is out of range, must be positive"
RANK_ZERO: Final = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)


def announce_removal(db: Database, key: bytes, event: str) -> None:
    """Elements have gone, and with the last one the key."""
    if db.observed:
        db.touch(key, event)
        if not keyspace.exists(db.state, key):
            db.touch(key, "del")


def side(word: bytes) -> bool:
    """LEFT is True, RIGHT is False. Raises UsageError."""
    found = {b"LEFT": True, b"RIGHT": False}.get(word.upper())
    if found is None:
        raise UsageError(SYNTAX)
    return found


def span(start: int, end: int, length: int) -> tuple[int, int]:
    """From and to (exclusive), of two indexes as clients write them: negative from the end, the last one included."""
    start = max(0, start + length if start < 0 else start)
    end = min(length - 1, end + length if end < 0 else end)
    return start, max(start, end + 1)


# -- pushing


def _push(session: Session, args: list[bytes], left: bool, create: bool) -> bytes:
    db, key = session.db, args[1]
    if not create and not lists.size(db.state, key):
        return session.resp.integer(0)
    length = lists.push(db.state, key, args[2:], left)
    if db.observed:
        db.touch(key, "lpush" if left else "rpush")
        session.served(db)
    return session.resp.integer(length)


@command(
    "LPUSH key element [element ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Prepend one or multiple elements to a list",
)
def lpush(session: Session, args: list[bytes]) -> bytes:
    return _push(session, args, left=True, create=True)


@command(
    "RPUSH key element [element ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Append one or multiple elements to a list",
)
def rpush(session: Session, args: list[bytes]) -> bytes:
    return _push(session, args, left=False, create=True)


@command(
    "LPUSHX key element [element ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Prepend an element to a list, only if the list exists",
)
def lpushx(session: Session, args: list[bytes]) -> bytes:
    return _push(session, args, left=True, create=False)


@command(
    "RPUSHX key element [element ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Append an element to a list, only if the list exists",
)
def rpushx(session: Session, args: list[bytes]) -> bytes:
    return _push(session, args, left=False, create=False)


@command(
    "LINSERT key BEFORE|AFTER pivot element",
    arity=5,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="list",
    summary="Insert an element before or after another element in a list",
)
def linsert(session: Session, args: list[bytes]) -> bytes:
    after = {b"BEFORE": False, b"AFTER": True}.get(args[2].upper())
    if after is None:
        raise UsageError(SYNTAX)
    db = session.db
    length = lists.insert(db.state, args[1], args[3], args[4], after)
    if length > 0 and db.observed:
        db.touch(args[1], "linsert")
    return session.resp.integer(length)


# -- popping


def take(db: Database, key: bytes, count: int, left: bool) -> list[bytes]:
    """Pop up to `count` elements and announce it."""
    taken = lists.pop(db.state, key, count, left)
    if taken:
        announce_removal(db, key, "lpop" if left else "rpop")
    return taken


def _pop(session: Session, args: list[bytes], left: bool) -> bytes:
    db, key, resp = session.db, args[1], session.resp
    if len(args) == 2:
        taken = take(db, key, 1, left)
        return resp.bulk(taken[0]) if taken else resp.null
    if len(args) > 3:
        entry = lookup(args[0])
        assert entry is not None
        raise UsageError(wrong_arity(entry))
    count = integer(args[2], NOT_POSITIVE, 0)
    if not lists.size(db.state, key):
        return resp.null_array
    return resp.bulks(take(db, key, count, left))


@command(
    "LPOP key [count]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Remove and get the first elements in a list",
)
def lpop(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, left=True)


@command(
    "RPOP key [count]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Remove and get the last elements in a list",
)
def rpop(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, left=False)


def pop_words(words: list[bytes]) -> tuple[list[bytes], bool, int]:
    """What follows LMPOP, or the time-out of BLMPOP: keys, side, count. Raises UsageError."""
    number = integer(words[0], "ERR numkeys should be greater than 0", 1)
    if number + 1 >= len(words):
        raise UsageError(SYNTAX)
    left = side(words[number + 1])
    options, count = words[number + 2 :], 1
    if options:
        if len(options) != 2 or options[0].upper() != b"COUNT":
            # The first COUNT is read, and may be wrong, before what is behind it.
            if len(options) > 2 and options[0].upper() == b"COUNT":
                integer(options[1], "ERR count should be greater than 0", 1)
            raise UsageError(SYNTAX)
        count = integer(options[1], "ERR count should be greater than 0", 1)
    return words[1 : number + 1], left, count


def pop_first(session: Session, keys: list[bytes], left: bool, count: int) -> bytes | None:
    """Pop from the first of the keys that holds a list: the reply of LMPOP, or None. Raises WrongTypeError."""
    db, resp = session.db, session.resp
    for key in keys:
        taken = take(db, key, count, left)
        if taken:
            return resp.array([resp.bulk(key), resp.bulks(taken)])
    return None


@command(
    "LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]",
    arity=-4,
    flags=("write", "movablekeys"),
    group="list",
    summary="Pop elements from a list",
)
def lmpop(session: Session, args: list[bytes]) -> bytes:
    found = pop_first(session, *pop_words(args[1:]))
    return session.resp.null_array if found is None else found


# -- moving


def moved(session: Session, source: bytes, target: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """Move an element and announce it; None if there is none. Raises WrongTypeError."""
    db = session.db
    element = lists.move(db.state, source, target, from_left, to_left)
    if element is not None and db.observed:
        db.touch(target, "lpush" if to_left else "rpush")
        announce_removal(db, source, "lpop" if from_left else "rpop")
    return element


def _move(session: Session, source: bytes, target: bytes, from_left: bool, to_left: bool) -> bytes:
    element = moved(session, source, target, from_left, to_left)
    if element is None:
        return session.resp.null
    session.served(session.db)
    return session.resp.bulk(element)


@command(
    "LMOVE source destination LEFT|RIGHT LEFT|RIGHT",
    arity=5,
    flags=("write", "denyoom"),
    keys=(1, 2, 1),
    group="list",
    summary="Pop an element from a list, push it to another list and return it",
)
def lmove(session: Session, args: list[bytes]) -> bytes:
    return _move(session, args[1], args[2], side(args[3]), side(args[4]))


@command(
    "RPOPLPUSH source destination",
    arity=3,
    flags=("write", "denyoom"),
    keys=(1, 2, 1),
    group="list",
    summary="Remove the last element in a list, prepend it to another list and return it",
)
def rpoplpush(session: Session, args: list[bytes]) -> bytes:
    return _move(session, args[1], args[2], False, True)


# -- reading


@command(
    "LLEN key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="list",
    summary="Get the length of a list",
)
def llen(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(lists.size(session.db.state, args[1]))


@command(
    "LRANGE key start stop",
    arity=4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="list",
    summary="Get a range of elements from a list",
)
def lrange(session: Session, args: list[bytes]) -> bytes:
    start, end = integer(args[2]), integer(args[3])
    state = session.db.state
    return session.resp.bulks(lists.values(state, args[1], *span(start, end, lists.size(state, args[1]))))


@command(
    "LINDEX key index",
    arity=3,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="list",
    summary="Get an element from a list by its index",
)
def lindex(session: Session, args: list[bytes]) -> bytes:
    state, resp = session.db.state, session.resp
    length = lists.size(state, args[1])
    if not length:
        return resp.null
    index = integer(args[2])
    index += length if index < 0 else 0
    if not 0 <= index < length:
        return resp.null
    return resp.bulk(lists.values(state, args[1], index, index + 1)[0])


@command(
    "LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    arity=-3,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="list",
    summary="Return the index of matching elements on a list",
)
def lpos(session: Session, args: list[bytes]) -> bytes:
    rank, count, most = _lpos_options(args[3:])
    state, resp = session.db.state, session.resp
    held = lists.values(state, args[1])
    found = _matches(held, args[2], rank, most)
    if count is None:
        index = next(found, None)
        return resp.null if index is None else resp.integer(index)
    out = []
    for index in found:
        out.append(resp.integer(index))
        if len(out) == count:
            break
    return resp.array(out)


def _lpos_options(words: list[bytes]) -> tuple[int, int | None, int]:
    """(rank, count or None, maxlen) of LPOS. Raises UsageError."""
    rank, count, most = 1, None, 0
    for at in range(0, len(words), 2):
        name, number = words[at].upper(), words[at + 1 : at + 2]
        if not number or name not in (b"RANK", b"COUNT", b"MAXLEN"):
            raise UsageError(SYNTAX)
        if name == b"RANK":
            rank = integer(number[0])
            if rank == 0:
                raise UsageError(RANK_ZERO)
        elif name == b"COUNT":
            count = integer(number[0], "ERR COUNT can't be negative", 0)
        else:
            most = integer(number[0], "ERR MAXLEN can't be negative", 0)
    return rank, count, most


def _matches(held: list[bytes], element: bytes, rank: int, most: int) -> Iterator[int]:
    """The indexes of an element from the rank-th on (negative: counted from the end), among `most` looked at."""
    length = len(held)
    least = abs(rank) if rank != MIN_INT64 else 1  # Redis cannot negate that one: it takes every match
    looked = held[::-1] if rank < 0 else held
    for nth, at in enumerate(lists.equal(looked[:most] if most else looked, element), 1):
        if nth >= least:
            yield length - 1 - at if rank < 0 else at


# -- changing


@command(
    "LSET key index element",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="list",
    summary="Set the value of an element in a list by its index",
)
def lset(session: Session, args: list[bytes]) -> bytes:
    db, key = session.db, args[1]
    if not lists.size(db.state, key):
        raise UsageError("ERR no such key")
    lists.put(db.state, key, integer(args[2]), args[3])
    if db.observed:
        db.touch(key, "lset")
    return OK


@command(
    "LREM key count element",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="list",
    summary="Remove elements from a list",
)
def lrem(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    removed = lists.remove(db.state, args[1], args[3], integer(args[2]))
    if removed:
        announce_removal(db, args[1], "lrem")
    return session.resp.integer(removed)


@command(
    "LTRIM key start stop",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="list",
    summary="Trim a list to the specified range",
)
def ltrim(session: Session, args: list[bytes]) -> bytes:
    start, end = integer(args[2]), integer(args[3])
    db, key = session.db, args[1]
    length = lists.size(db.state, key)
    if length:
        lists.trim(db.state, key, *span(start, end, length))
        announce_removal(db, key, "ltrim")
    return OK
