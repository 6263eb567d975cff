"""status: the whole document, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon, peer, status_document


def test_json_is_the_document(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status()
    result = gossamer("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == status_document()


def test_people_see_spaces_peers_and_brokers(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    brokers = [
        {"url": "mqtt://h:1883", "state": "connected", "round_trip_seconds": 0.0021, "reason": None},
        {"url": "mqtt://i:1883", "state": "refused", "round_trip_seconds": None, "reason": "bad password"},
    ]
    scripted.says_status(peers=[peer("b")], brokers=brokers)
    text = gossamer("status").stdout
    assert "a: gossamer 0.1.0, up 1h 2m, ready" in text
    assert "default  3     4" in text
    assert "2.1 ms" in text
    assert "bad password" in text
    assert "0.5 s ago" in text


def test_nothing_there_yet(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(ready=False, uptime_seconds=0.2)
    text = gossamer("status").stdout
    assert "up 0s, not ready" in text
    assert "no peers yet" in text
    assert "no brokers configured" in text


def test_loading_is_told(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("CRDT.STATUS", b"-LOADING gossamer is loading\r\n")
    result = gossamer("status", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "LOADING" in result.stderr
