"""Rows of a snapshot that is on its way, until all of them have come and are joined.

Knows: what lies under which number, and what of it is still to be written. Promises: what was put can be read from then
on; what is damaged is not handed out; nothing here is needed for anything but not fetching it again, so it is written
by the worker, as much as has gathered at a time, and thrown away in slices.
Must not know: what is in it, when it is joined.

Threads: `put`, `drop` and `read` belong to the loop, and wait for nobody; `write` and `sweep` take their time, and
`sweep` belongs to one thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from itertools import islice

from xxhash import xxh3_64_digest

from crdt.dots import MASK_64, Actor
from crdt.replica.effects import Stage
from daemon.store_file import StoreFile

TABLE = (
    "CREATE TABLE IF NOT EXISTS staged (number INTEGER PRIMARY KEY, actor INTEGER NOT NULL, checksum BLOB NOT NULL,"
    " seqs BLOB NOT NULL, data BLOB NOT NULL)"
)


class Staging:
    """The staged rows of one file."""

    def __init__(self, file: StoreFile) -> None:
        self.unwritten = 0  # bytes that were put and wait for `write`
        self._file = file
        self._turn = threading.Lock()  # to write
        self._lock = threading.Lock()  # of what follows, and of nothing that takes long
        self._waiting: dict[int, Stage] = {}
        self._writing: dict[int, Stage] = {}
        self._stale: dict[int, None] = {}
        file.write.execute(TABLE)  # files of the first versions lack it, and they ignore it

    def put(self, order: Stage) -> None:
        """Keep these; a number that is still to be thrown away may be used again."""
        with self._lock:
            self._forget(order.number)
            self._stale.pop(order.number, None)
            self._waiting[order.number] = order
            self.unwritten += len(order.data)

    def drop(self, numbers: Sequence[int]) -> None:
        """Throw these away; `sweep` does it."""
        with self._lock:
            for number in numbers:
                self._forget(number)
                self._stale[number] = None

    def _forget(self, number: int) -> None:
        self._writing.pop(number, None)
        order = self._waiting.pop(number, None)
        if order is not None:
            self.unwritten -= len(order.data)

    def write(self, most: int) -> bool:
        """Write what has gathered, up to about so many bytes; True if some is left. Raises StoreFailed.

        What is dropped meanwhile is swept afterwards.
        """
        with self._turn:
            return self._write(most)

    def _write(self, most: int) -> bool:
        with self._lock:
            size = 0
            while self._waiting and size < most:
                order = self._waiting.pop(next(iter(self._waiting)))
                self._writing[order.number] = order
                size += len(order.data)
            self.unwritten -= size
            orders = list(self._writing.values())
        if orders:
            self._insert(orders)
        with self._lock:
            self._writing.clear()
            return bool(self._waiting)

    def _insert(self, orders: list[Stage]) -> None:
        with self._file.transaction() as db:
            for order in orders:
                values = (order.number, self._file.number(order.actor), _checksum(order), order.seqs, order.data)
                self._file.unfolded += len(order.data)
                db.execute("INSERT OR REPLACE INTO staged VALUES (?, ?, ?, ?, ?)", values)

    def sweep(self, count: int) -> bool:
        """Throw away up to `count` of what was dropped; True if some are left."""
        with self._lock:
            batch = list(islice(self._stale, count))
        if batch:
            with self._file.transaction() as db:
                db.executemany("DELETE FROM staged WHERE number = ?", [(number,) for number in batch])
        with self._lock:
            for number in batch:
                self._stale.pop(number, None)
            return bool(self._stale)

    def index(self) -> Iterator[tuple[int, Actor, bytes]]:
        """(number, actor, seqs) of all that lies there, for a start. What cannot be read is left out, and dropped."""
        try:
            rows = self._file.read.execute("SELECT number, actor, seqs FROM staged ORDER BY number").fetchall()
        except sqlite3.Error:
            return
        for number, actor, seqs in rows:
            if actor in self._file.actors and isinstance(seqs, bytes):
                yield number, self._file.actors[actor], seqs
            else:
                self._stale[number] = None

    def read(self, number: int) -> bytes | None:
        """The rows under a number; None if they are damaged or gone."""
        with self._lock:
            held = self._waiting.get(number) or self._writing.get(number)
        if held is not None:
            return held.data
        try:
            row = self._file.read.execute(
                "SELECT actor, checksum, seqs, data FROM staged WHERE number = ?", (number,)
            ).fetchone()
        except sqlite3.Error:
            return None
        if row is None or row[0] not in self._file.actors or not isinstance(row[3], bytes):
            return None
        actor, digest, seqs, data = row
        order = Stage(number, self._file.actors[actor], 0, 0, seqs, data)
        return data if digest == _checksum(order) else None


def _checksum(order: Stage) -> bytes:
    seed = order.actor.seed() + order.number * 0x9E3779B97F4A7C15
    return xxh3_64_digest(order.seqs + order.data, seed & MASK_64)
