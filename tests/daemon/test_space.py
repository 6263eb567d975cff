"""Spaces on real stores: they converge, go on after any end, and promise nothing that is not stored."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from crdt.replica import messages
from crdt.replica.events import Persisted
from crdt.replica.messages import Delta
from crdt.types import sets, streams
from daemon import space as module
from daemon.store import Durability, Store
from tests.crdt.replica.desk import Desk
from tests.daemon.spaces import Between, Make, Member, same, until


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
    while a.space.commits.underway is None:
        count += module.CUT_AT
        a.add(b"s", *(b"%d" % i * 50 for i in range(count, count + module.CUT_AT)))
    await until(lambda: a.space.replica.own_stored == count, "the worker to store it")
    size = a.space.store.log_bytes
    assert module.COMMIT_AT <= size < module.COMMIT_AT + 100 * 1024
    a.add(b"s", *(b"%d" % i for i in range(-module.CUT_AT, 0)))
    assert a.space.commits.underway is None, "counted from the last commit on"


async def test_an_entry_that_a_peers_frame_has_cut_is_stored_before_its_reply_leaves(make: Make) -> None:
    """In one turn: a client adds to a stream, then a frame of that stream comes, before which the own entry is cut."""
    b = Desk("b", 2)
    b.state.begin(time.time_ns() // 1_000_000)
    streams.add(b.state, b"x", streams.next_id(b.state, b"x"), [b"f", b"v"])
    b.commit()
    (delta,) = b.take(Delta)
    a = make("a")
    await a.start()
    a.space.begin()
    streams.add(a.space.state, b"x", streams.next_id(a.space.state, b"x"), [b"mine", b"1"])
    a.space.receive("b", False, messages.encode(delta))
    a.space.settle()
    assert a.space.store.last(a.space.state.actor) == 1
    a.kill()
    await a.start()
    assert streams.size(a.space.state, b"x") == 2


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
    assert b.space.alarms.counts.get("clock") == 1
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


async def test_the_engine_never_compares_its_clock_with_one_that_was_not_read(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a")
    await a.start()
    now = module.time.time_ns()
    for later, happens in enumerate([lambda: a.space.disconnected(7), lambda: a.space.handle(Persisted(0))], 1):
        monkeypatch.setattr(module.time, "time_ns", lambda later=later: now + later * 10**9)
        happens()
        assert a.space.state.clock.wall_ms == now // 10**6 + later * 1000


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


def test_a_busy_store_is_refused(tmp_path: Path) -> None:
    from daemon.store import StoreBusy

    first = Store.open(tmp_path, "default")
    with pytest.raises(StoreBusy):
        Store.open(tmp_path, "default")
    first.close()
