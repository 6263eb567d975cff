"""Being let in, or not, without leaving a connection behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho_mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from transport.embedded import EmbeddedBroker
from transport.handshake import Attempt, _client, connected, subscribe
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.pipe import Pipe, paho_of
from transport.refusal import HungUp, Refused
from transport.topics import Topics


def attempt(port: int, v5: bool = True, **options: Any) -> Attempt:
    address = BrokerAddress.parse(f"mqtt://127.0.0.1:{port}")
    settings = MqttSettings((address,), "me", ("s",), **options)
    return Attempt(address, settings, "me-1", v5, ("gs/v1/s/b/me/p", b"\x01gone"))


class Silent:
    """Accepts, and waits until the other side is gone."""

    def __init__(self) -> None:
        self.received = b""
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = await reader.read()
        self.gone.set()
        writer.close()


async def test_no_answer_in_time_leaves_no_connection() -> None:
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    one = attempt(server.sockets[0].getsockname()[1], connect_timeout_seconds=0.05)
    with pytest.raises(Exception, match="timed out"):
        async with connected(one):
            raise AssertionError("must not be let in")
    async with asyncio.timeout(5):
        await silent.gone.wait()
    assert silent.received.endswith(b"\xe0\x00"), "it took leave with DISCONNECT"
    server.close()


async def test_an_attempt_can_be_abandoned() -> None:
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    one = attempt(server.sockets[0].getsockname()[1])

    async def enter() -> None:
        async with connected(one):
            raise AssertionError("must not be let in")

    task = asyncio.create_task(enter())
    await asyncio.sleep(0)
    begin = time.monotonic()
    one.abandon()
    with pytest.raises(Exception, match="Server unavailable"):
        await task
    assert time.monotonic() - begin < 1
    async with asyncio.timeout(5):
        await silent.gone.wait()
    one.abandon()
    server.close()


async def test_hanging_up_is_an_answer() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    begin = time.monotonic()
    with pytest.raises(HungUp):
        async with connected(attempt(server.sockets[0].getsockname()[1])):
            raise AssertionError("must not be let in")
    assert time.monotonic() - begin < 1
    server.close()


async def test_hanging_up_in_the_turn_in_which_time_is_up() -> None:
    """Just then aiomqtt's future is cancelled and not yet replaced: what it would raise ends in asyncio's log."""
    one = attempt(1)
    client = _client(one)
    client._connected.cancel()
    paho: Any = paho_of(client)
    paho.on_disconnect(paho, None, None, ReasonCode(PacketTypes.DISCONNECT, "Server busy"), None)
    assert one.hung_up and not client._disconnected.done()


async def test_what_the_loop_will_not_write_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop refuses a number of which it is still closing what it held: nobody would ever write CONNECT."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)

    def refuse(fd: int, *args: object) -> None:
        raise RuntimeError("the handler is closed")

    monkeypatch.setattr(loop, "add_writer", refuse)
    with pytest.raises(Exception, match="Server unavailable"):
        async with connected(attempt(server.sockets[0].getsockname()[1])):
            raise AssertionError("must not be let in")
    assert complaints == []
    server.close()


@pytest.mark.parametrize("known", [True, False])
async def test_reset_while_connect_is_written(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop sees the end of the socket while paho, in its thread, is about to have CONNECT written."""
    original = paho_mqtt.Client._call_socket_register_write
    loop, ended = asyncio.get_running_loop(), threading.Event()

    def end(sock: Any) -> None:
        loop.remove_reader(sock.fileno())
        sock.close()
        ended.set()

    def too_late(self: paho_mqtt.Client) -> None:
        loop.call_soon_threadsafe(end, self._sock)
        assert ended.wait(5)
        if known:
            self._registered_write = True
            self.on_socket_register_write(self, None, None)  # type: ignore[misc, arg-type]
        else:
            original(self)

    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    monkeypatch.setattr(paho_mqtt.Client, "_call_socket_register_write", too_late)
    with pytest.raises((aiomqtt.MqttError, OSError)):
        async with connected(attempt(server.sockets[0].getsockname()[1], connect_timeout_seconds=0.05)):
            raise AssertionError("must not be let in")
    assert complaints == []
    server.close()


