"""Spaces on real stores: they converge, go on after any end, and promise nothing that is not stored."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import messages
from crdt.replica.effects import LogFrame
from crdt.types import expiry, sets
from daemon import space as module
from daemon.api.database import Database
from daemon.store import Durability, Store, StoreFailed
from tests.daemon.spaces import SOON, Between, Member, same, until

Make = Callable[..., Member]


@pytest.fixture
async def between() -> Between:
    return Between()


@pytest.fixture
async def make(between: Between, tmp_path: Path) -> AsyncIterator[Make]:
    """Members by name; those that still run at the end are killed."""
    made: list[Member] = []

    def begin(name: str, durability: Durability = "always") -> Member:
        made.append(Member(between, name, tmp_path / name, durability))
        return made[-1]

    yield begin
    for member in made:
        if between.members.get(member.name) is member:
            member.kill()


async def test_what_one_writes_the_others_show(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    for member in (a, b, c):
        await member.start()
    a.add(b"s", b"1", b"2")
    b.add(b"s", b"3")
    c.put(b"k", b"v")
    await until(lambda: same(a, b, c) and a.members(b"s") == {b"1", b"2", b"3"}, "three to converge")
    assert a.get(b"k") == b"v"
    await until(lambda: all(m.space.replica.converged(m.space.now()) for m in (a, b, c)), "all to know it")


async def test_always_is_stored_when_settle_returns(make: Make) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", b"1")
    assert a.space.store.last(a.space.state.actor) == 1
    a.kill()
    await a.start()
    assert a.members(b"s") == {b"1"}


async def test_interval_is_stored_at_the_next_commit(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    a.add(b"s", b"1")
    actor = a.space.state.actor
    assert a.space.store.last(actor) == 0
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 1, "the worker to store it")
    assert a.space.store.last(actor) == 1


async def test_much_that_is_pending_is_cut_at_once(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    state = a.space.state
    a.add(b"s", *(b"%d" % i for i in range(module.CUT_AT - 1)))
    assert state.cut_dot < state.dot
    a.add(b"s", b"one more")
    assert state.cut_dot == state.dot and a.space.replica.dirty and not a.space.store.last(state.actor)
    a.add(b"s", b"and one that is large")
    a.space.settle(much=True)
    assert state.cut_dot == state.dot
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == module.CUT_AT + 1, "the worker to store it")


async def test_many_bytes_that_are_cut_are_stored_before_the_interval_is_over(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    count = 0
    while not a.space._queue:
        count += module.CUT_AT
        a.add(b"s", *(b"%d" % i * 50 for i in range(count, count + module.CUT_AT)))
    await until(lambda: a.space.replica.own_stored == count, "the worker to store it")
    size = a.space.store.log_bytes
    assert module.COMMIT_AT <= size < module.COMMIT_AT + 100 * 1024
    a.add(b"s", *(b"%d" % i for i in range(-module.CUT_AT, 0)))
    assert not a.space._queue, "counted from the last commit on"


async def test_more_commits_than_the_queue_takes(make: Make) -> None:
    a = make("a", "interval")
    await a.start()
    for i in range(3 * module.QUEUE):
        a.add(b"s", b"%d" % i)
        a.space.commit()
    assert len(a.space._queue) <= module.QUEUE
    a.space._drain()
    actor = a.space.state.actor
    assert a.space.store.last(actor) == 3 * module.QUEUE
    await asyncio.sleep(0)  # what the worker reported meanwhile finds it done
    assert a.space.replica.stored == a.space.replica.batch
    assert not a.failures


@pytest.mark.parametrize("durability", ["always", "interval", "never"])
async def test_nothing_leaves_before_it_is_stored(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    seen: list[tuple[int, int]] = []
    a = make("a", durability)
    await a.start()
    publish = between.publish

    def checked(sender: str, lane: str, to: str | None, data: bytes) -> bool:
        seen.append((a.space.replica.view.seq, a.space.store.last(a.space.state.actor)))
        return publish(sender, lane, to, data)

    monkeypatch.setattr(between, "publish", checked)
    for i in range(20):
        a.add(b"s", b"%d" % i)
        if i % 3 == 0:
            a.space.commit()
        await asyncio.sleep(0.002)
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 20 and not a.space.replica._unsent, "it to leave")
    assert a.space.replica.counts["frames_out"]
    assert len(seen) > 3
    assert all(said <= stored for said, stored in seen)


async def test_the_witness_knows_what_left(make: Make) -> None:
    """What a peer has of us is never above what the run directory remembers."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"1", b"2")
    await until(lambda: b.members(b"s") == {b"1", b"2"}, "b to have it")
    nonce, seq = a.space._witness._recorded
    assert (nonce, seq) == (a.space.state.actor.nonce, 2)


