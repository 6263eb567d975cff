"""Floats as x87 computes them. The expected texts were answered by Redis 7.0.15 on x86-64."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crdt.longdouble import INFINITY, add, digits, parse


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ("10.5", "0.1", b"10.6"),
        ("200", "0.1", b"200.10000000000000001"),
        ("5.0e3", "2.0e2", b"5200"),
        ("100000000000000200.1015625", "0", b"100000000000000200.1015625"),
        ("1e17", "200.10000000000000001", b"100000000000000200.1015625"),
        ("-172.9", "0", b"-172.89999999999999999"),
        ("-688.6956", "-0", b"-688.6956"),
        ("1e-18", "0", b"0"),
        ("-1e-18", "0", b"0"),
        ("5e-18", "0", b"0"),
        ("5.1e-18", "0", b"0.00000000000000001"),
        ("0x3e07e7589800013907", "0", b"1144267653857736210688"),
        ("0xA.bcP1", "0.00", b"21.46875"),
        ("3", "-3", b"0"),
    ],
)
def test_sums(a: str, b: str, text: bytes) -> None:
    one, other = parse(a.encode()), parse(b.encode())
    assert one is not None and other is not None
    assert add(one, other) == text


@pytest.mark.parametrize(
    "text",
    [
        *("nan", "x", "1e", "1_0", "", " 1", "1 ", "\x1c1", "1\x1c", "1\x00", "infin", "0x", "0xp1"),
        *("1e99999", "1e-99999", "1.19e4932", "1e-4960", "1e999999999999", "1" * 5120),
        *("0x1p16384", "0x1p-16447", "0x1p99999999999"),
    ],
)
def test_no_floats(text: str) -> None:
    assert parse(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+5", Decimal(5)),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("-0", Decimal(0)),
        ("0e99999999999", Decimal(0)),
        ("0x.8p3", Decimal(4)),
        ("-0X1.8P-2", Decimal("-0.375")),
        ("inf", INFINITY),
        ("-Infinity", -INFINITY),
        ("1" + "0" * 4900, Decimal(10) ** 4900),
    ],
)
def test_floats(text: str, value: Decimal) -> None:
    assert parse(text.encode()) == value


def test_nothing_beyond_the_greatest() -> None:
    top = Decimal("1.189e4932")
    assert add(top, Decimal(0)) is not None
    assert add(top, top) is None
    assert add(INFINITY, Decimal(1)) is None
    assert add(INFINITY, -INFINITY) is None


def test_numbers_too_long_for_str() -> None:
    assert digits(10**4500) == "1" + "0" * 4500
    text = add(Decimal("1e4900"), Decimal(0))
    assert text is not None and len(text) in (4900, 4901)
