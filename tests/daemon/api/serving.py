"""A server on spaces without replication, and a client that speaks bytes to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crdt.dots import Actor
from crdt.state import State
from daemon.api.database import Database
from daemon.api.hub import Section
from daemon.api.limits import Limits
from daemon.api.listeners import TcpListener, UnixListener
from daemon.api.server import Server
from daemon.api.session import Session
from tests.oracle import read_reply

SOON = 10.0


class Hub:
    """Spaces without replication; counts what the server asks of it."""

    def __init__(self, spaces: int = 2, limits: Limits | None = None) -> None:
        self.databases = [Database(i, f"space{i}", State(Actor(f"test{i}", i + 1))) for i in range(spaces)]
        self.hold_replies = False
        self.loading: str | None = None
        self.limits = limits or Limits()
        self.rng = random.Random(7)
        self.settings: Mapping[str, str] = {"limits.key": "65536"}
        self.version = "0.0.test"
        self.now = 1_000
        self.batches = 0
        self.settled = 0
        self.stopping = False

    def begin(self) -> None:
        """A batch begins."""
        self.batches += 1
        self.now += 1
        for database in self.databases:
            database.begin(self.now)

    def settle(self) -> None:
        """The turn is over."""
        self.settled += 1

    def info(self, database: Database) -> Mapping[str, Section]:
        """Two lines."""
        return {"Server": [("gossamer_version", self.version)], "Crdt": [("crdt_name", "test")]}

    def shutdown(self) -> None:
        """SHUTDOWN was said."""
        self.stopping = True

    def space_of(self, database: Database) -> Any:
        """There is none here."""
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        """There is none here."""
        raise NotImplementedError


class Wire:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False
        self.resumed = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def resume(self) -> None:
        self.resumed += 1

    def relimit(self, limits: Limits) -> None:
        pass


def session(server: Server) -> Session:
    """A session without a socket; its `wire` is a Wire."""
    return server.open_session(Wire(), "/nowhere:0", "/nowhere:0")


def encoded(*words: bytes | str) -> bytes:
    """One request: text is split at spaces, bytes are one argument each."""
    args = [part for word in words for part in ([word] if isinstance(word, bytes) else word.encode().split())]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


class Client:
    """A connection that shows every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._data = b""

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)

    async def reply(self) -> bytes:
        """The next reply or push, whole and raw."""
        while (found := read_reply(self._data) if self._data else None) is None:
            more = await asyncio.wait_for(self.reader.read(1 << 16), SOON)
            if not more:
                raise EOFError(self._data)
            self._data += more
        reply, self._data = self._data[: found[1]], self._data[found[1] :]
        return reply

    async def ask(self, *words: bytes | str) -> bytes:
        """The reply to one request."""
        self.send(encoded(*words))
        return await self.reply()

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        data, self._data = self._data[:count], self._data[count:]
        return data + await asyncio.wait_for(self.reader.readexactly(count - len(data)), SOON)

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        try:
            rest = await asyncio.wait_for(self.reader.read(), SOON)
        except ConnectionResetError:
            rest = b""
        return self._data + rest

    async def ended(self) -> bool:
        """The server has closed the connection and said nothing more."""
        return await self.rest() == b""

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Serving:
    """A server that listens, and the clients that were made."""

    def __init__(self, hub: Hub, server: Server, path: Path, port: int | None) -> None:
        self.hub = hub
        self.server = server
        self.path = path
        self.port = port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        """A new connection on the Unix socket."""
        return self._keep(Client(*await asyncio.open_unix_connection(self.path)))

    async def tcp_client(self) -> Client:
        """A new connection over TCP."""
        return self._keep(Client(*await asyncio.open_connection("127.0.0.1", self.port)))

    async def crowd(self, count: int) -> list[Client]:
        """So many connections, the only ones; their sessions are open."""
        clients = [await self.client() for _ in range(count)]
        await until(lambda: len(self.server.sessions) == count)
        return clients

    def read_together(self, data: bytes) -> None:
        """All clients are found to have sent this in the same turn of the loop."""
        for session in list(self.server.sessions.values()):
            session.wire.data_received(data)

    def _keep(self, client: Client) -> Client:
        self.clients.append(client)
        return client


@asynccontextmanager
async def serve(path: Path, hub: Hub, password: bytes | None = None) -> AsyncIterator[Serving]:
    """A server on the Unix socket `path` and, with a password, on a free loopback port."""
    server = Server(hub, password)
    await server.listen(UnixListener(path))
    tcp = TcpListener("127.0.0.1", 0) if password is not None else None
    if tcp is not None:
        await server.listen(tcp)
    serving = Serving(hub, server, path, tcp.port if tcp is not None else None)
    try:
        yield serving
    finally:
        for client in serving.clients:
            client.close()
        await server.close()


async def until(condition: Any, what: str = "condition") -> None:
    """Wait until it holds; fail if that does not happen in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SOON
    while not condition():
        assert loop.time() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.001)
