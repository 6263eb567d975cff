"""Sorted sets: members with scores, in the order of (score, member).

A score is a cell of number.py: ZADD sets it, ZINCRBY counts on it. A member is there while its cell has a row.

    A             B             after
    ZADD k 1 x    ZADD k 2 x    the later by clock
    ZADD k 1 x    ZREM k x      x with 1: an addition wins over a removal that had not seen it
    ZINCRBY 2 x   ZINCRBY 3 x   both increments count
    ZADD k 7 x    ZINCRBY 3 x   10: the increment that ZADD had not seen stays
    ZADD k inf x  ZINCRBY 3 x   inf
    DEL k         ZADD k 1 y    y alone

One replica alone adds scores as Redis does, as doubles; what is counted is the exact difference of the two texts, so a
sum of several replicas does not depend on the order in which they arrive.

The order is an index that follows the cells: built when somebody asks for it, and then kept up to date by the members
that changed since. Rank, range and count are O(log n). Must not know: the syntax of ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import inf, isnan
from typing import TYPE_CHECKING, Any, Final, Protocol

from sortedcontainers import SortedList

from crdt.entry import Gone, Leaving, Raw, Wire
from crdt.errors import UsageError, WrongTypeError
from crdt.shards import Large
from crdt.state import State
from crdt.types import amounts
from crdt.types.amounts import Amount
from crdt.types.hashes import HashEntry, write
from crdt.types.number import Number

if TYPE_CHECKING:
    from random import Random

NOT_A_SCORE = "ERR resulting score is not a number (NaN)"
FEW: Final = 64  # changed scores that are put in order one by one, however small the set
Scored = tuple[float, bytes]
_EMPTY: dict[bytes, Any] = {}


class Order(Protocol):
    """What is used of a SortedList of (score, member), which ships no types."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int | slice) -> Any: ...  # one, or a list; mypyc takes no overloads here
    def add(self, value: Scored) -> None: ...
    def remove(self, value: Scored) -> None: ...
    def index(self, value: Scored) -> int: ...
    def bisect_left(self, value: Scored) -> int: ...


class ZSetEntry(HashEntry):
    """A hash of scores, and their order. `order` is None until somebody asks, and again when much has changed since
    anybody did; `stale`: members to look at again.
    """

    __slots__ = ("order", "placed", "stale")

    CODE = 11
    NAME = "zset"
    RANK = 25
    ADDED = "zadd"
    REMOVED = "zrem"

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.order: Order | None = None
        self.placed: dict[bytes, float] = {}  # the score under which a member stands in `order`
        self.stale: set[bytes] = set()

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        super().insert(state, field, payload, dot)
        self.changed([field])  # type: ignore[list-item]

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        super().insert_all(state, fields, payloads, dots)
        self.changed(fields)

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        super().swap_all(state, fields, payloads, dots, leaving)
        self.changed(fields)

    def contested(self, field: bytes | None) -> bool:
        cell = self.values.get(field)  # type: ignore[arg-type]
        return type(cell) is Number and len(cell.sets) > 1  # counts beside an infinite score are no second value

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        self.changed([field])  # type: ignore[list-item]
        return super().discard(state, field, dot)

    def erase_field(self, state: State, field: bytes) -> bool:
        self.changed([field])
        return super().erase_field(state, field)

    def erase(self, state: State) -> None:
        super().erase(state)
        self.forget_order()

    def changed(self, members: Sequence[bytes]) -> None:
        """These scores come, go or change. Where nobody asks for the order, nothing is noted for it."""
        if self.order is not None:
            self.stale.update(members)
            if len(self.stale) > (len(self.values) >> 2) + FEW:
                self.forget_order()

    def forget_order(self) -> None:
        """The order is made anew when somebody asks."""
        self.order, self.placed, self.stale = None, {}, set()

    def score(self, state: State, member: bytes) -> float | None:
        """The shown score, None if it is no member."""
        value = self.values.get(member)
        if value is None:
            return None
        return _double(value if isinstance(value, bytes) else value.shown(state))

    def ordered(self, state: State) -> Order:
        """Every (score, member), ascending. Not to be kept over a write."""
        order, stale, placed = self.order, self.stale, self.placed
        if order is None:
            self.placed = {member: self.score(state, member) or 0.0 for member in self.values}
            order = SortedList((score, member) for member, score in self.placed.items())
            self.order = order
        else:
            for member in stale:
                old, new = placed.pop(member, None), self.score(state, member)
                if old is not None:
                    order.remove((old, member))
                if new is not None:
                    order.add((new, member))
                    placed[member] = new
        self.stale = set()
        assert order is not None
        return order


