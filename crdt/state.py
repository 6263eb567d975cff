"""The state of one space at one replica: a flat set of live rows and one version vector.

Knows: which rows are live, which own operations are not yet part of a frame, what of every actor has been applied.
Promises: the state is a function of the set of applied operations (invariant I3); equal vectors mean equal
state, and `hash` says so in O(1); memory is O(live rows + actors).
Must not know: messages, peers, disks, the time (the clock is told it).

A local operation (crdt/types) changes entries at once and leaves its trace in the pending lists; `cut` turns the trace
into a Frame; `apply` takes in a peer's. The rules both rest on:

- Every operation takes a dot, removals included; position i of the pending lists is dot `cut_dot + 1 + i`.
- A pending row may be overwritten in place while nobody can have seen its dot, that is while it is above `mark`.
- Row hashes are added and subtracted at the cut, in bulk; between cuts `hash` describes the last frame boundary.

Source: Almeida, Shoker, Baquero 2018 (dots, causal contexts); the join without tombstones follows Bieniusa et al.,
"An optimized conflict-free replicated set" (2012), given causal delivery.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain, repeat
from operator import itemgetter
from typing import Final

from crdt.clock import HybridClock
from crdt.columns import Row, grouped
from crdt.directory import Directory
from crdt.dots import FIRST_OWN, MASK_64, MASK_128, SEQ_BITS, SEQ_MASK, Actor, Dot, Runs
from crdt.entry import GONE, Entry, Raw, Wire
from crdt.frame import Frame, Group, plain
from crdt.hashing import group_hash
from crdt.rows import ActorRows, Chunk

RANGE_FROM: Final = 64  # removing more rows than this names a range instead of every dot

Changes = dict[tuple[bytes, str], None]  # (key, event) in order, each once
_Cells = tuple[list[Entry], list[bytes | None]]  # entries, and the field of each
_Dead = tuple[int, Entry, bytes | None, Raw]
_Leaving = dict[Entry, list[bytes | None] | None]  # entries that lose rows to a peer; the fields, if readers see them


class State(Directory):
    """One space's rows. `actor` names the life of the store that writes here."""

    __slots__ = (
        "actors", "chunks_held", "clock", "cut_dot", "dot", "encode", "entries", "fields", "hash", "indexes", "live",
        "mark", "me", "orphans", "ranges", "removed", "seen", "stamp_hlcs", "stamp_starts", "swept", "thin",
        "vector_hash", "vector_sum",
    )  # fmt: skip

    def __init__(self, actor: Actor, clock: HybridClock | None = None) -> None:
        super().__init__()
        self.clock = clock or HybridClock()
        self.actors: dict[int, ActorRows] = {}
        self.indexes: dict[Actor, int] = {}
        self.chunks_held = False  # a checkpoint walks the chunks: none may move
        self.hash = 0  # 128-bit sum over live rows, as of the last frame boundary
        self.vector_hash = 0
        self.vector_sum = 0
        self.live = 0  # live rows as of the last frame boundary
        self.thin: set[int] = set()  # actors with chunks that are mostly dead
        self.seen: set[int] = set()  # actors applied since the own last cut: the next frame's deps
        self.orphans: list[tuple[Entry, bytes | None]] = []  # number cells that may hold baselines of own dead lineages
        self.dot = 0  # the own last operation, pending ones included
        self.me = self._admit(actor, FIRST_OWN)
        from crdt.types import number  # which imports this module

        self.encode = number.encode
        self._open()

    # -- actors and vectors ---------------------------------------------------------------------------------------

    def _admit(self, actor: Actor, index: int) -> ActorRows:
        rows = self.actors[index] = ActorRows(actor, index, index << SEQ_BITS)
        self.indexes[actor] = index
        return rows

    def intern(self, actor: Actor) -> ActorRows:
        """The rows of an actor, made when it is new."""
        index = self.indexes.get(actor)
        if index is not None:
            return self.actors[index]
        return self._admit(actor, len(self.indexes))

    @property
    def actor(self) -> Actor:
        """Who writes here."""
        return self.me.actor

    @property
    def seq(self) -> int:
        """Number of own operations, pending ones included."""
        return self.dot - self.me.base

    def applied(self, actor: Actor) -> int:
        """How many of the actor's operations have been applied."""
        index = self.indexes.get(actor)
        return 0 if index is None else self.actors[index].applied

    def vector(self) -> dict[Actor, int]:
        """The version vector, as of the last frame boundary."""
        return {rows.actor: rows.applied for rows in self.actors.values() if rows.applied}

    def name(self, dot: int) -> Dot:
        """A packed dot as everybody understands it."""
        return Dot(self.actors[dot >> SEQ_BITS].actor, dot & SEQ_MASK)

    def hlc(self, dot: int) -> int:
        """The timestamp of a live row."""
        if dot > self.cut_dot:
            at = bisect_right(self.stamp_starts, dot - self.cut_dot - 1) - 1
            return self.stamp_hlcs[at]
        found = self.actors[dot >> SEQ_BITS].locate(dot)
        assert found is not None, "a live row is always indexed"
        return found[0].hlcs[found[1]]

    def become(self, actor: Actor) -> None:
        """Go on as a new actor: the life before becomes one of the others. Cuts must have taken what was pending."""
        assert self.dot == self.cut_dot, "cut before becoming another actor"
        self.me = self._admit(actor, self.me.index + 1)
        self.seen = {index for index, rows in self.actors.items() if rows.applied}
        self._open()

    def _advance(self, rows: ActorRows, last: int) -> None:
        self.vector_hash -= rows.term()
        self.vector_sum += last - rows.applied
        rows.applied = last
        self.vector_hash = (self.vector_hash + rows.term()) & MASK_64

    # -- what local operations use (crdt/types) -----------------------------------------------------------------------

    def begin(self, wall_ms: int) -> None:
        """A batch of local operations begins at this wall time."""
        self.clock.tick(wall_ms)
        now = self.clock.now
        if self.stamp_hlcs[-1] != now:
            start = len(self.entries)
            if self.stamp_starts[-1] == start:
                self.stamp_hlcs[-1] = now
            else:
                self.stamp_starts.append(start)
                self.stamp_hlcs.append(now)

    def add(self, entry: Entry, field: bytes | None) -> int:
        """The next own dot, for a row that the caller puts into the entry."""
        self.dot += 1
        self.entries.append(entry)
        self.fields.append(field)
        return self.dot

    def gap(self) -> None:
        """An operation that only removes takes a dot as well."""
        self.dot += 1
        self.entries.append(None)
        self.fields.append(None)

    def retire(self, dot: int, entry: Entry, field: bytes | None, raw: Raw) -> bool:
        """The caller took this row out of the entry. False if it was pending: then its add vanishes with it."""
        if dot > self.cut_dot:
            return False
        self.removed.append((dot, entry, field, raw))
        return True

    def name_pending(self) -> None:
        """Something is about to name own dots, so none of them may be spent on another content any more."""
        self.mark = self.dot

    def sweep(self, entry: Entry, plain: Iterator[tuple[bytes | None, int, Raw]], dots: Iterable[int]) -> None:
        """Remove many plain rows that the caller took out of the entry, by naming a range instead of every dot."""
        held = {dot >> SEQ_BITS for dot in dots}
        self.gap()
        vector = {self.actors[index].actor: self.actors[index].applied for index in held if index != self.me.index}
        if self.me.index in held:
            vector[self.me.actor] = self.seq
        self.ranges.append(((entry.key, bytes([entry.CODE])), vector))
        self.swept.append((entry, plain))

    # -- cut --------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Begin an empty list of pending operations."""
        self.dot = self.cut_dot = self.mark = self.me.base + self.me.applied
        self.entries: list[Entry | None] = []
        self.fields: list[bytes | None] = []
        self.stamp_starts: list[int] = [0]
        self.stamp_hlcs: list[int] = [self.clock.now]
        self.removed: list[_Dead] = []
        self.ranges: list[tuple[tuple[bytes, ...], dict[Actor, int]]] = []
        self.swept: list[tuple[Entry, Iterator[tuple[bytes | None, int, Raw]]]] = []

    def cut(self) -> Frame | None:
        """Turn everything pending into one frame; None if there is nothing."""
        if self.orphans:
            self._drop_orphans()
        if self.dot == self.cut_dot:
            return None
        frame = Frame(self.me.actor, self.me.applied + 1, self.seq)
        frame.deps = {self.actors[i].actor: self.actors[i].applied for i in self.seen if i != self.me.index}
        frame.removes = self._settle_removed()
        frame.ranges = self.ranges
        frame.groups = self._settle_added()
        self.seen.clear()
        self._advance(self.me, frame.last)
        self._open()
        if self.thin:
            self.compact()
        return frame

    def _drop_orphans(self) -> None:
        orphans, self.orphans = self.orphans, []
        for entry, field in orphans:
            entry.prune(self, field)  # type: ignore[attr-defined]
            self.settle(entry)

    def _settle_removed(self) -> dict[Actor, Runs]:
        """Take the removed rows out of the books; those that no range covers, by actor."""
        swept = [(dot, e, field, raw) for e, rows in self.swept for field, dot, raw in rows if dot <= self.cut_dot]
        for owner, dead in self._by_owner(swept):
            self._bury(owner, dead)
        removes: dict[Actor, Runs] = {}
        for owner, dead in self._by_owner(self.removed):
            self._bury(owner, dead)
            removes[owner.actor] = Runs([row[0] - owner.base for row in dead])
        return removes

    def _by_owner(self, dead: list[_Dead]) -> Iterator[tuple[ActorRows, list[_Dead]]]:
        dead.sort(key=itemgetter(0))
        start = 0
        while start < len(dead):
            owner = self.actors[dead[start][0] >> SEQ_BITS]
            stop = bisect_left(dead, owner.base + SEQ_MASK + 1, start, key=itemgetter(0))
            yield owner, dead[start:stop]
            start = stop

    def _bury(self, owner: ActorRows, dead: list[_Dead]) -> None:
        stamps, thin = owner.kill([row[0] for row in dead])
        self._discount(owner, [(*row, hlc) for row, hlc in zip(dead, stamps, strict=True)], thin)

    def _discount(self, owner: ActorRows, rows: list[Row], thin: bool) -> None:
        """Rows that died: out of the hash and the count."""
        if thin:
            self.thin.add(owner.index)
        self.live -= len(rows)
        gone = sum(group_hash(owner.seed, group) for group in grouped(rows, self.wire))
        self.hash = (self.hash - gone) & MASK_128

    def _settle_added(self) -> list[Group]:
        """The pending rows that are still live, as groups; indexed and added to the hash."""
        rows: list[Row] = []
        stops = [*self.stamp_starts[1:], len(self.entries)]
        for start, stop, hlc in zip(self.stamp_starts, stops, self.stamp_hlcs, strict=True):
            dots = range(self.cut_dot + 1 + start, self.cut_dot + 1 + stop)
            for dot, entry, field in zip(dots, self.entries[start:stop], self.fields[start:stop], strict=True):
                if entry is not None:
                    raw = entry.row(field, dot)
                    if raw is not GONE:
                        rows.append((dot, entry, field, raw, hlc))
        groups = grouped(rows, self.wire)
        if rows:
            dots_, entries, fields, _, hlcs = zip(*rows, strict=True)
            self.me.extend(dots_, entries, fields, hlcs)
        self._count(self.me, groups)
        return groups

    def _count(self, owner: ActorRows, groups: list[Group]) -> None:
        """Rows that came: into the hash and the count."""
        self.live += sum(map(len, groups))
        self.hash = (self.hash + sum(group_hash(owner.seed, group) for group in groups)) & MASK_128

    def wire(self, raw: Raw, dot: int) -> Wire:
        """The form of a payload that is hashed, sent and stored."""
        return self.encode(self, raw, dot) if raw.__class__ is tuple else raw

    def compact(self) -> None:
        """Give back what dead rows held."""
        if self.chunks_held:
            return
        for index in self.thin:
            self.actors[index].compact()
        self.thin.clear()

    # -- apply ------------------------------------------------------------------------------------------------------

    def ready(self, frame: Frame) -> bool:
        """Whether everything that the frame's author had seen is here: then it may be applied."""
        return frame.first - 1 <= self.applied(frame.actor) and all(self.applied(a) >= n for a, n in frame.deps.items())

    def apply(self, frame: Frame) -> Changes | None:
        """Take in a peer's frame that is `ready`. What changed for readers, or None if nothing of it was new."""
        rows = self.intern(frame.actor)
        if frame.last <= rows.applied:
            return None
        assert rows is not self.me, "own frames come from the own log only"
        self.seen.add(rows.index)
        return self._merge(rows, frame)

    def replay(self, frame: Frame) -> None:
        """A frame of the own log, at start: own or a peer's, over rows that may be there already."""
        rows = self.intern(frame.actor)
        if frame.last <= rows.applied:
            return
        self._merge(rows, frame)
        if rows is self.me:
            self.seen.clear()
            self._open()
        else:
            self.seen.add(rows.index)

    def _merge(self, rows: ActorRows, frame: Frame) -> Changes:
        leaving: _Leaving = {}
        for actor, gone in frame.removes.items():
            index = self.indexes.get(actor)
            if index is not None:
                self._remove(self.actors[index], gone, leaving)
        for path, vector in frame.ranges:
            self._remove_range(path, vector, leaving)
        changes: Changes = {}
        added = self._add(rows, frame.groups, rows.applied, changes)
        self._advance(rows, frame.last)
        self._settle(leaving, added, changes)
        if self.thin:
            self.compact()
        return changes

    def _remove(self, owner: ActorRows, gone: Runs, leaving: _Leaving) -> None:
        """The rows of these seqs, as far as they are live, leave their entries."""
        rows: list[Row] = []
        thin = False
        last: Entry | None = None
        cells: list[bytes | None] = []
        for start, stop in gone.spans():
            for chunk, i, j in owner.between(owner.base + start, owner.base + stop):
                died: list[int] = []
                columns = (range(i, j), chunk.dots[i:j], chunk.entries[i:j], chunk.fields[i:j], chunk.hlcs[i:j])
                for position, dot, entry, field, hlc in zip(*columns, strict=True):
                    if entry is not last:
                        last, cells = entry, self._leaves(entry, leaving)
                    raw = entry.discard(self, field, dot)
                    if raw is not GONE:
                        rows.append((dot, entry, field, raw, hlc))
                        cells.append(field)
                        died.append(position)
                thin |= chunk.lose(died)
        if rows:
            self._discount(owner, rows, thin)

    def _leaves(self, entry: Entry, leaving: _Leaving) -> list[bytes | None]:
        """Where to note the fields of an entry that lose a row."""
        cells = leaving.get(entry)
        if cells is None:
            cells = []
            leaving[entry] = cells if self.keys.get(entry.key) is entry else None
        return cells

    def _settle(self, leaving: _Leaving, added: _Cells, changes: Changes) -> None:
        """What left may have emptied entries; say so, but not of cells that were only overwritten."""
        overwritten = set(zip(map(id, added[0]), added[1], strict=True)) if leaving else ()
        for entry, fields in leaving.items():
            if not entry.visible():
                self.settle(entry)
            if not fields:
                continue
            name = id(entry)
            gone = entry.key not in self.keys
            if not (gone and entry.SINGLE) and any((name, field) not in overwritten for field in fields):
                changes[entry.key, entry.REMOVED] = None
            if gone:
                changes[entry.key, "del"] = None

    def _remove_range(self, path: tuple[bytes, ...], vector: Mapping[Actor, int], leaving: _Leaving) -> None:
        limit = {self.indexes[a]: n for a, n in vector.items() if a in self.indexes}
        entries = self.all_of(path[0]) if path else [e for k in {**self.keys, **self.hidden} for e in self.all_of(k)]
        doomed: dict[int, list[int]] = {}
        for entry in entries:
            if len(path) < 2 or bytes([entry.CODE]) == path[1]:
                for _, dot, raw in entry.rows():
                    if dot & SEQ_MASK <= limit.get(dot >> SEQ_BITS, 0) and dot <= self._committed(dot) and ranged(raw):
                        doomed.setdefault(dot >> SEQ_BITS, []).append(dot & SEQ_MASK)
        for index, seqs in doomed.items():
            self._remove(self.actors[index], Runs(sorted(seqs)), leaving)

    def _committed(self, dot: int) -> int:
        """The greatest dot of the same actor that stands in a frame."""
        return self.cut_dot if dot >> SEQ_BITS == self.me.index else dot

    def _add(self, rows: ActorRows, groups: list[Group], above: int, changes: Changes | None) -> _Cells:
        """Insert a peer's rows above seq `above`, index and hash them. The cells they went to."""
        kept = [group if group.seqs[0] > above else group.above(above) for group in groups]
        kept = [group for group in kept if len(group)]
        dots: list[int] = []
        entries: list[Entry] = []
        fields: list[bytes | None] = []
        for group in kept:
            added = [rows.base + seq for seq in group.seqs]
            dots += added
            if group.key is None:
                entries += self._insert_keys(group, added, changes)
                fields += repeat(None, len(added))
            else:
                entry = self._entry(group.code, group.key)
                entry.insert_all(self, group.fields, group.payloads, added)
                self._shown(entry, changes, entry.ADDED)
                entries += repeat(entry, len(added))
                fields += group.fields
        if kept:
            hlcs = list(chain.from_iterable(group.hlcs() for group in kept))
            if len(kept) > 1:
                order = sorted(range(len(dots)), key=dots.__getitem__)
                rows.extend(*([column[i] for i in order] for column in (dots, entries, fields, hlcs)))  # type: ignore[arg-type]
            else:
                rows.extend(dots, entries, fields, hlcs)
            self._count(rows, kept)
            self.clock.absorb(max(hlcs))
        return entries, fields

    def _insert_keys(self, group: Group, dots: list[int], changes: Changes | None) -> list[Entry]:
        """Rows of a type with a cell per key; the entry of each."""
        out: list[Entry] = []
        keys, hidden = self.keys, self.hidden
        for key, payload, dot in zip(group.fields, group.payloads or repeat(None), dots, strict=False):
            shown = keys.get(key)
            entry = shown if shown is not None and group.code == shown.CODE else self._entry(group.code, key)
            entry.insert(self, None, payload, dot)
            if shown is None and key not in hidden and entry.visible():
                keys[key] = shown = entry
            plain = payload is None or payload.__class__ is bytes
            self._shown(entry, changes, entry.ADDED if plain else entry.event(payload))
            out.append(entry)
        return out

    def _shown(self, entry: Entry, changes: Changes | None, event: str) -> None:
        """The entry has new rows: put it where it belongs, and say so if readers can see it."""
        key = entry.key
        if self.keys.get(key) is not entry or not entry.visible():
            self.settle(entry)
        if changes is not None and self.keys.get(key) is entry:
            changes[key, event] = None

    # -- snapshot and checkpoint ---------------------------------------------------------------------------------------

    def groups(self, chunk: Chunk, start: int = 0) -> list[Group]:
        """The live rows of a chunk from a position on, as groups."""
        columns = (chunk.dots[start:], chunk.entries[start:], chunk.fields[start:], chunk.hlcs[start:])
        rows: list[Row] = []
        for dot, entry, field, hlc in zip(*columns, strict=True):
            raw = entry.row(field, dot)
            if raw is not GONE:
                rows.append((dot, entry, field, raw, hlc))
        return grouped(rows, self.wire)

    def load(self, actor: Actor, start: int, groups: list[Group], limit: int) -> None:
        """Rows of the checkpoint segment (actor, start); an actor's segments come in order. Rows above `limit` are left
        to the log.
        """
        rows = self.intern(actor)
        kept = [group if group.seqs[-1] <= limit else group.upto(limit) for group in groups]
        kept = [group for group in kept if len(group)]
        before = len(rows.chunks)
        rows.divide()
        self._add(rows, kept, 0, None)
        if kept == groups and len(rows.chunks) == before + 1:
            rows.chunks[-1].saved = start

    def loaded(self, vector: Mapping[Actor, int]) -> None:
        """All segments are in: the state stands at this vector."""
        for actor, n in vector.items():
            self._advance(self.intern(actor), n)
        self.seen = {index for index, rows in self.actors.items() if rows.applied}
        self._open()

    def join(
        self, vector: Mapping[Actor, int], live: Mapping[Actor, Container[int]], rows: Mapping[Actor, list[Group]]
    ) -> Changes:
        """Join a snapshot: its vector, the seqs live in it, and the rows that this state lacks. Both sides have cut.

        Keep a row if it is live there or above their vector; take a row of theirs if it is above the own vector.
        """
        assert self.dot == self.cut_dot, "cut before a join"
        changes: Changes = {}
        leaving: _Leaving = {}
        for actor, n in vector.items():
            owner = self.intern(actor)
            theirs = live.get(actor, ())
            spans = owner.between(owner.base, owner.base + n + 1)
            seqs = (chunk.dots[k] - owner.base for chunk, i, j in spans for k in range(i, j))
            self._remove(owner, Runs(seq for seq in seqs if seq not in theirs), leaving)
        entries: list[Entry] = []
        fields: list[bytes | None] = []
        for actor, groups in rows.items():
            owner = self.intern(actor)
            added = self._add(owner, groups, owner.applied, changes)
            entries += added[0]
            fields += added[1]
        self._settle(leaving, (entries, fields), changes)
        for actor, n in vector.items():
            owner = self.intern(actor)
            if n > owner.applied:
                self._advance(owner, n)
                self.seen.add(owner.index)
        self.compact()
        self._open()
        return changes


def ranged(raw: Raw) -> bool:
    """Whether a range may take a row with this raw payload: counts and baselines are removed by name only."""
    return raw[0] == 0 if raw.__class__ is tuple else plain(raw)
