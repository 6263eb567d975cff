"""When reads wait for each other, when no more, and what then holds for those who sent them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from daemon.api import server
from daemon.api.crowd import PROBED, Crowd
from daemon.api.dispatch import run
from daemon.api.server import MEASURED
from tests.compiled import as_python
from tests.daemon.api.serving import Serving, encoded, until


def turns(crowd: Crowd, reads: int, most: int = 100) -> int:
    """Turns of so many reads that were counted until it was believed that there is no crowd."""
    for number in range(most):
        if not crowd.here:
            return number
        crowd.count(reads)
    return most


def test_one_client_is_no_crowd_and_many_are() -> None:
    crowd = Crowd()
    assert not crowd.here
    crowd.passed(PROBED)
    assert turns(crowd, 1) < 8
    crowd.passed(2 * PROBED)
    assert turns(crowd, 5) == 100


def test_a_crowd_that_leaves_is_noticed() -> None:
    crowd = Crowd()
    crowd.passed(PROBED)
    turns(crowd, 50)
    assert turns(crowd, 1) < 20


def test_one_quiet_turn_is_not_the_end_of_a_crowd() -> None:
    crowd = Crowd()
    crowd.passed(PROBED)
    turns(crowd, 8)
    crowd.count(1)
    assert crowd.here


def test_those_who_are_alone_are_counted_now_and_then() -> None:
    crowd = Crowd()
    for reads in range(1, PROBED):
        crowd.passed(reads)
    assert not crowd.here
    crowd.passed(PROBED)
    assert crowd.here
    assert not PROBED % MEASURED  # only reads that are measured are told


# -- in a server


@pytest.fixture
def crowded(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """A server that believes in a crowd, whoever comes."""
    monkeypatch.setattr("daemon.api.crowd.CROWD", 0)
    serving.server.crowd.here = True
    return serving


@as_python
@pytest.mark.parametrize("crowd", [0, 99])
async def test_in_a_crowd_nobody_is_answered_before_all_have_run(
    crowded: Serving, monkeypatch: pytest.MonkeyPatch, crowd: int
) -> None:
    """Without a crowd, the control, each is answered by itself."""
    monkeypatch.setattr("daemon.api.crowd.CROWD", crowd)
    crowded.server.crowd.here = not crowd
    clients = await crowded.crowd(5)
    seen: list[str] = []
    for session in list(crowded.server.sessions.values()):
        session.wire.write = lambda data, write=session.wire.write: (seen.append("wrote"), write(data))

    monkeypatch.setattr(server, "run", lambda *what: (seen.append("ran"), run(*what))[1])
    crowded.read_together(encoded("SET k v"))
    assert [await client.reply() for client in clients] == [b"+OK\r\n"] * 5
    assert seen == (["ran", "wrote"] * 5 if crowd else ["ran"] * 5 + ["wrote"] * 5)


async def test_in_a_crowd_each_client_has_its_replies_in_order(crowded: Serving) -> None:
    clients = await crowded.crowd(20)
    for number, client in enumerate(clients):
        for n in range(100):
            client.send(encoded("ECHO", b"%d" % n) + encoded("SET", b"k%d" % number, b"%d" % n))
            if not n % 9:
                await asyncio.sleep(0)
    for client in clients:
        for n in range(100):
            assert await client.reply() == b"$%d\r\n%d\r\n" % (len(str(n)), n)
            assert await client.reply() == b"+OK\r\n"
    assert [await client.ask("GET k3") for client in clients] == [b"$2\r\n99\r\n"] * 20


async def test_a_crowd_that_only_reads_needs_no_settling(crowded: Serving) -> None:
    clients = await crowded.crowd(5)
    assert [await client.ask("GET k") for client in clients] == [b"$-1\r\n"] * 5
    assert crowded.hub.settled == 0
    await clients[0].ask("SET k v")
    await until(lambda: crowded.hub.settled == 1)


async def test_a_crowd_is_answered_after_settling_where_replies_are_held(crowded: Serving, seen: list[str]) -> None:
    hub = crowded.hub
    clients = await crowded.crowd(5)
    for hub.hold_replies, first in ((True, "settled"), (False, "wrote")):
        seen.clear()
        crowded.read_together(encoded("SET k v"))
        assert [await client.reply() for client in clients] == [b"+OK\r\n"] * 5
        await until(lambda: "settled" in seen)
        assert (seen[0], seen.count("settled"), seen.count("wrote")) == (first, 1, 5)


async def test_a_crowd_that_only_reads_is_answered_after_settling_where_replies_are_held(crowded: Serving) -> None:
    """What it reads may be a peer's, and not be stored yet."""
    crowded.hub.hold_replies = True
    clients = await crowded.crowd(3)
    crowded.read_together(encoded("GET k"))
    assert [await client.reply() for client in clients] == [b"$-1\r\n"] * 3
    assert crowded.hub.settled == 1


