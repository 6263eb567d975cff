"""The checkpoint of a store: packed segments of live rows, replaced generation by generation.

Knows: which generation of a segment is valid, and which may be thrown away.
Promises: until `flip` commits, the previous checkpoint is whole on disk; segments that did not change are shared
between generations and not written again.
Must not know: what is in a segment, how rows are packed, when a checkpoint is due.

A segment is named (actor, start). Its valid row is the one of the highest generation not above the checkpoint's; a row
without data says that it is gone. Rows of a higher generation are staged; superseded ones are swept in slices later,
and at every open, so that a flip is one small transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from xxhash import xxh3_64_digest

from crdt.dots import MASK_64, Actor
from daemon.store_file import StoreFile

SWEEP_AT_ONCE: Final = 64


class Segments:
    """The segments of one file, the vector of their checkpoint, and the log position from which it is replayed over."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        db = file.write
        self.generation, self.lsn_start = db.execute("SELECT generation, lsn_start FROM store").fetchone()
        self.vv: dict[Actor, int] = {
            file.actors[number]: seq for number, seq in db.execute("SELECT actor, seq FROM checkpoint")
        }
        self._stale: list[int] = []
        self._staged: tuple[int, dict[Actor, int]] | None = None
        self._superseded: list[int] = []
        self._tombstones: list[int] = []
        self._find_leftovers(db)
        while self.sweep(SWEEP_AT_ONCE):
            pass

    def begin(self, vv: Mapping[Actor, int], lsn_start: int) -> None:
        """Start a new generation; one that was never finished is thrown away."""
        self.abandon()
        self._staged = (lsn_start, dict(vv))

    def abandon(self) -> None:
        """Forget what was staged; the valid checkpoint stays."""
        if self._staged is None:
            return
        self._superseded.clear()
        self._tombstones.clear()
        self._find_leftovers(self._file.write)
        # A begun generation takes the same number again: nothing of this one may be left to be taken for its own.
        while self.sweep(SWEEP_AT_ONCE):
            pass
        self._staged = None  # only now: what failed above is done again by the next `begin`

    def put(self, actor: Actor, start: int, data: bytes | None) -> None:
        """Stage a segment, or with None its removal. A second call for the same one replaces the first."""
        if self._staged is None:
            raise ValueError("begin_checkpoint has not been called")
        checksum = None if data is None else _checksum(actor, start, data)
        with self._file.transaction() as db:
            number = self._file.number(actor)
            self._file.unfolded += len(data or b"")
            old = db.execute(
                "SELECT id FROM segments WHERE actor = ? AND start = ? AND generation <= ?",
                (number, start, self.generation),
            ).fetchall()
            db.execute(
                "INSERT INTO segments (actor, start, generation, checksum, data) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET checksum = excluded.checksum, data = excluded.data",
                (number, start, self.generation + 1, checksum, data),
            )
        self._superseded += [row[0] for row in old]

    def flip(self, db: sqlite3.Connection) -> tuple[int, dict[Actor, int]]:
        """Inside the caller's transaction: make the staged generation the valid one; its lsn_start and vector.

        The caller calls `flipped` once the transaction has been committed.
        """
        if self._staged is None:
            raise ValueError("begin_checkpoint has not been called")
        lsn_start, vv = self._staged
        db.execute("UPDATE store SET generation = ?, lsn_start = ?", (self.generation + 1, lsn_start))
        db.execute("DELETE FROM checkpoint")
        number = self._file.number
        db.executemany("INSERT INTO checkpoint VALUES (?, ?)", [(number(actor), seq) for actor, seq in vv.items()])
        gone = db.execute("SELECT id FROM segments WHERE generation = ? AND data IS NULL", (self.generation + 1,))
        self._tombstones = [row[0] for row in gone]
        return self._staged

    def flipped(self) -> None:
        """The transaction of `flip` is on disk."""
        assert self._staged is not None
        self.lsn_start, self.vv = self._staged
        self.generation += 1
        self._staged = None
        # What a tombstone hides goes before it: the other way round a crash between them would bring it back.
        self._stale += self._superseded + self._tombstones
        self._superseded = []
        self._tombstones = []

    def sweep(self, count: int) -> bool:
        """Throw away up to `count` superseded segments; True if some are left."""
        batch, rest = self._stale[:count], self._stale[count:]
        if batch:
            with self._file.transaction() as db:
                db.executemany("DELETE FROM segments WHERE id = ?", [(row,) for row in batch])
            self._stale = rest
        return bool(rest)

    def read(self) -> Iterator[tuple[Actor, int, bytes]]:
        """The valid segments, directly after opening. Raises StoreCorrupt at the first one that is damaged."""
        file = self._file
        with file.reading():
            rows = file.read.execute("SELECT actor, start, checksum, data FROM segments ORDER BY actor, start")
            for number, start, checksum, data in rows:
                actor = file.actors[number]
                if not isinstance(start, int) or checksum != _checksum(actor, start, data):
                    raise ValueError("a segment of the checkpoint has changed")
                yield actor, start, data

    def _find_leftovers(self, db: sqlite3.Connection) -> None:
        staged = db.execute("SELECT id FROM segments WHERE generation > ?", (self.generation,))
        self._stale = [row[0] for row in staged]
        superseded = db.execute(
            "SELECT id FROM segments AS old WHERE generation < ? AND EXISTS (SELECT 1 FROM segments AS new"
            " WHERE new.actor = old.actor AND new.start = old.start"
            " AND new.generation > old.generation AND new.generation <= ?)",
            (self.generation, self.generation),
        )
        self._stale += [row[0] for row in superseded]
        tombstones = db.execute(
            "SELECT id FROM segments WHERE checksum IS NULL AND generation <= ?", (self.generation,)
        )
        self._stale += [row[0] for row in tombstones]


def _checksum(actor: Actor, start: int, data: bytes) -> bytes:
    # Seeded with the name of the segment, so that a row that changed places is as damaged as one that changed bytes.
    return xxh3_64_digest(data, (actor.seed() + start * 0x9E3779B97F4A7C15) & MASK_64)
