"""Spaces when something goes wrong: damaged disks, a store that falls back, a stranger under our name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import messages
from crdt.replica.effects import Alarm
from crdt.replica.intake import SLICE_FRAMES, Intake
from crdt.types import sets
from daemon.housekeeping import Housekeeping
from daemon.salvage import AT_ONCE
from tests.crdt.replica.hostile import many
from tests.daemon.spaces import Between, Make, same, until


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
    assert a.space.replica.view.actor == a.space.state.actor and a.space.alarms.counts == {"damaged_log": 1}
    await until(lambda: same(a, b), "a to have it all again")
    assert len(a.members(b"s")) == 10
    a.add(b"s", b"new")
    await until(lambda: same(a, b) and len(b.members(b"s")) == 11, "b to have what a wrote as a new actor")


def spoil(directory: Path, name: str, nth: int) -> None:
    """One bit of the nth frame that the replica `name` wrote is another in this log."""
    import sqlite3

    with sqlite3.connect(directory / "data" / "default.db") as db:
        rows = db.execute(
            "SELECT lsn, data FROM log JOIN actors ON actor = id WHERE name = ? ORDER BY lsn", (name,)
        ).fetchall()
        lsn, data = rows[nth]
        db.execute("UPDATE log SET data = ? WHERE lsn = ?", (data[:-1] + bytes([data[-1] ^ 1]), lsn))
    db.close()


async def test_own_frames_behind_a_damaged_one_of_a_peer_are_kept(make: Make, tmp_path: Path) -> None:
    """Nobody else has them, and nobody is there who could bring what is missing."""
    a, b = make("a"), make("b")
    await a.start()
    await b.start()
    b.add(b"theirs", b"1")
    await until(lambda: same(a, b) and a.members(b"theirs"), "a to have the first of b")
    b.add(b"others", b"2")
    await until(lambda: same(a, b) and a.members(b"others"), "a to have the second of b")
    b.close()
    for i in range(100):
        a.put(b"own%d" % i, b"v")
    actor = a.space.state.actor
    a.close()
    spoil(a.directory, "b", 1)
    for _ in range(2):
        await a.start()
        assert a.space.state.actor != actor and a.members(b"theirs") and not a.members(b"others")
        # The first of them says that it was written when b's second was here: so they wait for that, on the disk.
        assert len(a.space.store.rest()) == 100 and a.get(b"own0") is None
        a.kill()
    await a.start()
    await b.start()
    await until(lambda: same(a, b) and a.members(b"others"), "a to have the second of b again")
    for _ in range(0, 100, AT_ONCE):  # a turn takes in so many
        await a.housekept()
    await until(lambda: same(a, b) and b.get(b"own99") == b"v", "b to have what only the disk of a held")
    assert all(b.get(b"own%d" % i) == b"v" for i in range(100)) and a.space.state.applied(actor) == 100
    await a.housekept()
    assert a.space.store.rest() == []


async def test_an_intact_start_takes_nothing_in(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ordered or stored before the daemon is ready."""
    a = make("a")
    await a.start()
    a.put(b"k", b"v")
    a.close()
    monkeypatch.setattr(Housekeeping, "_feed", None)
    await a.start()
    assert a.get(b"k") == b"v" and a.space.alarms.counts == {}


async def test_what_follows_an_own_frame_that_nobody_else_has_is_kept(make: Make) -> None:
    """It may build on that, so nobody may apply it; the frames before are untouched."""
    a, b = make("a"), make("b")
    await a.start()
    a.put(b"own0", b"v")
    await b.start()
    b.add(b"theirs", b"1")
    await until(lambda: same(a, b) and a.members(b"theirs"), "a to have what b wrote")
    b.close()
    for i in range(1, 100):
        a.put(b"own%d" % i, b"v")
    a.close()
    spoil(a.directory, "a", 50)
    await a.start()
    assert [a.get(b"own%d" % i) for i in (0, 49, 50, 51, 99)] == [b"v", b"v", None, None, None]
    a.close()
    await b.start()
    await a.start()
    a.put(b"more", b"v")
    await until(lambda: same(a, b), "both to have the same")
    assert len(a.space.store.rest()) == 49 and b.get(b"own49") == b"v"


@pytest.mark.parametrize("bad", [10, SLICE_FRAMES + 10], ids=["first", "second"])
async def test_a_defect_in_one_slice_of_a_message_does_not_stop_the_space(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    a = make("a")
    await a.start()
    between.cut()  # nothing else comes in, which would take in the rest
    frames = many(4 * SLICE_FRAMES)
    again = messages.encode(messages.Delta(frames))
    a.space.receive("b", False, again)
    replica = a.space.replica
    await until(lambda: not a.space.busy and not replica.dirty and replica.stored == replica.batch, "all to be stored")
    take, taken = Intake._take, 0

    def fails_once(self: Intake, sender: str, data: bytes, now: float, first_hand: bool, vouched: bool) -> None:
        nonlocal taken
        taken += 1
        if taken == bad:
            raise AssertionError("a defect")
        take(self, sender, data, now, first_hand, vouched)

    complaints: list[str] = []
    armed: list[float] = []

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        complaints.append(str(context["exception"]))
        armed.append(a.space._armed_for)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(complain)
    monkeypatch.setattr(Intake, "_take", fails_once)
    loop.call_soon(a.space.receive, "b", False, again)  # which gives nobody anything to do afterwards
    await until(lambda: taken, "the first slice")
    await until(lambda: not a.space.busy, "the rest to be taken in")
    assert taken == len(frames)
    assert complaints == ["a defect"] and armed[0] > 0.0, "not at once, should it fail again and again"


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
    a = make("a")
    await a.start()
    a.space.run([Alarm("name_taken", "another")])
    assert a.failures == [(7, "another")]
    assert a.space.alarms.counts == {"name_taken": 1}


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
