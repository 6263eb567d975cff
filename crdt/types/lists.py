"""Lists: elements in an order that all replicas agree on, each a register at its place.

Truth table (A and B concurrent, then exchanged; the list was m n before, and B's clock is ahead):

    A                   B                   the list after
    RPUSH a a2          RPUSH b b2          m n a a2 b b2: what one pushed stays together, in the same order everywhere
    LPUSH a a2          LPUSH b b2          b2 b a2 a m n
    LINSERT AFTER m a   LINSERT AFTER m b   m b a n
    RPUSH a             LPOP                n a
    LPOP                LPOP                n: both got m
    LPOP                RPOP                nothing: the key is gone
    LSET 0 a            LPOP                a n: a set element outlives a removal that had not seen it
    LSET 0 a            LSET 0 b            b n: the later by clock
    LREM m              LSET 0 b            b n
    LTRIM 1 1           RPUSH b             n b
    DEL                 RPUSH b             b
    LMOVE x             LMOVE x             n: and x has m twice, because both moved it

Which of two runs comes first is the same everywhere, but nobody's choice: the clocks have no say. A row is (place,
value): places are crdt/places.py. LSET writes another row at the same place; where several stand, they were set at
once, and the latest is shown. An element that was removed leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from crdt import places
from crdt.entry import GONE, Entry, Gone, Raw, Wire
from crdt.errors import NoSuchKeyError, UsageError, WrongTypeError
from crdt.sequence import Sequence as Elements
from crdt.state import RANGE_FROM, State

OUT_OF_RANGE: Final = "ERR index out of range"


class Several:
    """The values of an element that was set at several replicas at once, by dot."""

    __slots__ = ("values",)

    def __init__(self, dot: int, value: bytes) -> None:
        self.values: dict[int, bytes] = {dot: value}

    def order(self, state: State) -> list[int]:
        """The dots, the one that is shown first: highest timestamp, ties by actor and sequence."""
        return sorted(self.values, key=lambda dot: (state.hlc(dot), state.name(dot)), reverse=True)


class ListEntry(Entry):
    """`elements`: at each place a value with its dot as number, or Several and 0; `contests` of the latter."""

    __slots__ = ("contests", "elements")

    CODE = 8
    NAME = "list"
    RANK = 15
    SINGLE = False
    ADDED = "rpush"
    REMOVED = "lrem"
    PLACED = True

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.elements = Elements()
        self.contests = 0

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        at = self.elements.find(field)
        if at is None:
            return GONE
        block, i = at
        item = block.items[i]
        if block.numbers[i] == dot:
            return item
        return item.values.get(dot, GONE) if type(item) is Several else GONE

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        assert field is not None
        at = self.elements.find(field)
        if at is None:
            self.elements.insert(field, dot, payload)
            return
        block, i = at
        item = block.items[i]
        if type(item) is not Several:
            if block.numbers[i] == dot:
                return
            item = block.items[i] = Several(block.numbers[i], item)
            block.numbers[i] = 0
            self.contests += 1
        item.values[dot] = payload
        state.contest(self, field)

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        assert payloads is not None
        if self.elements.insert_run(fields, dots, payloads):
            return
        at = 0
        while at < len(fields):
            count = self.elements.insert_ahead(fields, dots, payloads, at)
            if not count:
                self.insert(state, fields[at], payloads[at], dots[at])
            at += count or 1

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        at = self.elements.find(field)
        if at is None:
            return GONE
        block, i = at
        item = block.items[i]
        if block.numbers[i] == dot:
            self.elements.remove(field)
            return item
        if type(item) is not Several or dot not in item.values:
            return GONE
        value = item.values.pop(dot)
        if len(item.values) == 1:
            block.numbers[i], block.items[i] = item.values.popitem()
            self.contests -= 1
        return value

    def raws(self, fields: list[bytes], dots: Sequence[int]) -> list[Raw | Gone]:
        if fields[0] > fields[-1]:  # pushed to the left
            return self.raws(fields[::-1], dots[::-1])[::-1]
        out: list[Raw | Gone] = []
        while len(out) < len(fields):
            at = len(out)
            start, count = self._run(fields, dots, at)
            if count:
                out += self.elements.items(start, start + count)
            else:
                out.append(self.row(fields[at], dots[at]))
        return out

    def discard_all(self, state: State, fields: list[bytes], dots: Sequence[int]) -> list[Raw | Gone]:
        if fields[0] > fields[-1]:
            return self.discard_all(state, fields[::-1], dots[::-1])[::-1]
        out: list[Raw | Gone] = []
        while len(out) < len(fields):
            at = len(out)
            start, count = self._run(fields, dots, at)
            if count:
                out += self.elements.cut(start, start + count)[2]
            else:
                out.append(self.discard(state, fields[at], dots[at]))
        return out

    def _run(self, fields: list[bytes], dots: Sequence[int], at: int) -> tuple[int, int]:
        """Index, and how many of these rows from `at` on are the only ones of elements that stand side by side there;
        0: fewer than two.
        """
        found = self.elements.find(fields[at])
        if found is None or at + 1 == len(fields):
            return 0, 0
        block, i = found
        if block.places[i + 1 : i + 2] != fields[at + 1 : at + 2] and i + 1 < len(block.places):
            return 0, 0  # as a rule nothing is in a row here: do not compare everything
        start = self.elements.index(fields[at])
        return start, self.elements.alike(start, fields, dots, at)

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        for place, number, item in self.elements:
            if number:
                yield place, number, item
            else:
                for dot, value in item.values.items():
                    yield place, dot, value

    def visible(self) -> bool:
        return len(self.elements) > 0

    def empty(self) -> bool:
        return not len(self.elements)

    def contested(self, field: bytes | None) -> bool:
        assert field is not None
        at = self.elements.find(field)
        return at is not None and at[0].numbers[at[1]] == 0

    def erase(self, state: State) -> None:
        rows = list(self.rows())
        self.elements, self.contests = Elements(), 0
        if len(rows) > RANGE_FROM:
            state.sweep(self, iter(rows), (dot for _, dot, _ in rows))
            return
        committed = [state.retire(dot, self, place, value) for place, dot, value in rows]
        if any(committed):
            state.gap()

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return type(field) is bytes and type(payload) is bytes and places.is_place(field)

    @classmethod
    def renamed(cls, field: bytes, old: int, new: int, cut: int) -> bytes:
        return places.renamed(field, places.seed_bytes(old), places.seed_bytes(new), cut)

    # -- what the types made of elements are written with

    def shown(self, state: State, start: int, stop: int) -> list[bytes]:
        """The values of the elements start <= index < stop; 0 <= start."""
        items = self.elements.items(start, stop)
        if self.contests:
            items = [i.values[i.order(state)[0]] if type(i) is Several else i for i in items]
        return items

    def add(self, state: State, index: int, values: Sequence[bytes], leftwards: bool = False) -> None:
        """Put values before the element with this index; `leftwards`: each before the one before it."""
        if len(values) == 1:
            self.add_one(state, index, values[0])
            return
        seed = places.seed_bytes(state.me.seed)
        new = self.elements.between(index, seed, state.seq + 1, len(values), leftwards)
        fresh = self.elements.insert_run(new, state.add_all(self, new), list(values))
        assert fresh, "new places lie side by side"

    def add_one(self, state: State, index: int, value: bytes) -> None:
        """Put a value before the element with this index."""
        me, dot = state.me, state.dot + 1
        state.add(self, self.elements.write(index, me.seed, dot - me.base, dot, value))

    def take(self, state: State, start: int, count: int) -> None:
        """Remove so many elements from an index on."""
        if count == len(self.elements):
            self.erase(state)
            return
        gone = [self.elements.pop(start)] if count == 1 else zip(*self.elements.cut(start, start + count), strict=True)
        self.retire(state, gone)

    def retire(self, state: State, gone: Iterable[tuple[bytes, int, Any]]) -> None:
        """Rows that were taken out of `elements`: (place, number, item)."""
        committed = False
        for place, number, item in gone:
            if number:
                committed |= state.retire(number, self, place, item)
            else:
                self.contests -= 1
                for dot, value in item.values.items():
                    committed |= state.retire(dot, self, place, value)
        if committed:
            state.gap()


def of(state: State, key: bytes, kind: type[ListEntry] = ListEntry) -> ListEntry | None:
    """The list (or text) under a key, None if there is no such key. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        return None
    if type(entry) is not kind:
        raise WrongTypeError
    assert isinstance(entry, ListEntry)
    return entry


