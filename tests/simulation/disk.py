"""A disk of the simulator: what daemon/store.py promises, in memory.

Knows: the log, floors and checkpoint of one store; which commits a power loss may take back.
Promises: a commit is there in full or not at all; after a crash of the process the disk holds every finished commit,
after a power loss a prefix of them that contains everything synced; the floor never passes the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from crdt.codec import decode_frame, decode_rows, encode_rows
from crdt.dots import SEQ_MASK, Actor
from crdt.replica.effects import LogFrame, Stage
from crdt.state import State

Segments = list[tuple[Actor, int, bytes]]


@dataclass(frozen=True, slots=True)
class Image:
    """Everything on a disk at one moment. `log`: (place, frame); places count up for ever. Never changed in place."""

    log: tuple[tuple[int, LogFrame], ...] = ()
    floors: Mapping[Actor, int] = field(default_factory=dict)
    vector: Mapping[Actor, int] = field(default_factory=dict)  # of the checkpoint
    segments: tuple[tuple[Actor, int, bytes], ...] = ()
    start: int = 0  # place from which a start replays
    staged: Mapping[int, Stage] = field(default_factory=dict)

    def last(self, actor: Actor) -> int:
        """The actor's last operation that a start would find."""
        return max(
            [f.last for at, f in self.log if f.actor == actor and at >= self.start] + [self.vector.get(actor, 0)]
        )


class Disk:
    """One store. `serial` is what tells a disk from its copies (device, inode and generation, in the daemon)."""

    _serials = count()

    def __init__(self, synced_at_once: bool, image: Image | None = None) -> None:
        self.image = image or Image()
        self.synced_at_once = synced_at_once
        self.serial = next(Disk._serials)
        self._unsynced: list[Image] = []  # older states that a power loss may bring back
        self._place = max((at for at, _ in self.image.log), default=self.image.start) + 1

    # -- what the engine reads ----------------------------------------------------------------------------------------

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """See crdt.replica.ports.LogReader."""
        found: list[bytes] = []
        size = 0
        for _, frame in self.image.log:
            if frame.last > have.get(frame.actor, 0):
                size += len(frame.data)
                if found and size > budget:
                    return found, False
                found.append(frame.data)
        return found, True

    def floor(self) -> Mapping[Actor, int]:
        """See crdt.replica.ports.LogReader."""
        return self.image.floors

    def staged(self, number: int) -> bytes | None:
        """See crdt.replica.ports.LogReader."""
        stage = self.image.staged.get(number)
        return None if stage is None else stage.data

    # -- what the daemon writes ---------------------------------------------------------------------------------------

    def commit(self, frames: Sequence[LogFrame]) -> None:
        """Append frames, as one transaction."""
        heads: dict[Actor, int] = {}
        for _, frame in self.image.log:
            heads[frame.actor] = frame.last
        placed = []
        for frame in frames:
            assert heads.get(frame.actor, 0) < frame.last, f"{frame.actor} {frame.first}..{frame.last} is in the log"
            heads[frame.actor] = frame.last
            placed.append((self._place, frame))
            self._place += 1
        old = self.image
        self._put(replace(old, log=(*old.log, *placed)))

    def begin_checkpoint(self, vector: dict[Actor, int]) -> tuple[dict[Actor, int], int]:
        """What a checkpoint begun now will stand at: vector, and the place from which a start replays."""
        for _, frame in self.image.log:
            assert frame.last <= vector.get(frame.actor, 0), "the log knows more than the checkpoint"
        return vector, self._place

    def finish_checkpoint(
        self,
        state: State,
        begun: tuple[dict[Actor, int], int],
        frames: Sequence[LogFrame] = (),
        floors: Mapping[Actor, int] | None = None,
    ) -> None:
        """Frames, floors and the live rows as they are by now (the checkpoint is fuzzy), as one transaction."""
        vector, start = begun
        old, merged = self.image, dict(self.image.floors)
        for actor, n in (floors or {}).items():
            assert n <= vector.get(actor, 0), "a floor above the checkpoint"
            merged[actor] = max(n, merged.get(actor, 0))
        placed = [(self._place + i, frame) for i, frame in enumerate(frames)]
        self._place += len(placed)
        self._put(Image((*old.log, *placed), merged, vector, tuple(segments_of(state)), start, old.staged))

    def prune(self, number: int) -> int:
        """Drop up to so many of the oldest frames, none that a start replays; how many."""
        old = self.image
        gone = [item for item in old.log[:number] if item[0] < old.start]
        if not gone:
            return 0
        floors = dict(old.floors)
        for _, frame in gone:
            floors[frame.actor] = max(frame.last, floors.get(frame.actor, 0))
        self._put(replace(old, log=old.log[len(gone) :], floors=floors))
        return len(gone)

    def stage(self, order: Stage) -> None:
        """Rows of a snapshot that is on its way."""
        assert order.number not in self.image.staged, "a number is used twice"
        self._put(replace(self.image, staged={**self.image.staged, order.number: order}))

    def unstage(self, numbers: Sequence[int]) -> None:
        """They are not needed any more."""
        left = {number: stage for number, stage in self.image.staged.items() if number not in numbers}
        assert len(left) + len(numbers) == len(self.image.staged), "something else was staged"
        self._put(replace(self.image, staged=left))

    def _put(self, image: Image) -> None:
        if not self.synced_at_once:
            self._unsynced.append(self.image)
        self.image = image

    # -- what happens to disks ---------------------------------------------------------------------------------------

    @property
    def synced(self) -> Image:
        """What survives a power loss in any case."""
        return self._unsynced[0] if self._unsynced else self.image

    def sync(self) -> None:
        """Everything written is safe now."""
        self._unsynced.clear()

    def lose_power(self, rng: Random) -> None:
        """Some of what was not synced is gone."""
        if self._unsynced:
            self.image = rng.choice([*self._unsynced, self.image])
            self._unsynced.clear()

    def load(self, actor: Actor) -> State:
        """What a start makes of it: the checkpoint, then the log above it."""
        image, state = self.image, State(actor)
        clock = state.clock
        for owner, first, data in image.segments:
            groups = decode_rows(data)
            state.load(owner, first, groups, image.vector.get(owner, 0))
            if owner.name == actor.name:
                clock.now = max([clock.now, *(hlc for group in groups for _, hlc in group.stamps)])
        state.loaded(image.vector)
        for at, logged in image.log:
            if at >= image.start:
                frame = decode_frame(logged.data)
                state.replay(frame)
                if frame.actor.name == actor.name:
                    clock.now = max([clock.now, *(hlc for group in frame.groups for _, hlc in group.stamps)])
        return state


def segments_of(state: State) -> Segments:
    """All live rows of a state, as daemon/checkpoint.py would write them."""
    out: Segments = []
    for rows in state.actors.values():
        for chunk in rows.chunks:
            groups = state.groups(chunk)
            if groups:
                out.append((rows.actor, chunk.dots[0] & SEQ_MASK, encode_rows(groups)))
    return out
