"""Three agents share a list of tasks: each adds, one finishes, nobody waits for anybody.

A set of names, and a hash for each task. Two agents add the same task: it is there once. One finishes a task while
another notes something on it: both are kept, because they touch different fields.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.types import hashes, sets
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    sets.add(ada, b"tasks", [b"crawl", b"index"])
    sets.add(bob, b"tasks", [b"index", b"report"])
    hashes.put(cyd, b"task:index", [(b"status", b"open")])
    meet()
    hashes.put(ada, b"task:index", [(b"status", b"done")])
    hashes.put(bob, b"task:index", [(b"note", b"took two hours")])
    sets.remove(cyd, b"tasks", [b"crawl"])
    meet()
    assert set(sets.members(bob, b"tasks")) == {b"index", b"report"}
    assert dict(hashes.items(cyd, b"task:index")) == {b"status": b"done", b"note": b"took two hours"}
    return "two tasks left, one done, with a note"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.sadd("tasks", "crawl", "index")
    bob.sadd("tasks", "index", "report")
    cyd.hset("task:index", "status", "open")
    meet()
    ada.hset("task:index", "status", "done")
    bob.hset("task:index", "note", "took two hours")
    cyd.srem("tasks", "crawl")
    meet()
    assert bob.smembers("tasks") == {b"index", b"report"}
    assert cyd.hgetall("task:index") == {b"status": b"done", b"note": b"took two hours"}
    return "two tasks left, one done, with a note"
