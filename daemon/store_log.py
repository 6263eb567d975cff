"""The log of a store: frames in local apply order, and how far down it reaches for each actor.

Knows: where a frame stands (lsn), what a reader lacks, which frames are damaged.
Promises: `missing` answers in log order, at a cost that grows with what is missing and not with the log; it runs
beside a commit in another thread and sees it in full or not at all. A damaged frame is never handed out.
Must not know: what is in a frame, when to prune, what a checkpoint contains.

Methods that take a connection are called inside a transaction and change nothing in memory; once it has been
committed, `written` or `dropped` brings the memory up to date. So a failed transaction leaves no trace.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Final

from xxhash import xxh3_64_digest

from crdt.dots import MASK_64, Actor
from crdt.replica.effects import LogFrame
from daemon.store_file import StoreFile

Floors = Mapping[Actor, int]
ON_A_PAGE: Final = 100  # frames of the log, at most


class Log:
    """The log of one file. Attributes, all of what is committed:

    `heads`: the last sequence number in the log, per actor. `floors`: what ends at or below is not in the log any more.
    `size`: bytes of all frames. `next_lsn`: the place of the next one. `damaged`: lsn -> (actor, last) of frames found
    unreadable since the start, and `damaged_count` of them ever, lost index pages included.
    """

    def __init__(self, file: StoreFile, lsn_start: int) -> None:
        self._file = file
        self.heads: dict[Actor, int] = {}
        self.size = 0
        self.count()
        # As on disk, but also over frames found damaged since, so that a peer is not sent round in circles.
        self.floors: dict[Actor, int] = {
            file.actors[number]: seq for number, seq in file.write.execute("SELECT actor, seq FROM floors")
        }
        self.damaged: dict[int, tuple[Actor, int]] = {}
        self.damaged_count = 0
        # An emptied log goes on where it ended: positions below `lsn_start` are never read by a start.
        last = file.write.execute("SELECT max(lsn) FROM log").fetchone()[0] or 0
        self.next_lsn: int = max(last + 1, lsn_start)

    # -- writing ------------------------------------------------------------------------------------------------

    def check(self, frames: Sequence[LogFrame]) -> None:
        """Raises ValueError unless each frame ends above its actor's last: `missing` relies on it."""
        heads: dict[Actor, int] = {}
        for frame in frames:
            head = heads.get(frame.actor) or self.heads.get(frame.actor, 0)
            if not head < frame.last or frame.first > frame.last:
                raise ValueError(f"{frame.actor} {frame.first}..{frame.last} does not follow {head} in the log")
            heads[frame.actor] = frame.last

    def append(self, db: sqlite3.Connection, frames: Sequence[LogFrame]) -> None:
        """Write checked frames at the end, in this order; then call `written`."""
        for lsn, frame in enumerate(frames, self.next_lsn):
            number = self._file.number(frame.actor)
            self._file.unfolded += len(frame.data)
            db.execute(
                "INSERT INTO log (lsn, actor, first, last, size, checksum, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (lsn, number, frame.first, frame.last, len(frame.data), checksum(frame), frame.data),
            )

    def written(self, frames: Sequence[LogFrame]) -> None:
        """The frames of `append` are on disk."""
        for frame in frames:
            self.heads[frame.actor] = frame.last
            self.size += len(frame.data)
        # Last, see `missing`.
        self.next_lsn += len(frames)

    def oldest(
        self, db: sqlite3.Connection, excess: int, below: int, limit: int
    ) -> tuple[int, int, int, dict[Actor, int]]:
        """The shortest run of oldest frames below the position `below` with at least `excess` bytes, at most `limit`.

        Last position, number, bytes and the floors that dropping them needs; zeros if there is none.
        """
        end = frames = size = 0
        floors: dict[Actor, int] = {}
        rows = db.execute("SELECT lsn, actor, last, size FROM log WHERE lsn < ? ORDER BY lsn LIMIT ?", (below, limit))
        for lsn, number, last, length in rows:
            floors[self._file.actors[number]] = last
            end, frames, size = lsn, frames + 1, size + length
            if size >= excess:
                break
        return end, frames, size, floors

    def drop(self, db: sqlite3.Connection, last_lsn: int, floors: Floors) -> None:
        """Drop everything up to a position, with the floors that `oldest` gave; then call `dropped`."""
        self.raise_floors(db, floors)
        db.execute("DELETE FROM log WHERE lsn <= ?", (last_lsn,))

    def dropped(self, last_lsn: int, size: int, floors: Floors) -> None:
        """The frames of `drop` are gone from the disk. Heads stay: a reader finds nothing there, which is right."""
        self.size -= size
        self.raised(floors)
        self._forget(last_lsn)

    def bury(self, db: sqlite3.Connection, below: int) -> bool:
        """Delete the damaged frames that no restart needs any more, their floors raised; True if there were any.

        Then call `buried`.
        """
        buried = {lsn: dot for lsn, dot in list(self.damaged.items()) if lsn < below}
        self.raise_floors(db, dict(sorted(buried.values())))
        db.executemany("DELETE FROM log WHERE lsn = ?", [(lsn,) for lsn in buried])
        return bool(buried)

    def buried(self, below: int) -> None:
        """The frames of `bury` are gone from the disk."""
        self._forget(below - 1)
        self.count()

    def _forget(self, last_lsn: int) -> None:
        # `list`, here and in `bury`: `missing` may be finding another one in the loop's thread.
        self.damaged = {lsn: dot for lsn, dot in list(self.damaged.items()) if lsn > last_lsn}

    def cut_off(self, db: sqlite3.Connection, intact: int) -> None:
        """Drop what follows a position, and an index that may be as damaged; then call `count`."""
        db.execute("DELETE FROM log WHERE lsn > ?", (intact,))
        db.execute("REINDEX log_by_actor")

    def raise_floors(self, db: sqlite3.Connection, floors: Floors) -> None:
        """Raise floors on disk; then call `raised`."""
        for actor, seq in floors.items():
            db.execute(
                "INSERT INTO floors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
                (self._file.number(actor), seq),
            )

    def raised(self, floors: Floors) -> None:
        """Raise floors in memory."""
        for actor, seq in floors.items():
            if seq > self.floors.get(actor, 0):
                self.floors[actor] = seq

    def count(self) -> None:
        """Find heads and size anew, from the index alone. Raises sqlite3.Error, KeyError or TypeError for damage."""
        heads: dict[Actor, int] = {}
        size = 0
        rows = self._file.write.execute("SELECT actor, max(last), sum(size) FROM log GROUP BY actor")
        for number, last, length in rows:
            if not isinstance(last, int):
                raise TypeError("the index of the log holds something else than numbers")
            heads[self._file.actors[number]] = last
            size += length
        self.heads = heads
        self.size = size

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, start: int) -> Generator[tuple[int, LogFrame | None], None, None]:
        """(lsn, frame) from a position on; None for a damaged one. Of what lies on a page that cannot be read, the
        positions are passed over, one by one at first, until one leads to a page that can.
        """
        lsn, failures = start - 1, 0
        rows: sqlite3.Cursor | None = None
        while True:
            try:
                if rows is None:
                    rows = self._file.read.execute(
                        "SELECT lsn, actor, first, last, checksum, data FROM log WHERE lsn > ? ORDER BY lsn", (lsn,)
                    )
                row = rows.fetchone()
            except sqlite3.Error:
                yield lsn + 1, None
                rows, failures = None, failures + 1
                lsn += 1 << max(0, failures - ON_A_PAGE)
                if lsn + 1 >= self.next_lsn:
                    return
                continue
            if row is None:
                return
            lsn, failures = row[0], 0
            yield lsn, checked(self._file.actors, *row[1:])

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """See `Store.missing`."""
        # In this order: a commit in the worker may come between, and the heads must know every frame below the end.
        end = self.next_lsn
        heads = list(self.heads.items())
        wanted = [(actor, have.get(actor, 0)) for actor, head in heads if head > have.get(actor, 0)]
        found: list[bytes] = []
        if not wanted:
            return found, True
        size = 0
        self._file.read.execute("BEGIN")
        try:
            for lsn, last, actor in heapq.merge(*(self._above(actor, seq, end) for actor, seq in wanted)):
                data = self._data(lsn, last, actor)
                if data is None:
                    continue
                size += len(data)
                if found and size > budget:
                    return found, False
                found.append(data)
            return found, True
        finally:
            try:
                self._file.read.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # met a damaged page: SQLite has ended the transaction itself

    def _above(self, actor: Actor, seq: int, end: int) -> Iterator[tuple[int, int, Actor]]:
        """(lsn, last, actor) of an actor's frames above `seq`, in growing slices: most calls take only a few.

        Along one actor, lsn and last grow together, which is what lets the index on `last` serve log order.
        """
        number, count = self._file.known_number(actor), 4
        while True:
            try:
                rows = self._file.read.execute(
                    "SELECT lsn, last FROM log WHERE actor = ? AND last > ? AND lsn < ? ORDER BY last LIMIT ?",
                    (number, seq, end, count),
                ).fetchall()
                if not all(isinstance(value, int) for row in rows for value in row):
                    raise sqlite3.DatabaseError("the index holds something else than numbers")
            except sqlite3.Error:
                # The index itself is damaged: what it led to cannot be found, so this actor's peers need a snapshot.
                self.damaged_count += 1
                self.raised({actor: self.heads.get(actor, 0)})
                return
            for lsn, last in rows:
                yield lsn, last, actor
            if len(rows) < count:
                return
            seq = rows[-1][1]
            count = min(count * 4, 256)

    def _data(self, lsn: int, last: int, actor: Actor) -> bytes | None:
        """The frame at `lsn`; None if it is damaged."""
        if lsn in self.damaged:
            return None
        frame: LogFrame | None = None
        try:
            row = self._file.read.execute(
                "SELECT actor, first, last, checksum, data FROM log WHERE lsn = ?", (lsn,)
            ).fetchone()
            if row is not None:
                frame = checked(self._file.actors, *row)
        except sqlite3.Error:
            pass
        if frame is not None and (frame.actor, frame.last) == (actor, last):
            return frame.data
        # Only in memory: this may run beside a commit, and the floor on disk must not pass the checkpoint. The row
        # goes with the first checkpoint that covers it; found again after a restart, it is skipped again.
        self.damaged[lsn] = (actor, last)
        self.damaged_count += 1
        self.raised({actor: last})
        return None


def checked(
    actors: Mapping[int, Actor], number: int, first: int, last: int, digest: bytes, data: bytes
) -> LogFrame | None:
    """The frame of a row; None if it is not what was written."""
    actor = actors.get(number)
    if actor is None or not isinstance(data, bytes) or not isinstance(first, int) or not isinstance(last, int):
        return None
    frame = LogFrame(actor, first, last, data)
    return frame if checksum(frame) == digest else None


def checksum(frame: LogFrame) -> bytes:
    """8 bytes over a frame and the columns it is stored with."""
    seed = frame.actor.seed() + frame.first * 0x9E3779B97F4A7C15 + frame.last * 0xC2B2AE3D27D4EB4F
    return xxh3_64_digest(frame.data, seed & MASK_64)
