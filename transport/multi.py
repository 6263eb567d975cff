"""The transport over MQTT: one link per broker, all of them used at once.

Publishing to every broker and hearing from all of them makes duplicates; the receivers' joins make them harmless, and
one broker may fail without anybody noticing.
Knows: its links. Promises: `Transport` of interface.py. Must not know: what a link does to be connected.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from transport.door import Door
from transport.interface import LinkStatus, Outgoing, Owner
from transport.mqtt import MqttLink
from transport.mqtt_settings import MqttSettings
from transport.traffic import Counters


class MqttTransport:
    """Carries messages through the brokers of `settings`. Make it inside the event loop it shall live in."""

    def __init__(self, settings: MqttSettings, rng: random.Random | None = None) -> None:
        """`rng` spreads the retries and numbers the probes; give a seeded one where runs have to be alike."""
        rng = rng or random.Random()
        self._door = Door(settings.topics(), settings.max_message)
        self.counters: Counters = self._door.counters
        self._links = [MqttLink(address, settings, self._door, self, rng) for address in settings.brokers]

    def listen(self, owner: Owner) -> None:
        """See `Transport.listen`."""
        self._door.listen(owner)

    def publish(self, space: str, lane: str, to: str | None, data: bytes) -> bool:
        """See `Transport.publish`."""
        topic = self._door.outgoing(space, lane, to, data)
        if len(data) > self._door.max_message:
            self.counters.dropped["too_large"] += 1
            return False
        taken = False
        refusal = "disconnected"
        for link in self._links:
            reason = link.offer(topic, lane, data)
            if reason is None:
                taken = True
            elif reason != "disconnected":
                refusal = reason
        if not taken:
            self.counters.dropped[refusal] += 1
        return taken

    def ready_in(self) -> float:
        """See `Transport.ready_in`. The most patient of the usable links decides: it would take the message."""
        return min((link.ready_in() for link in self._links if link.up), default=0.0)

    def links(self) -> list[LinkStatus]:
        """See `Transport.links`."""
        return [link.status() for link in self._links]

    async def start(self) -> None:
        """See `Transport.start`."""
        for link in self._links:
            link.start()

    async def stop(self, farewell: Sequence[Outgoing] = ()) -> None:
        """See `Transport.stop`."""
        self._door.close()
        last = [(self._door.outgoing(out.space, out.lane, out.to, out.data), out.lane, out.data) for out in farewell]
        await asyncio.gather(*(link.stop(last) for link in self._links))

    def link_up(self) -> None:
        """A link became usable."""
        self._door.connected()

    def link_down(self) -> None:
        """A link stopped to be usable."""
        if not any(link.up for link in self._links):
            self._door.disconnected()
