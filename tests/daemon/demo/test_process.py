"""A daemon as a process: what is run, what is kept from it, and that it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.demo.process import Daemon, DaemonFailed, clean

SOON = 10.0
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


class Stub(Daemon):
    """Runs a script in place of a daemon."""

    script = SLEEPS

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.script]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    made = Stub("alpha", "mqtt://127.0.0.1:1", tmp_path)
    yield made
    made.stop(time.monotonic())


def _wait_for(stub: Stub, words: str) -> None:
    deadline = time.monotonic() + SOON
    while words not in stub.last_words():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_is_run(tmp_path: Path) -> None:
    command = Daemon("alpha", "mqtt://127.0.0.1:1", tmp_path).command()
    assert command[0] == sys.executable
    assert command[command.index("--socket") + 1] == str(tmp_path / "alpha.sock")
    assert "--http" not in command


def test_what_the_user_has_set_does_not_reach_it(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "GOSSAMER_SOCKET": "/x", "GOSSAMER_API__PASSWORD": "x", "NOTIFY_SOCKET": "/y"}
    kept = clean(given, tmp_path)
    assert kept["PATH"] == "/bin"
    assert not any(name.startswith(("GOSSAMER_", "NOTIFY_")) for name in kept)
    assert kept["XDG_RUNTIME_DIR"] == str(tmp_path)


def test_killed_and_started_again(stub: Stub) -> None:
    stub.start()
    _wait_for(stub, "up")
    assert not stub.ready()
    first = stub.pid
    assert first is not None
    assert stub.kill() == first
    assert _gone(first)
    assert stub.pid is None
    stub.check()  # it was us
    stub.start()
    assert stub.pid not in (None, first)


@pytest.mark.parametrize(("script", "within"), [(SLEEPS, SOON), (DEAF, 0.0)])
def test_it_ends_whatever_it_does(stub: Stub, script: str, within: float) -> None:
    stub.script = script
    stub.start()
    _wait_for(stub, "up")
    pid = stub.pid
    assert pid is not None
    stub.stop(time.monotonic() + within)
    assert _gone(pid)


def test_one_that_ends_by_itself_is_a_failure_with_its_last_words(stub: Stub) -> None:
    stub.script = "import sys; print('first'); sys.exit('no space left')"
    stub.start()
    assert stub._process is not None
    stub._process.wait(SOON)
    with pytest.raises(DaemonFailed, match=r"alpha ended with status 1: no space left; see .*alpha\.log"):
        stub.ready()


def test_without_a_log_it_said_nothing(stub: Stub) -> None:
    assert stub.last_words() == "it said nothing"
