"""The store of one space: the log of frames in local apply order, its checkpoint, and what goes with them.

Knows: what has to stand in one transaction, what of the log a restart needs, what may be dropped.
Promises:
- a commit is there in full or not at all, and after any crash the log is a prefix of what was committed, with every
  commit that returned before a kill -9, and (but with `never`) every one that a `sync` followed before a loss of power.
- on disk, the floor of every actor is at or below the checkpoint's vector.
- the checkpoint on disk is whole at every moment; replaying the log from its position over it gives the last state.
- nothing in the file proves that a process continues its own history: a backup holds it too (see `witness.py`).
Must not know: what is in a frame or a segment, the network, the clock, the event loop.

A checkpoint is fuzzy: it is begun at a vector, its segments are written in slices while commits go on, and the log is
replayed over it from the position at which it was begun. Frames are idempotent, so it does not matter how much of
what came meanwhile is in the segments already.

Threads: calls that write may come from any thread, a lock lets one in at a time. `missing`, `floor`, `stage`,
`unstage`, `staged`, `load`, `rest` and `salvage` belong to the loop's thread and do not wait for a commit that runs in
a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from crdt.dots import Actor
from crdt.replica.effects import LogFrame, Stage
from daemon.store_file import (
    Durability,
    Identity,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFile,
    StoreForeign,
    StoreTooNew,
    StoreUnwritable,
    open_file,
    opening,
    set_aside,
)
from daemon.store_log import Log
from daemon.store_rest import Rest
from daemon.store_segments import Segments
from daemon.store_staging import Staging

__all__ = [
    "Durability",
    "Identity",
    "Loaded",
    "Pruned",
    "Store",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreForeign",
    "StoreTooNew",
    "StoreUnwritable",
]

NO_META: Final[Mapping[str, bytes]] = MappingProxyType({})
NO_FLOORS: Final[Mapping[Actor, int]] = MappingProxyType({})


@dataclass(slots=True)
class Loaded:
    """What a start reads, in this order: `meta`, `checkpoint_vv`, every one of `segments`, every one of `log`.

    `segments`: (actor, start, data) ordered by actor, then start; raises StoreCorrupt where one is damaged. A segment
    may hold rows above `checkpoint_vv`: ignore them, the log brings them.
    `log`: frames in apply order from the checkpoint on; some may be covered by the checkpoint already.
    `damaged`: known once `log` is exhausted. True: a frame was unreadable, the log ends before it now, what of the
    others was readable is in `Store.rest`, and the caller has to start as a new actor.
    """

    meta: dict[str, bytes]
    checkpoint_vv: dict[Actor, int]
    segments: Iterator[tuple[Actor, int, bytes]]
    log: Iterator[LogFrame]
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call of `prune` did: frames and bytes dropped.

    `more`: call again, the budget is not reached. `wants_checkpoint`: it cannot be reached before a new checkpoint.
    """

    frames: int
    bytes: int
    more: bool
    wants_checkpoint: bool


