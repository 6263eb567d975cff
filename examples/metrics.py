"""Distributed metrics: every agent counts for itself, the sum is everybody's. 5 + 3 + 7 = 15, and 2 + 5 + 7 = 14.

`GCOUNT` only grows; `INCRBY` also goes down. No increment is lost, none is counted twice, however often and in whatever
order the replicas meet.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import counters, strings
from examples.fleet import Agents
from examples.pocket import Replicas

REQUESTS = (5, 3, 7)
ERRORS = (2, 5, 7)


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    for replica, requests, errors in zip(replicas, REQUESTS, ERRORS, strict=True):
        counters.grow(replica, b"requests", requests)
        counters.incr(replica, b"errors", errors)
    meet()
    meet()  # nothing new: nothing changes
    for replica in replicas:
        assert counters.grown(replica, b"requests") == 15
        assert strings.get(replica, b"errors") == b"14"
    return "15 requests, 14 errors"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    for agent, requests, errors in zip(agents, REQUESTS, ERRORS, strict=True):
        agent.execute_command("GCOUNT.INCR", "requests", requests)
        agent.incrby("errors", errors)
    meet()
    meet()
    for agent in agents:
        assert agent.execute_command("GCOUNT.GET", "requests") == 15
        assert agent.get("errors") == b"14"
    return "15 requests, 14 errors"