def made(state: State, key: bytes, kind: type[ListEntry] = ListEntry) -> ListEntry:
    """The same, made where there is none; the caller puts an element into it. Raises WrongTypeError."""
    entry = of(state, key, kind) or state.create(kind, key)
    assert isinstance(entry, ListEntry)
    return entry


def size(state: State, key: bytes) -> int:
    """LLEN. Raises WrongTypeError."""
    entry = of(state, key)
    return 0 if entry is None else len(entry.elements)


def values(state: State, key: bytes, start: int = 0, stop: int | None = None) -> list[bytes]:
    """The elements start <= index < stop (None: to the end); 0 <= start. Raises WrongTypeError."""
    entry = of(state, key)
    return [] if entry is None else entry.shown(state, start, len(entry.elements) if stop is None else stop)


def push(state: State, key: bytes, new: Sequence[bytes], leftwards: bool = False) -> int:
    """RPUSH, or LPUSH (`leftwards`), of at least one element. The new length. Raises WrongTypeError."""
    entry = made(state, key)
    entry.add(state, 0 if leftwards else len(entry.elements), new, leftwards)
    return len(entry.elements)


def pop(state: State, key: bytes, count: int, left: bool) -> list[bytes]:
    """Remove up to `count` elements from one end; they come in the order in which they left. Raises WrongTypeError."""
    entry = of(state, key)
    if entry is None or count <= 0:
        return []
    length = len(entry.elements)
    count = min(count, length)
    start = 0 if left else length - count
    taken = entry.shown(state, start, start + count)
    entry.take(state, start, count)
    _settled(state, entry)
    return taken if left else taken[::-1]


