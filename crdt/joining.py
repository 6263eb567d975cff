"""Joining a snapshot: a second state is built beside the first, in slices, and takes its place in one step.

Knows: which rows of two sides make up their join. Promises: until `finish` nothing of it can be seen, and after it
all of it (invariant I16); operations go on meanwhile and are in the result; nothing is joined unless every row that is
live there, and above what was applied here, has come (so never one that was made for another vector); no step reads
more than one part, or puts more than PORTION rows into the new state. Must not know: who gave the rows, where they lie
meanwhile.

The join: a row of mine stays if it is live there or above their vector; a row of theirs comes if it is above mine.

The new state starts like one that is loaded from a checkpoint: rows first, in slices, then the frames that were applied
or cut since the beginning, which may remove rows that are not there any more. It costs as much as a start with all rows
of the result, and while it is built, the memory of the rows that both have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from crdt.applying import Changes
from crdt.dots import Actor, Runs
from crdt.entry import LIFETIME, Entry
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.frozen import SLICE
from crdt.rows import ActorRows
from crdt.shards import shed
from crdt.state import State

Part = tuple[int, int, Callable[[], list[Group]]]  # first seq, last seq, and what reads the rows of them
PORTION: Final = 512


class Joining:
    """See the module. `vector` and `live` are the other side's, `parts` says where its rows of an actor are.

    Parts may hold rows that are not live there, overlap, and come in any order; reading one may raise PeerError.
    `begin`, then `step` until it returns False; then `failed` if rows were missing, else `finish`.
    `vector` becomes that of the result, as far as it is known at the beginning.
    """

    __slots__ = ("_dropped", "_had", "_live", "_parts", "_state", "_theirs", "_walk", "abandoned", "begun", "failed",
                 "frames", "next", "vector")  # fmt: skip

    def __init__(
        self,
        state: State,
        vector: Mapping[Actor, int],
        live: Mapping[Actor, Runs],
        parts: Callable[[Actor], list[Part]],
    ) -> None:
        self._state = state
        self._theirs = vector
        self._live = live
        self._parts = parts
        self._had: dict[Actor, int] = {}
        self._walk: Iterator[None] | None = None
        self.vector = dict(vector)
        self.next = State(state.actor, state.clock)
        self.frames: deque[Frame] = deque()
        self._dropped: Changes = {}
        self.begun = False
        self.failed = False
        self.abandoned = False

    def begin(self) -> None:
        """What the state has now is one side of the join. It has just been cut."""
        state = self._state
        assert state.dot == state.cut_dot, "cut before a join"
        self._had = state.vector()
        for actor, n in self._had.items():
            self.vector[actor] = max(n, self.vector.get(actor, 0))
        self.next.latecomers = {key: dict(places) for key, places in state.latecomers.items()}
        self.next.loading = True
        state.chunks_held = True
        self.begun = True
        self._walk = self._steps()

    def step(self) -> bool:
        """One slice; False once everything known by now is in. May be called again when frames have followed."""
        if self.abandoned or self.failed:
            return False
        assert self.begun
        if self._walk is not None:
            if next(self._walk, True) is None:
                return True
            self._walk = None
        elif self.frames:
            self.next.replay(self.frames.popleft())
        return bool(self.frames) and not self.failed

    def follow(self, frame: Frame) -> None:
        """The state has applied this frame, or cut it."""
        if self.begun:
            self.frames.append(frame)

    def abandon(self) -> None:
        """It will not be finished; the state stays as it is."""
        self.abandoned = True
        self._walk = None
        if self.begun:
            self._state.chunks_held = False

    def finish(self) -> None:
        """The state becomes the join. Cut before, and let the frame follow. Then `changes` and `discard`."""
        assert self.begun and self._walk is None and not self.failed and not self.abandoned
        state, done = self._state, self.next
        while self.frames:
            done.replay(self.frames.popleft())
        seen = {state.actors[index].actor for index in state.seen}
        seen |= {actor for actor, n in self._theirs.items() if n > self._had.get(actor, 0)}
        done.seen = {done.indexes[actor] for actor in seen}
        state.trade(done)
        self._walk = self._dismantle()

    def changes(self) -> Iterator[tuple[bytes, str]]:
        """What has changed for readers, as (key, event), some of it twice; may be walked slowly after `finish`."""
        state = self._state
        for key, event in self._dropped:
            seen = key in state.keys
            if not seen if event == "del" else seen and key not in state.lifetimes if event == "persist" else True:
                yield key, event
        for actor in self._theirs:
            last: Entry | None = None
            for chunk, start in state.intern(actor).above(self._had.get(actor, 0)):
                for entry in chunk.entries[start:]:
                    if entry is not None and entry is not last and entry.key in state.keys:
                        yield entry.key, entry.ADDED
                    last = entry or last

    def discard(self) -> bool:
        """Give back a slice of what the state was before; False once there is nothing left."""
        return self._walk is not None and next(self._walk, True) is None

    def _dismantle(self) -> Iterator[None]:
        """Freeing a million rows at once would stand still for as long as freeing them one by one takes."""
        old = self.next
        for rows in old.actors.values():
            while rows.chunks:
                chunk = rows.chunks.pop()
                for at in range(0, len(chunk), PORTION):
                    for dot, entry, field, _ in zip(*chunk.columns(at, min(at + PORTION, len(chunk))), strict=True):
                        if entry is not None:
                            entry.discard(old, field, dot)
                    yield None
        while old.keys:
            shed(old.keys, SLICE)
            yield None

    # -- slices -------------------------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[None]:
        for rows in list(self._state.actors.values()):
            yield from self._keep(rows)
        self.next.loading = False  # what follows arrives now
        for actor, n in self._theirs.items():
            if n > self._had.get(actor, 0):
                yield from self._take(actor)
        if self.failed:
            self._state.chunks_held = False
            return
        yield from self._assess()
        self.next.stand_at(self.vector)

    def _assess(self) -> Iterator[None]:
        """When the keys end that do."""
        done = self.next
        done.time_ms, done.offset_ms = self._state.time_ms, self._state.offset_ms
        for number, key in enumerate(list(done.lifetimes)):
            done.reassess(key)
            if key not in done.keys and key not in done.expired:
                done.strays[key] = None
            if not number % SLICE:
                yield None

    def _keep(self, rows: ActorRows) -> Iterator[None]:
        """The own rows that stay. What is above the beginning comes with the frames that follow."""
        had, n, live = self._had.get(rows.actor, 0), self._theirs.get(rows.actor, 0), self._live.get(rows.actor)
        for chunk in list(rows.chunks):
            if chunk.dots[0] - rows.base > had:
                return
            for at in range(0, len(chunk), PORTION):
                groups = self._state.groups(chunk, at, min(at + PORTION, len(chunk)))
                if groups and chunk.dots[-1] - rows.base > had:
                    groups = _some([group.upto(had) for group in groups])
                if n:
                    groups = _some([self._stays(group, n, live or Runs()) for group in groups])
                self.next.include(rows.actor, groups)
                yield None

    def _stays(self, group: Group, n: int, live: Runs) -> Group:
        first, last = group.seqs[0], min(group.seqs[-1], n)
        if first > n or live.count(first, last) == last - first + 1:
            return group
        keep = [i for i, seq in enumerate(group.seqs) if seq > n or seq in live]
        if len(keep) == len(group):
            return group
        kept = set(keep)
        for key in {group.fields[i] if group.key is None else group.key for i in range(len(group)) if i not in kept}:
            entry = self._state.keys.get(key)
            if group.code == LIFETIME:
                self._dropped[key, "persist"] = None  # unless it has a lifetime in the end
            elif entry is not None and group.code == entry.CODE:
                if not entry.SINGLE:
                    self._dropped[key, entry.REMOVED] = None
                self._dropped[key, "del"] = None  # unless the key is there in the end
        return group.pick(keep)

    def _take(self, actor: Actor) -> Iterator[None]:
        """Their rows above what was applied here: all that are live there."""
        had, n, live = self._had.get(actor, 0), self._theirs[actor], self._live.get(actor, Runs())
        taken = 0
        try:
            for groups in _ascending(self._parts(actor)):
                for fresh in _portions(_some([self._comes(group, had, n, live) for group in groups])):
                    taken += sum(map(len, fresh))
                    self.next.include(actor, fresh)
                    yield None
        except PeerError:
            self.failed = True
        self.failed |= not self._complete(taken, live.count(had + 1, n))

    @staticmethod
    def _comes(group: Group, had: int, n: int, live: Runs) -> Group:
        first, last = group.seqs[0], group.seqs[-1]
        if first > had and last <= n and live.count(first, last) == last - first + 1:
            return group
        return group.pick([i for i, seq in enumerate(group.seqs) if had < seq <= n and seq in live])

    @staticmethod
    def _complete(taken: int, expected: int) -> bool:
        return taken == expected


def _some(groups: list[Group]) -> list[Group]:
    return [group for group in groups if len(group)]


def _ascending(parts: list[Part]) -> Iterator[list[Group]]:
    """The rows of the parts in ascending order, each once, about a part at a time."""
    parts = sorted(parts, key=lambda part: (part[0], part[1]))
    waiting: list[Group] = []
    done = 0
    for i, (_, _, read) in enumerate(parts):
        waiting += read()
        # What the next part may still come before has to wait.
        until = parts[i + 1][0] - 1 if i + 1 < len(parts) else max((g.seqs[-1] for g in waiting), default=0)
        ready = _some([_between(group, done, until) for group in waiting])
        waiting = [group.above(until) for group in waiting if group.seqs[-1] > until]
        done = max(done, until)
        if ready:
            yield _distinct(ready)


def _portions(groups: list[Group]) -> Iterator[list[Group]]:
    """The same rows in ascending order, so many at a time; once, with nothing, if there are none."""
    seqs = groups[0].seqs if len(groups) == 1 else sorted(seq for group in groups for seq in group.seqs)
    above = 0
    for at in range(PORTION, len(seqs), PORTION):
        upto = seqs[at - 1]
        yield _some([_between(group, above, upto) for group in groups])
        above = upto
    yield _some([_between(group, above, seqs[-1]) for group in groups]) if above else groups


def _between(group: Group, above: int, upto: int) -> Group:
    if group.seqs[0] > above and group.seqs[-1] <= upto:
        return group
    return group.pick([i for i, seq in enumerate(group.seqs) if above < seq <= upto])


def _distinct(groups: list[Group]) -> list[Group]:
    """Without the rows that stand in an earlier one of the groups as well."""
    if len(groups) == 1 or len({seq for group in groups for seq in group.seqs}) == sum(map(len, groups)):
        return groups
    seen: set[int] = set()
    out: list[Group] = []
    for group in groups:
        out.append(group.pick([i for i, seq in enumerate(group.seqs) if seq not in seen]))
        seen.update(group.seqs)
    return _some(out)
