"""Virtual time, and a broker with a network around it that may lose, double, delay and cut.

Knows: what is due when, who is cut off from whom, what is retained. Promises: the same choices for the same plan.
Must not know: what a message says, what a daemon does with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, Final

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.events import Received
from tests.simulation.node import Node
from tests.simulation.oracle import Violation
from tests.simulation.plan import Plan
from tests.simulation.slow import FEATURE as SLOW
from tests.simulation.slow import Links

MAX_EVENTS: Final = 20_000  # of a history; usual are 300


class Network:
    """See the module. What happens to a daemon is for the subclass: `_handle`."""

    def __init__(self, plan: Plan, log: list[str] | None = None) -> None:
        self.plan = plan
        self.log = log
        self.now = 0.0
        self.rng = Random(plan.seed * 2 + 1)
        self.nodes: list[Node] = []
        self.blocked: list[tuple[tuple[int, int], ...]] = []
        self.broker_up = True
        self.epoch = 0  # of the broker: what was under way dies with it
        self.faulty = True
        self.retained: dict[str, bytes] = {}
        self.events = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()
        self._latency = self.rng.choice([0.002, 0.02, 0.2]) if plan.has("reordering") else 0.002
        self._loss = self.rng.choice([0.02, 0.1, 0.4])
        self.links = Links(plan.seed, plan.nodes) if plan.has(SLOW) else None

    def _handle(self, node: Node, life: int, event: Any) -> None:
        raise NotImplementedError

    def at(self, time: float, what: Callable[..., None], *args: Any) -> None:
        """Call `what` at this time."""
        heapq.heappush(self._queue, (time, next(self._number), what, args))

    def _loop(self, until: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, what, args = heapq.heappop(queue)
            self.events += 1
            if self.events > MAX_EVENTS:
                raise Violation(f"{self.events} events: a storm of messages, or a deadline that is always due")
            what(*args)
        self.now = until

    def _heal(self, pairs: tuple[tuple[int, int], ...]) -> None:
        if pairs in self.blocked:
            self.blocked.remove(pairs)

    def _spread(self, node: Node, lane: Lane, to: str | None, data: bytes) -> None:
        if lane is Lane.PRESENCE:
            self.retained[node.name] = data
        for other in self.nodes:
            if (to is None and (other is not node or self.plan.has("echo"))) or to == other.name:
                if self.links is not None and to is not None:
                    self.links.sent(to, data)
                if any((node.index, other.index) in pairs for pairs in self.blocked):
                    continue
                if self.faulty and self.plan.has("loss") and self.rng.random() < self._loss:
                    continue
                self._carry(other, node.name, to is not None, data)
                if self.plan.has("duplication") and self.rng.random() < 0.15:
                    self._carry(other, node.name, to is not None, data)

    def _carry(self, to: Node, sender: str, inbox: bool, data: bytes) -> None:
        delay = 0.001 + (self.rng.random() ** 3) * self._latency
        leaves = None
        if self.links is not None:
            if not self.plan.has("reordering"):
                delay = 0.001  # one behind the other
            leaves = self.links.arrives(to, len(data), self.now, self.epoch)
        if leaves is None:
            self.at(self.now + delay, self._arrive, to, self.epoch, Received(sender, inbox, data))
        elif leaves < float("inf"):
            self.at(leaves + delay, self._arrive_at, to, self.epoch, to.life, Received(sender, inbox, data))

    def _arrive(self, node: Node, epoch: int, event: Received) -> None:
        if epoch == self.epoch and node.connected:
            self._handle(node, node.life, event)

    def _arrive_at(self, node: Node, epoch: int, life: int, event: Received) -> None:
        if life == node.life:  # what waited for a connection goes with it
            self._arrive(node, epoch, event)

    def _say(self, line: str) -> None:
        assert self.log is not None
        self.log.append(f"{self.now:8.3f} {line}")

    @staticmethod
    def _short(vector: dict[Actor, int]) -> str:
        return " ".join(f"{actor.name}/{actor.nonce >> 48:x}:{n}" for actor, n in sorted(vector.items()))
