"""A short storm over real processes, and proof that its account would find what it is made to find.

`make chaos MINUTES=30` runs longer.
"""

from __future__ import annotations

import asyncio
import copy
import shutil
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.chaos import Chaos
from tests.chaos_parts.arena import Arena
from tests.chaos_parts.ledger import Kind, Ledger, Loss
from tests.chaos_parts.network import Way
from tests.chaos_parts.plan import BROKER, Fault, draw
from tests.chaos_parts.verdict import Reading, fill, judge, sums
from tests.daemon.processes import MOSQUITTO

NAMES = ("a", "b", "c")
A_WHILE = 0.1
"""Seconds in which nothing may arrive."""


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.timeout(120)
def test_nothing_acknowledged_is_lost_in_a_storm() -> None:
    said: list[str] = []
    chaos = Chaos(seconds=7, seed=3, daemons=3, say=said.append)
    assert chaos.run(), "\n".join(said)
    assert chaos.rounds == 1 and chaos.looks > 50
    assert {Fault.KILL, Fault.BROKER_KILL, Fault.HALF_OPEN} <= chaos.arena.done.keys()
    assert not chaos.arena.world.folder.exists()


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.timeout(120)
def test_daemons_that_acknowledge_too_early_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """They sync every two seconds, and the account is told that they sync before each reply."""

    def start(arena: Arena) -> None:
        for daemon in arena.daemons.values():
            daemon.environ["GOSSAMER_STORE__COMMIT_INTERVAL"] = "2s"
        start_as_usual(arena)

    start_as_usual = Arena.start
    monkeypatch.setattr(Arena, "start", start)
    monkeypatch.setattr(Arena, "count_as_lost", lambda arena, name: None)
    said: list[str] = []
    chaos = Chaos(seconds=5, seed=571, daemons=3, durability="interval", say=said.append)
    held = chaos.run()
    if chaos.arena.keep is not None:
        shutil.rmtree(chaos.arena.keep)
    assert not held, "\n".join(said)
    # Whoever looks first: a writer, a reader or the account.
    found = said[next(i for i, line in enumerate(said) if "IT DID NOT HOLD" in line) + 1]
    assert any(word in found for word in ("lost", "is gone", "no longer", "acknowledged", "without")), "\n".join(said)


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_a_seed_is_one_plan() -> None:
    assert draw("7/1", 60, NAMES) == draw("7/1", 60, NAMES) != draw("7/2", 60, NAMES)


def test_every_fault_comes_and_ends_and_none_twice_at_a_time() -> None:
    acts = draw("7", 600, NAMES)
    assert {act.fault for act in acts} == set(Fault)
    assert {act.victim for act in acts} == {*NAMES, BROKER}
    assert all((act.fault is Fault.SKEW) == (act.skew != 0) for act in acts)
    assert all(act.at <= act.until <= 600 for act in acts)
    until: dict[tuple[str, str], float] = {}
    for act in acts:
        assert act.at >= until.get((act.fault.grip, act.victim), 0.0)
        until[act.fault.grip, act.victim] = act.until


# -- the account -------------------------------------------------------------------------------------------------------


def _story() -> tuple[Ledger, Reading]:
    """A write of each kind that was acknowledged, one in doubt, and a replica that has the first."""
    ledger = Ledger(0)
    said = {
        Kind.ADD: ("set", 1, 2), Kind.SAY: ("say", 1, 2), Kind.REMOVE: ("churn", 1, 2), Kind.COUNT: ("count", 5, -3),
        Kind.LAST: ("x", 1, 2), Kind.MERGE: ("merge", 1, 2), Kind.FILL: ("fill", 1, 2), Kind.PUSH: ("list", 1, 2),
        Kind.SCORE: ("score", 5, -3), Kind.MORTAL: ("mortal", 1, 2), Kind.LEAF: ("leaf", 1, 2),
    }  # fmt: skip
    for kind, (key, sure, unsure) in said.items():
        ledger.begin(kind, key, sure, "w", "a").acknowledged = 10.0
        ledger.begin(kind, key, unsure, "w", "a")
    reading = Reading(
        "a",
        sets={"set": {1}, "say": {1}, "churn": {2}},
        numbers={"count": 5, "x": 1, "score": 5, "mortal": 1, "leaf": 1},
        lists={"list": [1]},
        merged={"merge": {"w": 1}},
        fills={"fill": fill("fill", 1, 100)},
    )
    return ledger, reading


def _wrong(ledger: Ledger, *readings: Reading) -> set[Kind]:
    return {kind for kind, line in judge(ledger, readings).items() if line.wrong}


def test_what_was_acknowledged_is_enough_and_what_is_in_doubt_may_be_there() -> None:
    ledger, reading = _story()
    assert _wrong(ledger, reading) == set()
    assert all((line.acknowledged, line.doubtful, line.kept) == (1, 1, 1) for line in judge(ledger, [reading]).values())
    reading.sets = {"set": {1, 2}, "say": {1, 2}, "churn": set()}
    reading.numbers = {"count": 2, "x": 2, "score": 2, "mortal": 2, "leaf": 2}
    reading.lists = {"list": [1, 2]}
    reading.merged["merge"]["w"] = 2
    reading.fills["fill"] = fill("fill", 2, 100)
    assert _wrong(ledger, reading) == set()


