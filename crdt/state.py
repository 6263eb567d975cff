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

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Final

from crdt.clock import HybridClock
from crdt.columns import Dead, dead_hash, gathered
from crdt.dots import FIRST_OWN, MASK_64, MASK_128, SEQ_BITS, SEQ_MASK, Actor, Dot, Runs
from crdt.entry import GONE, LIFETIME, Entry, Leaving, Raw, Wire
from crdt.expiries import Expiries
from crdt.frame import Frame, Group, plain
from crdt.frozen import Frozen
from crdt.hashing import group_hash
from crdt.rows import ActorRows, Chunk, Taken
from crdt.shards import roomy
from crdt.types import numberwire

if TYPE_CHECKING:
    from crdt.types.expiry import ExpiryEntry

RANGE_FROM: Final = 64  # removing more rows than this names a range instead of every dot

Changes = dict[tuple[bytes, str], None]  # (key, event) in order, each once
_Emptied = dict[Entry, list[bytes | None] | None]  # entries that lose rows to a peer; the fields, if readers see them


class _Added:
    """What a peer's frame or snapshot brings: cells that got rows, what to tell of it (None: nothing), and what to tell
    if that entry is shown in the end.
    """

    __slots__ = ("changes", "entries", "fields", "unsure")

    def __init__(self, changes: Changes | None) -> None:
        self.changes = changes
        self.entries: list[Entry] = []
        self.fields: list[bytes | None] = []
        self.unsure: list[tuple[Entry, str]] = []


