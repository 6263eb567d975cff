"""What the programs were promised: every write that a daemon acknowledged.

Knows: the writes, and those whose reply was lost and which nobody can be sure of. Promises: safe from any thread.
Must not know: daemons.
"""

from __future__ import annotations

import threading


class Ledger:
    """The account of all programs together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.writes = 0
        """Acknowledged commands and transactions, in all."""
        self.unsure = 0
        """Writes whose reply was lost: done or not, nobody was told."""
        self.added: set[str] = set()
        """Tasks."""
        self.repeated: set[str] = set()
        """Tasks whose adding was repeated because a reply was lost: they may have been added twice."""
        self.claimed: set[str] = set()
        self.finished: set[str] = set()
        self.counted = 0
        """Sum of the acknowledged increments."""
        self.perhaps_counted = 0
        """Sum of the increments whose reply was lost."""
        self.statuses: dict[str, tuple[str, ...]] = {}
        """Per agent what its status may be: the last acknowledged one first, then those in doubt since."""
        self.settings: set[str] = set()
        """Acknowledged values of the disputed setting."""

    def add(self, task: str, repeated: bool) -> None:
        """A task was added."""
        with self._lock:
            self.writes += 1
            self.added.add(task)
            if repeated:
                self.repeated.add(task)

    def claim(self, task: str) -> None:
        """A task was taken from the open ones."""
        with self._lock:
            self.writes += 1
            self.claimed.add(task)

    def finish(self, task: str, agent: str, status: str) -> None:
        """A task was done, counted and told of, in one transaction."""
        with self._lock:
            self.writes += 1
            self.finished.add(task)
            self.counted += 1
            self.statuses[agent] = (status,)

    def doubt(self) -> None:
        """A reply was lost, of a write that may be repeated."""
        with self._lock:
            self.unsure += 1

    def doubt_finish(self, agent: str, status: str) -> None:
        """The reply to such a transaction was lost."""
        with self._lock:
            self.unsure += 1
            self.perhaps_counted += 1
            self.statuses[agent] = (*self.statuses.get(agent, ()), status)

    def tell(self, agent: str, status: str) -> None:
        """A status was set."""
        with self._lock:
            self.writes += 1
            self.statuses[agent] = (status,)

    def doubt_tell(self, agent: str, status: str) -> None:
        """The reply to that was lost."""
        with self._lock:
            self.unsure += 1
            self.statuses[agent] = (*self.statuses.get(agent, ()), status)

    def set(self, value: str) -> None:
        """The disputed setting was set."""
        with self._lock:
            self.writes += 1
            self.settings.add(value)
