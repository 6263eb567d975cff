"""Counters: INCR on string keys, and the grow-only counter. The rules are those of number.py.

Source: the PN-counter per actor of Shapiro et al. 2011, section 3.1.3, with lineages and baselines so that a reset
takes exactly what it observed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from crdt.dots import SEQ_BITS, SEQ_MASK
from crdt.entry import Wire
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import amounts, expiry, number
from crdt.types.number import Number
from crdt.types.numberwire import BASE, COUNT, FOSTER
from crdt.types.numberwire import check as well_formed
from crdt.types.strings import StringEntry

NOT_FLOAT = "ERR value is not a valid float"


class GrowCounterEntry(StringEntry):
    """Counts alone: nobody is offered a SET or a decrement."""

    __slots__ = ()

    CODE = 3
    NAME = "gcount"
    RANK = 70
    ADDED = "incrby"
    REMOVED = "incrby"

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        structured = payload is not None and type(payload) is not bytes
        return field is None and structured and well_formed(payload, (COUNT, BASE, FOSTER))


def incr(state: State, key: bytes, by: int) -> int:
    """INCRBY. The new value. Raises NotANumberError, OverflowedError, WrongTypeError; nothing has changed then."""
    entry = state.keys.get(key)
    if entry is None:
        total = number.checked_sum(0, by)
        entry = state.create(StringEntry, key)
        assert isinstance(entry, StringEntry)
        if entry.value is None:
            entry.dot = dot = state.add(entry, None)
            entry.value = (COUNT, dot & SEQ_MASK, by)
            return total
    elif type(entry) is not StringEntry:
        raise WrongTypeError
    else:
        value: Any = entry.value
        if isinstance(value, tuple):
            return _count_on(state, entry, value, by)
        if isinstance(value, Number):
            shown = value._shown
            if type(shown) is not int:
                shown = number.as_integer(value.shown(state))
        else:
            shown = number.as_integer(value)
        total = number.checked_sum(shown, by, value)
    entry.number().increase(state, entry, None, by, total)
    return total


def _count_on(state: State, entry: StringEntry, count: tuple[Any, ...], by: int) -> int:
    """INCRBY where one count (number.Lone) is all there is: when it is the own one, it takes the increment itself."""
    _, lineage, before = count
    total = number.checked_sum(number.as_integer(before), by, count)
    dot = entry.dot
    if dot <= state.mark:
        if dot >> SEQ_BITS != state.me.index:
            entry.number().increase(state, entry, None, by, total)
            return total
        state.retire(dot, entry, None, count)
        entry.dot = state.add(entry, None)
    entry.value = (COUNT, lineage, total)
    return total


def incr_float(state: State, key: bytes, by: Decimal) -> bytes:
    """INCRBYFLOAT; `by` may be infinite. The new value as Redis prints it.

    Raises NotANumberError, WrongTypeError; nothing has changed then.
    """
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not StringEntry:
        raise WrongTypeError
    value = None if entry is None else entry.value
    shown = number.shown_of(state, value)
    text, before, amount = number.float_sum(shown, by, NOT_FLOAT)
    if before is None:
        expiry.put(state, key, text)  # it was hexadecimal; the lifetime goes on
        return text
    target = entry or state.create(StringEntry, key)
    assert isinstance(target, StringEntry)
    target.number().increase(state, target, None, amount, amounts.plus(before, amount))
    return text


def grow(state: State, key: bytes, by: int) -> int:
    """GCOUNT.INCR. The new value. Raises UsageError for a negative increment, WrongTypeError."""
    if by < 0:
        raise UsageError("ERR increment must not be negative")
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not GrowCounterEntry:
        raise WrongTypeError
    shown = grown(state, key)
    total = number.checked_sum(shown, by)
    target = entry or state.create(GrowCounterEntry, key)
    assert isinstance(target, GrowCounterEntry)
    target.number().increase(state, target, None, by, total)
    return total


def grown(state: State, key: bytes) -> int:
    """GCOUNT.GET: the value, 0 if there is none. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        return 0
    if not isinstance(entry, GrowCounterEntry):
        raise WrongTypeError
    return int(number.shown_of(state, entry.value) or 0)
