"""The way that can be cut: what passes, what hangs, what is refused, and what comes through after the heal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from daemon.demo.link import Cut, Link

SOON = 5.0
A_WHILE = 0.1
"""Seconds in which nothing may arrive."""


class Echo:
    """A server that repeats what it hears, and counts who came."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.server: asyncio.Server | None = None

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(b"")
        me = len(self.heard) - 1
        try:
            while chunk := await reader.read(1024):
                self.heard[me] += chunk
                writer.write(chunk)
        except ConnectionError:
            pass
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    yield server
    assert server.server is not None
    server.server.close()


@pytest.fixture
async def link(echo: Echo) -> AsyncIterator[Link]:
    way = Link("127.0.0.1", await echo.start())
    await way.start()
    yield way
    await way.stop()


async def _connect(link: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", link.port)


async def _round_trip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), SOON)


async def _hears_nothing(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), A_WHILE)
    except TimeoutError:
        return True
    return False


async def test_an_open_way_passes_everything(link: Link) -> None:
    reader, writer = await _connect(link)
    data = bytes(range(256)) * 2000
    assert await _round_trip(reader, writer, data) == data
    writer.close()


async def test_who_hangs_up_is_heard_on_the_other_side(link: Link, echo: Echo) -> None:
    reader, writer = await _connect(link)
    await _round_trip(reader, writer, b"x")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), SOON) == b""
    writer.close()


async def test_a_silent_cut_hangs_and_the_heal_delivers(link: Link) -> None:
    reader, writer = await _connect(link)
    await _round_trip(reader, writer, b"before")
    link.cut(Cut.SILENT)
    writer.write(b"during")
    assert await _hears_nothing(reader)
    link.heal()
    assert await asyncio.wait_for(reader.readexactly(6), SOON) == b"during"
    writer.close()


async def test_a_new_connection_hangs_while_the_cut_is_silent(link: Link, echo: Echo) -> None:
    link.cut(Cut.SILENT)
    reader, writer = await _connect(link)
    writer.write(b"hello")
    assert await _hears_nothing(reader)
    assert echo.heard == []
    link.heal()
    assert await asyncio.wait_for(reader.readexactly(5), SOON) == b"hello"
    writer.close()


async def test_nothing_of_who_gave_up_comes_through(link: Link, echo: Echo) -> None:
    link.cut(Cut.SILENT)
    gone_reader, gone_writer = await _connect(link)
    gone_writer.write(b"ghost")
    gone_writer.write_eof()
    assert await asyncio.wait_for(gone_reader.read(), SOON) == b""
    link.heal()
    reader, writer = await _connect(link)
    assert await _round_trip(reader, writer, b"alive") == b"alive"
    assert echo.heard == [b"alive"]
    writer.close()


async def test_a_reset_ends_connections_and_refuses_new_ones(link: Link, echo: Echo) -> None:
    reader, writer = await _connect(link)
    await _round_trip(reader, writer, b"x")
    link.cut(Cut.RESET)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.readexactly(1), SOON)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        late, _ = await _connect(link)
        await asyncio.wait_for(late.readexactly(1), SOON)
    assert len(echo.heard) == 1
    link.heal()
    reader, writer = await _connect(link)
    assert await _round_trip(reader, writer, b"again") == b"again"
    writer.close()


async def test_an_upstream_that_is_not_there_ends_the_connection() -> None:
    link = Link("127.0.0.1", 1)
    await link.start()
    reader, _ = await _connect(link)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), SOON)
    await link.stop()
