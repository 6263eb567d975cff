"""Commands on hashes.

Knows what Redis answers for each. What is random comes from the hub's dice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crdt import longdouble
from crdt.errors import NotANumberError, UsageError
from crdt.types import counters, hashes, keyspace
from daemon.api.arguments import MAX_INT64, SYNTAX, integer
from daemon.api.commands.encodings import compact_hash
from daemon.api.commands.scanning import Scan, nothing, parse_cursor
from daemon.api.commands.sets import check_sample, sample_count
from daemon.api.registry import TABLE, command, wrong_arity
from daemon.api.resp import Resp
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
ZERO: Final = b":0\r\n"
ONE: Final = b":1\r\n"


def _put(session: Session, args: list[bytes]) -> int:
    db = session.db
    if len(args) == 4:
        added = hashes.put(db.state, args[1], ((args[2], args[3]),))
    elif len(args) % 2:
        raise UsageError(wrong_arity(TABLE[args[0].lower()]))
    else:
        added = hashes.put(db.state, args[1], list(zip(args[2::2], args[3::2], strict=True)))
    if db.observed:
        db.touch(args[1], "hset")
    return added


@command(
    "HSET key field value [field value ...]",
    arity=-4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Set the string value of a hash field",
)
def hset(session: Session, args: list[bytes]) -> bytes:
    return b":%d\r\n" % _put(session, args)


@command(
    "HMSET key field value [field value ...]",
    arity=-4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Set multiple hash fields to multiple values",
)
def hmset(session: Session, args: list[bytes]) -> bytes:
    _put(session, args)
    return OK


@command(
    "HSETNX key field value",
    arity=4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Set the value of a hash field, only if the field does not exist",
)
def hsetnx(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if hashes.contains(db.state, args[1], args[2]):
        return ZERO
    hashes.put(db.state, args[1], ((args[2], args[3]),))
    if db.observed:
        db.touch(args[1], "hset")
    return ONE


@command(
    "HGET key field",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Get the value of a hash field",
)
def hget(session: Session, args: list[bytes]) -> bytes:
    value = hashes.get(session.db.state, args[1], args[2])
    return session.resp.null if value is None else session.resp.bulk(value)


@command(
    "HMGET key field [field ...]",
    arity=-3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Get the values of all the given hash fields",
)
def hmget(session: Session, args: list[bytes]) -> bytes:
    state, resp = session.db.state, session.resp
    found = [hashes.get(state, args[1], field) for field in args[2:]]
    session.hub.limits.check_reply(sum([len(value) for value in found if value is not None]))
    return resp.array([resp.null if value is None else resp.bulk(value) for value in found])


@command(
    "HGETALL key",
    arity=2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="hash",
    summary="Get all the fields and values in a hash",
)
def hgetall(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    return resp.map([(resp.bulk(f), resp.bulk(v)) for f, v in hashes.items(session.db.state, args[1])])


@command(
    "HDEL key field [field ...]",
    arity=-3,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Delete one or more hash fields",
)
def hdel(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    removed = hashes.remove(db.state, args[1], args[2:])
    if removed and db.observed:
        db.touch(args[1], "hdel")
        if not keyspace.exists(db.state, args[1]):
            db.touch(args[1], "del")
    return session.resp.integer(removed)


@command(
    "HEXISTS key field",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Determine if a hash field exists",
)
def hexists(session: Session, args: list[bytes]) -> bytes:
    return ONE if hashes.contains(session.db.state, args[1], args[2]) else ZERO


@command(
    "HKEYS key",
    arity=2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="hash",
    summary="Get all the fields in a hash",
)
def hkeys(session: Session, args: list[bytes]) -> bytes:
    return session.resp.bulks(hashes.fields(session.db.state, args[1]))


@command(
    "HVALS key",
    arity=2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="hash",
    summary="Get all the values in a hash",
)
def hvals(session: Session, args: list[bytes]) -> bytes:
    return session.resp.bulks([value for _, value in hashes.items(session.db.state, args[1])])


@command(
    "HLEN key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Get the number of fields in a hash",
)
def hlen(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(hashes.size(session.db.state, args[1]))


@command(
    "HSTRLEN key field",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Get the length of the value of a hash field",
)
def hstrlen(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(len(hashes.get(session.db.state, args[1], args[2]) or b""))


@command(
    "HINCRBY key field increment",
    arity=4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Increment the integer value of a hash field by the given number",
)
def hincrby(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    total = hashes.incr(db.state, args[1], args[2], integer(args[3]))
    if db.observed:
        db.touch(args[1], "hincrby")
    return b":%d\r\n" % total


@command(
    "HINCRBYFLOAT key field increment",
    arity=4,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="hash",
    summary="Increment the float value of a hash field by the given amount",
)
def hincrbyfloat(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    by = longdouble.parse(args[3])
    if by is None:
        raise NotANumberError(counters.NOT_FLOAT)
    if not by.is_finite():
        raise NotANumberError("ERR value is NaN or Infinity")
    text = hashes.incr_float(db.state, args[1], args[2], by)
    if db.observed:
        db.touch(args[1], "hincrbyfloat")
    return session.resp.bulk(text)


@command(
    "HRANDFIELD key [count [WITHVALUES]]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="hash",
    summary="Get one or multiple random fields from a hash",
)
def hrandfield(session: Session, args: list[bytes]) -> bytes:
    state, resp, rng = session.db.state, session.resp, session.hub.rng
    if len(args) == 2:
        field = hashes.sample(state, args[1], rng)
        return resp.null if field is None else resp.bulk(field)
    count = sample_count(args[2])
    with_values = len(args) > 3
    if len(args) > 4 or (with_values and args[3].upper() != b"WITHVALUES"):
        raise UsageError(SYNTAX)
    if with_values and abs(count) > MAX_INT64 // 2:
        raise UsageError("ERR value is out of range")
    if count < 0 and hashes.size(state, args[1]):
        check_sample(session, -count)
    fields = hashes.samples(state, args[1], count, rng)
    if not with_values:
        session.hub.limits.check_reply(sum(map(len, fields)))
        return resp.bulks(fields)
    pairs = [(field, hashes.get(state, args[1], field) or b"") for field in fields]
    session.hub.limits.check_reply(sum([len(field) + len(value) for field, value in pairs]))
    return _pairs(resp, pairs)


def _pairs(resp: Resp, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Fields with values: an array of pairs in RESP3, flat in RESP2."""
    if resp.version == 2:
        return resp.bulks([part for pair in pairs for part in pair])
    return resp.array([resp.bulks(pair) for pair in pairs])


@command(
    "HSCAN key cursor [MATCH pattern] [COUNT count]",
    arity=-3,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="hash",
    summary="Incrementally iterate hash fields and associated values",
)
def hscan(session: Session, args: list[bytes]) -> bytes:
    state, key = session.db.state, args[1]
    cursor = parse_cursor(args[2])
    fields = hashes.live(state, key)
    if not fields:
        return nothing(session.resp)
    options = Scan(args[3:])
    page: Iterable[bytes] = fields
    if compact_hash(state, key):
        cursor = 0
    else:
        cursor, page = session.db.scans.page(cursor, key, fields, options.count)
    flat: list[bytes] = []
    for field in options.select(page):
        value = hashes.get(state, key, field)
        if value is not None:
            flat += (field, value)
    return options.reply(session.resp, cursor, flat)
