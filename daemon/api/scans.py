"""Cursors of SCAN, SSCAN, HSCAN and ZSCAN of one space: where each walk over a collection stands.

A walk holds a list of names and gives them out by pages. The list is that of a small collection when the walk began, or
of the part of a large one (crdt/shards.py) that it has come to; a cursor says which part and where in its list.
Promises: what is there from a walk's beginning to its end is returned, once, however the collection changes meanwhile,
also if it becomes a large one, or another takes its place; no page lists more than a part, or a collection of some
300,000. Who repeats an older cursor begins anew with its part, where the walk has gone on to another: that repeats
names and misses none. Bounded memory: the walk that was not continued for longest is forgotten, and a forgotten cursor
begins a new walk. Must not know commands.
"""

from __future__ import annotations

import random
from typing import Any, Final

from crdt.shards import PARTS, Large, listed

WALKS: Final = 4096
ELEMENTS: Final = 8_000_000
"""Names held by all walks together; one walk alone may hold more."""
_PART_BITS: Final = 8
_OFFSET_BITS: Final = 24
_POSITION_BITS: Final = _PART_BITS + _OFFSET_BITS  # with 21 bits of number a cursor stays a whole number in a double
_OFFSETS: Final = (1 << _OFFSET_BITS) - 1
_NUMBERS: Final = (1 << 21) - 1


class Walk:
    """One walk: through what (None: the keys), the names at hand, which part they begin with and which follows them."""

    __slots__ = ("following", "key", "names", "part")

    def __init__(self, key: bytes | None, live: Large[Any], part: int) -> None:
        self.key = key
        self.part = part
        self.names, self.following = listed(live, part)

    def turn(self, live: Large[Any]) -> bool:
        """Go on to the next part; whether there is one."""
        if self.following == PARTS:
            return False
        self.part = self.following
        self.names, self.following = listed(live, self.part)
        return True


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

    def page(self, cursor: int, key: bytes | None, live: Large[Any], count: int) -> tuple[int, list[bytes]]:
        """The next `count` names of the walk and the cursor to go on with, 0 at the end.

        `live` is the collection as it is now; names of a page may have gone since they were listed. `key` says what is
        walked through: a cursor of something else begins anew.
        """
        number, part, offset = cursor >> _POSITION_BITS, cursor >> _OFFSET_BITS & PARTS - 1, cursor & _OFFSETS
        walk = self._walks.get(number) if cursor else None
        if walk is not None and walk.key == key and walk.part == part:
            del self._walks[number]
            self._held -= len(walk.names)
        else:
            earlier = walk is not None and walk.key == key and part < walk.part
            walk, number, offset = Walk(key, live, part if earlier else 0), 0, 0
        page = walk.names[offset : offset + count]
        offset += len(page)
        while offset >= len(walk.names) and walk.turn(live):
            more = walk.names[: count - len(page)]
            offset = len(more)
            page += more
        if offset >= len(walk.names):
            return 0, page
        number = number or self._free()
        self._walks[number] = walk
        self._held += len(walk.names)
        self._bound()
        return number << _POSITION_BITS | walk.part << _OFFSET_BITS | offset, page

    def _free(self) -> int:
        """A number for a new walk."""
        while True:
            self._number = self._number % _NUMBERS + 1
            if self._number not in self._walks:
                return self._number

    def _bound(self) -> None:
        while len(self._walks) > 1 and (self._held > ELEMENTS or len(self._walks) > WALKS):
            oldest = next(iter(self._walks))
            self._held -= len(self._walks.pop(oldest).names)