@pytest.mark.parametrize("shown", [False, True])
async def test_what_was_shown_and_is_lost_is_not_spent_again(make: Make, shown: bool) -> None:
    """A context that names (a, 2) must never cover what a writes after a crash that took (a, 2) away."""
    a = make("a", "interval")
    await a.start()
    a.put(b"k", b"stored")
    a.space.commit()
    await until(lambda: a.space.replica.own_stored == 1, "the worker to store it")
    actor = a.space.state.actor
    a.put(b"k", b"lost")
    if shown:
        a.space.database.show_dots()
    a.kill()
    await a.start()
    assert a.get(b"k") == b"stored"
    assert (a.space.state.actor == actor) is not shown


@pytest.mark.parametrize("durability", ["always", "interval", "never"])
async def test_a_restart_continues_the_actor(make: Make, durability: Durability) -> None:
    a = make("a", durability)
    await a.start()
    a.add(b"s", b"1")
    actor = a.space.state.actor
    assert not a.space.continued
    a.close()
    await a.start()
    assert a.space.continued
    assert a.space.state.actor == actor
    a.add(b"s", b"2")
    assert a.space.state.seq == 2
    a.kill()
    await a.start()
    assert a.space.state.actor == actor


async def test_another_boot_is_a_new_actor_and_loses_nothing(make: Make) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", b"1")
    first = a.space.state.actor
    a.kill()
    a.boot = "the next boot"
    await a.start()
    assert a.space.state.actor != first
    a.add(b"s", b"2")
    assert a.members(b"s") == {b"1", b"2"}
    assert a.space.state.applied(first) == 1


