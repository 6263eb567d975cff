"""What the nemesis will do in one round, all of it drawn from a seed beforehand.

Knows: faults, whom they strike, how long they last. Promises: the same arguments give the same acts; nobody is struck
by two faults of one sort at a time; every fault ends within the round. Must not know: how anything is done.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

BROKER = "broker"
LEAST_GAP, MOST_GAP = 0.2, 2.0
"""Seconds between two beginnings."""


class Fault(Enum):
    """A word for it, what it takes hold of, and the seconds that it lasts."""

    SILENT = ("silent cut", "way", 1.0, 12.0)
    RESET = ("reset", "way", 0.2, 6.0)
    MUTE = ("one-way cut: nothing leaves", "way", 1.0, 12.0)
    DEAF = ("one-way cut: nothing arrives", "way", 1.0, 12.0)
    HALF_OPEN = ("half-open link: the daemon is not told", "way", 1.0, 12.0)
    KILL = ("kill -9", "process", 0.3, 3.0)
    RESTART = ("clean restart", "process", 0.1, 1.0)
    PAUSE = ("SIGSTOP", "process", 0.3, 6.0)
    FULL = ("full disk", "process", 0.5, 3.0)
    RESTORE = ("restored backup", "process", 0.3, 3.0)
    LOSE = ("lost disk", "process", 0.3, 3.0)
    COPY = ("copied directory, both run", "process", 0.3, 2.0)
    SKEW = ("wrong clock", "clock", 1.0, 15.0)
    BROKER_KILL = ("kill -9 of the broker", BROKER, 0.1, 4.0)
    BROKER_SMALL = ("broker with small queues", BROKER, 0.1, 2.0)

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def grip(self) -> str:
        return self.value[1]


# Restarts of processes cost a whole second of CPU each, and the broker's strikes everybody.
_OFTEN = {
    Fault.KILL: 3, Fault.RESTART: 1, Fault.RESTORE: 1, Fault.LOSE: 1, Fault.COPY: 1, Fault.BROKER_KILL: 1,
    Fault.BROKER_SMALL: 1,
}  # fmt: skip
_ONCE = frozenset((Fault.RESTORE, Fault.LOSE, Fault.COPY))
"""At most once in a round: a copy is one more daemon, and what was lost leaves the account less to look at."""
_SKEWS = (-3600.0, -90.0, -5.0, 5.0, 45.0, 90.0, 3600.0, 10.0 * 86_400)
"""Seconds; some beyond `max_drift`, some below."""


@dataclass(frozen=True, slots=True)
class Act:
    """A fault that strikes `victim` at `at` and is undone at `until`, in seconds since the round began."""

    at: float
    until: float
    fault: Fault
    victim: str
    skew: float = 0.0
    """Seconds by which a clock is wrong."""


def draw(
    seed: str,
    seconds: float,
    names: Sequence[str],
    ways: Sequence[str] = (),
    brokers: Sequence[str] = (BROKER,),
    faults: Sequence[Fault] = tuple(Fault),
) -> tuple[Act, ...]:
    """The acts of a round, by their beginnings; without `ways` each daemon has one, of its name.

    Acts of other faults than these are drawn as well and left out: a seed is the same storm on every machine.
    """
    victims = {"process": names, "clock": names, "way": ways or names, BROKER: brokers}
    left = list(Fault)
    rng = random.Random(seed)
    free: dict[tuple[str, str], float] = {}
    acts: list[Act] = []
    at = rng.uniform(LEAST_GAP, MOST_GAP)
    while at < seconds:
        fault = rng.choices(left, [_OFTEN.get(fault, 2) for fault in left])[0]
        victim = rng.choice(victims[fault.grip])
        skew = rng.choice(_SKEWS) if fault is Fault.SKEW else 0.0
        shortest, longest = fault.value[2:]
        until = min(at + rng.uniform(shortest, longest), seconds)
        if free.get((fault.grip, victim), 0.0) <= at:
            if fault in faults:
                acts.append(Act(at, until, fault, victim, skew))
            if fault in _ONCE:
                left.remove(fault)
            # A daemon that was just started gets a moment, or it would never come to anything.
            free[fault.grip, victim] = until + (1.0 if fault.grip == "process" else 0.0)
        at += rng.uniform(LEAST_GAP, MOST_GAP)
    return tuple(acts)
