"""Whether everything acknowledged is there, once, on every replica: the ledger against what the replicas say.

Knows: what each kind of write promises. Promises: pure; a write in doubt counts neither as lost nor as kept, and what
nobody attempted is never accepted. Must not know: how replicas are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos_parts.ledger import Kind, Ledger, Write


@dataclass(slots=True)
class Reading:
    """What one replica says of the keys of a ledger."""

    replica: str
    sets: dict[str, set[int]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """Counters and rising values; 0 for a key that is not there."""
    merged: dict[str, dict[str, int]] = field(default_factory=dict)
    """By key the highest number of each writer in any sibling."""
    lists: dict[str, list[int]] = field(default_factory=dict)
    fills: dict[str, str] = field(default_factory=dict)
    """By key the large value."""


@dataclass(slots=True)
class Line:
    """One kind in the summary."""

    kind: Kind
    acknowledged: int = 0
    doubtful: int = 0
    kept: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Line) -> None:
        """Another round or space."""
        self.acknowledged += other.acknowledged
        self.doubtful += other.doubtful
        self.kept += other.kept
        self.wrong += other.wrong


Judge = Callable[[Ledger, str, Sequence[Write], Reading], tuple[int, list[str]]]
"""(ledger, key, its writes, reading) -> (how many of those that have to be there are there, what is wrong)."""


def fill(key: str, number: int, size: int) -> str:
    """A large value that shows whether it is whole."""
    head = f"{key}/{number}/"
    return head + str(number % 10) * (size - len(head))


def judge(ledger: Ledger, readings: Iterable[Reading]) -> dict[Kind, Line]:
    """A line for each kind; `kept` is that of the worst replica."""
    lines = {kind: Line(kind) for kind in Kind}
    readings = list(readings)
    for kind, line in lines.items():
        writes = list(ledger.of(kind))
        line.acknowledged = sum(map(ledger.kept, writes))
        line.doubtful = len(writes) - line.acknowledged
        keys: dict[str, list[Write]] = {}
        for write in writes:
            keys.setdefault(write.key, []).append(write)
        least = [0]
        for number, reading in enumerate(readings):
            found = 0
            for key, own in keys.items():
                there, wrong = _JUDGES[kind](ledger, key, own, reading)
                found += there
                line.wrong += [f"{reading.replica}, {key}: {what}" for what in wrong]
            least = [found] if number == 0 else [*least, found]
        line.kept = min(least)
    return lines


def _added(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    here = reading.sets.get(key, set())
    owed = {write.what for write in writes if ledger.kept(write)}
    wrong = []
    if lost := owed - here:
        wrong.append(f"{len(lost)} acknowledged elements are lost: {sorted(lost)[:5]}")
    if strange := here - {write.what for write in writes}:
        wrong.append(f"{len(strange)} elements that nobody wrote: {sorted(strange)[:5]}")
    return len(owed & here), wrong


def _pushed(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    """As elements of a set, and each once, and those of a writer in its order."""
    here = reading.lists.get(key, [])
    there, wrong = _added(ledger, key, writes, Reading(reading.replica, sets={key: set(here)}))
    if twice := len(here) - len(set(here)):
        wrong.append(f"{twice} elements are there twice")
    place = {element: n for n, element in enumerate(here)}
    last: dict[str, tuple[int, int]] = {}
    for write in writes:
        at = place.get(write.what)
        if at is None or write.replica in ledger.rolled:
            continue
        before, other = last.get(write.by, (-1, 0))
        if at < before:
            wrong.append(f"{write.what} of {write.by} stands before {other}, which it had pushed earlier")
        last[write.by] = at, write.what
    return there, wrong


def _removed(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    here = reading.sets.get(key, set())
    owed = {write.what for write in writes if ledger.kept(write)}
    back = owed & here
    # Two may remove one element, each with an acknowledgement of its own.
    there = sum(write.what not in here for write in writes if ledger.kept(write))
    return there, [f"{len(back)} removed elements came back: {sorted(back)[:5]}"] if back else []


def sums(doubtful: Iterable[int]) -> tuple[int, int]:
    """Every sum that a choice of these amounts can make: (the least, a mask whose bit n means least + n is one)."""
    least, mask = 0, 1
    for amount in doubtful:
        mask |= mask << abs(amount)
        least += min(amount, 0)
    return least, mask


def _counted(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    owed = [write.what for write in writes if ledger.kept(write)]
    least, mask = sums(write.what for write in writes if not ledger.kept(write))
    found = reading.numbers.get(key, 0)
    above = found - sum(owed) - least
    if above >= 0 and mask >> above & 1:
        return len(owed), []
    return 0, [f"counter is {found}, acknowledged writes make {sum(owed)}, those in doubt {least}.. do not explain it"]


def _risen(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    found = reading.numbers.get(key, 0)
    least = max((write.what for write in writes if ledger.kept(write)), default=0)
    there = sum(ledger.kept(write) and write.what <= found for write in writes)
    if any(write.replica in ledger.rolled for write in writes):
        # Two lives of one writer that did not know each other: either may win.
        if found and found not in {write.what for write in writes}:
            return there, [f"value is {found}, which nobody wrote"]
        return there, []
    if found < least or found > max(write.what for write in writes):
        return there, [f"value is {found}, the last acknowledged was {least}"]
    return there, []


def _merged(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    found = reading.merged.get(key, {})
    owed: dict[str, int] = {}
    tried: dict[str, int] = {}
    for write in writes:
        tried[write.by] = write.what
        if ledger.kept(write):
            owed[write.by] = write.what
    wrong = [f"{by} merged {n}, found is {found.get(by, 0)}" for by, n in owed.items() if found.get(by, 0) < n]
    wrong += [f"{by} is at {n}, which nobody wrote" for by, n in found.items() if n > tried.get(by, 0)]
    return sum(ledger.kept(write) and write.what <= found.get(write.by, 0) for write in writes), wrong


def _filled(ledger: Ledger, key: str, writes: Sequence[Write], reading: Reading) -> tuple[int, list[str]]:
    found = reading.fills.get(key, "")
    number = int("0" + found[len(key) + 1 :].partition("/")[0]) if found.startswith(f"{key}/") else 0
    if found and found != fill(key, number, len(found)):
        return 0, [f"value is torn: {found[:40]}..."]
    return _risen(ledger, key, writes, Reading(reading.replica, numbers={key: number}))


_JUDGES: Mapping[Kind, Judge] = {
    Kind.ADD: _added,
    Kind.SAY: _added,
    Kind.REMOVE: _removed,
    Kind.COUNT: _counted,
    Kind.LAST: _risen,
    Kind.MERGE: _merged,
    Kind.FILL: _filled,
    Kind.PUSH: _pushed,
    Kind.SCORE: _counted,
    Kind.MORTAL: _risen,
    Kind.LEAF: _risen,
}