async def test_a_copied_directory_is_a_new_actor(make: Make, tmp_path: Path, between: Between) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", b"1")
    copy = Member(between, "a", tmp_path / "copy")
    shutil.copytree(tmp_path / "a", tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    actor = a.space.state.actor
    a.kill()
    await copy.start()
    assert copy.space.state.actor != actor
    assert copy.members(b"s") == {b"1"}
    copy.kill()


async def test_killed_at_any_moment_what_was_acknowledged_is_there(make: Make) -> None:
    """Kill between commits, with a peer that writes as well; the same actor goes on each time."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    acknowledged: set[bytes] = set()
    for life in range(6):
        for i in range(5):
            member = b"%d-%d" % (life, i)
            a.add(b"a", member)
            b.add(b"b", member)
            acknowledged.add(member)
            if i == life:
                await asyncio.sleep(0.012)
        a.kill()
        await a.start()
        assert a.space.continued
        assert a.members(b"a") == acknowledged
    await until(lambda: same(a, b), "both to converge")
    assert b.members(b"a") == a.members(b"b") == acknowledged
    assert a.space.replica.counts["divergences"] == 0
    assert len(a.space.state.vector()) == 2


async def test_cut_off_from_each_other_both_write(make: Make, between: Between) -> None:
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    between.cut()
    for i in range(50):
        a.add(b"s", b"a%d" % i)
        b.add(b"s", b"b%d" % i)
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    assert len(a.members(b"s")) == 100


async def test_a_turn_that_only_receives_is_stored_too(make: Make) -> None:
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"1")
    actor = a.space.state.actor
    await until(lambda: b.space.store.last(actor) == 1, "b to store what a wrote")


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

    def slowly(frames: Sequence[LogFrame], **rest: Any) -> None:
        names = [frame.actor.name for frame in frames]
        stored.append((threading.current_thread().name, names))
        if names == ["a"] and threading.current_thread() is not threading.main_thread():
            slow.wait(SOON)
        commit(frames, **rest)

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


# -- checkpoints -------------------------------------------------------------------------------------------------------


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


async def test_a_snapshot_for_one_that_was_away_too_long(make: Make, between: Between) -> None:
    """The joined snapshot is on disk as a whole: killed right after it, the replica has all of it."""
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


# -- what goes wrong ---------------------------------------------------------------------------------------------------


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


async def test_housekeeping_that_fails_is_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(5000)))
    monkeypatch.setattr(module.Space, "_checkpoint_due", lambda self: not self.store.checkpoint_vv)
    with monkeypatch.context() as broken:
        broken.setattr(a.space.store, "finish_checkpoint", _full)
        for _ in range(2):
            a.space.housekeep()
            assert a.space._maintenance is not None
            await a.space._maintenance
            assert not a.space.store.checkpoint_vv
    assert not a.failures
    a.space.housekeep()
    await a.space._maintenance
    assert a.space.store.checkpoint_vv
    before = a.space.state.hash
    a.kill()
    await a.start()
    assert a.space.state.hash == before
    assert len(a.members(b"s")) == 5000


async def test_a_damaged_frame_in_the_log_is_a_new_actor(make: Make, tmp_path: Path) -> None:
    import sqlite3

    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    for i in range(10):
        a.add(b"s", b"%d" % i)
    await until(lambda: same(a, b), "both to converge")
    actor = a.space.state.actor
    a.close()
    with sqlite3.connect(tmp_path / "a" / "data" / "default.db") as db:
        db.execute("UPDATE log SET data = randomblob(8) WHERE lsn = (SELECT max(lsn) FROM log WHERE actor = 1) - 3")
    db.close()
    await a.start()
    assert a.space.state.actor != actor
    assert a.space.replica.view.actor == a.space.state.actor
    await until(lambda: same(a, b), "a to have it all again")
    assert len(a.members(b"s")) == 10
    a.add(b"s", b"new")
    await until(lambda: same(a, b) and len(b.members(b"s")) == 11, "b to have what a wrote as a new actor")


async def test_what_comes_after_the_end_is_left_to_the_next_start(make: Make) -> None:
    """The links are cut after the spaces are closed: found by real processes that were told to end under load."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"1")
    await until(lambda: same(a, b), "both to converge")
    late = []
    for n in (1, 2):
        frame = Frame(Actor("b", 77), n, n, {}, [Group(1, None, [b"late"], [b"v"], [n], [(1, 1 << 26)])])
        late.append(messages.encode(messages.Delta([encode_frame(frame)])))
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    a.space.receive("b", False, late[0])  # its commit is due when this turn is over
    a.close()
    a.space.receive("b", False, late[1])
    a.space.connected()
    a.space.disconnected(1)
    await asyncio.sleep(0.05)
    assert a.failures == [] and complaints == []


async def test_the_store_rolled_back_behind_our_back(make: Make, tmp_path: Path) -> None:
    """A restored backup: the witness says so, and nothing that peers have is written twice."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"1")
    await until(lambda: same(a, b), "both to converge")
    a.close()
    shutil.copytree(tmp_path / "a" / "data", tmp_path / "backup")
    await a.start()
    first = a.space.state.actor
    a.add(b"s", b"2")
    await until(lambda: same(a, b), "both to converge")
    a.close()
    shutil.rmtree(tmp_path / "a" / "data")
    shutil.copytree(tmp_path / "backup", tmp_path / "a" / "data")
    await a.start()
    assert a.space.state.actor != first
    a.add(b"s", b"3")
    await until(lambda: same(a, b), "both to converge")
    assert a.members(b"s") == {b"1", b"2", b"3"}


async def test_a_stranger_under_our_name_ends_the_one_without_promises(make: Make) -> None:
    from crdt.replica.effects import Alarm

    a = make("a")
    await a.start()
    a.space._run([Alarm("name_taken", "another")])
    assert a.failures == [(7, "another")]
    assert a.space.alarms == {"name_taken": 1}


async def test_only_writes_of_clients_count_as_promised(make: Make) -> None:
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.add(b"s", b"1")
    assert a.space.replica.acknowledged
    await until(lambda: same(a, b), "b to have it")
    b.space.settle()
    assert not b.space.replica.acknowledged
    b.add(b"s", b"2")
    assert b.space.replica.acknowledged


async def test_a_write_that_a_message_made_the_engine_cut_is_promised_too(make: Make) -> None:
    a = make("a")
    await a.start()
    a.space.begin()
    sets.add(a.space.state, b"s", [b"1"])
    a.space.receive("b", True, b"no message")
    assert a.space.replica.acknowledged


# -- time --------------------------------------------------------------------------------------------------------------

TEN_YEARS = 10 * 365 * 86400 * 10**9


async def test_a_clock_ten_years_ahead_blocks_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What saw the value from the future overwrites it, before and after a restart, and the alarm names the peer."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    now = module.time.time_ns
    with monkeypatch.context() as patched:
        patched.setattr(module.time, "time_ns", lambda: now() + TEN_YEARS)
        a.put(b"k", b"from the future")
    await until(lambda: b.get(b"k") == b"from the future", "b to have it")
    assert b.space.alarms.get("clock") == 1
    b.put(b"k", b"now")
    await until(lambda: a.get(b"k") == b"now", "a to have what overwrote it")
    b.kill()
    await b.start()
    b.put(b"k", b"later")
    await until(lambda: a.get(b"k") == b"later" and same(a, b), "a to have it")


async def test_what_is_written_after_a_message_sorts_after_it(make: Make) -> None:
    """Though the clock was last read before it came, as within a turn of the loop."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    a.space.state.clock.now += 5000 << 16
    a.add(b"s", b"x")
    await until(lambda: b.members(b"s") == {b"x"})
    sets.add(b.space.state, b"s", [b"y"])
    assert b.space.state.hlc(b.space.state.dot) > a.space.state.hlc(a.space.state.dot)


async def test_a_clock_that_was_set_back_never_runs_behind_what_was_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a")
    await a.start()
    a.put(b"k", b"1")
    before = a.space.state.clock.now
    a.kill()
    now = module.time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() - TEN_YEARS)
    await a.start()
    a.put(b"k", b"2")
    assert a.space.state.clock.now >= before
    assert a.get(b"k") == b"2"


