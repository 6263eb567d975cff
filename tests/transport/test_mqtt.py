"""One link's life with brokers that misbehave: a few lines of MQTT make a broker that does it on purpose."""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from transport.embedded import EmbeddedBroker
from transport.interface import Outgoing, Owner
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.multi import MqttTransport

World = Any  # see conftest.py
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]

CONNACK_3 = bytes((0x20, 2, 0, 0))
CONNACK_5 = bytes((0x20, 3, 0, 0, 0))


class Fake:
    """A broker that reads CONNECT, notes the protocol level, and goes on as the script says."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.levels: list[int] = []
        self.ids: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, body = await packet(reader)
            self.levels.append(body[6])
            at = 10 + (1 + body[10] if body[6] == 5 else 0)  # behind the properties, which are few
            self.ids.append(body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")])
            await self.script(reader, writer, body[6])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Type and body of the next packet."""
    kind = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind >> 4, await reader.readexactly(size)


@asynccontextmanager
async def fake(script: Script) -> AsyncIterator[Fake]:
    """A running fake broker."""
    broker = Fake(script)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()


class Watched:
    """A transport with one broker, and what it was told."""

    def __init__(self, address: BrokerAddress, **options: Any) -> None:
        fast: dict[str, Any] = {"retry_base_seconds": 0.01, "retry_max_seconds": 0.05, "refused_retry_seconds": 60}
        settings = MqttSettings((address,), "me", ("s",), **(fast | options))
        self.transport = MqttTransport(settings, random.Random(0))
        self.ups = 0
        self.heard: list[bytes] = []
        self.transport.listen(Owner(lambda message: self.heard.append(message.data), self._up, lambda: None))

    def _up(self) -> None:
        self.ups += 1

    @property
    def state(self) -> str:
        return self.transport.links()[0].state

    @property
    def reason(self) -> str:
        return self.transport.links()[0].reason or ""

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for a condition."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self.state}: {self.reason}"
            await asyncio.sleep(0.002)


@asynccontextmanager
async def watched(port: int, **options: Any) -> AsyncIterator[Watched]:
    """A started transport on a port of loopback."""
    made = Watched(BrokerAddress.parse(f"mqtt://127.0.0.1:{port}"), **options)
    await made.transport.start()
    try:
        yield made
    finally:
        await made.transport.stop()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
    return


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
    await reader.read()


async def test_hanging_up_on_mqtt_5_leads_to_3_1_1_at_once() -> None:
    async with fake(hang_up) as broker, watched(broker.port) as me:
        await me.until(lambda: len(broker.levels) >= 4, "four attempts")
        assert broker.levels[:4] == [5, 4, 5, 4]
        assert me.state == "connecting" and "hung up" in me.reason


async def test_a_broker_that_says_it_is_old_is_asked_in_its_language_for_ever() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(bytes((0x20, 2, 0, 1)) if level == 5 else CONNACK_3)
        await writer.drain()

    async with fake(old) as broker, watched(broker.port) as me:
        await me.until(lambda: len(broker.levels) >= 5, "five attempts")
        assert broker.levels[:5] == [5, 4, 4, 4, 4]


async def test_stopping_does_not_wait_for_a_broker_that_never_answers() -> None:
    async with fake(never_answer) as broker:
        async with watched(broker.port) as me:
            await me.until(lambda: broker.levels, "the attempt")
            begin = time.monotonic()
            await me.transport.stop([Outgoing("s", "p", None, b"\x01bye")])
            assert time.monotonic() - begin < 1
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("link")] == []


async def test_being_thrown_out_after_connack_is_not_asked_for_without_pause() -> None:
    async def throw_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(CONNACK_5)
        await writer.drain()
        await packet(reader)

    begin = time.monotonic()
    async with fake(throw_out) as broker, watched(broker.port, retry_base_seconds=20, retry_max_seconds=30) as me:
        await me.until(lambda: me.reason == "the connection was lost", "the first failure")
        assert time.monotonic() - begin < 1.5, "the loss is noticed at once, though a SUBSCRIBE is under way"
        assert broker.levels == [5]
        assert me.ups == 0


async def test_each_attempt_has_an_id_of_its_own_and_that_of_a_clone_another() -> None:
    """A broker throws off whoever has the id of a newcomer: two clones of a machine must not share one for long."""
    async with fake(hang_up) as broker:
        for _ in range(2):  # the dice of both fall alike
            async with watched(broker.port) as me:
                seen = len(broker.ids)
                await me.until(lambda seen=seen: len(broker.ids) > seen + 2, "some attempts")  # type: ignore[misc]
        assert len(set(broker.ids)) == len(broker.ids) and all(name.startswith(b"me-") for name in broker.ids)


