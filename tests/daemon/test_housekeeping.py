"""What goes on in the background: checkpoints beside writes, killed half way, pruning, and what fails of it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from crdt.types import counters, sets, strings
from daemon import housekeeping as module
from daemon import store_file
from daemon.checkpoint import PART
from daemon.housekeeping import Housekeeping
from daemon.store import StoreFailed
from tests.daemon.spaces import SOON, Between, Make, Member, same, until


def _full(*_args: object, **_options: object) -> None:
    raise StoreFailed("disk full")


async def _checkpoint(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_AFTER", -1)
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: True)
    await member.housekept()
    monkeypatch.undo()


async def test_checkpoint_in_slices_while_writes_go_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    for i in range(8):
        a.add(b"k%d" % i, *(b"%d" % n for n in range(i, i + 2000)))
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.checkpointer.written)
    a.space.housekeeping.turn()
    task = a.space.housekeeping.task
    assert task is not None
    turns = 0
    while not task.done():
        turns += 1
        a.add(b"meanwhile", b"%d" % turns)
        a.space.begin()
        sets.remove(a.space.state, b"k%d" % (turns % 8), [b"%d" % (turns + 100)])
        a.space.settle()
        await asyncio.sleep(0)
    await task
    assert turns > 5
    assert a.space.checkpointer.written >= 8
    before = a.space.state
    assert a.space.store.checkpoint_vv
    a.kill()
    await a.start()
    after = a.space.state
    assert after.hash == before.hash
    assert after.vector() == before.vector()
    assert {k: a.members(k) for k in after.keys} == {k: set(sets.members(before, k)) for k in before.keys}
    assert a.space.recovery_seconds > 0


async def test_removals_pending_when_a_chunk_is_packed_are_not_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit a second: a row is removed, its chunk is written without it, and the frame comes only at the end."""
    a = make("a", "interval")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(5000)))
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.checkpointer.written)
    a.space.housekeeping.turn()
    await asyncio.sleep(0)
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"1", b"2500", b"4999"])
    assert a.space.housekeeping.task is not None
    await a.space.housekeeping.task
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before
    assert len(a.members(b"s")) == 4997


async def test_a_checkpoint_during_which_the_actor_changes_is_begun_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a", "interval")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(2 * PART)))  # the count stands behind what the first step gathers
    a.space.begin()
    counters.incr(a.space.state, b"n", 5)
    a.space.commit()
    a.space.replica.lives.heard()
    a.space.replica.lives.connected()  # what was written before is no clone's, and not written anew
    due = [True]
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: due[0])
    a.space.housekeeping.turn()
    await asyncio.sleep(0)
    a.space.begin()
    counters.incr(a.space.state, b"n", 1)
    while not a.space.checkpointer.running or a.space.checkpointer.step():
        pass
    a.space.replica.lives.fork()
    a.space.run(a.space.replica.out.take())
    task = a.space.housekeeping.task
    assert task is not None
    await task
    assert not a.space.checkpointer.running
    due[0] = False
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before and strings.get(a.space.state, b"n") == b"6"


class SlowDisk:
    """One on which a sync by the worker takes until `free` is set."""

    def __init__(self, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.asked = threading.Event(), threading.Event()
        sync = member.space.store.sync

        def slowly() -> None:
            if threading.current_thread() is not threading.main_thread():
                self.asked.set()
                assert self.free.wait(SOON)
            sync()

        monkeypatch.setattr(member.space.store, "sync", slowly)


async def _at_its_end(a: Member, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[None]:
    """A checkpoint that only waits for what was removed meanwhile to be stored."""
    a.add(b"s", *(b"%d" % n for n in range(5000)))
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 5000, "the worker to store it")
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.checkpointer.written)
    a.space.housekeeping.turn()
    task = a.space.housekeeping.task
    assert task is not None
    while not a.space.checkpointer.written:
        await asyncio.sleep(0)
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"1", b"2500", b"4999"])
    return task


