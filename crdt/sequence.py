"""An ordered sequence: elements at places, found by index and by place.

Knows: for each element its place (crdt/places.py: bytes whose order is the order of the sequence), a number and an
item that the owner keeps there. Promises: an index or a place is found in O(log n), an element comes or goes in
O(log n) on average, a run of neighbours in one go; O(live) memory: 32 bytes an element besides the place and the item.
Must not know: what the numbers and items mean, state, replicas.

    sequence = Sequence()
    places = sequence.between(2, seed, seq, 3)         three new places before the element with index 2
    sequence.insert_run(places, dots, items)
    place = sequence.write(5, seed, seq, dot, item)    both, for one element
    at = sequence.find(place)                          None, or where the element stands
    block, i = at; block.items[i]                      good until the next change
    sequence.items(0, 10); sequence.places(0, 10)      by index, like a slice

Elements lie in blocks of at most 2 * LOAD, three columns each. `_firsts` parts the places between the blocks; a tree
of counts over the blocks (P. Fenwick, "A new data structure for cumulative frequency tables", 1994) turns an index
into a block and back. The tree is rebuilt at the next use after blocks were split or joined, which happens once in
about LOAD changes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from collections.abc import Sequence as Column
from typing import Any, Final

from crdt import places as placing
from crdt.dots import WORD

LOAD: Final = 512
WRITTEN_ON: Final = 32  # elements from which on there may be a pen, which takes 250 bytes
At = tuple["Block", int]
_BYTES: Final = [bytes((byte,)) for byte in range(256)]


class Block:
    """Neighbours: columns of places, numbers and items."""

    __slots__ = ("items", "numbers", "places")

    def __init__(self, places: list[bytes], numbers: array[int], items: list[Any]) -> None:
        self.places = places
        self.numbers = numbers
        self.items = items

    def put(self, i: int, place: bytes, number: int, item: Any) -> None:
        """An element comes before position i."""
        if i == len(self.places):
            self.places.append(place)
            self.numbers.append(number)
            self.items.append(item)
        else:
            self.places.insert(i, place)
            self.numbers.insert(i, number)
            self.items.insert(i, item)


class Pen:
    """Where somebody writes on: at this position of block b, as the author with this seed; until another change.

    The next places of the bunch are `lead` and one byte each, for numbers from `base` on: `room` of them.
    """

    __slots__ = ("at", "b", "base", "first", "head", "lead", "room", "seed")

    def __init__(self, b: int, at: int, head: bytes, first: int, seed: int) -> None:
        self.b = b
        self.at = at
        self.head = head  # of the bunch's places, up to the number
        self.first = first  # operation that opened the bunch
        self.seed = seed
        self.lead = b""
        self.base = self.room = 0

    def place(self, seq: int) -> bytes:
        """The next place, named after this operation."""
        number = 3 * (seq - self.first)  # as places.py spells the offset of a place itself
        if number - self.base >= self.room:
            self.lead, self.base, self.room = placing.leading(self.head, number)
        return self.lead + _BYTES[number - self.base]


class Sequence:
    """See the module. Places are whole places, as `crdt.places.is_place` says; each stands here at most once."""

    __slots__ = ("_blocks", "_firsts", "_length", "_pen", "_tree", "_written")

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._firsts: list[bytes] = []  # everything in block i is >= _firsts[i], and below _firsts[i + 1]
        self._tree: list[int] = []  # Fenwick's, over the blocks' lengths; empty: to be rebuilt
        self._length = 0
        self._pen: Pen | None = None
        self._written = -1  # the index behind what `write` put in, if that was the last change

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[bytes, int, Any]]:
        """(place, number, item) in order; not over changes."""
        for block in self._blocks:
            yield from zip(block.places, block.numbers, block.items, strict=True)

    # -- finding ------------------------------------------------------------------------------------------------------

    def find(self, place: bytes) -> At | None:
        """Where the element at this place stands: its block and the position there."""
        b = bisect_right(self._firsts, place) - 1
        if b < 0:
            return None
        block = self._blocks[b]
        i = bisect_left(block.places, place)
        return (block, i) if i < len(block.places) and block.places[i] == place else None

    def at(self, index: int) -> At:
        """Where the element with this index (0 <= index < length) stands."""
        b, i = self._locate(index)
        return self._blocks[b], i

    def index(self, place: bytes) -> int:
        """How many elements stand before this place, whether there is one at it or not."""
        b = bisect_right(self._firsts, place) - 1
        return 0 if b < 0 else self._before(b) + bisect_left(self._blocks[b].places, place)

    def place(self, index: int) -> bytes:
        """The place of the element with this index."""
        block, i = self.at(index)
        return block.places[i]

    def places(self, start: int, stop: int) -> list[bytes]:
        """The places of the elements start <= index < stop; 0 <= start."""
        out: list[bytes] = []
        for block, i, j in self.spans(start, stop):
            out += block.places[i:j]
        return out

    def items(self, start: int, stop: int) -> list[Any]:
        """The items of the elements start <= index < stop; 0 <= start."""
        out: list[Any] = []
        for block, i, j in self.spans(start, stop):
            out += block.items[i:j]
        return out

    def spans(self, start: int, stop: int) -> Iterator[tuple[Block, int, int]]:
        """The blocks, and from where to where, of the elements start <= index < stop; 0 <= start; not over changes."""
        left = min(stop, self._length) - start
        if left <= 0:
            return
        b, i = self._locate(start)
        while left > 0:
            block = self._blocks[b]
            j = min(len(block.places), i + left)
            yield block, i, j
            left -= j - i
            b, i = b + 1, 0

    # -- changing -----------------------------------------------------------------------------------------------------

    def between(self, index: int, seed: bytes, seq: int, count: int = 1, leftwards: bool = False) -> list[bytes]:
        """New places before the element with this index (the length: at the end): see `crdt.places.between`."""
        left = self.place(index - 1) if index else None
        right = self.place(index) if index < self._length else None
        return placing.between(left, right, seed, seq, count, leftwards)

    def write(self, index: int, seed: int, seq: int, number: int, item: Any) -> bytes:
        """Put a new element before the one with this index, as `between` and `insert` do; its place.

        Whoever writes on where the last `write` ended, goes on there without looking for it.
        """
        pen = None
        if index == self._written:
            pen = self._pen
            if pen is None or pen.seed != seed:
                pen = self._take_up(index, seed, seq)
        if pen is None:
            place = self.between(index, placing.seed_bytes(seed), seq)[0]
            self.insert(place, number, item)
        else:
            place, b, at = pen.place(seq), pen.b, pen.at
            if b + 1 < len(self._firsts) and place >= self._firsts[b + 1]:
                self.insert(place, number, item)  # a place that somebody made up parts the blocks here
            else:
                self._blocks[b].put(at, place, number, item)
                pen.at = at + 1
                self._grown(b, 1)
        self._written = index + 1
        return place

    def _take_up(self, index: int, seed: int, seq: int) -> Pen | None:
        """A pen before the element with this index, if the bunch of the one before it goes on there."""
        if index < WRITTEN_ON:
            return None
        left = self.place(index - 1)
        right = self.place(index) if index < self._length else None
        bunch = placing.continued(left, right, placing.seed_bytes(seed), seq)
        if bunch is None:
            return None
        b, i = self._locate(index - 1)
        pen = self._pen = Pen(b, i + 1, left[: bunch.head], bunch.first, seed)
        return pen

    def _changed(self) -> None:
        """Nobody may write on as if nothing had happened."""
        self._pen = None
        self._written = -1

    def insert(self, place: bytes, number: int, item: Any) -> None:
        """Put an element at a place that is free; 0 <= number < 2^64."""
        self._changed()
        b = self._home(place)
        block = self._blocks[b]
        beyond = not block.places or place > block.places[-1]
        block.put(len(block.places) if beyond else bisect_left(block.places, place), place, number, item)
        self._grown(b, 1)

    def insert_run(self, places: list[bytes], numbers: Column[int], items: list[Any]) -> bool:
        """Put elements at places that ascend or descend with no other element between them, in one go.

        False, and nothing has changed, if they do not, or if there is an element at one of them.
        """
        if len(places) > 1 and places[0] > places[-1]:
            places, numbers, items = places[::-1], numbers[::-1], items[::-1]
        b = self._home(places[0])
        i = bisect_left(self._blocks[b].places, places[0])
        if not self._adjacent(b, i, places):
            return False
        self._put(b, i, places, numbers, items)
        return True

    def insert_ahead(self, places: list[bytes], numbers: Column[int], items: list[Any], at: int) -> int:
        """Put in what stands in these columns from `at` on, as far as the places ascend with no other element between.

        How many that were; 0 if there is an element at the first of these places.
        """
        b = self._home(places[at])
        i = bisect_left(self._blocks[b].places, places[at])
        after = self._after(b, i)
        if after == places[at]:
            return 0
        end = at + 1
        while end < len(places) and places[end - 1] < places[end] and (after is None or places[end] < after):
            end += 1
        self._put(b, i, places[at:end], numbers[at:end], items[at:end])
        return end - at

    def _put(self, b: int, i: int, places: list[bytes], numbers: Column[int], items: list[Any]) -> None:
        """Neighbours go before position i of a block."""
        self._changed()
        block = self._blocks[b]
        block.places[i:i] = places
        block.numbers[i:i] = array(WORD, numbers)
        block.items[i:i] = items
        self._grown(b, len(places))

    def _home(self, place: bytes) -> int:
        """The block that a new place belongs to."""
        b = bisect_right(self._firsts, place) - 1
        if b >= 0:
            return b
        if not self._blocks:
            self._blocks.append(Block([], array(WORD), []))
            self._firsts.append(place)
            self._tree = []
        self._firsts[0] = place
        return 0

    def _grown(self, b: int, count: int) -> None:
        self._length += count
        if len(self._blocks[b].places) > 2 * LOAD:
            self._split(b)
        elif self._tree:
            self._count(b, count)

    def _adjacent(self, b: int, i: int, places: list[bytes]) -> bool:
        """Whether the places ascend within the gap before position i of the block."""
        after = self._after(b, i)
        return (after is None or places[-1] < after) and all(map(bytes.__lt__, places, places[1:]))

    def _after(self, b: int, i: int) -> bytes | None:
        """A place that everything put in before position i of the block has to stay below."""
        held = self._blocks[b].places
        return held[i] if i < len(held) else self._firsts[b + 1] if b + 1 < len(self._firsts) else None

    def remove(self, place: bytes) -> tuple[int, Any] | None:
        """Take the element at this place out: its number and item; None if there is none."""
        b = bisect_right(self._firsts, place) - 1
        if b < 0:
            return None
        places = self._blocks[b].places
        i = bisect_left(places, place)
        if i == len(places) or places[i] != place:
            return None
        return self._take(b, i)

    def pop(self, index: int) -> tuple[bytes, int, Any]:
        """Take the element with this index out: its place, number and item."""
        b, i = self._locate(index)
        place = self._blocks[b].places[i]
        return (place, *self._take(b, i))

    def cut(self, start: int, stop: int) -> tuple[list[bytes], list[int], list[Any]]:
        """Take the elements start <= index < stop out in one go: their places, numbers and items; 0 <= start."""
        places: list[bytes] = []
        numbers: list[int] = []
        items: list[Any] = []
        if start >= min(stop, self._length):
            return places, numbers, items
        self._changed()
        first = self._locate(start)[0]
        spans = list(self.spans(start, stop))
        for block, i, j in spans:
            places += block.places[i:j]
            numbers += block.numbers[i:j]
            items += block.items[i:j]
            del block.places[i:j], block.numbers[i:j], block.items[i:j]
        self._length -= len(places)
        if len(spans) == 1 and self._tree:
            self._count(first, -len(places))
        else:
            self._tree = []
        for b in range(first + len(spans) - 1, first - 1, -1):
            if len(self._blocks[b].places) < LOAD // 4:
                self._shrink(b)
        return places, numbers, items

    def alike(self, start: int, places: list[bytes], numbers: Column[int], at: int) -> int:
        """How many of these columns from `at` on are the elements from index `start` on, written as they stand here."""
        total = 0
        for block, i, j in self.spans(start, start + len(places) - at):
            wanted, own = places[at : at + j - i], block.numbers[i:j]
            if block.places[i:j] != wanted or own.tolist() != list(numbers[at : at + j - i]):
                rows = zip(block.places[i:j], own, wanted, numbers[at : at + j - i], strict=True)
                return total + next(n for n, (place, number, p, q) in enumerate(rows) if place != p or number != q)
            total, at = total + j - i, at + j - i
        return total

    def _take(self, b: int, i: int) -> tuple[int, Any]:
        self._changed()
        block = self._blocks[b]
        del block.places[i]
        number, item = block.numbers.pop(i), block.items.pop(i)
        self._length -= 1
        if self._tree:
            self._count(b, -1)
        if len(block.places) < LOAD // 4:
            self._shrink(b)
        return number, item

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _split(self, b: int) -> None:
        """A block that is too long becomes several of LOAD."""
        self._pen = None
        block = self._blocks[b]
        length = len(block.places)
        starts = range(0, length - LOAD // 2, LOAD)  # the last may be half as long again, never a stub
        stops = [*starts[1:], length]
        self._blocks[b : b + 1] = [
            Block(block.places[i:j], block.numbers[i:j], block.items[i:j]) for i, j in zip(starts, stops, strict=True)
        ]
        self._firsts[b + 1 : b + 1] = [block.places[i] for i in starts[1:]]
        self._tree = []

    def _shrink(self, b: int) -> None:
        """A block that is nearly empty joins a neighbour, or goes if it is empty."""
        block = self._blocks[b]
        if block.places:
            other = b - 1 if b else b + 1
            if other == len(self._blocks) or len(self._blocks[other].places) > LOAD:
                return
            b = max(b, other)
            into = self._blocks[b - 1]
            into.places += self._blocks[b].places
            into.numbers += self._blocks[b].numbers
            into.items += self._blocks[b].items
        del self._blocks[b]
        del self._firsts[b]
        self._tree = []

    def _locate(self, index: int) -> tuple[int, int]:
        """(number of the block, position in it)."""
        last = self._blocks[-1].places
        if index >= self._length - len(last):  # the ends are where queues work
            return len(self._blocks) - 1, index - (self._length - len(last))
        if index < len(self._blocks[0].places):
            return 0, index
        tree = self._tree or self._grow_tree()
        size = len(tree)
        b, step = 0, 1 << (size - 1).bit_length()
        while step:
            if b + step < size and tree[b + step] <= index:
                b += step
                index -= tree[b]
            step >>= 1
        return b, index

    def _before(self, b: int) -> int:
        """How many elements stand in the blocks before this one."""
        tree = self._tree or self._grow_tree()
        total = 0
        while b:
            total += tree[b]
            b &= b - 1
        return total

    def _count(self, b: int, change: int) -> None:
        tree = self._tree
        size = len(tree)
        b += 1
        while b < size:
            tree[b] += change
            b += b & -b

    def _grow_tree(self) -> list[int]:
        tree = [0, *(len(block.places) for block in self._blocks)]
        size = len(tree)
        for b in range(1, size):
            above = b + (b & -b)
            if above < size:
                tree[above] += tree[b]
        self._tree = tree
        return tree
