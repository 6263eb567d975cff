"""One client's socket: bytes in, requests run, bytes out.

Knows asyncio's side of a connection, and what to do with bytes of a client that is not answered as they come. Must not
know any command, nor what other connections do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from daemon.api.dispatch import refuse_long_keys, run
from daemon.api.requests import RequestParser
from daemon.api.resp import RESP2
from daemon.api.session import CLOSING, PARKED, UNAUTHENTICATED, Session

if TYPE_CHECKING:
    from daemon.api.limits import Limits
    from daemon.api.server import Server

BACKLOG_REQUESTS: Final = 1024
"""Requests that may wait behind a parked one before its connection is no longer read; or `limits.request` bytes."""
TOO_MANY: Final = b"-ERR max number of clients reached\r\n"


class Connection:
    """One client's socket. An `asyncio.Protocol` in all but inheritance, which would keep it from being compiled."""

    __deletable__ = ("_transport", "write")  # what may be undone, as mypyc wants to know

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

    def resume_writing(self) -> None:
        """What waited has left after all."""

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
        self._server.tell_defect(self, error)
        if hasattr(self, "_transport"):  # else it has left in this very turn
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
