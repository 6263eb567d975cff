"""The rows of one actor, in the order in which the actor wrote them.

Knows: for every row that was committed, its dot, the entry and field that hold it and its timestamp. That answers what
the entries themselves cannot: which row does a peer's removal of (actor, seq) mean, what does a vector not cover yet,
which rows must be rewritten in a checkpoint.
Promises: O(live) memory: chunks that are mostly dead are compacted, about one a step; looking a dot up is one
bisection of the chunks, and then a subtraction where the chunk is dense (rows are written in a row, and stay so until
an eighth of them is left), or a second bisection. Rows that die are found in ascending order in a plain loop, which
asks anew only where a chunk or a run of timestamps ends: random ones meet nearly as many chunks as they are.
Must not know: types, frames, disks.

Rows of one actor arrive in sequence order by construction (causal delivery), so a chunk is only ever appended to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any, Final

from crdt.dots import SEQ_MASK, WORD, Actor, Runs, vector_term

if TYPE_CHECKING:
    from crdt.entry import Entry

NO_DOT: Final = (1 << 62) - 1  # above every packed dot
CHUNK: Final = 2048
LOOK: Final = 8  # what it costs to pass a chunk, in rows that are moved; an eighth of its slots to drop it

# Dots, entries (None: no row), fields and timestamps, in ascending order of dots.
Columns = tuple[Sequence[int], list["Entry | None"], list[bytes | None], list[int]]
# Rows that were taken out of the books: dots, entries, fields, in ascending order of dots; timestamps of the first.
# Compiled, an int that is only handed on stays the object that it is if its type is Any.
Taken = tuple[list[int], list["Entry"], list[bytes | None], list[Any]]
# A chunk has fewer than this (a gap is no longer than what is there before it); their positions are shared objects.
_POSITIONS: Final[list[Any]] = list(range(2 * CHUNK))


class Chunk:
    """Up to CHUNK rows: parallel columns of packed dots, entries, fields and timestamps.

    `entries` is None where a row has died and its death is in the books: at a frame boundary, an entry means live.
    `dots` is a range while the chunk is dense; the dots in it that never were rows count as dead. `fields` is None as
    long as every field is. Timestamps are runs: `hlcs[r]` is that of the rows from position `starts[r]` on.
    """

    __slots__ = ("dead", "dots", "entries", "fields", "hlcs", "limit", "saved", "starts")

    def __init__(self) -> None:
        self.dots: Sequence[int] = range(0)
        self.entries: list[Entry | None] = []
        self.fields: list[bytes | None] | None = None
        self.starts: list[int] = []
        self.hlcs: array[int] = array(WORD)
        self.dead = 0
        self.limit = 0  # dead rows from which on it is thin
        # First dots of the segments in which the checkpoint holds these rows; None: not as they are now.
        self.saved: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def live(self) -> list[int]:
        """Positions of the live rows, at a frame boundary."""
        return [i for i, entry in enumerate(self.entries) if entry is not None]

    def cell(self, i: int) -> tuple[Entry | None, bytes | None]:
        """Entry and field at a position."""
        return self.entries[i], None if self.fields is None else self.fields[i]

    def columns(self, start: int, stop: int) -> Columns:
        """Dots, entries, fields and timestamps of the rows from one position to another."""
        fields: list[bytes | None] = [None] * len(self.entries[start:stop])
        if self.fields is not None:
            fields = self.fields[start:stop]
        return self.dots[start:stop], self.entries[start:stop], fields, self.times(range(start, stop))

    def times(self, positions: Sequence[int]) -> list[int]:
        """The timestamps at ascending positions."""
        starts, hlcs = self.starts, self.hlcs
        if len(hlcs) == 1:
            return [hlcs[0]] * len(positions)
        out: list[Any] = []
        hlc: Any = 0
        r, stop = -1, 0
        for i in positions:
            if i >= stop:
                r = r + 1 if i == stop else bisect_right(starts, i) - 1
                hlc = hlcs[r]
                stop = starts[r + 1] if r + 1 < len(starts) else len(self.entries)
            out.append(hlc)
        return out

    def position(self, dot: int) -> int:
        """Where the dot is; -1 if it is not here."""
        dots = self.dots
        if type(dots) is range:
            i = dot - dots.start
            return i if 0 <= i < len(dots) else -1
        i = bisect_left(dots, dot)
        return i if i < len(dots) and dots[i] == dot else -1

    def append(
        self,
        dots: Sequence[int],
        entries: Sequence[Entry | None],
        fields: Sequence[bytes | None],
        hlcs: list[int],
        holes: int = 0,
    ) -> None:
        """More rows above the last; `holes` entries of them are None and no rows."""
        if not self.entries and type(dots) is range:
            self.dots = dots
        elif not self._goes_on(dots):
            self._spread()
            assert isinstance(self.dots, array)
            self.dots.extend(dots)
        if self.fields is None and fields.count(None) != len(fields):
            self.fields = [None] * len(self.entries)
        self._stamp(hlcs)
        self.entries.extend(entries)
        if self.fields is not None:
            self.fields.extend(fields)
        self.dead += holes
        self.saved = None
        self._measure()

    def _measure(self) -> None:
        """How many dead it may hold, now that it has so many rows.

        A dense chunk may hold more of them: a slot costs it 8 bytes (16 with fields) and a spread row as much again, a
        look-up there a subtraction instead of a bisection, and every compaction touches all that is alive.
        """
        size = len(self.entries)
        if type(self.dots) is range:
            self.limit = size - size // (8 if self.fields is None else 5)
        else:
            self.limit = size // 2 + 1

    def _stamp(self, hlcs: list[int]) -> None:
        """Timestamps of the rows that follow."""
        at, last = len(self.entries), self.hlcs[-1] if self.hlcs else -1
        for hlc in hlcs:
            if hlc != last:
                last = hlc
                self.starts.append(_POSITIONS[at])
                self.hlcs.append(hlc)
            at += 1

    def _goes_on(self, dots: Sequence[int]) -> bool:
        """Whether the chunk stays dense with these; then their dots are in, and what lies between counts as dead."""
        own = self.dots
        if type(own) is not range or type(dots) is not range or not own:
            return False
        gap = dots.start - own.stop
        if gap:
            if 2 * (self.dead + gap) > len(own) + gap:
                return False
            self.entries.extend(repeat(None, gap))
            if self.fields is not None:
                self.fields.extend(repeat(None, gap))
            self.dead += gap
        self.dots = range(own.start, dots.stop)
        return True

    def _spread(self) -> None:
        """Name each dot: the chunk is dense no longer."""
        if type(self.dots) is range:
            self.dots = array(WORD, self.dots)

    def compact(self) -> None:
        """Forget the dead."""
        if not self.dead:
            return
        alive = self.live()
        hlcs = self.times(alive)
        self.starts, self.hlcs = [], array(WORD)
        self.dots = array(WORD, [self.dots[i] for i in alive])
        self.fields = None if self.fields is None else [self.fields[i] for i in alive]
        entries = [self.entries[i] for i in alive]
        self.entries = []
        self._stamp(hlcs)
        self.entries = entries
        self.dead = 0
        self.saved = None
        self._measure()

    @property
    def thin(self) -> bool:
        """Whether most of it is dead."""
        return self.dead >= self.limit


def _onward(firsts: list[int], dot: int, at: int) -> int:
    """The last one not above the dot, from `at` on, or `at`: what is near is found in fewer steps than by bisection.

    J. L. Bentley, A. C. Yao, "An almost optimal algorithm for unbounded searching", 1976.
    """
    step, size = 1, len(firsts)
    while at + step < size and firsts[at + step] <= dot:
        at += step
        step += step
    while step > 1:
        step >>= 1
        if at + step < size and firsts[at + step] <= dot:
            at += step
    return at


class ActorRows:
    """One actor as a State sees it: what of it was applied (`applied`), and its live rows in `chunks`."""

    __slots__ = (
        "_divided", "_thin", "_walked", "actor", "applied", "base", "chunks", "firsts", "hash", "hashed", "index",
        "seed",
    )  # fmt: skip

    def __init__(self, actor: Actor, index: int, base: int) -> None:
        self.actor = actor
        self.index = index
        self.base = base  # index << SEQ_BITS: packed dot = base + seq
        self.seed = actor.seed()
        self.applied = 0
        self.hash = 0  # 128-bit sum over the live rows up to `hashed`, as of the last frame boundary
        self.hashed = base  # packed dot; the rows above it are hashed when somebody asks (State.hash_some)
        self.chunks: list[Chunk] = []
        self.firsts: list[int] = []  # first dot of each chunk
        self._divided = False
        self._thin = 0  # chunks that became mostly dead since the last compaction
        self._walked = -1  # chunks that the one under way has been at; -1: none is

    def term(self) -> int:
        """This actor's share of the vector's hash."""
        return vector_term(self.seed, self.applied) if self.applied else 0

    def extend(
        self,
        dots: Sequence[int],
        entries: Sequence[Entry | None],
        fields: Sequence[bytes | None],
        hlcs: list[int],
        holes: int = 0,
    ) -> None:
        """Append rows; `dots` ascend and lie above every dot appended before; `holes` entries are None and no rows."""
        if 2 * holes > len(entries):
            holes = 0
            alive = [entry is not None for entry in entries]
            dots, fields = list(compress(dots, alive)), list(compress(fields, alive))
            entries, hlcs = list(compress(entries, alive)), list(compress(hlcs, alive))
        start, total = 0, len(dots)
        while start < total:
            if not self.chunks or self._divided or len(self.chunks[-1]) >= CHUNK:
                self._divided = False
                self.chunks.append(Chunk())
                self.firsts.append(dots[start])
            chunk = self.chunks[-1]
            stop = min(total, start + CHUNK - len(chunk))
            part = entries[start:stop]
            chunk.append(dots[start:stop], part, fields[start:stop], hlcs[start:stop], part.count(None) if holes else 0)
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
        i = chunk.position(dot)
        return None if i < 0 else (chunk, i)

    def take(self, gone: Runs, told: int = NO_DOT, timed: int = NO_DOT) -> tuple[int, Taken]:
        """The rows with these seqs leave the books, as far as they are live. How many, and which: those up to the dot
        `told`, with timestamps up to `timed`.

        One loop for all of it, and the searches bound to names: random rows are mostly alone in their run and chunk.
        """
        count = 0
        taken: Taken = ([], [], [], [])
        dots, entries, fields, hlcs = taken
        firsts, starts, stops, base = self.firsts, gone.starts, gone.stops, self.base
        before, after = bisect_left, bisect_right
        at, low, high, r, upto = 0, 0, 0, -1, 0
        hlc: Any = 0
        for k in range(len(starts) if firsts else 0):
            dot, stop = base + starts[k], base + stops[k]
            while dot < stop:
                if dot >= high:
                    at = _onward(firsts, dot, at)
                    low, high = firsts[at], firsts[at + 1] if at + 1 < len(firsts) else base + SEQ_MASK + 1
                    chunk, r, upto = self.chunks[at], -1, 0
                    cells, names, begins = chunk.entries, chunk.fields, chunk.starts
                    spread = None if type(chunk.dots) is range else chunk.dots
                i = before(spread, dot) if spread is not None else dot - low if dot > low else 0
                while i < len(cells):
                    dot = low + i if spread is None else spread[i]
                    if dot >= stop:
                        break
                    entry = cells[i]
                    if entry is not None:
                        count += 1
                        if dot <= told:
                            dots.append(dot)
                            entries.append(entry)
                            fields.append(None if names is None else names[i])
                        if dot <= timed:
                            if i >= upto:
                                r = r + 1 if i == upto else after(begins, i) - 1
                                hlc, upto = chunk.hlcs[r], begins[r + 1] if r + 1 < len(begins) else len(cells)
                            hlcs.append(hlc)
                        cells[i] = None
                        if names is not None:
                            names[i] = None
                        chunk.saved = None
                        chunk.dead += 1
                        if chunk.dead == chunk.limit:
                            self._thin += 1
                    i += 1
                dot = high
        return count, taken

    def restore(self, dot: int, entry: Entry, field: bytes | None) -> None:
        """A row that was just taken stays in the books."""
        found = self.locate(dot)
        assert found is not None
        chunk, i = found
        chunk.entries[i] = entry
        if chunk.fields is not None:
            chunk.fields[i] = field
        chunk.dead -= 1

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

    def span(self, start: int, stop: int) -> int:
        """About how many positions `between` covers, found without looking at the chunks."""
        at = max(0, bisect_right(self.firsts, start) - 1)
        return min(stop - start, max(0, bisect_left(self.firsts, stop) - at) * CHUNK)

    def above(self, seq: int) -> Iterator[tuple[Chunk, int]]:
        """(chunk, first position) of every chunk with rows above `seq`, in order."""
        dot = self.base + seq
        at = max(0, bisect_right(self.firsts, dot) - 1)
        for chunk in self.chunks[at:]:
            i = bisect_right(chunk.dots, dot)
            if i < len(chunk.dots):
                yield chunk, i

    @property
    def thin(self) -> bool:
        """Whether so much is dead that compacting pays, which walks all chunks; or whether that is under way."""
        return self._walked >= 0 or self._thin * 8 > len(self.chunks)

    def compact(self) -> bool:
        """Drop empty chunks, shrink those that are mostly dead, and join neighbours that became small: a step of the
        walk through all of them, which touches about as many rows as a chunk has. True while there is more to do.
        """
        if self._walked < 0:
            self._thin = self._walked = 0
        chunks, at, work = self.chunks, self._walked, 0
        start = max(0, at - 1)  # the one before may be joined
        kept = chunks[start:at]
        while at < len(chunks) and work < CHUNK:
            chunk = chunks[at]
            at += 1
            work += LOOK
            if chunk.dead == len(chunk):
                work += len(chunk) // 8
                continue
            if chunk.thin:
                work += len(chunk)
                chunk.compact()
            if kept and len(kept[-1]) + len(chunk) <= CHUNK // 2:
                work += len(kept[-1]) + len(chunk)
                kept[-1].compact()
                chunk.compact()
                kept[-1].append(*chunk.columns(0, len(chunk)))
            else:
                kept.append(chunk)
        self._walked = start + len(kept) if at < len(chunks) else -1
        chunks[start:at] = kept
        self.firsts[start:at] = [chunk.dots[0] for chunk in kept]
        return self.thin  # what died behind the walk may be reason for another
