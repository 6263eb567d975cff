"""Amounts: exact numbers, integers or decimals, and the texts that stand for them.

Knows: what Redis takes for a number, and how it shows one. Promises: sums are exact, and equal amounts have one form,
so that a sum does not depend on the order of its terms. Must not know: cells, rows, state.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

from crdt import longdouble

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
EXACT: Final = Context(prec=20_000)  # wide enough that no sum of two doubles is ever rounded
_decimal = re.compile(rb"[-+.0-9eE]+").fullmatch

Amount = int | Decimal


def plus(a: Amount, b: Amount) -> Amount:
    """Exact sum; an integral decimal becomes an int, so that equal amounts have one form."""
    if type(a) is int and type(b) is int:
        return a + b
    return exact(EXACT.add(Decimal(a), Decimal(b)))


def minus(a: Amount, b: Amount) -> Amount:
    """Exact difference."""
    return a - b if type(a) is int and type(b) is int else plus(a, exact(EXACT.minus(Decimal(b))))


def exact(value: Decimal) -> Amount:
    """The one form of an amount: int if integral, else without trailing zeros."""
    if value == value.to_integral_value():
        return int(value)
    return value.normalize(EXACT)


def parse(text: bytes) -> Amount | None:
    """The number that a stored value is, or None."""
    number = parse_int(text)
    return number if number is not None else parse_float(text)


def parse_int(text: bytes) -> int | None:
    """As Redis reads an integer: no sign but `-`, no leading zero, no space, 64 bits."""
    if not 0 < len(text) <= 20 or not (text.isdigit() or (text[:1] == b"-" and text[1:].isdigit())):
        return None
    value = int(text)
    return value if INT_MIN <= value <= INT_MAX and b"%d" % value == text else None


def parse_float(text: bytes) -> Amount | None:
    """As Redis reads a float, infinities and hexadecimal left out (the one has no sum, the other too many digits)."""
    value = longdouble.parse(text) if _decimal(text) else None
    return None if value is None else exact(value)


def render(value: Amount) -> bytes:
    """As Redis shows a number: plain digits, at most 17 decimals."""
    if type(value) is int:
        return b"%d" % value if INT_MIN <= value <= INT_MAX else longdouble.digits(value).encode()
    text = f"{value:.17f}".rstrip("0").rstrip(".")
    return b"0" if text in ("-0", "") else text.encode()
