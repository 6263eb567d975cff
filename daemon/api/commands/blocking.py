"""Waiting until there is something to take, and the commands on lists that do.

Knows what Redis answers for each, also when the time is up. A client is served as soon as the command, the transaction
or the peer's frame that filled its list is through, and before anything else runs (`Database.blocked`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING
from typing import Final

from crdt import longdouble
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import lists
from daemon.api.arguments import MAX_INT64
from daemon.api.blocked import Waiter
from daemon.api.commands.lists import moved, pop_first, pop_words, side, take
from daemon.api.registry import command
from daemon.api.session import Session

LONGEST: Final = 1 << 33  # seconds that the loop's timers can be trusted with: 272 years


def timeout(text: bytes) -> float | None:
    """Seconds; None is for ever. Raises UsageError."""
    value = longdouble.parse(text)
    if value is None:
        raise UsageError("ERR timeout is not a float or out of range")
    milliseconds = (value * 1000).to_integral_value(ROUND_CEILING)
    if not 0 <= milliseconds <= MAX_INT64:  # what does not fit 64 bits is negative, to Redis
        raise UsageError("ERR timeout is negative")
    return min(float(milliseconds) / 1000, LONGEST) or None


Take = Callable[[bytes], bytes | None]
"""Take from this key: the reply, or None if there is nothing to take. May raise UsageError."""


def wait(session: Session, keys: list[bytes], seconds: float | None, attempt: Take, nothing: bytes) -> bytes:
    """Park the request until one of the keys can be taken from; `nothing` is the reply when its time is up."""
    db = session.db

    def serve(key: bytes) -> bool:
        try:
            reply = attempt(key)
        except UsageError as error:
            reply = session.resp.error(error.resp)
        if reply is None:
            return False
        session.note_write()
        session.resume(reply)
        return True

    waiter = Waiter(keys, serve)
    db.block(waiter)
    return session.park(seconds, lambda: nothing, lambda: db.unblock(waiter))


Size = Callable[[State, bytes], int]
"""How much there is under a key. Raises WrongTypeError."""


def holds(session: Session, key: bytes, size: Size) -> bool:
    """Whether there is something under the key; another type is waited over, once the client is blocked."""
    try:
        return size(session.db.state, key) > 0
    except WrongTypeError:
        return False


def pop_or_wait(
    session: Session, keys: list[bytes], seconds: float | None, size: Size, pop: Callable[[bytes], bytes | None]
) -> bytes:
    """The reply of `pop` for the first key that holds something; where none does, wait. Raises WrongTypeError."""
    for key in keys:
        if size(session.db.state, key):
            reply = pop(key)
            assert reply is not None
            return reply
    if not session.may_park():
        return session.resp.null_array

    def attempt(key: bytes) -> bytes | None:
        return pop(key) if holds(session, key, size) else None

    return wait(session, keys, seconds, attempt, session.resp.null_array)


def _pop(session: Session, args: list[bytes], left: bool) -> bytes:
    seconds = timeout(args[-1])
    db, resp = session.db, session.resp
    return pop_or_wait(session, args[1:-1], seconds, lists.size, lambda key: resp.bulks([key, *take(db, key, 1, left)]))


@command(
    "BLPOP key [key ...] timeout",
    arity=-3,
    flags=("write", "noscript", "blocking"),
    keys=(1, -2, 1),
    group="list",
    summary="Remove and get the first element in a list, or block until one is available",
)
def blpop(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, left=True)


@command(
    "BRPOP key [key ...] timeout",
    arity=-3,
    flags=("write", "noscript", "blocking"),
    keys=(1, -2, 1),
    group="list",
    summary="Remove and get the last element in a list, or block until one is available",
)
def brpop(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, left=False)


@command(
    "BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]",
    arity=-5,
    flags=("write", "blocking", "movablekeys"),
    group="list",
    summary="Pop elements from a list, or block until one is available",
)
def blmpop(session: Session, args: list[bytes]) -> bytes:
    keys, left, count = pop_words(args[2:])
    seconds = timeout(args[1])
    return pop_or_wait(session, keys, seconds, lists.size, lambda key: pop_first(session, [key], left, count))


def _move(session: Session, args: list[bytes], from_left: bool, to_left: bool) -> bytes:
    seconds = timeout(args[-1])
    _, source, target = args[:3]
    resp = session.resp
    element = moved(session, source, target, from_left, to_left)
    if element is not None:
        session.served(session.db)
        return resp.bulk(element)
    if not session.may_park():
        return resp.null

    def attempt(key: bytes) -> bytes | None:
        found = moved(session, key, target, from_left, to_left) if holds(session, key, lists.size) else None
        return None if found is None else resp.bulk(found)

    return wait(session, [source], seconds, attempt, resp.null_array)  # an array: so does Redis


@command(
    "BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout",
    arity=6,
    flags=("write", "denyoom", "noscript", "blocking"),
    keys=(1, 2, 1),
    group="list",
    summary="Pop an element from a list, push it to another list and return it; or block until one is available",
)
def blmove(session: Session, args: list[bytes]) -> bytes:
    return _move(session, args, side(args[3]), side(args[4]))


@command(
    "BRPOPLPUSH source destination timeout",
    arity=4,
    flags=("write", "denyoom", "noscript", "blocking"),
    keys=(1, 2, 1),
    group="list",
    summary="Pop an element from a list, push it to another list and return it; or block until one is available",
)
def brpoplpush(session: Session, args: list[bytes]) -> bytes:
    return _move(session, args, False, True)
