"""The file of one space: opened, locked, checked and written in transactions.

Knows: SQLite, its pragmas, the schema and its version, the lock that keeps a second daemon out.
Promises: a file that is open here is open nowhere else and has the schema of this program; a transaction is
there in full or not at all, after a kill -9 as soon as it returns, after a loss of power once `sync` has returned.
Must not know: what a frame, a segment or a floor means (`store.py`, `store_segments.py`).

Why SQLite: a group commit of a log of our own took 180 us on the reference machine, one of SQLite 228 us, and the
crash behaviour of the latter has been tested by others for twenty years.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import sqlite3
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from crdt.dots import Actor

Durability = Literal["always", "interval", "never"]

SCHEMA_VERSION: Final = 3  # of the tables, and of how frames and rows in them are spelled (crdt/codec.py)
APPLICATION_ID: Final = 0x474F5353  # "GOSS": tells our files from anybody else's SQLite files

LONG: Final = 64 << 20
"""Bytes of WAL from which on who writes waits for the end of its folding: without a pause it would never begin anew.
Its file is cut to this length when it had become longer: while another process read it, or the disk was slow."""
FOLD_FROM: Final = 1 << 20
"""Bytes, about, from which on folding the WAL pays: it waits for the disk three times."""
PAGE: Final = 4096
OVERHEAD: Final = 3 * PAGE  # bytes that a transaction adds to the WAL beside its data, about

SCHEMA: Final = (
    "CREATE TABLE actors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, nonce BLOB NOT NULL, UNIQUE (name, nonce))",
    # `size` stands before `data` so that it is read without the pages that `data` overflows into.
    "CREATE TABLE log (lsn INTEGER PRIMARY KEY, actor INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " size INTEGER NOT NULL, checksum BLOB NOT NULL, data BLOB NOT NULL)",
    # Covers what `missing` looks for and what opening adds up: neither touches a frame it does not want.
    "CREATE INDEX log_by_actor ON log (actor, last, size)",
    "CREATE TABLE floors (actor INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE checkpoint (actor INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    # `data` NULL: the segment is gone from this generation on.
    "CREATE TABLE segments (id INTEGER PRIMARY KEY, actor INTEGER NOT NULL, start INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, checksum BLOB, data BLOB, UNIQUE (actor, start, generation))",
    "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), database_id BLOB NOT NULL,"
    " generation INTEGER NOT NULL, lsn_start INTEGER NOT NULL)",
)


# _IOR('v', 1, long) on all but a few old architectures, which answer that they do not know it.
FS_IOC_GETVERSION: Final = 0x80007601 | struct.calcsize("l") << 16

# Result codes that speak of the place where the file lies, not of the file.
DISK_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)

DISK_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""The second is what a database that cannot be opened on a full disk says; SQLite's own words are "disk I/O error"."""


class StoreError(Exception):
    """What can go wrong with a store; the text says what happened and what to do next."""


class StoreBusy(StoreError):
    """Another process, or another `Store` of this one, has the space open."""


class StoreTooNew(StoreError):
    """A later version wrote the file; nothing was changed."""


class StoreUnwritable(StoreError):
    """The directory or a file in it cannot be created or written; nothing was changed."""


class StoreCorrupt(StoreError):
    """The file is not ours, or damaged beyond what a replay can skip; `set_aside` moves it out of the way."""


class StoreForeign(StoreCorrupt):
    """A database, but of another program, or in frames that are read no more: not ours to move."""


