"""Plain integers about traffic: whoever exports metrics reads them, nothing here knows how.

Knows: directions, lanes, reasons. Promises: counting costs a dictionary update. Must not know: any metrics library.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

KINDS = {"d": "delta", "h": "hello", "p": "presence", "i": "inbox", "probe": "probe"}
"""Lane -> the name of the kind for people and metrics. Our own echo probes are a kind of their own."""


def _zeroes() -> dict[str, int]:
    return dict.fromkeys(KINDS, 0)


@dataclass(slots=True)
class Counters:
    """Totals since the start. Bytes are topic + payload, as a broker's rate limit would count them.

    With several brokers a message counts once per link that carried it, and as dropped only if no link took it.
    """

    sent_messages: dict[str, int] = field(default_factory=_zeroes)
    sent_bytes: dict[str, int] = field(default_factory=_zeroes)
    received_messages: dict[str, int] = field(default_factory=_zeroes)
    received_bytes: dict[str, int] = field(default_factory=_zeroes)
    dropped: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By reason. Outgoing: disconnected, mute, rate_limited, too_large, queue_full; refused (MQTT 5: the broker's
    acknowledgement said no). Incoming: foreign_topic, empty, oversize, callback_failed."""

    def sent(self, lane: str, size: int) -> None:
        """One message of `size` bytes was handed to a link."""
        self.sent_messages[lane] += 1
        self.sent_bytes[lane] += size

    def received(self, lane: str, size: int) -> None:
        """One message of `size` bytes came from a link and will be handed on."""
        self.received_messages[lane] += 1
        self.received_bytes[lane] += size
