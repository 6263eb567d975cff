"""The state of one space at one replica: a flat set of live rows and one version vector.

Knows: which rows are live, which own operations are not yet part of a frame, what of every actor has been applied.
Promises: the state is a function of the set of applied operations (invariant I3); equal vectors mean equal
state, and `hash` says so; memory is O(live rows + actors).
Must not know: messages, peers, disks, the time (the clock is told it).

A local operation (crdt/types) changes entries at once and leaves its trace in the pending lists; `cut` turns the trace
into a Frame; `apply` takes in a peer's (crdt/applying.py). The rules both rest on:

- Every operation takes a dot, removals included; position i of the pending lists is dot `cut_dot + 1 + i`.
- A pending row may be overwritten in place while nobody can have seen its dot, that is while it is above `mark`.
- Rows are hashed when somebody asks for `hash`, which describes the last frame boundary: of each actor those above
  the last that was hashed. Of those below it the ones that die are subtracted, in bulk. What comes and goes between two
  questions costs nothing.

Source: Almeida, Shoker, Baquero 2018 (dots, causal contexts); the join without tombstones follows Bieniusa et al.,
"An optimized conflict-free replicated set" (2012), given causal delivery.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from crdt.applying import Applying, Changes
from crdt.clock import HybridClock
from crdt.columns import Dead, dead_hash, gathered
from crdt.dots import FIRST_OWN, MASK_64, MASK_128, SEQ_BITS, SEQ_MASK, Actor, Dot, Runs
from crdt.entry import LIFETIME, Entry, Raw, Wire
from crdt.errors import PeerError
from crdt.expiries import Expiries
from crdt.frame import Frame, Group
from crdt.frozen import Frozen
from crdt.hashing import group_hash
from crdt.ranges import Reached
from crdt.rows import NO_DOT, ActorRows, Chunk
from crdt.types import numberwire

if TYPE_CHECKING:
    from crdt.types.expiry import ExpiryEntry

RANGE_FROM: Final = 64  # removing more rows than this names a range instead of every dot


class State(Expiries):
    """One space's rows. `actor` names the life of the store that writes here."""

    __slots__ = (
        "_hash", "_left", "_unhashed", "actors", "backlog", "chunks_held", "clock", "cut_dot", "dot", "entries",
        "fields", "frozen", "heals", "indexes", "latecomers", "live", "loading", "mark", "me", "orphans", "ranges",
        "reached", "removed", "removed_twice", "seen", "stamp_hlcs", "stamp_starts", "streamed", "swept", "thin",
        "told", "vector_hash", "vector_sum",
    )  # fmt: skip

    def __init__(self, actor: Actor, clock: HybridClock | None = None) -> None:
        super().__init__()
        self.clock = clock or HybridClock()
        self.actors: dict[int, ActorRows] = {}
        self.indexes: dict[Actor, int] = {}
        self.chunks_held = False  # a checkpoint walks the chunks: none may move
        self.frozen: list[Frozen] = []  # those who still read what was live at an earlier moment
        self._hash = 0  # 128-bit sum over the live rows that were hashed, as of the last frame boundary
        self._unhashed: set[int] = set()  # actors that may have others
        self.backlog = 0  # how many those are
        self._left: tuple[int, int, dict[int, Raw]] | None = None  # what `_leaving` found, of so many and so many
        self.vector_hash = 0
        self.vector_sum = 0
        self.latecomers: dict[bytes, dict[bytes, tuple[bytes, int]]] = {}  # of streams (crdt/types/streams.py)
        self.live = 0  # live rows as of the last frame boundary
        self.loading = False  # rows that were here before come back, in no order that means anything
        self.thin: set[int] = set()  # actors with chunks that are mostly dead
        self.told = True  # somebody wants to know what `apply` changed for readers
        self.reached = Reached()  # how far ranges have emptied entries
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
        """The rows of an actor, made when it is new. Raises PeerError if there are half a million others."""
        index = self.indexes.get(actor)
        if index is not None:
            return self.actors[index]
        if len(self.indexes) >= FIRST_OWN:
            raise PeerError("actors", f"no room for more than {FIRST_OWN} actors")
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

    def advance(self, rows: ActorRows, last: int) -> None:
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

    def unretire(self, at: int) -> None:
        """The row at this position of `removed` stays after all; the caller puts it back into its entry."""
        self.removed.drop(at)
        self._left = None

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
        self.swept: list[tuple[Entry, Iterable[tuple[bytes | None, int, Raw]]]] = []
        self.heals: list[tuple[Actor, int, int]] = []  # see Frame
        self.removed_twice: set[int] = set()  # dots of `removed` and `swept` that a peer's frame has removed as well
        self._left = None
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
        self.advance(self.me, frame.last)
        self._open()
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
        base, asked, found = owner.base, self.asked(owner), Dead()
        gone = Runs(sorted([dot - base for dot in dead.dots]))
        count, (found.dots, found.entries, found.fields, hlcs) = owner.take(gone, asked, asked)
        assert count == len(dead), "a row that was live is indexed until its death is in the books"
        if found.dots:
            raws = dict(zip(dead.dots, dead.raws, strict=True))
            found.raws = [raws[dot] for dot in found.dots]
        self.discount(owner, count, found, hlcs)
        return gone

    def asked(self, owner: ActorRows) -> int:
        """Up to which dot `discount` asks for rows that died: the others were not hashed, and nobody reads them."""
        return NO_DOT if self.frozen else owner.hashed

    def discount(self, owner: ActorRows, total: int, dead: Dead, hlcs: list[int]) -> None:
        """So many rows died: out of the hash and the count. `dead`, `hlcs`: those that are `asked` for, ascending."""
        if owner.thin:
            self.thin.add(owner.index)
        for frozen in self.frozen:
            frozen.keep(owner, dead, hlcs)
        self.live -= total
        known = bisect_right(dead.dots, owner.hashed)  # they ascend
        self.backlog -= total - known
        if known:
            self.add_hash(owner, -dead_hash(owner.seed, dead.before(known), hlcs, self.contents))

    def _settle_added(self) -> list[Group]:
        """The pending rows that are still live, as groups; indexed and counted."""
        entries, fields, starts = self.entries, self.fields, self.stamp_starts
        dots = range(self.cut_dot + 1, self.cut_dot + 1 + len(entries))
        hlcs: list[int] = []
        for stop, hlc in zip(chain(starts[1:], (len(entries),)), self.stamp_hlcs, strict=True):
            hlcs += repeat(hlc, stop - len(hlcs))
        groups, stale = gathered(dots, entries, fields, hlcs, self.wires)
        for i in stale:
            entries[i] = fields[i] = None
        self.me.extend(dots, entries, fields, hlcs, len(entries) - sum(map(len, groups)))
        self.count(self.me, groups)
        return groups

    def count(self, owner: ActorRows, groups: list[Group]) -> None:
        """Rows that came: into the count; into the hash when somebody asks for it."""
        came = sum(map(len, groups))
        self.live += came
        self.backlog += came
        self._unhashed.add(owner.index)

    # -- hash -------------------------------------------------------------------------------------------------------

    @property
    def hash(self) -> int:
        """128-bit sum over the live rows, as of the last frame boundary. O(backlog): see `hash_some`."""
        self.hash_all()
        return self._hash

    def hash_all(self) -> None:
        """Hash all of the backlog."""
        self.hash_some(SEQ_MASK)

    def add_hash(self, owner: ActorRows, difference: int) -> None:
        """The hash of an actor's rows is another one."""
        owner.hash = (owner.hash + difference) & MASK_128
        self._hash = (self._hash + difference) & MASK_128

    def unhashed(self) -> int:
        """How many rows `hash_some` has to look at, dead ones included, for the backlog to be hashed. O(chunks)."""
        above = (self.actors[index].above(self.actors[index].hashed & SEQ_MASK) for index in self._unhashed)
        return sum(len(chunk) - start for found in above for chunk, start in found)

    def hash_some(self, rows: int) -> bool:
        """Hash some rows of the backlog, after a look at about so many; True if that was all."""
        while self.backlog and rows > 0:
            index = next(iter(self._unhashed))
            owner = self.actors[index]
            for chunk, start in owner.above(owner.hashed & SEQ_MASK):
                stop = min(len(chunk), start + rows)
                stale = self._hash_part(owner, chunk, start, stop)
                if stale:  # their removal waits for the own cut
                    self._hash_stale(owner, chunk, stale)
                owner.hashed = chunk.dots[stop - 1]
                rows -= stop - start
                if rows <= 0:
                    break
            else:
                self._unhashed.discard(index)
        return not self.backlog

    def _hash_part(self, owner: ActorRows, chunk: Chunk, start: int, stop: int) -> list[int]:
        """Hash the rows between two positions that their entries hold; where the others are."""
        groups, stale = gathered(*chunk.columns(start, stop), self.wires)
        self.add_hash(owner, sum(group_hash(owner.seed, group) for group in groups))
        self.backlog -= sum(map(len, groups))
        return [start + i for i in stale]

    def _hash_stale(self, owner: ActorRows, chunk: Chunk, positions: list[int]) -> None:
        """Hash rows that their entries hold no longer.

        One that nothing has removed was lost by a defect. It is passed over: then the hash is another one than peers
        have, and the row is found and mended.
        """
        leaving = self._leaving()
        dead, held = Dead(), [i for i in positions if chunk.dots[i] in leaving]
        for i in held:
            entry, field = chunk.cell(i)
            assert entry is not None, "dead in the books is not stale"
            dead.append(chunk.dots[i], entry, field, leaving[chunk.dots[i]])
        self.add_hash(owner, dead_hash(owner.seed, dead, chunk.times(held), self.contents))
        self.backlog -= len(positions)

    def _leaving(self) -> dict[int, Raw]:
        """The payloads of committed rows that left their entries since the last cut, by dot.

        They are kept for the next slice, as long as nothing else leaves.
        """
        removed, swept = len(self.removed), len(self.swept)
        if self._left is None or self._left[0] != removed or self._left[1] != swept:
            self.swept = [(entry, list(rows)) for entry, rows in self.swept]
            found: dict[int, Raw] = dict(zip(self.removed.dots, self.removed.raws, strict=True))
            for _, rows in self.swept:
                for _, dot, raw in rows:
                    found[dot] = raw
            self._left = removed, swept, found
        return self._left[2]

    # -- wire -------------------------------------------------------------------------------------------------------

    def wire(self, raw: Raw) -> Wire:
        """The form of a payload that is hashed, sent and stored."""
        return numberwire.encode(self, raw) if type(raw) is tuple else raw

    def wires(self, raws: list[Raw]) -> list[Wire]:
        """`wire` of a column."""
        return [numberwire.encode(self, raw) if type(raw) is tuple else raw for raw in raws]

    def contents(self, raws: list[Raw]) -> list[bytes]:
        """What is hashed of a column of structured payloads."""
        return [numberwire.content(self, raw) if type(raw) is tuple else raw.data for raw in raws]

    def compact(self) -> bool:
        """Give back some of what dead rows held: a step for one actor. True while there is more, and it may be."""
        if self.chunks_held or not self.thin:
            return False
        index = next(iter(self.thin))
        if not self.actors[index].compact():
            self.thin.discard(index)
        return bool(self.thin)

    # -- apply ------------------------------------------------------------------------------------------------------

    def ready(self, frame: Frame) -> bool:
        """Whether everything that the frame's author had seen is here: then it may be applied."""
        return self.lacks(frame) is None

    def lacks(self, frame: Frame) -> tuple[Actor, int] | None:
        """Something that the frame's author had seen and that is not here: of whom, up to which operation."""
        if frame.first - 1 > self.applied(frame.actor):
            return frame.actor, frame.first - 1
        return self.unseen(frame)

    def unseen(self, frame: Frame) -> tuple[Actor, int] | None:
        """`lacks`, but for what the author itself wrote before.

        What an honest frame speaks of is here with what it depends on. If it is not, the frame is made up, or part of
        two histories under one name, and waits for it as well: then a removal finds what it removes, and nobody is
        known for being spoken of.
        """
        for actor, n in frame.causes():
            if n > self.applied(actor):
                return actor, n
        return None

    def apply(self, frame: Frame) -> Changes | None:
        """Take in a peer's frame that is `ready`. What changed for readers (some of it or nothing, if nobody is to be
        `told`), or None if nothing of it was new. Raises PeerError, and then nothing has changed, where `intern` does.
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
        applying = Applying(self, told)
        applying.take(frame)
        applying.add(rows, frame.groups, rows.applied)
        applying.drop()
        self.advance(rows, frame.last)
        applying.settle()
        self.compact()
        return applying.changes

    def committed(self, dot: int) -> int:
        """The greatest dot of the same actor that stands in a frame."""
        return self.cut_dot if dot >> SEQ_BITS == self.me.index else dot

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
        Applying(self, False).add(rows, kept, 0)
        if kept == groups and len(rows.chunks) == before + 1:
            rows.chunks[-1].saved = (start,)

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
            self.advance(self.intern(actor), n)
        self.seen = {index for index, rows in self.actors.items() if rows.applied}
        self._open()

    def include(self, actor: Actor, groups: list[Group]) -> None:
        """More rows of an actor, above all that are here, before `stand_at`."""
        Applying(self, False).add(self.intern(actor), groups, 0)

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
        self._hash, self._unhashed, self.backlog = other._hash, other._unhashed, other.backlog
        self.live, self.thin = other.live, other.thin
        self.vector_hash, self.vector_sum = other.vector_hash, other.vector_sum
        self.seen, self.orphans, self.chunks_held = other.seen, other.orphans, other.chunks_held
        self.frozen, self.reached = [], other.reached
        lapsed, self.lapsed = self.lapsed, other.lapsed
        self.turn(self.time_ms - self.offset_ms)
        self.lapsed = [*lapsed, *(key for key in self.lapsed if key in other.keys)]
        self._open()
