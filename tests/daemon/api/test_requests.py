"""Requests out of bytes: Redis's grammar, its errors, our limits, and no difference by chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.api import requests as module
from daemon.api.limits import Limits
from daemon.api.refused import RefusedRequest
from daemon.api.requests import LINE_LIMIT, RequestParser, Shapes, split_words
from tests.compiled import as_python
from tests.daemon.api.serving import encoded

SMALL = Limits(key=8, value=16, request=200)
Outcome = tuple[list[tuple[str, list[bytes]]], str | None]


def parse(chunks: list[bytes], limits: Limits = SMALL) -> Outcome:
    """All requests (refused ones by their error) and what ended the stream."""
    parser = RequestParser(limits)
    found = []
    for chunk in chunks:
        for request in parser.feed(chunk):
            assert request, "no empty requests"
            assert all(type(arg) is bytes for arg in request)
            found.append((request.error if isinstance(request, RefusedRequest) else "", list(request)))
    return found, parser.error


def requests(data: bytes, limits: Limits = SMALL) -> list[list[bytes]]:
    found, error = parse([data], limits)
    assert error is None
    return [request for _, request in found]


def error(data: bytes, limits: Limits = SMALL) -> str | None:
    return parse([data], limits)[1]


# -- what is a request


def test_one_after_the_other() -> None:
    data = encoded("SET a b") + b"PING\r\n" + encoded(b"GET", b"\r\n$1") + b"\r\n*0\r\n*-1\r\n" + encoded("PING")
    assert requests(data) == [[b"SET", b"a", b"b"], [b"PING"], [b"GET", b"\r\n$1"], [b"PING"]]


@pytest.mark.parametrize("data", [b"*0\r\n", b"*-1\r\n", b"*-5\r\n", b"\r\n", b"\n", b"  \r\n"])
def test_nothing_is_no_request(data: bytes) -> None:
    assert requests(data + encoded("PING")) == [[b"PING"]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded("GET k"), [[b"GET", b"k"]]),
        (encoded(b"GET", b""), [[b"GET", b""]]),
        (encoded("MGET a b c d"), [[b"MGET", b"a", b"b", b"c", b"d"]]),
        (encoded("MGET a b c d e f"), [[b"MGET", b"a", b"b", b"c", b"d", b"e", b"f"]]),
        (encoded(b"ECHO", b"a\r\nb"), [[b"ECHO", b"a\r\nb"]]),
        (encoded(b"ECHO", b"\r\n$1"), [[b"ECHO", b"\r\n$1"]]),
        (encoded("PING") * 2, [[b"PING"], [b"PING"]]),
        (encoded("PING") + b"\r\nPING\r\n", [[b"PING"], [b"PING"]]),
        (encoded(b"MGET", *5 * [b""]) + b"\r\n" + encoded("PING"), [[b"MGET", *5 * [b""]], [b"PING"]]),
        (b"*1\r\n$0\r\n", []),
        (b"*1\r\n$4\r\nPING", []),
        (b"*1\r\n$4\r\nPING\r", []),
        (b"*2\r\n$4\r\nECHO\r\n", []),
        (b"*1\r\n", []),
        (b"*0\r\n", []),
    ],
)
def test_a_small_read(data: bytes, expected: list[list[bytes]]) -> None:
    """What is split at its line ends must be whole, and what is not whole is kept."""
    parser = RequestParser(Limits())
    assert parser.feed(data) == expected and parser.error is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(b"SET", b"k", b"v" * 5000), [(b"SET", 5000)]),
        (encoded(b"SET", b"k", b"\r\n" * 2500), [(b"SET", 5000)]),
        (encoded(b"SET", b"k", b"v" * 5000) * 3, 3 * [(b"SET", 5000)]),
        (encoded(b"SET", b"k", b"v" * 5000) + encoded("PING") * 2, [(b"SET", 5000), (b"PING", 4), (b"PING", 4)]),
        (encoded("PING") * 2 + encoded(b"SET", b"k", b"v" * 5000), [(b"PING", 4), (b"PING", 4), (b"SET", 5000)]),
        (encoded(b"MGET", *(b"%d" % n for n in range(9999))), [(b"MGET", 4)]),
        (encoded(b"SET", b"k", b"v" * 5000) + b"PING\r\n", [(b"SET", 5000), (b"PING", 4)]),
        (encoded(b"SET", b"k", b"v" * 5000)[:-2], []),
        (encoded(b"SET", b"k", b"v" * 5000)[:-1], []),
        (encoded(b"SET", b"k", b"v" * 5000)[:-2] + b"??", [(b"SET", 5000)]),  # not checked, as in Redis
    ],
)
def test_a_large_read(data: bytes, expected: list[tuple[bytes, int]]) -> None:
    parser = RequestParser(Limits())
    found = parser.feed(data)
    assert [(request[0], max(map(len, request))) for request in found] == expected and parser.error is None
    found += parser.feed(encoded("PING")) if expected else parser.feed(b"\r\n"[-(2 - data[-1:].count(b"\r")) :])
    assert len(found) == len(expected) + 1, "and the stream goes on"


def test_a_large_read_is_held_to_the_limits() -> None:
    limits = Limits(key=2000, value=4000, request=9000)
    first = encoded(b"SET", b"k", b"v" * 3000)
    found, error = parse([first + encoded(b"SET", b"k", b"v" * 4001) + first], limits)
    assert [words[:9] for words, _ in found] == ["", "ERR value", ""] and error is None
    found, error = parse([first + encoded(b"MSET", *4 * [b"v" * 3000])], limits)
    assert len(found) == 1 and error is not None and "limits.request" in error
    parser = RequestParser(limits)
    parser.feed(first)
    assert parser.long


def test_a_small_read_is_held_to_small_limits() -> None:
    assert parse([encoded(b"GET", b"k" * 17)])[0][0][0].startswith("ERR value of 17 bytes")
    parser = RequestParser(SMALL)
    parser.feed(encoded(b"GET", b"k" * 9))
    assert parser.long


def test_line_ends_are_skipped_not_checked() -> None:
    assert requests(b"*1\rX$4\rXPINGab*1\r\n$4\r\nPING\r\n") == [[b"PING"], [b"PING"]]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"* 1\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*2\r\n$4\r\nPING\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*" + b"1" * (LINE_LIMIT + 1), "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * (LINE_LIMIT + 1), "too big bulk count string"),
        (b"x" * (LINE_LIMIT + 1), "too big inline request"),
        (b"ECHO 'a\r\n", "unbalanced quotes in request"),
        (b"POST / HTTP/1.1\r\n", "this is HTTP, and only RESP is spoken here"),
        (b"Host: localhost:6379\r\n", "this is HTTP, and only RESP is spoken here"),
    ],
)
def test_protocol_errors(data: bytes, text: str) -> None:
    found, ended = parse([encoded("PING") + data + encoded("PING")])
    assert found == [("", [b"PING"])]
    assert ended == f"ERR Protocol error: {text}"


def test_nothing_comes_after_an_error() -> None:
    parser = RequestParser(SMALL)
    parser.feed(b"*x\r\n")
    assert parser.feed(encoded("PING")) == []
    assert parser.feed_one(encoded("PING")) is None


def test_a_count_reserves_nothing() -> None:
    # hiredis would make a list of two thousand million places.
    assert parse([b"*2147483647\r\n"]) == ([], None)


# -- inline


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  SET  a\tb  ", [b"SET", b"a", b"b"]),
        (b"\"a b\" 'c d'", [b"a b", b"c d"]),
        (b'""', [b""]),
        (b'a"b c"', [b"ab c"]),
        (rb'"\x41\n\r\t\b\a\\\"\q\xzz"', [b'A\n\r\t\b\a\\"qxzz']),
        (rb"'a\'b\n'", [rb"a'b\n"]),
        (b"\x0ba\x0bb", [b"a\x0bb"]),
        (b"a\rb", [b"a", b"b"]),
        (b"a\x00b", [b"a\x00b"]),
        (b'"a"b', None),
        (b'"a', None),
        (b"'a", None),
        (b"'a'b", None),
        (rb'"a\"', None),
        (rb"'a\'", None),
    ],
)
def test_words(line: bytes, words: list[bytes] | None) -> None:
    assert split_words(line) == words


# -- limits


def test_a_long_value_is_read_over_and_refused() -> None:
    found, ended = parse([encoded(b"SET", b"k", b"x" * 17) + encoded("PING")])
    assert found == [("ERR value of 17 bytes exceeds limits.value (16)", [b""]), ("", [b"PING"])]
    assert ended is None


def test_a_long_value_is_not_kept() -> None:
    limits = Limits(value=1000, request=1 << 30)
    parser = RequestParser(limits)
    parser.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
    for _ in range(1000):
        assert parser.feed(b"x" * 1000) == []
        assert len(parser._buffer) == 0
    (request,) = parser.feed(b"\r\n")
    assert isinstance(request, RefusedRequest)


def test_a_long_inline_value() -> None:
    assert parse([b"ECHO " + b"x" * 17 + b"\r\n"])[0] == [("ERR value of 17 bytes exceeds limits.value (16)", [b""])]


def test_a_long_request_ends_the_stream_before_it_has_come() -> None:
    assert error(b"*2\r\n$4\r\nECHO\r\n$1000\r\n") == "ERR request of 1023 bytes exceeds limits.request (200)"
    assert error(encoded(*[b"x"] * 100)) == "ERR request of 202 bytes exceeds limits.request (200)"
    assert error(b"x " * 101 + b"\r\n") == "ERR request of 204 bytes exceeds limits.request (200)"


@pytest.mark.parametrize("size", [8, 9])
def test_long_is_said_where_a_key_may_be_too_long(size: int) -> None:
    for chunks in ([encoded(b"G", b"x" * size)], [bytes([byte]) for byte in encoded(b"G", b"x" * size)]):
        parser = RequestParser(SMALL)
        for chunk in chunks:
            parser.feed(chunk)
        assert parser.long >= (size > 8)


def test_other_limits_hold_from_now_on() -> None:
    parser = RequestParser(SMALL)
    parser.relimit(Limits())
    assert parser.feed(encoded(b"SET", b"k", b"x" * 100_000)) == [[b"SET", b"k", b"x" * 100_000]]
    parser.relimit(SMALL)
    (request,) = parser.feed(encoded(b"SET", b"k", b"x" * 17))
    assert isinstance(request, RefusedRequest)


def test_before_the_password_requests_are_small() -> None:
    for data, text in [
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
    ]:
        parser = RequestParser(Limits(), authenticated=False)
        assert parser.feed_one(data) is None
        assert parser.error == f"ERR Protocol error: {text}"


def test_before_the_password_one_request_at_a_time() -> None:
    parser = RequestParser(Limits(), authenticated=False)
    long = [b"DEL", *[b"k"] * 20]
    assert parser.feed_one(encoded("AUTH x") + encoded(*long)) == [b"AUTH", b"x"]
    parser.authenticated(True)
    assert parser.feed_one(b"") == long
    assert parser.feed_one(b"") is None
    assert parser.feed(encoded("PING")) == [[b"PING"]]


# -- requests like an earlier one


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The requests that had to be split, with nothing learned yet; each of them teaches its shape."""
    seen: list[list[bytes]] = []
    learn = Shapes.learn
    monkeypatch.setattr(module, "LEARNED", 1)
    monkeypatch.setattr(module, "_shapes", Shapes())
    monkeypatch.setattr(Shapes, "learn", lambda shapes, args, size: (seen.append(args), learn(shapes, args, size)))
    return seen


