"""Whether everything acknowledged survived: the ledger against what each replica says at the end.

Knows: what each promise means on a replica. Promises: pure; a write in doubt counts neither as lost nor as kept.
Must not know: how replicas are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.demo.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reading:
    """What one replica says."""

    replica: str
    hash: str
    open: frozenset[str]
    doing: frozenset[str]
    done: frozenset[str]
    completed: int
    statuses: dict[str, str]
    disputed: frozenset[str]
    """Values of the disputed setting before it was settled."""
    setting: str | None
    """After."""


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of write: how many were acknowledged, how many of them every replica has."""

    kind: str
    acknowledged: int
    surviving: int
    note: str = ""
    wrong: str = ""
    """What is not as it should be although nothing is missing; empty if all is well."""

    @property
    def good(self) -> bool:
        return self.surviving == self.acknowledged and not self.wrong


@dataclass(frozen=True, slots=True)
class Verdict:
    """The account."""

    lines: tuple[Line, ...]
    hashes: dict[str, str]

    @property
    def converged(self) -> bool:
        """All replicas have one state."""
        return len(set(self.hashes.values())) == 1

    @property
    def kept(self) -> bool:
        """Nothing acknowledged was lost, and nothing came up that nobody wrote."""
        return all(line.good for line in self.lines)


def judge(ledger: Ledger, readings: Sequence[Reading], settled: str) -> Verdict:
    """`readings` of all replicas; `settled` is what the dispute was settled to. Call it when nobody writes any more."""
    lines = (
        _added(ledger, readings),
        _claimed(ledger, readings),
        _finished(ledger, readings),
        _counted(ledger, readings),
        _statuses(ledger, readings),
        _disputed(ledger, readings),
        Line("dispute settled", 1, min(int(reading.setting == settled) for reading in readings), f"to {settled!r}"),
    )
    return Verdict(lines, {reading.replica: reading.hash for reading in readings})


def _least(wanted: set[str], found: Sequence[frozenset[str]]) -> int:
    """How many of the wanted the worst replica has."""
    return min(len(wanted & have) for have in found)


def _added(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    found = [reading.open | reading.doing | reading.done for reading in readings]
    left = max(len(reading.open | reading.doing) for reading in readings)
    return Line("tasks added", len(ledger.added), _least(ledger.added, found), f"{left} not done yet" if left else "")


def _claimed(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    # A task that was perhaps added twice may have come back after it was taken: the second adding wins.
    taken = ledger.claimed - ledger.repeated
    gone = min(len(taken - reading.open) for reading in readings)
    return Line("tasks claimed", len(taken), gone, "taken off the open list, and not back")


def _finished(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    twice = ledger.counted - len(ledger.finished)
    least = _least(ledger.finished, [reading.done for reading in readings])
    return Line("tasks done", len(ledger.finished), least, f"{twice} of them on both sides" if twice > 0 else "")


def _counted(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    least = min(reading.completed for reading in readings)
    most = max(reading.completed for reading in readings)
    limit = ledger.counted + ledger.perhaps_counted
    note = ""
    if ledger.perhaps_counted:
        note = f"counter {least}; {ledger.counted} to {limit} is exact, as {_replies(ledger.perhaps_counted)} lost"
    wrong = f"the counter says {most}, more than the {limit} that were made" if most > limit else ""
    return Line("increments", ledger.counted, min(ledger.counted, least), note, wrong)


def _replies(number: int) -> str:
    return "1 reply was" if number == 1 else f"{number} replies were"


def _statuses(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    right = min(
        sum(reading.statuses.get(agent) in allowed for agent, allowed in ledger.statuses.items())
        for reading in readings
    )
    return Line("agents' statuses", len(ledger.statuses), right, "the last of each agent")


def _disputed(ledger: Ledger, readings: Sequence[Reading]) -> Line:
    least = _least(ledger.settings, [reading.disputed for reading in readings])
    return Line("disputed setting", len(ledger.settings), least, "both values kept side by side")