async def test_who_writes_in_a_crowd_and_leaves_at_once_has_written(crowded: Serving) -> None:
    others = await crowded.crowd(3)
    for n in range(20):
        leaving = await crowded.client()
        leaving.send(encoded("SET", b"k%d" % n, b"v"))
        leaving.close()
    await until(lambda: len(crowded.server.sessions) == 3)
    assert await others[0].ask("DBSIZE") == b":20\r\n"


@pytest.mark.parametrize("first", [True, False])
async def test_who_is_killed_in_a_crowd_does_nothing_any_more(crowded: Serving, first: bool) -> None:
    one, _ = await crowded.crowd(2)
    killer, victim = crowded.server.sessions.values()
    kill = encoded(f"CLIENT KILL ID {victim.id}") + encoded("EXISTS k")
    reads = [(killer, kill), (victim, encoded("SET k v"))]
    for session, data in reads if first else reads[::-1]:
        session.wire.data_received(data)
    assert [await one.reply(), await one.reply()] == [b":1\r\n", b":0\r\n" if first else b":1\r\n"]
    assert await one.ask("EXISTS k") == (b":0\r\n" if first else b":1\r\n")


def break_once(crowded: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next turn that begins shows a defect."""
    begin, broken = crowded.hub.begin, iter([True])

    def beginning() -> None:
        for _ in broken:
            raise RuntimeError("broken")
        begin()

    monkeypatch.setattr(crowded.hub, "begin", beginning)
    monkeypatch.setattr(crowded.server, "_begun", -1.0)


async def test_a_defect_of_ours_does_not_end_the_turns(crowded: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await crowded.crowd(2)
    break_once(crowded, monkeypatch)
    crowded.read_together(encoded("PING"))
    assert await one.ended()
    assert [await two.reply(), await two.ask("PING")] == [b"+PONG\r\n"] * 2


async def test_a_defect_in_serving_one_who_has_left_harms_no_other(
    crowded: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, two = await crowded.crowd(2)
    break_once(crowded, monkeypatch)
    gone = next(iter(crowded.server.sessions.values())).wire
    crowded.read_together(encoded("PING"))
    gone.connection_lost(None)
    assert [await two.reply(), await two.ask("PING")] == [b"+PONG\r\n"] * 2


@as_python
async def test_a_defect_in_serving_one_of_a_crowd_harms_no_other(
    crowded: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = await crowded.crowd(3)
    _, second, _ = crowded.server.sessions.values()

    def defect(data: bytes) -> list[list[bytes]]:
        raise RuntimeError("broken")

    second.wire.parser = SimpleNamespace(feed=defect)
    crowded.read_together(encoded("PING"))
    assert [await one.reply(), await three.reply()] == [b"+PONG\r\n"] * 2
    assert await two.ended()
    assert "please report it" in caplog.text
    assert "broken" in caplog.text
