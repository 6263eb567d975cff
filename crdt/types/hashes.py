"""Hashes: a register or number per field, by the rules of strings.py and number.py.

    A             B             after
    HSET k f x    HSET k g y    both fields
    HSET k f x    HSET k f y    the later by clock; both in MV.GET k f
    HSET k f x    HDEL k f      x: an update wins over a deletion that had not seen it
    HSET k f x    DEL k         f alone

Source: the observed-remove map of Almeida, Shoker, Baquero 2018, section 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crdt.entry import GONE, Entry, Gone, Leaving, Raw, Wire
from crdt.errors import NotANumberError, WrongTypeError
from crdt.sampler import Sampler
from crdt.shards import Large, compacted, disjoint, roomy, setdefaults
from crdt.state import RANGE_FROM, State
from crdt.types import amounts, number, numberwire
from crdt.types.amounts import Amount
from crdt.types.number import Number
from crdt.types.strings import Sibling, seen_by, standing, token

if TYPE_CHECKING:
    from random import Random

NOT_INTEGER = "ERR hash value is not an integer"
NOT_FLOAT = "ERR hash value is not a float"
_EMPTY: dict[bytes, Any] = {}


class HashEntry(Entry):
    """`values`: field -> bytes with its dot in `dots`, or -> Number (`dots` has no entry then).

    `ghosts`: cells that hold baselines alone, and are not seen by readers.
    """

    __slots__ = ("dots", "ghosts", "sampler", "values")

    CODE = 2
    NAME = "hash"
    RANK = 10
    SINGLE = False
    ADDED = "hset"
    REMOVED = "hdel"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.values: Large[bytes | Number] = {}
        self.dots: Large[int] = {}
        self.ghosts: dict[bytes, Number] = {}
        self.sampler: Sampler | None = None

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        if self.dots.get(field) == dot:
            return self.values[field]
        cell = self.values.get(field) or self.ghosts.get(field)
        return cell.row(dot) if type(cell) is Number else GONE

    def spread(self, more: int = 0) -> None:
        """Make room for more fields, or for those that have just come (crdt/shards.py)."""
        self.values, self.dots = roomy(self.values, more), roomy(self.dots, more)

    def number(self, field: bytes) -> Number:
        """The field's cell as a Number, made when it was plain or absent. Call `tidy` when its rows have changed."""
        value = self.values.get(field)
        if type(value) is Number:
            return value
        cell = self.ghosts.pop(field, None) or Number()
        if type(value) is bytes:
            cell.sets[self.dots[field]] = value
            del self.dots[field]
        self.values[field] = cell
        return cell

    def tidy(self, field: bytes) -> None:
        """Keep the cell in the form and place that its rows ask for."""
        cell = self.values.get(field)
        if type(cell) is not Number:
            return
        text = cell.plain()
        if text is not None:
            self.dots[field], self.values[field] = next(iter(cell.sets)), text
        elif not cell.visible():
            del self.values[field]
            if not cell.empty():
                self.ghosts[field] = cell

    def increase(self, state: State, field: bytes, by: Amount, total: Amount) -> None:
        """Count on, to this total, in a cell that there may not have been."""
        self.number(field).increase(state, self, field, by, total)
        self.spread()

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        assert field is not None
        if type(payload) is bytes and field not in self.values and field not in self.ghosts:
            self.values[field], self.dots[field] = payload, dot
        else:
            self.number(field).insert(state, self, field, payload, dot)
            self.tidy(field)
        self.spread()

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        assert payloads is not None
        plain = len(set(fields)) == len(fields) and set(map(type, payloads)) == {bytes}
        if plain and disjoint(self.values, fields) and self.ghosts.keys().isdisjoint(fields):
            self.spread(len(fields))
            setdefaults(self.values, fields, payloads)
            setdefaults(self.dots, fields, dots)
        else:
            super().insert_all(state, fields, payloads, dots)

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        assert payloads is not None
        self.spread(len(fields))
        values, held = self.values, self.dots
        for field, payload, dot in zip(fields, payloads, dots, strict=True):
            old = held.get(field)
            if old is not None and isinstance(payload, bytes) and leaving.replaced(old, values[field]):
                values[field], held[field] = payload, dot
            else:
                self.insert(state, field, payload, dot)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        if self.dots.get(field) == dot:
            del self.dots[field]
            return self.values.pop(field)
        if field not in self.ghosts and type(self.values.get(field)) is not Number:
            return GONE
        raw = self.number(field).discard(state, self, field, dot)
        self.tidy(field)
        return raw

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        for field, value in self.values.items():
            if type(value) is Number:
                for dot, raw in value.rows():
                    yield field, dot, raw
            else:
                yield field, self.dots[field], value
        for field, cell in self.ghosts.items():
            for dot, raw in cell.rows():
                yield field, dot, raw

    def draws(self) -> Sampler:
        """What draws from the fields."""
        if self.sampler is None:
            self.sampler = Sampler()
        if self.sampler.spent:
            self.values = compacted(self.values)
        return self.sampler

    def visible(self) -> bool:
        return bool(self.values)

    def empty(self) -> bool:
        return not self.values and not self.ghosts

    def contested(self, field: bytes | None) -> bool:
        cell = self.values.get(field)  # type: ignore[arg-type]
        return type(cell) is Number and cell.contested()

    def prune(self, state: State, field: bytes | None) -> None:
        """Remove baselines of own dead lineages."""
        assert field is not None
        if field in self.ghosts or type(self.values.get(field)) is Number:
            self.number(field).prune(state, self, field)
            self.tidy(field)

    def erase_field(self, state: State, field: bytes) -> bool:
        """Remove what is observed of one field; whether there was anything to see."""
        value = self.values.get(field)
        if value is None:
            return False
        if type(value) is bytes:
            if state.retire(self.dots[field], self, field, value):
                state.gap()
            del self.values[field], self.dots[field]
        else:
            self.number(field).erase(state, self, field)
            self.tidy(field)
        return True

    def erase(self, state: State) -> None:
        if len(self.dots) > RANGE_FROM:
            for field in [f for f, value in self.values.items() if type(value) is Number]:
                self.erase_field(state, field)
            values, dots = self.values, self.dots
            self.values, self.dots = {}, {}
            state.sweep(
                self, ((field, dot, values[field]) for field, dot in dots.items()), (dot for _, dot in dots.items())
            )
            return
        for field in list(self.values):
            self.erase_field(state, field)

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return type(field) is bytes and (type(payload) is bytes or (payload is not None and numberwire.check(payload)))


