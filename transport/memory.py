"""The transport through hubs of memory: for tests of what sits above, and for the simulator.

Every message passes through a topic and bytes, as over MQTT, so that nothing can be shared by accident. Without an
event loop: `connect`, then `hub.step()` or `hub.advance(tick)`; with one: `start` and `stop`, and the hub steps itself.
Knows: hubs. Promises: `Transport` of interface.py, and the same run for the same seed. Must not know: MQTT clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from transport.door import Door
from transport.interface import PRESENCE, LinkState, LinkStatus, Outgoing, Owner
from transport.memory_hub import Client, Connection, Hub
from transport.topics import Topics
from transport.traffic import Counters
from transport.wire import DEFAULT_MAX_MESSAGE


class MemoryTransport:
    """One replica on one or several hubs."""

    def __init__(
        self,
        hubs: Sequence[Hub],
        replica: str,
        spaces: tuple[str, ...],
        prefix: str = "gs",
        max_message: int = DEFAULT_MAX_MESSAGE,
    ) -> None:
        """`max_message` in bytes of payload. Raises ValueError if a name is not allowed."""
        self._door = Door(Topics(prefix, replica, spaces), max_message)
        self.counters: Counters = self._door.counters
        self._links = [_Link(hub, self._door, self) for hub in hubs]

    def listen(self, owner: Owner) -> None:
        """See `Transport.listen`."""
        self._door.listen(owner)

    def publish(self, space: str, lane: str, to: str | None, data: bytes) -> bool:
        """See `Transport.publish`."""
        topic = self._door.outgoing(space, lane, to, data)
        if len(data) > self._door.max_message:
            self.counters.dropped["too_large"] += 1
            return False
        refusals = [link.offer(topic, lane, data) for link in self._links]
        if None in refusals:
            return True
        self.counters.dropped["mute" if "mute" in refusals else "disconnected"] += 1
        return False

    def ready_in(self) -> float:
        """See `Transport.ready_in`."""
        return 0.0

    def links(self) -> list[LinkStatus]:
        """See `Transport.links`."""
        return [link.status() for link in self._links]

    def connect(self) -> None:
        """Begins to connect: it happens in the hub's next step."""
        for link in self._links:
            link.hub.join(link)

    def disconnect(self, farewell: Sequence[Outgoing] = ()) -> None:
        """Publishes `farewell` and takes leave, without a will."""
        self._door.close()
        for link in self._links:
            for out in farewell:
                link.offer(self._door.outgoing(out.space, out.lane, out.to, out.data), out.lane, out.data)
            link.end(clean=True)

    def kill(self) -> None:
        """Ends as by `kill -9`: the hubs notice and publish the will; the owner hears nothing any more."""
        self._door.close()
        for link in self._links:
            link.end(clean=False)

    async def start(self) -> None:
        """See `Transport.start`."""
        for link in self._links:
            link.hub.run_by(asyncio.get_running_loop().call_soon)
        self.connect()

    async def stop(self, farewell: Sequence[Outgoing] = ()) -> None:
        """See `Transport.stop`."""
        self.disconnect(farewell)

    def link_changed(self, was_up: bool, is_up: bool) -> None:
        """A link became usable, or stopped to be."""
        if is_up and not was_up:
            self._door.connected()
        elif was_up and not is_up and not any(link.up for link in self._links):
            self._door.disconnected()


class _Link(Client):
    """This replica on one hub."""

    def __init__(self, hub: Hub, door: Door, owner: MemoryTransport) -> None:
        self.hub = hub
        self.replica = door.topics.replica
        self._door = door
        self._owner = owner
        self._connection: Connection | None = None
        self._state: LinkState = "connecting"
        self._reason: str | None = "not yet connected"

    @property
    def up(self) -> bool:
        return self._state == "connected"

    def status(self) -> LinkStatus:
        return LinkStatus(f"memory://{self.hub.name}", self._state, 0.0 if self.up else None, self._reason)

    def offer(self, topic: str, lane: str, data: bytes) -> str | None:
        if self._connection is None:
            return "disconnected"
        self._door.counters.sent(lane, len(topic) + len(data))
        self._connection.publish(topic, bytes(data), retain=lane == PRESENCE)
        return None if self.up else "mute"

    def end(self, clean: bool) -> None:
        self.hub.leave(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(clean)
        self._state, self._reason = "connecting", "stopped"

    def can_connect(self) -> None:
        if self._connection is not None:
            return
        topics = self._door.topics
        filters = (
            *((f, True) for f in [*topics.broadcast_filters(), topics.daemon_filter()]),
            *((f, False) for f in topics.inbox_filters()),
        )
        connection = Connection(self.hub, self.replica, filters, self._door.will(), self._door.incoming)
        why_not = self.hub.open(connection)
        if why_not is None:
            self._connection = connection
            self.muted()
        else:
            self._become("refused" if self.hub.is_refused(self.replica) else "connecting", why_not)

    def connection_lost(self, reason: str) -> None:
        if self._connection is not None and not self._connection.is_open:
            self._connection = None
            self._become("connecting", reason)

    def muted(self) -> None:
        if self._connection is not None:
            mute = self.hub.is_mute(self.replica)
            self._become("mute" if mute else "connected", "what is published does not come back" if mute else None)

    def _become(self, state: LinkState, reason: str | None) -> None:
        was_up = self.up
        self._state, self._reason = state, reason
        self._owner.link_changed(was_up, self.up)
