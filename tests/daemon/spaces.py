"""Real spaces on real stores, and a carrier in memory between them that can be cut.

A `Member` is one replica: it can be started, closed in order, or killed (nothing more reaches its disk), and started
again. `Between` delivers at the next turn of the loop, in order, and records what left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from crdt.replica.tuning import Tuning
from crdt.types import expiry, sets, strings
from daemon.space import Space
from daemon.store import Durability, Store
from daemon.witness import Witness

SOON = 10.0
FAST = {"interval": 0.01, "heartbeat": 0.1, "pull_timeout": 0.5}


async def until(condition: Callable[[], object], what: str = "condition") -> None:
    """Wait until it holds; fail if that does not happen in time."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.002)


class Between:
    """The network: members by name."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.whole = True
        self.sent: list[tuple[str, str, bytes]] = []

    def cut(self) -> None:
        """Nobody reaches anybody, and everybody notices."""
        self.whole = False
        for member in self.members.values():
            member.space.disconnected(0)

    def mend(self) -> None:
        """All reach all again."""
        self.whole = True
        for member in self.members.values():
            member.space.connected()

    def publish(self, sender: str, lane: str, to: str | None, data: bytes) -> bool:
        self.sent.append((sender, lane, data))
        if self.whole:
            asyncio.get_running_loop().call_soon(self._deliver, sender, to, data)
        return self.whole

    def _deliver(self, sender: str, to: str | None, data: bytes) -> None:
        for name, member in self.members.items():
            if self.whole and (name == to or (to is None and name != sender)):
                member.space.receive(sender, to is not None, data)


class _Carrier:
    """A member's end of the network. After a kill nothing leaves."""

    def __init__(self, between: Between, name: str) -> None:
        self.between = between
        self.name = name
        self.dead = False

    def publish(self, space: str, lane: str, to: str | None, data: bytes) -> bool:
        return not self.dead and self.between.publish(self.name, lane, to, data)


class Member:
    """One replica. `directory/data` and `directory/run` are its disk."""

    def __init__(self, between: Between, name: str, directory: Path, durability: Durability = "always") -> None:
        self.between = between
        self.name = name
        self.directory = directory
        self.durability = durability
        self.log_budget = 256 << 20
        self.tuning: dict[str, Any] = dict(FAST)
        self.failures: list[tuple[int, str]] = []
        self.space: Space = None  # type: ignore[assignment]
        self.boot = "this boot"
        self._starts = 0

    def open(self) -> Space:
        """Files open, nothing loaded."""
        directory = self.directory
        self._starts += 1
        (directory / "run").mkdir(parents=True, exist_ok=True)
        store = Store.open(directory / "data", "default", self.durability)
        witness = Witness(directory / "run" / f"{self.name}.witness", store.identity, self.boot)
        inline = self.durability == "always" or self.tuning["interval"] == 0
        tuning = Tuning(**self.tuning, durable=self.durability == "always")
        rng = Random(f"{self.directory.name} {self._starts}")
        self._carrier = _Carrier(self.between, self.name)
        self.space = Space(
            0, "default", store, witness, self.name, tuning, self._carrier, rng, rng.getrandbits(63), self._fail,
            inline, self.log_budget,
        )  # fmt: skip
        return self.space

    async def start(self) -> Space:
        """Open, load, join the others."""
        self.open()
        await self.space.load()
        self.between.members[self.name] = self
        if self.between.whole:
            self.space.connected()
        return self.space

    def _fail(self, code: int, text: str) -> None:
        self.failures.append((code, text))

    def kill(self) -> None:
        """As kill -9 leaves it: what is on disk stays, all else is gone."""
        space = self.space
        self.between.members.pop(self.name, None)
        self._carrier.dead = True
        space.commits.drain = lambda: None  # type: ignore[method-assign]
        for worker in (space.commits._worker, space.commits._aside):
            worker.shutdown(wait=True, cancel_futures=True)
        for task in (space.housekeeping.task, space._joining, space._resyncing):
            if task is not None:
                task.cancel()
        if space._timer is not None:
            space._timer.cancel()
        space._witness.close()
        space.store.close()

    def close(self) -> None:
        """As SIGTERM."""
        self.space.close()
        self.between.members.pop(self.name, None)

    async def housekept(self) -> None:
        """A turn of housekeeping begins; when it is over."""
        self.space.housekeeping.turn()
        assert self.space.housekeeping.task is not None
        await self.space.housekeeping.task

    # -- what programs do ---------------------------------------------------------------------------------------------

    def add(self, key: bytes, *members: bytes) -> None:
        """SADD, in a turn of its own."""
        self.space.begin()
        sets.add(self.space.state, key, members)
        self.space.settle()

    def put(self, key: bytes, value: bytes) -> None:
        """SET, in a turn of its own."""
        self.space.begin()
        strings.put(self.space.state, key, value)
        self.space.settle()

    def expire(self, key: bytes, ends: int) -> None:
        """SET PXAT, in a turn of its own."""
        self.space.begin()
        strings.put(self.space.state, key, b"v")
        expiry.expire(self.space.state, key, ends)
        self.space.settle()

    def members(self, key: bytes) -> set[bytes]:
        """SMEMBERS."""
        return set(sets.members(self.space.state, key))

    def get(self, key: bytes) -> bytes | None:
        """GET."""
        return strings.get(self.space.state, key)


def same(*members: Member) -> bool:
    """Whether all have applied the same and hold the same."""
    states = [member.space.state for member in members]
    return len({(s.vector_hash, s.hash) for s in states}) == 1 and all(s.dot == s.cut_dot for s in states)


Make = Callable[..., Member]
