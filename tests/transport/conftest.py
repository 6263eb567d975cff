"""Three worlds, one suite: a broker of memory, amqtt in this process, mosquitto as it is installed on servers.

A `World` owns brokers and everything that talks to them; a `Party` is one transport and what it heard. Nothing sleeps
for luck: `World.until` waits for a condition and fails with what it waited for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import pytest

from transport.embedded import EmbeddedBroker
from transport.interface import Incoming, LinkStatus, Outgoing, Owner, Transport
from transport.memory import MemoryTransport
from transport.memory_hub import Connection, Hub
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.multi import MqttTransport

DEADLINE_SECONDS = 10.0
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


class Party:
    """One replica: its transport, what it heard, how often it was told of a connection."""

    def __init__(self, transport: Transport, space: str) -> None:
        self.transport = transport
        self.space = space
        self.heard: list[Incoming] = []
        self.ups = 0
        self.downs = 0
        self.reply: Callable[[Incoming], None] | None = None
        self.will: Outgoing | None = None
        transport.listen(Owner(self._on_message, self._on_up, self._on_down, lambda: self.will))

    def _on_message(self, message: Incoming) -> None:
        self.heard.append(message)
        if self.reply is not None:
            self.reply(message)

    def _on_up(self) -> None:
        self.ups += 1

    def _on_down(self) -> None:
        self.downs += 1

    def say(self, data: bytes, lane: str = "d", to: str | None = None) -> bool:
        """Publishes in this party's first space."""
        return self.transport.publish(self.space, lane, to, data)

    def has(self, data: bytes) -> bool:
        """Whether a message with this payload arrived."""
        return any(message.data == data for message in self.heard)

    def states(self) -> list[str]:
        """The states of its links."""
        return [link.state for link in self.transport.links()]

    @property
    def link(self) -> LinkStatus:
        """Its only, or first, link."""
        return self.transport.links()[0]


