"""members: the peers of the document."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon, peer


def test_json_is_the_list_of_peers(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b"), peer("c", "offline")])
    assert json.loads(gossamer("members", "--json").stdout) == [peer("b"), peer("c", "offline")]


def test_people_see_a_row_each(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    unknown = {"lag_operations": None, "last_seen_seconds": None, "clock_skew_seconds": None}
    scripted.says_status(peers=[peer("b", lag_operations=12), peer("c", "offline", **unknown)])
    head, b, c = gossamer("members").stdout.splitlines()
    assert head.split()[:3] == ["PEER", "SPACE", "STATE"]
    assert b.split() == ["b", "default", "online", "12", "0", "0.5", "s", "ago", "+0.003", "s"]
    assert c.split() == ["c", "default", "offline", "-", "0", "-", "-"]


def test_large_numbers_are_written_out(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status(peers=[peer("b", lag_operations=1_000_070, last_seen_seconds=3_000_000.0)])
    row = gossamer("members").stdout.splitlines()[1].split()
    assert row[3:6] == ["1000070", "0", "3000000"]


def test_nobody(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says_status()
    assert "no peers yet" in gossamer("members").stdout
    assert gossamer("members", "--json").stdout == "[]\n"
