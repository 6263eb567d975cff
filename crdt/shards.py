"""Containers that are too large for one dictionary.

A dictionary that is full is copied in one go: 70 ms at 1.4 million elements. So one that has `LIMIT` elements grows no
further: what comes later goes to 256 others by hash, each of which is copied in a moment, and takes elements of the
first along, until that is empty: it is *divided* then, and every element stays in the part that its hash says. Until
then there are at most some 2 `LIMIT` elements, so that they may be listed as a whole; later they are listed by part.
Knows: where an element is. Promises: what a dictionary promises, but for the order; no step that depends on how many
elements there are, except walking; below `LIMIT` it costs nothing, for there it is not used at all.
Must not know: what the elements and their values are. Values are never None.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, KeysView, Sequence
from itertools import chain, compress, islice
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

LIMIT: Final = 150_000  # a dictionary is copied at 87,381 elements, in 2 ms, and next at 174,762
PARTS: Final = 256
_AT_ONCE: Final = LIMIT // 4  # elements above the limit that one command may have put in
_ALONG: Final = 2  # elements of the first that an element takes along
_FOR_LISTS: Final = 8192  # ... and that are taken along when it is listed
_MASK: Final = PARTS - 1
_WHERE: Final = _MASK.__and__


class Shards(Generic[Value]):
    """See the module; the methods are those of a dict, as far as they are needed."""

    __slots__ = ("_first", "_parts")

    def __init__(self, first: dict[bytes, Value]) -> None:
        """`first` holds what there is so far; it belongs to this from now on."""
        self._first = first
        self._parts: list[dict[bytes, Value]] = [{} for _ in range(PARTS)]

    def __len__(self) -> int:
        return len(self._first) + sum(map(len, self._parts))

    def __bool__(self) -> bool:
        return bool(self._first) or any(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._first, *self._parts)

    def __contains__(self, key: object) -> bool:
        return key in self._first or key in self._parts[hash(key) & _MASK]

    def __getitem__(self, key: bytes) -> Value:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: Value) -> None:
        home = self._home(key)
        before = len(home)
        home[key] = value
        if self._first and len(home) > before:
            self._move(_ALONG)

    def __delitem__(self, key: bytes) -> None:
        del self._home(key)[key]

    def _home(self, key: bytes) -> dict[bytes, Value]:
        """The dictionary that holds the key, or would."""
        return self._first if key in self._first else self._parts[hash(key) & _MASK]

    @property
    def divided(self) -> bool:
        """Whether the first dictionary is empty, as it stays from then on."""
        return not self._first

    def advance(self) -> bool:
        """Somebody wants to list it: so it becomes divided also if it does not grow. Whether it is."""
        if self._first:
            self._move(_FOR_LISTS)
        return not self._first

    def lengths(self) -> list[int]:
        """How many elements there are in each part; all of them once it is divided."""
        return list(map(len, self._parts))

    def names(self, part: int) -> list[bytes]:
        """The keys of one part, those that came first first; of all there are once it is divided."""
        held = self._parts[part] = _copied(self._parts[part])
        return list(held)

    def at(self, index: int) -> bytes:
        """The key that stands there in the order of the moment, in O(`LIMIT`). Raises IndexError."""
        for held in (self._first, *self._parts):
            if index < len(held):
                return next(islice(held, index, None))
            index -= len(held)
        raise IndexError(index)

    def divide(self) -> None:
        """All elements of the first dictionary go to the others, in one step."""
        parts = self._parts
        for key, value in self._first.items():
            parts[hash(key) & _MASK][key] = value
        self._first = {}

    def _move(self, count: int) -> None:
        """So many elements of the first dictionary go to the others."""
        first, parts = self._first, self._parts
        for _ in range(min(count, len(first))):
            key, value = first.popitem()
            parts[hash(key) & _MASK][key] = value
        if not first:
            self._first = {}  # what an emptied one would go on holding

    def get(self, key: bytes) -> Value | None:
        """The value, None if there is none."""
        value = self._first.get(key)
        return self._parts[hash(key) & _MASK].get(key) if value is None else value

    def pop(self, key: bytes, default: Value | None = None) -> Value | None:
        """Remove a key; its value, `default` if it is not there."""
        return self._home(key).pop(key, default)

    def some(self) -> dict[bytes, Value]:
        """A part that is not empty, if there is one."""
        return next((part for part in self._parts if part), self._first)

    def setdefaults(self, keys: Sequence[bytes], values: Sequence[Value]) -> list[Value]:
        """The value that each key has, after those that had none got theirs from `values`."""
        if self._first:
            self._move(_ALONG * len(keys))
        if not self._first.keys().isdisjoint(keys):
            return [self._home(key).setdefault(key, value) for key, value in zip(keys, values, strict=True)]
        homes = map(self._parts.__getitem__, map(_WHERE, map(hash, keys)))
        return list(map(dict.setdefault, homes, keys, values))

    def isdisjoint(self, keys: Collection[bytes]) -> bool:
        """Whether none of these keys is here."""
        homes = map(self._parts.__getitem__, map(_WHERE, map(hash, keys)))
        return self._first.keys().isdisjoint(keys) and not any(map(dict.__contains__, homes, keys))

    def items(self) -> Iterator[tuple[bytes, Value]]:
        """Keys and values."""
        return chain(self._first.items(), *(part.items() for part in self._parts))

    def keys(self) -> KeysView[bytes]:
        """A live view of the keys."""
        return KeysView(self)


Large = dict[bytes, Value] | Shards[Value]


def roomy(held: Large[Value], more: int = 0) -> Large[Value]:
    """The container that so many more elements may be put into: this one, or one made of it, which replaces it.

    Who puts a few elements into one may as well ask afterwards.
    """
    if isinstance(held, Shards) or len(held) + more <= LIMIT:
        return held
    made = Shards(held)
    if len(held) > LIMIT + _AT_ONCE:  # one long command, or a start: its step may as well be longer by a tenth
        made.divide()
    return made


def setdefaults(held: Large[Value], keys: Sequence[bytes], values: Sequence[Value]) -> list[Value]:
    """The value that each key has, after those that had none got theirs from `values`."""
    if isinstance(held, dict):
        return list(map(held.setdefault, keys, values))
    return held.setdefaults(keys, values)


def disjoint(held: Large[Value], keys: Collection[bytes]) -> bool:
    """Whether none of these keys is there."""
    return (held.keys() if isinstance(held, dict) else held).isdisjoint(keys)


def shed(held: Large[Value], most: int) -> None:
    """Remove some elements of a container that is given up, so many at most."""
    part = held if isinstance(held, dict) else held.some()
    for _ in range(min(most, len(part))):
        part.popitem()


def listed(held: Large[Value], part: int) -> tuple[list[bytes], int]:
    """What a walk that has come to this part, or begins with part 0, goes on with: names, and the part after them.

    A divided container lists one part; any other all that belongs to this part and to later ones, and `PARTS`. So
    whoever goes on from part to part until `PARTS` has met everything that was there all the time, once, whatever
    the container has become meanwhile.
    """
    if isinstance(held, Shards) and held.advance():
        return held.names(part), part + 1
    if part:
        return list(compress(held, map(part.__le__, map(_WHERE, map(hash, held))))), PARTS
    return list(held), PARTS


def compacted(live: Large[Value]) -> Large[Value]:
    """The container, or a copy where it is mostly holes: a dict does not shrink, and walking holes costs as much.

    Shards copy a part when it is listed.
    """
    return _copied(live) if isinstance(live, dict) else live


def _copied(live: dict[bytes, Value]) -> dict[bytes, Value]:
    return dict(live) if sys.getsizeof(live) > 1024 + 256 * len(live) else live
