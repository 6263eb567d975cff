"""What the programs of a round wrote, and what they were told of it.

Knows: writes, replies, kills. Promises: a write is begun before it is sent, so that nothing can appear that was not
attempted; each entry is changed by one thread only. Must not know: daemons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a write promises once it is acknowledged."""

    ADD = "element of a set"
    SAY = "element of a grow-only set"
    REMOVE = "removal that stays"
    COUNT = "increment or decrement"
    LAST = "value that only rises, of one writer"
    MERGE = "merge of siblings"
    FILL = "large value"
    PUSH = "element of a list"
    SCORE = "increment of a score"
    MORTAL = "value with a lifetime, of one writer"
    LEAF = "leaf of a JSON document, of one writer"


@dataclass(slots=True)
class Write:
    """One write. `what` is the element, the amount, the value; for MERGE of a key it is the writer's number."""

    kind: Kind
    key: str
    what: int
    by: str
    """The client."""
    replica: str
    acknowledged: float | None = None
    """When (time.monotonic); None: in flight, or the reply was lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What this replica acknowledged in this time may have been lost: not yet synced, or only on a lost disk."""

    replica: str
    since: float
    until: float


@dataclass(slots=True)
class Ledger:
    """One space, one round."""

    space: int
    writes: list[Write] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    rolled: set[str] = field(default_factory=set)
    """Replicas whose disk went back or was lost: what their writers wrote before and after may be concurrent."""
    said: dict[str, list[Write]] = field(default_factory=dict)
    """The writes of kind SAY by key: readers look at them all the time."""

    def begin(self, kind: Kind, key: str, what: int, by: str, replica: str) -> Write:
        """It is about to be sent."""
        write = Write(kind, key, what, by, replica)
        self.writes.append(write)  # one operation of the interpreter: no lock
        if kind is Kind.SAY:
            self.said.setdefault(key, []).append(write)
        return write

    def kept(self, write: Write) -> bool:
        """Whether it was acknowledged, and has to be there for ever."""
        at = write.acknowledged
        if at is None:
            return False
        return not any(loss.replica == write.replica and loss.since <= at <= loss.until for loss in self.losses)

    def of(self, kind: Kind) -> Iterator[Write]:
        """All of a kind, in order of their beginning."""
        return (write for write in self.writes if write.kind is kind)

    @property
    def acknowledged(self) -> int:
        """How many."""
        return sum(write.acknowledged is not None for write in list(self.writes))
