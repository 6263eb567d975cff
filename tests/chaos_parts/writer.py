"""A program that writes through one daemon's socket all the time, a little of everything.

Knows: keys, redis-py, the ledger. Promises: no write is repeated, so that each is there once at most; it says in
`failure` what should not have happened. Must not know: other daemons, faults.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.exceptions import BusyLoadingError, RedisError

from daemon.demo.clients import AWAY, as_map, connect
from tests.chaos_parts.ledger import Kind, Ledger
from tests.chaos_parts.verdict import fill

ANSWER_WITHIN = 40.0
"""Seconds; longer than any pause: a write that is given up could be done after the next one."""
FILL = 16 * 1024
"""Bytes of a large value: they make the log outgrow its budget."""
MEMBER = "m"
"""The one member of each sorted set."""
LIFETIME = 30 * 86_400
"""Seconds; longer than any run, and than most of what clocks are off by."""
_RETRY = 0.1
_SHARED = 3
"""Counters, sets and registers that all clients of a round write."""
_ELEMENTS = 1_000_000
"""Elements of one client, so that no two clients write the same."""


class Program(threading.Thread):
    """What writers and readers share: steps until told to stop, and waiting for a daemon that is away."""

    def __init__(self, name: str, replica: str, socket: Path, ledger: Ledger, seed: str, pause: float) -> None:
        super().__init__(name=name, daemon=True)
        self.replica = replica
        self.failure: str | None = None
        self.ledger = ledger
        self.rng = random.Random(f"{seed}/{name}")
        self._pause = pause
        self._enough = threading.Event()
        self.redis = connect(socket, ANSWER_WITHIN)
        self._space = ledger.space

    def stop(self) -> None:
        """It ends after what it is at."""
        self._enough.set()

    def run(self) -> None:
        try:
            self.redis.connection_pool.connection_kwargs["db"] = self._space
            while not self._enough.is_set():
                try:
                    self.step()
                except AWAY:
                    self._wait_until_back()
                self._enough.wait(self.rng.uniform(0.5, 1.5) * self._pause)
        except (RedisError, OSError, AssertionError, ValueError) as error:
            self.failure = f"{self.name} beside {self.replica}: {type(error).__name__}: {error}"
        finally:
            self.redis.close()

    def step(self) -> None:
        """One thing. Raises AWAY."""
        raise NotImplementedError

    def _wait_until_back(self) -> None:
        while not self._enough.is_set():
            try:
                self.redis.dbsize()  # PING is answered before the replica is loaded
                return
            except AWAY:
                self._enough.wait(_RETRY)


class Writer(Program):
    """`number` is unique in the round, `names` are all writers of this space."""

    def __init__(
        self,
        number: int,
        names: list[str],
        replica: str,
        socket: Path,
        ledger: Ledger,
        seed: str,
        pause: float,
        key: str,
    ) -> None:
        super().__init__(names[number], replica, socket, ledger, seed, pause)
        self._number = number
        self.names = names
        self._prefix = key
        self._n = 0
        self._mine: list[tuple[str, int]] = []
        self._followed: dict[str, int] = {}
        self._acts: dict[Callable[[], None], int] = {
            self._add: 4, self._count: 4, self._say: 3, self._pair: 3, self._follow: 1, self._merge: 1,
            self._transact: 3, self._churn: 2, self._remove: 1, self._fill: 2, self._look: 1,
            self._push: 3, self._score: 2, self._mortal: 1, self._leaf: 2,
        }  # fmt: skip

    def step(self) -> None:
        self._n += 1
        self.rng.choices(list(self._acts), list(self._acts.values()))[0]()

    def _key(self, name: str, which: object) -> str:
        return f"{self._prefix}:{name}:{which}"

    def _some(self) -> int:
        return self.rng.randrange(_SHARED)

    def _do(self, kind: Kind, key: str, what: int, command: Callable[[], Any]) -> Any:
        """One write, once. Raises AWAY; then nobody knows whether it was done, unless the daemon was only loading."""
        write = self.ledger.begin(kind, key, what, self.name, self.replica)
        try:
            reply = command()
        except BusyLoadingError:
            self.ledger.writes.remove(write)
            raise
        write.acknowledged = time.monotonic()
        return reply

    # What it writes.

    def _add(self) -> None:
        key, element = self._key("set", self._some()), self._number * _ELEMENTS + self._n
        assert self._do(Kind.ADD, key, element, lambda: self.redis.sadd(key, element)) == 1, "a new element was not new"
        self._mine.append((key, element))

    def _look(self) -> None:
        """What this daemon has acknowledged is there, also after its kill."""
        if self._mine and not self.ledger.losses:
            key, element = self.rng.choice(self._mine)
            assert self.redis.sismember(key, element), f"acknowledged {element} of {key} is gone on {self.replica}"

    def _count(self) -> None:
        key, by = self._key("count", self._some()), self.rng.choice((1, 2, 5, 11, 100))
        if self.rng.random() < 0.5:
            self._do(Kind.COUNT, key, by, lambda: self.redis.incrby(key, by))
        else:
            self._do(Kind.COUNT, key, -by, lambda: self.redis.decrby(key, by))

    def _say(self) -> None:
        key = self._key("say", self.name)
        self._do(Kind.SAY, key, self._n, lambda: self.redis.execute_command("GSET.ADD", key, self._n))

    def _pair(self) -> None:
        """The cause, then the effect."""
        for name in ("x", "y"):
            self._rise(self._key(name, self.name), self._n)

    def _follow(self) -> None:
        """An effect of what another wrote, perhaps elsewhere."""
        other = self.rng.choice(self.names)
        seen = int(self.redis.get(self._key("y", other)) or 0)
        if seen >= self._followed.get(other, 0):  # less is seen on a disk that went back
            self._followed[other] = seen
            self._rise(self._key("z", f"{other}:{self.name}"), seen)

    def _rise(self, key: str, n: int) -> None:
        self._do(Kind.LAST, key, n, lambda: self.redis.set(key, n))

    def _merge(self) -> None:
        """Reads what is side by side, merges it, adds a number of its own, and replaces what it read."""
        key = self._key("merge", self._some())
        context, merged = siblings(self.redis, key)
        merged[self.name] = self._n
        words = ["MV.SET", key, json.dumps(merged), *(("CONTEXT", context) if context else ())]
        self._do(Kind.MERGE, key, self._n, lambda: self.redis.execute_command(*words))

    def _transact(self) -> None:
        one, two, up, down = (self._key(name, self.name) for name in ("t1", "t2", "up", "down"))
        writes = [
            self.ledger.begin(kind, key, what, self.name, self.replica)
            for kind, key, what in ((Kind.LAST, one, self._n), (Kind.LAST, two, self._n), (Kind.COUNT, up, 3),
                                    (Kind.COUNT, down, -3))
        ]  # fmt: skip
        with self.redis.pipeline(transaction=True) as all_:
            all_.set(one, self._n).incrby(up, 3).set(two, self._n).decrby(down, 3)
            all_.execute()
        for write in writes:
            write.acknowledged = time.monotonic()

    def _churn(self) -> None:
        key = self._key("churn", self.name)
        self.redis.sadd(key, self._n)

    def _remove(self) -> None:
        key = self._key("churn", self.rng.choice(self.names))
        element = self.redis.srandmember(key)
        if element is None:
            return
        write = self.ledger.begin(Kind.REMOVE, key, int(element), self.name, self.replica)
        if self.redis.srem(key, element):
            write.acknowledged = time.monotonic()

    def _fill(self) -> None:
        key = self._key("fill", self.name)
        self._do(Kind.FILL, key, self._n, lambda: self.redis.set(key, fill(key, self._n, FILL)))

    def _push(self) -> None:
        key, element = self._key("list", self._some()), self._number * _ELEMENTS + self._n
        self._do(Kind.PUSH, key, element, lambda: self.redis.rpush(key, element))

    def _score(self) -> None:
        key, by = self._key("score", self._some()), self.rng.choice((1, 3, 7, -2))
        self._do(Kind.SCORE, key, by, lambda: self.redis.zincrby(key, by, MEMBER))

    def _mortal(self) -> None:
        key = self._key("mortal", self.name)
        self._do(Kind.MORTAL, key, self._n, lambda: self.redis.set(key, self._n, ex=LIFETIME))

    def _leaf(self) -> None:
        key = self._key("leaf", self.name)
        known = self.redis.exists(key)
        words = ("$.n", str(self._n)) if known else ("$", json.dumps({"n": self._n}))
        self._do(Kind.LEAF, key, self._n, lambda: self.redis.execute_command("JSON.SET", key, *words))


def siblings(client: Any, key: str) -> tuple[Any, dict[str, int]]:
    """The context of a register, and the highest number of each writer in any of its values."""
    # Contexts are bytes, whatever the client is told about text.
    reply = client.execute_command("MV.GET", key, NEVER_DECODE=True)
    merged: dict[str, int] = {}
    if reply is None:
        return b"", merged
    found = as_map(reply)
    for sibling in found[b"siblings"]:
        for name, n in json.loads(as_map(sibling)[b"value"]).items():
            merged[name] = max(n, merged.get(name, 0))
    return found[b"context"], merged
