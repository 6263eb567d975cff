"""A program that does real work through a daemon's socket, with an ordinary Redis client.

It adds tasks to a shared list, claims some, does them, counts them and says what it is at. It keeps working whatever
happens: without a network its daemon serves on; without its daemon it waits and tries again.

Knows: the keys, and redis-py. Promises: what was acknowledged is in the ledger, what was not is not. Must not know:
other replicas, phases, the network.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from daemon.demo.clients import AWAY, connect
from daemon.demo.ledger import Ledger

T = TypeVar("T")

OPEN, DOING, DONE = "tasks:open", "tasks:doing", "tasks:done"
COMPLETED = "tasks:completed"
STATUS = "agents"
SETTING = "setting:mood"

_BACKLOG = 40
"""Open tasks beyond which nobody adds more."""
_RETRY = 0.05
"""Seconds between two looks for a daemon that is away."""
_PATIENCE = 30.0
"""Seconds after which such a daemon is given up."""


class _Stopped(Exception):
    """The agent was told to stop, or has waited for its daemon in vain."""


class Agent(threading.Thread):
    """One program. `failure` says why it ended, if it was not told to."""

    def __init__(self, name: str, replica: str, socket: Path, ledger: Ledger, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.replica = replica
        self.failure: str | None = None
        self._redis = connect(socket)
        self._ledger = ledger
        self._rng = random.Random(f"{seed}/{name}")
        self._enough = threading.Event()
        self._errands: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tasks = 0
        self._done = 0

    def stop(self) -> None:
        """It ends after what it is at."""
        self._enough.set()

    def decide(self, mood: str) -> None:
        """Makes it write the disputed setting next."""
        self._errands.put(mood)

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._step()
                self._enough.wait(self._rng.uniform(0.02, 0.12))
        except _Stopped:
            pass
        except (RedisError, OSError) as error:
            self.failure = f"{self.name} beside {self.replica}: {type(error).__name__}: {error}"
        finally:
            self._redis.close()

    def _step(self) -> None:
        if not self._errands.empty():
            self._set_mood(self._errands.get())
        elif self._rng.random() < 0.5 and self._read(lambda: self._redis.scard(OPEN)) < _BACKLOG:
            self._add_task()
        elif (task := self._claim()) is not None:
            self._tell(f"at {task}")
            self._enough.wait(self._rng.uniform(0.0, 0.1))  # the work itself
            self._finish(task)

    # What it writes. Each method ends when the write is acknowledged, or proven needless.

    def _add_task(self) -> None:
        self._tasks += 1
        task = f"{self.name}-{self._tasks}"
        repeated = False
        while self._lost(lambda: self._redis.sadd(OPEN, task)):
            self._ledger.doubt()  # adding it again does no harm
            repeated = True
        self._ledger.add(task, repeated)

    def _claim(self) -> str | None:
        """A task that is now this agent's, unless another side of a partition has taken it too."""
        task: str | None = self._read(lambda: self._redis.srandmember(OPEN))
        if task is None:
            return None
        moved = 0

        def move() -> None:
            nonlocal moved
            moved = int(self._redis.smove(OPEN, DOING, task))

        if self._lost(move):
            self._ledger.doubt()
            # Perhaps it was claimed, perhaps by another agent: better done twice than never.
            return task if self._read(lambda: self._redis.sismember(DOING, task)) else None
        if not moved:
            return None
        self._ledger.claim(task)
        return task

    def _finish(self, task: str) -> None:
        status = f"{self._done + 1} done, last {task}"

        def commit() -> None:
            with self._redis.pipeline(transaction=True) as both:
                both.srem(DOING, task).sadd(DONE, task).incr(COMPLETED).hset(STATUS, self.name, status)
                both.execute()

        while self._lost(commit):
            self._ledger.doubt_finish(self.name, status)
            if self._read(lambda: self._redis.sismember(DONE, task)):
                return  # by that transaction, or by another agent: counting again could be once too often
        self._done += 1
        self._ledger.finish(task, self.name, status)

    def _tell(self, status: str) -> None:
        while self._lost(lambda: self._redis.hset(STATUS, self.name, status)):
            self._ledger.doubt_tell(self.name, status)
        self._ledger.tell(self.name, status)

    def _set_mood(self, mood: str) -> None:
        while self._lost(lambda: self._redis.set(SETTING, mood)):
            self._ledger.doubt()
        self._ledger.set(mood)

    # When the daemon is away.

    def _lost(self, write: Callable[[], object]) -> bool:
        """Does the write; True if no reply came, when the daemon is back. Raises _Stopped if it does not come back."""
        try:
            write()
        except AWAY:
            self._wait_until_back()
            return True
        return False

    def _read(self, read: Callable[[], T]) -> T:
        """The reply, sooner or later."""
        while True:
            try:
                return read()
            except AWAY:
                self._wait_until_back()

    def _wait_until_back(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._redis.dbsize()  # PING is answered before the replica is loaded
                return
            except AWAY:
                if time.monotonic() > deadline:
                    raise _Stopped from None
            time.sleep(_RETRY)
