"""How the command line ends.

Knows: the exit statuses of the API. Promises: a CliError that reaches click ends the program with its status and one
line on standard error.
"""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click


class Exit(IntEnum):
    """The exit statuses; 0 is success."""

    FAILURE = 1
    USAGE = 2
    """Usage or configuration."""
    UNREACHABLE = 3
    """No daemon answers."""
    NOT_FOUND = 4
    """The reply is nil."""
    CONFLICT = 5
    TIMED_OUT = 6
    """Or not converged."""
    TAKEN = 7
    """At start: a live daemon has this name in the space, or holds the data directory."""
    REFUSED = 8
    """Every broker refuses."""


class CliError(click.ClickException):
    """What happened and what to do next, with the status to exit with."""

    def __init__(self, message: str, status: Exit) -> None:
        super().__init__(message)
        self.exit_code = int(status)  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """One line on standard error."""
        click.echo(f"gossamer: {self.message}", file=file, err=file is None)


class Unreachable(CliError):
    """No daemon answers at the socket, or it went away."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.UNREACHABLE)
