"""What the transport itself says about bytes: how many, and the one first byte that is its own.

A payload that begins with 0x00 is an echo probe and never leaves this folder; everything else is opaque.
Knows: limits and the probe. Promises: no probe is ever mistaken for a message of the engine, nor the other way round.
Must not know: topics, links, what the engine's bytes mean.
"""

from __future__ import annotations

PROBE_BYTE = 0x00
PROBE_SIZE = 9

DEFAULT_MAX_MESSAGE = 64 * 1024
"""Bytes of payload. The strictest cloud brokers close the connection at 128 KiB for payload and topic together."""

MAX_INCOMING = 1024 * 1024
"""Bytes of payload. More generous than what we send: another replica may have been configured with a larger limit."""

PACKET_OVERHEAD = 320
"""Bytes that MQTT adds to a payload at most: fixed header, properties, and the longest topic that names allow."""


def probe(number: int) -> bytes:
    """The payload of an echo probe; `number` (64 bits) is random, so that no late echo answers a new probe."""
    return bytes((PROBE_BYTE,)) + number.to_bytes(PROBE_SIZE - 1, "big")


def is_probe(data: bytes) -> bool:
    """Whether these (not empty) bytes are the transport's own."""
    return data[0] == PROBE_BYTE


def check_payload(data: bytes) -> None:
    """ValueError for a payload the engine must not publish. (An empty one would delete what the broker retains.)"""
    if not data:
        raise ValueError("an empty payload cannot be published")
    if data[0] == PROBE_BYTE:
        raise ValueError("a payload must not begin with 0x00: that byte is the transport's")
