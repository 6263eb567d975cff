"""What a range removes, found at a cost that does not grow with what stays.

Knows: two ways to the rows. From the entry: all that it holds. From the actors: what those in the vector wrote, in the
order in which they did. The first is given up as soon as it has cost as much as the second would.
Promises: a range looks at no more than about twice the lesser of both; and where that was much, the next one over the
same entry begins where this one ended (`Reached`). So who fills and empties a small set again and again costs a peer
what was written, however large that set is there and however much the writer holds elsewhere.
Must not know: frames, what happens to the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crdt.dots import SEQ_BITS, SEQ_MASK
from crdt.entry import GONE, Entry, Raw
from crdt.frame import plain
from crdt.rows import ActorRows

if TYPE_CHECKING:
    from crdt.state import State

MUCH: Final = 256  # rows to look at for one range; from then on it is noted how far it reached
MOST: Final = 1 << 14  # sequence numbers that are noted, about 2 MB

Limits = dict[int, int]  # actor index -> the last sequence number that a range covers, among those applied


class Reached:
    """How far the last dear ranges went, by entry and actor: what is live there and not above stays, for any range.

    It does because an actor's rows come in ascending order, and what is of a kind that ranges leave is so for ever.
    """

    __slots__ = ("_held", "_size")

    def __init__(self) -> None:
        self._held: dict[Entry, Limits] = {}  # the latest last
        self._size = 0

    def of(self, entry: Entry) -> Limits | None:
        """What is noted of an entry."""
        return self._held.get(entry)

    def note(self, entry: Entry, limits: Limits) -> None:
        """A range with these limits was applied to it. The oldest notes give way."""
        held = self._held.pop(entry, None)
        if held is None:
            held = {}
        self._size -= len(held)
        for index, n in limits.items():
            if n > held.get(index, 0):
                held[index] = n
        self._size += len(held)
        self._held[entry] = held
        while self._size > MOST:
            oldest = next(iter(self._held))
            self._size -= len(self._held.pop(oldest))


def doomed(state: State, entry: Entry, limits: Limits) -> dict[int, list[int]]:
    """The live rows of an entry that a range takes, as ascending sequence numbers by actor index."""
    reached = state.reached.of(entry)
    spans: list[tuple[ActorRows, int, int]] = []
    cost = 0
    for index, n in limits.items():
        rows = state.actors[index]
        since = 0 if reached is None else reached.get(index, 0)
        if since < n:
            spans.append((rows, rows.base + since + 1, rows.base + n + 1))
            cost += rows.span(rows.base + since + 1, rows.base + n + 1)
    found: dict[int, list[int]] = {}
    seen = _from_entry(entry, limits, cost, found)
    if seen > cost:
        found = _from_actors(entry, spans)
    if reached is not None or seen > MUCH:
        state.reached.note(entry, limits)
    return found


def _from_entry(entry: Entry, limits: Limits, most: int, found: dict[int, list[int]]) -> int:
    """Find them among the rows of the entry; how many were looked at, more than `most` if it was given up."""
    seen = 0
    for _, dot, raw in entry.rows():
        seen += 1
        if seen > most:
            return seen
        if dot & SEQ_MASK <= limits.get(dot >> SEQ_BITS, 0) and ranged(raw):
            found.setdefault(dot >> SEQ_BITS, []).append(dot & SEQ_MASK)
    for seqs in found.values():
        seqs.sort()
    return seen


def _from_actors(entry: Entry, spans: list[tuple[ActorRows, int, int]]) -> dict[int, list[int]]:
    """Find them among the rows that the actors wrote from one dot to before another."""
    found: dict[int, list[int]] = {}
    for rows, start, stop in spans:
        seqs: list[int] = []
        for chunk, i, j in rows.between(start, stop):
            if chunk.dead == len(chunk):
                continue
            cells, names, dots = chunk.entries, chunk.fields, chunk.dots
            for k in range(i, j):
                if cells[k] is entry:
                    dot = dots[k]
                    raw = entry.row(None if names is None else names[k], dot)
                    if raw is not GONE and ranged(raw):  # gone: removed here too, and that is not cut yet
                        seqs.append(dot & SEQ_MASK)
        if seqs:
            found[rows.index] = seqs
    return found


def ranged(raw: Raw) -> bool:
    """Whether a range may take a row with this raw payload: counts and baselines are removed by name only."""
    return raw[0] == 0 if type(raw) is tuple else plain(raw)
