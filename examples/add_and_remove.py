"""One agent adds a task while another removes it: the addition survives, because the removal had not seen it.

A removal takes what its writer has seen, and nothing else. So it also stays removed for everybody who was away: there
is no tombstone that could be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import sets
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    sets.add(ada, b"todo", [b"deploy"])
    meet()
    sets.add(ada, b"todo", [b"deploy"])  # once more, for a new reason
    sets.remove(bob, b"todo", [b"deploy"])
    meet()
    assert sets.contains(cyd, b"todo", b"deploy")
    sets.remove(cyd, b"todo", [b"deploy"])  # this one has seen it
    meet()
    assert not sets.contains(ada, b"todo", b"deploy")
    return "added while removed: kept; removed by one who saw it: gone"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.sadd("todo", "deploy")
    meet()
    ada.sadd("todo", "deploy")
    bob.srem("todo", "deploy")
    meet()
    assert cyd.sismember("todo", "deploy")
    cyd.srem("todo", "deploy")
    meet()
    assert not ada.sismember("todo", "deploy")
    return "added while removed: kept; removed by one who saw it: gone"
