"""What the API server needs from the rest of the daemon.

Knows names and promises only. The real hub is the node; tests use a small one made of states without replication.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from daemon.api.database import Database
from daemon.api.limits import Limits

if TYPE_CHECKING:
    from daemon.space import Space

Section = list[tuple[str, object]]
"""Lines of one INFO section, in order; a value is printed with str()."""


class Hub(Protocol):
    """The daemon as the API server sees it. Everything here is called on the loop's thread and returns at once."""

    databases: list[Database]
    """One per space, in the order of SELECT; there from the start, their states complete when `loading` is None."""
    hold_replies: bool
    """True: no reply leaves before `settle` of its turn (durability = always)."""
    loading: str | None
    """Why commands must wait (the text after `LOADING `), or None."""
    limits: Limits
    rng: random.Random
    """The dice of SPOP, SRANDMEMBER, RANDOMKEY ..."""
    settings: Mapping[str, str]
    """Our own settings by `section.key`, as CONFIG GET shows them."""
    version: str

    def begin(self) -> None:
        """Called before requests run, at least once in each turn of the loop: sets the clock of the states."""

    def settle(self) -> None:
        """Called at the end of a turn of the loop in which a command may have written, or in which bytes waited.

        Once per turn, before held replies are written. Raises nothing.
        """

    def info(self, database: Database) -> Mapping[str, Section]:
        """INFO sections by name (`Server`, `Memory`, `Replication`, `Crdt` ...): lines the server does not know.

        Those of `Crdt` are about this database.

        They follow the server's own lines of the section of that name.
        """

    def shutdown(self) -> None:
        """SHUTDOWN was called: begin to stop as at SIGTERM."""

    def space_of(self, database: Database) -> Space:
        """The running space behind a database: what WAIT and the commands that report on convergence need."""

    def status(self) -> dict[str, Any]:
        """The document of GET /status."""
