"""Flags: enabled while any enabling stands.

    A             B             enabled
    ENABLE        DISABLE       yes: an enabling wins over a disabling that had not seen it
    DISABLE       DISABLE       no

Source: the enable-wins flag of Shapiro et al. 2011 as refined by Bieniusa et al. 2012.
"""

from __future__ import annotations

from collections.abc import Iterator

from crdt.entry import GONE, Entry, Gone, Raw, Wire
from crdt.errors import WrongTypeError
from crdt.state import State


class FlagEntry(Entry):
    """`dots` of the enablings that stand."""

    __slots__ = ("dots",)

    CODE = 6
    NAME = "flag"
    RANK = 80
    SINGLE = True
    ADDED = "set"
    REMOVED = "set"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.dots: set[int] = set()

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        return None if dot in self.dots else GONE

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        self.dots.add(dot)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        if dot not in self.dots:
            return GONE
        self.dots.discard(dot)
        return None

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        return ((None, dot, None) for dot in sorted(self.dots))

    def visible(self) -> bool:
        return bool(self.dots)

    def erase(self, state: State) -> None:
        committed = [state.retire(dot, self, None, None) for dot in sorted(self.dots)]
        if any(committed):
            state.gap()
        self.dots.clear()

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return field is None and payload is None


def _of(state: State, key: bytes) -> FlagEntry | None:
    entry = state.keys.get(key)
    if entry is not None and not isinstance(entry, FlagEntry):
        raise WrongTypeError
    return entry


def enable(state: State, key: bytes) -> bool:
    """FLAG.ENABLE. True if it was not enabled. Enabling again outlives a disabling elsewhere. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is not None and any(dot > state.mark for dot in entry.dots):
        return False
    target = entry or state.create(FlagEntry, key)
    assert isinstance(target, FlagEntry)
    for dot in sorted(target.dots):
        state.retire(dot, target, None, None)
    target.dots = {state.add(target, None)}
    return entry is None


def disable(state: State, key: bytes) -> bool:
    """FLAG.DISABLE. True if it was enabled. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is None:
        return False
    entry.erase(state)
    state.settle(entry)
    return True


def enabled(state: State, key: bytes) -> bool:
    """FLAG.GET. Raises WrongTypeError."""
    return _of(state, key) is not None
