"""Spaces, the snapshots that peers send them, and lifetimes that survive both those and restarts."""

from __future__ import annotations

import asyncio
import threading

import pytest
import structlog.testing

from crdt.joining import Joining
from crdt.types import expiry, sets, streams
from daemon.alarms import ALARMS
from daemon.api.database import Database
from daemon.housekeeping import Housekeeping
from daemon.store import Durability, StoreFailed
from tests.daemon.spaces import SOON, Between, Make, Member, same, until


async def _away_too_long(make: Make, between: Between) -> tuple[Member, Member]:
    """The second lacks what the first has pruned, and has written meanwhile; they are about to meet."""
    a, b = make("a"), make("b", "interval")
    a.log_budget = 5_000
    await a.start()
    await b.start()
    b.add(b"mine", b"1")
    a.add(b"s", b"gone", b"stays")
    b.space.commit()
    await until(lambda: same(a, b), "both to converge")
    between.cut()
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"gone"])
    a.space.settle()
    for i in range(300):
        a.put(b"k%d" % i, b"x" * 300)
    for _ in range(3):
        await a.housekept()
    assert a.space.store.floor()
    b.add(b"mine", b"2")
    return a, b


async def test_a_snapshot_for_one_that_was_away_too_long(make: Make, between: Between) -> None:
    """The joined snapshot is on disk as a whole: killed right after it, the replica has all of it."""
    a, b = await _away_too_long(make, between)
    between.mend()
    b.space.commit()
    await until(lambda: same(a, b), "both to converge")
    assert a.space.replica.counts["snapshots"] == 1
    assert b.members(b"s") == {b"stays"}
    assert b.space.store.floor()[a.space.state.actor] > 100
    before = b.space.state.hash
    b.kill()
    await b.start()
    assert b.space.state.hash == before
    assert b.members(b"mine") == {b"1", b"2"}
    assert b.get(b"k299") == b"x" * 300


async def test_the_order_of_arrival_that_a_snapshot_brought_survives_a_restart(make: Make, between: Between) -> None:
    """Who has read a stream up to what was there finds the entries of earlier numbers that came with the snapshot."""
    a, b = make("a"), make("b")
    a.log_budget = 5_000
    await a.start()
    await b.start()

    def append(member: Member, number: int) -> None:
        member.space.begin()
        streams.add(member.space.state, b"x", streams.Id(number, 0), [b"f", b"1"])
        member.space.settle()

    def unread() -> list[tuple[int, int]]:
        stream = streams.find(b.space.state, b"x")
        assert stream is not None
        last = next(field for field in stream.ids if streams.id_of(field) == (100, 0))
        return [streams.id_of(field) for field in stream.after(b.space.state, last)]

    append(b, 10)
    await until(lambda: same(a, b), "both to converge")
    between.cut()
    append(b, 100)
    append(a, 50)
    for i in range(300):
        a.put(b"k%d" % i, b"x" * 300)
    for _ in range(3):
        await a.housekept()
    assert a.space.store.floor() and unread() == []
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    assert a.space.replica.counts["snapshots"] == 1 and unread() == [(50, 0)]
    b.kill()
    await b.start()
    assert unread() == [(50, 0)]


