"""demo: what it takes, that it ends well, and that it leaves nothing behind when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

SOON = 30.0
GOSSAMER = (sys.executable, "-c", "from daemon.cli import main; main(prog_name='gossamer')")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because socket paths are."""
    with tempfile.TemporaryDirectory(prefix="gs", dir="/tmp") as name:
        yield Path(name)


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*GOSSAMER, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
    )


def test_it_converges(folder: Path) -> None:
    process = _start(folder, "--seconds", "4", "--seed", "3")
    out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("gossamer demo: seed 3, 3 replicas, 6 agents, about 4 s\n")
    assert re.search(r"^CONVERGED [0-9.]+ s after the heal", out, re.MULTILINE)
    assert "\x1b" not in out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    process = _start(folder, "--seconds", "60", "--replicas", "2")
    assert process.stdout is not None
    pids: list[int] = []
    for text in process.stdout:
        if "add tasks" in text:
            pids = _children(process.pid)
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 1
    assert err == "gossamer: interrupted; every process of the demo has been ended\n"
    assert list(folder.iterdir()) == []
    assert len(pids) == 2
    deadline = time.monotonic() + SOON
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [(int(pid), int(ppid)) for pid, ppid in (row.split() for row in listed.splitlines())]
    return [pid for pid, ppid in pairs if ppid == parent]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("arguments", [("--seconds", "1"), ("--replicas", "1"), ("--replicas", "9"), ("--seed", "x")])
def test_what_it_does_not_take(gossamer: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    result = gossamer("demo", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def test_without_its_extra_it_says_what_to_install(
    gossamer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process: the module of the extra is hidden, and nothing gets as far as starting something.
    monkeypatch.setitem(sys.modules, "redis.exceptions", None)
    monkeypatch.delitem(sys.modules, "redis", raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    result = gossamer("demo")
    assert result.exit_code == 2
    assert "install gossamer[demo]" in result.stderr
