"""The server: sessions, the turn of the loop, listeners, limits of clients and replies.

Knows the loop, the sessions, their connections and the hub. Promises one write per connection and turn, that
`hub.settle` ran before a held reply leaves, and that a client that does not read is disconnected before it costs more
than `limits.reply_buffer`. Must not know any command.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from daemon.api import commands as _commands  # noqa: F401  the table fills itself when they are imported
from daemon.api.channels import Channels
from daemon.api.connections import Connection
from daemon.api.crowd import Crowd
from daemon.api.dispatch import refuse_long_keys, run
from daemon.api.hub import Hub
from daemon.api.listeners import Listener
from daemon.api.patience import Patience
from daemon.api.registry import commands
from daemon.api.session import CLOSING, LOADING, MONITORED, PARKED, UNAUTHENTICATED, Session
from daemon.metrics import Histogram

log = logging.getLogger(__name__)

MEASURED: Final = 8
"""One read in so many is measured for `command_seconds`: to measure each would cost a GET 3 % of its time."""
SLICE: Final = 64
"""Requests of one read that run before the size of their replies is looked at."""
LOOKS: Final = 3
"""Times that a turn whose replies wait for the disk looks for further requests before it goes to the disk."""


class Statistics:
    """Counters since the start or CONFIG RESETSTAT; plain integers."""

    __slots__ = ("calls_before", "connections", "errors_of_protocol", "refused", "slow_readers")

    def __init__(self) -> None:
        self.calls_before = 0
        self.connections = 0
        self.refused = 0
        self.slow_readers = 0
        self.errors_of_protocol = 0


class Server:
    """All connections to one hub. Works without any listener, so that tests can open sessions directly."""

    def __init__(self, hub: Hub, password: bytes | None = None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`password` holds for TCP alone; None: no password. Without `loop`, the running one."""
        self.hub = hub
        self.channels = Channels(hub.databases)
        self.sessions: dict[int, Session] = {}
        self.monitors: dict[Session, None] = {}
        self.statistics = Statistics()
        self.tuned: dict[str, str] = {}  # what CONFIG SET was told of Redis's own parameters
        self.command_seconds = Histogram()
        self.started = time.time()
        self.listeners: list[Listener] = []
        self._password = password
        self.bytes_read = 0
        self._number = 0
        self._reads = 0
        self._begun = -1.0  # the loop's time at the last `hub.begin`
        self._due: list[Session] = []
        self.arrived: list[tuple[Connection, bytes]] = []  # read in this turn, and not run yet
        self.crowd = Crowd()  # whether reads wait for each other
        self.patience = Patience()  # whether the loop looks at the sockets again before it sleeps
        self.turning = False  # its end is on its way
        self.unsettled = False  # something was done in it that `hub.settle` has to see
        self._looks = 0  # of this turn
        self._looked_at = 0  # `_reads` at the last of them
        self._loop = loop or asyncio.get_running_loop()
        self._now = self._loop.time

    # -- listening

    async def listen(self, listener: Listener) -> None:
        """Accept connections at `listener` too. Raises ListenError with a sentence for the user."""
        await listener.open(self._loop, lambda: cast(asyncio.Protocol, Connection(self, listener.guarded)))
        self.listeners.append(listener)

    async def close(self) -> None:
        """Stop accepting, write what is held and close every connection."""
        for listener in self.listeners:
            await listener.close()
        self.listeners.clear()
        self._turn()
        for session in list(self.sessions.values()):
            session.wire.close()

    # -- sessions

    def open_session(self, wire: Any, address: str = "", local_address: str = "", guarded: bool = False) -> Session:
        """A session for a new connection; `guarded`: it must say the password first, where there is one."""
        self._number += 1
        session = Session(self, self._number, wire, address, local_address)
        if self.hub.loading is not None:
            session.gate |= LOADING
        if guarded and self._password is not None:
            session.gate |= UNAUTHENTICATED
            session.guarded = True
        if self.monitors:
            session.gate |= MONITORED
        self.sessions[session.id] = session
        self.statistics.connections += 1
        return session

    def close_session(self, session: Session) -> None:
        """The connection of a session has ended."""
        self.sessions.pop(session.id, None)
        self.unmonitor(session)
        session.gone()

    def monitor(self, session: Session) -> None:
        """Show every command to this session from now on."""
        self.monitors[session] = None
        for other in self.sessions.values():
            other.gate |= MONITORED

    def unmonitor(self, session: Session) -> None:
        """The session no longer monitors; harmless if it did not."""
        if self.monitors.pop(session, self) is None and not self.monitors:
            for other in self.sessions.values():
                other.gate &= ~MONITORED

    def relimit(self) -> None:
        """The hub's limits have changed: the new ones hold for open connections too."""
        for session in self.sessions.values():
            session.wire.relimit(self.hub.limits)

    @property
    def has_password(self) -> bool:
        """Whether the TCP listener asks for one."""
        return self._password is not None

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.statistics = Statistics()
        self.statistics.calls_before = sum(entry.calls for entry in commands())

    def accepts(self, password: bytes) -> bool:
        """Whether this is the password of the TCP listener."""
        return self._password is not None and hmac.compare_digest(password, self._password)

    # -- the turn of the loop

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """A timer on the server's loop."""
        return self._loop.call_later(seconds, callback)

    def schedule(self, session: Session) -> None:
        """Something of this session is to be done at the end of the turn: bytes to write or a backlog to run."""
        if not session.due:
            session.due = True
            self._due.append(session)
        self.wake()

    def _measure(self, seconds: float, number: int) -> None:
        """So many commands that were read at once took this long; they count for those that were not measured."""
        self.command_seconds.observe(seconds / number, number * MEASURED)
        self.crowd.passed(self._reads)

    def wake(self) -> None:
        """See to it that this turn of the loop ends with `settle`."""
        self.unsettled = True
        self.end_turn()

    def end_turn(self) -> None:
        """See to it that this turn of the loop has an end of its own."""
        if not self.turning:
            self.turning = True
            self._loop.call_soon(self._gather if self.hub.hold_replies else self._turn)

    def _serve_arrived(self) -> None:
        arrived, self.arrived = self.arrived, []
        self.crowd.count(len(arrived))
        self.serve(arrived)
        for connection, _ in arrived:
            session = connection.session
            if not session.due:
                session.due = True
                self._due.append(session)

    def serve(self, arrived: Iterable[tuple[Connection, bytes]]) -> None:
        """The hot path: run the requests of each read. Their replies are in `out` of its session."""
        now = self._now()
        for connection, data in arrived:
            try:
                if now != self._begun:  # uvloop's clock stands still within a turn, and shows milliseconds
                    self._begun = now
                    self.hub.begin()
                session = connection.session
                session.active = now
                self.bytes_read += len(data)
                if session.gate & (UNAUTHENTICATED | PARKED | CLOSING):
                    connection.hindered(data)
                    continue
                parser = connection.parser
                requests = parser.feed(data)
                if requests:
                    self._reads += 1
                    began = 0.0 if self._reads % MEASURED else time.perf_counter()
                    if parser.long:
                        parser.long = False
                        refuse_long_keys(requests, self.hub.limits)
                    if run(session, requests) if len(requests) <= SLICE else self.run_many(session, requests):
                        self.unsettled = True
                    if began:
                        self._measure(time.perf_counter() - began, len(requests))
                if parser.error is not None and not session.gate & PARKED:
                    connection.protocol_error(parser.error)
            except Exception as error:  # a defect: who else has come is not to suffer from it
                connection.fail(error)

    def tell_defect(self, connection: Connection, error: Exception) -> None:
        """Something was raised while this client was served."""
        message = f"client {connection.session.id} disconnected by a defect: please report it"
        self._loop.call_exception_handler({"message": message, "exception": error, "protocol": connection})

    def look_again(self) -> None:
        """Come back, and so look at the sockets, as long as that is worth it."""
        if self.patience.lasts():
            self._loop.call_soon(self.look_again)

    def _gather(self) -> None:
        """Requests that came while others were run share their commit: look again while that brings any."""
        if self.arrived:
            self._serve_arrived()
        if self._looks < LOOKS and self._looked_at != self._reads and len(self._due) < len(self.sessions):
            self._looks += 1
            self._looked_at = self._reads
            self._loop.call_soon(self._gather)
        else:
            self._looks = 0
            self._turn()

    def _turn(self) -> None:
        """The end of a turn: what had to wait runs, the hub commits, and replies leave, before that if they may."""
        try:
            if self.arrived:
                self._serve_arrived()
            due, self._due = self._due, []
            for session in due:
                if session.resumed:
                    self._run_backlog(session)
                session.due = False
        finally:
            self.turning = False
        unsettled, self.unsettled = self.unsettled, False
        held = self.hub.hold_replies
        if held:  # whoever wrote: what is read here may be a peer's, and not stored yet
            self.hub.settle()
        for session in due:
            if not session.due:  # else settling did something for it, and the next turn commits that first
                session.flush()
            if session.resumed:  # by what ran above: its turn has passed
                self.schedule(session)
        if unsettled and not held:
            self.hub.settle()
        if self._due:
            self.schedule(self._due[0])

    def drown(self, session: Session) -> None:
        """More than `limits.reply_buffer` waits for this client to read: disconnect it, whatever it was to hear."""
        self.statistics.slow_readers += 1
        log.warning(
            "client %s (%s) disconnected: more than limits.reply_buffer (%d bytes) wait for it to read;"
            " ask for less at a time, or raise the limit",
            session.id,
            session.address or "unknown address",
            self.hub.limits.reply_buffer,
        )
        session.out.clear()
        session.backlog.clear()
        session.wire.abort()

    def run_many(self, session: Session, requests: list[list[bytes]]) -> bool:
        """`run` for a long pipeline: few bytes may ask for gigabytes, so it stops when the replies pass their limit."""
        wrote = False
        size = seen = 0
        for at in range(0, len(requests), SLICE):
            wrote |= run(session, requests[at : at + SLICE])
            size += sum(map(len, session.out[seen:]))
            seen = len(session.out)
            if size > self.hub.limits.reply_buffer:
                self.drown(session)
                break
        return wrote

    def _run_backlog(self, session: Session) -> None:
        """Run what came in behind a parked request; one of it may park again."""
        session.resumed = False
        session.gate &= ~PARKED
        if session.backlog:
            requests = list(session.backlog)
            session.backlog.clear()
            self.hub.begin()
            self.run_many(session, requests)
        if not session.gate & (PARKED | CLOSING):
            session.wire.resume()
