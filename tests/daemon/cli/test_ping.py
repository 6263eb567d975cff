"""ping: now, or as soon as the daemon answers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon


def test_pong(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    result = gossamer("ping")
    assert result.exit_code == 0
    assert re.fullmatch(r"PONG [0-9]+\.[0-9] ms\n", result.stdout)


def test_json(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    found = json.loads(gossamer("ping", "--json").stdout)
    assert found["reply"] == "PONG"
    assert 0 < found["round_trip_seconds"] < 10


def test_a_time_out_waits_for_a_daemon_that_starts(
    start: Callable[[str], ScriptedDaemon], gossamer: Callable[..., Result]
) -> None:
    timer = threading.Timer(0.2, start, ["late"])
    timer.start()
    assert gossamer("ping", "--timeout", "20s").exit_code == 0
    timer.join()


def test_a_time_out_ends_with_3(gossamer: Callable[..., Result], run_dir: Path) -> None:
    result = gossamer("ping", "--timeout", "100ms")
    assert result.exit_code == 3
    assert "waited 0.1 s" in result.stderr


def test_a_daemon_that_hangs_is_not_there(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("PING", b"$5\r\nab")
    assert gossamer("ping", "--timeout", "100ms").exit_code == 3


def test_another_answer_is_a_failure(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("PING", b"-NOAUTH Authentication required.\r\n")
    result = gossamer("ping")
    assert result.exit_code == 1
    assert "NOAUTH" in result.stderr
