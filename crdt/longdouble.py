"""Floats as Redis computes them: the extended precision of x87 (64 bits of mantissa), shown with 17 decimals.

INCRBYFLOAT answers what this arithmetic gives, down to the last digit (200 + 0.1 is 200.10000000000000001), on every
platform alike. Promises: pure integer arithmetic, correctly rounded, exact in and out: numbers are handed over as
decimals. Must not know: counters, keys.

Source: the "long double" of the System V ABI for x86-64; `strtold` and `%.17Lf` of the C standard.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

MANTISSA: Final = 64
LOWEST: Final = -16_445  # exponent of the least positive number, 2 ** LOWEST
HIGHEST: Final = 16_384  # 2 ** HIGHEST is beyond the greatest
DECIMALS: Final = 17
TEXT_LIMIT: Final = 5 * 1024  # Redis refuses texts of this length and more
INFINITY: Final = Decimal("Infinity")

_SCALE: Final = 10**DECIMALS
_EXACT: Final = Context(prec=40_000)
_DECADES: Final = 5_000  # beyond 10 ** +-DECADES everything overflows or vanishes
_decimal = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?").fullmatch
_hexadecimal = re.compile(
    rb"([+-]?)0[xX](?=\.?[0-9a-fA-F])([0-9a-fA-F]*)\.?([0-9a-fA-F]*)(?:[pP]([+-]?[0-9]+))?"
).fullmatch
_infinite = re.compile(rb"([+-]?)inf(?:inity)?", re.IGNORECASE).fullmatch


def parse(text: bytes) -> Decimal | None:
    """The number that `text` spells, exactly (it may be infinite); None where Redis finds no valid float."""
    if not 0 < len(text) < TEXT_LIMIT:
        return None
    value = _plain(text)
    if value is None:
        value = _hex(text)
    if value is None:
        found = _infinite(text)
        return None if found is None else INFINITY.copy_sign(Decimal(f"{found[1].decode()}1"))
    if not value:
        return value
    if not -_DECADES < value.adjusted() < _DECADES:
        return None
    rounded = nearest(value)
    return None if rounded is None or not rounded[0] else value


def _plain(text: bytes) -> Decimal | None:
    found = _decimal(text)
    if found is None:
        return None
    if not found[1].strip(b"0."):
        return Decimal(0)
    exponent = found[2]
    if exponent is not None and len(exponent.lstrip(b"eE+-0")) > 6:
        return Decimal("1e9999")  # out of range, whatever the digits say
    return Decimal(text.decode())


def _hex(text: bytes) -> Decimal | None:
    found = _hexadecimal(text)
    if found is None:
        return None
    sign, whole, fraction, power = found.groups()
    digits = int(whole + fraction or b"0", 16)
    if not digits:
        return Decimal(0)
    if power is not None and len(power.lstrip(b"+-0")) > 6:
        return Decimal("1e9999")
    exponent = int(power or 0) - 4 * len(fraction)
    if not -2 * HIGHEST - digits.bit_length() < exponent < 2 * HIGHEST:
        return Decimal("1e9999")
    number = -digits if sign == b"-" else digits
    if exponent >= 0:
        return Decimal(number << exponent)
    return Decimal(number * 5**-exponent).scaleb(exponent, _EXACT)


def nearest(value: Decimal) -> tuple[int, int] | None:
    """The nearest number of the format, ties to even, as (m, e) for m * 2 ** e; None if that is beyond the greatest."""
    if value and abs(value.adjusted()) > _DECADES:  # before 1e999999999 becomes an integer
        return None if value.adjusted() > 0 else (0, 0)
    numerator, denominator = value.as_integer_ratio()
    return _round(numerator, denominator)


def add(a: Decimal, b: Decimal) -> bytes | None:
    """Both rounded to the format, summed, and shown as Redis shows the sum; None if it is not finite."""
    if not a.is_finite() or not b.is_finite():
        return None
    one, other = nearest(a), nearest(b)
    if one is None or other is None:
        return None
    low = min(one[1], other[1])
    total = (one[0] << one[1] - low) + (other[0] << other[1] - low)
    rounded = _round(total << low, 1) if low >= 0 else _round(total, 1 << -low)
    return None if rounded is None else render(*rounded)


def _round(numerator: int, denominator: int) -> tuple[int, int] | None:
    if not numerator:
        return 0, 0
    size = abs(numerator)
    # One of two exponents gives a quotient of exactly 64 bits; below the least exponent there are fewer.
    exponent = max(size.bit_length() - denominator.bit_length() - MANTISSA, LOWEST)
    mantissa = _divide(size, denominator, exponent)
    if mantissa.bit_length() > MANTISSA:
        exponent += 1
        mantissa = _divide(size, denominator, exponent)
    if mantissa.bit_length() + exponent > HIGHEST:
        return None
    return (-mantissa if numerator < 0 else mantissa), exponent


def _divide(numerator: int, denominator: int, exponent: int) -> int:
    """numerator / denominator / 2 ** exponent to the nearest integer, ties to even."""
    if exponent < 0:
        numerator <<= -exponent
    else:
        denominator <<= exponent
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest + (quotient & 1) > denominator)


def render(mantissa: int, exponent: int) -> bytes:
    """`%.17Lf` without trailing zeros, and never "-0"."""
    if exponent >= 0:
        return digits(mantissa << exponent).encode()
    scaled = _divide(abs(mantissa) * _SCALE, 1 << -exponent, 0)
    if not scaled:
        return b"0"
    whole, fraction = divmod(scaled, _SCALE)
    sign = "-" if mantissa < 0 else ""
    return f"{sign}{digits(whole)}.{fraction:0{DECIMALS}d}".rstrip("0").rstrip(".").encode()


def digits(number: int) -> str:
    """str(number), for numbers too long for it as well (Python bounds the length)."""
    return str(number) if number.bit_length() < 1024 else f"{Decimal(number):f}"
