"""Ways of daemons to brokers, cut in one direction or in both.

Knows: bytes and directions. Promises: its loop runs in a thread of its own; what is cut is cut when `cut` returns; the
broker behind the ways may come and go. Must not know: who is cut, when and why.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from daemon.demo.link import Cut, Link
from tests.chaos_parts.plan import Fault

_CHUNK = 64 * 1024
_WITHIN = 15.0
"""Seconds that anything here may take."""


class Way(Link):
    """A link that can also be cut for one direction; new connections wait unless they could reach the broker."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._towards, self._back = asyncio.Event(), asyncio.Event()
        self._towards.set()
        self._back.set()

    def strike(self, fault: Fault) -> None:
        """From now on nothing passes, or nothing in one direction."""
        if fault in (Fault.SILENT, Fault.MUTE, Fault.RESET, Fault.HALF_OPEN):
            # With MUTE a new connection waits as in a silent cut: its CONNECT must not arrive when it was given up.
            self.cut(Cut.RESET if fault is Fault.RESET else Cut.SILENT)
            self._towards.clear()
        if fault is not Fault.MUTE:
            self._back.clear()
        if fault is Fault.HALF_OPEN:
            for writer in self._writers:
                if self._to_broker(writer):
                    writer.transport.abort()

    def heal(self) -> None:
        super().heal()
        self._towards.set()
        self._back.set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate = self._towards if self._to_broker(writer) else self._back
        while True:
            chunk = await reader.read(_CHUNK)
            await gate.wait()
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    def _to_broker(self, writer: asyncio.StreamWriter) -> bool:
        """What is written to the broker goes out on a connection to its port."""
        peer = writer.get_extra_info("peername")
        return peer is not None and peer[1] == self._upstream[1]


class Network:
    """Ways by their names. `ports`: where each of them leads."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ways: dict[str, Way] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._call(self._start(ports))

    def url(self, name: str) -> str:
        """The broker as it is seen through this way."""
        return f"mqtt://127.0.0.1:{self._ways[name].port}"

    def strike(self, name: str, fault: Fault) -> None:
        """Cuts a way."""
        self._call(_now(lambda: self._ways[name].strike(fault)))

    def heal(self, name: str) -> None:
        """Opens it."""
        self._call(_now(self._ways[name].heal))

    def stop(self) -> None:
        """Ends every connection."""
        try:
            self._call(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_WITHIN)
            self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_WITHIN)

    async def _start(self, ports: Mapping[str, int]) -> None:
        for name, port in ports.items():
            self._ways[name] = Way("127.0.0.1", port)
            await self._ways[name].start()

    async def _stop(self) -> None:
        for way in self._ways.values():
            way.heal()
            await way.stop()


async def _now(work: Callable[[], None]) -> None:
    """In the loop's thread, where alone ways may be touched."""
    work()
