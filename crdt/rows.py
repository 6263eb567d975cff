"""The rows of one actor, in the order in which the actor wrote them.

Knows: for every row that was committed, its dot, the entry and field that hold it and its timestamp. That answers what
the entries themselves cannot: which row does a peer's removal of (actor, seq) mean, what does a vector not cover yet,
which rows must be rewritten in a checkpoint.
Promises: O(live) memory: a chunk that is half dead is compacted at the next cut; looking a dot up is two bisections.
Must not know: types, frames, disks.

Rows of one actor arrive in sequence order by construction (causal delivery), so a chunk is only ever appended to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Final

from crdt.dots import Actor, vector_term

if TYPE_CHECKING:
    from crdt.entry import Entry

CHUNK: Final = 2048


class Chunk:
    """Up to CHUNK rows: parallel columns of packed dots, entries, fields and timestamps."""

    __slots__ = ("alive", "dead", "dots", "entries", "fields", "hlcs", "saved")

    def __init__(self) -> None:
        self.dots: array[int] = array("Q")
        self.entries: list[Entry] = []
        self.fields: list[bytes | None] = []
        self.hlcs: array[int] = array("Q")
        self.alive = bytearray()  # 1 until the row's death is in the books: at a frame boundary, 1 means live
        self.dead = 0
        self.saved: int | None = (
            None  # first dot under which the checkpoint holds these rows; None: not as they are now
        )

    def __len__(self) -> int:
        return len(self.dots)

    def live(self) -> Iterator[int]:
        """Positions of the live rows, at a frame boundary."""
        return compress(range(len(self.dots)), self.alive)

    def append(
        self, dots: Sequence[int], entries: Sequence[Entry], fields: Sequence[bytes | None], hlcs: Sequence[int]
    ) -> None:
        """More rows, all live, above the last."""
        self.dots.extend(dots)
        self.entries.extend(entries)
        self.fields.extend(fields)
        self.hlcs.extend(hlcs)
        self.alive.extend(b"\x01" * len(dots))
        self.saved = None

    def lose(self, positions: Sequence[int]) -> bool:
        """These rows died; whether most are dead now."""
        if positions:
            alive = self.alive
            for i in positions:
                alive[i] = 0
            self.dead += len(positions)
            self.saved = None
        return self.dead * 2 > len(self.dots)

    def compact(self) -> None:
        """Forget the dead."""
        alive = self.alive
        self.dots = array("Q", compress(self.dots, alive))
        self.hlcs = array("Q", compress(self.hlcs, alive))
        self.entries = list(compress(self.entries, alive))
        self.fields = list(compress(self.fields, alive))
        self.alive = bytearray(b"\x01" * len(self.dots))
        self.dead = 0


class ActorRows:
    """One actor as a State sees it: what of it was applied (`applied`), and its live rows in `chunks`."""

    __slots__ = ("_divided", "actor", "applied", "base", "chunks", "firsts", "index", "seed")

    def __init__(self, actor: Actor, index: int, base: int) -> None:
        self.actor = actor
        self.index = index
        self.base = base  # index << SEQ_BITS: packed dot = base + seq
        self.seed = actor.seed()
        self.applied = 0
        self.chunks: list[Chunk] = []
        self.firsts: list[int] = []  # first dot of each chunk
        self._divided = False

    def term(self) -> int:
        """This actor's share of the vector's hash."""
        return vector_term(self.seed, self.applied) if self.applied else 0

    def extend(
        self, dots: Sequence[int], entries: Sequence[Entry], fields: Sequence[bytes | None], hlcs: Sequence[int]
    ) -> None:
        """Append rows; `dots` ascend and lie above every dot appended before."""
        start, total = 0, len(dots)
        while start < total:
            if not self.chunks or self._divided or len(self.chunks[-1]) >= CHUNK:
                self._divided = False
                self.chunks.append(Chunk())
                self.firsts.append(dots[start])
            chunk = self.chunks[-1]
            stop = min(total, start + CHUNK - len(chunk))
            chunk.append(dots[start:stop], entries[start:stop], fields[start:stop], hlcs[start:stop])
            start = stop

    def divide(self) -> None:
        """Let the next rows begin a new chunk."""
        self._divided = True

    def locate(self, dot: int) -> tuple[Chunk, int] | None:
        """Chunk and position of a committed row, dead or alive; None if it was compacted away or never held a row."""
        at = bisect_right(self.firsts, dot) - 1
        if at < 0:
            return None
        chunk = self.chunks[at]
        i = bisect_left(chunk.dots, dot)
        if i < len(chunk.dots) and chunk.dots[i] == dot:
            return chunk, i
        return None

    def kill(self, dots: list[int]) -> tuple[list[int], bool]:
        """Rows that are indexed, ascending, are no more: their timestamps, and whether a chunk is mostly dead now."""
        stamps: list[int] = []
        thin = False
        start = 0
        while start < len(dots):
            chunk = self.chunks[bisect_right(self.firsts, dots[start]) - 1]
            stop = bisect_right(dots, chunk.dots[-1], start)
            i = -1
            positions: list[int] = []
            for dot in dots[start:stop]:
                i = bisect_left(chunk.dots, dot, i + 1)
                assert chunk.dots[i] == dot, "a row that was live is indexed until a compaction"
                positions.append(i)
            stamps += [chunk.hlcs[i] for i in positions]
            thin |= chunk.lose(positions)
            start = stop
        return stamps, thin

    def between(self, start: int, stop: int) -> Iterator[tuple[Chunk, int, int]]:
        """(chunk, first position, position after the last) of the committed rows with start <= dot < stop."""
        at = max(0, bisect_right(self.firsts, start) - 1)
        while at < len(self.chunks) and self.firsts[at] < stop:
            chunk = self.chunks[at]
            i = bisect_left(chunk.dots, start)
            j = bisect_left(chunk.dots, stop, i)
            if i < j:
                yield chunk, i, j
            at += 1

    def above(self, seq: int) -> Iterator[tuple[Chunk, int]]:
        """(chunk, first position) of every chunk with rows above `seq`, in order."""
        dot = self.base + seq
        at = max(0, bisect_right(self.firsts, dot) - 1)
        for chunk in self.chunks[at:]:
            i = bisect_right(chunk.dots, dot)
            if i < len(chunk.dots):
                yield chunk, i

    def compact(self) -> None:
        """Drop empty chunks, shrink half-dead ones, and join neighbours that became small."""
        kept: list[Chunk] = []
        for chunk in self.chunks:
            if chunk.dead == len(chunk):
                continue
            if chunk.dead * 2 > len(chunk):
                chunk.compact()
                chunk.saved = None
            if kept and len(kept[-1]) + len(chunk) <= CHUNK // 2:
                chunk.compact()
                kept[-1].append(chunk.dots, chunk.entries, chunk.fields, chunk.hlcs)
            else:
                kept.append(chunk)
        self.chunks = kept
        self.firsts = [chunk.dots[0] for chunk in kept]