class SlowEnd:
    """A disk that takes its time when a join has come to its end."""

    def __init__(self, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.reached = threading.Event(), threading.Event()
        commits, self._sync = member.space.commits, member.space.store.sync
        self._synced = commits.synced
        self._monkeypatch = monkeypatch
        self._store = member.space.store
        monkeypatch.setattr(commits, "synced", self.synced)

    def synced(self) -> asyncio.Future[None]:
        self._monkeypatch.setattr(self._store, "sync", self.slowly)
        self.reached.set()
        return self._synced()

    def slowly(self) -> None:
        assert threading.current_thread() is threading.main_thread() or self.free.wait(SOON)
        self._sync()


async def _at_its_end(make: Make, between: Between, monkeypatch: pytest.MonkeyPatch) -> tuple[Member, Member, SlowEnd]:
    """As `_away_too_long`, with the second at the end of joining what the first had, waiting for its disk."""
    a, b = await _away_too_long(make, between)
    disk = SlowEnd(b, monkeypatch)
    between.mend()
    b.space.commit()
    await until(disk.reached.is_set, "the join to wait for the disk")
    return a, b, disk


def _fork(member: Member) -> None:
    """It goes on as another actor."""
    member.space.begin()
    member.space.replica.lives.fork()
    member.space.run(member.space.replica.out.take())


async def test_the_end_of_a_join_waits_for_a_slow_disk_and_the_loop_does_not(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written meanwhile is stored before the snapshot, in the order of the frames, and both are there."""
    a, b, disk = await _at_its_end(make, between, monkeypatch)
    for name in (b"3", b"4", b"5"):
        b.add(b"mine", name)
        b.space.commit()
    for _ in range(100):
        await asyncio.sleep(0)
    assert b.space.replica.merging.joining is not None and b.get(b"k299") is None
    disk.free.set()
    await until(lambda: b.space.replica.merging.joining is None, "the join to end")
    b.space.commit()
    b.space.commits.drain()
    before = b.space.state.hash
    b.kill()
    await b.start()
    assert b.space.state.hash == before and b.members(b"mine") == {b"1", b"2", b"3", b"4", b"5"}
    assert b.get(b"k299") == b"x" * 300 and b.space.store.floor()[a.space.state.actor] > 100


async def test_a_join_given_up_while_it_waits_for_the_disk_keeps_others_waiting_and_breaks_none(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, disk = await _at_its_end(make, between, monkeypatch)
    _fork(b)
    assert b.space.replica.merging.joining is None and b.space.checkpointer.running
    with monkeypatch.context() as due:
        due.setattr(Housekeeping, "_checkpoint_due", lambda self: True)
        b.space.housekeeping.turn()
        task = b.space.housekeeping.task
        disk.free.set()
        assert task is not None
        await task
    while not same(a, b):
        b.space.begin()
        b.space.commit()
        await asyncio.sleep(0.002)
    assert "join_failed" not in b.space.alarms.counts


async def test_a_join_waits_for_one_that_was_given_up_and_is_not_over(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, disk = await _at_its_end(make, between, monkeypatch)
    first = b.space._joining
    _fork(b)
    await until(lambda: b.space._joining is not first, "another join")
    assert first is not None and not first.done()
    for _ in range(100):
        await asyncio.sleep(0)
    disk.free.set()
    await until(lambda: same(a, b), "both to converge")
    assert "join_failed" not in b.space.alarms.counts and b.get(b"k299") == b"x" * 300


async def test_a_join_waits_for_a_checkpoint_and_what_is_written_meanwhile_is_in_it(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await _away_too_long(make, between)
    go_on = asyncio.Event()

    async def pause(self: Housekeeping, seconds: float = 0.0) -> None:
        await (go_on.wait() if self is b.space.housekeeping else asyncio.sleep(seconds))

    monkeypatch.setattr(Housekeeping, "pause", pause)
    with monkeypatch.context() as due:
        due.setattr(Housekeeping, "_checkpoint_due", lambda self: self is b.space.housekeeping)
        b.space.housekeeping.turn()
        await until(lambda: b.space.checkpointer.running, "a checkpoint")
    between.mend()
    await until(lambda: b.space.replica.merging.joining is not None, "a snapshot to be joined")
    for _ in range(100):
        await asyncio.sleep(0)
    assert b.get(b"k299") is None
    assert b.space.housekeeping.task is not None
    b.space.housekeeping.task.add_done_callback(lambda _: b.add(b"mine", b"just before"))
    go_on.set()
    await until(lambda: same(a, b), "both to converge")
    assert "join_failed" not in b.space.alarms.counts
    assert a.members(b"mine") == {b"1", b"2", b"just before"}


@pytest.mark.parametrize("error", [StoreFailed("disk full"), AssertionError("a defect")], ids=["disk", "defect"])
async def test_a_join_that_fails_is_tried_again(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    a, b = await _away_too_long(make, between)
    whole, failed = b.space.checkpointer.begin_join, []

    def begin_join(joining: Joining) -> None:
        if len(failed) < 2:
            failed.append(joining)
            raise error
        whole(joining)

    monkeypatch.setattr(b.space.checkpointer, "begin_join", begin_join)
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    assert len(failed) == 2 and not b.failures
    assert b.members(b"s") == {b"stays"}


@pytest.mark.parametrize("error", [StoreFailed("disk full"), AssertionError("a defect")], ids=["disk", "defect"])
async def test_a_join_that_keeps_failing_is_paced_and_does_not_fill_the_log(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    a = make("a")
    await a.start()

    def begin_join(joining: Joining) -> None:
        raise error

    monkeypatch.setattr(a.space.checkpointer, "begin_join", begin_join)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3 * ALARMS):
            a.space._join_at = 0.0
            await a.space._join(Joining(a.space.state, {}, {}, lambda actor: []), None)
    assert [line["exc_info"] for line in lines] == [not isinstance(error, StoreFailed)] * ALARMS
    assert a.space.alarms.counts == {"join_failed": 3 * ALARMS}
    not_before = a.space._join_at
    await a.space._join(Joining(a.space.state, {}, {}, lambda actor: []), None)
    assert a.space.now() > not_before - 0.001 > 0.0


async def test_lifetimes_survive_restarts_checkpoints_and_snapshots(make: Make) -> None:
    a, b = make("a"), make("b")
    a.log_budget = 1
    await a.start()
    ends = a.space.state.time_ms + 1_000_000
    a.expire(b"in the checkpoint", ends)
    await a.housekept()
    a.expire(b"in the log", ends + 1)
    a.kill()
    await a.start()
    await b.start()
    await until(lambda: same(a, b), "both to converge")
    b.space.sync()  # what it has only applied is not on its disk
    b.kill()
    await b.start()
    for member in (a, b):
        state = member.space.state
        assert expiry.deadline(state, b"in the checkpoint") == ends
        assert expiry.deadline(state, b"in the log") == ends + 1
        assert (state.mortal, state.deadline_sum) == (2, 2 * ends + 1)


@pytest.mark.parametrize("durability", ["always", "interval"])
async def test_keys_expire_without_being_read_and_their_rows_are_removed(
    make: Make, durability: Durability, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = make("a", durability), make("b", durability)
    told: list[tuple[str, bytes, str]] = []
    monkeypatch.setattr(Database, "touch", lambda db, key, event: told.append((db.state.actor.name, key, event)))
    for member in (a, b):
        member.tuning["grace"] = 0.1
        await member.start()
        assert not member.space.state.told, "nobody has asked so far"
        member.space.database.observed = True
    a.add(b"s", b"1")
    a.expire(b"k", a.space.state.time_ms + 200)
    a.space.commit()
    await until(lambda: same(a, b) and b.get(b"k") is not None, "both to have it")
    await until(lambda: {("a", b"k", "expired"), ("b", b"k", "expired")} <= set(told), "both to say so")
    assert a.get(b"k") is None and b.get(b"k") is None
    assert (b.space.state.live, len(b.space.state.keys)) == (3, 1)
    for member in (a, b):  # what the engine orders of itself is committed in any durability
        await until(lambda state=member.space.state: state.live == 1, "the rows to go")  # type: ignore[misc]
    await until(lambda: same(a, b), "both to converge")
    assert told.count(("a", b"k", "expired")) == told.count(("b", b"k", "expired")) == 1
    assert a.space.state.told and b.space.state.told