class Store:
    """See the module. `Store.open` makes one; every method that writes may raise StoreFailed: what it wrote is undone,
    and after a `sync` that raises it nothing that was committed may count as stored.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._segments = Segments(file)
        self._log = Log(file, self._segments.lsn_start)
        self._staging = Staging(file)
        self._rest = Rest(file)

    @classmethod
    def open(cls, directory: Path, space: str, durability: Durability = "always") -> Self:
        """Open or create `directory/space.db`. Raises StoreBusy, StoreTooNew, StoreUnwritable, StoreCorrupt."""
        file = open_file(directory, space, durability)
        with opening(file):
            return cls(file)

    @staticmethod
    def set_aside(directory: Path, space: str, successor: Path) -> Path:
        """Rename the files of a damaged store that cannot be opened, so that `open` opens the one at `successor`, which
        is closed; the new path. All or nothing, at the latest with the next `open`. Raises StoreBusy, StoreUnwritable.
        """
        return set_aside(directory, space, successor)

    def give_way(self, successor: Path) -> Path:
        """As `set_aside`, for a store that is open, and closes it."""
        return self._file.give_way(successor)

    def close(self) -> None:
        """Close the file and let others in. Idempotent."""
        self._file.close()

    @property
    def path(self) -> Path:
        """The database file."""
        return self._file.path

    @property
    def identity(self) -> Identity:
        """Database id, device and inode: what `Witness.claim` compares."""
        return self._file.identity

    @property
    def database_id(self) -> bytes:
        """16 random bytes drawn when the file was made; copies of the file share them."""
        return self._file.identity.database_id

    @property
    def in_place(self) -> bool:
        """Whether a start would find this file: nobody has removed it or put another in its place."""
        return self._file.in_place

    @property
    def aside(self) -> Path | None:
        """Where the files of a damaged store are that this one took the place of as it was opened, because the start
        that had begun with that was killed; None if there was none.
        """
        return self._file.aside

    @property
    def log_bytes(self) -> int:
        """Bytes of all frames in the log, without what the file adds (about 60 a frame)."""
        return self._log.size

    @property
    def damaged_frames(self) -> int:
        """How many stored frames were found damaged since the store was opened."""
        return self._log.damaged_count

    def last(self, actor: Actor) -> int:
        """The actor's last operation that the store holds by its index; a damaged replay may reach less far."""
        return max(self._log.heads.get(actor, 0), self._segments.vv.get(actor, 0))

    # -- the log ------------------------------------------------------------------------------------------------

    def commit(
        self,
        frames: Sequence[LogFrame],
        meta: Mapping[str, bytes] = NO_META,
    ) -> None:
        """Append frames in this order and set `meta` keys: one transaction, which `sync` brings to the disk.

        Raises ValueError (nothing written) for a frame that ends at or below the actor's last one in the log.
        """
        with self._file.lock:
            self._log.check(frames)
            with self._file.transaction() as db:
                self._log.append(db, frames)
                self._file.set_meta(meta)
            self._log.written(frames)

    def sync(self) -> None:
        """What was committed is on the disk on return, but with `never`. From any thread, beside commits."""
        self._file.sync()

    def prune(self, budget: int, limit: int = 1000) -> Pruned:
        """Drop the oldest frames, at most `limit` of them, until the log has at most `budget` bytes; raise floors.

        Never drops what a restart replays: then `wants_checkpoint` is set.
        """
        with self._file.lock:
            excess = self._log.size - budget
            if excess <= 0:
                return Pruned(0, 0, more=False, wants_checkpoint=False)
            with self._file.transaction() as db:  # also for reading: a page that cannot be read is a StoreFailed
                lsn, frames, size, floors = self._log.oldest(db, excess, self._segments.lsn_start, limit)
                if frames:
                    self._log.drop(db, lsn, floors)
            if frames:
                self._log.dropped(lsn, size, floors)
            short = size < excess
            return Pruned(frames, size, more=short and frames == limit, wants_checkpoint=short and frames < limit)

    def floor(self) -> dict[Actor, int]:
        """Per actor: frames that end at or below it are no longer in the log."""
        return self._log.floors.copy()

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """Frames with last > have.get(actor, 0) in log order up to `budget` bytes, at least one if there is any.

        The second is True if nothing is left. A damaged frame is skipped and the floor raised over it, so compare
        `floor` with what the reader has afterwards.
        """
        return self._log.missing(have, budget)

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def checkpoint_vv(self) -> Mapping[Actor, int]:
        """The vector of the valid checkpoint."""
        return MappingProxyType(self._segments.vv)

    @property
    def wants_checkpoint(self) -> bool:
        """A frame that a restart would replay was found damaged: only a new checkpoint makes the store whole."""
        return any(lsn >= self._segments.lsn_start for lsn in list(self._log.damaged))

    def begin_checkpoint(self, vv: Mapping[Actor, int]) -> int:
        """Begin a checkpoint at `vv`, what has been applied now; the log position its replay will start from.

        What was staged for an unfinished one is thrown away. Raises ValueError if the log knows more than `vv`.
        """
        with self._file.lock:
            for actor, head in self._log.heads.items():
                if vv.get(actor, 0) < head:
                    raise ValueError(f"the log holds {actor} up to {head}, the checkpoint only {vv.get(actor, 0)}")
            self._segments.begin(vv, self._log.next_lsn)
            return self._log.next_lsn

    def put_segment(self, actor: Actor, start: int, data: bytes) -> None:
        """Stage the segment (actor, start); the one of the valid checkpoint stays until `finish_checkpoint`."""
        with self._file.lock:
            self._segments.put(actor, start, data)

    def drop_segment(self, actor: Actor, start: int) -> None:
        """Stage the removal of a segment."""
        with self._file.lock:
            self._segments.put(actor, start, None)

    def finish_checkpoint(
        self,
        frames: Sequence[LogFrame] = (),
        meta: Mapping[str, bytes] = NO_META,
        floors: Mapping[Actor, int] = NO_FLOORS,
    ) -> None:
        """Make the staged checkpoint the valid one; frames and meta as in `commit`, in the same transaction, and
        `floors`: per actor, up to where a joined snapshot brought what the log has no frames of.

        It needs no `sync` for its own sake: what is thrown away afterwards is not gone before it is there. Segments
        neither put nor dropped since `begin_checkpoint` carry over. Call `sweep` until it returns False
        afterwards. Raises ValueError without a begun checkpoint, or for a floor above its vector.
        """
        with self._file.lock:
            self._log.check(frames)
            with self._file.transaction() as db:
                lsn_start, vv = self._segments.flip(db)
                for actor, seq in floors.items():
                    if seq > vv.get(actor, 0):
                        raise ValueError(f"floor {seq} of {actor} is above the checkpoint ({vv.get(actor, 0)})")
                buried = self._log.bury(db, lsn_start)
                self._log.append(db, frames)
                self._file.set_meta(meta)
                self._log.raise_floors(db, floors)
            self._segments.flipped()
            self._log.raised(floors)
            self._log.written(frames)
            if buried:
                self._log.buried(lsn_start)

    def abandon_checkpoint(self) -> None:
        """Forget what was staged; the valid checkpoint stays. No effect if none was begun."""
        with self._file.lock:
            self._segments.abandon()

    def sweep(self, count: int = 16) -> bool:
        """Throw away up to `count` superseded segments, and as much of what was unstaged; True if some are left.

        Opening does it with segments.
        """
        with self._file.lock:
            return self._segments.sweep(count) | self._staging.sweep(count)

    @property
    def unfolded(self) -> int:
        """Bytes of the WAL that no fold has seen yet, about."""
        return self._file.unfolded

    def fold(self) -> None:
        """Copy the WAL into the database file once it has a megabyte, beside commits that go on: call it in a worker,
        some times a second. Nothing else does, before `close`.

        It begins anew if nothing was written while it was folded; from 64 MiB on, commits wait for the end of that.
        """
        self._file.fold()

    # -- snapshots on their way ------------------------------------------------------------------------------------

    def stage(self, order: Stage) -> None:
        """Keep rows of a snapshot until `unstage`. It is read from now on, and on disk with the next `write_staged`:
        losing it costs time only.
        """
        self._staging.put(order)

    def unstage(self, numbers: Sequence[int]) -> None:
        """These are not needed any more; `sweep` throws them away."""
        self._staging.drop(numbers)

    @property
    def unwritten(self) -> int:
        """Bytes that were staged and wait for `write_staged`."""
        return self._staging.unwritten

    def write_staged(self, most: int) -> bool:
        """Write what was staged since the last time, up to about so many bytes in one transaction; True if some is
        left. Call it in a worker.
        """
        return self._staging.write(most)

    def staged(self, number: int) -> bytes | None:
        """The data of a `Stage`; None if it is damaged or gone."""
        return self._staging.read(number)

    def staged_index(self) -> Iterator[tuple[int, Actor, bytes]]:
        """(number, actor, seqs) of everything staged before the start."""
        return self._staging.index()

    # -- starting -----------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """What a start needs; call it once, directly after `open`, and exhaust both iterators before writing."""
        loaded = Loaded(self._file.meta(), dict(self._segments.vv), self._segments.read(), iter(()))
        loaded.log = self._replay(loaded)
        return loaded

    def salvage(self) -> Iterator[LogFrame]:
        """Every readable frame of the whole log, and of `rest`, for a store whose checkpoint is damaged.

        `keep_rest` them in the store that takes its place, before `give_way`: what no peer has is in there.
        """
        return chain((frame for _, frame in self._log.read(0) if frame is not None), self._rest.frames())

    def keep_rest(self, frames: Sequence[LogFrame]) -> None:
        """Put these into `rest`."""
        with self._file.transaction() as db:
            self._rest.keep(db, frames)

    def rest(self) -> list[LogFrame]:
        """What stood in the log behind a damaged frame, or in a damaged store before this one; each actor's in order.

        Feed them to the replica as if a peer had sent them, then `forget_rest`.
        """
        return self._rest.frames()

    def forget_rest(self) -> bool:
        """Throw `rest` away if log and checkpoint cover it by now; True if nothing is left of it."""
        with self._file.lock:
            return self._rest.drop(self.last)

    def _replay(self, loaded: Loaded) -> Iterator[LogFrame]:
        reached = dict(self._segments.vv)
        in_log: dict[Actor, int] = {}
        intact = self._segments.lsn_start - 1
        frames = self._log.read(intact + 1)
        for lsn, frame in frames:
            # A gap is a frame that a damaged page has swallowed without a trace.
            if frame is None or frame.first - 1 > reached.get(frame.actor, 0):
                frames.close()
                break
            intact = lsn
            in_log[frame.actor] = frame.last
            reached[frame.actor] = max(frame.last, reached.get(frame.actor, 0))
            yield frame
        else:
            # So is one that the index still knows; and one that the index does not know would never be sent.
            heads = self._log.heads
            if all(seq <= reached.get(actor, 0) for actor, seq in heads.items()) and all(
                heads.get(actor, 0) == seq for actor, seq in in_log.items()
            ):
                return
        loaded.damaged = True
        behind = (frame for _, frame in self._log.read(intact + 1) if frame is not None)
        self._cut_off(intact, [frame for frame in behind if frame.last > reached.get(frame.actor, 0)])

    def _cut_off(self, intact: int, rest: Sequence[LogFrame]) -> None:
        """End the log with the last intact frame: what comes later may depend on what is lost, so it is kept apart."""
        with self._file.lock:
            try:
                with self._file.transaction() as db:
                    self._log.cut_off(db, intact)
                    self._rest.keep(db, rest)
            except StoreFailed as error:
                raise StoreCorrupt(f"{self.path}: the log is damaged beyond repair: {error}; move it away") from error
            with self._file.reading():
                self._log.count()