MISTAKES: dict[str, tuple[Kind, Callable[[Reading], None]]] = {
    "an element is lost": (Kind.ADD, lambda reading: reading.sets["set"].clear()),
    "an element nobody wrote": (Kind.ADD, lambda reading: reading.sets["set"].add(3)),
    "a broadcast is lost": (Kind.SAY, lambda reading: reading.sets["say"].clear()),
    "a removed element is back": (Kind.REMOVE, lambda reading: reading.sets["churn"].add(1)),
    "an increment is lost": (Kind.COUNT, lambda reading: reading.numbers.update(count=0)),
    "an increment counts twice": (Kind.COUNT, lambda reading: reading.numbers.update(count=10)),
    "a decrement in doubt counts twice": (Kind.COUNT, lambda reading: reading.numbers.update(count=-1)),
    "half of a decrement in doubt": (Kind.COUNT, lambda reading: reading.numbers.update(count=4)),
    "a value goes back": (Kind.LAST, lambda reading: reading.numbers.update(x=0)),
    "a value nobody wrote": (Kind.LAST, lambda reading: reading.numbers.update(x=3)),
    "a sibling is lost": (Kind.MERGE, lambda reading: reading.merged.clear()),
    "a large value is torn": (Kind.FILL, lambda reading: reading.fills.update(fill=fill("fill", 1, 99) + "?")),
    "an element of a list is lost": (Kind.PUSH, lambda reading: reading.lists["list"].clear()),
    "an element of a list is there twice": (Kind.PUSH, lambda reading: reading.lists["list"].append(1)),
    "an element of a list before an earlier one": (Kind.PUSH, lambda reading: reading.lists["list"].insert(0, 2)),
    "an increment of a score is lost": (Kind.SCORE, lambda reading: reading.numbers.update(score=0)),
    "a value with a lifetime is gone too early": (Kind.MORTAL, lambda reading: reading.numbers.update(mortal=0)),
    "a leaf is lost": (Kind.LEAF, lambda reading: reading.numbers.update(leaf=0)),
    "a large value is lost": (Kind.FILL, lambda reading: reading.fills.clear()),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_on_one_replica_is_caught(name: str) -> None:
    kind, spoil = MISTAKES[name]
    ledger, good = _story()
    bad = copy.deepcopy(good)
    spoil(bad)
    assert _wrong(ledger, good, bad) == {kind}


def test_what_was_not_synced_before_a_kill_is_in_doubt() -> None:
    ledger, reading = _story()
    reading.sets["set"].clear()
    ledger.losses.append(Loss("b", 9.0, 11.0))
    assert _wrong(ledger, reading) == {Kind.ADD}
    ledger.losses.append(Loss("a", 9.0, 11.0))
    assert Kind.ADD not in _wrong(ledger, reading)


def test_two_lives_of_a_disk_that_went_back_may_stand_in_either_order() -> None:
    ledger, reading = _story()
    reading.lists["list"], reading.numbers["x"] = [2, 1], 3
    assert _wrong(ledger, reading) == {Kind.PUSH, Kind.LAST}
    ledger.rolled.add("a")
    assert _wrong(ledger, reading) == {Kind.LAST}  # nobody wrote 3, in whatever life
    reading.lists["list"].clear()
    assert _wrong(ledger, reading) == {Kind.PUSH, Kind.LAST}


def test_sums_of_what_is_in_doubt() -> None:
    least, mask = sums([5, -3, 5])
    assert {least + n for n in range(mask.bit_length()) if mask >> n & 1} == {-3, 0, 2, 5, 7, 10}


# -- ways that are cut -------------------------------------------------------------------------------------------------


@pytest.fixture
async def way() -> AsyncIterator[tuple[Way, list[bytes]]]:
    """A way to a server that repeats what it hears, and what it has heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(100):
                heard.append(chunk)
                writer.write(chunk)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = Way("127.0.0.1", server.sockets[0].getsockname()[1])
    await made.start()
    yield made, heard
    await made.stop()
    server.close()


@pytest.mark.parametrize(("fault", "arrives"), [(Fault.MUTE, False), (Fault.DEAF, True), (Fault.SILENT, False)])
async def test_a_cut_of_one_direction(way: tuple[Way, list[bytes]], fault: Fault, arrives: bool) -> None:
    link, heard = way
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"1")
    assert await asyncio.wait_for(reader.read(1), 5) == b"1"
    link.strike(fault)
    writer.write(b"2")
    answer = asyncio.create_task(reader.read(1))
    done, _ = await asyncio.wait({answer}, timeout=A_WHILE)
    assert not done and (heard == [b"1", b"2"]) == arrives
    link.heal()
    assert await asyncio.wait_for(answer, 5) == b"2"
    writer.close()


async def test_of_a_half_open_link_the_daemon_is_not_told(way: tuple[Way, list[bytes]]) -> None:
    link, _ = way
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"1")
    assert await asyncio.wait_for(reader.read(1), 5) == b"1"
    link.strike(Fault.HALF_OPEN)
    writer.write(b"2")
    answer = asyncio.create_task(reader.read(1))
    done, _ = await asyncio.wait({answer}, timeout=A_WHILE)
    assert not done
    link.heal()
    assert await asyncio.wait_for(answer, 5) == b""
    writer.close()


async def test_a_reset_ends_connections(way: tuple[Way, list[bytes]]) -> None:
    link, _ = way
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"1")
    assert await asyncio.wait_for(reader.read(1), 5) == b"1"
    began = time.monotonic()
    link.strike(Fault.RESET)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.read(1), 5)
    assert time.monotonic() - began < 5
    writer.close()
