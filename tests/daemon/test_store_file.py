"""Opening: one at a time, only what is ours, and an error that says what to do."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store import (
    Durability,
    Store,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreForeign,
    StoreTooNew,
    StoreUnwritable,
)
from daemon.store_file import SCHEMA_VERSION, open_file
from tests.daemon.stores import successor

ROOT = Path(__file__).parents[2]
ADA = Actor("ada", 1)


def frames(first: int, last: int) -> list[LogFrame]:
    return [LogFrame(ADA, seq, seq, b"%d" % seq * 20) for seq in range(first, last + 1)]


def test_a_second_opener_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    store = Store.open(tmp_path, "default")
    with pytest.raises(StoreBusy, match=f"in use by process {os.getpid()}; stop it"):
        Store.open(tmp_path, "default")
    with pytest.raises(StoreBusy):
        Store.set_aside(tmp_path, "default", successor(tmp_path))
    Store.open(tmp_path, "other").close()  # another space of the same daemon
    store.close()
    store.close()
    Store.open(tmp_path, "default").close()


def test_another_process_is_kept_out_until_the_holder_dies(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from daemon.store import Store;"
        "s = Store.open(pathlib.Path(sys.argv[1]), 'default'); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy, match=f"process {holder.pid};"):
            Store.open(tmp_path, "default")
    finally:
        holder.kill()
        holder.communicate()
    Store.open(tmp_path, "default").close()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path, "default").close()
    path = tmp_path / "default.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match=f"newer version \\(schema {SCHEMA_VERSION + 1}\\)"):
        Store.open(tmp_path, "default")
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/nowhere/data", "file/data", "file"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StoreUnwritable, match="choose another data directory"):
        Store.open(tmp_path / place, "default")


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "default.db").mkdir()
    with pytest.raises(StoreUnwritable, match=r"default\.db"):
        Store.open(tmp_path, "default")


def test_a_start_on_a_full_disk_says_so(tmp_path: Path) -> None:
    """SQLite cannot make its shared memory then; it calls that "disk I/O error"."""
    Store.open(tmp_path, "default").close()
    code = (
        "import resource, pathlib, sys; from daemon.store import Store, StoreUnwritable;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: Store.open(pathlib.Path(sys.argv[1]), 'default')\n"
        "except StoreUnwritable as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout.strip().endswith("default.db: No space left on device; free space"), said


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("my diary " * 1000)
    with pytest.raises(StoreCorrupt, match="no database"):
        Store.open(tmp_path, "text")
    assert text.read_text() == "my diary " * 1000
    with sqlite3.connect(tmp_path / "theirs.db") as db:
        db.execute("CREATE TABLE log (a)")
    db.close()
    with pytest.raises(StoreCorrupt, match="another program"):
        Store.open(tmp_path, "theirs")
    Store.open(tmp_path, "early").close()
    with sqlite3.connect(tmp_path / "early.db") as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StoreForeign, match="before the first release"):
        Store.open(tmp_path, "early")
    # After a refusal nothing is held.
    assert Store.set_aside(tmp_path, "text", successor(tmp_path)).read_text() == "my diary " * 1000
    Store.open(tmp_path, "text").close()


def test_setting_aside_twice_keeps_both(tmp_path: Path) -> None:
    """Also where the first has been deleted, or only a part of it was left."""
    Store.open(tmp_path, "default").close()
    places = [Store.set_aside(tmp_path, "default", successor(tmp_path)) for _ in range(2)]
    assert [place.name for place in places] == ["default.db.damaged-1", "default.db.damaged-2"]
    assert all(place.exists() for place in places)
    places[0].unlink()
    places[1].rename(tmp_path / "default.db.damaged-7-wal")
    assert Store.set_aside(tmp_path, "default", successor(tmp_path)).name == "default.db.damaged-8"


def test_only_we_may_read_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", "default")
    store.commit(frames(1, 1))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()} == {0o600}
    store.close()


def test_identity_tells_a_store_from_its_copies(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a", "default")
    first = store.identity
    store.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    again, copy, other = (Store.open(tmp_path / name, "default") for name in "abc")
    assert again.identity == first
    assert (copy.database_id, copy.identity.device) == (first.database_id, first.device)
    assert copy.identity.inode != first.inode
    assert other.database_id != first.database_id
    assert len(first.database_id) == 16
    for each in (again, copy, other):
        each.close()


def test_a_full_disk_undoes_the_commit_and_the_next_one_goes_through(tmp_path: Path) -> None:
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    store.commit(frames(1, 3))
    pages = file.write.execute("PRAGMA page_count").fetchone()[0]
    file.write.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = LogFrame(Actor("bob", 2), 1, 1, bytes(100_000))
    with pytest.raises(StoreFailed, match="full; free space"):
        store.commit([big], {"hlc": b"1"})
    assert store.missing({ADA: 3}, 1) == ([], True)
    assert store.log_bytes == sum(len(each.data) for each in frames(1, 3))
    file.write.execute("PRAGMA max_page_count = 100000")
    store.commit([big], {"hlc": b"2"})
    store.close()
    store = Store.open(tmp_path, "default")
    assert list(store.load().log) == [*frames(1, 3), big]
    assert store.load().meta == {"hlc": b"2"}
    store.close()


def test_little_is_not_folded(tmp_path: Path) -> None:
    """A fold waits for the disk, and begins the WAL anew, which does so once more."""
    store = Store.open(tmp_path, "default")
    database = tmp_path / "default.db"
    before = database.stat().st_size
    for each in frames(1, 50):
        store.commit([each])
        store.fold()
    assert database.stat().st_size == before
    store.commit([LogFrame(ADA, 51, 51, bytes(1 << 20))])
    store.fold()
    assert database.stat().st_size > before + (1 << 20)
    store.close()


def test_who_folds_also_begins_the_log_anew(tmp_path: Path) -> None:
    """Or the next commit does, which somebody may be waiting for."""
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    for seq in (1, 2):
        store.commit([LogFrame(ADA, seq, seq, bytes(2 << 20))])
        store.fold()
        assert file._copy()[1] <= 3
    store.close()


def test_a_fold_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    store.commit([LogFrame(ADA, 1, 1, bytes(2 << 20))])
    able = file._folder
    file._folder = sqlite3.connect(f"file:{file.path}?mode=ro", uri=True)
    for _ in range(2):
        with pytest.raises(StoreFailed, match=r"folding the WAL into .* failed: .*; check the disk"):
            store.fold()
    file._folder.close()
    file._folder = able
    store.fold()
    assert file._copy()[1] <= 3
    store.close()


def _is_free(lock: threading.RLock) -> bool:
    """For another thread than the one that asks."""
    free = lock.acquire(blocking=False)
    if free:
        lock.release()
    return free


def test_who_never_pauses_waits_for_the_log_to_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 64 MiB on; before, what is written while the log is folded leaves it as it is."""
    monkeypatch.setattr("daemon.store_file.LONG", 10 << 20)
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    copy, copies = file._copy, list[bool]()

    def commit(size: int) -> None:
        store.commit([LogFrame(ADA, store.last(ADA) + 1, store.last(ADA) + 1, bytes(size))])

    def beside_others() -> tuple[int, int]:
        free = ThreadPoolExecutor(1).submit(_is_free, file.lock).result()
        copies.append(free)
        done = copy()
        if free:
            commit(9000)
        return done

    monkeypatch.setattr(file, "_copy", beside_others)
    for size, begun_anew in ((2 << 20, False), (20 << 20, True)):
        commit(size)
        store.fold()
        assert (copy()[1] <= 3) == begun_anew
    assert copies == [True, True, False], "nobody writes during the last"
    store.close()


