"""A daemon of the simulator, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crdt.dots import Actor
from crdt.replica.effects import Persist
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from tests.simulation.disk import Disk
from tests.simulation.oracle import Counted
from tests.simulation.plan import Action


@dataclass(eq=False)
class Node:
    """One daemon: its disk, and its process while that runs. `life` counts the processes."""

    index: int
    name: str
    tuning: Tuning
    disk: Disk
    skew_ms: int = 0
    life: int = 0
    replica: Replica | None = None
    connected: bool = False
    gone: bool = False  # it has left for good
    boot: int = 0
    witness: tuple[int, int, int, int] | None = None  # serial of the disk, boot, nonce, seq
    paused_until: float = 0.0
    backlog: list[tuple[int, Any]] = field(default_factory=list)  # (life, event) that came during a pause
    crash_in: int | None = None  # effects until the process is killed
    crash: Action = ()
    queue: list[Persist] = field(default_factory=list)
    armed: float = float("inf")
    commit_due: bool = False
    order: int = 0  # of local operations, over all lives
    pending: list[Counted] = field(default_factory=list)
    notes: dict[int, list[tuple[int, Counted]]] = field(default_factory=dict)  # by batch, until it is stored
    durable: dict[Actor, int] = field(default_factory=dict)
    reached: dict[Actor, int] = field(default_factory=dict)  # the most that ever was durable here
    sum_seen: int = 0
    checkpoint: Any = None

    def __str__(self) -> str:
        return f"{self.name}#{self.index}"
