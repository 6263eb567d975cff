"""What was ordered is stored in order, beside the loop or before it goes on, or the daemon ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from crdt.replica.effects import LogFrame, Persist, Stage
from crdt.types import sets
from daemon.store import Durability, StoreFailed
from tests.daemon.spaces import SOON, Between, Make, Member, until


class Disk:
    """One that can be told to take its time, in between the store and its sync, and that counts both."""

    def __init__(self, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stored: list[int] = []  # frames of each commit
        self.syncs = 0
        self.free = threading.Event()
        self.free.set()
        self._store = member.space.store
        self._commit, self._sync = self._store.commit, self._store.sync
        monkeypatch.setattr(self._store, "commit", self.commit)
        monkeypatch.setattr(self._store, "sync", self.sync)

    def commit(self, frames: Sequence[LogFrame]) -> None:
        self._commit(frames)
        self.stored.append(len(frames))

    def sync(self) -> None:
        assert threading.current_thread() is threading.main_thread() or self.free.wait(SOON)
        self._sync()
        self.syncs += 1


async def test_what_gathers_while_the_disk_is_slow_is_stored_in_one_go(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sync for all of it, whether the worker finds it when it is done or the loop waits for it."""
    a = make("a", "interval")
    await a.start()
    disk = Disk(a, monkeypatch)
    replica = a.space.replica
    disk.free.clear()
    for i in range(200):
        a.add(b"s", b"%d" % i)
        a.space.commit()
    assert replica.own_stored == 0
    disk.free.set()
    await until(lambda: replica.own_stored == 200, "the worker to store it")
    assert (disk.stored, disk.syncs) == ([1, 199], 2)
    for i in range(200, 300):
        a.add(b"s", b"%d" % i)
        a.space.commit()
    a.space.commits.drain()
    assert (disk.stored, disk.syncs, replica.own_stored) == ([1, 199, 1, 99], 4, 300)
    await asyncio.sleep(0)  # what the worker reported meanwhile finds it done
    assert replica.stored == replica.batch and not a.failures


