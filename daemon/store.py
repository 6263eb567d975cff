"""The store of one space: the log of frames in local apply order, its checkpoint, and what goes with them.

Knows: where a frame stands in the log, what of the log a restart needs, what a peer that has so much still lacks.
Promises:
- a commit is there in full or not at all, and after any crash the log is a prefix of what was committed; with
  `always` and `interval` it contains every commit that returned, whatever stopped the machine.
- on disk, the floor of every actor is at or below the checkpoint's vector.
- the checkpoint on disk is whole at every moment; replaying the log from `lsn_start` over it gives the last state.
- nothing in the file proves that a process continues its own history: a backup holds it too (see `witness.py`).
Must not know: what is in a frame or a segment, the network, the clock, the event loop.

Threads: one call that writes at a time, from any thread (a lock sees to it). `missing`, `floor` and `load` belong to
the loop's thread and never wait for a commit that runs in a worker. Only `missing` works beside `load`'s iterators.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from xxhash import xxh3_64_digest

from crdt.dots import MASK_64, Actor
from crdt.replica.effects import LogFrame
from daemon.store_file import (
    Durability,
    Identity,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFile,
    StoreTooNew,
    StoreUnwritable,
    open_file,
    opening,
    set_aside,
)
from daemon.store_segments import Segments

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
    "StoreTooNew",
    "StoreUnwritable",
]

NO_META: Final[Mapping[str, bytes]] = MappingProxyType({})
NO_FLOORS: Final[Mapping[Actor, int]] = MappingProxyType({})


@dataclass(slots=True)
class Loaded:
    """What a start reads, in this order: `meta`, `checkpoint_vv`, every one of `segments`, every one of `log`.

    `segments`: (actor, start, data) ordered by actor and start; raises StoreCorrupt where one is damaged. A segment
    may hold rows above `checkpoint_vv`: ignore them, the log brings them.
    `log`: frames in apply order from the checkpoint on; some are covered by the checkpoint already.
    `damaged`: known once `log` is exhausted. True: a frame was unreadable, it and all after it were dropped, and the
    caller has to start as a new actor.
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
    """See the module. `Store.open` makes one; every method may raise StoreFailed where it writes."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._segments = Segments(file)
        db, actors = file.write, file.actors
        # The last frame of each actor in the log, and the bytes of all.
        self._heads: dict[Actor, int] = {}
        self.log_bytes = 0
        self._count()
        # As on disk, but also over frames found damaged since, so that a peer is not sent round in circles.
        self._floors: dict[Actor, int] = {
            actors[number]: seq for number, seq in db.execute("SELECT actor, seq FROM floors")
        }
        self._damaged: dict[int, tuple[Actor, int]] = {}
        self.damaged_frames = 0
        # An emptied log goes on where it ended: positions below `lsn_start` are never read by a start.
        last = db.execute("SELECT max(lsn) FROM log").fetchone()[0] or 0
        self._next_lsn: int = max(last + 1, self._segments.lsn_start)

    @classmethod
    def open(cls, directory: Path, space: str, durability: Durability = "always") -> Self:
        """Open or create `directory/space.db`. Raises StoreBusy, StoreTooNew, StoreUnwritable, StoreCorrupt."""
        file = open_file(directory, space, durability)
        with opening(file):
            return cls(file)

    @staticmethod
    def set_aside(directory: Path, space: str) -> Path:
        """Rename the files of a damaged store, so that `open` starts an empty one; the new path. Raises StoreBusy."""
        return set_aside(directory, space)

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
    def checkpoint_vv(self) -> Mapping[Actor, int]:
        """The vector of the valid checkpoint."""
        return MappingProxyType(self._segments.vv)

    def last(self, actor: Actor) -> int:
        """The highest sequence number of `actor` on disk, in the checkpoint or the log; 0 for none."""
        return max(self._heads.get(actor, 0), self._segments.vv.get(actor, 0))

    # -- writing ------------------------------------------------------------------------------------------------

    def commit(
        self,
        frames: Sequence[LogFrame],
        meta: Mapping[str, bytes] = NO_META,
        floors: Mapping[Actor, int] = NO_FLOORS,
    ) -> None:
        """Append frames in this order, set `meta` keys, raise floors: one transaction, durable on return.

        Raises ValueError (nothing written) for a frame that ends at or below the actor's last one in the log, and for
        a floor above the checkpoint: what a joined snapshot taught goes through `finish_checkpoint`.
        """
        with self._file.lock:
            self._check_frames(frames)
            _check_floors(floors, self._segments.vv)
            with self._file.transaction() as db:
                self._write(db, frames, meta, floors)
            self._written(frames, floors)

    def replace(self, frame: LogFrame) -> None:
        """Put one merged frame in the place of the last of those it was merged from.

        Those are the actor's frames within first..last. Raises ValueError (nothing written) unless they are there and
        cover that range exactly.
        """
        with self._file.lock, self._file.transaction() as db:
            rows = db.execute(
                "SELECT lsn, first, last, size FROM log WHERE actor = ? AND last BETWEEN ? AND ? ORDER BY last",
                (self._file.known_number(frame.actor), frame.first, frame.last),
            ).fetchall()
            ends = [frame.first - 1] + [row[2] for row in rows]
            if not rows or ends[-1] != frame.last or any(row[1] != end + 1 for row, end in zip(rows, ends, strict=False)):
                raise ValueError(f"no frames of {frame.actor} cover {frame.first}..{frame.last} exactly")
            db.executemany("DELETE FROM log WHERE lsn = ?", [row[:1] for row in rows[:-1]])
            db.execute(
                "UPDATE log SET first = ?, size = ?, checksum = ?, data = ? WHERE lsn = ?",
                (frame.first, len(frame.data), _checksum(frame), frame.data, rows[-1][0]),
            )
            freed = sum(row[3] for row in rows) - len(frame.data)
        self.log_bytes -= freed

    def prune(self, budget: int, limit: int = 1000) -> Pruned:
        """Drop the oldest frames, at most `limit` of them, until the log has at most `budget` bytes; raise floors.

        Never drops what a restart replays: then `wants_checkpoint` is set.
        """
        with self._file.lock:
            over = self.log_bytes - budget
            floors: dict[Actor, int] = {}
            last_lsn = frames = freed = 0
            if over > 0:
                for lsn, number, last, size in self._file.write.execute(
                    "SELECT lsn, actor, last, size FROM log WHERE lsn < ? ORDER BY lsn LIMIT ?",
                    (self._segments.lsn_start, limit),
                ):
                    floors[self._file.actors[number]] = last
                    last_lsn, frames, freed = lsn, frames + 1, freed + size
                    if freed >= over:
                        break
            if not frames:
                return Pruned(0, 0, more=False, wants_checkpoint=over > 0)
            with self._file.transaction() as db:
                self._raise_floors(db, floors)
                db.execute("DELETE FROM log WHERE lsn <= ?", (last_lsn,))
            self._raised(floors)
            self.log_bytes -= freed
            full = frames == limit
            return Pruned(frames, freed, more=freed < over and full, wants_checkpoint=freed < over and not full)

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def wants_checkpoint(self) -> bool:
        """A frame that a restart would replay was found damaged: only a new checkpoint makes the store whole."""
        return any(lsn >= self._segments.lsn_start for lsn in self._damaged)

    def begin_checkpoint(self, vv: Mapping[Actor, int]) -> int:
        """Begin a checkpoint at `vv`, what has been applied now; the log position its replay will start from.

        What was staged for an unfinished one is thrown away. Raises ValueError if the log knows more than `vv`.
        """
        with self._file.lock:
            for actor, head in self._heads.items():
                if vv.get(actor, 0) < head:
                    raise ValueError(f"the log holds {actor} up to {head}, the checkpoint only {vv.get(actor, 0)}")
            self._segments.begin(vv, self._next_lsn)
            return self._next_lsn

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
        """Make the staged checkpoint the valid one; frames, meta and floors as in `commit`, in the same transaction.

        Segments neither put nor dropped since `begin_checkpoint` carry over. Call `sweep` until it returns False
        afterwards. Raises ValueError without a begun checkpoint, or for a floor above its vector.
        """
        with self._file.lock:
            self._check_frames(frames)
            with self._file.transaction() as db:
                lsn_start, vv = self._segments.flip(db)
                _check_floors(floors, vv)
                buried = {lsn: dot for lsn, dot in self._damaged.items() if lsn < lsn_start}
                self._raise_floors(db, dict(buried.values()))
                db.executemany("DELETE FROM log WHERE lsn = ?", [(lsn,) for lsn in buried])
                self._write(db, frames, meta, floors)
            self._segments.flipped()
            self._written(frames, floors)
            if buried:
                self._damaged = {lsn: dot for lsn, dot in self._damaged.items() if lsn not in buried}
                self._count()

    def abandon_checkpoint(self) -> None:
        """Forget what was staged; the valid checkpoint stays. No effect if none was begun."""
        with self._file.lock:
            self._segments.abandon()

    def sweep(self, count: int = 16) -> bool:
        """Throw away up to `count` superseded segments; True if some are left. Opening does it too."""
        with self._file.lock:
            return self._segments.sweep(count)

    # -- reading ------------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """What a start needs; call it once, directly after `open`, and exhaust both iterators before writing."""
        meta = {key: bytes(value) for key, value in self._file.read.execute("SELECT key, value FROM meta")}
        loaded = Loaded(meta, dict(self._segments.vv), self._segments.read(), iter(()))
        loaded.log = self._replay(loaded)
        return loaded

    def salvage(self) -> Iterator[LogFrame]:
        """Every readable frame of the whole log, for a store whose checkpoint is damaged: feed them to a new replica
        as if a peer had sent them."""
        with_rest = self._file.read.execute("SELECT actor, first, last, checksum, data FROM log ORDER BY lsn")
        while True:
            try:
                row = with_rest.fetchone()
            except sqlite3.Error:
                return
            if row is None:
                return
            frame = self._frame(*row)
            if frame is not None:
                yield frame

    def floor(self) -> dict[Actor, int]:
        """Per actor: frames that end at or below it are no longer in the log."""
        return dict(self._floors)

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """Frames with last > have.get(actor, 0) in log order up to `budget` bytes, at least one if there is any.

        The second is True if nothing is left. A damaged frame is skipped and the floor raised over it, so ask for
        `floor` afterwards.
        """
        # In this order: a commit in the worker may come between, and the heads must know every frame below the end.
        end = self._next_lsn
        heads = list(self._heads.items())
        wanted = [(actor, have.get(actor, 0)) for actor, head in heads if head > have.get(actor, 0)]
        if not wanted:
            return [], True
        db = self._file.read
        found: list[bytes] = []
        size = 0
        db.execute("BEGIN")
        try:
            for lsn, last, actor in heapq.merge(*(self._above(actor, seq, end) for actor, seq in wanted)):
                data = self._data(lsn, actor, last)
                if data is None:
                    continue
                size += len(data)
                if found and size > budget:
                    return found, False
                found.append(data)
            return found, True
        finally:
            db.execute("COMMIT")

    def _above(self, actor: Actor, seq: int, end: int) -> Iterator[tuple[int, int, Actor]]:
        """(lsn, last, actor) of an actor's frames above `seq`, in growing slices: most calls take only a few.

        Along one actor, lsn and last grow together, which is what lets the index on `last` serve log order.
        """
        db, number, count = self._file.read, self._file.known_number(actor), 4
        while True:
            try:
                rows = db.execute(
                    "SELECT lsn, last FROM log WHERE actor = ? AND last > ? AND lsn < ? ORDER BY last LIMIT ?",
                    (number, seq, end, count),
                ).fetchall()
            except sqlite3.Error:
                self._skip(-1, actor, self._heads[actor])
                return
            for lsn, last in rows:
                yield lsn, last, actor
            if len(rows) < count:
                return
            seq = rows[-1][1]
            count = min(count * 4, 256)

    def _data(self, lsn: int, actor: Actor, last: int) -> bytes | None:
        """The frame at `lsn`; None if it is damaged."""
        if lsn in self._damaged:
            return None
        try:
            row = self._file.read.execute(
                "SELECT actor, first, last, checksum, data FROM log WHERE lsn = ?", (lsn,)
            ).fetchone()
            frame = self._frame(*row)
        except (sqlite3.Error, TypeError):
            frame = None
        if frame is None:
            self._skip(lsn, actor, last)
            return None
        return frame.data

    def _skip(self, lsn: int, actor: Actor, last: int) -> None:
        # Only in memory: this may run beside a commit, and the floor on disk must not pass the checkpoint. The row
        # goes with the first checkpoint that covers it; found again after a restart, it is skipped again.
        self._damaged[lsn] = (actor, last)
        self.damaged_frames += 1
        self._raised({actor: last})

    def _replay(self, loaded: Loaded) -> Iterator[LogFrame]:
        rows = self._file.read.execute(
            "SELECT lsn, actor, first, last, checksum, data FROM log WHERE lsn >= ? ORDER BY lsn",
            (self._segments.lsn_start,),
        )
        intact = self._segments.lsn_start - 1
        while True:
            try:
                row = rows.fetchone()
            except sqlite3.Error:
                break
            if row is None:
                return
            frame = self._frame(*row[1:])
            if frame is None:
                break
            intact = row[0]
            yield frame
        rows.close()
        loaded.damaged = True
        self._cut_off(intact)

    def _cut_off(self, intact: int) -> None:
        """Drop what follows the last intact frame: what comes later may depend on what is lost."""
        with self._file.lock:
            try:
                with self._file.transaction() as db:
                    db.execute("DELETE FROM log WHERE lsn > ?", (intact,))
                self._count()
            except (StoreFailed, sqlite3.Error) as error:
                raise StoreCorrupt(f"{self.path}: the log is damaged beyond repair: {error}; move it away") from error

    # -- helpers ------------------------------------------------------------------------------------------------

    def _check_frames(self, frames: Sequence[LogFrame]) -> None:
        heads: dict[Actor, int] = {}
        for frame in frames:
            head = heads.get(frame.actor) or self._heads.get(frame.actor, 0)
            if not head < frame.last or frame.first > frame.last:
                raise ValueError(f"{frame.actor} {frame.first}..{frame.last} does not follow {head} in the log")
            heads[frame.actor] = frame.last

    def _write(
        self, db: sqlite3.Connection, frames: Sequence[LogFrame], meta: Mapping[str, bytes], floors: Mapping[Actor, int]
    ) -> None:
        for lsn, frame in enumerate(frames, self._next_lsn):
            db.execute(
                "INSERT INTO log (lsn, actor, first, last, size, checksum, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    lsn,
                    self._file.number(frame.actor),
                    frame.first,
                    frame.last,
                    len(frame.data),
                    _checksum(frame),
                    frame.data,
                ),
            )
        for key, value in meta.items():
            db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))
        self._raise_floors(db, floors)

    def _written(self, frames: Sequence[LogFrame], floors: Mapping[Actor, int]) -> None:
        self._raised(floors)
        for frame in frames:
            self._heads[frame.actor] = frame.last
            self.log_bytes += len(frame.data)
        # Last, see `missing`.
        self._next_lsn += len(frames)

    def _raise_floors(self, db: sqlite3.Connection, floors: Mapping[Actor, int]) -> None:
        for actor, seq in floors.items():
            db.execute(
                "INSERT INTO floors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
                (self._file.number(actor), seq),
            )

    def _raised(self, floors: Mapping[Actor, int]) -> None:
        for actor, seq in floors.items():
            if seq > self._floors.get(actor, 0):
                self._floors[actor] = seq

    def _count(self) -> None:
        """Heads and bytes of the log, from the index alone."""
        heads: dict[Actor, int] = {}
        total = 0
        for number, last, size in self._file.write.execute("SELECT actor, max(last), sum(size) FROM log GROUP BY actor"):
            heads[self._file.actors[number]] = last
            total += size
        self._heads = heads
        self.log_bytes = total

    def _frame(self, number: int, first: int, last: int, checksum: bytes, data: bytes) -> LogFrame | None:
        """The frame of a row; None if it is not what was written."""
        actor = self._file.actors.get(number)
        if actor is None or not isinstance(data, bytes) or not isinstance(first, int) or not isinstance(last, int):
            return None
        frame = LogFrame(actor, first, last, data)
        return frame if _checksum(frame) == checksum else None


def _check_floors(floors: Mapping[Actor, int], vv: Mapping[Actor, int]) -> None:
    for actor, seq in floors.items():
        if seq > vv.get(actor, 0):
            raise ValueError(f"floor {seq} of {actor} is above the checkpoint ({vv.get(actor, 0)})")


def _checksum(frame: LogFrame) -> bytes:
    # Seeded with the row's other columns, so that it covers them.
    seed = frame.actor.nonce + frame.first * 0x9E3779B97F4A7C15 + frame.last * 0xC2B2AE3D27D4EB4F
    return xxh3_64_digest(frame.data, seed & MASK_64)