@as_python
def test_a_request_like_an_earlier_one_is_not_split_again(split: list[list[bytes]]) -> None:
    for args in (
        [b"SET", b"a", b""],
        [b"SET", b"b", b""],
        [b"GET", b"\n", b""],
        [b"SET", b"", b"x"],
        [b"DEL", b"", b"y"],
    ):
        assert parse([encoded(*args)], Limits()) == ([("", args)], None)
    assert split == [[b"SET", b"a", b""], [b"SET", b"", b"x"]]


@as_python
def test_where_no_two_are_alike_few_are_remembered(split: list[list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned was wrong at the next one, and is forgotten."""
    monkeypatch.setattr(module, "LEARNED", 8)
    shapes = module._shapes
    remembered = 0
    for n in range(64):
        args = [b"ECHO", b"x" * (n % 2), b"y" * (1 - n % 2)]
        assert parse([encoded(*args)], Limits()) == ([("", args)], None)
        remembered += any(shapes.of)
    assert (len(split), remembered) == (64, 8)


@given(
    sent=st.lists(st.lists(st.binary(max_size=6), min_size=1, max_size=5), min_size=1, max_size=6),
    places=st.lists(st.tuples(st.integers(0, 60), st.sampled_from(b"*$\r\n0123x")), max_size=3),
)
def test_what_differs_from_an_earlier_one_in_a_count_is_not_taken_for_it(
    sent: list[list[bytes]], places: list[tuple[int, int]]
) -> None:
    """Bytes are put in place of others: whatever comes of it is what Redis's grammar makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEARNED", 1)
        patch.setattr(module, "_shapes", Shapes())
        for args in sent:
            data = bytearray(encoded(*args))
            assert parse([bytes(data)], Limits()) == ([("", args)], None)
            for place, byte in places:
                data[place % len(data)] = byte
            changed = bytes(data)
            found = parse([changed], Limits())
            patch.setattr(module, "ALONE", 0)
            assert found == parse([changed], Limits())
            patch.setattr(module, "ALONE", 192)


# -- chunks

arguments = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"", b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"\n+", b"\r\n$", b"*0\r\n", b"\n>"]),
)
pieces = st.one_of(
    st.lists(arguments, min_size=1, max_size=5).map(lambda args: encoded(*args)),
    st.sampled_from([b"PING\r\n", b"\r\n", b"*0\r\n", b"*-1\r\n", b"*-5\r\n", b"ECHO 'a b'\n", b"*1\rX$1\rXa\r\n"]),
    st.sampled_from([b"*1\r\n+a\r\n", b"*1\r\n:1\r\n", b"*1\r\n*1\r\n$1\r\na\r\n", b">1\r\n$1\r\na\r\n", b"~1\r\n"]),
    st.sampled_from([b"$1\r\na\r\n", b"%1\r\n$1\r\na\r\n$1\r\nb\r\n", b"_\r\n", b"(12\r\n", b"=5\r\ntxt:a\r\n"]),
    st.sampled_from(
        [b"*2\r\n$1\r\n", b"*100000\r\n", b"*1\r\n$-1\r\n", b"#t\r\n", b",1.5\r\n", b"-x\r\n", b"\x00\r\n"]
    ),
    st.binary(max_size=8),
)
streams = st.lists(pieces, max_size=8).map(b"".join)


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