async def test_a_refused_subscription_is_a_refusal() -> None:
    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(CONNACK_5)
        _, body = await packet(reader)
        writer.write(bytes((0x90, 5)) + body[:2] + bytes((0, 1, 135)))
        await reader.read()

    async with fake(deny) as broker, watched(broker.port) as me:
        await me.until(lambda: me.state == "refused", "the refusal")
        assert "gs/v1/s/i/me/+" in me.reason and "ACL" in me.reason
        assert not me.transport.publish("s", "d", None, b"\x01")


async def test_that_whole_daemons_may_not_be_heard_is_no_refusal() -> None:
    probed = asyncio.Event()

    async def allow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(CONNACK_5)
        _, body = await packet(reader)
        assert b"gs/v1/_/b/+/p" in body
        writer.write(bytes((0x90, 6)) + body[:2] + bytes((0, 1, 1, 135)))
        await packet(reader)
        probed.set()
        await reader.read()

    async with fake(allow) as broker, watched(broker.port) as me:
        await asyncio.wait_for(probed.wait(), 10)
        assert me.state != "refused"


async def test_refusals_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(bytes((0x20, 3, 0, 134, 0)))
        await writer.drain()

    with caplog.at_level(logging.INFO, "transport"):
        async with fake(deny) as broker, watched(broker.port, refused_retry_seconds=0.01) as me:
            await me.until(lambda: len(broker.levels) >= 5, "five attempts")
            assert me.state == "refused"
    assert len(caplog.records) == 1
    assert "mqtt.username or the password file" in caplog.records[0].getMessage()


async def test_a_password_is_not_sent_in_the_clear_to_another_machine() -> None:
    me = Watched(BrokerAddress.parse("mqtt://192.0.2.1", password="secret"))
    await me.transport.start()
    await me.until(lambda: me.state == "refused", "the refusal")
    assert "mqtt.allow_plaintext" in me.reason and "secret" not in me.reason
    await me.transport.stop()


