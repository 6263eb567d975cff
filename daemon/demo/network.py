"""The network of the demo: a broker, and a way to it for each daemon.

Knows: which daemon uses which way. Promises: its loop runs in a thread of its own, so that no program of the demo
waits for it; what is cut is cut when `cut` returns. Must not know: who is cut, when and why.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from daemon.demo.link import Cut, Link
from transport.embedded import EmbeddedBroker

T = TypeVar("T")

_WITHIN = 10.0
"""Seconds that anything here may take."""


class Network:
    """Raises EmbeddedBrokerMissing where amqtt is not installed."""

    def __init__(self, replicas: Sequence[str]) -> None:
        self._broker = EmbeddedBroker()
        self._replicas = tuple(replicas)
        self._links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def start(self) -> None:
        """Returns when broker and ways listen. Raises OSError."""
        self._thread.start()
        self._call(self._start())

    def url(self, replica: str) -> str:
        """The broker as this replica sees it."""
        return f"mqtt://127.0.0.1:{self._links[replica].port}"

    def cut(self, replica: str, how: Cut) -> None:
        """Cuts the replica off."""
        self._call(_now(lambda: self._links[replica].cut(how)))

    def heal(self) -> None:
        """Opens every way."""
        for link in self._links.values():
            self._call(_now(link.heal))

    def stop(self) -> None:
        """Ends everything; harmless if it never started."""
        if self._thread.is_alive():
            try:
                self._call(self._stop())
            finally:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(_WITHIN)
        if not self._loop.is_running():
            self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WITHIN)

    async def _start(self) -> None:
        await self._broker.start()
        for replica in self._replicas:
            link = Link("127.0.0.1", self._broker.port)
            await link.start()
            self._links[replica] = link

    async def _stop(self) -> None:
        for link in self._links.values():
            await link.stop()
        await self._broker.stop()


async def _now(work: Callable[[], None]) -> None:
    """In the loop's thread, where alone links may be touched."""
    work()