@pytest.mark.parametrize("v5", [True, False])
async def test_let_in_and_thrown_out_in_one_breath(v5: bool) -> None:
    """A daemon that stood still finds both at once. It is told by an exception, and not by asyncio's log as well."""

    async def throw_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x20\x03\x00\x00\x00" if v5 else b"\x20\x02\x00\x00")
        writer.close()

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    server = await asyncio.start_server(throw_out, "127.0.0.1", 0)
    one = attempt(server.sockets[0].getsockname()[1], v5)
    with pytest.raises(aiomqtt.MqttError):
        async with connected(one) as client:
            await subscribe(client, one, Topics("gs", "me", ("s",)))
    gc.collect()
    assert complaints == []
    server.close()


async def test_what_connect_says() -> None:
    """Clean start, keepalive, the will with its expiry, user and client id: read back from the bytes."""
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    for v5 in (True, False):
        silent.gone.clear()
        one = attempt(server.sockets[0].getsockname()[1], v5, connect_timeout_seconds=0.05, keepalive_seconds=17)
        with pytest.raises(Exception, match="timed out"):
            async with connected(one):
                raise AssertionError("must not be let in")
        async with asyncio.timeout(5):
            await silent.gone.wait()
        sent = silent.received
        assert sent[2:9] == b"\x00\x04MQTT" + bytes([5 if v5 else 4])
        assert sent[9] == 0x80 | 0x20 | 0x08 | 0x04 | 0x02, "user, will retained, will QoS 1, will, clean"
        assert int.from_bytes(sent[10:12], "big") == 17
        assert b"me-1" in sent and b"gs/v1/s/b/me/p" in sent and b"\x01gone" in sent
        assert (b"\x02" + (24 * 3600).to_bytes(4, "big") in sent) is v5
    server.close()


async def test_tls_files_that_cannot_be_read_are_a_refusal() -> None:
    address = BrokerAddress("mqtts://h", "h", 8883, tls=True, ca_file=None, cert_file=Path("/no/such"))
    one = Attempt(address, MqttSettings((address,), "me", ("s",)), "me-1", True, None)
    with pytest.raises(Refused, match="cannot use the TLS files"):
        async with connected(one):
            raise AssertionError("must not be let in")


async def test_subscribing_fresh_and_leaving_cleanly() -> None:
    broker = EmbeddedBroker()
    await broker.start()
    one = attempt(broker.port, v5=False)
    async with connected(one) as client:
        await subscribe(client, one, Topics("gs", "me", ("s", "t")))
        assert client.timeout == one.settings.connect_timeout_seconds
    assert paho_of(client).socket() is None
    assert (one.answered, one.hung_up) == (True, False)
    await broker.stop()


async def test_who_was_let_go_leads_to_no_pipe() -> None:
    """Nor to all that a pipe knows: the daemon runs without the collector."""
    broker = EmbeddedBroker()
    await broker.start()
    one = attempt(broker.port, v5=False)
    async with connected(one) as client:
        pipe = Pipe(client, lambda topic, data: None, lambda: None, lambda: False)
        await subscribe(client, one, Topics("gs", "me", ("s",)))
    gone = weakref.ref(pipe)
    del pipe
    await asyncio.sleep(0)
    assert gone() is None
    await broker.stop()


async def test_a_refused_attempt_leaves_no_cycle() -> None:
    """The daemon runs without the collector, and may try a broker that is away for weeks."""

    async def fail() -> None:
        with pytest.raises(aiomqtt.MqttError):
            async with connected(attempt(closed)):
                raise AssertionError("must not be let in")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    await fail()
    gc.collect()
    for _ in range(5):
        await fail()
    assert gc.collect() == 0