class Deaf:
    """A broker that lets us in and acknowledges probes alone; these it also echoes, if told to."""

    def __init__(self) -> None:
        self.echo = True
        self.skip = 0
        """So many probes are not echoed."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int) -> None:
        writer.write(CONNACK_5)
        while True:
            kind, body = await packet(reader)
            if kind == 8:
                writer.write(bytes((0x90, 5)) + body[:2] + bytes((0, 1, 1)))
            elif kind == 3 and body[-9] == 0:
                end = 2 + int.from_bytes(body[:2], "big")
                writer.write(bytes((0x40, 2)) + body[end : end + 2])
                if self.skip:
                    self.skip -= 1
                elif self.echo:
                    echo = body[:end] + b"\x00" + body[-9:]
                    writer.write(bytes((0x30, len(echo))) + echo)


async def test_what_is_not_acknowledged_is_bounded() -> None:
    async with fake(Deaf()) as broker, watched(broker.port) as me:
        await me.until(lambda: me.state == "connected", "the connection")
        taken = sum(me.transport.publish("s", "d", None, b"\x01%d" % number) for number in range(2000))
        assert 100 < taken < 1000
        assert me.transport.counters.dropped["queue_full"] == 2000 - taken
        begin = time.monotonic()
        await me.transport.stop()
        assert time.monotonic() - begin < 2.5


async def test_a_link_that_falls_silent_becomes_mute_and_recovers() -> None:
    script = Deaf()
    async with (
        fake(script) as broker,
        watched(broker.port, probe_interval_seconds=0.01, probe_timeout_seconds=0.05) as me,
    ):
        await me.until(lambda: me.state == "connected", "the connection")
        script.echo = False
        await me.until(lambda: me.state == "mute", "muteness")
        assert "mqtt.prefix" in me.reason and "gs/v1/s/i/me/me" in me.reason
        script.echo = True
        await me.until(lambda: me.state == "connected", "the recovery")
        assert me.ups == 2


async def test_one_lost_echo_is_forgiven() -> None:
    script = Deaf()
    async with (
        fake(script) as broker,
        watched(broker.port, probe_interval_seconds=0.01, probe_timeout_seconds=0.2) as me,
    ):
        await me.until(lambda: me.state == "connected", "the connection")
        script.skip = 1
        counters = me.transport.counters
        await me.until(lambda: counters.sent_messages["probe"] > counters.received_messages["probe"] + 1, "a miss")
        received = counters.received_messages["probe"]
        await me.until(lambda: counters.received_messages["probe"] >= received + 2, "echoes again")
        assert (script.skip, me.state, me.ups) == (0, "connected", 1)


async def test_the_rate_limit_holds_back_and_says_how_long() -> None:
    broker = EmbeddedBroker()
    await broker.start()
    async with watched(broker.port, messages_per_second=5) as me:
        await me.until(lambda: me.state == "connected", "the connection")
        taken = [me.transport.publish("s", "d", None, b"\x01") for _ in range(10)]
        assert 3 <= sum(taken) <= 5 and taken == sorted(taken, reverse=True)
        assert me.transport.counters.dropped["rate_limited"] == 10 - sum(taken)
        assert 0 < me.transport.ready_in() <= 0.4
        await me.until(lambda: me.transport.ready_in() == 0, "a token")
        assert me.transport.publish("s", "d", None, b"\x01")
    await broker.stop()


@pytest.mark.parametrize("world", ["mosquitto"], indirect=True)
async def test_the_limit_of_the_broker_is_kept_though_ours_is_larger(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (a,) = await world.started("a", max_message=300_000)
    assert "set mqtt.max_message below" in caplog.text
    assert not a.say(bytes([1]) * 250_000)
    assert a.transport.counters.dropped == {"too_large": 1}
    assert a.say(bytes([1]) * 150_000, "i", "a")
    await world.until(lambda: a.heard, "what the broker does take")
    assert (a.states(), a.downs) == (["connected"], 0)


@pytest.mark.parametrize("guarded", ["mosquitto"], indirect=True)
async def test_a_publish_that_the_broker_does_not_accept_is_counted(guarded: World) -> None:
    """MQTT 5 says so in the acknowledgement, which clients like to overlook."""
    guarded.silence("c")
    c = await guarded.party("c")
    await c.transport.start()
    await guarded.until(lambda: c.states() == ["mute"], "muteness")
    assert c.transport.counters.dropped["refused"] >= 1


def certificates(directory: Path) -> None:
    """A certificate authority, and a certificate for localhost signed by it."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    request = ["req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "2"]
    openssl(*request, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    openssl(*request, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "ext").write_text("subjectAltName=DNS:localhost\n")
    signed = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl(*signed, "-extfile", "ext", "-out", "server.pem")


@pytest.mark.parametrize("world", ["mosquitto"], indirect=True)
async def test_tls(world: World, tmp_path: Path) -> None:
    try:
        await asyncio.to_thread(certificates, tmp_path)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    await world.down(0)
    world.extra = [f"{key} {tmp_path}/{file}" for key, file in (("certfile", "server.pem"), ("keyfile", "server.key"))]
    await world.up(0)
    url, port = f"mqtts://localhost:{world.ports[0]}", world.ports[0]
    stranger = Watched(BrokerAddress(url, "localhost", port, tls=True))
    friend = Watched(BrokerAddress(url, "localhost", port, tls=True, ca_file=tmp_path / "ca.pem"))
    careless = Watched(BrokerAddress(url, "localhost", port, tls=True, ca_file=tmp_path / "missing.pem"))
    for one in (stranger, friend, careless):
        await one.transport.start()
    await friend.until(lambda: friend.state == "connected", "the connection")
    data = bytes([1]) * 60_000
    assert friend.transport.publish("s", "i", "me", data)
    await friend.until(lambda: friend.heard == [data], "a large message over TLS")
    await stranger.until(lambda: stranger.state == "refused", "the refusal")
    assert "not trusted" in stranger.reason and "mqtt.ca_file" in stranger.reason
    await careless.until(lambda: careless.state == "refused", "the refusal")
    assert "cannot use the TLS files" in careless.reason and "missing.pem" in careless.reason
    await asyncio.gather(*(one.transport.stop() for one in (stranger, friend, careless)))


def test_it_works_under_uvloop() -> None:
    async def scenario() -> None:
        broker = EmbeddedBroker()
        await broker.start()
        async with watched(broker.port) as me:
            await me.until(lambda: me.state == "connected", "the connection")
            sent = [b"\x01%d" % number * 1000 for number in range(50)]
            for data in sent:
                assert me.transport.publish("s", "i", "me", data)
            await me.until(lambda: me.heard == sent, "all messages")
            await broker.stop()
            await me.until(lambda: me.state == "connecting", "the end")
            await broker.start()
            await me.until(lambda: me.ups == 2, "the second connection")
        await broker.stop()

    uvloop.run(scenario())
