"""The server: connections, the turn of the loop, listeners, limits of clients and replies.

Knows asyncio, the sessions and the hub. Promises one write per connection and turn, that `hub.settle` ran before a held
reply leaves, and that a client that does not read is disconnected before it costs more than `limits.reply_buffer`. Must
not know any command.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from daemon.api import commands as _commands  # noqa: F401  the table fills itself when they are imported
from daemon.api.channels import Channels
from daemon.api.crowd import Crowd
from daemon.api.dispatch import refuse_long_keys, run
from daemon.api.hub import Hub
from daemon.api.limits import Limits
from daemon.api.listeners import Listener
from daemon.api.patience import Patience
from daemon.api.registry import commands
from daemon.api.requests import RequestParser
from daemon.api.resp import RESP2
from daemon.api.session import CLOSING, LOADING, MONITORED, PARKED, UNAUTHENTICATED, Session
from daemon.metrics import Histogram

log = logging.getLogger(__name__)

MEASURED = 8
"""One read in so many is measured for `command_seconds`: to measure each would cost a GET 3 % of its time."""
BACKLOG_REQUESTS = 1024
"""Requests that may wait behind a parked one before its connection is no longer read; or `limits.request` bytes."""
SLICE = 64
"""Requests of one read that run before the size of their replies is looked at."""
LOOKS = 3
"""Times that a turn whose replies wait for the disk looks for further requests before it goes to the disk."""
TOO_MANY = b"-ERR max number of clients reached\r\n"


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

    def __init__(self, hub: Hub, password: bytes | None = None) -> None:
        """`password` holds for TCP alone; None: no password."""
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now: Callable[[], float] = time.monotonic  # the loop's own, which is cheaper, once there is a loop

    # -- listening

    async def listen(self, listener: Listener) -> None:
        """Accept connections at `listener` too. Raises ListenError with a sentence for the user."""
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        await listener.open(self._loop, lambda: Connection(self, guarded=listener.guarded))
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
        return (self._loop or asyncio.get_running_loop()).call_later(seconds, callback)

    def _soon(self, callback: Callable[[], None]) -> None:
        (self._loop or asyncio.get_running_loop()).call_soon(callback)

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
            self._soon(self._gather if self.hub.hold_replies else self._turn)

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

    def look_again(self) -> None:
        """Come back, and so look at the sockets, as long as that is worth it."""
        if self.patience.lasts():
            self._soon(self.look_again)

    def _gather(self) -> None:
        """Requests that came while others were run share their commit: look again while that brings any."""
        if self.arrived:
            self._serve_arrived()
        if self._looks < LOOKS and self._looked_at != self._reads and len(self._due) < len(self.sessions):
            self._looks += 1
            self._looked_at = self._reads
            self._soon(self._gather)
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


class Connection(asyncio.Protocol):
    """One client's socket: bytes in, requests run, bytes out."""

    __slots__ = ("_behind", "_guarded", "_hub", "_server", "_transport", "parser", "session", "write")

    session: Session
    parser: RequestParser
    write: Callable[[bytes], None]  # the transport's own
    _transport: asyncio.Transport

    def __init__(self, server: Server, guarded: bool) -> None:
        self._server = server
        self._hub = server.hub
        self._guarded = guarded
        self._behind = 0  # bytes that came in behind a parked request

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        server = self._server
        limits = self._hub.limits
        if len(server.sessions) >= limits.clients:
            server.statistics.refused += 1
            self._transport.write(TOO_MANY)
            self._transport.close()
            return
        # Above this mark `pause_writing` is called: the client does not read what it asked for.
        self._transport.set_write_buffer_limits(high=limits.reply_buffer)
        peer, local = _addresses(self._transport)
        self.session = server.open_session(self, peer, local, self._guarded)
        self.parser = RequestParser(limits, authenticated=not self.session.gate & UNAUTHENTICATED)

    def data_received(self, data: bytes) -> None:
        """One read: its requests and one write, or what others have sent first."""
        server = self._server
        if server.crowd.here:  # it runs at the end of the turn, together with what the others bring
            server.arrived.append((self, data))
            if not server.turning:
                server.end_turn()
            return
        server.serve(((self, data),))
        session = self.session
        if self._hub.hold_replies or session.gate & (PARKED | CLOSING):
            server.schedule(session)
            return
        out = session.out
        if out:
            self.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if server.unsettled and not server.turning:
            server.end_turn()
        if server.patience.begins():
            server.look_again()

    def pause_writing(self) -> None:
        """More than `limits.reply_buffer` waits for this client to read."""
        self._server.drown(self.session)

    def eof_received(self) -> bool:
        """The client sends no more: it is gone, as Redis sees it."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, whoever ended it."""
        session = getattr(self, "session", None)
        if session is not None:
            self._server.close_session(session)
        del self._transport, self.write  # which know us: no cycle may be left, the daemon runs without the collector

    # -- what a session needs of its wire

    def close(self) -> None:
        """Close once everything written has left."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once: nothing that it has sent runs any more."""
        self.session.gate |= CLOSING
        self._transport.abort()

    def resume(self) -> None:
        """Read on: what waited behind a parked request has run."""
        self._behind = 0
        if self.parser.error is not None:
            self.protocol_error(self.parser.error)
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def relimit(self, limits: Limits) -> None:
        """Other limits hold from now on."""
        self.parser.relimit(limits)
        self._transport.set_write_buffer_limits(high=limits.reply_buffer)

    # -- off the hot path

    def fail(self, error: Exception) -> None:
        """A defect in serving this client: tell the loop, as if it had called us, and let the client go."""
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": f"client {self.session.id} disconnected by a defect: please report it",
                "exception": error,
                "protocol": self,
                "transport": self._transport,
            }
        )
        self.abort()

    def hindered(self, data: bytes) -> None:
        """Bytes of a client that is not answered as they come: unknown yet, or parked, or leaving."""
        session = self.session
        if session.gate & CLOSING:
            return
        if session.gate & PARKED:
            requests = self.parser.feed(data)
            self._check_keys(requests)
            session.backlog.extend(requests)
            self._behind += len(data)
            if len(session.backlog) > BACKLOG_REQUESTS or self._behind > self._hub.limits.request:
                self._transport.pause_reading()
            return
        self._one_by_one(data)
        if self.parser.error is not None:
            self.protocol_error(self.parser.error)
        self._server.schedule(session)

    def _one_by_one(self, data: bytes) -> None:
        """Until AUTH has succeeded each request is small, so the next one is parsed only after the last has run."""
        session = self.session
        while (request := self.parser.feed_one(data)) is not None:
            data = b""
            self._hub.begin()
            requests = [request]
            self._check_keys(requests)
            run(session, requests)
            if not session.gate & UNAUTHENTICATED:
                self.parser.authenticated(True)

    def _check_keys(self, requests: list[list[bytes]]) -> None:
        if self.parser.long:
            self.parser.long = False
            refuse_long_keys(requests, self._hub.limits)

    def protocol_error(self, error: str) -> None:
        """What it sent cannot be read: say so, and let it go."""
        self._server.statistics.errors_of_protocol += 1
        self.session.out.append(RESP2.error(error))
        self.session.close_after_reply()


def _addresses(transport: asyncio.Transport) -> tuple[str, str]:
    """The client's and our address as CLIENT LIST shows them."""
    peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    if isinstance(local, (str, bytes)):
        # A Unix socket: clients have no address of their own, Redis shows the path for both.
        path = local.decode() if isinstance(local, bytes) else local
        return f"{path}:0", f"{path}:0"
    return _host_and_port(peer), _host_and_port(local)


def _host_and_port(address: Any) -> str:
    if not address:
        return "?:0"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