def _of(state: State, key: bytes) -> HashEntry | None:
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not HashEntry:
        raise WrongTypeError
    return entry


def _made(state: State, key: bytes) -> HashEntry:
    entry = _of(state, key) or state.create(HashEntry, key)
    assert isinstance(entry, HashEntry)
    return entry


def put(state: State, key: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> int:
    """HSET. How many fields are new. Raises WrongTypeError."""
    return write(state, _made(state, key), pairs)


def write(state: State, entry: HashEntry, pairs: Iterable[tuple[bytes, bytes]]) -> int:
    """Set fields of an entry that is in its place. How many of them are new."""
    values, dots, added = entry.values, entry.dots, 0
    for field, value in pairs:
        dot = dots.get(field)
        if dot is not None:
            if dot <= state.mark:
                state.retire(dot, entry, field, values[field])
                dots[field] = state.add(entry, field)
            values[field] = value
        elif field in values or field in entry.ghosts:
            added += field not in values
            entry.number(field).assign(state, entry, field, value)
            entry.tidy(field)
        else:
            added += 1
            dots[field] = state.add(entry, field)
            values[field] = value
    if added:
        entry.spread()
    return added


def get(state: State, key: bytes, field: bytes) -> bytes | None:
    """HGET: the shown value or None. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        return None
    if type(entry) is not HashEntry:
        raise WrongTypeError
    value = entry.values.get(field)
    return value.text(state) if isinstance(value, Number) else value


def remove(state: State, key: bytes, fields: Sequence[bytes]) -> int:
    """HDEL. How many fields there were. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is None:
        return 0
    removed = sum(entry.erase_field(state, field) for field in fields)
    if not entry.values:
        state.settle(entry)
    return removed


def size(state: State, key: bytes) -> int:
    """HLEN. Raises WrongTypeError."""
    entry = _of(state, key)
    return 0 if entry is None else len(entry.values)


def contains(state: State, key: bytes, field: bytes) -> bool:
    """HEXISTS. Raises WrongTypeError."""
    entry = _of(state, key)
    return entry is not None and field in entry.values


def fields(state: State, key: bytes) -> list[bytes]:
    """HKEYS. Raises WrongTypeError."""
    entry = _of(state, key)
    return [] if entry is None else list(entry.values)


def live(state: State, key: bytes) -> Large[Any]:
    """The fields, to be walked through and counted; not to be changed, nor to be kept over a write.

    Raises WrongTypeError.
    """
    entry = _of(state, key)
    return _EMPTY if entry is None else entry.values


def items(state: State, key: bytes) -> list[tuple[bytes, bytes]]:
    """HGETALL. Raises WrongTypeError."""
    entry = _of(state, key)
    if entry is None:
        return []
    return [(f, value if type(value) is bytes else value.text(state)) for f, value in entry.values.items()]  # type: ignore[union-attr, misc]


def incr(state: State, key: bytes, field: bytes, by: int) -> int:
    """HINCRBY. The new value. Raises NotANumberError, OverflowedError, WrongTypeError; nothing has changed then."""
    entry = _of(state, key)
    value = None if entry is None else entry.values.get(field)
    try:
        shown = number.as_integer(value.shown(state) if type(value) is Number else value)  # type: ignore[arg-type]
        total = number.checked_sum(shown, by, value)
    except NotANumberError:
        raise NotANumberError(NOT_INTEGER) from None
    target = entry or _made(state, key)
    target.increase(state, field, by, total)
    return total


def incr_float(state: State, key: bytes, field: bytes, by: Decimal) -> bytes:
    """HINCRBYFLOAT; `by` may be infinite. The new value as Redis prints it.

    Raises NotANumberError, WrongTypeError; nothing has changed then.
    """
    entry = _of(state, key)
    value = None if entry is None else entry.values.get(field)
    shown = value.shown(state) if type(value) is Number else value
    text, before, amount = number.float_sum(shown, by, NOT_FLOAT)  # type: ignore[arg-type]
    if before is None:
        put(state, key, [(field, text)])
        return text
    target = entry or _made(state, key)
    target.increase(state, field, amount, amounts.plus(before, amount))
    return text


def sample(state: State, key: bytes, rng: Random) -> bytes | None:
    """One field at random, None if there is none. Raises WrongTypeError."""
    entry = _of(state, key)
    return None if entry is None else entry.draws().draw(entry.values, rng)


def samples(state: State, key: bytes, count: int, rng: Random) -> list[bytes]:
    """Different fields at random, or, if `count` is below 0, some that may repeat. Raises WrongTypeError."""
    entry = _of(state, key)
    return [] if entry is None else entry.draws().draw_many(entry.values, count, rng)


def siblings(state: State, key: bytes, field: bytes) -> list[Sibling] | None:
    """Every value that stands in a field, the shown one first; None if there is none. Raises WrongTypeError."""
    entry = _of(state, key)
    value = None if entry is None else entry.values.get(field)
    if entry is None or value is None:
        return None
    return standing(state, value, entry.dots.get(field) or -1)


def context(state: State, key: bytes, field: bytes) -> bytes:
    """An opaque token for what a reader of this field has seen so far. Raises WrongTypeError."""
    entry = _of(state, key)
    return token(state, None if entry is None else entry.values.get(field))


def put_over(state: State, key: bytes, field: bytes, value: bytes, context: bytes) -> None:
    """MV.SET with a context on a field: replaces exactly what the context covers. Raises UsageError, WrongTypeError."""
    seen = seen_by(state, context)
    entry = _made(state, key)
    entry.number(field).replace(state, entry, field, value, seen)
    entry.tidy(field)
    entry.spread()
