"""JSON texts: what is one, what is none, and the one spelling of a value."""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.errors import UsageError
from crdt.types.jsontext import DEPTH, check_depth, dump, float_text, is_float, is_number, is_scalar, parse
from tests.strategies import steady

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@steady
@given(values)
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    assert parse(dump(value)) == value
    assert dump(parse(dump(value))) == dump(value)
    assert json.loads(dump(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[1,]", '{"a":}', "{a:1}", "'a'", "NaN", "Infinity", "-Infinity", "[NaN]", "01", "+1", ".5", "1.",
        "1 2", "tru", '"\x01"', '"\\x"', "1e400", "[-1e999]", "9" * 400, '"\\ud800"', '{"\\udc00":1}', "\ufeff1",
        "[" * 1000 + "]" * 1000, "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500, "[" * (DEPTH + 1) + "]" * (DEPTH + 1),
    ],
)  # fmt: skip
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(UsageError, match=r"^ERR "):
        parse(text.encode())


@pytest.mark.parametrize("data", [b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1"])
def test_bytes_that_are_no_utf8(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse(data)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        (' [ 1 , "x" ] ', '[1,"x"]'),
        ("1.50", "1.5"),
        ("1e2", "100.0"),
        ("-0", "-0.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-9223372036854775809", "-9.223372036854776e18"),
        ("123456789012345678901234567890", "1.2345678901234568e29"),
        ('"\\u00e9\\n\\/"', '"é\\n/"'),
        ('"\\ud83d\\ude00"', '"\U0001f600"'),
    ],
)
def test_the_one_spelling(text: str, again: str) -> None:
    assert dump(parse(text.encode())) == again.encode()


def test_depth() -> None:
    deepest = b"[" * DEPTH + b"1" + b"]" * DEPTH
    assert dump(parse(deepest)) == deepest
    check_depth([], DEPTH - 1)
    with pytest.raises(UsageError):
        check_depth([], DEPTH)
    check_depth("text", DEPTH)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"), (0.1, "0.1"), (-2.5, "-2.5"), (1e15, "1000000000000000.0"), (1e16, "1e16"), (1e21, "1e21"),
        (123456789012345680.0, "1.2345678901234568e17"), (1e-5, "0.00001"), (1e-6, "1e-6"), (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"), (-0.0, "-0.0"), (0.30000000000000004, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_floats_are_written_as_redisjson_writes_them(number: float, text: str) -> None:
    assert float_text(number) == text


def test_every_float_reads_as_it_was() -> None:
    rng = Random(1)
    for _ in range(5000):
        (number,) = struct.unpack("d", rng.randbytes(8))
        if number - number == 0:
            assert float(float_text(number)) == number
            assert is_float(float_text(number).encode())


def test_what_may_stand_in_a_cell() -> None:
    for text in (b"1", b"-1.5", b'"x"', b"true", b"null", b'""'):
        assert is_scalar(text)
    for text in (b"", b"{}", b"[]", b"[1]", b"1.50", b" 1", b"nul", b'"\xff"', b"NaN", b'"\\ud800"', b"[" * 5000):
        assert not is_scalar(text)
    assert is_number(b"-1") and is_number(b"0.5") and not is_number(b'"1"') and not is_float(b"12")
