"""Commands on sorted sets that wait until there is something to take (see blocking.py)."""

from __future__ import annotations

from crdt.errors import WrongTypeError
from crdt.types import zsets
from daemon.api.commands.blocking import timeout, wait
from daemon.api.commands.zsets import MultiPop, pop
from daemon.api.registry import command
from daemon.api.session import Session


def _holds(session: Session, key: bytes) -> bool:
    """Whether there is a sorted set under the key; another type is waited over, once the client is blocked."""
    try:
        return zsets.size(session.db.state, key) > 0
    except WrongTypeError:
        return False


def _pop(session: Session, args: list[bytes], highest: bool) -> bytes:
    seconds = timeout(args[-1])
    keys, resp = args[1:-1], session.resp

    def attempt(key: bytes) -> bytes | None:
        if not _holds(session, key):
            return None
        score, member = pop(session.db, key, 1, highest)[0]
        return resp.array([resp.bulk(key), resp.bulk(member), resp.double(score)])

    for key in keys:
        if zsets.size(session.db.state, key):
            reply = attempt(key)
            assert reply is not None
            return reply
    return wait(session, keys, seconds, attempt, resp.null_array) if session.may_park() else resp.null_array


@command(
    "BZPOPMIN key [key ...] timeout",
    arity=-3,
    flags=("write", "noscript", "fast", "blocking"),
    keys=(1, -2, 1),
    group="sorted-set",
    summary="Remove and return the member with the lowest score from one or more sorted sets, or block until one is"
    " available",
)
def bzpopmin(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, highest=False)


@command(
    "BZPOPMAX key [key ...] timeout",
    arity=-3,
    flags=("write", "noscript", "fast", "blocking"),
    keys=(1, -2, 1),
    group="sorted-set",
    summary="Remove and return the member with the highest score from one or more sorted sets, or block until one is"
    " available",
)
def bzpopmax(session: Session, args: list[bytes]) -> bytes:
    return _pop(session, args, highest=True)


@command(
    "BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]",
    arity=-5,
    flags=("write", "blocking", "movablekeys"),
    group="sorted-set",
    summary="Remove and return members with scores in a sorted set or block until one is available",
)
def bzmpop(session: Session, args: list[bytes]) -> bytes:
    asked = MultiPop(args[2:])
    seconds = timeout(args[1])
    reply = asked.take(session, asked.keys)
    if reply is not None or not session.may_park():
        return reply or session.resp.null_array

    def attempt(key: bytes) -> bytes | None:
        return asked.take(session, [key]) if _holds(session, key) else None

    return wait(session, asked.keys, seconds, attempt, session.resp.null_array)
