"""Random keys of a dict, which cannot be indexed.

Promises: a draw costs O(1) on average; every key that stays is drawn with equal chance, one that was just added may
have to wait for an eighth of the length in draws. Must not know: what the keys are; randomness is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from crdt.shards import Shards


class Sampler:
    """A list of candidates taken from one dict now and then. What has left the dict meanwhile is passed over."""

    __slots__ = ("_candidates", "_left")

    def __init__(self) -> None:
        self._candidates: list[bytes] = []
        self._left = 0

    @property
    def spent(self) -> bool:
        """Whether the next draw walks the whole dict: the moment to compact it."""
        return self._left <= 0

    def draw(self, live: Mapping[bytes, Any] | Shards[Any], rng: Random) -> bytes:
        """A key of `live`, which must not be empty and must be the same dict (or what was made of it) every time."""
        candidates = self._candidates
        while True:
            if self._left <= 0 or not candidates:
                candidates = self._candidates = list(live)
                self._left = len(candidates) >> 3
                return candidates[int(rng.random() * len(candidates))]
            self._left -= 1
            at = int(rng.random() * len(candidates))
            candidate = candidates[at]
            if candidate in live:
                return candidate
            candidates[at] = candidates[-1]
            candidates.pop()
