"""Amounts: exact sums, and what texts count as numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.types import amounts
from crdt.types.amounts import INT_MAX, INT_MIN
from tests import strategies
from tests.strategies import steady


@steady
@given(strategies.amounts, strategies.amounts, strategies.amounts)
def test_sums_are_exact(a: amounts.Amount, b: amounts.Amount, c: amounts.Amount) -> None:
    assert amounts.plus(amounts.plus(a, b), c) == amounts.plus(a, amounts.plus(b, c))
    assert amounts.plus(a, b) == amounts.plus(b, a)
    assert amounts.minus(amounts.plus(a, b), b) == a


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0), (b"-1", -1), (b"9223372036854775807", INT_MAX), (b"-9223372036854775808", INT_MIN),
        (b"9223372036854775808", None), (b"-9223372036854775809", None), (b"", None), (b"-", None), (b"+1", None),
        (b"01", None), (b"-0", None), (b" 1", None), (b"1 ", None), (b"1.0", None), (b"1_000", None),
        (b"\xc2\xb9", None),
    ],
)  # fmt: skip
def test_integers_as_redis_reads_them(text: bytes, value: int | None) -> None:
    assert amounts.parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1.5", Decimal("1.5")), (b"-.5", Decimal("-0.5")), (b"5.", 5), (b"1e3", 1000), (b"007", 7),
        (b"", None), (b".", None), (b"1_0.5", None), (b" 1", None), (b"nan", None), (b"inf", None), (b"0x10", None),
        (b"1e99999", None), (b"1e999999999999", None), (b"x", None),
    ],
)  # fmt: skip
def test_floats_as_redis_reads_them(text: bytes, value: amounts.Amount | None) -> None:
    assert amounts.parse_float(text) == value


@steady
@given(st.binary(max_size=12) | st.text(alphabet="0123456789.eE+-x_ ", max_size=12).map(str.encode))
def test_any_text_is_read_or_not(text: bytes) -> None:
    value = amounts.parse(text)
    if value is not None:
        assert amounts.exact(Decimal(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, b"0"), (-5, b"-5"), (Decimal("0.10"), b"0.1"), (Decimal("1E-18"), b"0"), (Decimal("-1E-18"), b"0"),
        (10**30, b"1" + b"0" * 30),
    ],
)  # fmt: skip
def test_how_amounts_are_shown(value: amounts.Amount, text: bytes) -> None:
    assert amounts.render(value) == text