async def test_the_end_of_a_checkpoint_waits_for_a_slow_disk_and_the_loop_does_not(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a", "interval")
    await a.start()
    disk = SlowDisk(a, monkeypatch)
    disk.free.set()
    task = await _at_its_end(a, monkeypatch)
    disk.free.clear()
    disk.asked.clear()
    await until(disk.asked.is_set, "the worker to sync")
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done() and not a.space.store.checkpoint_vv
    disk.free.set()
    await task
    assert a.space.store.checkpoint_vv
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before and len(a.members(b"s")) == 4997


async def test_who_stops_while_a_checkpoint_waits_for_the_disk_stores_everything(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a", "interval")
    await a.start()
    disk = SlowDisk(a, monkeypatch)
    disk.free.set()
    task = await _at_its_end(a, monkeypatch)
    disk.free.clear()
    disk.asked.clear()
    await until(disk.asked.is_set, "the worker to sync")
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"2"])
    a.space.commit()
    task.cancel()
    await asyncio.wait((task,))
    disk.free.set()
    a.close()
    await a.start()
    assert len(a.members(b"s")) == 4996 and not a.failures


async def test_who_writes_a_checkpoint_waits_for_the_log_to_be_folded(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the worker: a commit that finds too much of it does it itself, and the loop stands still."""
    monkeypatch.setattr(module, "FOLD_AT", 100_000)
    a = make("a", "interval")
    await a.start()
    a.add(b"s", *(b"%d" % n * 20 for n in range(20_000)))
    a.space.commit()
    threads: list[str] = []
    fold = a.space.store.fold

    def noting() -> None:
        threads.append(threading.current_thread().name)
        monkeypatch.setattr(store_file, "FOLD_FROM", 0)
        fold()

    monkeypatch.setattr(a.space.store, "fold", noting)
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.checkpointer.written)
    a.space.housekeeping.turn()
    assert a.space.housekeeping.task is not None
    await a.space.housekeeping.task
    assert a.space.store.checkpoint_vv
    assert len(threads) > 5 and all(name.startswith("aside-") for name in threads)
    assert a.space.store.unfolded < 200_000


async def test_a_log_that_cannot_be_folded_is_told_and_stands_in_the_way_of_nothing_else(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLD_AT", 100_000)
    a = make("a", "interval")
    await a.start()
    store = a.space.store
    folds: list[str] = []

    def failing() -> None:
        folds.append(threading.current_thread().name)
        raise StoreFailed("folding failed; check the disk")

    monkeypatch.setattr(store, "fold", failing)
    a.add(b"s", *(b"%d" % n * 20 for n in range(20_000)))
    a.space.commit()
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.checkpointer.written)
    await a.housekept()
    assert store.checkpoint_vv and len(folds) > 5, "the checkpoint was written all the same"
    a.space.housekeeping.log_budget = 1
    await a.housekept()
    assert store.log_bytes == 0, "so was the log pruned"
    await a.housekept()
    assert a.space.alarms.counts == {"housekeeping_failed": 2} and not a.failures
    assert all(name.startswith("aside-") for name in folds)


async def test_what_dead_rows_held_is_given_back_although_nothing_more_is_written(make: Make) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(40_000)))
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"%d" % n for n in range(40_000) if n % 50])
    a.space.commit()
    assert sum(map(len, a.space.state.me.chunks)) > 20_000
    before = a.space.state.hash
    a.space.housekeeping.turn()
    assert a.space.housekeeping.task is not None
    await a.space.housekeeping.task
    assert sum(map(len, a.space.state.me.chunks)) < 4_000
    assert a.space.state.hash == before and len(a.members(b"s")) == 800


async def test_killed_in_the_middle_of_a_checkpoint(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(6000)))
    a.space.checkpointer.begin()
    a.space.checkpointer.step()
    a.add(b"s", b"more")
    state = a.space.state
    a.kill()
    await a.start()
    assert a.space.state.hash == state.hash
    await _checkpoint(a, monkeypatch)
    a.kill()
    await a.start()
    assert a.space.state.hash == state.hash


async def test_closing_during_a_checkpoint(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(9000)))
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: True)
    a.space.housekeeping.turn()
    task = a.space.housekeeping.task
    assert task is not None
    await asyncio.sleep(0)
    assert a.space.checkpointer.running
    before = a.space.state.hash
    a.close()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await a.start()
    assert a.space.state.hash == before


async def test_a_checkpoint_is_due_by_what_was_logged_since(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the size of the log: pruning makes that smaller, and a start would replay more and more."""
    monkeypatch.setattr(module, "CHECKPOINT_AFTER", 20_000)
    a = make("a")
    a.log_budget = 30_000
    await a.start()
    most = 0
    for i in range(400):
        a.put(b"k%d" % (i % 10), b"x" * 500)
        if i % 5 == 0:
            await a.housekept()
        most = max(most, a.space.commits.logged)
    assert most < 26_000
    assert a.space.store.log_bytes < 60_000
    assert a.space.store.checkpoint_vv
    a.close()
    await a.start()
    assert a.space.commits.logged <= 26_000


async def test_a_log_beyond_a_small_budget_is_pruned(make: Make) -> None:
    a = make("a")
    a.log_budget = 10_000
    await a.start()
    for i in range(200):
        a.put(b"k", b"%d" % i + b"x" * 500)
    for _ in range(3):
        await a.housekept()
    assert a.space.store.log_bytes <= 10_000
    assert a.space.store.floor()[a.space.state.actor] > 100
    a.kill()
    await a.start()
    assert a.get(b"k") == b"199" + b"x" * 500


async def test_cycles_of_adding_and_removing_leave_nothing_behind(make: Make, between: Between) -> None:
    """Memory and disk are O(live + actors), however much came and went (invariant I11), here and at the peer."""
    a, b = make("a", "interval"), make("b", "interval")
    for member in (a, b):
        member.log_budget = 20_000
        await member.start()
    sizes = []
    for round_ in range(4):
        for i in range(60):
            a.add(b"s", *(b"%d-%d-%d" % (round_, i, n) for n in range(50)))
            a.space.commit()
            a.space.begin()
            sets.remove(a.space.state, b"s", list(sets.members(a.space.state, b"s")))
            a.space.settle()
            a.space.commit()
        a.space.sync()
        await until(lambda: same(a, b), "both to be equal")
        for member in (a, b):
            for _ in range(3):
                await member.housekept()
            held = sum(len(chunk) for rows in member.space.state.actors.values() for chunk in rows.chunks)
            assert held == 0 == member.space.state.live and not member.space.state.keys
            assert member.space.store.log_bytes <= 20_000 and not member.space.replica.held.bytes
        sizes.append(sum(member.space.store.path.stat().st_size for member in (a, b)))
    assert sizes[-1] <= sizes[1] * 1.2, "the file is used again, and does not grow with what was written"


async def test_housekeeping_that_fails_is_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(5000)))
    monkeypatch.setattr(Housekeeping, "_checkpoint_due", lambda self: not self._space.store.checkpoint_vv)
    with monkeypatch.context() as broken:
        broken.setattr(a.space.store, "finish_checkpoint", _full)
        for _ in range(2):
            await a.housekept()
            assert not a.space.store.checkpoint_vv
    assert not a.failures
    a.space.housekeeping.turn()
    await a.space.housekeeping.task
    assert a.space.store.checkpoint_vv
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before
    assert len(a.members(b"s")) == 5000


async def test_a_store_that_is_removed_or_replaced_while_it_is_in_use_is_reported_once(
    make: Make, tmp_path: Path
) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", b"1")
    file = tmp_path / "a" / "data" / "default.db"
    a.space.housekeeping.turn()
    assert a.space.alarms.counts == {}
    file.rename(tmp_path / "elsewhere")
    for _ in range(3):
        a.space.housekeeping.turn()
    assert a.space.alarms.counts == {"store_gone": 1}
    (tmp_path / "elsewhere").rename(file)
    a.space.housekeeping.turn()
    shutil.copy(file, tmp_path / "copy")
    (tmp_path / "copy").rename(file)
    a.space.housekeeping.turn()
    assert a.space.alarms.counts == {"store_gone": 2}
