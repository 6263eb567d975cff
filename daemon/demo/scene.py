"""What there is to see at one moment, for whoever shows it. Must not know: how it is shown, how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from daemon.demo.observer import Glimpse
from daemon.demo.plan import Phase, Plan


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment."""

    plan: Plan
    phase: Phase
    elapsed: float
    """Seconds since the beginning."""
    progress: float
    """Of the phase, 0 to 1; a phase without a fixed length stays at 0."""
    glimpses: Mapping[str, Glimpse]
    """By replica."""
    cut: bool
    """Whether the plan's cuts are in force."""
    writes: int
    """Acknowledged so far."""
    unsure: int

    @property
    def equal(self) -> bool:
        """Whether all replicas have shown one hash."""
        hashes = {glimpse.hash for glimpse in self.glimpses.values()}
        return len(hashes) == 1 and "" not in hashes

    def shows(self, state: str) -> bool:
        """Whether all replicas have shown this hash, and know that their peers are level."""
        glimpses = self.glimpses.values()
        level = not any(peer.lag or peer.behind for glimpse in glimpses for peer in glimpse.peers)
        return level and {glimpse.hash for glimpse in glimpses} == {state}

    def link(self, replica: str) -> str:
        """The way of a replica to the broker, in a word."""
        return f"cut, {self.plan.cuts[replica].value}" if self.cut and replica in self.plan.cuts else "open"


class View(Protocol):
    """Shows scenes and sentences."""

    def show(self, scene: Scene) -> None:
        """Called several times a second."""
        ...

    def say(self, elapsed: float, text: str) -> None:
        """Something happened."""
        ...

    def close(self) -> None:
        """Nothing more is shown."""
        ...
