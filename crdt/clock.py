"""The hybrid logical clock, as a value: wall time comes in, timestamps come out.

Promises: timestamps never run backwards, whatever the wall clock does; a peer's timestamp is absorbed only up to wall
time + `max_drift`, so one far-future clock cannot drag the others along. Must not know: how to read a clock.

A timestamp is one int, `milliseconds << 16 | counter` (Kulkarni et al., "Logical Physical Clocks", 2014, section 4).
Causality never rests on it: it only orders concurrent writes.
"""

from __future__ import annotations

from typing import Final

COUNTER_BITS: Final = 16


class HybridClock:
    """`now` is the timestamp that new operations carry; it moves only in `tick` and `absorb`."""

    __slots__ = ("max_drift_ms", "now", "refused", "wall_ms")

    def __init__(self, now: int = 0, max_drift_ms: int = 60_000) -> None:
        self.now = now
        self.wall_ms = 0
        self.max_drift_ms = max_drift_ms
        self.refused = 0  # timestamps too far ahead to absorb

    def tick(self, wall_ms: int) -> None:
        """Wall time was read: follow it forwards, never backwards."""
        self.wall_ms = wall_ms
        hlc = wall_ms << COUNTER_BITS
        if hlc > self.now:
            self.now = hlc

    def absorb(self, hlc: int) -> bool:
        """A peer's operation carried `hlc`: what we write from now on sorts after it. False if it was too far ahead."""
        if hlc < self.now:
            return True
        if hlc >> COUNTER_BITS > self.wall_ms + self.max_drift_ms:
            self.refused += 1
            return False
        self.now = hlc + 1
        return True


def milliseconds(hlc: int) -> int:
    """Unix time in ms of a timestamp."""
    return hlc >> COUNTER_BITS