class World:
    """Brokers and parties. `brokers`: how many a party is connected to."""

    name = "?"
    no_local = True

    def __init__(self) -> None:
        self.parties: list[Party] = []

    @staticmethod
    async def until(condition: Callable[[], object], what: str = "condition") -> None:
        """Waits until `condition()` is true, and fails if that does not happen in time."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, f"waited in vain for: {what}"
            await asyncio.sleep(0.002)

    async def start(self) -> None:
        """Begins with two brokers that are up."""
        for index in range(2):
            await self.up(index)

    async def party(self, name: str, brokers: int = 1, spaces: tuple[str, ...] = ("s",), **options: object) -> Party:
        """A party that is not started."""
        party = Party(self.make(name, brokers, spaces, **options), spaces[0])
        self.parties.append(party)
        return party

    async def started(self, *names: str, brokers: int = 1, **options: object) -> list[Party]:
        """Parties that are connected to every broker they know."""
        parties = [await self.party(name, brokers, **options) for name in names]  # type: ignore[arg-type]
        for party in parties:
            await party.transport.start()
        await self.until(lambda: all(set(party.states()) == {"connected"} for party in parties), f"{names} to connect")
        return parties

    async def end(self) -> None:
        """Stops everything."""
        await asyncio.gather(*(party.transport.stop() for party in self.parties))
        for index in range(2):
            await self.down(index)

    def make(self, name: str, brokers: int, spaces: tuple[str, ...], **options: object) -> Transport:
        """A transport of this world."""
        raise NotImplementedError

    async def up(self, index: int = 0) -> None:
        """Starts a broker."""
        raise NotImplementedError

    async def down(self, index: int = 0) -> None:
        """Stops a broker, abruptly; does nothing to one that is down."""
        raise NotImplementedError

    async def inject(self, topic: str, data: bytes) -> None:
        """Publishes as somebody who is not a replica of ours."""
        raise NotImplementedError

    async def doomed(self, name: str, will: Outgoing) -> Callable[[], None]:
        """Connects a replica with a last will; the result kills it as by `kill -9`."""
        raise NotImplementedError


class MemoryWorld(World):
    """Hubs."""

    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.hubs = [Hub(random.Random(index), name=f"hub{index}") for index in range(2)]

    def make(self, name: str, brokers: int, spaces: tuple[str, ...], **options: object) -> Transport:
        return MemoryTransport(self.hubs[:brokers], name, spaces, **options)  # type: ignore[arg-type]

    async def up(self, index: int = 0) -> None:
        self.hubs[index].up()

    async def down(self, index: int = 0) -> None:
        self.hubs[index].down()

    async def inject(self, topic: str, data: bytes) -> None:
        hub = self.hubs[0]
        stranger = Connection(hub, "stranger", (), None, lambda topic, data: None)
        assert hub.open(stranger) is None
        stranger.publish(topic, data, retain=False)
        stranger.close(clean=True)

    async def doomed(self, name: str, will: Outgoing) -> Callable[[], None]:
        party = await self.party(name)
        party.will = will
        await party.transport.start()
        await self.until(lambda: party.ups, "the doomed one to be connected")
        assert isinstance(party.transport, MemoryTransport)
        return party.transport.kill

    def forbid(self, name: str) -> None:
        """The broker does not let `name` in."""
        self.hubs[0].refuse(name, "not on the list")

    def permit(self, name: str) -> None:
        """The broker lets `name` in again."""
        self.hubs[0].allow(name)

    def silence(self, name: str) -> None:
        """The broker drops what `name` publishes."""
        self.hubs[0].mute(name)


class MqttWorld(World):
    """What amqtt and mosquitto have in common: settings made for tests, and raw clients."""

    version = aiomqtt.ProtocolVersion.V5

    def __init__(self) -> None:
        super().__init__()
        self.ports = [0, 0]

    def make(self, name: str, brokers: int, spaces: tuple[str, ...], **options: object) -> Transport:
        addresses = tuple(self.address(name, index) for index in range(brokers))
        fast: dict[str, object] = {
            "retry_base_seconds": 0.02,
            "retry_max_seconds": 0.1,
            "refused_retry_seconds": 0.1,
            "probe_timeout_seconds": 0.3,
        }
        settings = MqttSettings(addresses, name, spaces, **(fast | options))  # type: ignore[arg-type]
        return MqttTransport(settings, random.Random(name))

    def address(self, name: str, index: int) -> BrokerAddress:
        """How `name` reaches a broker."""
        return BrokerAddress.parse(f"mqtt://127.0.0.1:{self.ports[index]}")

    async def inject(self, topic: str, data: bytes) -> None:
        async with aiomqtt.Client("127.0.0.1", self.ports[0], protocol=self.version) as client:
            await client.publish(topic, data, qos=1)

    async def doomed(self, name: str, will: Outgoing) -> Callable[[], None]:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _DOOMED, str(self.ports[0]), name, will.data.hex(), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"connected\n"
        return lambda: os.kill(child.pid, signal.SIGKILL)


_DOOMED = """
import asyncio, sys
from transport.interface import Outgoing, Owner
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.multi import MqttTransport

async def main(port, name, will):
    address = BrokerAddress.parse(f"mqtt://127.0.0.1:{port}")
    transport = MqttTransport(MqttSettings((address,), name, ("s",)))
    transport.listen(Owner(lambda message: None, lambda: print("connected", flush=True), lambda: None,
                           lambda: Outgoing("s", "p", None, bytes.fromhex(will))))
    await transport.start()
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


class AmqttWorld(MqttWorld):
    """The embedded broker. It speaks 3.1.1 only, so our own broadcasts come back."""

    name = "amqtt"
    no_local = False
    version = aiomqtt.ProtocolVersion.V311

    def __init__(self) -> None:
        super().__init__()
        self.brokers = [EmbeddedBroker(), EmbeddedBroker()]

    async def up(self, index: int = 0) -> None:
        await self.brokers[index].start()
        self.ports[index] = self.brokers[index].port

    async def down(self, index: int = 0) -> None:
        await self.brokers[index].stop()


