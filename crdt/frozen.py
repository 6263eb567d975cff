"""The rows that were live at one frame boundary, for as long as somebody reads them, while the state goes on.

Knows: which row stood where at that moment, and what has died since. Promises: `slice` gives exactly the rows of that
moment, however much was removed after it; beginning costs copying a pointer for each row and nothing else; what dies
meanwhile is kept here, above `base` only, and counted, so that whoever reads too slowly can be given up.
Must not know: who reads, how rows are spelled.

Rows never change and never come back, so what was live then is what is live now below the old vector, and what died.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from crdt.columns import Dead, Row
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.entry import GONE, Entry

if TYPE_CHECKING:
    from crdt.rows import ActorRows

_BUCKET: Final = 12  # bits of a dot within one bucket of what died
_FLAT: Final = 32  # what looking at a chunk without holes costs, in rows
SLICE: Final = 2000  # rows looked at in one turn of the loop

_Column = tuple[Sequence[int], list[Entry | None], int]  # of a chunk: dots, entries of the live ones, how many are dead


class Frozen:
    """See the module. `vector` is that of the moment; `kept` counts the rows that have died since."""

    __slots__ = ("_above", "_columns", "_dead", "_upto", "kept", "vector")

    def __init__(self, actors: Iterable[ActorRows], base: Mapping[Actor, int]) -> None:
        """At a frame boundary. Rows that `base` covers are listed by `intervals`, but not given by `slice`."""
        self.vector: dict[Actor, int] = {}
        self.kept = 0
        self._above: dict[int, int] = {}  # index of the actor -> first and last dot that may be asked for
        self._upto: dict[int, int] = {}
        self._dead: dict[int, list[Row]] = {}  # dot >> _BUCKET -> rows
        self._columns: list[tuple[Actor, int, int, list[_Column]]] = []
        for rows in actors:
            if rows.applied:
                self.vector[rows.actor] = rows.applied
                self._above[rows.index] = rows.base + base.get(rows.actor, 0) + 1
                self._upto[rows.index] = rows.base + rows.applied
                # The column of dots only ever grows at its end or is replaced as a whole: a reference is a copy.
                columns = [(chunk.dots, chunk.entries[:], chunk.dead) for chunk in rows.chunks]
                self._columns.append((rows.actor, rows.applied, rows.base, columns))

    def keep(self, owner: ActorRows, dead: Dead, hlcs: list[int]) -> None:
        """These rows of one actor are no more."""
        low, high = self._above.get(owner.index, 1), self._upto.get(owner.index, 0)
        for row in zip(dead.dots, dead.entries, dead.fields, dead.raws, hlcs, strict=True):
            if low <= row[0] <= high:
                self._dead.setdefault(row[0] >> _BUCKET, []).append(row)
                self.kept += 1

    def intervals(self) -> Iterator[tuple[Actor, int, Runs] | None]:
        """(actor, n, runs of live seqs), every actor in one portion or more, ascending; None: take a break here.

        Only once: what it has read is given back.
        """
        work = 0
        self._columns.reverse()
        while self._columns:
            actor, n, base, columns = self._columns.pop()
            runs, told = Runs(), False
            for column in columns:
                work += _gather(runs, column, base)
                if len(runs.starts) >= SLICE // 2:
                    yield actor, n, runs
                    runs, told = Runs(), True
                if work >= SLICE:
                    yield None
                    work = 0
            work += _FLAT
            if runs.starts or not told:
                yield actor, n, runs

    def slice(self, owner: ActorRows, first: int, last: int, limit: int) -> tuple[list[Row], int, bool]:
        """The rows first..last of an actor, ascending, after looking at `limit` of them; up to which seq that is all.

        The third is False if a row is hidden by a removal that is pending: cut, and ask again.
        """
        low = max(owner.base + first, self._above.get(owner.index, 1))
        high = top = min(owner.base + last, self._upto.get(owner.index, 0))
        rows: list[Row] = []
        whole = True
        for chunk, i, j in owner.between(low, high + 1):
            end = min(j, i + limit)
            limit -= end - i
            for dot, entry, field, hlc in zip(*chunk.columns(i, end), strict=True):
                if entry is not None:
                    raw = entry.row(field, dot)
                    if raw is GONE:
                        whole = False
                    else:
                        rows.append((dot, entry, field, raw, hlc))
            if end < j or not limit:
                high = chunk.dots[end - 1]
                break
        if self._dead:
            dead, high = self._died(low, high, SLICE)
            rows = sorted([row for row in rows if row[0] <= high] + dead, key=itemgetter(0))
        return rows, last if high == top else high & SEQ_MASK, whole

    def _died(self, low: int, high: int, limit: int) -> tuple[list[Row], int]:
        """The dead of low..high, about `limit` of them, and up to which dot that is."""
        start, stop = low >> _BUCKET, high >> _BUCKET
        buckets: Iterable[int] = range(start, stop + 1)
        if stop - start > len(self._dead):
            buckets = sorted(bucket for bucket in self._dead if start <= bucket <= stop)
        found: list[Row] = []
        for bucket in buckets:
            found += [row for row in self._dead.get(bucket, ()) if low <= row[0] <= high]
            if len(found) >= limit:
                high = min(high, (bucket + 1 << _BUCKET) - 1)
                break
        return [row for row in found if row[0] <= high], high


def _gather(runs: Runs, column: _Column, base: int) -> int:
    """Add the live seqs of a chunk as it was; how much work that was, in rows."""
    dots, entries, dead = column
    size = len(entries)
    if not dead and size and dots[size - 1] - dots[0] + 1 == size:
        runs.append(dots[0] - base, dots[size - 1] - base + 1)
        return _FLAT
    for dot, entry in zip(dots, entries, strict=False):
        if entry is not None:
            runs.append(dot - base, dot - base + 1)
    return size
