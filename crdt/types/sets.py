"""Sets, and grow-only sets: one row per addition of an element.

Truth table (A and B concurrent, then exchanged; x was a member before):

    A             B             x is a member
    SADD x        SADD x        yes
    SADD x        SREM x        yes: an addition wins over a removal that had not seen it
    SREM x        SREM x        no
    DEL           SADD y        y alone

Adding a member that is there already is a write as well: it outlives a removal elsewhere that has not seen it.
Source: the optimized observed-remove set of Bieniusa et al., "An optimized conflict-free replicated set" (2012).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crdt.entry import GONE, Entry, Gone, Leaving, Raw, Wire
from crdt.errors import WrongTypeError
from crdt.sampler import Sampler
from crdt.shards import Large, compacted, roomy, setdefaults
from crdt.state import RANGE_FROM, State

if TYPE_CHECKING:
    from random import Random


class SetEntry(Entry):
    """`dots`: element -> its dot, or a tuple of dots where several additions stand side by side."""

    __slots__ = ("dots", "sampler")

    CODE = 4
    NAME = "set"
    RANK = 20
    SINGLE = False
    ADDED = "sadd"
    REMOVED = "srem"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.dots: Large[int | tuple[int, ...]] = {}
        self.sampler: Sampler | None = None

    def holds(self, field: bytes | None, dot: int) -> bool:
        held = self.dots.get(field)  # type: ignore[arg-type]
        return held == dot or (type(held) is tuple and dot in held)

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        held = self.dots.get(field)  # type: ignore[arg-type]
        return None if held == dot or (type(held) is tuple and dot in held) else GONE

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        assert field is not None
        held = self.dots.get(field)
        if held is None:
            self.dots[field] = dot
            self.dots = roomy(self.dots)
        elif not self.holds(field, dot):
            self.dots[field] = (*held, dot) if isinstance(held, tuple) else (held, dot)

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        self.dots = roomy(self.dots, len(fields))
        held = setdefaults(self.dots, fields, dots)
        if held != dots:  # members that were there: one more dot, or the same row again
            for field, there, dot in zip(fields, held, dots, strict=True):
                if there != dot:
                    self.insert(state, field, None, dot)

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        held = self.dots = roomy(self.dots, len(fields))
        for element, dot in zip(fields, dots, strict=True):
            old = held.get(element)
            if old is None or leaving.replaced(old, None):
                held[element] = dot
            else:
                self.insert(state, element, None, dot)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        held = self.dots.get(field)
        if held == dot:
            del self.dots[field]
        elif isinstance(held, tuple) and dot in held:
            rest = tuple(d for d in held if d != dot)
            self.dots[field] = rest if len(rest) > 1 else rest[0]
        else:
            return GONE
        return None

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        for element, held in self.dots.items():
            if isinstance(held, tuple):
                for dot in held:
                    yield element, dot, None
            else:
                yield element, held, None

    def visible(self) -> bool:
        return bool(self.dots)

    def empty(self) -> bool:
        return not self.dots

    def erase(self, state: State) -> None:
        if len(self.dots) > RANGE_FROM:
            gone, self.dots = self.dots, {}
            old = self.__class__(self.key)
            old.dots = gone
            state.sweep(self, old.rows(), (dot for _, dot, _ in old.rows()))
            return
        committed = [state.retire(dot, self, element, None) for element, dot, _ in self.rows()]
        if any(committed):
            state.gap()
        self.dots = {}

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return type(field) is bytes and payload is None


class GrowSetEntry(SetEntry):
    """A set that offers no removal of elements (DEL of the key works)."""

    __slots__ = ()

    CODE = 5
    NAME = "gset"
    RANK = 60


GROW = GrowSetEntry
_EMPTY: dict[bytes, Any] = {}


def _of(state: State, key: bytes, kind: type[SetEntry]) -> SetEntry | None:
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not kind:
        raise WrongTypeError
    return entry


def add(state: State, key: bytes, members: Sequence[bytes], kind: type[SetEntry] = SetEntry) -> int:
    """SADD. How many were no members before. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        entry = state.create(kind, key)
    elif type(entry) is not kind:
        raise WrongTypeError
    dots, mark, added = entry.dots, state.mark, 0  # type: ignore[attr-defined]
    for member in members:
        held = dots.get(member)
        if held is None:
            added += 1
        elif type(held) is int:
            if held > mark:
                continue
            state.retire(held, entry, member, None)
        else:
            for dot in held:
                state.retire(dot, entry, member, None)
        dots[member] = state.add(entry, member)
    if added:
        entry.dots = roomy(dots)  # type: ignore[attr-defined]
    return added