class MosquittoWorld(MqttWorld):
    """Mosquitto on free ports, with the ACL patterns of transport/README.md if `secured`."""

    name = "mosquitto"

    def __init__(self, directory: Path, secured: bool) -> None:
        super().__init__()
        self.directory = directory
        self.secured = secured
        self.ports = [free_port(), free_port()]
        self.running: list[asyncio.subprocess.Process | None] = [None, None]
        self.users = {"a", "b", "c", "d"}
        self.muted: set[str] = set()
        self.extra: list[str] = []
        self._write_files()

    def address(self, name: str, index: int) -> BrokerAddress:
        # The broker knows a muted replica by another user name, whose ACL does not fit its topics.
        user = "d" if name in self.muted else name
        url = f"mqtt://127.0.0.1:{self.ports[index]}"
        return BrokerAddress(url, "127.0.0.1", self.ports[index], username=user, password=self._password(user))

    async def up(self, index: int = 0) -> None:
        assert MOSQUITTO is not None
        config = self.directory / f"{index}.conf"
        lines = [f"listener {self.ports[index]} 127.0.0.1", "set_tcp_nodelay true", "max_packet_size 200000"]
        if os.geteuid() == 0:
            lines += ["user root"]  # it would become a user who cannot read the test's directory
        if self.secured:
            lines += ["allow_anonymous false"]
            lines += [f"password_file {self.directory}/passwords", f"acl_file {self.directory}/acl"]
        else:
            lines += ["allow_anonymous true"]
        lines[1:1] = self.extra
        config.write_text("\n".join(lines) + "\n")
        with (self.directory / f"{index}.log").open("ab") as log:
            self.running[index] = await asyncio.create_subprocess_exec(MOSQUITTO, "-c", str(config), stderr=log)
        await self.until(lambda: _accepts(self.ports[index]), "mosquitto to listen")

    async def down(self, index: int = 0) -> None:
        process, self.running[index] = self.running[index], None
        if process is not None:
            process.kill()
            await process.wait()

    def forbid(self, name: str) -> None:
        """The broker does not let `name` in."""
        self.users.discard(name)
        self._reload()

    def permit(self, name: str) -> None:
        """The broker lets `name` in again."""
        self.users.add(name)
        self._reload()

    def silence(self, name: str) -> None:
        """The broker drops what `name` publishes. To be called before `name` is made."""
        self.muted.add(name)

    def _password(self, user: str) -> str | None:
        return f"secret of {user}" if self.secured else None

    def _reload(self) -> None:
        self._write_files()
        for process in self.running:
            if process is not None:
                process.send_signal(signal.SIGHUP)

    def _write_files(self) -> None:
        lines = [f"{user}:{_mosquitto_hash(f'secret of {user}')}" for user in sorted(self.users)]
        (self.directory / "passwords").write_text("\n".join(lines) + "\n")
        patterns = ["write gs/v1/+/b/%u/#", "read gs/v1/+/b/#", "write gs/v1/+/i/+/%u", "read gs/v1/+/i/%u/#"]
        (self.directory / "acl").write_text("".join(f"pattern {pattern}\n" for pattern in patterns))


def _mosquitto_hash(password: str) -> str:
    salt = b"twelve bytes"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A TCP port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _world(kind: str, directory: Path, secured: bool) -> World:
    if kind == "memory":
        return MemoryWorld()
    if kind == "amqtt":
        pytest.importorskip("amqtt", reason="amqtt is not installed")
        return AmqttWorld()
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    return MosquittoWorld(directory, secured)


async def _run(world: World) -> AsyncIterator[World]:
    await world.start()
    try:
        yield world
    finally:
        await world.end()


@pytest.fixture(params=["memory", "amqtt", "mosquitto"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Two brokers that let everybody in."""
    async for made in _run(_world(request.param, tmp_path, secured=False)):
        yield made


@pytest.fixture(params=["memory", "mosquitto"])
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Two brokers with users, passwords and an ACL (amqtt checks none of them as we need it)."""
    async for made in _run(_world(request.param, tmp_path, secured=True)):
        yield made
