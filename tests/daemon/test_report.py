"""What a daemon says of itself, against the names of the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon import report
from daemon.node import Node
from tests.daemon.nodes import a_folder, ask, running, settings
from tests.daemon.spaces import until
from transport.embedded import EmbeddedBroker

SPACE = """
    name index incarnation keys live_dots vv state_hash log_bytes log_floor pending held_frames conflicts divergences
    converged alarms
"""
PEER = """
    name incarnation space state lag_operations lag_seconds behind_operations last_seen_seconds clock_skew_seconds
"""


@pytest.fixture
async def folder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    async with a_folder(monkeypatch) as made:
        yield made


@pytest.fixture
async def pair(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes that know each other."""
    broker = EmbeddedBroker()
    await broker.start()
    other = {"name": "b", "socket": str(folder / "b.sock"), "data_dir": str(folder / "b")}
    url = (broker.url,)
    async with running(settings(folder, broker=url)) as a, running(settings(folder, broker=url, **other)) as b:
        for node in (a, b):
            await until(lambda n=node: [p["state"] for p in n.status()["peers"]] == ["online"], "both to meet")  # type: ignore[misc]
        yield a, b
    await broker.stop()


async def test_before_the_first_write(folder: Path) -> None:
    async with running(settings(folder, space=("one", "two"))) as node:
        document = report.status(node)
        assert list(document) == ["name", "version", "uptime_seconds", "ready", "spaces", "peers", "brokers"]
        assert [list(space) for space in document["spaces"]] == [SPACE.split()] * 2
        assert [(space["name"], space["index"]) for space in document["spaces"]] == [("one", 0), ("two", 1)]
        first = document["spaces"][0]
        assert first["incarnation"] is None
        assert (first["keys"], first["vv"], first["state_hash"], first["converged"]) == (0, {}, "0" * 32, True)
        (broker,) = document["brokers"]
        assert list(broker) == ["url", "state", "round_trip_seconds", "reason"]
        assert broker["state"] == "connecting"
        assert document["ready"] is True
        json.dumps(document)


async def test_of_two_that_talk(pair: tuple[Node, Node], folder: Path) -> None:
    a, b = pair
    await ask(folder / "a.sock", "SADD s 1 2")
    await until(lambda: report.status(b)["spaces"][0]["live_dots"] == 2, "b to have it")
    await until(lambda: a.status()["peers"][0]["lag_operations"] == 0, "a to know it")
    await until(lambda: b.status()["peers"][0]["lag_operations"] == 0, "b to have heard a say what it has")
    mine, theirs = report.status(a), report.status(b)
    actor = str(a.spaces[0].state.actor)
    assert mine["spaces"][0]["incarnation"] == actor.partition("/")[2]
    assert mine["spaces"][0]["vv"] == theirs["spaces"][0]["vv"] == {actor: 2}
    assert mine["spaces"][0]["state_hash"] == theirs["spaces"][0]["state_hash"]
    assert mine["spaces"][0]["log_bytes"] > 0
    (peer,) = theirs["peers"]
    assert list(peer) == PEER.split()
    assert (peer["name"], peer["space"], peer["state"], peer["lag_seconds"]) == ("a", "default", "online", 0.0)
    assert 0 <= peer["last_seen_seconds"] < 5
    assert abs(peer["clock_skew_seconds"]) < 1
    json.dumps(mine)
    (peer,) = mine["peers"]
    assert peer["incarnation"] is None  # b has not written


async def test_lines_of_info(pair: tuple[Node, Node], folder: Path) -> None:
    a, _ = pair
    await ask(folder / "a.sock", "SADD s 1 2")
    lines = {name: dict(section) for name, section in report.info(a, 0).items()}
    assert lines["Replication"]["role"] == "master"
    assert int(str(lines["Memory"]["used_memory_rss"])) > 1 << 20
    crdt = lines["Crdt"]
    named = "name incarnation space state_hash actors live_dots pending held_frames log_bytes conflicts divergences"
    assert {f"crdt_{name}" for name in [*named.split(), "converged", "peers", "dropped"]} <= crdt.keys()
    assert (crdt["crdt_name"], crdt["crdt_space"], crdt["crdt_peers"]) == ("a", "default", 1)
    parts = dict(part.split("=") for part in str(crdt["peer0"]).split(","))
    assert list(parts) == ["name", "state", "lag", "behind", "last_seen_ms", "skew_ms"]
    assert all(parts[name].lstrip("-").isdigit() for name in ("lag", "behind", "last_seen_ms", "skew_ms"))
    assert str(crdt["broker0"]).startswith("url=mqtt://127.0.0.1:")
    assert ",state=connected,rtt_ms=" in str(crdt["broker0"])


def test_resident_memory_is_plausible() -> None:
    assert 1 << 20 < report._resident() < 1 << 40
