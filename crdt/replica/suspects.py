"""Who seems to have what this replica lacks, and in which order they are asked.

Knows: names, the moment from which each may be asked, how far each is trusted. Promises: whoever is trusted more is
asked first, among equals who has been waiting longest; one turn in FAIR goes to who has been waiting longest of all, so
that nobody waits for ever; strangers by the thousand cost O(log n) each; a name stands here once, strangers only up to
`limit`.
Must not know: why, what a question is, what a peer is.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

NEVER: Final = float("inf")
FAIR: Final = 8
RANKS: Final = 3
ANSWERED, WROTE, STRANGER = range(RANKS)
"""It answered when it was last asked; its operations are here; neither."""


class Suspects:
    """See the module. A rank is one of the above, a smaller one is asked sooner."""

    __slots__ = ("_due", "_heaps", "_taken", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._due: dict[str, tuple[float, int]] = {}
        # of each rank, with entries of what is no longer so
        self._heaps: list[list[tuple[float, str]]] = [[] for _ in range(RANKS)]

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def add(self, name: str, at: float, rank: int) -> bool:
        """Ask it, not before that time; False if there is no room for another stranger."""
        before = self._due.get(name)
        if before is None and rank == STRANGER and len(self._due) >= self.limit:
            return False
        entry = (at if before is None else min(at, before[0]), rank)
        if entry != before:
            self._due[name] = entry
            heap = self._heaps[rank]
            heappush(heap, (entry[0], name))
            if len(heap) > 2 * len(self._due) + 64:
                self._tidy(rank)
        return True

    def drop(self, name: str) -> None:
        """It need not be asked any more."""
        self._due.pop(name, None)

    def clear(self) -> None:
        """Nobody has to be asked."""
        self._due.clear()
        for heap in self._heaps:
            heap.clear()

    def next(self, ranks: int = RANKS) -> float:
        """When the first of those ranks may be asked; infinity if there is none."""
        return min(self._first(rank) for rank in range(ranks))

    def take(self, now: float) -> str | None:
        """Who is to be asked now, taken out; None if it is too early for all of them."""
        due = [(first, rank) for rank in range(RANKS) if (first := self._first(rank)) <= now]
        if not due:
            return None
        self._taken += 1
        rank = due[0][1] if self._taken % FAIR else min(due)[1]
        name = heappop(self._heaps[rank])[1]
        del self._due[name]
        return name

    def _first(self, rank: int) -> float:
        heap = self._heaps[rank]
        while heap and self._due.get(heap[0][1]) != (heap[0][0], rank):
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def _tidy(self, rank: int) -> None:
        """Forget what is no longer so."""
        heap = self._heaps[rank]
        heap[:] = sorted({entry for entry in heap if self._due.get(entry[1]) == (entry[0], rank)})
