"""Spaces, the snapshots that peers send them, and lifetimes that survive both those and restarts."""

from __future__ import annotations

import pytest
import structlog.testing

from crdt.joining import Joining
from crdt.types import expiry, sets
from daemon.alarms import ALARMS
from daemon.api.database import Database
from daemon.store import Durability, StoreFailed
from tests.daemon.spaces import Between, Make, Member, same, until


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