def _settled(state: State, entry: ListEntry) -> None:
    if not entry.visible():
        state.settle(entry)


def put(state: State, key: bytes, index: int, value: bytes) -> None:
    """LSET: replace what stands at an index (negative: from the end). Raises NoSuchKeyError, UsageError."""
    entry = of(state, key)
    if entry is None:
        raise NoSuchKeyError
    index += len(entry.elements) if index < 0 else 0
    if not 0 <= index < len(entry.elements):
        raise UsageError(OUT_OF_RANGE)
    block, i = entry.elements.at(index)
    place, number, item = block.places[i], block.numbers[i], block.items[i]
    if number > state.mark:
        block.items[i] = value
        return
    if number:
        state.retire(number, entry, place, item)
    else:
        entry.contests -= 1
        for dot, old in item.values.items():
            state.retire(dot, entry, place, old)
    block.numbers[i], block.items[i] = state.add(entry, place), value


def insert(state: State, key: bytes, pivot: bytes, value: bytes, after: bool) -> int:
    """LINSERT beside the first element that equals `pivot`. The new length, -1 without pivot, 0 without key."""
    entry = of(state, key)
    if entry is None:
        return 0
    try:
        index = entry.shown(state, 0, len(entry.elements)).index(pivot)
    except ValueError:
        return -1
    entry.add(state, index + after, [value])
    return len(entry.elements)


def remove(state: State, key: bytes, value: bytes, count: int = 0) -> int:
    """LREM: the first `count` that equal `value` (negative: the last; 0: all). How many. Raises WrongTypeError."""
    entry = of(state, key)
    if entry is None:
        return 0
    found = list(equal(entry.shown(state, 0, len(entry.elements)), value))
    found = found[:count] if count > 0 else found[count:] if count < 0 else found
    gone: list[tuple[bytes, int, Any]] = []
    stop = len(found)
    while stop:  # neighbours leave together, the last first
        start = stop - 1
        while start and found[start - 1] == found[start] - 1:
            start -= 1
        gone += zip(*entry.elements.cut(found[start], found[start] + stop - start), strict=True)
        stop = start
    entry.retire(state, gone)
    _settled(state, entry)
    return len(found)


def equal(among: list[bytes], value: bytes) -> Iterator[int]:
    """The indexes at which `value` stands."""
    at = -1
    try:
        while True:
            at = among.index(value, at + 1)
            yield at
    except ValueError:
        return


def trim(state: State, key: bytes, start: int, stop: int) -> int:
    """LTRIM to start <= index < stop; 0 <= start. How many were removed. Raises WrongTypeError."""
    entry = of(state, key)
    if entry is None:
        return 0
    length = len(entry.elements)
    start, stop = min(start, length), min(max(start, stop), length)
    if start == stop:
        entry.erase(state)
    else:
        entry.take(state, stop, length - stop)
        entry.take(state, 0, start)
    _settled(state, entry)
    return length - len(entry.elements)


def move(state: State, source: bytes, target: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """LMOVE: take an element from an end of one list to an end of another. None if there is none.

    Raises WrongTypeError.
    """
    entry = of(state, source)
    if entry is None:
        return None
    of(state, target)
    if source == target and len(entry.elements) == 1:
        return entry.shown(state, 0, 1)[0]
    taken = pop(state, source, 1, from_left)
    push(state, target, taken, to_left)
    return taken[0]


def siblings(state: State, entry: ListEntry, place: bytes) -> list[tuple[int, bytes]]:
    """An element that was set at several replicas at once: (dot, value) with the shown one first."""
    at = entry.elements.find(place)
    assert at is not None
    several = at[0].items[at[1]]
    return [(dot, several.values[dot]) for dot in several.order(state)]
