"""Front coding: what is read is what was written, shorter where paths are alike, and little does not claim much."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import fronts
from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.state import State
from crdt.types import documents
from tests.strategies import json_fields, steady

alike = st.lists(st.text("ab", max_size=9).map(lambda text: b"a" * 20 + text.encode()), min_size=1, max_size=12)


@steady
@given(st.lists(json_fields, min_size=1, max_size=12) | alike)
def test_there_and_back(fields: list[bytes]) -> None:
    column = fronts.short(fields)
    assert column is fields or fronts.spelled(column) == fields


def test_the_longest_beginning_is_found() -> None:
    fields = [b"a" * n + b"b" * 50 for n in (60, 60, 0, 33, 110, 10)]
    column = fronts.short(fields)
    assert column[::2] == [0, 110, 0, 0, 33, 10]
    assert fronts.spelled(column) == fields


def test_what_is_not_alike_stays_as_it_is() -> None:
    fields = [b"%d" % n for n in range(10)]
    assert fronts.short(fields) is fields


def test_what_would_not_be_taken_is_not_sent() -> None:
    fields = [b"x" * 100_000] * 1000
    assert fronts.short(fields) is fields


def test_a_document_is_little_longer_than_its_text() -> None:
    parts = [{"identifier": i, "price": {"amount": i * 3, "currency": "EUR"}, "tags": ["a", "b"]} for i in range(200)]
    state = State(Actor("a", 1))
    documents.put(state, b"d", {"store": {"items": parts}})
    frame = state.cut()
    assert frame is not None
    data = encode_frame(frame)
    paths = sum(map(len, frame.groups[0].fields))
    assert len(data) < paths / 2
    assert decode_frame(data) == frame


@pytest.mark.parametrize(
    "column",
    [
        [0], [0, b"a", 2, b""], [1, b"a"], [0, b"a", -1, b""], [0, "a"], [0, b"a", True, b"b"], [0, b"a", b"b", b"c"],
        [0, b"a", 1.0, b""], [0, 5], [0, None], [0, b"a" * 10_000, *[10_000, b""] * 1000],
    ],
)  # fmt: skip
def test_what_is_refused(column: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        fronts.spelled(column)
