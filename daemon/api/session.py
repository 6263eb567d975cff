"""What one connection has set up: its space, protocol version, name, transaction, subscriptions, parked reply.

Knows the state of a connection and how a reply or a push is put on its way. Promises that replies leave in the order of
requests, and that a parked request is ended exactly once. Must not know any command, nor the socket beyond `Wire`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from crdt.dots import SEQ_MASK
from daemon.api.resp import RESP2, Resp

if TYPE_CHECKING:
    import asyncio

    from daemon.api.database import Database
    from daemon.api.hub import Hub
    from daemon.api.limits import Limits
    from daemon.api.registry import Command
    from daemon.api.server import Server

# Why a request may not simply run. `Session.gate` is the sum; 0 on the hot path (see dispatch.py).
LOADING: Final = 1
UNAUTHENTICATED: Final = 2
QUEUING: Final = 4
SUBSCRIBED: Final = 8
QUIET: Final = 16
MONITORED: Final = 32
PARKED: Final = 64
CLOSING: Final = 128

UNBLOCKED: Final = "UNBLOCKED client unblocked via CLIENT UNBLOCK"


class Wire(Protocol):
    """What a session needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send bytes; never blocks."""

    def close(self) -> None:
        """Close once everything written has left."""

    def abort(self) -> None:
        """Close at once."""

    def relimit(self, limits: Limits) -> None:
        """Other limits hold from now on."""

    def resume(self) -> None:
        """Read on: what waited behind a parked request has run."""


class _Hung:
    """The wire of a session whose connection has ended."""

    def write(self, data: bytes) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        """It is."""

    def abort(self) -> None:
        """It is."""

    def resume(self) -> None:
        """Nothing more comes."""

    def relimit(self, limits: Limits) -> None:
        """Nothing more comes."""


_HUNG: Final = _Hung()


class Transaction:
    """The requests queued since MULTI. `failed`: one of them was refused, so EXEC will be too."""

    __slots__ = ("failed", "queue", "size")

    def __init__(self) -> None:
        self.queue: list[tuple[Command, list[bytes]]] = []
        self.size = 0
        self.failed = False


class Parking:
    """A request that waits for its reply."""

    __slots__ = ("cancelled", "expired", "timer")

    def __init__(self, expired: Callable[[], bytes], cancelled: Callable[[], None] | None) -> None:
        self.expired = expired
        self.cancelled = cancelled
        self.timer: asyncio.TimerHandle | None = None


class Session:
    """One connection. Handlers read `db`, `resp`, `hub`, may call `park`; the rest is for the server's own commands.

    `last_write` is the own sequence number, in the selected space, at or below which all writes of this connection are.
    """

    __slots__ = (
        "active",
        "address",
        "backlog",
        "channels",
        "created",
        "db",
        "due",
        "executing",
        "flags",
        "gate",
        "guarded",
        "hub",
        "id",
        "last_command",
        "library",
        "local_address",
        "monitoring",
        "name",
        "out",
        "parking",
        "patterns",
        "resp",
        "resumed",
        "server",
        "skip",
        "stale",
        "transaction",
        "watched",
        "wire",
        "writes",
    )

    def __init__(self, server: Server, number: int, wire: Wire, address: str = "", local_address: str = "") -> None:
        self.server = server
        self.hub: Hub = server.hub
        self.id = number
        self.wire = wire
        self.address = address
        self.local_address = local_address
        self.created = self.active = time.monotonic()
        self.db: Database = server.hub.databases[0]
        self.resp: Resp = RESP2
        self.gate = 0
        self.guarded = False
        self.out: list[bytes] = []
        self.due = False
        self.name = b""
        self.library: dict[str, bytes] = {"lib-name": b"", "lib-ver": b""}
        self.flags: set[str] = set()
        self.last_command = "NULL"
        self.transaction: Transaction | None = None
        self.executing = False
        self.watched: dict[tuple[Database, bytes], None] = {}
        self.stale = False
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.monitoring = False
        self.skip = 0
        self.writes: dict[Database, int] = {}
        self.parking: Parking | None = None
        self.resumed = False  # a parked request has been answered, so what came in behind it may run
        self.backlog: deque[list[bytes]] = deque()

    @property
    def last_write(self) -> int:
        """The own sequence number of this connection's last write in the selected space; 0 without any."""
        return self.writes.get(self.db, 0)

    def note_write(self) -> None:
        """This connection may have written to the selected space since the last call."""
        db = self.db
        self.writes[db] = db.state.dot & SEQ_MASK  # `db.written()`, on the hot path

    def select(self, database: Database) -> None:
        """Change the space."""
        if database is not self.db:
            # Whether this batch has written here is found out at its end, when another space is selected.
            self.note_write()
            self.db = database

    def origin(self) -> str:
        """Where the client is, as MONITOR shows it."""
        return f"unix:{self.address.removesuffix(':0')}" if self.address.startswith("/") else self.address

    # -- sending

    def push(self, data: bytes) -> None:
        """Send encoded bytes that answer no request (messages, MONITOR lines), in order with the replies."""
        self.out.append(data)
        self.server.schedule(self)

    def flush(self) -> None:
        """Write what has gathered; one write."""
        out = self.out
        if out:
            self.wire.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if self.gate & CLOSING:
            self.wire.close()

    def close_after_reply(self) -> None:
        """Answer no further request and close once the replies have left (QUIT, CLIENT KILL of oneself)."""
        self.gate |= CLOSING
        self.server.schedule(self)

    # -- requests that wait

    def may_park(self) -> bool:
        """False inside EXEC: a blocking command then answers at once as if its time were up."""
        return not self.executing

    def park(
        self,
        seconds: float | None,
        expired: Callable[[], bytes],
        cancelled: Callable[[], None] | None = None,
    ) -> bytes:
        """Leave the reply of the running request for later; the handler returns what this returns.

        Later requests of this connection wait. The reply comes from `resume`, or from `expired()` after `seconds`
        (None: never) or on CLIENT UNBLOCK. `cancelled()` is called when the wait ends in any way but `resume`, to let
        the caller forget it.
        """
        assert self.parking is None and not self.executing
        self.parking = Parking(expired, cancelled)
        self.gate |= PARKED
        if seconds is not None:
            self.parking.timer = self.server.call_later(seconds, self._expire)
        return b""

    def resume(self, reply: bytes) -> bool:
        """Answer the parked request; False if there is none (it timed out or the client left)."""
        parking = self.parking
        if parking is None:
            return False
        if parking.timer is not None:
            parking.timer.cancel()
        self.parking = None
        self.resumed = True  # PARKED stays until the turn ends: what came in behind it runs before what comes now
        if not self.gate & QUIET:
            self.out.append(reply)
        elif self.skip:
            self.skip = 0
            self.gate &= ~QUIET
        self.server.schedule(self)
        return True

    def unblock(self, error: bool) -> bool:
        """End the parked request as CLIENT UNBLOCK does; False if nothing is parked."""
        if self.parking is None:
            return False
        if error:
            self._abandon(self.resp.error(UNBLOCKED))
        else:
            self._expire()
        return True

    def _expire(self) -> None:
        if self.parking is not None:
            self._abandon(self.parking.expired())

    def _abandon(self, reply: bytes) -> None:
        parking = self.parking
        self.resume(reply)
        if parking is not None and parking.cancelled is not None:
            parking.cancelled()

    def served(self, database: Database) -> None:
        """The running command has put something into this space that others may be blocked on.

        They are served now; after EXEC, if it runs within one.
        """
        if not self.executing:
            database.serve()

    # -- ends

    def unwatch(self) -> None:
        """Forget all watched keys."""
        for database, key in self.watched:
            database.unwatch(key, self)
        self.watched.clear()
        self.stale = False

    def discard(self) -> None:
        """Leave MULTI, forgetting queue and watches."""
        self.transaction = None
        self.gate &= ~QUEUING
        self.unwatch()

    def unsubscribe_all(self) -> None:
        """Leave all channels and patterns without a word."""
        for channel in self.channels:
            self.server.channels.unsubscribe(channel, self)
        for pattern in self.patterns:
            self.server.channels.unsubscribe_pattern(pattern, self)
        self.channels.clear()
        self.patterns.clear()
        self.gate &= ~SUBSCRIBED

    def gone(self) -> None:
        """The connection has ended: let go of everything that knows this session."""
        self._abandon(b"")
        self.gate |= CLOSING
        self.discard()
        self.unsubscribe_all()
        self.backlog.clear()
        self.out.clear()
        self.wire = _HUNG  # no cycle may be left: the daemon runs without the collector
