"""Commands on sorted sets that wait until there is something to take (see blocking.py)."""

from __future__ import annotations

from crdt.types import zsets
from daemon.api.commands.blocking import pop_or_wait, timeout
from daemon.api.commands.zsets import MultiPop, pop
from daemon.api.registry import command
from daemon.api.session import Session


def _pop(session: Session, args: list[bytes], highest: bool) -> bytes:
    seconds = timeout(args[-1])
    resp = session.resp

    def taken(key: bytes) -> bytes:
        score, member = pop(session.db, key, 1, highest)[0]
        return resp.array([resp.bulk(key), resp.bulk(member), resp.double(score)])

    return pop_or_wait(session, args[1:-1], seconds, zsets.size, taken)


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
    return pop_or_wait(session, asked.keys, seconds, zsets.size, lambda key: asked.take(session, [key]))
