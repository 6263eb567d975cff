"""Counters: INCR on string keys, and the grow-only counter. The rules are those of number.py.

Source: the PN-counter per actor of Shapiro et al. 2011, section 3.1.3, with lineages and baselines so that a reset
takes exactly what it observed.
"""

from __future__ import annotations

from decimal import Decimal

from crdt.entry import Wire
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import number, strings
from crdt.types.number import Number
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
        return field is None and structured and number.check(payload, (number.COUNT, number.BASE, number.FOSTER))


def incr(state: State, key: bytes, by: int) -> int:
    """INCRBY. The new value. Raises NotANumberError, OverflowedError, WrongTypeError; nothing has changed then."""
    entry = state.keys.get(key)
    if entry is None:
        total = number.checked_sum(0, by)
        entry = state.create(StringEntry, key)
    elif entry.__class__ is not StringEntry:
        raise WrongTypeError
    else:
        value = entry.value
        if isinstance(value, Number):
            shown = value._shown
            if shown.__class__ is not int:
                shown = number.as_integer(value.shown(state))
        else:
            shown = number.as_integer(value)
        total = number.checked_sum(shown, by, value)
    entry.number().increase(state, entry, None, by, total)  # type: ignore[attr-defined]
    return total


def incr_float(state: State, key: bytes, by: Decimal) -> bytes:
    """INCRBYFLOAT; `by` may be infinite. The new value as Redis prints it.

    Raises NotANumberError, WrongTypeError; nothing has changed then.
    """
    entry = state.keys.get(key)
    if entry is not None and entry.__class__ is not StringEntry:
        raise WrongTypeError
    value = None if entry is None else entry.value
    shown = value.shown(state) if type(value) is Number else value
    text, before, amount = number.float_sum(shown, by, NOT_FLOAT)  # type: ignore[arg-type]
    if before is None:
        strings.put(state, key, text)
        return text
    target = entry or state.create(StringEntry, key)
    assert isinstance(target, StringEntry)
    target.number().increase(state, target, None, amount, number.plus(before, amount))
    return text


def grow(state: State, key: bytes, by: int) -> int:
    """GCOUNT.INCR. The new value. Raises UsageError for a negative increment, WrongTypeError."""
    if by < 0:
        raise UsageError("ERR increment must not be negative")
    entry = state.keys.get(key)
    if entry is not None and entry.__class__ is not GrowCounterEntry:
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
    assert type(entry.value) is Number
    return int(entry.value.shown(state) or 0)
