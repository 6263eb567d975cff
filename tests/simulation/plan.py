"""What happens in one simulated history, drawn from a seed: which faults exist, and a list of timed actions.

A plan is plain data, so that a failing one can be shrunk: actions are left out one by one, faults are switched off.
Every random choice that an action needs is in the action.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.simulation import mortal, ordered, slow, writes

Action = tuple[Any, ...]  # (time in seconds, what, node, ...)

FAULTS = (
    "loss", "duplication", "reordering", "partition", "broker", "crash", "power", "prune", "checkpoint", "pause",
    "clock", "small", "big", "restore", "copy", "twin", "echo", "lazy", "unsynced", "interval", "wait",
)  # fmt: skip
DEFECT = (
    "defect"  # replicas are damaged once they are equal; drawn apart from the others, whose histories stay as they are
)
KEYS = 3


@dataclass(frozen=True)
class Plan:
    """One history. `faults` are those that exist in it."""

    seed: int
    nodes: int
    duration: float
    faults: frozenset[str]
    actions: tuple[Action, ...]

    def has(self, fault: str) -> bool:
        """Whether the fault exists in this history."""
        return fault in self.faults

    def without(self, fault: str) -> Plan:
        """The same history without one fault."""
        return replace(self, faults=self.faults - {fault})


def draw(seed: int, always: tuple[str, ...] = (), operations: int = 45) -> Plan:
    """The plan of a seed; with `always`, these faults exist besides those that the seed draws."""
    rng = Random(seed)
    chance = {"twin": 0.25, "big": 0.25, "small": 0.25}
    faults = frozenset(f for f in FAULTS if rng.random() < chance.get(f, 0.45)) | frozenset(always)
    if Random(~seed).random() < 0.25:
        faults |= {DEFECT}
    nodes, duration = rng.choice([2, 3, 3, 3, 4]), rng.choice([1.0, 2.0, 4.0])
    actions: list[Action] = []
    for _ in range(rng.randrange(operations // 2, operations)):
        actions.append((rng.uniform(0, duration), "write", rng.randrange(nodes), *_write(rng, "big" in faults)))
    for what, most in (("partition", 3), ("broker", 1), ("crash", 4), ("power", 2), ("prune", 6), ("checkpoint", 4),
                       ("pause", 2), ("clock", 3), ("restore", 2), ("copy", 1), ("twin", 1), ("wait", 3)):  # fmt: skip
        if what in faults:
            actions += [_fault(rng, what, nodes, duration) for _ in range(rng.randint(1, most))]
    if "unsynced" in faults:
        actions += [(rng.uniform(0, duration), "sync", rng.randrange(nodes)) for _ in range(6)]
    if "restore" in faults or "copy" in faults or "twin" in faults:
        actions += [(rng.uniform(0, duration), "backup", rng.randrange(nodes)) for _ in range(3)]
    if mortal.drawn(seed) or mortal.FEATURE in always:
        faults |= {mortal.FEATURE}
        actions += mortal.actions(seed, nodes, duration)
    if ordered.drawn(seed):
        actions += ordered.actions(seed, nodes, duration)
    if seed % 3 == 2:
        actions += writes.documents_in(seed, nodes, duration)
    if seed % 5 == 1:
        actions += writes.streams_in(seed, nodes, duration)
    if slow.drawn(seed) or slow.FEATURE in always:
        faults |= {slow.FEATURE}
        actions += slow.actions(seed, nodes, duration)
    return Plan(seed, nodes, duration, faults, tuple(sorted(actions, key=lambda action: action[0])))


def _write(rng: Random, big: bool) -> tuple[Any, ...]:
    kind = rng.choice(("sadd", "sadd", "srem", "set", "incr", "incr", "number", "del", "hset", "hincr", "hdel",
                       "flag", "unflag", "link", "pair", "unpair", "delset", "burst", "grow", "zadd",
                       "zincr", "zrem"))  # fmt: skip
    key = rng.randrange(KEYS)
    if kind == "burst":
        return "burst", key, rng.randrange(1000), (rng.choice([100, 300]) if big else rng.choice([3, 70]))
    return kind, key, rng.randrange(6), rng.randrange(-3, 9)


def _fault(rng: Random, what: str, nodes: int, duration: float) -> Action:
    at, node = rng.uniform(0, duration), rng.randrange(nodes)
    length = rng.choice([0.05, 0.3, 1.0, 2.0])
    if what == "partition":
        pairs = [(a, b) for a in range(nodes) for b in range(nodes) if a != b and rng.random() < 0.5]
        if rng.random() < 0.6:
            side = {n for n in range(nodes) if rng.random() < 0.5}
            pairs = [(a, b) for a in range(nodes) for b in range(nodes) if (a in side) != (b in side)]
        return (at, what, node, tuple(pairs), length)
    if what in ("crash", "power"):
        return (at, what, node, rng.choice([0, 0, 1, 2, 3, 5, 8]), length, rng.random())
    if what == "prune":
        return (at, what, node, rng.choice([1, 3, 10, 1000]))
    if what == "clock":
        return (at, what, node, rng.choice([-10_000, -500, 500, 10_000, 3_600_000, 315_360_000_000]))
    if what in ("copy", "twin"):
        return (at, what, node, rng.randrange(nodes), length)
    return (at, what, node, length)