async def test_what_gathers_has_its_limits(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not keep the file for long, and the loop does not let the disk fall behind without end."""
    monkeypatch.setattr("daemon.commits.TOGETHER", 2_000)
    monkeypatch.setattr("daemon.commits.HELD", 20_000)
    a = make("a", "interval")
    await a.start()
    disk = Disk(a, monkeypatch)
    disk.free.clear()
    count = 0
    while a.space.commits._held < 19_000:
        count += 1
        a.add(b"s", b"%d" % count * 100)
        a.space.commit()
    disk.free.set()
    await until(lambda: a.space.replica.own_stored == count, "the worker to store it")
    assert len(disk.stored) > 9 and all(frames <= 2_000 // 100 for frames in disk.stored) and disk.syncs == 2
    for i in range(count, 2 * count + 60):
        a.add(b"s", b"%d" % i * 100)
        a.space.commit()
        assert a.space.commits._held <= 20_000
    assert a.space.replica.own_stored > count, "the loop has waited for the disk"


async def test_rows_of_a_snapshot_are_written_in_parts_aside_and_by_the_loop_where_they_come_faster(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.commits.TOGETHER", 2_000)
    monkeypatch.setattr("daemon.commits.HELD", 20_000)
    a = make("a", "interval")
    await a.start()
    commits, store = a.space.commits, a.space.store
    free = threading.Event()

    def wait() -> None:
        assert free.wait(SOON)

    busy = commits.aside(wait)
    threads: list[str] = []
    write = store.write_staged

    def noting(most: int) -> bool:
        threads.append(threading.current_thread().name)
        return write(most)

    monkeypatch.setattr(store, "write_staged", noting)

    def stage(number: int) -> None:
        commits.stage(Stage(number, a.space.state.actor, 1, 2, b"seqs", b"%d" % (number % 10) * 1_000))

    for number in range(1, 21):
        stage(number)
    assert store.unwritten == 20_000 and threads == []
    free.set()
    await busy
    await commits.aside(lambda: None)
    stage(21)
    stage(22)
    await commits.aside(lambda: None)
    assert store.unwritten == 0 and len(list(store.staged_index())) == 22
    assert len(threads) >= 10 and all(name.startswith("aside-") for name in threads)
    free.clear()
    busy = commits.aside(wait)
    for number in range(1, 21):
        stage(number)
    threads.clear()
    stage(21)
    stage(22)
    assert threads == [threading.main_thread().name] and store.unwritten == 20_000, "a part, and no waiting"
    free.set()
    await busy
    await commits.aside(lambda: None)
    assert store.unwritten == 0 and len(list(store.staged_index())) == 22


@pytest.mark.parametrize("durability", ["always", "interval"])
async def test_no_commit_stands_behind_what_is_done_aside(make: Make, durability: Durability) -> None:
    """A snapshot on its way, or the folding of a long log on a slow disk, may take minutes."""
    a = make("a", durability)
    await a.start()
    free = threading.Event()

    def wait() -> None:
        assert free.wait(SOON)

    busy = a.space.commits.aside(wait)
    a.space.commits.stage(Stage(1, a.space.state.actor, 1, 2, b"seqs", b"row"))
    a.add(b"s", b"1")
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 1, "it to be stored")
    await a.space.commits.synced()
    assert not busy.done()
    free.set()
    await busy


async def test_who_stops_does_not_wait_for_what_is_done_aside(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the part that was begun; and of what waits nothing is begun."""
    a = make("a", "interval")
    await a.start()
    begun, parts, others = threading.Event(), [0], list[str]()

    def without_end(most: int) -> bool:
        begun.set()
        parts[0] += 1
        return parts[0] < 1_000_000

    monkeypatch.setattr(a.space.store, "write_staged", without_end)
    a.space.commits.stage(Stage(1, a.space.state.actor, 1, 2, b"seqs", b"row"))
    waiting = a.space.commits.aside(lambda: others.append("begun"))
    assert begun.wait(SOON)
    a.add(b"s", b"1")
    a.close()
    assert parts[0] < 1_000_000 and not others
    await asyncio.sleep(0)
    assert waiting.cancelled()
    await a.start()
    assert a.members(b"s") == {b"1"}


async def test_the_worker_folds_what_it_writes_of_a_snapshot(make: Make) -> None:
    """Or it would be left to a commit, which somebody may be waiting for."""
    a = make("a", "interval")
    await a.start()
    for number in range(1, 6):
        a.space.commits.stage(Stage(number, a.space.state.actor, 1, 2, b"seqs", bytes(1 << 20)))
    await a.space.commits.aside(lambda: None)
    await a.space.commits.aside(lambda: None)
    store = a.space.store
    assert len(list(store.staged_index())) == 5 and store.unfolded < 2 << 20
    _, pages, _ = store._file._folder.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert pages < 600, "of 4 KiB"


async def test_a_row_that_comes_while_others_are_written_is_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a", "interval")
    await a.start()
    commits, store = a.space.commits, a.space.store
    orders = [Stage(number, a.space.state.actor, 1, 2, b"seqs", b"row") for number in (1, 2)]
    write = store.write_staged

    def one_more(most: int) -> bool:
        more = write(most)
        if len(orders) == 1:
            commits.stage(orders.pop())
        return more

    monkeypatch.setattr(store, "write_staged", one_more)
    commits.stage(orders.pop())
    for _ in range(2):
        await commits.aside(lambda: None)
    assert store.unwritten == 0 and len(list(store.staged_index())) == 2


async def test_rows_that_cannot_be_written_end_the_daemon(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a", "interval")
    await a.start()
    monkeypatch.setattr(a.space.store, "write_staged", _full)
    a.space.commits.stage(Stage(1, a.space.state.actor, 1, 2, b"seqs", b"row"))
    await a.space.commits.aside(lambda: None)
    assert a.failures == [(1, "disk full")]


async def test_the_files_are_not_closed_under_what_is_done_aside(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    commits = a.space.commits

    def until_the_end() -> None:
        while not commits.closing:
            time.sleep(0.001)
        time.sleep(0.1)

    commits.aside(until_the_end)
    commits.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("aside-")]


async def test_a_fold_that_fails_beside_a_snapshot_ends_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.commits.FOLD_AT", -1)
    a = make("a", "interval")
    await a.start()
    commits, store = a.space.commits, a.space.store
    monkeypatch.setattr(store, "fold", _full)
    for number in (1, 2):
        commits.stage(Stage(number, a.space.state.actor, 1, 2, b"seqs", b"row"))
        await commits.aside(lambda: None)
    assert store.unwritten == 0 and len(list(store.staged_index())) == 2 and not a.failures


async def test_who_waits_may_go_and_what_was_waited_for_is_stored(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    free = threading.Event()

    def wait() -> None:
        assert free.wait(SOON)

    busy = _in_turn(a, wait)
    a.add(b"s", b"1")
    a.space.commit()
    waiter = asyncio.create_task(a.space.commits.stored())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    free.set()
    await busy
    await until(lambda: a.space.replica.own_stored == 1, "it to be stored")


async def test_who_waits_for_what_was_ordered_waits_for_what_has_gathered_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for what is ordered afterwards."""
    a = make("a", "interval")
    await a.start()
    disk = Disk(a, monkeypatch)
    disk.free.clear()
    for member in (b"underway", b"gathered"):
        a.add(b"s", member)
        a.space.commit()
    waiter = asyncio.create_task(a.space.commits.stored())
    stored: list[int] = []
    waiter.add_done_callback(lambda _: stored.append(a.space.replica.own_stored))
    await asyncio.sleep(0)
    disk.free.set()
    await waiter
    assert stored == [2]


async def test_a_snapshot_shares_its_transaction_with_nothing(make: Make) -> None:
    """It is stored in another way than frames: those would be lost, or it."""
    a = make("a", "interval")
    await a.start()
    commits = a.space.commits
    commits._queue.extend(Persist(batch, (), (), batch == 3) for batch in range(1, 6))
    assert [[effect.batch for effect in commits._take()] for _ in range(3)] == [[1, 2], [3], [4, 5]]


async def test_a_snapshot_is_synced_where_turns_are_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows and floors replace what was stored: nothing is reported before."""
    a = make("a", "interval")
    a.tuning["interval"] = 0.0
    await a.start()
    disk = Disk(a, monkeypatch)
    monkeypatch.setattr(a.space.checkpointer, "finish", lambda frames, floors: None)
    for snapshot, syncs in ((False, 0), (True, 1)):
        a.space.commits._store([Persist(1, (), (), snapshot)])
        assert disk.syncs == syncs


async def test_what_peers_wrote_is_stored_beside_the_loop_and_before_what_follows_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it: readers go on while the disk is slow, and what is written here still stands behind it."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    slow = threading.Event()
    stored: list[tuple[str, list[str]]] = []
    commit = b.space.store.commit

    def slowly(frames: Sequence[LogFrame]) -> None:
        names = [frame.actor.name for frame in frames]
        stored.append((threading.current_thread().name, names))
        if names == ["a"] and threading.current_thread() is not threading.main_thread():
            slow.wait(SOON)
        commit(frames)

    monkeypatch.setattr(b.space.store, "commit", slowly)
    a.add(b"s", b"1")
    await until(lambda: stored, "b to begin to store it")
    b.space.settle()
    assert b.members(b"s") == {b"1"} and b.space.store.last(a.space.state.actor) == 0, "shown, and not waited for"
    a.add(b"s", b"2")
    await until(lambda: b.members(b"s") == {b"1", b"2"}, "b to show the next one")
    assert len(stored) == 1, "one at a time"
    slow.set()
    b.add(b"s", b"3")
    assert b.space.store.last(b.space.state.actor) == 1, "settled means stored"
    assert [names for _, names in stored] == [["a"], ["a", "b"]]
    assert stored[0][0].startswith("store-") and stored[1][0] == threading.main_thread().name


@pytest.mark.parametrize(
    ("durability", "interval", "waits"), [("always", 0.0, True), ("interval", 0.005, True), ("interval", 0.0, False)]
)
async def test_a_turn_that_is_only_published_does_not_wait_for_the_disk(
    make: Make, monkeypatch: pytest.MonkeyPatch, durability: Durability, interval: float, waits: bool
) -> None:
    """It is synced when the next commit interval is over, once, by the worker."""
    a = make("a", durability)
    a.tuning["interval"] = interval
    await a.start()
    synced: list[str] = []
    sync = a.space.store.sync

    def by_whom() -> None:
        synced.append(threading.current_thread().name)
        sync()

    monkeypatch.setattr(a.space.store, "sync", by_whom)
    a.add(b"s", b"1")
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 1, "it to be stored")
    assert len(synced) == waits
    a.space.commits.sync()
    a.space.commits.sync()
    await _in_turn(a)
    assert len(synced) == 1
    assert durability == "always" or synced[0].startswith("store-")


async def test_who_stops_syncs_before(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite does it when the last connection closes, but not while another process has the file open."""
    a = make("a", "interval")
    a.tuning["interval"] = 0.0
    await a.start()
    a.add(b"s", b"1")
    synced: list[int] = []
    monkeypatch.setattr(a.space.store, "sync", lambda: synced.append(a.space.store.last(a.space.state.actor)))
    a.close()
    assert synced == [1]


async def test_a_disk_that_cannot_be_synced_ends_the_daemon(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a", "interval")
    a.tuning["interval"] = 0.0
    await a.start()
    a.add(b"s", b"1")
    monkeypatch.setattr(a.space.store, "sync", _full)
    a.space.commits.sync()
    await _in_turn(a)
    assert a.failures == [(1, "disk full")]


def _in_turn(member: Member, work: Callable[[], None] = lambda: None) -> asyncio.Future[None]:
    """What the worker of commits does when it is done with what it has."""
    return asyncio.get_running_loop().run_in_executor(member.space.commits._worker, work)


def _full(*_args: object, **_options: object) -> None:
    raise StoreFailed("disk full")


@pytest.mark.parametrize("durability", ["always", "interval"])
async def test_a_disk_that_takes_no_more_ends_the_daemon(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    a, b = make("a", durability), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"stored")
    a.space.commit()
    await until(lambda: b.members(b"s") == {b"stored"}, "b to have it")
    monkeypatch.setattr(a.space.store, "commit", _full)
    a.space.begin()
    sets.add(a.space.state, b"s", [b"lost"])
    if durability == "always":
        with pytest.raises(StoreFailed):
            a.space.settle()
    else:
        a.space.commit()
        await until(lambda: a.failures, "the worker to fail")
        await asyncio.sleep(0.05)
    assert a.failures == [(1, "disk full")]
    assert a.space.replica.own_stored == 1
    await asyncio.sleep(0.05)
    assert b.members(b"s") == {b"stored"}
