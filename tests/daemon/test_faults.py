"""Real daemons and real brokers through faults: what they show at each step, and how they come together again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.processes import MOSQUITTO, Broker, Daemon, World, converged, until

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def second_broker(world: World) -> Broker:
    """Another one, which is up."""
    folder = Path(world.folder) / "second"
    folder.mkdir()
    made = Broker("mosquitto", folder)
    made.start()
    return made


def peer(daemon: Daemon, other: Daemon, space: int = 0) -> dict[str, Any]:
    """What one shows of the other."""
    document = daemon.status()
    name = document["spaces"][space]["name"]
    found: dict[str, Any] = next(
        (p for p in document["peers"] if p["name"] == other.name and p["space"] == name), {"state": None}
    )
    return found


def shows(daemon: Daemon, other: Daemon, **expected: Any) -> None:
    """Wait until it shows just this."""
    until(
        lambda: {name: peer(daemon, other).get(name) for name in expected} == expected,
        f"{daemon.name} to show {other.name} with {expected}: {peer(daemon, other)}",
    )


def add(daemon: Daemon, number: int, key: str = "s") -> None:
    """So many operations."""
    for _ in range(number):
        daemon.redis.sadd(key, os.urandom(8).hex())


# -- what they show ---------------------------------------------------------------------------------------------------


def test_what_is_shown_is_right_at_every_step(world: World) -> None:
    a, b, c = world.start("a", "b", "c")
    for daemon in (a, b, c):
        add(daemon, 2)
    until(lambda: converged(a, b, c), "all to be equal")
    for one, other in ((a, b), (b, c), (c, a)):
        shows(one, other, state="online", lag_operations=0, behind_operations=0, lag_seconds=0.0)

    # Killed: the broker says so at once, and what it lacks grows with what the others write.
    b.kill()
    shows(a, b, state="offline", lag_operations=0, behind_operations=0, lag_seconds=0.0)
    add(a, 5)
    add(c, 3)
    for one in (a, c):
        shows(one, b, state="offline", lag_operations=8, behind_operations=0)
        assert peer(one, b)["lag_seconds"] > 0
    until(lambda: converged(a, c), "the others to be equal, whatever b lacks")
    lines = a.redis.info("crdt")
    known = {lines[f"peer{i}"]["name"]: lines[f"peer{i}"] for i in range(2)}
    assert (known[b.name]["state"], known[b.name]["lag"], known[b.name]["behind"]) == ("offline", 8, 0)

    # No broker: everything is as of the last message heard.
    world.broker.stop()
    for one in (a, c):
        until(lambda d=one: d.brokers()[0]["state"] != "connected", "it to notice")  # type: ignore[misc]
    until(lambda: "is the broker running" in a.brokers()[0]["reason"], "a reason in words")
    add(a, 2)
    add(c, 4)
    shows(a, b, state="offline", lag_operations=10, behind_operations=0)
    shows(a, c, lag_operations=2, behind_operations=0)
    shows(c, a, lag_operations=4, behind_operations=0)
    token = c.do("CRDT.VV")
    assert a.do("CRDT.WAITFOR", token, 50) == 0 and a.do("CRDT.HASH") != c.do("CRDT.HASH")
    assert a.do("WAIT", 1, 50) == 0
    told = world.gossamer("wait", "--timeout", "300ms", "--socket", str(a.socket))
    assert told.returncode == 6, told

    # The broker is back: both find out what they lack without being told that they were apart.
    world.broker.start()
    until(lambda: converged(a, c), "a and c to be equal", 30)
    assert a.do("CRDT.WAITFOR", token, 1000) == 1 and a.do("CRDT.HASH") == c.do("CRDT.HASH")
    for one, other in ((a, c), (c, a)):
        shows(one, other, state="online", lag_operations=0, behind_operations=0, lag_seconds=0.0)
    shows(a, b, state="offline", lag_operations=14, behind_operations=0)

    # Stopped in its tracks: silent after three heartbeats, and nothing else is said of it.
    assert c.process is not None
    os.kill(c.process.pid, signal.SIGSTOP)
    shows(a, c, state="silent", lag_operations=0)
    add(a, 3)
    shows(a, c, state="silent", lag_operations=3, behind_operations=0)
    os.kill(c.process.pid, signal.SIGCONT)
    shows(a, c, state="online", lag_operations=0, behind_operations=0)

    # And the one that was killed.
    b.start()
    until(lambda: converged(a, b, c), "all to be equal")
    for one in (a, c):
        shows(one, b, state="online", lag_operations=0, behind_operations=0, lag_seconds=0.0)
    told = world.gossamer("wait", "--peers", "2", "--socket", str(a.socket))
    assert told.returncode == 0, told
    members = json.loads(world.gossamer("members", "--json", "--socket", str(a.socket)).stdout)
    assert {m["name"]: (m["state"], m["lag_operations"]) for m in members} == {
        b.name: ("online", 0), c.name: ("online", 0)
    }  # fmt: skip
    assert a.do("WAIT", 2, 5000) == 2
    assert {space["divergences"] for d in (a, b, c) for space in d.status()["spaces"]} == {0}


# -- several brokers --------------------------------------------------------------------------------------------------


def test_a_reaches_c_through_one_that_sits_on_both_brokers(world: World) -> None:
    other = second_broker(world)
    try:
        a = world.daemon("a").start()
        b = world.daemon("b", "--broker", world.broker.url, "--broker", other.url).start()
        c = world.daemon("c", "--broker", other.url).start()
        a.redis.sadd("s", "from a")
        until(lambda: c.has("s", "from a"), "c to have what a wrote", 10)
        c.redis.incr("n")
        until(lambda: a.redis.get("n") == b"1", "a to have what c wrote", 10)

        # One broker goes, and comes back; counts count once.
        other.stop()
        a.redis.incr("n")
        b.redis.incr("n")
        c.redis.incr("n")
        until(lambda: b.redis.get("n") == b"3", "b to have what a wrote")
        assert b.status()["spaces"][0]["name"] == "default" and c.redis.get("n") == b"2"
        other.start()
        until(lambda: converged(a, b, c) and c.redis.get("n") == b"4", "all to have everything", 30)
        world.broker.stop()
        a.redis.incr("n")
        c.redis.incr("n")
        until(lambda: b.redis.get("n") == b"5", "b to have what c wrote")
        world.broker.start()
        until(lambda: converged(a, b, c) and a.redis.get("n") == b"6", "all to have everything", 30)
        assert {daemon.status()["spaces"][0]["divergences"] for daemon in (a, b, c)} == {0}
    finally:
        other.stop()


def test_one_of_two_brokers_may_go_without_anybody_noticing(world: World) -> None:
    other = second_broker(world)
    try:
        both = ("--broker", world.broker.url, "--broker", other.url)
        a, b = world.daemon("a", *both), world.daemon("b", *both)
        for daemon in (a, b):
            daemon.start()
        for daemon in (a, b):
            until(lambda d=daemon: {x["state"] for x in d.brokers()} == {"connected"}, "both brokers")  # type: ignore[misc]
        for broker in (world.broker, other):
            broker.stop()
            a.redis.incr("n")
            value = a.redis.get("n")
            until(lambda v=value: b.redis.get("n") == v, "the write to come over the other broker", 3)  # type: ignore[misc]
            broker.start()
            for daemon in (a, b):
                until(lambda d=daemon: {x["state"] for x in d.brokers()} == {"connected"}, "both brokers", 40)  # type: ignore[misc]
        assert a.redis.get("n") == b.redis.get("n") == b"2"
    finally:
        other.stop()


# -- several spaces ---------------------------------------------------------------------------------------------------


def test_one_that_vanishes_is_offline_in_all_its_spaces_at_once(world: World) -> None:
    slow = ("--heartbeat", "20s")  # three of them would take a minute
    a = world.daemon("a", "--space", "one", "--space", "two", "--space", "three", *slow).start()
    b = world.daemon("b", "--space", "two", "--space", "three", *slow).start()
    c = world.daemon("c", "--space", "three", *slow).start()

    def states() -> dict[tuple[str, str], str]:
        return {(p["space"], p["name"]): p["state"] for p in a.status()["peers"]}

    here = {("two", b.name): "online", ("three", b.name): "online", ("three", c.name): "online"}
    until(lambda: states() == here, "all to meet")
    b.kill()
    until(lambda: states() == here | {("two", b.name): "offline", ("three", b.name): "offline"}, "both to be offline")
    until(lambda: peer(c, b)["state"] == "offline", "c to hear it, who has one space")
    c.kill()
    until(lambda: states()["three", c.name] == "offline", "c's will, of its only space")
    b.start()
    until(lambda: states()["two", b.name] == states()["three", b.name] == "online", "b to be back")
    b.terminate()
    until(lambda: states()["two", b.name] == states()["three", b.name] == "offline", "b's farewell")


def test_a_space_is_apart_in_everything(world: World) -> None:
    a = world.daemon("a", "--space", "one", "--space", "two").start()
    b = world.daemon("b", "--space", "two").start()
    a.redis.sadd("s", "in one")
    a.do("SELECT", 1)
    a.redis.sadd("s", "in two")
    until(lambda: b.has("s", "in two"), "b to have it")
    lines = a.redis.info("crdt")
    assert (lines["crdt_space"], lines["crdt_state_hash"]) == ("two", b.do("CRDT.HASH").decode())
    assert lines["crdt_peers"] == 1 and lines["peer0"]["name"] == b.name
    token = a.do("CRDT.VV")
    assert token.startswith(b"two.") and b.do("CRDT.WAITFOR", token, 1000) == 1
    assert a.do("WAIT", 1, 5000) == 1
    a.do("SELECT", 0)
    lines = a.redis.info("crdt")
    assert (lines["crdt_space"], lines["crdt_peers"]) == ("one", 0)
    assert a.do("WAIT", 1, 50) == 0, "nobody shares this space"
    files = {file.name for file in b.data.glob("*.db")}
    assert files == {"two.db"} and {file.name for file in a.data.glob("*.db")} == {"one.db", "two.db"}
    assert [space["name"] for space in b.status()["spaces"]] == ["two"]
