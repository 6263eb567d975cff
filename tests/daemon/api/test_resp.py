"""Replies as bytes, in both versions of the protocol; a client library must read the same values out of them."""

from __future__ import annotations

import math

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.api.arguments import printable
from daemon.api.resp import RESP2, RESP3, Resp, encode_text

BOTH = pytest.mark.parametrize("resp", [RESP2, RESP3], ids=["RESP2", "RESP3"])


def read(data: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(data)
    value = reader.gets()
    assert not reader.has_data()
    return value


@pytest.mark.parametrize(
    ("ours", "two", "three"),
    [
        (lambda r: r.ok, b"+OK\r\n", b"+OK\r\n"),
        (lambda r: r.null, b"$-1\r\n", b"_\r\n"),
        (lambda r: r.null_array, b"*-1\r\n", b"_\r\n"),
        (lambda r: r.empty_array, b"*0\r\n", b"*0\r\n"),
        (lambda r: r.integer(-5), b":-5\r\n", b":-5\r\n"),
        (lambda r: r.integer(1024), b":1024\r\n", b":1024\r\n"),
        (lambda r: r.bulk(b"a\r\n"), b"$3\r\na\r\n\r\n", b"$3\r\na\r\n\r\n"),
        (lambda r: r.simple(b"PONG"), b"+PONG\r\n", b"+PONG\r\n"),
        (lambda r: r.verbatim(b"a"), b"$1\r\na\r\n", b"=5\r\ntxt:a\r\n"),
        (lambda r: r.error("ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
        (lambda r: r.array([r.null, r.integer(1)]), b"*2\r\n$-1\r\n:1\r\n", b"*2\r\n_\r\n:1\r\n"),
        (lambda r: r.bulks([b"a"]), b"*1\r\n$1\r\na\r\n", b"*1\r\n$1\r\na\r\n"),
        (lambda r: r.map([(r.bulk(b"a"), r.integer(1))]), b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (lambda r: r.set([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
        (lambda r: r.set_of([r.simple(b"a")]), b"*1\r\n+a\r\n", b"~1\r\n+a\r\n"),
        (lambda r: r.double(1.5), b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (lambda r: r.double(math.inf), b"$3\r\ninf\r\n", b",inf\r\n"),
        (lambda r: r.double(3.0), b"$1\r\n3\r\n", b",3\r\n"),
        (lambda r: r.boolean(True), b":1\r\n", b"#t\r\n"),
        (lambda r: r.boolean(False), b":0\r\n", b"#f\r\n"),
        (lambda r: r.push([r.bulk(b"a")]), b"*1\r\n$1\r\na\r\n", b">1\r\n$1\r\na\r\n"),
    ],
)
def test_bytes(ours: object, two: bytes, three: bytes) -> None:
    assert callable(ours)
    assert (ours(RESP2), ours(RESP3)) == (two, three)


@BOTH
@given(items=st.lists(st.binary(max_size=2000), max_size=20))
def test_strings_are_read_back(resp: Resp, items: list[bytes]) -> None:
    assert read(resp.bulks(items)) == items
    assert read(resp.array([resp.bulk(item) for item in items])) == items
    assert read(resp.array([resp.set(items), resp.integer(len(items))])) == [items, len(items)]


@BOTH
@given(number=st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_are_read_back(resp: Resp, number: int) -> None:
    assert read(resp.integer(number)) == number


@BOTH
def test_long_collections(resp: Resp) -> None:
    assert read(resp.bulks([b"x"] * 3000)) == [b"x"] * 3000
    assert read(resp.array([resp.bulk(b"x" * 5000)] * 1500)) == [b"x" * 5000] * 1500


@given(st.binary())
def test_bytes_of_a_client_go_through_an_error_unchanged_but_for_line_ends(text: bytes) -> None:
    assert encode_text(printable(text)) == text.replace(b"\r", b" ").replace(b"\n", b" ")