def remove(state: State, key: bytes, members: Sequence[bytes]) -> int:
    """SREM. How many were members. Raises WrongTypeError."""
    entry = _of(state, key, SetEntry)
    return 0 if entry is None else _remove(state, entry, members)


def _remove(state: State, entry: SetEntry, members: Sequence[bytes]) -> int:
    removed, take = 0, entry.dots.pop
    for member in members:
        held = take(member, None)
        if held is None:
            continue
        removed += 1
        if type(held) is int:
            if state.retire(held, entry, member, None):
                state.gap()
        else:
            committed = [state.retire(dot, entry, member, None) for dot in held]  # type: ignore[union-attr]
            if any(committed):
                state.gap()
    if not entry.dots:
        state.settle(entry)
    return removed


def contains(state: State, key: bytes, member: bytes, kind: type[SetEntry] = SetEntry) -> bool:
    """SISMEMBER. Raises WrongTypeError."""
    entry = _of(state, key, kind)
    return entry is not None and member in entry.dots


def live(state: State, key: bytes, kind: type[SetEntry] = SetEntry) -> Large[Any]:
    """The members, to be walked through, drawn from and counted; not to be changed, nor to be kept over a write.

    Raises WrongTypeError.
    """
    entry = _of(state, key, kind)
    return _EMPTY if entry is None else entry.dots


def members(state: State, key: bytes, kind: type[SetEntry] = SetEntry) -> Collection[bytes]:
    """SMEMBERS: a live view, not to be kept over a write. Raises WrongTypeError."""
    return live(state, key, kind).keys()


def size(state: State, key: bytes, kind: type[SetEntry] = SetEntry) -> int:
    """SCARD. Raises WrongTypeError."""
    entry = _of(state, key, kind)
    return 0 if entry is None else len(entry.dots)


def pop(state: State, key: bytes, count: int, rng: Random) -> list[bytes]:
    """SPOP: remove up to `count` members at random and return them. Raises WrongTypeError."""
    entry = _of(state, key, SetEntry)
    if entry is None or count <= 0:
        return []
    length = len(entry.dots)
    if count >= length:
        taken = list(entry.dots)
        entry.erase(state)
        state.settle(entry)
    elif count == 1:
        taken = [_any(entry, rng)]
        _remove(state, entry, taken)
    elif count < length >> 2:
        taken = []
        for _ in range(count):
            taken.append(_any(entry, rng))
            _remove(state, entry, taken[-1:])
    else:
        taken = rng.sample(list(entry.dots), count)
        _remove(state, entry, taken)
    return taken


def sample(state: State, key: bytes, rng: Random) -> bytes | None:
    """SRANDMEMBER: one member at random, None if there is none. Raises WrongTypeError."""
    entry = _of(state, key, SetEntry)
    return None if entry is None else _any(entry, rng)


def samples(state: State, key: bytes, count: int, rng: Random) -> list[bytes]:
    """SRANDMEMBER with a count: different members, or, below 0, some that may repeat. Raises WrongTypeError."""
    entry = _of(state, key, SetEntry)
    return [] if entry is None else _sampler(entry).draw_many(entry.dots, count, rng)


def _any(entry: SetEntry, rng: Random) -> bytes:
    return _sampler(entry).draw(entry.dots, rng)


def _sampler(entry: SetEntry) -> Sampler:
    sampler = entry.sampler
    if sampler is None:
        sampler = entry.sampler = Sampler()
    if sampler.spent:
        entry.dots = compacted(entry.dots)
    return sampler
