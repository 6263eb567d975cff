"""Scenes to draw."""

from __future__ import annotations

from daemon.demo.observer import Distance, Glimpse
from daemon.demo.plan import Phase, make_plan
from daemon.demo.scene import Scene


def scene(
    replicas: int = 3, phase: Phase = Phase.PARTED, *, cut: bool = True, equal: bool = False, down: str | None = None
) -> Scene:
    """All replicas far apart, or all equal."""
    plan = make_plan(30, replicas, 1)
    glimpses = {}
    for i, name in enumerate(plan.replicas):
        peers = tuple(
            Distance(peer, "online", 0 if equal else 12345, 0 if equal else 678)
            for peer in plan.replicas
            if peer != name
        )
        digits = "ab" * 16 if equal else f"{i:x}" * 32
        glimpses[name] = Glimpse("ready", digits, 40, 6, 12345, 12345, 6, "connected", peers)
    if down:
        glimpses[down] = Glimpse("down")
    return Scene(plan, phase, 12.34, 0.5, glimpses, cut, 1234, 1)
