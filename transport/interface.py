"""What a transport is to the rest of the program, and nothing about how any of them works.

Knows: the four lanes, the shapes of what comes in and goes out, the state of a link.
Promises: every transport in this folder passes the one conformance suite written against this file.
Must not know: MQTT, sockets, what a payload means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from transport.traffic import Counters

DELTA = "d"
HELLO = "h"
PRESENCE = "p"
INBOX = "i"

EVERYWHERE = "_"
"""In place of a space, on the presence lane only: what is said holds for all spaces that the sender is in."""

BROADCAST_LANES = (DELTA, HELLO, PRESENCE)
LANES = (*BROADCAST_LANES, INBOX)

LinkState = Literal["connected", "connecting", "refused", "mute"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message that arrived.

    `sender` is the replica's name taken from the topic, which a broker's ACL can guarantee; what the payload says about
    its origin is the receiver's to compare. It may be our own name: a second daemon may run under it, and a broker
    without "no local" hands our own broadcasts back.
    """

    space: str
    lane: str
    sender: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be published, with the meaning of `Transport.publish`: a will or a farewell."""

    space: str
    lane: str
    to: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """How one broker looks from here.

    connected: an echo came back. connecting: trying, or waiting to try again. refused: the broker (or our own rule
    about passwords in the clear) says no, and a person has to act; tried again every few minutes. mute: connected, but
    what we publish does not come back. `round_trip_seconds` is that of the last echo, None before the first.
    `reason` is a sentence for a person, None when connected.
    """

    url: str
    state: LinkState
    round_trip_seconds: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Owner:
    """What whoever owns a transport wants to hear, and is asked.

    `on_message` is called straight from the reader: what takes long there delays everything else. It may publish.
    `on_connected` is called every time a link becomes usable, also when another one already is: whoever listens
    there has not heard of us yet. `on_disconnected` is called when the last usable link is lost. `will` is asked at
    each attempt to connect for what the broker shall publish if we vanish; MQTT has one will a connection, so one
    that is to be heard in several spaces goes to EVERYWHERE. While `busy` says so no message is handed over; it is
    asked again in every turn of the loop, and what has come waits with the broker (memory hands it over all the
    same).
    """

    on_message: Callable[[Incoming], None]
    on_connected: Callable[[], None]
    on_disconnected: Callable[[], None]
    will: Callable[[], Outgoing | None] = lambda: None
    busy: Callable[[], bool] = lambda: False


class Transport(Protocol):
    """Publishes to all replicas of a space or to one of them. All calls on the event loop's thread."""

    counters: Counters

    def listen(self, owner: Owner) -> None:
        """Says whom to call; once, before `start`.

        An exception from a callback is logged and counted ("callback_failed"), and changes nothing else. Once `stop`
        has been called there are no more callbacks.
        """
        ...

    def publish(self, space: str, lane: str, to: str | None, data: bytes) -> bool:
        """Hands one message to every link that takes it; never blocks, never queues without bound.

        `to` is a replica's name for INBOX and None for the broadcast lanes. True: at least one link took it (not: it
        arrived). False: dropped, and counted in `counters.dropped` as disconnected, mute, rate_limited, too_large or
        queue_full. Raises ValueError for what can only be a bug of the caller: an unknown space or lane, a bad name, a
        payload that is empty or begins with 0x00.
        """
        ...

    def ready_in(self) -> float:
        """Seconds until the rate limit would let a message of full size pass; 0.0 = now. Cut the next frame then."""
        ...

    def links(self) -> list[LinkStatus]:
        """The state of each broker, in the order of the settings."""
        ...

    async def start(self) -> None:
        """Begins to connect, and returns at once: a broker that is down, or refuses, is no error."""
        ...

    async def stop(self, farewell: Sequence[Outgoing] = ()) -> None:
        """Publishes `farewell` on each link, takes leave of the brokers (no will), and ends. At most about 2 s."""
        ...
