"""A daemon as a process of its own, started, killed and stopped as anybody would.

Knows: the command line. Promises: the process ends with `stop`, whatever state it is in; settings of the user's own
daemon do not reach it. Must not know: what the daemon is for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from daemon.demo.clients import AWAY, connect

INTERVAL = "100ms"
HEARTBEAT = "500ms"
STOP_WITHIN = 8.0
"""Seconds; the daemon promises 5."""

# Not `-m`: that would put the current directory first, where another `daemon` may be. -P keeps it out here too.
_GOSSAMER = (sys.executable, "-P", "-c", "from daemon.cli import main; main(prog_name='gossamer')")


class DaemonFailed(Exception):
    """A daemon ended by itself, or does not answer; the text says where its log is."""


class Daemon:
    """One daemon, its socket, its data and its log, all in one folder."""

    def __init__(self, name: str, broker: str, folder: Path) -> None:
        self.name = name
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        self._broker = broker
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """None if it does not run."""
        return self._process.pid if self._process is not None else None

    def command(self) -> list[str]:
        """What is run."""
        return [
            *_GOSSAMER, "run", "--config", os.devnull, "--name", self.name, "--space", "demo",
            "--broker", self._broker, "--socket", str(self.socket), "--data-dir", str(self._folder / self.name),
            "--interval", INTERVAL, "--heartbeat", HEARTBEAT, "--durability", "always", "--log-format", "console",
        ]  # fmt: skip

    def start(self) -> None:
        """Starts it; `ready` tells when it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean(os.environ, self._folder),
                # Ctrl-C reaches the whole group of a terminal, and these are ended in order instead.
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Whether it serves reads and writes now. Raises DaemonFailed if it has ended."""
        self.check()
        client = connect(self.socket, 1.0)
        try:
            client.dbsize()
        except AWAY:
            return False
        finally:
            client.close()
        return True

    def check(self) -> None:
        """Raises DaemonFailed if it should run and does not."""
        if self._process is not None and self._process.poll() is not None:
            last = self.last_words()
            raise DaemonFailed(f"{self.name} ended with status {self._process.returncode}: {last}; see {self.log}")

    def last_words(self) -> str:
        """The last line of its log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            lines = []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def kill(self) -> int:
        """kill -9, without warning; returns the pid that was."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()
        return process.pid

    def terminate(self) -> None:
        """Asks it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, deadline: float) -> None:
        """Ends it, by force after `deadline` (of time.monotonic)."""
        self.terminate()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clean(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment without what would configure a daemon; its run directory is the demo's."""
    mine = {"XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder), "NO_COLOR": "1"}
    return {key: value for key, value in environ.items() if not key.startswith(("GOSSAMER_", "NOTIFY_"))} | mine
