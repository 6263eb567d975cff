"""Making a client and getting it let in: everything about a connection before the first message.

Knows: aiomqtt's constructor, TLS, and what a broker tells in its answer to CONNECT.
Promises: a fresh client for every attempt; an attempt that failed leaves no connection behind; a broker that hangs up
without an answer is noticed at once.
Must not know: when to try, what to do with the connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.pipe import paho_of, release
from transport.refusal import HungUp, Refused
from transport.topics import Topics

TCP_TIMEOUT_SECONDS = 3.0
"""Connecting happens in a thread that nothing can interrupt, and a program that ends waits for it."""

V5_ANSWER_SECONDS = 2.0
"""Some old brokers (amqtt is one) misread an MQTT 5 CONNECT and wait for more of it; 3.1.1 is tried after this."""

PRESENCE_EXPIRY_SECONDS = 24 * 3600

# paho leaves Nagle's algorithm on: 44 ms instead of 0.45 ms a round trip where the broker delays acknowledgements.
_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
_CALLBACKS = (
    "on_connect", "on_disconnect", "on_message", "on_publish", "on_subscribe", "on_unsubscribe", "on_socket_open",
    "on_socket_close", "on_socket_register_write", "on_socket_unregister_write",
)  # fmt: skip


@dataclass(slots=True)
class Attempt:
    """One try at one broker: what to say, and what the broker said.

    `client_id` is another one at each try, so that no broker takes two starts for one, nor two clones of a machine.
    """

    address: BrokerAddress
    settings: MqttSettings
    client_id: str
    v5: bool
    will: tuple[str, bytes] | None
    """Topic and payload."""
    packet_limit: int = sys.maxsize
    """Largest packet the broker takes, in bytes, if it says so; a larger one ends the connection."""
    answered: bool = False
    hung_up: bool = False
    refuse: Callable[[], None] | None = None
    """Ends the wait for the broker's answer as if it had said no."""

    def abandon(self) -> None:
        """Ends an attempt under way at once; does nothing to one that was let in.

        The coroutine itself must not be cancelled: the connection would live on, unread, and hold our client id.
        """
        if not self.answered and self.refuse is not None:
            self.answered = True
            self.refuse()

    @property
    def user(self) -> str:
        """The user name we are to the broker, and its ACL."""
        return self.address.username or self.settings.replica

    def presence_properties(self) -> Properties | None:
        """For a retained publish: a replica that is gone for good is forgotten one day (MQTT 5 only)."""
        return _expiring(PacketTypes.PUBLISH) if self.v5 else None


@asynccontextmanager
async def connected(attempt: Attempt) -> AsyncIterator[aiomqtt.Client]:
    """A client that the broker has let in. Raises MqttError, HungUp, or Refused for TLS files that cannot be used."""
    client = _client(attempt)
    try:
        async with client:
            client.timeout = attempt.settings.connect_timeout_seconds
            yield client
    except aiomqtt.MqttError as error:
        if attempt.hung_up:
            raise HungUp from error
        raise
    finally:
        # aiomqtt leaves the socket open when the answer does not come in time; were it to come later, a connection
        # that nobody reads would hold our client id for ever.
        attempt.answered = True
        if paho_of(client).socket() is not None:
            paho_of(client).disconnect()
        _let_go(client, attempt)


async def subscribe(client: aiomqtt.Client, attempt: Attempt, topics: Topics) -> None:
    """Subscribes to everything that is for us; Refused if the broker does not allow some of it.

    All but the presence of whole daemons, which is a hint and may lie outside an ACL that names the spaces.
    """
    broadcast, inbox, hints = topics.broadcast_filters(), topics.inbox_filters(), [topics.daemon_filter()]
    answer: Any
    if attempt.v5:
        answer = await client.subscribe(
            [(name, SubscribeOptions(qos=1, noLocal=True)) for name in broadcast]
            + [(name, SubscribeOptions(qos=1)) for name in inbox + hints]
        )
    else:
        answer = await client.subscribe([(name, 1) for name in broadcast + inbox + hints])
    for name, code in zip(broadcast + inbox + hints, answer, strict=False):
        if code.is_failure and name not in hints:
            raise Refused(f"the broker does not let the user {attempt.user!r} subscribe to {name}: allow it in its ACL")