def _double(shown: bytes | Amount | None) -> float:
    """What is shown as a double. A text that no ZADD writes, from a peer, counts as 0: it must not stop a reader."""
    try:
        value = float(shown or 0)
    except ValueError:
        return 0.0
    except OverflowError:  # a sum of several replicas
        return inf if shown > 0 else -inf  # type: ignore[operator]
    return 0.0 if isnan(value) else value


def text(score: float) -> bytes:
    """A score as it is stored: the shortest text that reads as the same double; -0 is 0."""
    return b"%d" % score if score.is_integer() and abs(score) < 1 << 53 else repr(score).encode()


def _of(state: State, key: bytes) -> ZSetEntry | None:
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not ZSetEntry:
        raise WrongTypeError
    return entry


def put(state: State, key: bytes, scores: Sequence[tuple[bytes, float]]) -> None:
    """Set scores, of new members and of old ones. Raises WrongTypeError."""
    if not scores:
        return
    entry = _of(state, key) or state.create(ZSetEntry, key)
    assert isinstance(entry, ZSetEntry)
    write(state, entry, [(member, text(score)) for member, score in scores])
    entry.changed([member for member, _ in scores])


def increase(state: State, key: bytes, member: bytes, by: float) -> float:
    """ZINCRBY: the new score. Raises UsageError if that is no number, WrongTypeError; nothing has changed then."""
    entry = _of(state, key)
    value = None if entry is None else entry.values.get(member)
    shown = value.shown(state) if type(value) is Number else value
    before = _double(shown)  # type: ignore[arg-type]
    after = before + by
    if isnan(after):
        raise UsageError(NOT_A_SCORE)
    exact = amounts.parse(shown) if isinstance(shown, bytes) else shown or 0
    if exact is None or after in (inf, -inf):
        put(state, key, [(member, after)])
        return after
    target = entry or state.create(ZSetEntry, key)
    assert isinstance(target, ZSetEntry)
    total = amounts.exact(Decimal(repr(after)))
    target.increase(state, member, amounts.minus(total, exact), total)  # type: ignore[arg-type]
    target.changed([member])
    return after


def remove(state: State, key: bytes, members: Sequence[bytes]) -> int:
    """ZREM. How many were members. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is None:
        return 0
    if len(members) >= len(entry.values) and entry.values.keys() <= set(members):
        removed = len(entry.values)
        entry.erase(state)
    else:
        removed = sum([entry.erase_field(state, member) for member in members])
    if not entry.values:
        state.settle(entry)
    return removed


def size(state: State, key: bytes) -> int:
    """ZCARD. Raises WrongTypeError."""
    entry = _of(state, key)
    return 0 if entry is None else len(entry.values)


def score(state: State, key: bytes, member: bytes) -> float | None:
    """ZSCORE. Raises WrongTypeError."""
    entry = _of(state, key)
    return None if entry is None else entry.score(state, member)


def ordered(state: State, key: bytes) -> Order:
    """Every (score, member), ascending; not to be kept over a write. Raises WrongTypeError."""
    entry = _of(state, key)
    nothing: Order = SortedList()
    return nothing if entry is None else entry.ordered(state)


def rank(state: State, key: bytes, member: bytes) -> int | None:
    """ZRANK. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is None or member not in entry.values:
        return None
    order = entry.ordered(state)
    return order.index((entry.placed[member], member))


def live(state: State, key: bytes) -> Large[Any]:
    """The members, in no order; not to be changed, nor to be kept over a write. Raises WrongTypeError."""
    entry = _of(state, key)
    return _EMPTY if entry is None else entry.values


def items(state: State, key: bytes) -> list[tuple[bytes, float]]:
    """Members and scores, in no order. Raises WrongTypeError."""
    entry = _of(state, key)
    return [] if entry is None else [(member, entry.score(state, member) or 0.0) for member in entry.values]


def sample(state: State, key: bytes, rng: Random) -> bytes | None:
    """One member at random, None if there is none. Raises WrongTypeError."""
    entry = _of(state, key)
    return None if entry is None else entry.draws().draw(entry.values, rng)


def samples(state: State, key: bytes, count: int, rng: Random) -> list[bytes]:
    """Different members at random, or, if `count` is below 0, some that may repeat. Raises WrongTypeError."""
    entry = _of(state, key)
    return [] if entry is None else entry.draws().draw_many(entry.values, count, rng)
