"""Commands on strings.

Knows what Redis answers for each. A rewrite (APPEND, SETRANGE, SETBIT) is a SET of the new value that leaves the key's
lifetime as it is; limits.value is checked where a command makes a value grow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from crdt.errors import UsageError, WrongTypeError
from crdt.types import expiry, keyspace, strings
from daemon.api import lcs as common
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.expiry import UNITS, delete_overdue, option_deadline, set_deadline
from daemon.api.registry import TABLE, command, wrong_arity
from daemon.api.resp import BULKS, SMALL, Resp
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
MAX_BULK: Final = 512 * 1024 * 1024
TOO_LONG: Final = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
BIT_OFFSET: Final = "ERR bit offset is not an integer or out of range"
BIT_VALUE: Final = "ERR bit is not an integer or out of range"


@command(
    "SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
    "PXAT unix-time-milliseconds | KEEPTTL]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="string",
    summary="Set the string value of a key",
)
def set_(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        return _set_if(session, args)
    db = session.db
    strings.put(db.state, args[1], args[2])
    if db.observed:
        db.touch(args[1], "set")
    return OK


class _Options(NamedTuple):
    """What follows the value of SET, or the key of GETEX."""

    words: set[bytes]
    unit: bytes  # EX, PX, EXAT, PXAT or nothing
    number: bytes


def _options(words: list[bytes], known: tuple[bytes, ...], exclusive: bytes) -> _Options:
    """Options in Redis's grammar. `exclusive` (KEEPTTL, PERSIST) excludes a deadline. Raises UsageError."""
    seen: set[bytes] = set()
    unit = number = b""
    rest = iter(words)
    for word in rest:
        name = word.upper()
        if name in UNITS:
            following = next(rest, None)
            if following is None or unit not in (b"", name) or exclusive in seen:
                raise UsageError(SYNTAX)
            unit, number = name, following
        elif name not in known or {b"NX", b"XX"} <= seen | {name} or (name == exclusive and unit):
            raise UsageError(SYNTAX)
        seen.add(name)
    return _Options(seen, unit, number)


def _set_if(session: Session, args: list[bytes]) -> bytes:
    words, unit, number = _options(args[3:], (b"NX", b"XX", b"GET", b"KEEPTTL"), b"KEEPTTL")
    db, key, resp = session.db, args[1], session.resp
    ends = option_deadline(session, args, unit, number) if unit else None
    old = strings.get(db.state, key) if b"GET" in words else None
    present = keyspace.exists(db.state, key)
    done = not (b"NX" in words and present) and not (b"XX" in words and not present)
    if done:
        if b"KEEPTTL" in words:
            expiry.put(db.state, key, args[2])
        else:
            strings.put(db.state, key, args[2])
        if db.observed:
            db.touch(key, "set")
        if ends is not None:
            set_deadline(db, key, ends)
    if b"GET" in words:
        return _shown(resp, old)
    return OK if done else resp.null


def _set_for(session: Session, args: list[bytes], unit: bytes) -> bytes:
    db, key = session.db, args[1]
    ends = option_deadline(session, args, unit, args[2])
    strings.put(db.state, key, args[3])
    if db.observed:
        db.touch(key, "set")
    set_deadline(db, key, ends)
    return OK


@command(
    "SETEX key seconds value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="string",
    summary="Set the value and expiration of a key",
)
def setex(session: Session, args: list[bytes]) -> bytes:
    return _set_for(session, args, b"EX")


@command(
    "PSETEX key milliseconds value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="string",
    summary="Set the value and expiration in milliseconds of a key",
)
def psetex(session: Session, args: list[bytes]) -> bytes:
    return _set_for(session, args, b"PX")


@command(
    "GET key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Get the value of a key",
)
def get(session: Session, args: list[bytes]) -> bytes:
    value = strings.get(session.db.state, args[1])
    if value is None:
        return session.resp.null
    size = len(value)  # as `resp.bulk`, without the call
    return BULKS[size] + value + b"\r\n" if size < SMALL else b"$%d\r\n%b\r\n" % (size, value)


@command(
    "MGET key [key ...]",
    arity=-2,
    flags=("readonly", "fast"),
    keys=(1, -1, 1),
    group="string",
    summary="Get the values of all the given keys",
)
def mget(session: Session, args: list[bytes]) -> bytes:
    state, resp = session.db.state, session.resp
    found = []
    for key in args[1:]:
        try:
            value = strings.get(state, key)
        except WrongTypeError:
            value = None
        found.append(value)
    session.hub.limits.check_reply(sum([len(value) for value in found if value is not None]))
    return resp.array([resp.null if value is None else resp.bulk(value) for value in found])


