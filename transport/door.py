"""What every transport does at its door, in both directions: check, count, hand on.

Knows: topics, limits, counters, the callbacks of the owner. Promises: nothing foreign, empty or oversized gets in,
nothing malformed gets out, and a callback that raises harms nobody but itself.
Must not know: how bytes travel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from transport.interface import Incoming, Owner
from transport.topics import Topics
from transport.traffic import Counters
from transport.wire import MAX_INCOMING, check_payload, is_probe

log = logging.getLogger("transport")


def _nobody_listens() -> None:
    raise AssertionError("listen() has to be called before start()")


NOBODY: Final = Owner(lambda message: _nobody_listens(), _nobody_listens, _nobody_listens)


class Door:
    """The part of a transport that is the same whatever carries the bytes."""

    def __init__(self, topics: Topics, max_message: int) -> None:
        self.topics = topics
        self.counters = Counters()
        self.max_message = max_message
        self._max_incoming = max(MAX_INCOMING, max_message)
        self.owner = NOBODY
        self._closed = False

    def listen(self, owner: Owner) -> None:
        """See `Transport.listen`. To ask `busy` is up to who calls `incoming`."""
        self.owner = owner

    def close(self) -> None:
        """The owner said stop: no more callbacks."""
        self._closed = True

    def outgoing(self, space: str, lane: str, to: str | None, data: bytes) -> str:
        """The topic for a message; ValueError for what can only be a bug of the caller."""
        check_payload(data)
        return self.topics.build(space, lane, to)

    def incoming(self, topic: str, data: bytes) -> None:
        """Hands one message on, or drops and counts it. A link takes the echo it waits for out before."""
        if self._closed:
            return
        if not data:
            self.counters.dropped["empty"] += 1
            return
        if is_probe(data):  # a late one, or that of another daemon under our name
            self.counters.received("probe", len(topic) + len(data))
            return
        if len(data) > self._max_incoming:
            self.counters.dropped["oversize"] += 1
            return
        address = self.topics.parse(topic)
        if address is None:
            self.counters.dropped["foreign_topic"] += 1
            return
        self.counters.received(address.lane, len(topic) + len(data))
        try:
            self.owner.on_message(Incoming(address.space, address.lane, address.sender, data))
        except Exception:
            self.counters.dropped["callback_failed"] += 1
            log.exception("a message on %s could not be handled and was dropped", topic)

    def connected(self) -> None:
        """A link became usable."""
        self._call(self.owner.on_connected)

    def disconnected(self) -> None:
        """The last usable link was lost."""
        self._call(self.owner.on_disconnected)

    def will(self) -> tuple[str, bytes] | None:
        """Topic and payload of what the broker shall publish if this replica vanishes."""
        try:
            will = self.owner.will()
            return None if will is None else (self.outgoing(will.space, will.lane, will.to, will.data), will.data)
        except Exception:
            self.counters.dropped["callback_failed"] += 1
            log.exception("the last will could not be made; connecting without one")
            return None

    def _call(self, callback: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            callback()
        except Exception:
            self.counters.dropped["callback_failed"] += 1
            log.exception("the program failed to take note of a connection")