# -- settings ----------------------------------------------------------------------------------------------------------


async def test_new_settings_take_effect(make: Make) -> None:
    from crdt.replica.tuning import Tuning

    a = make("a", "interval")
    await a.start()
    tuning = Tuning(interval=0.0, max_drift_ms=5)
    a.space.retune(tuning, 7, inline=True)
    assert a.space.replica.tuning is tuning
    assert a.space.state.clock.max_drift_ms == 5
    a.add(b"s", b"1")
    assert a.space.replica.own_stored == 1


async def test_closing_during_a_checkpoint(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a")
    await a.start()
    a.add(b"s", *(b"%d" % n for n in range(9000)))
    monkeypatch.setattr(module.Space, "_checkpoint_due", lambda self: True)
    a.space.housekeep()
    task = a.space._maintenance
    assert task is not None
    await asyncio.sleep(0)
    assert a.space.checkpointer.running
    before = a.space.state.hash
    a.close()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await a.start()
    assert a.space.state.hash == before


def test_a_busy_store_is_refused(tmp_path: Path) -> None:
    from daemon.store import StoreBusy

    first = Store.open(tmp_path, "default")
    with pytest.raises(StoreBusy):
        Store.open(tmp_path, "default")
    first.close()


async def test_garbage_is_told_once_for_each_reason(make: Make) -> None:
    a = make("a")
    await a.start()
    with structlog.testing.capture_logs() as lines:
        wrong = (messages.envelope(255, b"kind"), messages.envelope(1, b"\xc1"))
        for data in (b"\x7fgarbage", b"\x7fmore", bytes((messages.WIRE, 1)) + b"damaged", *wrong):
            a.space.receive("b", inbox=False, data=data)
    told = [line["reason"] for line in lines if line["event"] == "dropped"]
    assert told == list(a.space.replica.drops) == ["version", "checksum", "kind", "malformed"]
    assert a.space.replica.drops["version"] == 2
