"""wait: cut once, ask the peers, and tell who is missing."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon, peer, status_document

CONNECTED = {"url": "mqtt://h:1883", "state": "connected", "round_trip_seconds": 0.001, "reason": None}
REFUSED = CONNECTED | {"state": "refused", "reason": "bad password"}


def test_all_that_are_online(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b"), peer("c"), peer("d", "offline"), peer("e", space="other")])
    scripted.says("CRDT.SYNC", b"+OK\r\n")
    scripted.says("WAIT 2", b":2\r\n")
    result = gossamer("wait")
    assert result.exit_code == 0
    assert result.stdout.startswith("2 of 2 peers have everything (")
    assert scripted.words_seen() == ["CRDT.STATUS", "SELECT 0", "CRDT.SYNC", "WAIT 2 1000"]


def test_every_space_is_waited_for(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    first = status_document()["spaces"][0]
    scripted.says_status(
        spaces=[first, first | {"name": "other", "index": 1}], peers=[peer("b"), peer("b", space="other")]
    )
    scripted.says("CRDT.SYNC", b"+OK\r\n")
    scripted.says("WAIT", b":1\r\n")
    found = json.loads(gossamer("wait", "--json").stdout)
    assert found["reached"] is True
    assert found["spaces"] == [
        {"name": "default", "peers": 1, "applied": 1},
        {"name": "other", "peers": 1, "applied": 1},
    ]
    assert "SELECT 1" in scripted.words_seen()


def test_too_few_in_time_exits_with_6(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b")])
    scripted.says("CRDT.SYNC", b"+OK\r\n")
    scripted.says("WAIT 3", b":1\r\n")
    result = gossamer("wait", "--peers", "3", "--timeout", "50ms", "--json")
    assert result.exit_code == 6
    assert json.loads(result.stdout)["applied"] == 1
    assert "1 of 3 peers" in result.stderr
    # However often it asks, it cuts once: later writes are not waited for.
    assert scripted.words_seen().count("CRDT.SYNC") == 1


def test_nobody_online_exits_with_6(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b", "silent")])
    scripted.says("CRDT.SYNC", b"+OK\r\n")
    result = gossamer("wait", "--timeout", "50ms")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "no peer is online" in result.stderr
    assert not any(words.startswith("WAIT") for words in scripted.words_seen())


def test_peers_that_come_in_time_count(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status()
    scripted.says("WAIT", b":1\r\n")

    def sync(_request: list[bytes]) -> bytes:
        scripted.says_status(peers=[peer("b")])
        return b"+OK\r\n"

    scripted.says("CRDT.SYNC", sync)
    assert gossamer("wait").exit_code == 0


def test_a_broker_that_comes_back_counts(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b")])
    scripted.says("WAIT", b":1\r\n")

    def sync(_request: list[bytes]) -> bytes:
        scripted.says("CRDT.SYNC", b"+OK\r\n")
        return b"-ERR no broker connected\r\n"

    scripted.says("CRDT.SYNC", sync)
    assert gossamer("wait").exit_code == 0


def test_no_broker_exits_with_6(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b")], brokers=[CONNECTED, REFUSED])
    scripted.says("CRDT.SYNC", b"-ERR no broker connected\r\n")
    result = gossamer("wait", "--timeout", "50ms")
    assert result.exit_code == 6
    assert "no broker is connected" in result.stderr


def test_every_broker_refuses_exits_with_8(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(brokers=[REFUSED])
    result = gossamer("wait")
    assert result.exit_code == 8
    assert "mqtt://h:1883: bad password" in result.stderr


def test_loading_is_waited_for(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("CRDT.SYNC", b"+OK\r\n")
    scripted.says("WAIT", b":1\r\n")

    def loading(_request: list[bytes]) -> bytes:
        scripted.says_status(peers=[peer("b")])
        return b"-LOADING gossamer is loading\r\n"

    scripted.says("CRDT.STATUS", loading)
    assert gossamer("wait").exit_code == 0


def test_another_error_is_a_failure(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b")])
    assert gossamer("wait").exit_code == 1
