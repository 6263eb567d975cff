"""The state of one space at one replica: a flat set of live rows and one version vector.

Knows: which rows are live, which own operations are not yet part of a frame, what of every actor has been applied.
Promises: the state is a function of the set of applied operations (DESIGN invariant I3); equal vectors mean equal
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

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final

import msgpack
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from crdt.clock import HybridClock
from crdt.dots import FIRST_OWN, MASK_64, MASK_128, SEQ_BITS, SEQ_MASK, Actor, Dot, Runs
from crdt.entry import GONE, Entry, Gone, Opaque, Raw, Wire
from crdt.frame import Frame, Group, plain, stamps_of
from crdt.rows import ActorRows, Chunk

_CLOCK_FACTOR: Final = 0x9E3779B97F4A7C15  # odd, so that every timestamp keeps its 64 bits
_TYPE_FACTOR: Final = 0xC2B2AE3D27D4EB4F
_STRUCTURED: Final = 0x165667B19E3779F9
RANGE_FROM: Final = 64  # removing more rows than this names a range instead of every dot

Changes = dict[tuple[bytes, str], None]  # (key, event) in order, each once


class State:
    """One space's rows. `actor` names the life of the store that writes here."""

    __slots__ = (
        "actors", "chunks_held", "clock", "contested", "cut_dot", "dot", "entries", "fields", "hash", "hidden", "indexes", "keys", "live",
        "mark", "me", "orphans", "ranges", "removed", "seen", "stamp_hlcs", "stamp_starts", "swept", "thin", "vector_hash", "vector_sum",
    )  # fmt: skip

    def __init__(self, actor: Actor, clock: HybridClock | None = None) -> None:
        self.clock = clock or HybridClock()
        self.keys: dict[bytes, Entry] = {}  # the shown entry of every visible key
        self.hidden: dict[bytes, list[Entry]] = {}  # entries of other types under a key, and entries of baselines alone
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
        self.contested: dict[tuple[int, bytes | None], tuple[Entry, bytes | None]] = {}  # cells seen with siblings
        self.me = self._admit(actor, FIRST_OWN)
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

    def find(self, key: bytes, cls: type[Entry]) -> Entry | None:
        """The entry of this type under the key, shown or not."""
        entry = self.keys.get(key)
        if entry.__class__ is cls:
            return entry
        if self.hidden:
            for other in self.hidden.get(key, ()):
                if other.__class__ is cls:
                    return other
        return None

    def create(self, cls: type[Entry], key: bytes) -> Entry:
        """An entry for a key that is not visible; the caller puts a visible row into it."""
        entry = self.find(key, cls) if self.hidden else None
        if entry is None:
            entry = cls(key)
        else:
            self._unhide(entry)
        self.keys[key] = entry
        return entry

    def settle(self, entry: Entry) -> None:
        """Rows left the entry, or came: put it where readers, or only peers, will find it."""
        key = entry.key
        shown = self.keys.get(key)
        if entry.visible():
            if shown is entry:
                return
            self._unhide(entry)
            if shown is not None and shown.RANK < entry.RANK:
                self.hidden.setdefault(key, []).append(entry)
                return
            if shown is not None:
                self.hidden.setdefault(key, []).append(shown)
            self.keys[key] = entry
            return
        if shown is entry:
            del self.keys[key]
            best = min((e for e in self.hidden.get(key, ()) if e.visible()), key=lambda e: e.RANK, default=None)
            if best is not None:
                self._unhide(best)
                self.keys[key] = best
        else:
            self._unhide(entry)
        if not entry.empty():
            self.hidden.setdefault(key, []).append(entry)

    def _unhide(self, entry: Entry) -> None:
        others = self.hidden.get(entry.key)
        if others and entry in others:
            others.remove(entry)
            if not others:
                del self.hidden[entry.key]

    def all_of(self, key: bytes) -> list[Entry]:
        """Every entry under the key, the shown one first."""
        shown = self.keys.get(key)
        others = self.hidden.get(key, ()) if self.hidden else ()
        return [*([shown] if shown is not None else ()), *others]

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
        self.removed: list[tuple[int, Entry, bytes | None, Raw]] = []
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
        """Subtract the removed rows from the hash; the committed ones, by actor."""
        removes: dict[Actor, list[int]] = {}
        for dot, entry, field, raw in self.removed:
            self._subtract(dot, entry, field, raw)
            removes.setdefault(self.actors[dot >> SEQ_BITS].actor, []).append(dot & SEQ_MASK)
        for entry, rows in self.swept:
            for field, dot, raw in rows:
                if dot <= self.cut_dot:
                    self._subtract(dot, entry, field, raw)
        return {actor: Runs(sorted(seqs)) for actor, seqs in removes.items()}

    def _settle_added(self) -> list[Group]:
        """The pending rows that are still live, as groups; indexed and added to the hash."""
        by: dict[Any, list[int]] = {}
        for i, entry in enumerate(self.entries):
            if entry is not None:
                by.setdefault(entry.CODE if self.fields[i] is None else entry, []).append(i)
        groups = []
        rows: list[tuple[int, Entry, bytes | None, int]] = []
        for where, positions in by.items():
            group = self._gather(where, positions, rows)
            if group is not None:
                groups.append(group)
        self._index(self.me, rows, ordered=len(groups) < 2)
        return groups

    def _gather(self, where: Any, positions: list[int], rows: list[tuple[int, Entry, bytes | None, int]]) -> Group | None:
        single = isinstance(where, int)
        base, entries, fields = self.cut_dot + 1, self.entries, self.fields
        names: list[bytes] = []
        payloads: list[Wire] = []
        seqs: list[int] = []
        hlcs: list[int] = []
        starts, stamps = self.stamp_starts, self.stamp_hlcs
        at, until = -1, 0
        low = base - self.me.base
        for i in positions:
            entry = entries[i] if single else where
            field = fields[i]
            raw = entry.row(field, base + i)
            if raw is GONE:
                continue
            while i >= until:
                at += 1
                until = starts[at + 1] if at + 1 < len(starts) else len(entries)
            names.append(entry.key if single else field)
            payloads.append(raw if raw is None or raw.__class__ is bytes else self.wire(raw, base + i))
            seqs.append(low + i)
            hlcs.append(stamps[at])
            rows.append((base + i, entry, field, stamps[at]))
        if not seqs:
            return None
        none = payloads[0] is None and not any(payload is not None for payload in payloads)
        code, key = (where, None) if single else (where.CODE, where.key)
        group = Group(code, key, names, None if none else payloads, seqs, stamps_of(hlcs))
        self.hash = (self.hash + group_hash(self.me.seed, group)) & MASK_128
        return group

    def _index(self, owner: ActorRows, rows: list[tuple[int, Entry, bytes | None, int]], ordered: bool) -> None:
        if not rows:
            return
        if not ordered:
            rows.sort(key=lambda row: row[0])
        dots, entries, fields, hlcs = zip(*rows, strict=True)
        owner.extend(list(dots), list(entries), list(fields), array("Q", hlcs))
        self.live += len(rows)

    def _subtract(self, dot: int, entry: Entry, field: bytes | None, raw: Raw) -> None:
        """A committed row died: take it out of the hash and count it in its chunk."""
        owner = self.actors[dot >> SEQ_BITS]
        found = owner.locate(dot)
        assert found is not None, "a row that was live is indexed until the next compaction"
        chunk, i = found
        chunk.dead += 1
        chunk.saved = None
        if chunk.dead * 2 > len(chunk.dots):
            self.thin.add(owner.index)
        self.live -= 1
        gone = row_hash(owner.seed, entry.CODE, entry.key, field, self.wire(raw, dot), dot & SEQ_MASK, chunk.hlcs[i])
        self.hash = (self.hash - gone) & MASK_128

    def wire(self, raw: Raw, dot: int) -> Wire:
        """The form of a payload that is hashed, sent and stored."""
        if raw is None or raw.__class__ is bytes or raw.__class__ is msgpack.ExtType:
            return raw
        from crdt.types import number

        return number.encode(self, raw, dot)

    def compact(self) -> None:
        """Give back what dead rows held. Not while something is pending: a cut needs the timestamps of removed rows."""
        if self.chunks_held or self.dot != self.cut_dot:
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
        have = rows.applied
        changes: Changes = {}
        for actor, gone in frame.removes.items():
            index = self.indexes.get(actor)
            if index is not None:
                owner = self.actors[index]
                for start, stop in gone.spans():
                    for chunk, i, j in owner.between(owner.base + start, owner.base + stop):
                        for k in range(i, j):
                            self._drop(chunk.entries[k], chunk.fields[k], chunk.dots[k], changes)
        for path, vector in frame.ranges:
            self._remove_range(path, vector, changes)
        self._add(rows, frame.groups, have, changes)
        self._advance(rows, frame.last)
        if self.thin:
            self.compact()
        return changes

    def _drop(self, entry: Entry, field: bytes | None, dot: int, changes: Changes) -> None:
        raw = entry.discard(self, field, dot)
        if isinstance(raw, Gone):
            return
        self._subtract(dot, entry, field, raw)
        changes[entry.key, entry.REMOVED] = None
        if not entry.visible():
            self.settle(entry)
            if entry.key not in self.keys:
                changes[entry.key, "del"] = None

    def _remove_range(self, path: tuple[bytes, ...], vector: Mapping[Actor, int], changes: Changes) -> None:
        limit = {self.indexes[a]: n for a, n in vector.items() if a in self.indexes}
        entries = self.all_of(path[0]) if path else [e for k in [*self.keys, *self.hidden] for e in self.all_of(k)]
        for entry in entries:
            if len(path) > 1 and bytes([entry.CODE]) != path[1]:
                continue
            doomed = [
                (field, dot)
                for field, dot, raw in entry.rows()
                if dot & SEQ_MASK <= limit.get(dot >> SEQ_BITS, 0) and dot <= self._committed(dot) and ranged(raw)
            ]
            for field, dot in doomed:
                self._drop(entry, field, dot, changes)

    def _committed(self, dot: int) -> int:
        """The greatest dot of the same actor that stands in a frame."""
        return self.cut_dot if dot >> SEQ_BITS == self.me.index else dot

    def _add(self, rows: ActorRows, groups: list[Group], above: int, changes: Changes | None) -> None:
        """Insert a peer's rows above seq `above`, index and hash them."""
        added: list[tuple[int, Entry, bytes | None, int]] = []
        top = 0
        for group in groups:
            if group.seqs[0] <= above:
                group = group.pick([i for i, seq in enumerate(group.seqs) if seq > above])
                if not len(group):
                    continue
            self._add_group(rows, group, added, changes)
            self.hash = (self.hash + group_hash(rows.seed, group)) & MASK_128
            top = max(top, max(hlc for _, hlc in group.stamps))
        self._index(rows, added, ordered=len(groups) < 2)
        if top:
            self.clock.absorb(top)

    def _add_group(
        self, rows: ActorRows, group: Group, added: list[tuple[int, Entry, bytes | None, int]], changes: Changes | None
    ) -> None:
        base, payloads = rows.base, group.payloads
        single = group.key is None
        entry = None if group.key is None else self._entry(group.code, group.key)
        for i, (name, seq, hlc) in enumerate(zip(group.fields, group.seqs, group.hlcs(), strict=True)):
            if single:
                entry = self._entry(group.code, name)
            assert entry is not None
            field = None if single else name
            entry.insert(self, field, None if payloads is None else payloads[i], base + seq)
            added.append((base + seq, entry, field, hlc))
            if single:
                self._shown(entry, changes)
        if entry is not None and not single:
            self._shown(entry, changes)

    def _shown(self, entry: Entry, changes: Changes | None) -> None:
        if self.keys.get(entry.key) is not entry or not entry.visible():
            self.settle(entry)
        if changes is not None:
            changes[entry.key, entry.ADDED] = None

    def _entry(self, code: int, key: bytes) -> Entry:
        entry = self.keys.get(key)
        if entry is not None and entry.CODE == code:
            return entry
        for other in self.hidden.get(key, ()):
            if other.CODE == code:
                return other
        from crdt.types.catalog import entry_class

        cls = entry_class(code)
        return Opaque(key, code) if cls is None else cls(key)

    # -- snapshot and checkpoint ---------------------------------------------------------------------------------------

    def groups(self, chunk: Chunk, start: int = 0) -> list[Group]:
        """The live rows of a chunk from a position on, as groups."""
        by: dict[Any, list[int]] = {}
        for i in chunk.live():
            if i >= start:
                entry = chunk.entries[i]
                by.setdefault(entry.CODE if chunk.fields[i] is None else entry, []).append(i)
        out = []
        for where, positions in by.items():
            single = isinstance(where, int)
            names = [chunk.entries[i].key if single else chunk.fields[i] for i in positions]
            payloads = [self.wire(chunk.entries[i].row(chunk.fields[i], chunk.dots[i]), chunk.dots[i]) for i in positions]
            seqs = [chunk.dots[i] & SEQ_MASK for i in positions]
            none = all(payload is None for payload in payloads)
            stamps = stamps_of(chunk.hlcs[i] for i in positions)
            code, key = (where, None) if single else (where.CODE, where.key)
            out.append(Group(code, key, names, None if none else payloads, seqs, stamps))  # type: ignore[arg-type]
        return out

    def load(self, actor: Actor, start: int, groups: list[Group], limit: int) -> None:
        """Rows of the checkpoint segment (actor, start); an actor's segments come in order. Rows above `limit` are left
        to the log.
        """
        rows = self.intern(actor)
        kept = [g.pick([i for i, seq in enumerate(g.seqs) if seq <= limit]) if g.seqs[-1] > limit else g for g in groups]
        kept = [g for g in kept if len(g)]
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

    def join(self, vector: Mapping[Actor, int], live: Mapping[Actor, Container[int]], rows: Mapping[Actor, list[Group]]) -> Changes:
        """Join a snapshot: its vector, the seqs live in it, and the rows that this state lacks. Both sides have cut.

        Keep a row if it is live there or above their vector; take a row of theirs if it is above the own vector.
        """
        assert self.dot == self.cut_dot, "cut before a join"
        changes: Changes = {}
        for actor, n in vector.items():
            owner = self.intern(actor)
            theirs = live.get(actor, ())
            for chunk, i, j in owner.between(owner.base, owner.base + n + 1):
                for k in range(i, j):
                    if chunk.dots[k] - owner.base not in theirs:
                        self._drop(chunk.entries[k], chunk.fields[k], chunk.dots[k], changes)
        for actor, groups in rows.items():
            owner = self.intern(actor)
            self._add(owner, groups, owner.applied, changes)
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


