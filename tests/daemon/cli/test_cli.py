"""The group itself: help without imports, version, errors as one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import click
import pytest
from click.testing import Result

from daemon.cli import VERBS


def test_help_lists_every_verb(gossamer: Callable[..., Result]) -> None:
    result = gossamer("--help")
    assert result.exit_code == 0
    for verb, summary in VERBS.items():
        assert verb in result.stdout
        assert summary in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_command_of_its_module(verb: str) -> None:
    if find_spec(f"daemon.cli.{verb}") is None:
        pytest.skip("not written yet")
    command = getattr(import_module(f"daemon.cli.{verb}"), verb)
    assert isinstance(command, click.Command)
    assert command.name == verb


def test_version(gossamer: Callable[..., Result]) -> None:
    result = gossamer("--version")
    assert (result.exit_code, result.stdout) == (0, f"gossamer {version('gossamer')}\n")


@pytest.mark.parametrize("arguments", [["nothing"], ["ping", "--nothing"], ["ping", "--timeout", "soon"], ["cmd"]])
def test_wrong_usage_exits_with_2(arguments: list[str], gossamer: Callable[..., Result]) -> None:
    result = gossamer(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: gossamer" in result.stderr


def test_a_client_verb_starts_without_what_the_daemon_needs() -> None:
    heavy = {"pydantic", "asyncio", "aiohttp", "rich", "crdt"}
    code = f"import sys, daemon.cli.ping; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"