def test_a_log_that_another_process_has_kept_long_is_folded_by_no_commit_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.store_file.LONG", 1 << 20)
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    wal = tmp_path / "default.db-wal"
    copy, copies = file._copy, list[bool]()

    def noting() -> tuple[int, int]:
        copies.append(ThreadPoolExecutor(1).submit(_is_free, file.lock).result())
        return copy()

    monkeypatch.setattr(file, "_copy", noting)
    reader = sqlite3.connect(file.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM log").fetchone()
    for seq in range(1, 11):
        store.commit([LogFrame(ADA, seq, seq, bytes(3 << 20))])
        copies.clear()
        store.fold()
    assert wal.stat().st_size > 30 << 20 and copies == [True], "and nobody waits while nothing can be done"
    reader.close()
    before = file.path.stat().st_size
    store.commit([LogFrame(ADA, 11, 11, bytes(3 << 20))])
    assert file.path.stat().st_size == before, "a commit folds nothing"
    store.fold()
    assert file.path.stat().st_size > 33 << 20 and wal.stat().st_size <= 1 << 20
    store.close()


@pytest.mark.parametrize("durability, folded", [("always", True), ("interval", True), ("never", False)])
def test_what_a_process_left_in_the_log_is_written_into_the_file_at_a_start(
    tmp_path: Path, durability: Durability, folded: bool
) -> None:
    """Of a sync that had failed the kernel may remember nothing: what follows would stand behind a hole."""
    store = Store.open(tmp_path / "one", "default", durability)
    store.commit([LogFrame(ADA, 1, 1, b"left")])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    store.close()
    store = Store.open(tmp_path / "two", "default", durability)
    wal = tmp_path / "two" / "default.db-wal"
    assert (wal.stat().st_size == 0) == folded
    assert [frame.data for frame in store.load().log] == [b"left"]
    store.close()


def test_a_start_beside_a_reader_does_not_wait_for_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "one", "default")
    store.commit([LogFrame(ADA, 1, 1, b"left")])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    store.close()
    reader = sqlite3.connect(tmp_path / "two" / "default.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM log").fetchone()
    file = open_file(tmp_path / "two", "default", "always")
    assert file._folder.execute("PRAGMA busy_timeout").fetchone() == (0,), "SQLite waits for 5 s by itself"
    store = Store(file)
    assert [frame.data for frame in store.load().log] == [b"left"]
    store.close()
    reader.close()


