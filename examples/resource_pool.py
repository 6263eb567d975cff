"""A pool of resources: one agent puts 10 in, another takes 3 out at the same time. 7 are left, everywhere.

Both work on what they see, without a lock: increments and decrements add up. What no replicated counter can promise is
that the pool never goes below zero: two agents that both see one last unit can both take it. The sum then says so.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import counters, strings
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    counters.incr(ada, b"pool", 10)
    counters.incr(bob, b"pool", -3)
    meet()
    assert strings.get(cyd, b"pool") == b"7"
    return "7 left"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.incrby("pool", 10)
    bob.decrby("pool", 3)
    meet()
    assert cyd.get("pool") == b"7"
    return "7 left"
