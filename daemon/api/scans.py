"""Cursors of SCAN, SSCAN and HSCAN of one space: where each walk over a collection stands.

Knows a list of names per walk, taken when it began, so that whatever is there from its beginning to its end is returned
however the collection changes meanwhile. Promises bounded memory: the walk that was not continued for longest is
forgotten, and a forgotten cursor begins a new walk, which repeats elements and misses none. Must not know commands.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

WALKS: Final = 4096
ELEMENTS: Final = 8_000_000
"""Names held by all walks together; one walk alone may hold more."""
_POSITION_BITS: Final = 32  # with 21 bits of number a cursor stays a whole number in a double
_POSITIONS: Final = (1 << _POSITION_BITS) - 1
_NUMBERS: Final = (1 << 21) - 1


class Walk:
    """One walk: through what (None: the keys), and the names that stood there when it began."""

    __slots__ = ("key", "names")

    def __init__(self, key: bytes | None, names: list[bytes]) -> None:
        self.key = key
        self.names = names


class Scans:
    """The walks that are under way."""

    __slots__ = ("_held", "_number", "_walks")

    def __init__(self) -> None:
        self._walks: dict[int, Walk] = {}  # the one continued last stands last
        self._held = 0
        # Not from 0: a cursor given out before a restart must not be taken for one of now.
        self._number = random.getrandbits(21)

    def __len__(self) -> int:
        return len(self._walks)

    def page(self, cursor: int, key: bytes | None, names: Iterable[bytes], count: int) -> tuple[int, list[bytes]]:
        """The next `count` names of the walk and the cursor to go on with, 0 at the end.

        `names` is what is there now, used when a walk begins; names of a page may have gone since. `key` says what is
        walked through: a cursor of something else begins anew.
        """
        number, position = cursor >> _POSITION_BITS, cursor & _POSITIONS
        walk = self._walks.pop(number, None) if cursor else None
        if walk is None or walk.key != key:
            if walk is not None:
                self._walks[number] = walk
            walk, position = Walk(key, list(names)), 0
            number = self._begin(walk, count)
        following = position + count
        if following >= len(walk.names):
            if number:
                self._held -= len(walk.names)
            return 0, walk.names[position:]
        self._walks[number] = walk
        self._bound()
        return number << _POSITION_BITS | following, walk.names[position:following]

    def _begin(self, walk: Walk, count: int) -> int:
        """A number for a new walk, 0 if it ends with its first page."""
        if len(walk.names) <= count:
            return 0
        self._held += len(walk.names)
        while True:
            self._number = self._number % _NUMBERS + 1
            if self._number not in self._walks:
                return self._number

    def _bound(self) -> None:
        while len(self._walks) > 1 and (self._held > ELEMENTS or len(self._walks) > WALKS):
            oldest = next(iter(self._walks))
            self._held -= len(self._walks.pop(oldest).names)