class State(Expiries):
    """One space's rows. `actor` names the life of the store that writes here."""

    __slots__ = (
        "actors", "chunks_held", "clock", "cut_dot", "dot", "entries", "fields", "frozen", "hash", "heals",
        "indexes", "latecomers", "live", "loading", "mark",
        "me", "orphans", "ranges", "removed", "seen", "stamp_hlcs", "stamp_starts", "streamed", "swept", "thin", "told",
        "vector_hash", "vector_sum",
    )  # fmt: skip

    def __init__(self, actor: Actor, clock: HybridClock | None = None) -> None:
        super().__init__()
        self.clock = clock or HybridClock()
        self.actors: dict[int, ActorRows] = {}
        self.indexes: dict[Actor, int] = {}
        self.chunks_held = False  # a checkpoint walks the chunks: none may move
        self.frozen: list[Frozen] = []  # those who still read what was live at an earlier moment
        self.hash = 0  # 128-bit sum over live rows, as of the last frame boundary
        self.vector_hash = 0
        self.vector_sum = 0
        self.latecomers: dict[bytes, dict[bytes, tuple[bytes, int]]] = {}  # of streams (crdt/types/streams.py)
        self.live = 0  # live rows as of the last frame boundary
        self.loading = False  # rows that were here before come back, in no order that means anything
        self.thin: set[int] = set()  # actors with chunks that are mostly dead
        self.told = True  # somebody wants to know what `apply` changed for readers
        self.seen: set[int] = set()  # actors applied since the own last cut: the next frame's deps
        self.orphans: list[tuple[Entry, bytes | None]] = []  # number cells that may hold baselines of own dead lineages
        self.dot = 0  # the own last operation, pending ones included
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
        return found[0].times(found[1:])[0]

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
        self.turn(wall_ms)
        if self.stamp_hlcs[-1] != self.clock.now:
            self.stamp(self.clock.now)

    def stamp(self, hlc: int) -> None:
        """The operations that follow carry this timestamp."""
        start = len(self.entries)
        if self.stamp_starts[-1] == start:
            self.stamp_hlcs[-1] = hlc
        else:
            self.stamp_starts.append(start)
            self.stamp_hlcs.append(hlc)

    def add(self, entry: Entry, field: bytes | None) -> int:
        """The next own dot, for a row that the caller puts into the entry."""
        self.dot += 1
        self.entries.append(entry)
        self.fields.append(field)
        return self.dot

    def add_all(self, entry: Entry, fields: list[bytes]) -> range:
        """`add` of many rows of one entry."""
        first = self.dot + 1
        self.dot += len(fields)
        self.entries += repeat(entry, len(fields))
        self.fields += fields
        return range(first, self.dot + 1)

    def gap(self) -> None:
        """An operation that only removes takes a dot as well."""
        self.dot += 1
        self.entries.append(None)
        self.fields.append(None)

    def retire(self, dot: int, entry: Entry, field: bytes | None, raw: Raw) -> bool:
        """The caller took this row out of the entry. False if it was pending: then its add vanishes with it."""
        if dot > self.cut_dot:
            return False
        removed = self.removed
        removed.dots.append(dot)
        removed.entries.append(entry)
        removed.fields.append(field)
        removed.raws.append(raw)
        return True

    def name_pending(self) -> None:
        """Something is about to name own dots, so none of them may be spent on another content any more."""
        self.mark = self.dot

    def ends(self, entry: ExpiryEntry) -> int:
        """When the rows under the key end."""
        return entry.ends(self)

    def bury(self, key: bytes) -> None:
        """A key whose lifetime is over: remove what is seen of it, expire rows included."""
        entries = self.all_of(key)
        for entry in entries:
            if entry.visible() or entry.CODE == LIFETIME:
                entry.erase(self)
        for entry in entries:
            self.place(entry)

    def release(self, key: bytes) -> None:
        """A key that has expire rows is set: it loses what is seen of them."""
        entry = self.lifetimes[key]
        if key in self.keys:
            entry.erase(self)
            self.place(entry)
        else:
            self.bury(key)

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
        self.removed = Dead()
        self.ranges: list[tuple[tuple[bytes, ...], dict[Actor, int]]] = []
        self.swept: list[tuple[Entry, Iterator[tuple[bytes | None, int, Raw]]]] = []
        self.heals: list[tuple[Actor, int, int]] = []  # see Frame
        self.streamed: set[bytes] = set()  # streams with pending entries: what comes to them, comes later

    def cut(self) -> Frame | None:
        """Turn everything pending into one frame; None if there is nothing."""
        if self.orphans or self.strays:
            self._drop_orphans()
        if self.dot == self.cut_dot:
            return None
        frame = Frame(self.me.actor, self.me.applied + 1, self.seq)
        frame.deps = {self.actors[i].actor: self.actors[i].applied for i in self.seen if i != self.me.index}
        frame.removes = self._settle_removed()
        frame.ranges = self.ranges
        frame.heals = self.heals
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
            self.place(entry)
        strays, self.strays = self.strays, {}
        for key in strays:
            lifetime = self.lifetimes.get(key)
            if lifetime is not None and key not in self.keys and key not in self.expired:
                lifetime.prune(self, None)
                self.place(lifetime)

    def _settle_removed(self) -> dict[Actor, Runs]:
        """Take the removed rows out of the books; those that no range covers, by actor."""
        if self.swept:
            swept = Dead()
            for entry, rows in self.swept:
                for field, dot, raw in rows:
                    if dot <= self.cut_dot:
                        swept.append(dot, entry, field, raw)
            for owner, dead in self._by_owner(swept):
                self._bury(owner, dead)
        return {owner.actor: self._bury(owner, dead) for owner, dead in self._by_owner(self.removed)}

    def _by_owner(self, dead: Dead) -> list[tuple[ActorRows, Dead]]:
        """Dead rows, parted by actor."""
        if not dead.dots:
            return []
        first = min(dead.dots) >> SEQ_BITS
        if first == self.me.index or first == max(dead.dots) >> SEQ_BITS:  # no dot is above an own one
            return [(self.actors[first], dead)]
        by: dict[int, Dead] = {}
        for i, dot in enumerate(dead.dots):
            found = by.get(dot >> SEQ_BITS)
            if found is None:
                found = by[dot >> SEQ_BITS] = Dead()
            found.append(dot, dead.entries[i], dead.fields[i], dead.raws[i])
        return [(self.actors[index], by[index]) for index in sorted(by)]

    def _bury(self, owner: ActorRows, dead: Dead) -> Runs:
        """Rows of one actor that the caller took out of their entries: out of the books; which they were."""
        base = owner.base
        seqs = [dot - base for dot in dead.dots]
        seqs.sort()
        self._discount(owner, dead, owner.bury(dead.dots))
        return Runs(seqs)

    def _discount(self, owner: ActorRows, dead: Dead, hlcs: list[int]) -> None:
        """Rows that died: out of the hash and the count."""
        if owner.thin:
            self.thin.add(owner.index)
        for frozen in self.frozen:
            frozen.keep(owner, dead, hlcs)
        self.live -= len(dead.dots)
        gone = dead_hash(owner.seed, dead, hlcs, self.contents)
        owner.hash = (owner.hash - gone) & MASK_128
        self.hash = (self.hash - gone) & MASK_128

    def _settle_added(self) -> list[Group]:
        """The pending rows that are still live, as groups; indexed and added to the hash."""
        entries, fields, starts = self.entries, self.fields, self.stamp_starts
        dots = range(self.cut_dot + 1, self.cut_dot + 1 + len(entries))
        hlcs: list[int] = []
        for stop, hlc in zip(chain(starts[1:], (len(entries),)), self.stamp_hlcs, strict=True):
            hlcs += repeat(hlc, stop - len(hlcs))
        groups, stale = gathered(dots, entries, fields, hlcs, self.wires)
        for i in stale:
            entries[i] = fields[i] = None
        self.me.extend(dots, entries, fields, hlcs, len(entries) - sum(map(len, groups)))
        self._count(self.me, groups)
        return groups

    def _count(self, owner: ActorRows, groups: list[Group]) -> None:
        """Rows that came: into the hash and the count."""
        self.live += sum(map(len, groups))
        came = sum(group_hash(owner.seed, group) for group in groups)
        owner.hash = (owner.hash + came) & MASK_128
        self.hash = (self.hash + came) & MASK_128

    def wire(self, raw: Raw, dot: int) -> Wire:
        """The form of a payload that is hashed, sent and stored."""
        return numberwire.encode(self, raw, dot) if raw.__class__ is tuple else raw

    def wires(self, raws: list[Raw], dots: list[int]) -> list[Wire]:
        """`wire` of a column."""
        return [
            numberwire.encode(self, raw, dot) if raw.__class__ is tuple else raw
            for raw, dot in zip(raws, dots, strict=True)
        ]

    def contents(self, raws: list[Raw], dots: list[int]) -> list[bytes]:
        """What is hashed of a column of structured payloads."""
        return [
            numberwire.content(self, raw, dot) if raw.__class__ is tuple else raw.data
            for raw, dot in zip(raws, dots, strict=True)
        ]

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
        """Take in a peer's frame that is `ready`. What changed for readers (some of it or nothing, if nobody is to be
        `told`), or None if nothing of it was new.
        """
        rows = self.intern(frame.actor)
        if frame.last <= rows.applied:
            return None
        assert rows is not self.me, "own frames come from the own log only"
        self.seen.add(rows.index)
        return self._merge(rows, frame, self.told)

    def replay(self, frame: Frame) -> None:
        """A frame of the own log, at start: own or a peer's, over rows that may be there already."""
        rows = self.intern(frame.actor)
        if frame.last <= rows.applied:
            return
        self._merge(rows, frame, False)
        if rows is self.me:
            self.seen.clear()
            self._open()
        else:
            self.seen.add(rows.index)

    def _merge(self, rows: ActorRows, frame: Frame, told: bool) -> Changes:
        """Rows that leave are taken out of the books first, then of their entries: by what replaces them, or alone."""
        leaving: Leaving = {}
        taken: list[tuple[ActorRows, Taken]] = []
        for actor, gone in frame.removes.items():
            index = self.indexes.get(actor)
            if index is not None:
                taken.append(self._take(self.actors[index], gone, leaving))
        emptied: _Emptied = {}
        for path, vector in frame.ranges:
            for owner, doomed in self._in_range(path, vector):
                taken.append(self._take(owner, doomed, leaving))
        changes: Changes = {}
        added = _Added(changes if told else None)
        self._add(rows, frame.groups, rows.applied, leaving, added)
        for owner, part in taken:
            self._drop(owner, part, leaving, emptied)
        self._advance(rows, frame.last)
        self._settle(emptied, added, changes)
        if self.lifetimes:
            self._reassess_all(emptied, added, changes)
        if self.thin:
            self.compact()
        return changes

    def _take(self, owner: ActorRows, gone: Runs, leaving: Leaving) -> tuple[ActorRows, Taken]:
        """The rows of these seqs leave the books, as far as they are live; `_drop` takes them out of the entries."""
        taken = owner.take(gone)
        leaving.update(zip(taken[0], repeat(GONE)))
        return owner, taken

    def _drop(self, owner: ActorRows, taken: Taken, leaving: Leaving, emptied: _Emptied) -> None:
        """What nothing has replaced leaves its entry as well; all of it is out of the hash then."""
        if len(taken[0]) > RANGE_FROM:
            self._drop_together(taken, leaving, emptied)
        dead, hlcs = Dead(), taken[3]
        dead.dots, dead.entries, dead.fields = taken[0], taken[1], taken[2]
        alone = False
        for dot in dead.dots:
            raw = leaving[dot]
            alone |= raw is GONE
            dead.raws.append(raw)
        if alone:
            dead, hlcs = self._drop_alone(owner, dead, hlcs, emptied)
        if dead.dots:
            self._discount(owner, dead, hlcs)

    def _drop_alone(self, owner: ActorRows, taken: Dead, hlcs: list[int], emptied: _Emptied) -> tuple[Dead, list[int]]:
        """`_drop`, where nothing has replaced some rows; all of them that are dead now."""
        dead = Dead()
        times: list[int] = []
        last: Entry | None = None
        cells: list[bytes | None] = []
        for i, dot in enumerate(taken.dots):
            entry, field, raw = taken.entries[i], taken.fields[i], taken.raws[i]
            if raw is GONE:
                raw = entry.discard(self, field, dot)
                if raw is GONE:  # removed here too, and that is not cut yet
                    owner.restore(dot, entry, field)
                    continue
                if entry is not last:
                    last, cells = entry, self._cells(entry, emptied)
                cells.append(field)
            dead.append(dot, entry, field, raw)
            times.append(hlcs[i])
        return dead, times

    def _drop_together(self, taken: Taken, leaving: Leaving, emptied: _Emptied) -> None:
        """Take many rows that one list loses at once out of it in a few steps, not one by one."""
        dots, entries, fields, _ = taken
        entry = entries[0]
        if not entry.PLACED or entries.count(entry) < len(entries):
            return
        raws = entry.discard_all(self, fields, dots)  # type: ignore[arg-type]
        leaving.update(zip(dots, raws, strict=True))
        self._cells(entry, emptied).extend(fields if GONE not in raws else compress(fields, map(GONE.__ne__, raws)))

    def _cells(self, entry: Entry, emptied: _Emptied) -> list[bytes | None]:
        """Where to note the fields of an entry that lose a row."""
        cells = emptied.get(entry)
        if cells is None:
            cells = []
            emptied[entry] = cells if self.keys.get(entry.key) is entry else None
        return cells

    def _settle(self, emptied: _Emptied, added: _Added, changes: Changes) -> None:
        """What left may have emptied entries; say so, but not of cells that were only overwritten."""
        for entry in emptied:
            if not entry.visible():
                self.place(entry)
        for entry, event in added.unsure:
            if self.keys.get(entry.key) is entry:
                changes[entry.key, event] = None
        overwritten = set(zip(map(id, added.entries), added.fields, strict=True)) if emptied else set()
        for entry, fields in emptied.items():
            if not fields:
                continue
            name = id(entry)
            gone = entry.key not in self.keys
            if not (gone and entry.SINGLE) and any((name, field) not in overwritten for field in fields):
                changes.pop((entry.key, entry.NOTED), None)
                changes[entry.key, entry.REMOVED] = None
            if gone:
                changes[entry.key, "del"] = None

    def _reassess_all(self, emptied: _Emptied, added: _Added, changes: Changes) -> None:
        """A peer's rows left some keys and came to some: their lifetimes may be others now."""
        before, self.lapsed = self.lapsed, []
        for key in dict.fromkeys(entry.key for entry in chain(emptied, added.entries)):
            if key in self.lifetimes:
                self.reassess(key)
                if key not in self.keys and key not in self.expired:
                    self.strays[key] = None
        for entry, event in added.unsure:
            if event and entry.CODE == LIFETIME and entry.key in self.keys:
                changes[entry.key, event] = None
        for key in self.lapsed:
            changes[key, "expired"] = None
        self.lapsed = before

    def _in_range(self, path: tuple[bytes, ...], vector: Mapping[Actor, int]) -> Iterator[tuple[ActorRows, Runs]]:
        """The live rows that a range removes, as seqs by actor."""
        limit = {self.indexes[a]: n for a, n in vector.items() if a in self.indexes}
        names: Iterable[bytes] = path[:1] or {**self.keys, **self.hidden, **self.lifetimes}
        entries = [entry for key in names for entry in self.all_of(key)]
        doomed: dict[int, list[int]] = {}
        for entry in entries:
            if len(path) < 2 or bytes([entry.CODE]) == path[1]:
                for _, dot, raw in entry.rows():
                    if dot & SEQ_MASK <= limit.get(dot >> SEQ_BITS, 0) and dot <= self._committed(dot) and ranged(raw):
                        doomed.setdefault(dot >> SEQ_BITS, []).append(dot & SEQ_MASK)
        for index, seqs in doomed.items():
            yield self.actors[index], Runs(sorted(seqs))

    def _committed(self, dot: int) -> int:
        """The greatest dot of the same actor that stands in a frame."""
        return self.cut_dot if dot >> SEQ_BITS == self.me.index else dot

    def _add(self, rows: ActorRows, groups: list[Group], above: int, leaving: Leaving, added: _Added) -> None:
        """Insert a peer's rows above seq `above`, index and hash them."""
        kept = [group if group.seqs[0] > above else group.above(above) for group in groups]
        kept = [group for group in kept if len(group)]
        if not kept:
            return
        dots: list[int] = []
        entries: list[Entry | None] = []
        fields: list[bytes | None] = []
        for group in kept:
            base = rows.base
            fresh = [base + seq for seq in group.seqs]
            dots += fresh
            if group.key is None:
                entries += self._insert_keys(group, fresh, leaving, added)
                fields += repeat(None, len(fresh))
            else:
                entry = self._entry(group.code, group.key)
                if leaving:
                    entry.swap_all(self, group.fields, group.payloads, fresh, leaving)
                else:
                    entry.insert_all(self, group.fields, group.payloads, fresh)
                self._shown(entry, entry.told(group.fields), added)
                entries += repeat(entry, len(fresh))
                fields += group.fields
        hlcs = list(chain.from_iterable(group.hlcs() for group in kept))
        added.entries += entries  # type: ignore[arg-type]
        added.fields += fields
        if len(kept) > 1:
            order = sorted(range(len(dots)), key=dots.__getitem__)
            dots, entries = [dots[i] for i in order], [entries[i] for i in order]
            fields, hlcs = [fields[i] for i in order], [hlcs[i] for i in order]
        contiguous = dots[-1] - dots[0] + 1 == len(dots)
        rows.extend(range(dots[0], dots[-1] + 1) if contiguous else dots, entries, fields, hlcs)
        self._count(rows, kept)
        self.clock.absorb(max(hlcs))

    def _insert_keys(self, group: Group, dots: list[int], leaving: Leaving, added: _Added) -> list[Entry]:
        """Rows of a type with a cell per key; the entry of each."""
        out: list[Entry] = []
        if not self.starting:
            self.keys = roomy(self.keys, len(dots))  # before: it must stay the same in here
        code, names, payloads = group.code, group.fields, group.payloads
        keys, hidden, expired, kind = self.keys, self.hidden, self.expired, self.kinds.get(code)
        changes = added.changes
        for i in range(len(names)):
            key, dot = names[i], dots[i]
            payload = None if payloads is None else payloads[i]
            shown = keys.get(key)
            entry = shown if shown is not None and type(shown) is kind else self._entry(code, key)
            out.append(entry)
            if entry.swap(self, None, payload, dot, leaving) and entry is shown:
                if changes is not None:
                    changes[key, _event(entry, payload)] = None
                continue
            if shown is None and key not in hidden and key not in expired and entry.visible():
                keys[key] = entry
            self._shown(entry, _event(entry, payload), added)
        return out

    def _shown(self, entry: Entry, event: str, added: _Added) -> None:
        """The entry has new rows: put it where it belongs, and say so if readers can see it."""
        key = entry.key
        if self.keys.get(key) is not entry or not entry.visible():
            self.place(entry)
        if added.changes is not None:
            added.unsure.append((entry, event))

    # -- snapshot and checkpoint ---------------------------------------------------------------------------------------

    def groups(self, chunk: Chunk, start: int = 0, stop: int | None = None) -> list[Group]:
        """The live rows of a chunk from a position on (up to another), as groups."""
        return gathered(*chunk.columns(start, len(chunk) if stop is None else stop), self.wires)[0]

    def load(self, actor: Actor, start: int, groups: list[Group], limit: int) -> None:
        """Rows of the checkpoint segment (actor, start); an actor's segments come in order. Rows above `limit` are left
        to the log.
        """
        self.loading = True
        rows = self.intern(actor)
        kept = [group if group.seqs[-1] <= limit else group.upto(limit) for group in groups]
        kept = [group for group in kept if len(group)]
        before = len(rows.chunks)
        rows.divide()
        self._add(rows, kept, 0, {}, _Added(None))
        if kept == groups and len(rows.chunks) == before + 1:
            rows.chunks[-1].saved = start

    def loaded(self, vector: Mapping[Actor, int]) -> None:
        """All segments are in: the state stands at this vector."""
        for key in list(self.lifetimes):
            self.reassess(key)
            if key not in self.keys:
                self.strays[key] = None
        self.stand_at(vector)

    def stand_at(self, vector: Mapping[Actor, int]) -> None:
        """All rows are in, and every lifetime was assessed."""
        self.loading = False
        for actor, n in vector.items():
            self._advance(self.intern(actor), n)
        self.seen = {index for index, rows in self.actors.items() if rows.applied}
        self._open()

    def include(self, actor: Actor, groups: list[Group]) -> None:
        """More rows of an actor, above all that are here, before `stand_at`."""
        self._add(self.intern(actor), groups, 0, {}, _Added(None))

    def trade(self, other: State) -> None:
        """Become what the other is, and the other what this one was. Nothing may be pending on either side.

        Time goes on: what is over by now leaves readers, who are told if they could see it before.
        """
        assert self.dot == self.cut_dot and other.dot == other.cut_dot, "cut before"
        self.keys, other.keys = other.keys, self.keys
        self.hidden, other.hidden = other.hidden, self.hidden
        self.lifetimes, other.lifetimes = other.lifetimes, self.lifetimes
        self.expired, other.expired = other.expired, self.expired
        self.contested, other.contested = other.contested, self.contested
        self.actors, other.actors = other.actors, self.actors
        self.schedule, self.next_deadline, self.latest = other.schedule, other.next_deadline, other.latest
        self.graves, self.strays = other.graves, other.strays
        self.latecomers, other.latecomers = other.latecomers, self.latecomers
        self.mortal, self.deadline_sum = other.mortal, other.deadline_sum
        self.contested_limit, self.indexes, self.me = other.contested_limit, other.indexes, other.me
        self.hash, self.live, self.thin = other.hash, other.live, other.thin
        self.vector_hash, self.vector_sum = other.vector_hash, other.vector_sum
        self.seen, self.orphans, self.chunks_held = other.seen, other.orphans, other.chunks_held
        self.frozen = []
        lapsed, self.lapsed = self.lapsed, other.lapsed
        self.turn(self.time_ms - self.offset_ms)
        self.lapsed = [*lapsed, *(key for key in self.lapsed if key in other.keys)]
        self._open()


def _event(entry: Entry, payload: Wire) -> str:
    """Keyspace event of a row that a peer added."""
    return entry.ADDED if payload is None or isinstance(payload, bytes) else entry.event(payload)


def ranged(raw: Raw) -> bool:
    """Whether a range may take a row with this raw payload: counts and baselines are removed by name only."""
    return raw[0] == 0 if raw.__class__ is tuple else plain(raw)
