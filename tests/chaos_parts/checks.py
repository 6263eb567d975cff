"""What is asked of the daemons when the faults have stopped: are they equal, and what do they hold.

Knows: CRDT.STATUS, tokens, the keys of a ledger. Promises: waits on conditions with a deadline, raises Failed
beyond it. Must not know: faults, programs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from redis.exceptions import RedisError

from daemon.demo.clients import connect
from tests.chaos_parts.arena import SPACES, Arena, Failed
from tests.chaos_parts.ledger import Kind, Ledger
from tests.chaos_parts.verdict import Reading
from tests.chaos_parts.writer import MEMBER, siblings

SETTLE_WITHIN = 180.0
"""Seconds; a daemon may wait 30 s before it tries the broker again."""
_LOOK = 0.2


def client(arena: Arena, name: str, space: int) -> Any:
    """A redis.Redis whose replies are text."""
    made = connect(arena.running[name].socket)
    made.connection_pool.connection_kwargs["db"] = space
    return made


def settle(arena: Arena, within: float = SETTLE_WITHIN) -> float:
    """Seconds until every daemon holds what every other held when this was called, and all say that they are equal."""
    began = time.monotonic()
    for space in range(len(SPACES)):
        holders = {name: client(arena, name, space) for name in arena.holders(space)}
        # Tokens are bytes.
        tokens = {n: c.execute_command("CRDT.VV", NEVER_DECODE=True) for n, c in holders.items()}
        for name, there in holders.items():
            for origin, token in tokens.items():
                left = max(1, int((began + within - time.monotonic()) * 1000))
                # Shorter than the client's patience, one after the other.
                while not there.execute_command("CRDT.WAITFOR", token, min(left, 5000)):
                    left = int((began + within - time.monotonic()) * 1000)
                    if left <= 0:
                        raise Failed(f"{name} lacks what {origin} had {within:.0f} s ago: {differences(arena)}")
            there.close()
    while what := differences(arena):
        if time.monotonic() - began > within:
            raise Failed(f"not equal {within:.0f} s after the last write: {what}")
        time.sleep(_LOOK)
    return time.monotonic() - began


def differences(arena: Arena) -> str:
    """In what the daemons differ, in words; empty if in nothing. Raises Failed for a divergence."""
    spaces: dict[str, dict[str, dict[str, Any]]] = {}
    for name, daemon in arena.running.items():
        for space in daemon.status()["spaces"]:
            spaces.setdefault(space["name"], {})[name] = space
    found = []
    for space_name, held in spaces.items():
        if diverged := {name: space["divergences"] for name, space in held.items() if space["divergences"]}:
            raise Failed(f"space {space_name} diverged: {diverged}")
        for what in ("state_hash", "vv"):
            if len({str(space[what]) for space in held.values()}) > 1:
                found.append(f"{space_name}: {what} { {name: space[what] for name, space in held.items()} }")
        for what, good in (("converged", True), ("held_frames", 0), ("pending", 0)):
            if any(space[what] != good for space in held.values()):
                found.append(f"{space_name}: {what} { {name: space[what] for name, space in held.items()} }")
    return "; ".join(found)


def hashes(arena: Arena) -> dict[str, str]:
    """The hash of each space. Call it when all are equal."""
    return {
        space["name"]: space["state_hash"] for daemon in arena.daemons.values() for space in daemon.status()["spaces"]
    }


def read(arena: Arena, ledger: Ledger) -> list[Reading]:
    """What each holder of the space says of the ledger's keys. Raises Failed."""
    keys = {(write.kind, write.key) for write in ledger.writes}
    return [_read(arena, name, ledger.space, keys) for name in arena.holders(ledger.space)]


def _read(arena: Arena, name: str, space: int, keys: Iterable[tuple[Kind, str]]) -> Reading:
    reading, there = Reading(name), client(arena, name, space)
    try:
        for kind, key in keys:
            if kind in (Kind.ADD, Kind.REMOVE):
                reading.sets[key] = {int(member) for member in there.smembers(key)}
            elif kind is Kind.SAY:
                reading.sets[key] = {int(member) for member in there.execute_command("GSET.MEMBERS", key)}
            elif kind is Kind.MERGE:
                reading.merged[key] = siblings(there, key)[1]
            elif kind is Kind.FILL:
                reading.fills[key] = there.get(key) or ""
            elif kind is Kind.PUSH:
                reading.lists[key] = [int(element) for element in there.lrange(key, 0, -1)]
            elif kind is Kind.SCORE:
                reading.numbers[key] = int(there.zscore(key, MEMBER) or 0)
            elif kind is Kind.LEAF:
                reading.numbers[key] = int((json.loads(there.execute_command("JSON.GET", key, "$.n") or "[0]"))[0])
            else:
                reading.numbers[key] = int(there.get(key) or 0)
    except RedisError as error:
        raise Failed(f"{name} does not tell {key}: {error}") from None
    finally:
        there.close()
    return reading
