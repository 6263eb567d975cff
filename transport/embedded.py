"""A broker inside this process, for the demo and for tests: amqtt, pure Python, MQTT 3.1.1, state in memory only.

Not for production: it enforces no keepalive (no will when a link is half open), a second client with the same id leaves
the first one deaf, retained messages also reach clients that did not subscribe to them, and everybody is let in.
Knows: amqtt's external listener, by which the socket is ours. Promises: it listens where it was told and nowhere else
(amqtt by itself opens port 1883 to the whole network), keeps amqtt's logging quiet, says what to install if need be.
Must not know: topics, replicas.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from typing import Any

from transport.mqtt_settings import BrokerAddress

log = logging.getLogger("transport")

_CHATTY = ("amqtt", "transitions")
_LISTENER = "default"
_MQTT_5 = 5
_UNSUPPORTED_VERSION = bytes((0x20, 0x02, 0x00, 0x01))
"""A CONNACK as a 3.1.1 broker should send it. amqtt instead misreads an MQTT 5 CONNECT and waits for more of it."""


class EmbeddedBrokerMissing(Exception):
    """amqtt is not installed; the text says what to do."""


class EmbeddedBroker:
    """One broker on one address, anonymous; give it a loopback address unless the network is yours."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0: the system chooses, see `port` after `start`. Raises EmbeddedBrokerMissing."""
        if importlib.util.find_spec("amqtt") is None:
            raise EmbeddedBrokerMissing("the embedded broker needs amqtt: install gossamer[demo], or name a --broker")
        self.host = host
        self.port = port
        self._broker: Any = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it can be reached; of use after `start`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    async def start(self) -> None:
        """Listens. Raises OSError if the address cannot be used; starting twice is a bug."""
        assert self._broker is None, "already started"
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._server = await asyncio.start_server(self._on_connection, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        if not BrokerAddress.parse(self.url).is_loopback:
            log.warning("the embedded broker lets in everybody who can reach %s: for trials only", self.url)
        self._broker = importlib.import_module("amqtt.broker").Broker(
            {
                "listeners": {_LISTENER: {"type": "external"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await self._broker.start()

    async def stop(self) -> None:
        """Ends every connection and forgets everything, retained messages too. It may be started again."""
        broker, self._broker = self._broker, None
        server, self._server = self._server, None
        if broker is None or server is None:
            return
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await broker.shutdown()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # by stop() alone; asyncio would log it as an error of this callback
        except Exception as error:
            log.debug("a connection to the embedded broker ended: %s", error)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, level = await _read_connect_head(reader)
        if level == _MQTT_5:
            writer.write(_UNSUPPORTED_VERSION)
            await writer.drain()
            return
        adapters = importlib.import_module("amqtt.adapters")
        outgoing = adapters.StreamWriterAdapter(writer)
        await self._broker.external_connected(_Replay(head, reader), outgoing, _LISTENER)


class _Replay:
    """amqtt's ReaderAdapter, beginning with bytes that were already read."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        self._head = head
        self._reader = reader

    async def read(self, n: int = -1) -> bytes:
        if not self._head:
            return await (self._reader.read() if n < 0 else self._reader.readexactly(n))
        taken = self._head if n < 0 else self._head[:n]
        self._head = self._head[len(taken) :]
        return taken if len(taken) == n else taken + await self.read(n - len(taken) if n >= 0 else -1)

    def feed_eof(self) -> None:
        self._reader.feed_eof()


async def _read_connect_head(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """What was read of a CONNECT packet, and the protocol level it names: 4 is 3.1.1, 5 is 5."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:  # the remaining length goes on
        head += await reader.readexactly(1)
    name_size = await reader.readexactly(2)
    name_and_level = await reader.readexactly(int.from_bytes(name_size, "big") + 1)
    return head + name_size + name_and_level, name_and_level[-1]
