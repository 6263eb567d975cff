"""What stood in the log behind a damaged frame: kept apart until all of it is in the log again.

Knows: intact frames, in no order that a replay could follow. Promises: they are here from the transaction that takes
them out of the log until log and checkpoint cover them, whatever stops the machine between. Must not know: when one can
be applied (salvage.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store_file import StoreFile
from daemon.store_log import checked, checksum

TABLE = (
    "CREATE TABLE IF NOT EXISTS rest (number INTEGER PRIMARY KEY, actor INTEGER NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, checksum BLOB NOT NULL, data BLOB NOT NULL)"
)


class Rest:
    """The kept frames of one file."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        file.write.execute(TABLE)  # files of the first versions lack it, and they ignore it

    def keep(self, db: sqlite3.Connection, frames: Sequence[LogFrame]) -> None:
        """Keep these too; only inside a transaction."""
        for frame in frames:
            db.execute(
                "INSERT INTO rest (actor, first, last, checksum, data) VALUES (?, ?, ?, ?, ?)",
                (self._file.number(frame.actor), frame.first, frame.last, checksum(frame), frame.data),
            )

    def frames(self) -> list[LogFrame]:
        """Those that can be read, each actor's in order."""
        found: list[LogFrame] = []
        try:
            for row in self._file.read.execute("SELECT actor, first, last, checksum, data FROM rest ORDER BY number"):
                frame = checked(self._file.actors, *row)
                if frame is not None:
                    found.append(frame)
        except sqlite3.Error:
            pass  # the page is lost, and what it leads to
        return sorted(found, key=lambda frame: frame.first)

    def drop(self, last: Callable[[Actor], int]) -> bool:
        """Forget them if log and checkpoint reach as far, `last(actor)`; True if nothing is left."""
        with self._file.transaction() as db:
            for number, seq in db.execute("SELECT actor, max(last) FROM rest GROUP BY actor").fetchall():
                actor = self._file.actors.get(number)
                if actor is not None and isinstance(seq, int) and last(actor) < seq:
                    return False
            db.execute("DELETE FROM rest")
        return True
