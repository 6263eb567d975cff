"""RUN of a test, daemons in it, and the command line."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daemon.cli import main
from tests.daemon.cli.scripted import ScriptedDaemon


@pytest.fixture
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """RUN of this test. Short, because socket paths are; and a user's, whoever runs the tests."""
    base = Path(tempfile.mkdtemp(prefix="gs", dir="/tmp"))
    for variable in ("GOSSAMER_SOCKET", "GOSSAMER_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    run = base / "gossamer"
    run.mkdir()
    monkeypatch.setattr("config.machine.Machine.run_dir", lambda self, environ: run)
    yield run
    shutil.rmtree(base)


@pytest.fixture
def scripted(run_dir: Path) -> Iterator[ScriptedDaemon]:
    """The only daemon in RUN, called a."""
    daemon = ScriptedDaemon(run_dir / "a.sock")
    yield daemon
    daemon.stop()


@pytest.fixture
def start(run_dir: Path) -> Iterator[Callable[[str], ScriptedDaemon]]:
    """Starts more daemons in RUN, by name."""
    started: list[ScriptedDaemon] = []

    def begin(name: str) -> ScriptedDaemon:
        started.append(ScriptedDaemon(run_dir / f"{name}.sock"))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.stop()


@pytest.fixture
def gossamer(run_dir: Path) -> Callable[..., Result]:
    """Runs the command line in this process: `gossamer("ping", "--json")`."""

    def invoke(*arguments: str, input: bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=input, prog_name="gossamer")

    return invoke
