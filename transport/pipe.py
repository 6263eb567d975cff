"""The fast way through one connected MQTT client.

aiomqtt connects, subscribes, pings and takes leave. For the messages themselves this file goes to the paho client
below it, by paho's public callbacks: a task and an event per message cost more than the message. Measured through
mosquitto on loopback, publish to receive, p50: 175 to 220 us with aiomqtt's publish and iterator, 70 us this way.

Knows: paho's callbacks, the one private attribute of aiomqtt (`Client._client`) by which it is reached, and paho's
private steps of reading: `_packet_read` and `_loop_rc_handle`, which `_read` calls, and `_sock_recv` and
`_handle_publish`, in whose place it puts its own (paho reads a packet by three system calls, and makes a table of all
properties of MQTT 5 for each: 50 us a message).
Promises: `send` never blocks and writes at once if the socket takes it; what is not acknowledged is bounded; however
much the broker sends, everybody else on the loop has a turn between two messages, or after TURN of short ones. What is
not read yet waits in the socket, and with the broker.
Must not know: topics, lanes, states of a link.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiomqtt
import paho.mqtt.client as paho_mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("transport")

MAX_UNACKNOWLEDGED = 512
MAX_UNACKNOWLEDGED_BYTES = 8 * 1024 * 1024
CHUNK = 16 * 1024
"""Bytes that are asked of the socket at once; longer payloads go where they belong, past our buffer."""
TURN = 0.001
"""Seconds of reading after which others have their turn; a message that takes longer is the only one of its turn."""


def paho_of(client: aiomqtt.Client) -> paho_mqtt.Client:
    """The paho client inside; the only place that knows where aiomqtt keeps it."""
    return client._client


def release(client: paho_mqtt.Client) -> None:
    """Take out of it what a pipe put in the place of its own steps: it leads to the pipe."""
    for name in ("_sock_recv", "_handle_publish"):
        vars(client).pop(name, None)


class Pipe:
    """Takes over the message path of a client that has just connected and not yet subscribed."""

    def __init__(
        self,
        client: aiomqtt.Client,
        on_message: Callable[[str, bytes], None],
        on_refused: Callable[[], None],
        busy: Callable[[], bool],
    ) -> None:
        self.broken: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._paho = paho_of(client)
        self._hand_on = on_message
        self._on_refused = on_refused
        self._busy = busy
        self._unacknowledged: dict[int, int] = {}
        self._bytes = 0
        self._goes_on = False
        self._buffer = b""
        self._at = 0  # what of the buffer was read
        self._sending = False
        self._writer: int | None = None
        self._drained: asyncio.Future[None] | None = None
        self._take_over()

    @property
    def full(self) -> bool:
        """Whether the broker has acknowledged so little that nothing more should be added."""
        return len(self._unacknowledged) >= MAX_UNACKNOWLEDGED or self._bytes >= MAX_UNACKNOWLEDGED_BYTES

    def send(self, topic: str, data: bytes, qos: int, retain: bool, properties: Properties | None) -> bool:
        """Publishes; False if the connection is gone. Ask `full` before."""
        self._sending = True
        try:
            info = self._paho.publish(topic, data, qos, retain, properties)
        finally:
            self._sending = False
        if info.rc != paho_mqtt.MQTT_ERR_SUCCESS:
            return False
        self._unacknowledged[info.mid] = len(data)
        self._bytes += len(data)
        self._flush()
        return True

    async def drain(self, seconds: float) -> bool:
        """Waits until everything sent is acknowledged; False if that takes longer than `seconds`."""
        if not self._unacknowledged:
            return True
        self._drained = self._loop.create_future()
        ends: set[asyncio.Future[Any]] = {self._drained, self.broken}
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._drained.done()

    def _take_over(self) -> None:
        client = self._paho
        client.on_publish = self._on_publish
        # aiomqtt's own pair goes through call_soon_threadsafe and add_writer, because connecting happens in a thread.
        # That is over now; a writer it may have left behind would never be removed by our pair.
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        self._receive_from = client._sock_recv
        self._handle_as_paho = client._handle_publish
        client._sock_recv = self._receive  # type: ignore[method-assign]
        client._handle_publish = self._on_message  # type: ignore[method-assign]
        sock = client.socket()
        if sock is not None:
            self._loop.remove_writer(sock.fileno())
            self._loop.add_reader(sock.fileno(), self._on_readable)  # aiomqtt removes it with the socket
            self._flush()

    def _on_readable(self) -> None:
        """The socket has more; where reading goes on anyway, it need not begin twice."""
        if not self._goes_on:
            self._read()

    def _go_on(self) -> None:
        self._goes_on = False
        self._read()

    def _read(self) -> None:
        """Take in what has come, packet by packet, until nothing is left, TURN is over, or the owner is busy.

        The loop comes back at once while the socket has more.

        paho's own `loop_read` takes as many packets as we have messages unacknowledged, up to MAX_UNACKNOWLEDGED, and
        each of them may be a question that keeps that number up.
        """
        client, until = self._paho, time.perf_counter() + TURN
        try:
            while client.socket() is not None and not self._busy():
                outcome = client._packet_read()
                if outcome > 0:
                    client._loop_rc_handle(outcome)
                if outcome != paho_mqtt.MQTT_ERR_SUCCESS or self._dry or time.perf_counter() >= until:
                    break
            if self._has_more():
                self._goes_on = True
                self._loop.call_soon(self._go_on)
        except Exception as error:
            sock = client.socket()
            if sock is not None:
                self._loop.remove_reader(sock.fileno())
            self._give_up(error)

    def _receive(self, bufsize: int) -> bytes:
        """What paho asks of its socket: for each packet a byte, another or more, then the rest. One system call has
        them all, most often of several packets.
        """
        if self._at == len(self._buffer):
            if bufsize >= CHUNK:
                return self._receive_from(bufsize)
            self._buffer, self._at = b"", 0  # should the next line raise
            self._buffer = self._receive_from(CHUNK)
        data = self._buffer[self._at : self._at + bufsize]
        self._at += len(data)
        return data

    @property
    def _dry(self) -> bool:
        """Whether everything was read, as far as is known: the last time the socket had less than was asked for."""
        return self._at == len(self._buffer) < CHUNK

    def _has_more(self) -> bool:
        """Whether there is something that the socket will not tell the loop of: read, or decrypted, already."""
        sock = self._paho.socket()
        if sock is None:
            return False
        pending = getattr(sock, "pending", None)
        return self._at < len(self._buffer) or (pending is not None and pending() > 0)

    def _give_up(self, error: Exception) -> None:
        if not self.broken.done():
            self.broken.set_result(error)

    def _flush(self) -> None:
        try:
            self._paho.loop_write()
            sock = self._paho.socket()
            if sock is not None and self._writer is None and self._paho.want_write():
                self._writer = sock.fileno()
                self._loop.add_writer(self._writer, self._flush)
        except Exception as error:
            self._give_up(error)

    def _on_register_write(self, client: object, userdata: object, sock: object) -> None:
        if not self._sending:
            # Most often an acknowledgement: nobody waits for it, and the system call wakes the broker. So it leaves
            # after another look at the sockets: whoever waits for what has just come is answered first.
            self._loop.call_soon(self._loop.call_soon, self._flush)

    def _on_unregister_write(self, client: object, userdata: object, sock: object) -> None:
        if self._writer is not None:
            self._loop.remove_writer(self._writer)
            self._writer = None

    def _on_message(self) -> MQTTErrorCode:
        """A PUBLISH came: hand it on, then acknowledge it."""
        client = self._paho
        packet = client._in_packet
        if packet["command"] & 0x04:
            # We did not subscribe to quality of service 2, but some brokers (amqtt is one) send a last will as it was
            # made. paho answers it, and nobody hears it: it is no message of ours, and must not end the connection.
            return self._handle_as_paho()
        topic, number, data = published(packet["command"], bytes(packet["packet"]), client.protocol == paho_mqtt.MQTTv5)
        try:
            self._hand_on(topic, data)
        except Exception:
            # An exception would end the connection; nothing a single message does is worth that.
            log.exception("a message could not be handled and was dropped")
        return client._send_puback(number) if number else paho_mqtt.MQTT_ERR_SUCCESS

    def _on_publish(self, client: object, userdata: object, mid: int, code: ReasonCode, properties: Any) -> None:
        self._bytes -= self._unacknowledged.pop(mid, 0)
        if code.is_failure:
            self._on_refused()
        if not self._unacknowledged and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


def published(head: int, packet: bytes, v5: bool) -> tuple[str, int, bytes]:
    """Topic, number (0: none to acknowledge) and payload of a PUBLISH (MQTT 5, 3.3) without its length; `head`: the
    first byte. Its properties are passed over: none of them changes what we do. ValueError or IndexError for what no
    broker may send.
    """
    at = 2 + int.from_bytes(packet[:2])
    topic, number = packet[2:at], 0
    if head & 0x06:
        number, at = int.from_bytes(packet[at : at + 2]), at + 2
        if head & 0x04 or not number:
            raise ValueError("a PUBLISH of a quality of service that was not subscribed to, or without a number")
    if v5:
        size, at = _variable(packet, at)
        at += size
    if at > len(packet):
        raise ValueError("a PUBLISH that ends too soon")
    try:
        return topic.decode(), number, packet[at:]
    except UnicodeDecodeError:
        return "", number, packet[at:]  # in nobody's filters


def _variable(packet: bytes, at: int) -> tuple[int, int]:
    """The variable byte integer (MQTT 5, 1.5.5) at this place, and the place behind it."""
    value = 0
    for shift in (0, 7, 14, 21):
        byte = packet[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a length of more than four bytes")
