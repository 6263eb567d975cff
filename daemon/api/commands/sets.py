"""Commands on sets.

Knows what Redis answers for each. The STORE forms write what this replica reads as new rows. What is random comes from
the hub's dice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final

from crdt.errors import UsageError
from crdt.state import State
from crdt.types import expiry, keyspace, sets
from daemon.api.arguments import MAX_INT64, SYNTAX, integer
from daemon.api.commands.encodings import compact_set
from daemon.api.commands.scanning import Scan, nothing, parse_cursor
from daemon.api.database import Database
from daemon.api.registry import command
from daemon.api.session import Session

ZERO: Final = b":0\r\n"
ONE: Final = b":1\r\n"
NOT_POSITIVE: Final = "ERR value is out of range, must be positive"


@command(
    "SADD key member [member ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Add one or more members to a set",
)
def sadd(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    added = sets.add(db.state, args[1], args[2:])
    if added and db.observed:
        db.touch(args[1], "sadd")
    return b":%d\r\n" % added


def _announce_removal(db: Database, key: bytes, event: str) -> None:
    """Elements have gone, and with the last one the key."""
    db.touch(key, event)
    if not keyspace.exists(db.state, key):
        db.touch(key, "del")


@command(
    "SREM key member [member ...]",
    arity=-3,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Remove one or more members from a set",
)
def srem(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    removed = sets.remove(db.state, args[1], args[2:])
    if removed and db.observed:
        _announce_removal(db, args[1], "srem")
    return b":%d\r\n" % removed


@command(
    "SMEMBERS key",
    arity=2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="set",
    summary="Get all the members in a set",
)
def smembers(session: Session, args: list[bytes]) -> bytes:
    return session.resp.set(sets.live(session.db.state, args[1]))


@command(
    "SISMEMBER key member",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Determine if a given value is a member of a set",
)
def sismember(session: Session, args: list[bytes]) -> bytes:
    return ONE if sets.contains(session.db.state, args[1], args[2]) else ZERO


@command(
    "SMISMEMBER key member [member ...]",
    arity=-3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Returns the membership associated with the given elements for a set",
)
def smismember(session: Session, args: list[bytes]) -> bytes:
    members = sets.live(session.db.state, args[1])
    return session.resp.array([ONE if member in members else ZERO for member in args[2:]])


@command(
    "SCARD key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Get the number of members in a set",
)
def scard(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(sets.size(session.db.state, args[1]))


@command(
    "SPOP key [count]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="set",
    summary="Remove and return one or multiple random members from a set",
)
def spop(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 2:
        return _pop_many(session, args)
    db = session.db
    taken = sets.pop(db.state, args[1], 1, session.hub.rng)
    if not taken:
        return session.resp.null
    if db.observed:
        _announce_removal(db, args[1], "spop")
    return session.resp.bulk(taken[0])


def _pop_many(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        raise UsageError(SYNTAX)
    db = session.db
    taken = sets.pop(db.state, args[1], integer(args[2], NOT_POSITIVE, 0), session.hub.rng)
    if taken and db.observed:
        _announce_removal(db, args[1], "spop")
    return session.resp.set(taken)


@command(
    "SRANDMEMBER key [count]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="set",
    summary="Get one or multiple random members from a set",
)
def srandmember(session: Session, args: list[bytes]) -> bytes:
    state, resp, rng = session.db.state, session.resp, session.hub.rng
    if len(args) == 2:
        member = sets.sample(state, args[1], rng)
        return resp.null if member is None else resp.bulk(member)
    if len(args) > 3:
        raise UsageError(SYNTAX)
    count = sample_count(args[2])
    if count < 0 and sets.size(state, args[1]):
        check_sample(session, -count)
    found = sets.samples(state, args[1], count, rng)
    if count < 0:
        session.hub.limits.check_reply(sum(map(len, found)))
    return resp.bulks(found)


def sample_count(text: bytes) -> int:
    """The count of SRANDMEMBER and HRANDFIELD. Raises UsageError."""
    count = integer(text)
    if count < -MAX_INT64:
        raise UsageError(f"ERR value is out of range, value must between {-MAX_INT64} and {MAX_INT64}")
    return count


def check_sample(session: Session, count: int) -> None:
    """Refuse a sample with repetitions that could not be sent: Redis would build it for as long as memory lasts."""
    if count * len(b"$0\r\n\r\n") > session.hub.limits.reply_buffer:
        raise UsageError(f"ERR reply of {count} elements exceeds limits.reply_buffer")


@command(
    "SMOVE source destination member",
    arity=4,
    flags=("write", "fast"),
    keys=(1, 2, 1),
    group="set",
    summary="Move a member from one set to another",
)
def smove(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    _, source, target, member = args
    if not keyspace.exists(db.state, source):
        return ZERO
    present = sets.contains(db.state, source, member)
    sets.size(db.state, target)  # a wrong type is an error before anything has moved
    if not present or source == target:
        return ONE if present else ZERO
    sets.remove(db.state, source, [member])
    if db.observed:
        _announce_removal(db, source, "srem")
    if sets.add(db.state, target, [member]) and db.observed:
        db.touch(target, "sadd")
    return ONE


# -- several sets at once


def _inter(state: State, keys: list[bytes]) -> Iterator[bytes]:
    smallest, *others = sorted([sets.live(state, key) for key in keys], key=len)
    return (member for member in smallest if all(member in other for other in others))


def _union(state: State, keys: list[bytes]) -> Collection[bytes]:
    found: dict[bytes, None] = {}
    for members in [sets.live(state, key) for key in keys]:
        found.update(dict.fromkeys(members))
    return found


def _diff(state: State, keys: list[bytes]) -> list[bytes]:
    first, *others = [sets.live(state, key) for key in keys]
    return [member for member in first if not any(member in other for other in others)]


def _store(session: Session, key: bytes, members: Iterable[bytes], event: str) -> bytes:
    """Write the members as a new set under the key, whatever it held."""
    db = session.db
    new = list(members)
    existed = keyspace.delete(db.state, key)
    if new:
        sets.add(db.state, key, new)
        expiry.renew(db.state, key)
    if db.observed and (new or existed):
        db.touch(key, event if new else "del")
    return session.resp.integer(len(new))


@command(
    "SINTER key [key ...]",
    arity=-2,
    flags=("readonly",),
    keys=(1, -1, 1),
    group="set",
    summary="Intersect multiple sets",
)
def sinter(session: Session, args: list[bytes]) -> bytes:
    return session.resp.set(list(_inter(session.db.state, args[1:])))


@command(
    "SINTERSTORE destination key [key ...]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, -1, 1),
    group="set",
    summary="Intersect multiple sets and store the resulting set in a key",
)
def sinterstore(session: Session, args: list[bytes]) -> bytes:
    return _store(session, args[1], _inter(session.db.state, args[2:]), "sinterstore")


@command(
    "SUNION key [key ...]",
    arity=-2,
    flags=("readonly",),
    keys=(1, -1, 1),
    group="set",
    summary="Add multiple sets",
)
def sunion(session: Session, args: list[bytes]) -> bytes:
    return session.resp.set(_union(session.db.state, args[1:]))


@command(
    "SUNIONSTORE destination key [key ...]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, -1, 1),
    group="set",
    summary="Add multiple sets and store the resulting set in a key",
)
def sunionstore(session: Session, args: list[bytes]) -> bytes:
    return _store(session, args[1], _union(session.db.state, args[2:]), "sunionstore")


@command(
    "SDIFF key [key ...]",
    arity=-2,
    flags=("readonly",),
    keys=(1, -1, 1),
    group="set",
    summary="Subtract multiple sets",
)
def sdiff(session: Session, args: list[bytes]) -> bytes:
    return session.resp.set(_diff(session.db.state, args[1:]))


@command(
    "SDIFFSTORE destination key [key ...]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, -1, 1),
    group="set",
    summary="Subtract multiple sets and store the resulting set in a key",
)
def sdiffstore(session: Session, args: list[bytes]) -> bytes:
    return _store(session, args[1], _diff(session.db.state, args[2:]), "sdiffstore")


@command(
    "SINTERCARD numkeys key [key ...] [LIMIT limit]",
    arity=-3,
    flags=("readonly", "movablekeys"),
    group="set",
    summary="Intersect multiple sets and return the cardinality of the result",
)
def sintercard(session: Session, args: list[bytes]) -> bytes:
    count = integer(args[1], "ERR numkeys should be greater than 0", 1)
    if count > len(args) - 2:
        raise UsageError("ERR Number of keys can't be greater than number of args")
    limit = 0
    words = iter(args[2 + count :])
    for word in words:
        number = next(words, None)
        if word.upper() != b"LIMIT" or number is None:
            raise UsageError(SYNTAX)
        limit = integer(number, "ERR LIMIT can't be negative", 0)
    common = _inter(session.db.state, args[2 : 2 + count])
    return session.resp.integer(sum(1 for _ in islice(common, limit or None)))


@command(
    "SSCAN key cursor [MATCH pattern] [COUNT count]",
    arity=-3,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="set",
    summary="Incrementally iterate Set elements",
)
def sscan(session: Session, args: list[bytes]) -> bytes:
    state, key = session.db.state, args[1]
    cursor = parse_cursor(args[2])
    members = sets.live(state, key)
    if not members:
        return nothing(session.resp)
    options = Scan(args[3:])
    page: Iterable[bytes] = members
    if compact_set(state, key):
        cursor = 0
    else:
        cursor, names = session.db.scans.page(cursor, key, members, options.count)
        page = [name for name in names if name in members]
    return options.reply(session.resp, cursor, options.select(page))
