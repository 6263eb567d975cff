"""Glob patterns as Redis's `stringmatchlen` understands them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.api.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"", [b""], [b"a"]),
        (b"*", [b"a", b"a\nb"], [b""]),
        (b"a*c", [b"ac", b"abc", b"abcc"], [b"abcd", b"a"]),
        (b"**a**", [b"a", b"xax"], [b"x"]),
        (b"a?c", [b"abc", b"a\nc"], [b"ac", b"abbc"]),
        (b"[abc]", [b"a", b"c"], [b"d", b""]),
        (b"[a-c]x", [b"bx"], [b"dx"]),
        (b"[c-a]", [b"b"], [b"d"]),
        (b"[^a]", [b"b"], [b"a"]),
        (b"[!a]", [b"!", b"a"], [b"b"]),
        (b"[\\]]", [b"]"], [b"\\"]),
        (b"[a", [b"a"], [b"b"]),
        (b"[a-", [b"a", b"-"], [b"b"]),
        (b"[]a]", [], [b"]a]", b"]", b"a"]),
        (b"[^]", [b"x"], [b""]),
        (b"\\*", [b"*"], [b"a", b"\\a"]),
        (b"\\a", [b"a"], [b"\\a"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a.c", [b"a.c"], [b"abc"]),
        (b"__keyspace@0__:*", [b"__keyspace@0__:k"], [b"__keyspace@1__:k"]),
    ],
)
def test_patterns(pattern: bytes, yes: list[bytes], no: list[bytes]) -> None:
    matches = compile_glob(pattern).fullmatch
    assert [text for text in yes if matches(text) is None] == []
    assert [text for text in no if matches(text) is not None] == []


def test_many_stars_take_no_time() -> None:
    began = time.monotonic()
    assert compile_glob(b"a*" * 30 + b"b").fullmatch(b"a" * 10_000) is None
    assert time.monotonic() - began < 2


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_it_says_what_redis_says(pattern: bytes, text: bytes) -> None:
    assert (compile_glob(pattern).fullmatch(text) is not None) == (
        _redis(pattern, text) if pattern or not text else False
    )


@given(st.text(alphabet="a*?[]^-\\b", max_size=8), st.text(alphabet="ab-^", max_size=5))
def test_it_says_what_redis_says_of_odd_patterns(pattern: str, text: str) -> None:
    assert (compile_glob(pattern.encode()).fullmatch(text.encode()) is not None) == _redis(
        pattern.encode(), text.encode()
    )


def _redis(pattern: bytes, text: bytes) -> bool:
    """`stringmatchlen` of Redis 7.0, by its rules."""
    p = s = 0
    while p < len(pattern) and s < len(text):
        char = pattern[p : p + 1]
        if char == b"*":
            while pattern[p + 1 : p + 2] == b"*":
                p += 1
            if p + 1 == len(pattern):
                return True
            return any(_redis(pattern[p + 1 :], text[rest:]) for rest in range(s, len(text) + 1))
        if char == b"[":
            matched, p = _class(pattern, p + 1, text[s])
            if not matched:
                return False
        elif char != b"?":
            if char == b"\\" and p + 1 < len(pattern):
                p += 1
            if pattern[p] != text[s]:
                return False
        s += 1
        p += 1
        if s == len(text):
            while pattern[p : p + 1] == b"*":
                p += 1
            break
    return p == len(pattern) and s == len(text)


def _class(pattern: bytes, p: int, char: int) -> tuple[bool, int]:
    negated = pattern[p : p + 1] == b"^"
    p += negated
    matched = False
    while p < len(pattern) and pattern[p : p + 1] != b"]":
        if pattern[p : p + 1] == b"\\" and p + 1 < len(pattern):
            p += 1
            matched |= pattern[p] == char
        elif p + 2 < len(pattern) and pattern[p + 1 : p + 2] == b"-":
            low, high = sorted((pattern[p], pattern[p + 2]))
            matched |= low <= char <= high
            p += 2
        else:
            matched |= pattern[p] == char
        p += 1
    return matched != negated, min(p, len(pattern) - 1)
