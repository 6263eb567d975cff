"""What will happen in a demo, all of it decided beforehand by the seed.

Knows: names, phases, their share of the time. Promises: the same arguments give the same plan. Must not know: how
anything is done.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from daemon.demo.link import Cut

REPLICAS = {
    "alpha": ("ada", "ben"),
    "beta": ("cleo", "dan"),
    "gamma": ("eve", "finn"),
    "delta": ("gus", "hal"),
    "epsilon": ("ivy", "jon"),
    "zeta": ("kim", "leo"),
    "eta": ("mia", "ned"),
    "theta": ("oli", "pam"),
}
"""Names, and the agents beside each."""
_MOODS = ("careful", "fast", "cheap", "thorough", "quiet", "bold")


class Phase(Enum):
    """The phases, in order: a word for it, and its share of the seconds. The last two take as long as they take."""

    START = ("start", 0.0)
    TOGETHER = ("together", 0.22)
    PARTED = ("parted", 0.26)
    KILLED = ("kill -9", 0.26)
    HEALED = ("healed", 0.22)
    SETTLE = ("converge", 0.0)
    RESOLVE = ("resolve", 0.0)

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def share(self) -> float:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """One demo."""

    seconds: float
    seed: int
    replicas: tuple[str, ...]
    agents: dict[str, str]
    """Agent to the replica beside it."""
    cuts: dict[str, Cut]
    """Who is cut off from the broker, and so from everybody, and how. Never all."""
    victim: str
    """Who is killed: one that is cut off, so that what it acknowledged is on its own disk alone."""
    moods: tuple[str, str]
    """Values of the disputed setting: what the near side writes, and what the victim's side writes."""
    verdict: str
    """What the dispute is settled to."""

    @property
    def near(self) -> tuple[str, ...]:
        """Who still reaches the broker during the partition."""
        return tuple(name for name in self.replicas if name not in self.cuts)

    def agent_of(self, replica: str) -> str:
        """The first agent beside a replica."""
        return next(agent for agent, beside in self.agents.items() if beside == replica)


def make_plan(seconds: float, replicas: int, seed: int) -> Plan:
    """`replicas` from 2 to 8; fewer than half of them, but at least one, are cut off."""
    rng = random.Random(seed)
    names = tuple(REPLICAS)[:replicas]
    agents = {agent: name for name in names for agent in REPLICAS[name]}
    far = sorted(rng.sample(names, max(1, (replicas - 1) // 2)))
    cuts = {name: rng.choice(list(Cut)) for name in far}
    near_mood, far_mood, verdict = rng.sample(_MOODS, 3)
    return Plan(seconds, seed, names, agents, cuts, rng.choice(far), (near_mood, far_mood), verdict)