def test_small_commits_make_the_log_as_long_as_large_ones(tmp_path: Path) -> None:
    file = open_file(tmp_path, "default", "always")
    store = Store(file)
    for seq in range(1, 101):
        store.commit([LogFrame(ADA, seq, seq, b"small")])
    store.fold()
    assert file._copy()[1] <= 3
    store.close()


@pytest.mark.parametrize("durability, syncs", [("always", True), ("interval", True), ("never", False)])
def test_what_was_committed_is_synced_beside_other_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability, syncs: bool
) -> None:
    """Also while somebody is in the middle of a transaction; and wherever its files may lie by now."""
    synced: list[int] = []
    file = open_file(tmp_path, "default", durability)
    monkeypatch.setattr("daemon.store_file._bring_to_disk", lambda number: synced.append(os.fstat(number).st_ino))
    wal = tmp_path / "default.db-wal"
    expected = [wal.stat().st_ino] * 2 if syncs else []
    with file.transaction():
        worker = threading.Thread(target=file.sync)
        worker.start()
        worker.join()
    wal.rename(tmp_path / "elsewhere")
    file.sync()
    file.close()
    assert synced == expected


def test_a_disk_that_takes_its_time_keeps_nobody_else_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, enough = threading.Event(), threading.Event()

    def slowly(number: int) -> None:
        syncing.set()
        assert enough.wait(10)

    store = Store.open(tmp_path, "default")
    monkeypatch.setattr("daemon.store_file._bring_to_disk", slowly)
    worker = threading.Thread(target=store.sync)
    worker.start()
    assert syncing.wait(10)
    store.commit(frames(1, 3))
    store.begin_checkpoint({ADA: 3})
    store.put_segment(ADA, 1, b"rows")
    store.finish_checkpoint()
    assert worker.is_alive()
    enough.set()
    worker.join()
    store.close()


