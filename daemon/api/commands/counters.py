"""Commands that count on strings.

Knows what Redis answers for each; `crdt.types.counters` makes the sums, so that increments of several replicas add up.
"""

from __future__ import annotations

from crdt import longdouble
from crdt.errors import NotANumberError, UsageError
from crdt.types import counters, strings
from daemon.api.arguments import MIN_INT64, integer
from daemon.api.registry import command
from daemon.api.session import Session


@command(
    "INCR key",
    arity=2,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Increment the integer value of a key by one",
)
def incr(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    total = counters.incr(db.state, args[1], 1)
    if db.observed:
        db.touch(args[1], "incrby")
    return b":%d\r\n" % total


def _count(session: Session, key: bytes, by: int) -> bytes:
    db = session.db
    total = counters.incr(db.state, key, by)
    if db.observed:
        db.touch(key, "incrby")
    return b":%d\r\n" % total


@command(
    "DECR key",
    arity=2,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Decrement the integer value of a key by one",
)
def decr(session: Session, args: list[bytes]) -> bytes:
    return _count(session, args[1], -1)


@command(
    "INCRBY key increment",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Increment the integer value of a key by the given amount",
)
def incrby(session: Session, args: list[bytes]) -> bytes:
    return _count(session, args[1], integer(args[2]))


@command(
    "DECRBY key decrement",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Decrement the integer value of a key by the given number",
)
def decrby(session: Session, args: list[bytes]) -> bytes:
    by = integer(args[2])
    if by == MIN_INT64:
        raise UsageError("ERR decrement would overflow")
    return _count(session, args[1], -by)


@command(
    "INCRBYFLOAT key increment",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Increment the float value of a key by the given amount",
)
def incrbyfloat(session: Session, args: list[bytes]) -> bytes:
    db, key = session.db, args[1]
    by = longdouble.parse(args[2])
    if by is None:
        strings.get(db.state, key)  # a wrong type comes first
        raise NotANumberError(counters.NOT_FLOAT)
    text = counters.incr_float(db.state, key, by)
    if db.observed:
        db.touch(key, "incrbyfloat")
    return session.resp.bulk(text)
