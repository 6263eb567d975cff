"""Received frames that wait for what they depend on.

Knows: which actor each of them waits for. Promises: bounded memory; to find what an advance sets free costs what it
sets free, however many others wait; what is dropped here is not lost, a pull brings it again.
Must not know: messages, what applying is.

A frame that lacks several things is filed under one of them only, as a clause watches one literal in a SAT solver: when
that one has come it is looked at again, and is ready or filed under another: the next that it lacks, as what has come
stays. Besides it is filed under its own actor's `last`: once that is reached (by a larger frame, a snapshot) it is
pointless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from crdt.dots import Actor
from crdt.frame import Frame
from crdt.state import State

# Bytes that a decoded frame takes beside its data, measured with CPython 3.11: a few on the wire must not fill memory.
FRAME_COST: Final = 1024
ROW_COST: Final = 90  # and its field, of which hardly a byte may have come (places, fronts)
STAMP_COST: Final = 120
COUNT_COST: Final = 100  # what a payload takes that is no string
RUN_COST: Final = 84  # of removes
DEP_COST: Final = 260  # with its place in `waits`
REMOVE_COST: Final = 400  # of whom something is removed, beside the runs
HEAL_COST: Final = 140
RANGE_COST: Final = 350

LOOKS: Final = 16  # frames that are looked at in one step

Name = tuple[Actor, int, int]


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A frame, its bytes, what both take in memory, when it came, and whether we had asked for it. `waits`: what it may
    lack, but for what has been found here; last what it is filed under.
    """

    frame: Frame
    data: bytes
    cost: int
    since: float
    vouched: bool
    waits: list[tuple[Actor, int]]


def cost(frame: Frame, data: bytes) -> int:
    """About how many bytes a frame takes, decoded and as it came: within a factor of two."""
    size = FRAME_COST + 2 * len(data) + DEP_COST * (len(frame.deps) + len(frame.named)) + HEAL_COST * len(frame.heals)
    for group in frame.groups:
        size += ROW_COST * len(group) + sum(map(len, group.fields)) + STAMP_COST * len(group.stamps)
        if group.payloads is not None and type(group.payloads[0]) is not bytes:
            size += COUNT_COST * len(group)
    for runs in frame.removes.values():
        size += REMOVE_COST + RUN_COST * len(runs.starts)
    for _, vector in frame.ranges:
        size += RANGE_COST + DEP_COST * len(vector)
    return size


class Held:
    """Frames by (actor, first, last), in order of arrival. `limit`: bytes, with what they take decoded."""

    __slots__ = ("_entries", "_frames", "_waits", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._frames: dict[Name, HeldFrame] = {}
        # actor -> heap of (n, frame): to be looked at when the actor has come to n; some of frames that are gone
        self._waits: dict[Actor, list[tuple[int, Name]]] = {}
        self._entries = 0

    def __len__(self) -> int:
        return len(self._frames)

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

    def add(self, state: State, frame: Frame, data: bytes, now: float, vouched: bool = False) -> bool:
        """Hold a frame that is not ready; False if there is no room."""
        name = (frame.actor, frame.first, frame.last)
        if name in self._frames:
            return True
        size = cost(frame, data)
        if self.bytes + size > self.limit:
            return False
        waits = [*reversed(frame.causes()), (frame.actor, frame.first - 1)]
        held = self._frames[name] = HeldFrame(frame, data, size, now, vouched, waits)
        self.bytes += size
        self._file(frame.actor, frame.last, name)
        self._watch(state, held, name)
        return True

    def pop(self, state: State, actor: Actor) -> HeldFrame | None:
        """Take out a frame that is ready, of those that had waited for this actor; None if there is none (more), or
        none among those that were looked at: then others are still `due`.
        """
        heap, applied, looks = self._waits.get(actor), state.applied(actor), 0
        while heap and heap[0][0] <= applied:
            looks += 1
            if looks > LOOKS:
                return None
            name = heappop(heap)[1]
            self._entries -= 1
            held = self._frames.get(name)
            if held is None:
                continue
            if held.frame.last <= state.applied(held.frame.actor):
                self._remove(name)
            elif not self._watch(state, held, name):
                self._remove(name)
                return held
        if heap is not None and not heap and self._waits.get(actor) is heap:
            del self._waits[actor]
        return None

    def due(self, state: State, actor: Actor) -> bool:
        """Whether something that waited for this actor is to be looked at: `pop`."""
        heap = self._waits.get(actor)
        return heap is not None and len(heap) > 0 and heap[0][0] <= state.applied(actor)

    def awaited(self) -> list[Actor]:
        """All actors that something waits for."""
        return list(self._waits)

    def expire(self, before: float) -> int:
        """Drop what came before this time; how many."""
        old = []
        for name, held in self._frames.items():
            if held.since >= before:
                break
            old.append(name)
        for name in old:
            self._remove(name)
        return len(old)

    def _remove(self, name: Name) -> None:
        self.bytes -= self._frames.pop(name).cost

    def _watch(self, state: State, held: HeldFrame, name: Name) -> bool:
        """File it under something that it lacks; False if it is ready."""
        waits = held.waits
        while waits and waits[-1][1] <= state.applied(waits[-1][0]):
            waits.pop()
        if not waits:
            lacking = state.lacks(held.frame)  # nothing goes out that the state itself does not find ready
            if lacking is None:
                return False
            waits.append(lacking)
        self._file(*waits[-1], name)
        return True

    def _file(self, actor: Actor, n: int, name: Name) -> None:
        heappush(self._waits.setdefault(actor, []), (n, name))
        self._entries += 1
        if self._entries > 4 * len(self._frames) + 64:
            self._tidy()

    def _tidy(self) -> None:
        """Forget what is filed of frames that are gone."""
        for actor, heap in list(self._waits.items()):
            heap[:] = sorted({entry for entry in heap if entry[1] in self._frames})  # in place: `pop` may be at it
            if not heap:
                del self._waits[actor]
        self._entries = sum(map(len, self._waits.values()))