def test_a_disk_that_cannot_be_synced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(number: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = open_file(tmp_path, "default", "interval")
    monkeypatch.setattr("daemon.store_file._bring_to_disk", broken)
    with pytest.raises(StoreFailed, match=r"default\.db failed: Input/output error; check the disk"):
        file.sync()
    file.close()
    with pytest.raises(StoreFailed, match="check the disk"):
        open_file(tmp_path, "default", "interval")
    monkeypatch.undo()
    open_file(tmp_path, "default", "interval").close()


@pytest.mark.parametrize("durability, syncs", [("always", 1), ("interval", 1), ("never", 0)])
def test_what_was_left_by_a_process_that_was_killed_is_synced_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability, syncs: int
) -> None:
    """It tells others of it as stored."""
    synced: list[int] = []
    monkeypatch.setattr("daemon.store_file._bring_to_disk", synced.append)
    open_file(tmp_path, "default", durability).close()
    assert len(synced) == syncs


def test_a_file_behind_a_symbolic_link(tmp_path: Path) -> None:
    """SQLite keeps the WAL beside what the link leads to."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    (data / "default.db").symlink_to(elsewhere / "default.db")
    store = Store.open(data, "default")
    store.commit(frames(1, 3))
    store.sync()
    store.close()
    store = Store.open(data, "default")
    assert list(store.load().log) == frames(1, 3)
    store.close()


def test_folding_beside_commits_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.store_file.FOLD_FROM", 0)
    store = Store.open(tmp_path, "default", "never")
    done = threading.Event()

    def fold() -> None:
        while not done.is_set():
            store.fold()

    worker = threading.Thread(target=fold)
    worker.start()
    for each in frames(1, 500):
        store.commit([each])
    done.set()
    worker.join()
    store.fold()
    store.close()
    store = Store.open(tmp_path, "default")
    assert list(store.load().log) == frames(1, 500)
    store.close()


def test_damaged_pages_never_give_a_wrong_frame(tmp_path: Path) -> None:
    """Random damage to the file: a prefix of the log, or StoreCorrupt, and nothing else."""
    store = Store.open(tmp_path / "good", "default")
    bob = Actor("bob", 2)
    for seq in range(1, 101):
        store.commit([LogFrame(ADA, seq, seq, b"a%d" % seq * 60), LogFrame(bob, seq, seq, b"b%d" % seq * 60)])
    store.begin_checkpoint({ADA: 100, bob: 100})
    segments = [(ADA, start, b"%d" % start * 5000) for start in range(4)]
    for segment in segments:
        store.put_segment(*segment)
    store.finish_checkpoint()
    for seq in range(101, 201):
        store.commit([LogFrame(ADA, seq, seq, b"a%d" % seq * 60), LogFrame(bob, seq, seq, b"b%d" % seq * 60)])
    expected = list(store.load().log)
    store.close()
    good = (tmp_path / "good" / "default.db").read_bytes()
    random_ = random.Random(5)
    outcomes: dict[str, int] = {}
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(random_.randrange(1, 4)):
            # Structure sits at the beginning of a page: aim there half of the time.
            at = random_.randrange(len(bad)) if random_.random() < 0.5 else random_.randrange(len(bad) // 4096) * 4096
            for place in range(at, min(at + random_.choice((1, 16, 4096)), len(bad))):
                bad[place] = random_.randrange(256)
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "default.db").write_bytes(bad)
        outcome = load_damaged(tmp_path / "bad", segments, expected)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shutil.rmtree(tmp_path / "bad")
    assert set(outcomes) == {"corrupt", "whole", "prefix"}


def load_damaged(directory: Path, segments: list[tuple[Actor, int, bytes]], expected: list[LogFrame]) -> str:
    try:
        store = Store.open(directory, "default")
    except (StoreCorrupt, StoreTooNew):
        return "corrupt"
    try:
        loaded = store.load()
        assert set(loaded.segments) <= set(segments)
        log = list(loaded.log)
        assert log == expected[: len(log)]
        found, _ = store.missing({}, 1 << 30)
        assert set(found) <= {b"%s%d" % (name, seq) * 60 for name in (b"a", b"b") for seq in range(1, 201)}
        return "prefix" if loaded.damaged else "whole"
    except StoreCorrupt:
        return "corrupt"
    finally:
        store.close()
