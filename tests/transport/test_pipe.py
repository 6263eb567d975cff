"""The fast way past aiomqtt: what it relies on, and what it keeps."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import aiomqtt
import paho.mqtt.client
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from transport import pipe as pipe_module
from transport.embedded import EmbeddedBroker
from transport.pipe import CHUNK, MAX_UNACKNOWLEDGED, TURN, Pipe, paho_of, published


@asynccontextmanager
async def piped(
    heard: list[tuple[str, bytes]], busy: Callable[[], bool] = lambda: False
) -> AsyncIterator[tuple[Pipe, aiomqtt.Client, EmbeddedBroker]]:
    """A pipe of a client that hears everything under t/."""
    broker = EmbeddedBroker()
    await broker.start()
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        pipe = Pipe(client, lambda topic, data: heard.append((topic, data)), lambda: None, busy)
        await client.subscribe("t/+", qos=1)
        yield pipe, client, broker
    await broker.stop()


async def test_the_paho_client_is_where_we_look_for_it() -> None:
    assert isinstance(paho_of(aiomqtt.Client("127.0.0.1")), paho.mqtt.client.Client)


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_sent_arrives_and_is_forgotten(qos: int) -> None:
    heard: list[tuple[str, bytes]] = []
    async with piped(heard) as (pipe, _, _):
        sent = [("t/x", b"%d" % number * 500) for number in range(100)]
        for topic, data in sent:
            assert pipe.send(topic, data, qos, False, None)
        assert await pipe.drain(5)
        assert pipe._unacknowledged == {} and pipe._bytes == 0
        async with asyncio.timeout(5):
            while len(heard) < 100:
                await asyncio.sleep(0.001)
        assert heard == sent
        assert isinstance(heard[0][1], bytes)


async def test_more_than_the_socket_takes_is_written_when_it_can() -> None:
    heard: list[tuple[str, bytes]] = []
    async with piped(heard) as (pipe, _, _):
        data = bytes(1_000_000)
        for _ in range(7):
            assert not pipe.full
            assert pipe.send("t/x", data, 1, False, None)
        assert pipe._writer is not None, "the socket should be full by now"
        assert await pipe.drain(10)
        assert pipe._writer is None


async def test_it_is_full_when_nobody_acknowledges() -> None:
    async with piped([]) as (pipe, _, _):
        for number in range(MAX_UNACKNOWLEDGED):
            assert not pipe.full, number
            pipe.send("t/x", b"x", 1, False, None)
        assert pipe.full, "no turn of the loop, no acknowledgement"
        assert await pipe.drain(10)
        assert not pipe.full


class Slow(list[tuple[str, bytes]]):
    """Messages that take their time; in which turn of the loop each of them was taken in."""

    def __init__(self) -> None:
        self.turns: Counter[int] = Counter()
        self.turn = 0

    def append(self, message: tuple[str, bytes]) -> None:
        super().append(message)
        self.turns[self.turn] += 1
        time.sleep(2 * TURN)


def waiting(sock: socket.socket) -> int:
    """Bytes that could be read."""
    try:
        return len(sock.recv(1 << 20, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


async def most_in_one_turn() -> int:
    """Of 200 messages that are all there when the first is read."""
    heard, number, data = Slow(), 200, bytes(100)
    async with piped(heard) as (pipe, client, _):
        sock, loop = cast(socket.socket, paho_of(client).socket()), asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        for _ in range(number):
            pipe.send("t/x", data, 0, False, None)
        async with asyncio.timeout(10):
            while waiting(sock) < number * len(data):
                await asyncio.sleep(0.001)
            loop.add_reader(sock.fileno(), pipe._on_readable)
            while len(heard) < number:
                heard.turn += 1
                await asyncio.sleep(0)
    return max(heard.turns.values())


async def test_others_have_their_turn_between_two_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await most_in_one_turn() == 1
    monkeypatch.setattr(pipe_module, "TURN", 60.0)
    assert await most_in_one_turn() > 1


async def test_nothing_is_handed_to_who_is_busy() -> None:
    heard: list[tuple[str, bytes]] = []
    working = 0

    def busy() -> bool:
        nonlocal working
        working -= 1
        return working > 0

    async with piped(heard, busy) as (pipe, _, _):
        working = 100
        for _ in range(10):
            pipe.send("t/x", b"x", 0, False, None)
        async with asyncio.timeout(10):
            while working > 0:
                assert not heard
                await asyncio.sleep(0)
            while len(heard) < 10:
                await asyncio.sleep(0.001)


class Decrypted:
    """A socket as TLS has it: with data that is decrypted already, and more to come."""

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno
        self.pending = lambda: 1


class Decrypting:
    """A client on such a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._client = self
        self._sock = Decrypted(sock)

    def socket(self) -> Decrypted:
        return self._sock

    def _sock_recv(self, size: int) -> bytes:
        raise BlockingIOError

    def _handle_publish(self) -> int:
        return 0

    def loop_write(self) -> None:
        pass

    def want_write(self) -> bool:
        return False


