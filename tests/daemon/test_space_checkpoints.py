"""Spaces and their checkpoints: in slices beside writes, killed half way, pruning, snapshots, lifetimes."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from crdt.joining import Joining
from crdt.types import expiry, sets
from daemon import space as module
from daemon.api.database import Database
from daemon.store import Durability, StoreFailed
from tests.daemon.spaces import Between, Make, Member, same, until


async def _checkpoint(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_AFTER", -1)
    monkeypatch.setattr(module.Space, "_checkpoint_due", lambda self: True)
    member.space.housekeep()
    assert member.space._maintenance is not None
    await member.space._maintenance
    monkeypatch.undo()


async def test_checkpoint_in_slices_while_writes_go_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    for i in range(8):
        a.add(b"k%d" % i, *(b"%d" % n for n in range(i, i + 2000)))
    monkeypatch.setattr(module.Space, "_checkpoint_due", lambda self: not self.checkpointer.written)
    a.space.housekeep()
    task = a.space._maintenance
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
    monkeypatch.setattr(module.Space, "_checkpoint_due", lambda self: not self.checkpointer.written)
    a.space.housekeep()
    await asyncio.sleep(0)
    a.space.begin()
    sets.remove(a.space.state, b"s", [b"1", b"2500", b"4999"])
    assert a.space._maintenance is not None
    await a.space._maintenance
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before
    assert len(a.members(b"s")) == 4997


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
            a.space.housekeep()
            assert a.space._maintenance is not None
            await a.space._maintenance
        most = max(most, a.space._logged)
    assert most < 26_000
    assert a.space.store.log_bytes < 60_000
    assert a.space.store.checkpoint_vv
    a.close()
    await a.start()
    assert a.space._logged <= 26_000


async def test_a_log_beyond_a_small_budget_is_pruned(make: Make) -> None:
    a = make("a")
    a.log_budget = 10_000
    await a.start()
    for i in range(200):
        a.put(b"k", b"%d" % i + b"x" * 500)
    for _ in range(3):
        a.space.housekeep()
        assert a.space._maintenance is not None
        await a.space._maintenance
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
                member.space.housekeep()
                assert member.space._maintenance is not None
                await member.space._maintenance
            held = sum(len(chunk) for rows in member.space.state.actors.values() for chunk in rows.chunks)
            assert held == 0 == member.space.state.live and not member.space.state.keys
            assert member.space.store.log_bytes <= 20_000 and not member.space.replica.held.bytes
        sizes.append(sum(member.space.store.path.stat().st_size for member in (a, b)))
    assert sizes[-1] <= sizes[1] * 1.2, "the file is used again, and does not grow with what was written"


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
        a.space.housekeep()
        assert a.space._maintenance is not None
        await a.space._maintenance
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
        for _ in range(3 * module.ALARMS):
            a.space._join_at = 0.0
            await a.space._join(Joining(a.space.state, {}, {}, lambda actor: []), None)
    assert [line["exc_info"] for line in lines] == [not isinstance(error, StoreFailed)] * module.ALARMS
    assert a.space.alarms == {"join_failed": 3 * module.ALARMS}
    not_before = a.space._join_at
    await a.space._join(Joining(a.space.state, {}, {}, lambda actor: []), None)
    assert a.space.now() > not_before - 0.001 > 0.0


async def test_lifetimes_survive_restarts_checkpoints_and_snapshots(make: Make) -> None:
    a, b = make("a"), make("b")
    a.log_budget = 1
    await a.start()
    ends = a.space.state.time_ms + 1_000_000
    a.expire(b"in the checkpoint", ends)
    a.space.housekeep()
    assert a.space._maintenance is not None
    await a.space._maintenance
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
