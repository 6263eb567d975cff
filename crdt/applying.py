"""A frame being applied: which rows leave, which come, and what of it readers see.

Knows: the order that keeps the books right. Rows that leave are taken out of the books first (`take`), then out of
their entries: by the row that replaces them (`add`: an overwrite is the dear case, this halves it), or alone (`drop`).
Promises: books and entries hold the same rows before and after, except for removals that wait for the own cut;
`changes` names each key that readers see otherwise, with what happened to it.
Must not know: whether the frame may be applied, vectors, what the state does with its rows at a cut.

Rows of a checkpoint or a snapshot come in by `add` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Final

from crdt.columns import Dead
from crdt.dots import Actor, Runs
from crdt.entry import GONE, LIFETIME, Entry, Leaving, Opaque
from crdt.frame import Frame, Group
from crdt.ranges import doomed
from crdt.rows import NO_DOT, ActorRows, Taken
from crdt.shards import roomy

if TYPE_CHECKING:
    from crdt.state import State

TOGETHER: Final = 64  # more rows than this that one list loses go in a few steps

Changes = dict[tuple[bytes, str], None]  # (key, event) in order, each once


class Applying:
    """See the module. `told`: whether somebody wants to know what rows that come change; what leaves is always told."""

    __slots__ = ("_emptied", "_entries", "_fields", "_leaving", "_state", "_taken", "_told", "_unsure", "changes")

    def __init__(self, state: State, told: bool) -> None:
        self._state = state
        self._told = told
        self._leaving = Leaving()
        self._taken: list[tuple[ActorRows, Taken, int]] = []  # whose, which, and where they stand in `_leaving`
        self._emptied: dict[Entry, list[bytes | None] | None] = {}  # what lost rows; the fields, if readers see them
        self._entries: list[Entry] = []  # the cells that got rows ...
        self._fields: list[bytes | None] = []
        self._unsure: list[tuple[Entry, str]] = []  # ... and what to tell of those that are shown in the end
        self.changes: Changes = {}

    # -- rows that leave the books ------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """What the frame removes leaves the books, as far as it is live."""
        state = self._state
        for actor, gone in frame.removes.items():
            index = state.indexes.get(actor)
            if index is not None:
                self.take_rows(state.actors[index], gone)
        if frame.ranges:
            self._take_ranges(frame)

    def _take_ranges(self, frame: Frame) -> None:
        """Those over one path take together what the greatest number of each actor covers."""
        vectors: dict[tuple[bytes, ...], dict[Actor, int]] = {}
        for path, vector in frame.ranges:
            one = vectors.setdefault(path, {})
            for actor, n in vector.items():
                if n > one.get(actor, 0):
                    one[actor] = n
        for path, vector in vectors.items():
            for owner, gone in self._in_range(path, vector):
                self.take_rows(owner, gone)

    def take_rows(self, owner: ActorRows, gone: Runs) -> None:
        """The live rows of these seqs leave the books."""
        _, taken = owner.take(gone, NO_DOT, self._state.asked(owner))
        self._taken.append((owner, taken, self._leaving.extend(taken[0])))

    def _in_range(self, path: tuple[bytes, ...], vector: Mapping[Actor, int]) -> Iterator[tuple[ActorRows, Runs]]:
        """The live rows that a range removes, as seqs by actor."""
        state = self._state
        limits: dict[int, int] = {}
        for actor, n in vector.items():
            index = state.indexes.get(actor)
            if index is not None and state.actors[index].applied:
                limits[index] = min(n, state.actors[index].applied)
        for entry in state.all_of(path[0]):
            if len(path) == 1 or bytes([entry.CODE]) == path[1]:
                for index, seqs in doomed(state, entry, limits).items():
                    yield state.actors[index], Runs(seqs)

    # -- rows that come -----------------------------------------------------------------------------------------------

    def add(self, rows: ActorRows, groups: list[Group], above: int) -> None:
        """Rows of an actor above seq `above` come into their entries, the index and the count."""
        kept = [group if group.seqs[0] > above else group.above(above) for group in groups]
        kept = [group for group in kept if len(group)]
        if not kept:
            return
        state = self._state
        dots: list[int] = []
        entries: list[Entry | None] = []
        fields: list[bytes | None] = []
        hlcs: list[int] = []
        for group in kept:
            base = rows.base
            fresh = [base + seq for seq in group.seqs]
            dots += fresh
            if group.key is None:
                entries += self._put_keys(group, fresh)
                fields += repeat(None, len(fresh))
            else:
                entries += repeat(self._put_fields(group, fresh), len(fresh))
                fields += group.fields
            hlcs += group.hlcs()
        self._entries += entries  # type: ignore[arg-type]
        self._fields += fields
        if len(kept) > 1:
            order = sorted(range(len(dots)), key=dots.__getitem__)
            dots, entries = [dots[i] for i in order], [entries[i] for i in order]
            fields, hlcs = [fields[i] for i in order], [hlcs[i] for i in order]
        contiguous = dots[-1] - dots[0] + 1 == len(dots)
        rows.extend(range(dots[0], dots[-1] + 1) if contiguous else dots, entries, fields, hlcs)
        state.count(rows, kept)
        state.clock.absorb(max(hlc for group in kept for _, hlc in group.stamps))

    def _put_fields(self, group: Group, dots: list[int]) -> Entry:
        """Rows of one key of a type with fields; its entry."""
        state, key = self._state, group.key
        assert key is not None
        entry = state.entry(group.code, key)
        if self._leaving.places:
            entry.swap_all(state, group.fields, group.payloads, dots, self._leaving)
        else:
            entry.insert_all(state, group.fields, group.payloads, dots)
        self._place(entry)
        if self._told:
            self._unsure.append((entry, entry.told(group.fields)))
        return entry

    def _put_keys(self, group: Group, dots: list[int]) -> list[Entry]:
        """Rows of a type with a cell per key; the entry of each."""
        out: list[Entry] = []
        state, leaving = self._state, self._leaving
        if not state.starting:
            state.keys = roomy(state.keys, len(dots))  # before: it must stay the same in here
        code, names, payloads = group.code, group.fields, group.payloads
        keys, hidden, expired, kind = state.keys, state.hidden, state.expired, state.kinds.get(code)
        told, changes, find, added = self._told, self.changes, keys.get, (kind or Opaque).ADDED
        for i in range(len(names)):
            key, dot = names[i], dots[i]
            payload = None if payloads is None else payloads[i]
            shown = find(key)
            entry = shown if shown is not None and type(shown) is kind else state.entry(code, key)
            out.append(entry)
            swapped = entry.swap(state, None, payload, dot, leaving) and entry is shown
            if not swapped:
                if shown is None and key not in hidden and key not in expired and entry.visible():
                    keys[key] = entry
                else:
                    self._place(entry)
            if told:
                event = added if payload is None or isinstance(payload, bytes) else entry.event(payload)
                if swapped:
                    changes[key, event] = None
                else:
                    self._unsure.append((entry, event))
        return out

    def _place(self, entry: Entry) -> None:
        """The entry has new rows: put it where it belongs."""
        state = self._state
        if state.keys.get(entry.key) is not entry or not entry.visible():
            state.place(entry)

    # -- rows that nothing has replaced -------------------------------------------------------------------------------

    def drop(self) -> None:
        """What nothing has replaced leaves its entry as well; all that was taken is out of the count then."""
        for owner, taken, start in self._taken:
            self._drop(owner, taken, start)

    def _drop(self, owner: ActorRows, taken: Taken, start: int) -> None:
        if len(taken[0]) > TOGETHER:
            self._drop_together(taken, start)
        dead, hlcs = Dead(), taken[3]
        dead.dots, dead.entries, dead.fields = taken[0], taken[1], taken[2]
        dead.raws = self._leaving.raws[start : start + len(dead.dots)]
        if any(raw is GONE for raw in dead.raws):
            dead, hlcs = self._drop_alone(owner, dead, hlcs)
        if dead.dots:
            self._state.discount(owner, len(dead.dots), dead, hlcs)

    def _drop_together(self, taken: Taken, start: int) -> None:
        """Take many rows that one list loses at once out of it in a few steps, not one by one."""
        dots, entries, fields, _ = taken
        entry = entries[0]
        if not entry.PLACED or entries.count(entry) < len(entries):
            return
        raws = entry.discard_all(self._state, fields, dots)  # type: ignore[arg-type]
        self._leaving.raws[start : start + len(dots)] = raws
        self._cells(entry).extend(fields if GONE not in raws else compress(fields, map(GONE.__ne__, raws)))

    def _drop_alone(self, owner: ActorRows, taken: Dead, hlcs: list[int]) -> tuple[Dead, list[int]]:
        """`_drop`, where nothing has replaced some rows; all of them that are dead now."""
        dead = Dead()
        times: list[int] = []
        last: Entry | None = None
        cells: list[bytes | None] = []
        for i, dot in enumerate(taken.dots):
            entry, field, raw = taken.entries[i], taken.fields[i], taken.raws[i]
            if raw is GONE:
                raw = entry.discard(self._state, field, dot)
                if raw is GONE:  # removed here too, and that is not cut yet
                    owner.restore(dot, entry, field)
                    self._state.removed_twice.add(dot)
                    continue
                if entry is not last:
                    last, cells = entry, self._cells(entry)
                cells.append(field)
            dead.append(dot, entry, field, raw)
            if i < len(hlcs):
                times.append(hlcs[i])
        return dead, times

    def _cells(self, entry: Entry) -> list[bytes | None]:
        """Where to note the fields of an entry that lose a row."""
        cells = self._emptied.get(entry)
        if cells is None:
            cells = []
            self._emptied[entry] = cells if self._state.keys.get(entry.key) is entry else None
        return cells

    # -- what readers see ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """What left may have emptied entries, and what came may have made them: put them right, and say so."""
        self._tell()
        if self._state.lifetimes:
            self._reassess()

    def _tell(self) -> None:
        """Say what came where it is shown, and what left, but not of cells that were only overwritten."""
        state, changes = self._state, self.changes
        for entry in self._emptied:
            if not entry.visible():
                state.place(entry)
        for entry, event in self._unsure:
            if state.keys.get(entry.key) is entry:
                changes[entry.key, event] = None
        overwritten = set(zip(map(id, self._entries), self._fields, strict=True)) if self._emptied else set()
        for entry, fields in self._emptied.items():
            if not fields:
                continue
            name = id(entry)
            gone = entry.key not in state.keys
            if not (gone and entry.SINGLE) and any((name, field) not in overwritten for field in fields):
                changes.pop((entry.key, entry.NOTED), None)
                changes[entry.key, entry.REMOVED] = None
            if gone:
                changes[entry.key, "del"] = None

    def _reassess(self) -> None:
        """Rows left some keys and came to some: their lifetimes may be others now."""
        state, changes = self._state, self.changes
        before, state.lapsed = state.lapsed, []
        for key in dict.fromkeys(entry.key for entry in chain(self._emptied, self._entries)):
            if key in state.lifetimes:
                state.reassess(key)
                if key not in state.keys and key not in state.expired:
                    state.strays[key] = None
        for entry, event in self._unsure:
            if event and entry.CODE == LIFETIME and entry.key in state.keys:
                changes[entry.key, event] = None
        for key in state.lapsed:
            changes[key, "expired"] = None
        state.lapsed = before