async def test_over_tls_reading_goes_on_once_a_turn() -> None:
    """Of the socket and of what is decrypted already, each may say that there is more."""
    asked = 0

    def busy() -> bool:
        nonlocal asked
        asked += 1
        return True

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"more")
        Pipe(cast(aiomqtt.Client, Decrypting(ours)), lambda topic, data: None, lambda: None, busy)
        for _ in range(50):
            await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(ours.fileno())
    assert 45 <= asked <= 51


async def test_what_cannot_be_read_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ValueError("an impossible packet")

    async with piped([]) as (pipe, client, _):
        monkeypatch.setattr(paho_of(client), "_packet_read", fail)
        pipe.send("t/x", b"x", 1, False, None)
        assert "impossible" in str(await asyncio.wait_for(pipe.broken, 5))


async def test_draining_gives_up_in_time() -> None:
    async with piped([]) as (pipe, _, _):
        pipe.send("t/x", b"x", 1, False, None)
        assert not await pipe.drain(0)


async def test_a_lost_connection_takes_nothing() -> None:
    async with piped([]) as (pipe, client, broker):
        await broker.stop()
        with pytest.raises(aiomqtt.MqttError):
            async for _ in client.messages:
                pass
        assert not pipe.send("t/x", b"x", 1, False, None)
        assert not pipe.send("t/x", b"x", 0, False, None)


# -- reading in the place of paho


def sent_by_paho(topic: str, payload: bytes, qos: int, v5: bool, properties: Properties | None = None) -> bytes:
    """A PUBLISH as paho writes it, with its first byte and its length."""
    version = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
    client = paho.mqtt.client.Client(CallbackAPIVersion.VERSION2, protocol=version)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client._sock = ours
        info = paho.mqtt.client.MQTTMessageInfo(7)
        client._send_publish(7, topic.encode(), payload, qos, info=info, properties=properties)
        client._packet_write()
        client._sock = None
        return theirs.recv(1 << 20)


def body(packet: bytes) -> bytes:
    """What follows the length."""
    at = 1
    while packet[at] > 0x7F:
        at += 1
    return packet[at + 1 :]