def _client(attempt: Attempt) -> aiomqtt.Client:
    address, settings = attempt.address, attempt.settings
    client = aiomqtt.Client(
        address.host,
        address.port,
        username=attempt.user,
        password=address.password,
        identifier=attempt.client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if attempt.v5 else aiomqtt.ProtocolVersion.V311,
        will=_will(attempt),
        # Always a clean start: what was missed is pulled from a peer, and a broker that kept a queue for us would only
        # deliver it twice. MQTT 3.1.1 spells it so; with MQTT 5 a fresh client starts clean by default.
        clean_session=None if attempt.v5 else True,
        keepalive=settings.keepalive_seconds,
        timeout=min(settings.connect_timeout_seconds, V5_ANSWER_SECONDS if attempt.v5 else sys.maxsize),
        tls_context=_tls_context(address) if address.tls else None,
        socket_options=_NO_DELAY,
    )
    paho = paho_of(client)
    paho.disable_logger()  # a call per packet, and its errors reach us as exceptions anyway
    paho.connect_timeout = TCP_TIMEOUT_SECONDS
    _listen_for_answer(client, attempt)
    _write_with_care(client, attempt)
    return client


def _write_with_care(client: aiomqtt.Client, attempt: Attempt) -> None:
    """CONNECT is written from the thread that connects; the socket may be reset before the loop hears of it.

    aiomqtt would give the loop the number of a socket that is closed, and that by then may be another's.
    """
    paho: Any = paho_of(client)
    loop = asyncio.get_running_loop()

    def write() -> None:
        try:
            paho.loop_write()
        except Exception:
            attempt.abandon()

    def add(sock: Any) -> None:
        if paho.socket() is sock and sock.fileno() >= 0:
            try:
                loop.add_writer(sock.fileno(), write)
            except OSError:
                pass  # closed in that thread just now
            except RuntimeError:  # uvloop: what it held for that number is being closed
                attempt.abandon()

    def register(paho: Any, userdata: Any, sock: Any) -> None:
        if sock is None:
            raise ConnectionResetError("the connection was reset before CONNECT was written")
        loop.call_soon_threadsafe(add, sock)

    paho.on_socket_register_write = register


def _listen_for_answer(client: aiomqtt.Client, attempt: Attempt) -> None:
    """Looks over aiomqtt's shoulder while it connects."""
    paho: Any = paho_of(client)
    on_connect, on_disconnect = paho.on_connect, paho.on_disconnect

    def refuse() -> None:
        on_connect(paho, None, None, ReasonCode(PacketTypes.CONNACK, "Server unavailable"), None)

    def connect(paho: Any, userdata: Any, flags: Any, code: ReasonCode, properties: Any = None) -> None:
        attempt.answered = True
        attempt.packet_limit = getattr(properties, "MaximumPacketSize", sys.maxsize)
        on_connect(paho, userdata, flags, code, properties)

    def disconnect(paho: Any, userdata: Any, flags: Any, code: Any, properties: Any = None) -> None:
        if not attempt.answered:
            # aiomqtt ignores this and would wait for an answer until its time is up: give it one.
            attempt.answered = attempt.hung_up = True
            refuse()
        if client._connected.cancelled():
            return  # its time was up in this turn of the loop: aiomqtt has not seen that yet, and would raise it here
        on_disconnect(paho, userdata, flags, code, properties)
        # Let in and thrown out at once: aiomqtt forgets the second, the next use of the client raises it, and asyncio
        # would log an exception that nobody fetched.
        lost = client._disconnected
        if lost.done() and not lost.cancelled():
            lost.exception()

    paho.on_connect, paho.on_disconnect = connect, disconnect
    attempt.refuse = refuse


def _let_go(client: aiomqtt.Client, attempt: Attempt) -> None:
    """Undoes the cycles of paho, aiomqtt and us. A process that collects no garbage would keep 7 KB of each attempt."""
    attempt.refuse = None
    paho = paho_of(client)
    if paho.socket() is None:  # else it still has to tell the loop that its socket is closed
        for name in _CALLBACKS:
            setattr(paho, name, None)
        release(paho)


def _will(attempt: Attempt) -> aiomqtt.Will | None:
    if attempt.will is None:
        return None
    topic, data = attempt.will
    properties = _expiring(PacketTypes.WILLMESSAGE) if attempt.v5 else None
    return aiomqtt.Will(topic, data, qos=1, retain=True, properties=properties)


def _tls_context(address: BrokerAddress) -> ssl.SSLContext:
    # Read anew for each attempt: certificates are renewed while a daemon runs.
    try:
        for path in filter(None, (address.ca_file, address.cert_file, address.key_file)):
            path.open("rb").close()  # OpenSSL would not say which of them cannot be read
        context = ssl.create_default_context(cafile=str(address.ca_file) if address.ca_file else None)
        if address.cert_file is not None:
            context.load_cert_chain(address.cert_file, address.key_file)
    except OSError as error:
        raise Refused(f"cannot use the TLS files ({error}): correct mqtt.ca_file, cert_file and key_file") from error
    return context


def _expiring(packet: int) -> Properties:
    properties: Any = Properties(packet)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = PRESENCE_EXPIRY_SECONDS
    return cast(Properties, properties)