class StoreFailed(StoreError):
    """A write failed (disk full, I/O error). The transaction is undone; the same call may be repeated.

    Not so a `sync`: after one that failed nobody knows what is on the disk, and another one may claim that all is.
    """


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one store from its copies: none of it but `database_id` survives a copy or a restore.

    `generation`: what the file system gives a new file beside its inode number, which ext4 hands out again at once
    after a deletion; 0 where it has nothing of the kind.
    """

    database_id: bytes
    device: int
    inode: int
    generation: int


class StoreFile:
    """One open, locked file with three connections: one writes, one reads beside it, one folds the WAL.

    The writing one may be used from any thread inside `transaction`, which lets one in at a time; the reading one
    belongs to the loop's thread.
    """

    def __init__(
        self, path: Path, lock: int, connections: Sequence[sqlite3.Connection], durability: Durability, generation: int
    ) -> None:
        self.path = path
        self.write, self.read, self._folder = connections
        self.read.execute("PRAGMA query_only = ON")
        self._folder.execute("PRAGMA busy_timeout = 0")  # what others read is folded later
        self.lock = threading.RLock()
        self.actors: dict[int, Actor] = {}
        self._ids: dict[Actor, int] = {}
        self._new_ids: list[Actor] = []
        self.aside: Path | None = None  # what this one replaces since this start, where an earlier one was killed
        self._flock = lock
        self.unfolded = 0  # bytes that were written since the last fold, about
        # Commits do not sync, `sync` does: on a slow disk nobody waits for it who only wants to write as well.
        self.write.execute("PRAGMA synchronous = NORMAL")
        self._syncs = durability != "never"
        self.write.execute("PRAGMA wal_autocheckpoint = 0")  # a commit would wait for the disk, and the loop for it
        self.write.execute(f"PRAGMA journal_size_limit = {LONG}")
        for number, name, nonce in self.write.execute("SELECT id, name, nonce FROM actors"):
            actor = Actor(name, int.from_bytes(nonce, "big"))
            self.actors[number] = actor
            self._ids[actor] = number
        database_id = self.write.execute("SELECT database_id FROM store").fetchone()[0]
        status = path.stat()
        self.identity = Identity(database_id, status.st_dev, status.st_ino, generation)
        # Where SQLite has it: it follows a symbolic link.
        self._wal = os.open(f"{os.path.realpath(path)}-wal", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to this file: a file without a name goes with the process that has it open."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True  # nobody knows
        return (status.st_dev, status.st_ino) == (self.identity.device, self.identity.inode)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; it reaches the disk with the next `sync`, and all before it. Raises StoreFailed."""
        db = self.write
        with self.lock:
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
                self.unfolded += OVERHEAD
            except BaseException as error:
                self._undo()
                if isinstance(error, sqlite3.Error):
                    raise StoreFailed(f"writing {self.path} failed: {error}; free space or check the disk") from error
                raise
            finally:
                self._new_ids.clear()

    def sync(self) -> None:
        """What was committed is on the disk on return, but with `never`; beside other commits. Raises StoreFailed.

        By a descriptor of our own, since a transaction that syncs would keep the others waiting. SQLite has no lock on
        the WAL that closing it could drop, has synced the name of the WAL when it began it, and brings the WAL to the
        disk before it folds it.
        """
        if not self._syncs:
            return
        try:
            _bring_to_disk(self._wal)
        except OSError as error:
            raise StoreFailed(f"syncing {self.path} failed: {error.strerror}; check the disk") from error

    def number(self, actor: Actor) -> int:
        """The small int that stands for `actor` in this file; only inside a transaction."""
        number = self._ids.get(actor)
        if number is None:
            cursor = self.write.execute(
                "INSERT INTO actors (name, nonce) VALUES (?, ?)", (actor.name, actor.nonce.to_bytes(8, "big"))
            )
            number = cursor.lastrowid
            assert number is not None
            self._ids[actor] = number
            self.actors[number] = actor
            self._new_ids.append(actor)
        return number

    def known_number(self, actor: Actor) -> int | None:
        """As `number`, None for an actor that no transaction has named yet."""
        return self._ids.get(actor)

    def meta(self) -> dict[str, bytes]:
        """Everything set by `set_meta`. Raises StoreCorrupt."""
        with self.reading():
            meta = dict(self.read.execute("SELECT key, value FROM meta"))
            if not all(isinstance(value, bytes) for value in meta.values()):
                raise ValueError("meta is not bytes")
            return meta

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For reading at a start: what is unreadable or absurd becomes StoreCorrupt."""
        try:
            yield
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise StoreCorrupt(f"{self.path} is damaged: {error}; restore it or move it away") from error

    def set_meta(self, meta: Mapping[str, bytes]) -> None:
        """Set these keys and leave the others; only inside a transaction."""
        for key, value in meta.items():
            self.write.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value)
            )

    def fold(self) -> None:
        """Copy the WAL into the file, if there is much; from any thread but one at a time.

        Raises StoreFailed: nothing is lost, but the WAL grows until it works again.
        """
        due, self.unfolded = self.unfolded, 0
        try:
            if due >= FOLD_FROM:
                self._fold()
                due = 0
        finally:
            self.unfolded += due

    def _fold(self) -> None:
        left, whole = self._copy()
        long = whole * PAGE > LONG > 2 * left * PAGE  # more is left where another process reads
        with self.lock if long else nullcontext():
            if long:
                left, _ = self._copy()  # what was written meanwhile
            if left == 0:  # the next commit begins the WAL anew and waits for the disk: nobody waits for this
                with self.transaction():
                    self.set_meta({"folded": secrets.token_bytes(8)})  # what is written as it was is not written

    def _copy(self) -> tuple[int, int]:
        """Pages of the WAL into the file, but for what others read: how many are left, of those that it had when this
        began.
        """
        try:
            _, written, folded = self._folder.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise StoreFailed(f"folding the WAL into {self.path} failed: {error}; check the disk") from error
        return written - folded, written

    def settle(self) -> None:
        """What a process left that was killed before its sync, or ended because it failed, is on the disk from now on.

        Into the file itself where that is possible: of a sync that failed the kernel may remember nothing, and what it
        has not written count as written, with what is committed from now on behind it.
        """
        if self._syncs:
            with suppress(sqlite3.Error):
                self._folder.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.sync()

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            self.write.execute("ROLLBACK")
        for actor in self._new_ids:
            del self.actors[self._ids.pop(actor)]

    def give_way(self, successor: Path) -> Path:
        """As `set_aside`, and close it: the files go as they are, SQLite folds no WAL into a file that was moved."""
        aside = _replace(self.path, successor)
        self.close()
        return aside

    def close(self) -> None:
        """Fold the WAL into the file, close it, let others in. Idempotent."""
        if self._flock < 0:
            return
        for db in (self._folder, self.read, self.write):
            with suppress(sqlite3.Error):
                db.close()
        os.close(self._wal)
        os.close(self._flock)
        self._flock = -1


def open_file(directory: Path, space: str, durability: Durability) -> StoreFile:
    """Open or create `directory/space.db`. Raises StoreBusy, StoreTooNew, StoreUnwritable, StoreCorrupt."""
    lock = _lock(directory, space)
    path = directory / f"{space}.db"
    connections: list[sqlite3.Connection] = []
    try:
        aside = _succeed(path)
        # Before SQLite has it: closing any other descriptor of the file later would drop SQLite's own locks on it.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        generation = _generation(descriptor)
        os.close(descriptor)
        connections.append(_connect(path))
        _check(connections[0], path)
        connections += [_connect(path), _connect(path)]
        file = StoreFile(path, lock, connections, durability, generation)
    except BaseException as error:
        for db in connections:
            db.close()
        os.close(lock)
        _tell(error, path)
        raise
    file.aside = aside
    with opening(file):
        file.settle()
    return file


@contextmanager
def opening(file: StoreFile) -> Iterator[None]:
    """For reading what an opened file holds: whatever goes wrong inside closes it and is told as `open_file` would."""
    try:
        yield
    except BaseException as error:
        file.close()
        _tell(error, file.path)
        raise


def set_aside(directory: Path, space: str, successor: Path) -> Path:
    """Rename a damaged store that cannot be opened, and give its place to another database, which is closed; the new
    place of the damaged one. Raises StoreBusy, StoreUnwritable: what was not begun, the next `open_file` begins anew.
    """
    lock = _lock(directory, space)
    try:
        return _replace(directory / f"{space}.db", successor)
    finally:
        os.close(lock)


def _replace(path: Path, successor: Path) -> Path:
    if Path(f"{successor}-wal").exists():  # closing it would have folded that
        raise StoreUnwritable(f"{path} is damaged, and what replaces it does not fit; free space or check the disk")
    try:
        successor.rename(_successor(path))
        _bring_names_to_disk(path.parent)
        aside = _damaged(path, _last_damaged(path) + 1)
        path.rename(aside)  # from here on it is replaced, whoever ends it
        _bring_names_to_disk(path.parent)
        _succeed(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return aside


def _succeed(path: Path) -> Path | None:
    """Give the place of a damaged database that is gone to its successor, where there is one: after a kill the next
    start does. The new place of the damaged one.
    """
    successor = _successor(path)
    if not successor.exists():
        return None
    if path.exists():  # all of it is as it was, and will be found damaged again
        successor.unlink()
        return None
    aside = _damaged(path, max(_last_damaged(path), 1))
    for suffix in ("-wal", "-shm"):  # or they would be taken for the successor's
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    successor.rename(path)
    _bring_names_to_disk(path.parent)
    return aside


def _successor(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _damaged(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}")


def _last_damaged(path: Path) -> int:
    """The highest number under which something was set aside; 0 if nothing was."""
    names = [each.name.removeprefix(_damaged(path, 0).name[:-1]) for each in path.parent.iterdir()]
    numbers = [name.partition("-")[0] for name in names]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # On macOS fsync alone leaves data in the drive's cache. No effect elsewhere.
    db.execute("PRAGMA fullfsync = ON")
    return db


def _bring_to_disk(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS, see `_connect`
    if full is None:
        os.fdatasync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def _bring_names_to_disk(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(directory: Path, space: str) -> int:
    # A file of its own, because SQLite's locks on the database belong to a process and are dropped with any
    # descriptor of it. It stays when the store is closed: removing it would race with the next one to lock it.
    path = directory / f"{space}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        os.close(lock)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            who = f"process {holder}" if holder else "another process"
            raise StoreBusy(f"{directory} is in use by {who}; stop it or choose another data directory") from error
        raise _unwritable(path, error) from error
    return lock


def _generation(descriptor: int) -> int:
    if sys.platform == "linux":
        try:
            answer = fcntl.ioctl(descriptor, FS_IOC_GETVERSION, bytes(struct.calcsize("l")))
        except OSError:
            return 0
        return int.from_bytes(answer[:4], sys.byteorder)
    return int(getattr(os.fstat(descriptor), "st_birthtime", 0) * 1_000_000)


def _unwritable(path: Path, error: OSError) -> StoreUnwritable:
    return StoreUnwritable(f"cannot write {path}: {error.strerror}; choose another data directory or mend its rights")


def _tell(error: BaseException, path: Path) -> None:
    """Raise the StoreError that an error met while opening stands for; return if there is none."""
    if isinstance(error, OSError):
        raise _unwritable(path, error) from error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        if code in DISK_FULL:
            raise StoreUnwritable(f"cannot write {path}: {os.strerror(errno.ENOSPC)}; free space") from error
        # The low byte is the primary result code.
        if code & 0xFF in DISK_TROUBLE:
            raise StoreUnwritable(f"cannot write {path}: {error}; check its owner, its rights and the disk") from error
        raise StoreCorrupt(f"{path} is damaged or no database: {error}; restore it or move it away") from error
    if isinstance(error, (KeyError, TypeError, ValueError)):
        raise StoreCorrupt(f"{path} holds what no version wrote ({error}); restore it or move it away") from error


def _check(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreTooNew(f"{path} was written by a newer version (schema {version}); use that version or newer")
    application = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise StoreForeign(f"{path} is a database of another program; move it away or choose another data directory")
    if tables and version < SCHEMA_VERSION:
        raise StoreForeign(
            f"{path} was written before the first release (schema {version}), in frames that are read no more;"
            " move it away: what its peers have is pulled from them"
        )
    # Debian builds SQLite with secure_delete: every dropped frame would be overwritten with zeros first.
    db.execute("PRAGMA secure_delete = OFF")
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnwritable(f"the file system of {path} cannot hold a WAL database; use a local disk")
    if not tables:
        _create(db)


def _create(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA:
        db.execute(statement)
    db.execute("INSERT INTO store VALUES (1, ?, 0, 1)", (secrets.token_bytes(16),))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    # Out of the WAL, so that the file keeps its id whatever happens to the WAL.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
