"""EXPIRE and its kin, and how deadlines are spelled by them and by SET, SETEX, GETEX.

Knows Redis's grammar and error texts. Lifetimes are rows (`crdt.types.expiry`); a deadline in the past is a deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from crdt.errors import UsageError
from crdt.types import expiry, keyspace
from daemon.api.arguments import MAX_INT64, MIN_INT64, integer, printable
from daemon.api.database import Database
from daemon.api.registry import TABLE, Handler, command
from daemon.api.session import Session

UNITS: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}
"""An option of SET and GETEX: milliseconds per unit, and whether the number is counted from now."""
CLASHES: Final = {
    b"NX": "ERR NX and XX, GT or LT options at the same time are not compatible",
    b"GT": "ERR GT and LT options at the same time are not compatible",
}
NUL: Final = b"\0"
NEVER_DUE: Final = -1
NO_KEY: Final = -2


def _invalid(args: list[bytes]) -> UsageError:
    return UsageError(f"ERR invalid expire time in '{TABLE[args[0].lower()].name}' command")


def option_deadline(session: Session, args: list[bytes], option: bytes, text: bytes) -> int:
    """When `EX 10` and the like end, in Unix ms. Raises UsageError."""
    scale, relative = UNITS[option]
    number = integer(text)
    ends = number * scale + (session.db.state.time_ms if relative else 0)
    if number <= 0 or ends > MAX_INT64:
        raise _invalid(args)
    return ends


def set_deadline(db: Database, key: bytes, ends: int) -> None:
    """The visible key ends then, and readers are told."""
    expiry.expire(db.state, key, ends)
    if db.observed:
        db.touch(key, "expire")


def delete_overdue(db: Database, key: bytes) -> None:
    """The visible key was given a deadline that has passed."""
    keyspace.delete(db.state, key)
    if db.observed:
        db.touch(key, "del")


def _conditions(words: list[bytes]) -> set[bytes]:
    found = set()
    for word in words:
        name = word.upper()
        if name not in (b"NX", b"XX", b"GT", b"LT"):
            raise UsageError(f"ERR Unsupported option {printable(word.partition(NUL)[0])}")  # a C string
        found.add(name)
    if b"NX" in found and len(found) > 1:
        raise UsageError(CLASHES[b"NX"])
    if {b"GT", b"LT"} <= found:
        raise UsageError(CLASHES[b"GT"])
    return found


def _refused(conditions: set[bytes], current: int | None, ends: int) -> bool:
    if current is None:  # lives for ever: later than any deadline
        return bool(conditions & {b"XX", b"GT"})
    if b"NX" in conditions:
        return True
    return (b"GT" in conditions and ends <= current) or (b"LT" in conditions and ends >= current)


def _expire(session: Session, args: list[bytes], scale: int, relative: bool) -> bytes:
    db, key = session.db, args[1]
    conditions = _conditions(args[3:])
    ends = integer(args[2]) * scale
    if not MIN_INT64 <= ends <= MAX_INT64:
        raise _invalid(args)
    ends += db.state.time_ms if relative else 0
    if ends > MAX_INT64:
        raise _invalid(args)
    if not keyspace.exists(db.state, key) or _refused(conditions, expiry.deadline(db.state, key), ends):
        return session.resp.integer(0)
    if ends <= db.state.time_ms:
        delete_overdue(db, key)
    else:
        set_deadline(db, key, ends)
    return session.resp.integer(1)


def _announce(name: str, argument: str, scale: int, relative: bool, summary: str) -> None:
    def handler(session: Session, args: list[bytes]) -> bytes:
        return _expire(session, args, scale, relative)

    command(
        f"{name} key {argument} [NX | XX | GT | LT]",
        arity=-3,
        flags=("write", "fast"),
        keys=(1, 1, 1),
        group="generic",
        summary=summary,
    )(handler)


_announce("EXPIRE", "seconds", 1000, True, "Set a key's time to live in seconds")
_announce("PEXPIRE", "milliseconds", 1, True, "Set a key's time to live in milliseconds")
_announce("EXPIREAT", "unix-time-seconds", 1000, False, "Set the expiration for a key as a UNIX timestamp")
_announce(
    "PEXPIREAT",
    "unix-time-milliseconds",
    1,
    False,
    "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
)


def _reader(show: Callable[[int, int], int]) -> Handler:
    """A command that shows a deadline; `show` gets it and the time."""

    def handler(session: Session, args: list[bytes]) -> bytes:
        state = session.db.state
        if not keyspace.exists(state, args[1]):
            return session.resp.integer(NO_KEY)
        ends = expiry.deadline(state, args[1])
        return session.resp.integer(NEVER_DUE if ends is None else show(ends, state.time_ms))

    return handler


def _announce_reader(name: str, summary: str, show: Callable[[int, int], int]) -> None:
    command(f"{name} key", arity=2, flags=("readonly", "fast"), keys=(1, 1, 1), group="generic", summary=summary)(
        _reader(show)
    )


def _seconds(milliseconds: int) -> int:
    """Rounded as Redis rounds."""
    return (milliseconds + 500) // 1000


_announce_reader("TTL", "Get the time to live for a key in seconds", lambda ends, now: _seconds(ends - now))
_announce_reader("PTTL", "Get the time to live for a key in milliseconds", lambda ends, now: ends - now)
_announce_reader("EXPIRETIME", "Get the expiration Unix timestamp for a key", lambda ends, now: _seconds(ends))
_announce_reader("PEXPIRETIME", "Get the expiration Unix timestamp for a key in milliseconds", lambda ends, now: ends)


@command(
    "PERSIST key",
    arity=2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="generic",
    summary="Remove the expiration from a key",
)
def persist(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if not expiry.persist(db.state, args[1]):
        return session.resp.integer(0)
    if db.observed:
        db.touch(args[1], "persist")
    return session.resp.integer(1)
