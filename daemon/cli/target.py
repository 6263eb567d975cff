"""Which daemon is meant.

Knows: the order --socket, GOSSAMER_SOCKET, --name, the only socket in RUN. Promises: never connects to a socket in a
directory somebody else may have planted. Must not know: the protocol.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from config.machine import Machine, check_run_dir
from daemon.cli.client import ANSWER_WITHIN, Client
from daemon.cli.errors import CliError, Exit


class NoSocket(CliError):
    """RUN holds no socket: no daemon was started, or it has not come so far."""

    def __init__(self, run: Path) -> None:
        super().__init__(
            f"no daemon found: {run} holds no socket; start one with 'gossamer run', or pass --socket", Exit.USAGE
        )


@dataclass(frozen=True, slots=True)
class Target:
    """The daemon a verb talks to, and how it answers the user."""

    socket: Path | None
    name: str | None
    json: bool

    @classmethod
    def of(cls, socket: str | None, name: str | None, as_json: bool) -> Target:
        """From what was given on the command line, and GOSSAMER_SOCKET."""
        socket = socket or os.environ.get("GOSSAMER_SOCKET")
        return cls(Path(socket) if socket else None, name, as_json)

    def find(self) -> Path:
        """The socket's path; whether anybody listens there is not known yet. Raises CliError with exit status 2."""
        if self.socket:
            return self.socket
        machine = Machine.here()
        run = machine.run_dir(os.environ)
        if run.exists():
            check_run_dir(run, machine.uid)
        if self.name:
            return run / f"{self.name}.sock"
        found = sorted(run.glob("*.sock"))
        if not found:
            raise NoSocket(run)
        if len(found) > 1:
            names = ", ".join(path.stem for path in found)
            raise CliError(f"{run} holds several daemons: choose one with --name ({names})", Exit.USAGE)
        return found[0]

    def connect(self, answer_within: float | None = ANSWER_WITHIN) -> Client:
        """A connection; replies are waited for that many seconds, None = for ever."""
        return Client(self.find(), answer_within)
