"""How a daemon is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon


def test_the_only_socket_is_taken(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    assert gossamer("ping").exit_code == 0


def test_no_socket_says_what_to_do(gossamer: Callable[..., Result], run_dir: Path) -> None:
    result = gossamer("status")
    assert result.exit_code == 2
    assert str(run_dir) in result.stderr
    assert "gossamer run" in result.stderr


def test_several_sockets_are_named(start: Callable[[str], ScriptedDaemon], gossamer: Callable[..., Result]) -> None:
    start("a")
    start("b")
    result = gossamer("ping")
    assert result.exit_code == 2
    assert "--name (a, b)" in result.stderr
    assert gossamer("ping", "--name", "b").exit_code == 0


def test_the_order_is_socket_variable_name(
    start: Callable[[str], ScriptedDaemon], gossamer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemons = {name: start(name) for name in "abc"}
    monkeypatch.setenv("GOSSAMER_SOCKET", str(daemons["b"].path))
    gossamer("ping", "--name", "a", "--socket", str(daemons["c"].path))
    assert [len(d.seen) for d in daemons.values()] == [0, 0, 1]
    gossamer("ping", "--name", "a")
    assert [len(d.seen) for d in daemons.values()] == [0, 1, 1]
    monkeypatch.delenv("GOSSAMER_SOCKET")
    gossamer("ping", "--name", "a")
    assert [len(d.seen) for d in daemons.values()] == [1, 1, 1]


def test_options_may_stand_before_the_verb(
    start: Callable[[str], ScriptedDaemon], gossamer: Callable[..., Result]
) -> None:
    start("a")
    second = start("b")
    result = gossamer("--name", "b", "--json", "ping")
    assert result.exit_code == 0
    assert result.stdout.startswith("{")
    assert len(second.seen) == 1
    gossamer("--name", "a", "ping", "--name", "b")
    assert len(second.seen) == 2


@pytest.mark.parametrize("verb", [["ping"], ["status"], ["members"], ["cmd", "GET", "k"], ["watch", "*"], ["wait"]])
def test_nobody_listening_exits_with_3(verb: list[str], gossamer: Callable[..., Result], run_dir: Path) -> None:
    result = gossamer(verb[0], "--socket", str(run_dir / "none.sock"), *verb[1:])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no daemon listens" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_dead_socket_exits_with_3(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.stop()
    assert gossamer("ping").exit_code == 3
