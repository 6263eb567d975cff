"""Containers that are too large for one dictionary.

A dictionary that is full is copied in one go: 70 ms at 1.4 million elements. So one that has `LIMIT` elements grows no
further: what comes later goes to 256 others by hash, each of which is copied in a moment, and takes elements of the
first along, until that is empty.
Knows: where an element is. Promises: what a dictionary promises, but for the order; no step that depends on how many
elements there are, except walking; below `LIMIT` it costs nothing, for there it is not used at all.
Must not know: what the elements and their values are. Values are never None.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, KeysView, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

LIMIT: Final = 150_000  # a dictionary is copied at 87,381 elements, in 2 ms, and next at 174,762
_PARTS: Final = 256
_ALONG: Final = 2  # elements of the first that an element takes along
_MASK: Final = _PARTS - 1
_WHERE: Final = _MASK.__and__


class Shards(Generic[Value]):
    """See the module; the methods are those of a dict, as far as they are needed."""

    __slots__ = ("_first", "_parts")

    def __init__(self, first: dict[bytes, Value]) -> None:
        """`first` holds what there is so far; it belongs to this from now on."""
        self._first = first
        self._parts: list[dict[bytes, Value]] = [{} for _ in range(_PARTS)]

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

    def compact(self) -> None:
        """Give back what removed elements held."""
        self._first = _copied(self._first)
        self._parts = list(map(_copied, self._parts))


Large = dict[bytes, Value] | Shards[Value]


def roomy(held: Large[Value], more: int = 0) -> Large[Value]:
    """The container that so many more elements may be put into: this one, or one made of it, which replaces it.

    Who puts a few elements into one may as well ask afterwards.
    """
    return Shards(held) if isinstance(held, dict) and len(held) + more > LIMIT else held


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


def compacted(live: Large[Value]) -> Large[Value]:
    """The container, or a copy where it is mostly holes: a dict does not shrink, and walking holes costs as much."""
    if isinstance(live, dict):
        return _copied(live)
    live.compact()
    return live


def _copied(live: dict[bytes, Value]) -> dict[bytes, Value]:
    return dict(live) if sys.getsizeof(live) > 1024 + 256 * len(live) else live
