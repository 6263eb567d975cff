"""Random keys of a container, which cannot be indexed.

Promises: a draw costs O(1) on average, and none lists more than a few parts of a container in shards; every key that
stays is drawn with equal chance, one that was just added may have to wait for an eighth of the length in draws.
Must not know: what the keys are; randomness is handed in.

Keys stand in lists of candidates, one for each part (crdt/shards.py), or one for all of a single dictionary; while that
loses its elements to the parts, which draws hasten, they are counted off instead. A try is a random place in a grid: a
column for each list, as high as the longest. Nothing may stand there, or something that has left meanwhile; then
follows another try. Each candidate has one place, so all have the same chance, however long their lists. A list that is
renewed in the middle of a draw has those that stood in it before at places below the height of the grid, because a
dict keeps what was added last behind: their chance stays the same.
Source: rejection sampling, von Neumann, "Various techniques used in connection with random digits" (1951).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crdt.shards import PARTS, Large, Shards

if TYPE_CHECKING:
    from random import Random

_PATIENCE: Final = 32  # candidates met that have left before lists are renewed; tries beside lists before the grid is


class Sampler:
    """Lists of candidates of one container, taken now and then. What has left it meanwhile is passed over."""

    __slots__ = ("_height", "_left", "_lists")

    def __init__(self) -> None:
        self._lists: list[list[bytes]] = []
        self._left: list[int] = []  # tries until a list is renewed; below 0: it may never have been taken
        self._height = 0  # no list is longer

    @property
    def spent(self) -> bool:
        """Whether the next draw lists a whole dictionary: the moment to compact it."""
        return len(self._left) != PARTS and (not self._left or self._left[0] <= 0)

    def draw(self, live: Large[Any], rng: Random) -> bytes:
        """A key of `live`, which is not empty and is the same container (or what was made of it) each time."""
        if isinstance(live, Shards):
            return self._from_parts(live, rng) if live.advance() else live.at(int(rng.random() * len(live)))
        if len(self._lists) != 1:
            self._lists, self._left = [[]], [0]
        gone = 0
        while True:
            candidates = self._lists[0]
            if self._left[0] <= 0 or not candidates or gone > _PATIENCE:
                candidates = self._renew(0, list(live))
                return candidates[int(rng.random() * len(candidates))]
            self._left[0] -= 1
            at = int(rng.random() * len(candidates))
            candidate = candidates[at]
            if candidate in live:
                return candidate
            _strike(candidates, at)
            gone += 1

    def _from_parts(self, live: Shards[Any], rng: Random) -> bytes:
        if len(self._lists) != PARTS:
            self._lists, self._left = [[] for _ in range(PARTS)], [-1] * PARTS
            self._height = self._highest(live)
        lists, left = self._lists, self._left
        gone = beside = 0
        while True:
            if beside > _PATIENCE:
                self._height, beside = self._highest(live), 0
            place = int(rng.random() * (PARTS * self._height))
            part, at = place % PARTS, place // PARTS
            if left[part] <= 0 or not lists[part] or gone > _PATIENCE:
                self._renew(part, live.names(part))
            left[part] -= 1
            candidates = lists[part]
            if at >= len(candidates):
                beside += 1
            elif candidates[at] in live:
                return candidates[at]
            else:
                _strike(candidates, at)
                gone += 1

    def _renew(self, part: int, candidates: list[bytes]) -> list[bytes]:
        self._lists[part] = candidates
        self._left[part] = len(candidates) >> 3
        self._height = max(self._height, len(candidates))  # of the grid of the next try
        return candidates

    def _highest(self, live: Shards[Any]) -> int:
        """What no list exceeds, nor those that are still to be taken will."""
        there = [len(c) if left >= 0 else n for c, left, n in zip(self._lists, self._left, live.lengths(), strict=True)]
        return max(1, *there)

    def draw_many(self, live: Large[Any], count: int, rng: Random) -> list[bytes]:
        """So many different keys, or all; if `count` is below 0, so many that may repeat."""
        size = len(live)
        if not size or count >= size:
            return list(live)
        if abs(count) > size >> 5:  # then listing all is cheaper
            return rng.sample(list(live), count) if count > 0 else rng.choices(list(live), k=-count)
        if count < 0:
            return [self.draw(live, rng) for _ in range(-count)]
        found: dict[bytes, None] = {}
        while len(found) < count:
            found[self.draw(live, rng)] = None
        return list(found)


def _strike(candidates: list[bytes], at: int) -> None:
    candidates[at] = candidates[-1]
    candidates.pop()
