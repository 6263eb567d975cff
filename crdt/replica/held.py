"""Received frames that wait for what they depend on.

Promises: bounded bytes, bounded time; what is dropped here is not lost, a pull brings it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from crdt.dots import Actor
from crdt.frame import Frame


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A frame, its bytes, and when it came."""

    frame: Frame
    data: bytes
    since: float


class Held:
    """Frames by (actor, first, last), in order of arrival."""

    __slots__ = ("_frames", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._frames: dict[tuple[Actor, int, int], HeldFrame] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[HeldFrame]:
        return iter(list(self._frames.values()))

    def first(self, limit: int) -> Iterator[HeldFrame]:
        """The oldest ones."""
        return islice(self._frames.values(), limit)

    def spans(self, limit: int) -> list[tuple[Actor, int, int]]:
        """What is held, as at most `limit` runs (actor, first, last)."""
        out: list[tuple[Actor, int, int]] = []
        for actor, first, last in sorted(self._frames):
            if out and out[-1][0] == actor and first <= out[-1][2] + 1:
                out[-1] = (actor, out[-1][1], max(last, out[-1][2]))
            elif len(out) == limit:
                break
            else:
                out.append((actor, first, last))
        return out

    def add(self, frame: Frame, data: bytes, now: float) -> bool:
        """Hold a frame; False if there is no room."""
        name = (frame.actor, frame.first, frame.last)
        if name in self._frames:
            return True
        if self.bytes + len(data) > self.limit:
            return False
        self._frames[name] = HeldFrame(frame, data, now)
        self.bytes += len(data)
        return True

    def remove(self, held: HeldFrame) -> None:
        """It was applied, became pointless or too old."""
        frame = held.frame
        if self._frames.pop((frame.actor, frame.first, frame.last), None) is not None:
            self.bytes -= len(held.data)

    def expire(self, before: float) -> int:
        """Drop what came before this time; how many."""
        old = [held for held in self if held.since < before]
        for held in old:
            self.remove(held)
        return len(old)