# With wide limits hiredis has most of it, with small ones our own grammar; "stepped" is how large values are read.
@pytest.mark.parametrize(
    ("limits", "alone", "large"),
    [(Limits(), 192, 1024), (SMALL, 192, 1024), (Limits(), 0, 1024), (Limits(), 0, 1), (SMALL, 0, 1)],
    ids=["wide", "small", "wide, none alone", "stepped", "small, stepped"],
)
@given(data=streams, places=st.lists(st.integers(0, 1000), max_size=6))
@settings(max_examples=300)
@example(b"*1\r\n$2\r\n", [])
@example(b"*2\r\n$1\r\na\r\n", [])
@example(b"*1\r\n$8\r\nab", [])
@example(b"*1\r\n$3\r\nab", [])
@example(b"*1\r\n", [])
@example(b"*1\r", [])
@example(b"*", [])
def test_chunks_make_no_difference(limits: Limits, alone: int, large: int, data: bytes, places: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALONE", alone)
        patch.setattr(module, "LARGE", large)
        whole = parse([data], limits)
        assert parse(_cut(data, places), limits) == whole
        assert parse([data[at : at + 1] for at in range(len(data))], limits) == whole


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["wide", "small"])
@given(chunks=st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_raise(limits: Limits, chunks: list[bytes]) -> None:
    assert parse(chunks, limits) == parse([b"".join(chunks)], limits)


@given(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=12), max_size=12), st.integers(1, 200))
def test_what_was_encoded_comes_back(sent: list[list[bytes]], size: int) -> None:
    data = b"".join(encoded(*args) for args in sent)
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    found, ended = parse(chunks, Limits())
    assert ([args for _, args in found], ended) == (sent, None)


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["wide", "small"])
@given(data=streams)
def test_one_at_a_time_finds_the_same(limits: Limits, data: bytes) -> None:
    parser = RequestParser(limits)
    found = []
    request = parser.feed_one(data)
    while request is not None:
        found.append((request.error if isinstance(request, RefusedRequest) else "", list(request)))
        request = parser.feed_one(b"")
    assert (found, parser.error) == parse([data], limits)
