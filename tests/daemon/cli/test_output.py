"""Replies as JSON, raw, and as redis-cli shows them on a terminal."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.client import ErrorReply
from daemon.cli.output import plain, pretty, quoted, raw, table, to_json

JSON: list[tuple[Any, Any]] = [
    (b"text \xc3\xa4", "text ä"),
    (b"\xff", {"base64": "/w=="}),
    (7, 7),
    (None, None),
    (True, True),
    (1.5, 1.5),
    (math.inf, "inf"),
    ([b"a", [b"b"]], ["a", ["b"]]),
    ({b"k": 1}, {"k": 1}),
    ({b"\xff": 1}, [[{"base64": "/w=="}, 1]]),
    (ErrorReply("ERR no"), {"error": "ERR no"}),
]


@pytest.mark.parametrize(("reply", "expected"), JSON)
def test_json(reply: Any, expected: Any) -> None:
    assert to_json(reply) == expected
    json.dumps(to_json(reply), allow_nan=False)


RAW = [
    (b"\xff\n", b"\xff\n"),
    (7, b"7"),
    (None, b""),
    ([b"a", [b"b", None], 1], b"a\nb\n\n1"),
    ({b"k": b"v"}, b"k\nv"),
    (1.5, b"1.5"),
]


@pytest.mark.parametrize(("reply", "expected"), RAW)
def test_raw(reply: Any, expected: bytes) -> None:
    assert raw(reply) == expected


PRETTY = [
    (b"OK", "OK"),
    (b"a\n\xff", '"a\\n\\xff"'),
    (7, "(integer) 7"),
    (True, "(true)"),
    (None, "(nil)"),
    (1.5, "(double) 1.5"),
    ([], "(empty array)"),
    ([b"a", 1], '1) "a"\n2) (integer) 1'),
    ([[b"a", b"b"], b"c"], '1) 1) "a"\n   2) "b"\n2) "c"'),
    ({b"k": 1}, '1) "k" => (integer) 1'),
    (ErrorReply("ERR no"), "(error) ERR no"),
]


@pytest.mark.parametrize(("reply", "expected"), PRETTY)
def test_pretty(reply: Any, expected: str) -> None:
    assert pretty(reply) == expected


def test_ten_items_are_aligned() -> None:
    assert pretty([1] * 10).splitlines()[0] == " 1) (integer) 1"


@given(st.binary())
def test_plain_and_quoted_are_one_line(data: bytes) -> None:
    assert len(plain(data).splitlines()) <= 1
    assert quoted(data).isprintable()


def test_plain_quotes_only_what_needs_it() -> None:
    assert plain("ä b".encode()) == "ä b"
    assert plain(b"a\nb") == '"a\\nb"'


def test_tables_are_aligned() -> None:
    assert table([["A", "B"], ["long", "x"]]) == "A     B\nlong  x"