def _put_pairs(session: Session, args: list[bytes]) -> None:
    db = session.db
    for at in range(1, len(args), 2):
        strings.put(db.state, args[at], args[at + 1])
        if db.observed:
            db.touch(args[at], "set")


def _check_pairs(args: list[bytes]) -> None:
    if len(args) % 2 == 0:
        raise UsageError(wrong_arity(TABLE[args[0].lower()]))


@command(
    "MSET key value [key value ...]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, -1, 2),
    group="string",
    summary="Set multiple keys to multiple values",
)
def mset(session: Session, args: list[bytes]) -> bytes:
    _check_pairs(args)
    _put_pairs(session, args)
    return OK


@command(
    "MSETNX key value [key value ...]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, -1, 2),
    group="string",
    summary="Set multiple keys to multiple values, only if none of the keys exist",
)
def msetnx(session: Session, args: list[bytes]) -> bytes:
    _check_pairs(args)
    if any(keyspace.exists(session.db.state, key) for key in args[1::2]):
        return session.resp.integer(0)
    _put_pairs(session, args)
    return session.resp.integer(1)


@command(
    "SETNX key value",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Set the value of a key, only if the key does not exist",
)
def setnx(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if keyspace.exists(db.state, args[1]):
        return session.resp.integer(0)
    strings.put(db.state, args[1], args[2])
    if db.observed:
        db.touch(args[1], "set")
    return session.resp.integer(1)


def _shown(resp: Resp, value: bytes | None) -> bytes:
    return resp.null if value is None else resp.bulk(value)


@command(
    "GETSET key value",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Set the string value of a key and return its old value",
)
def getset(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    old = strings.get(db.state, args[1])
    strings.put(db.state, args[1], args[2])
    if db.observed:
        db.touch(args[1], "set")
    return _shown(session.resp, old)


@command(
    "GETDEL key",
    arity=2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Get the value of a key and delete the key",
)
def getdel(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    old = strings.get(db.state, args[1])
    if keyspace.delete(db.state, args[1]) and db.observed:
        db.touch(args[1], "del")
    return _shown(session.resp, old)


@command(
    "GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
    arity=-2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Get the value of a key and optionally set its expiration",
)
def getex(session: Session, args: list[bytes]) -> bytes:
    words, unit, number = _options(args[2:], (b"PERSIST",), b"PERSIST")
    db, key = session.db, args[1]
    value = strings.get(db.state, key)
    if value is None:
        return session.resp.null
    if unit:
        ends = option_deadline(session, args, unit, number)
        if ends <= db.state.time_ms:
            delete_overdue(db, key)
        else:
            set_deadline(db, key, ends)
    elif words and expiry.persist(db.state, key) and db.observed:
        db.touch(key, "persist")
    return session.resp.bulk(value)


def _rewrite(session: Session, key: bytes, value: bytes, event: str) -> None:
    """A SET that makes a value longer. Raises UsageError where that exceeds limits.value."""
    session.hub.limits.check_value(len(value))
    db = session.db
    expiry.put(db.state, key, value)
    if db.observed:
        db.touch(key, event)


@command(
    "APPEND key value",
    arity=3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Append a value to a key",
)
def append(session: Session, args: list[bytes]) -> bytes:
    value = (strings.get(session.db.state, args[1]) or b"") + args[2]
    _rewrite(session, args[1], value, "append")
    return session.resp.integer(len(value))


@command(
    "STRLEN key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="string",
    summary="Get the length of the value stored in a key",
)
def strlen(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(len(strings.get(session.db.state, args[1]) or b""))


@command(
    "SETRANGE key offset value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="string",
    summary="Overwrite part of a string at key starting at the specified offset",
)
def setrange(session: Session, args: list[bytes]) -> bytes:
    offset, part = integer(args[2]), args[3]
    if offset < 0:
        raise UsageError("ERR offset is out of range")
    old = strings.get(session.db.state, args[1]) or b""
    if not part:
        return session.resp.integer(len(old))
    end = offset + len(part)
    if end > MAX_BULK:
        raise UsageError(TOO_LONG)
    session.hub.limits.check_value(end)
    value = old[:offset].ljust(offset, b"\0") + part + old[end:]
    _rewrite(session, args[1], value, "setrange")
    return session.resp.integer(len(value))


def _range(session: Session, args: list[bytes]) -> bytes:
    start, end = integer(args[2]), integer(args[3])
    value = strings.get(session.db.state, args[1]) or b""
    if start < 0 and end < 0 and start > end:
        return session.resp.bulk(b"")
    size = len(value)
    start = max(start + size, 0) if start < 0 else start
    end = max(end + size, 0) if end < 0 else end
    return session.resp.bulk(value[start : max(start, end + 1)])


@command(
    "GETRANGE key start end",
    arity=4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="string",
    summary="Get a substring of the string stored at a key",
)
def getrange(session: Session, args: list[bytes]) -> bytes:
    return _range(session, args)


@command(
    "SUBSTR key start end",
    arity=4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="string",
    summary="Get a substring of the string stored at a key",
)
def substr(session: Session, args: list[bytes]) -> bytes:
    return _range(session, args)


def _bit_offset(text: bytes) -> int:
    return integer(text, BIT_OFFSET, 0, 8 * MAX_BULK - 1)


@command(
    "SETBIT key offset value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="bitmap",
    summary="Sets or clears the bit at offset in the string value stored at key",
)
def setbit(session: Session, args: list[bytes]) -> bytes:
    offset = _bit_offset(args[2])
    bit = integer(args[3], BIT_VALUE, 0, 1)
    found = strings.get(session.db.state, args[1])
    at, mask = offset >> 3, 0x80 >> (offset & 7)
    session.hub.limits.check_value(at + 1)
    value = bytearray((found or b"").ljust(at + 1, b"\0"))
    old = value[at] & mask
    value[at] = value[at] | mask if bit else value[at] & ~mask
    if found is None or value != found:
        _rewrite(session, args[1], bytes(value), "setbit")
    return session.resp.integer(int(old != 0))


@command(
    "GETBIT key offset",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="bitmap",
    summary="Returns the bit value at offset in the string value stored at key",
)
def getbit(session: Session, args: list[bytes]) -> bytes:
    offset = _bit_offset(args[2])
    value = strings.get(session.db.state, args[1]) or b""
    at = offset >> 3
    return session.resp.integer(value[at] >> (7 - (offset & 7)) & 1 if at < len(value) else 0)


class _LcsOptions:
    """LEN, IDX, WITHMATCHLEN and MINMATCHLEN n."""

    def __init__(self, words: list[bytes]) -> None:
        self.only_length = self.indexes = self.with_lengths = False
        self.shortest = 0
        rest = iter(words)
        for word in rest:
            name = word.upper()
            if name == b"IDX":
                self.indexes = True
            elif name == b"LEN":
                self.only_length = True
            elif name == b"WITHMATCHLEN":
                self.with_lengths = True
            elif name == b"MINMATCHLEN" and (number := next(rest, None)) is not None:
                self.shortest = integer(number)
            else:
                raise UsageError(SYNTAX)
        if self.indexes and self.only_length:
            raise UsageError("ERR If you want both the length and indexes, please just use IDX.")


@command(
    "LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
    arity=-3,
    flags=("readonly",),
    keys=(1, 2, 1),
    group="string",
    summary="Find longest common substring",
)
def lcs(session: Session, args: list[bytes]) -> bytes:
    resp, state = session.resp, session.db.state
    try:
        a, b = (strings.get(state, key) or b"" for key in args[1:3])
    except WrongTypeError:
        raise UsageError("ERR The specified keys must contain string values") from None
    options = _LcsOptions(args[3:])
    if 4 * (len(a) + 1) * (len(b) + 1) > MAX_BULK:
        raise UsageError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if options.only_length:
        return resp.integer(common.length(a, b))
    text, matches = common.subsequence(a, b)
    if not options.indexes:
        return resp.bulk(text)
    found = [_match(resp, m, options.with_lengths) for m in matches if m.length >= options.shortest]
    return resp.map([(resp.bulk(b"matches"), resp.array(found)), (resp.bulk(b"len"), resp.integer(len(text)))])


def _match(resp: Resp, match: common.Match, with_length: bool) -> bytes:
    pair = [
        resp.array([resp.integer(match.a_first), resp.integer(match.a_last)]),
        resp.array([resp.integer(match.b_first), resp.integer(match.b_last)]),
    ]
    return resp.array([*pair, resp.integer(match.length)] if with_length else pair)
