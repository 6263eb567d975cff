"""A setting that two agents write at the same time: one value is shown, none is lost, and a third agent decides.

The shown value is the later one by clock; `MV.GET` lists both, with who and when. `MV.SET ... CONTEXT` replaces exactly
what its writer has read: what somebody wrote meanwhile stays beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import redis

from crdt.types import strings
from examples.fleet import Agents
from examples.pocket import Replicas


def library(meet: Callable[[], None], replicas: Replicas) -> str:
    """With `crdt/` alone."""
    ada, bob, cyd = replicas
    strings.put(ada, b"model", b"small")
    strings.put(bob, b"model", b"large")
    meet()
    found = strings.siblings(cyd, b"model") or []
    assert [(s.value, s.origin.name) for s in found] == [(b"large", "bob"), (b"small", "ada")]
    seen = strings.context(cyd, b"model")
    strings.put(ada, b"model", b"tiny")  # while cyd is thinking
    meet()
    strings.put_over(cyd, b"model", b"medium", seen)
    meet()
    assert {s.value for s in strings.siblings(bob, b"model") or []} == {b"medium", b"tiny"}
    return "large and small became medium; tiny, written meanwhile, stands beside it"


def daemons(meet: Callable[[], None], agents: Agents) -> str:
    """With three daemons and any Redis client."""
    ada, bob, cyd = agents
    ada.set("model", "small")
    bob.set("model", "large")
    meet()
    values, seen = _siblings(cyd)
    assert values == {b"small", b"large"}
    ada.set("model", "tiny")
    meet()
    cyd.execute_command("MV.SET", "model", "medium", "CONTEXT", seen)
    meet()
    assert _siblings(bob)[0] == {b"medium", b"tiny"}
    return "large and small became medium; tiny, written meanwhile, stands beside it"


def _siblings(agent: redis.Redis) -> tuple[set[bytes], bytes]:
    """The values side by side, and the context to write over them."""
    found = agent.execute_command("MV.GET", "model")
    return {sibling[b"value"] for sibling in found[b"siblings"]}, found[b"context"]