def with_properties(length: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "x" * length
    properties.MessageExpiryInterval = 9
    return properties


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("payload", [b"", b"x", bytes(300), bytes(20_000)])
def test_a_publish_is_read_as_paho_wrote_it(qos: int, payload: bytes) -> None:
    for topic in ("t", "gs/v1/\u00fc/" + "x" * 200):
        for v5, properties in (
            (False, None),
            (True, None),
            (True, with_properties(3)),
            (True, with_properties(20_000)),
        ):
            packet = sent_by_paho(topic, payload, qos, v5, properties)
            assert published(packet[0], body(packet), v5) == (topic, 7 * qos, payload)


def test_what_no_broker_may_send_is_an_error() -> None:
    for v5, least in ((False, 4), (True, 5)):
        packet = body(sent_by_paho("t/x", b"", 1, v5))
        for end in range(len(packet)):
            with pytest.raises((ValueError, IndexError)):
                published(0x32, packet[:end], v5)
        assert len(packet) > least
    with pytest.raises(ValueError, match="quality of service"):
        published(0x34, b"\0\1t\0\7data", False)
    with pytest.raises(ValueError, match="number"):
        published(0x32, b"\0\1t\0\0data", False)
    with pytest.raises(ValueError, match="length"):
        published(0x32, b"\0\1t\0\7\x80\x80\x80\x80\0data", True)
    assert published(0x30, b"\0\1\xffdata", False) == ("", 0, b"data"), "in nobody's filters"


class Trickle:
    """What paho reads from; with dice in parts, as a slow network brings them."""

    def __init__(self, data: bytes, rng: random.Random | None) -> None:
        self.data, self.rng, self.calls = data, rng, 0

    def receive(self, bufsize: int) -> bytes:
        self.calls += 1
        if not self.data or (self.rng and not self.rng.randrange(3)):
            raise BlockingIOError
        size = min(bufsize, self.rng.choice([1, 2, 3, 100, CHUNK - 1, CHUNK, 1 << 20]) if self.rng else bufsize)
        out, self.data = self.data[:size], self.data[size:]
        return out


@pytest.mark.parametrize("seed", range(6))
async def test_packets_are_whole_however_they_come(seed: int) -> None:
    rng, heard = random.Random(seed), list[tuple[str, bytes]]()
    async with piped(heard) as (pipe, client, _):
        asyncio.get_running_loop().remove_reader(cast(socket.socket, paho_of(client).socket()).fileno())
        messages = [("t/x", rng.randbytes(rng.choice([0, 1, 120, 3000, CHUNK, 3 * CHUNK]))) for _ in range(30)]
        trickle = Trickle(b"".join(sent_by_paho(topic, data, 0, False) for topic, data in messages), rng)
        pipe._receive_from = trickle.receive
        async with asyncio.timeout(10):
            while len(heard) < len(messages):
                pipe._read()
                await asyncio.sleep(0)
        assert heard == messages


async def test_one_look_at_the_socket_is_enough_for_a_few_messages() -> None:
    heard: list[tuple[str, bytes]] = []
    async with piped(heard) as (pipe, client, _):
        asyncio.get_running_loop().remove_reader(cast(socket.socket, paho_of(client).socket()).fileno())
        trickle = Trickle(sent_by_paho("t/x", b"data", 1, False) * 3, None)
        pipe._receive_from = trickle.receive
        pipe._read()
        assert len(heard) == 3 and trickle.calls == 1


async def test_who_hears_may_send_at_once() -> None:
    answers: list[bytes] = []
    async with piped([]) as (pipe, _, _):

        def answer(topic: str, data: bytes) -> None:
            answers.append(data)
            if len(answers) < 5:
                assert pipe.send("t/x", b"%d" % len(answers), len(answers) % 2, False, None)

        pipe._hand_on = answer
        pipe.send("t/x", b"0", 1, False, None)
        async with asyncio.timeout(5):
            while len(answers) < 5:
                await asyncio.sleep(0.001)
    assert answers == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_last_will_of_quality_2_ends_nobody_s_connection() -> None:
    """amqtt sends it as it was made, to whoever subscribed."""
    heard: list[tuple[str, bytes]] = []
    async with piped(heard) as (pipe, client, broker):
        came, by_paho = 0, pipe._handle_as_paho

        def handle() -> MQTTErrorCode:
            nonlocal came
            came += 1
            return by_paho()

        pipe._handle_as_paho = handle
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        connect = b"\0\4MQTT\4\x16\0\0" + b"".join(map(sized, (b"stranger", b"t/x", b"gone")))
        writer.write(bytes((0x10, len(connect))) + connect)
        await reader.readexactly(4)
        writer.close()
        async with asyncio.timeout(5):
            while not came or paho_of(client)._in_messages:  # until the broker has released it
                assert not pipe.broken.done()
                await asyncio.sleep(0.001)
            pipe.send("t/x", b"ours", 1, False, None)
            while not heard:
                await asyncio.sleep(0.001)
        assert heard == [("t/x", b"ours")]


def sized(data: bytes) -> bytes:
    """Bytes behind their length, as MQTT has them."""
    return len(data).to_bytes(2, "big") + data
