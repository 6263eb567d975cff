"""The broker in this process: where it listens, what it says when it cannot, that it is quiet."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket

import aiomqtt
import pytest

from transport.embedded import EmbeddedBroker, EmbeddedBrokerMissing, _read_connect_head, _Replay


def test_without_amqtt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedBrokerMissing, match=r"install gossamer\[demo\]"):
        EmbeddedBroker()


async def test_it_listens_on_its_address_alone_and_can_be_restarted() -> None:
    broker = EmbeddedBroker()
    await broker.start()
    port = broker.port
    assert broker.url == f"mqtt://127.0.0.1:{port}"
    assert broker._server is not None
    assert [sock.getsockname() for sock in broker._server.sockets] == [("127.0.0.1", port)]
    await broker.stop()
    await broker.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    await broker.start()
    assert broker.port == port
    await broker.stop()


async def test_an_address_in_use_is_an_os_error() -> None:
    broker = EmbeddedBroker()
    await broker.start()
    second = EmbeddedBroker(port=broker.port)
    with pytest.raises(OSError):
        await second.start()
    await second.stop()
    await broker.stop()


async def test_connections_that_end_in_any_way_leave_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    broker = EmbeddedBroker()
    await broker.start()
    address = ("127.0.0.1", broker.port)
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0c\x00\x04MQTT\x04\x02", b"\xff" * 20):
        with socket.create_connection(address) as stranger:
            stranger.sendall(garbage)
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client(*address, protocol=aiomqtt.ProtocolVersion.V311) as client:
            await broker.stop()
            async for _ in client.messages:
                pass
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_network_address_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    broker = EmbeddedBroker(host="0.0.0.0")
    await broker.start()
    assert "everybody" in caplog.text
    await broker.stop()


async def test_an_mqtt_5_client_is_told_the_truth() -> None:
    broker = EmbeddedBroker()
    await broker.start()
    with pytest.raises(aiomqtt.MqttError, match="Unsupported protocol version"):
        async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5, username="x"):
            raise AssertionError("must not be let in")
    await broker.stop()


async def test_what_was_read_is_read_again() -> None:
    reader = asyncio.StreamReader()
    connect = b"\x10\x90\x01\x00\x04MQTT\x04\x02\x00\x14rest of it"
    reader.feed_data(connect)
    reader.feed_eof()
    head, level = await _read_connect_head(reader)
    assert (head, level) == (connect[:10], 4)
    replay = _Replay(head, reader)
    assert await replay.read(1) + await replay.read(11) + await replay.read() == connect
