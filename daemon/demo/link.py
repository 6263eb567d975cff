"""One daemon's way to the broker: a TCP proxy that can be cut.

Knows: bytes in both directions. Promises: while it is cut, not a byte passes; a silent cut tells nobody (as when a
cable is pulled), and what waited in the buffers travels on after the heal, as TCP would send it again; a reset ends
connections and refuses new ones. Must not know: MQTT.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import Enum

_CHUNK = 64 * 1024


class Cut(Enum):
    """How a way is cut."""

    SILENT = "silent"
    """Connections hang; nobody is told."""
    RESET = "reset"
    """Connections are reset, new ones too."""


class Link:
    """A way to `host:port`, open at first. Make and use it inside one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        """Where it listens on 127.0.0.1, after `start`."""
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._cut: Cut | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listens on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, how: Cut) -> None:
        """From now on nothing passes."""
        self._cut = how
        self._open.clear()
        if how is Cut.RESET:
            for writer in self._writers:
                _reset(writer)

    def heal(self) -> None:
        """Everything passes again."""
        self._cut = None
        self._open.set()

    async def stop(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a connection that ended, or stop() alone
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            if self._cut is Cut.RESET:
                _reset(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut is Cut.RESET:
            return
        said = await self._said_until_open(reader)
        if said is None:
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        self._writers.add(upstream_writer)
        upstream_writer.write(said)
        pumps = [
            asyncio.create_task(self._pump(reader, upstream_writer)),
            asyncio.create_task(self._pump(upstream_reader, writer)),
        ]
        try:
            # MQTT never half-closes: whoever hangs up first ends it for both.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(upstream_writer)
            upstream_writer.close()
            writer.close()

    async def _said_until_open(self, reader: asyncio.StreamReader) -> bytes | None:
        """What a client says to a way that is cut; None if it gave up meanwhile.

        Nothing of a client that gave up may reach the broker after the heal: its CONNECT would take the client id
        away from the connection that the same client has made since.
        """
        said = b""
        opened = asyncio.create_task(self._open.wait())
        try:
            while not self._open.is_set():
                read = asyncio.create_task(reader.read(_CHUNK))
                await asyncio.wait({opened, read}, return_when=asyncio.FIRST_COMPLETED)
                if not read.done():
                    read.cancel()
                    await asyncio.gather(read, return_exceptions=True)
                elif chunk := read.result():
                    said += chunk
                else:
                    return None
        finally:
            opened.cancel()
        return said

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            chunk = await reader.read(_CHUNK)
            # The end of a connection is news as well, and passes no cut.
            await self._open.wait()
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a router does that no longer knows it: with RST instead of good-bye."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