# -- hashing: part of the wire version -------------------------------------------------------------------------------------


def row_hash(actor_seed: int, code: int, key: bytes, field: bytes | None, payload: Wire, seq: int, hlc: int) -> int:
    """128-bit hash of one row; xxh3 with dot, type, key and time in the seed. Against defects, not against forgery."""
    seed = (xxh3_64_intdigest(key, actor_seed ^ (code * _TYPE_FACTOR & MASK_64)) + hlc * _CLOCK_FACTOR + seq) & MASK_64
    if payload is None:
        return xxh3_128_intdigest(field or b"", seed)
    if payload.__class__ is not bytes:
        seed ^= _STRUCTURED
        payload = payload.data
    if field is not None:
        seed = xxh3_64_intdigest(field, seed)
    return xxh3_128_intdigest(payload, seed)


def group_hash(actor_seed: int, group: Group) -> int:
    """Sum of the row hashes of a group (not reduced mod 2^128)."""
    if group.key is None or group.payloads is not None:
        payloads = group.payloads or [None] * len(group)
        single = group.key is None
        return sum(
            row_hash(actor_seed, group.code, name if single else group.key, None if single else name, payload, seq, hlc)  # type: ignore[arg-type]
            for name, payload, seq, hlc in zip(group.fields, payloads, group.seqs, group.hlcs(), strict=True)
        )
    base = xxh3_64_intdigest(group.key, actor_seed ^ (group.code * _TYPE_FACTOR & MASK_64))
    if len(group.stamps) == 1:
        base += group.stamps[0][1] * _CLOCK_FACTOR
        seeds = [(base + seq) & MASK_64 for seq in group.seqs]
    else:
        seeds = [(base + hlc * _CLOCK_FACTOR + seq) & MASK_64 for seq, hlc in zip(group.seqs, group.hlcs(), strict=True)]
    return sum(map(xxh3_128_intdigest, group.fields, seeds))
