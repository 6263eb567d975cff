"""A task with status, owner, observations, artifacts and priority, worked on by three agents at once.

Each part has the type that merges as it should: status and owner are registers (the later wins, both can be read),
priority is a number that votes add up in, observations only grow, artifacts are added and withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import hashes, sets
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    hashes.put(ada, b"task:7", [(b"status", b"open"), (b"owner", b"nobody"), (b"priority", b"1")])
    sets.add(ada, b"task:7:artifacts", [b"draft.md"])
    meet()
    hashes.put(bob, b"task:7", [(b"status", b"working"), (b"owner", b"bob")])
    hashes.incr(ada, b"task:7", b"priority", 2)
    hashes.incr(cyd, b"task:7", b"priority", 3)
    sets.add(bob, b"task:7:observations", [b"the index is stale"], sets.GROW)
    sets.add(cyd, b"task:7:observations", [b"so is the cache"], sets.GROW)
    sets.add(bob, b"task:7:artifacts", [b"patch.diff"])
    sets.remove(cyd, b"task:7:artifacts", [b"draft.md"])
    meet()
    for replica in replicas:
        task = dict(hashes.items(replica, b"task:7"))
        assert task == {b"status": b"working", b"owner": b"bob", b"priority": b"6"}
        assert len(sets.members(replica, b"task:7:observations", sets.GROW)) == 2
        assert set(sets.members(replica, b"task:7:artifacts")) == {b"patch.diff"}
    return "bob works on it, priority 6, two observations, one artifact"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.hset("task:7", mapping={"status": "open", "owner": "nobody", "priority": 1})
    ada.sadd("task:7:artifacts", "draft.md")
    meet()
    with bob.pipeline(transaction=True) as both:  # the others see both or neither
        both.hset("task:7", mapping={"status": "working", "owner": "bob"}).sadd("task:7:artifacts", "patch.diff")
        both.execute()
    ada.hincrby("task:7", "priority", 2)
    cyd.hincrby("task:7", "priority", 3)
    bob.execute_command("GSET.ADD", "task:7:observations", "the index is stale")
    cyd.execute_command("GSET.ADD", "task:7:observations", "so is the cache")
    cyd.srem("task:7:artifacts", "draft.md")
    meet()
    for agent in agents:
        assert agent.hgetall("task:7") == {b"status": b"working", b"owner": b"bob", b"priority": b"6"}
        assert agent.execute_command("GSET.CARD", "task:7:observations") == 2
        assert agent.smembers("task:7:artifacts") == {b"patch.diff"}
    return "bob works on it, priority 6, two observations, one artifact"
