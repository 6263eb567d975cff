"""A small knowledge graph: facts that only grow, facts that are disputed, edges that come and go.

A fact is a field of a subject's hash. Two agents that believe different things do not overwrite each other: the graph
shows one and keeps both, and `CRDT.CONFLICTS` lists what is disputed. An edge is a member of a set.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import conflicts, hashes, sets
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    sets.add(ada, b"seen", [b"paris is in france"], sets.GROW)
    sets.add(bob, b"seen", [b"france has 13 regions"], sets.GROW)
    hashes.put(ada, b"paris", [(b"population", b"2.1 million")])
    hashes.put(bob, b"paris", [(b"population", b"11 million"), (b"river", b"seine")])
    sets.add(cyd, b"edges", [b"paris capital-of france", b"paris capital-of gaul"])
    meet()
    sets.remove(ada, b"edges", [b"paris capital-of gaul"])
    sets.add(bob, b"edges", [b"seine flows-through paris"])
    meet()
    for replica in replicas:
        assert len(sets.members(replica, b"seen", sets.GROW)) == 2
        assert {s.value for s in hashes.siblings(replica, b"paris", b"population") or []} == {
            b"2.1 million",
            b"11 million",
        }
        assert set(sets.members(replica, b"edges")) == {b"paris capital-of france", b"seine flows-through paris"}
        assert conflicts.count(replica) == 1
    return "two facts, two edges, one dispute"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.execute_command("GSET.ADD", "seen", "paris is in france")
    bob.execute_command("GSET.ADD", "seen", "france has 13 regions")
    ada.hset("paris", "population", "2.1 million")
    bob.hset("paris", mapping={"population": "11 million", "river": "seine"})
    cyd.sadd("edges", "paris capital-of france", "paris capital-of gaul")
    meet()
    ada.srem("edges", "paris capital-of gaul")
    bob.sadd("edges", "seine flows-through paris")
    meet()
    for agent in agents:
        assert agent.execute_command("GSET.CARD", "seen") == 2
        assert agent.smembers("edges") == {b"paris capital-of france", b"seine flows-through paris"}
        disputed = agent.execute_command("CRDT.CONFLICTS", "MATCH", "paris")
        assert [(dispute[b"key"], dispute[b"where"]) for dispute in disputed] == [(b"paris", b"population")]
    return "two facts, two edges, one dispute"
