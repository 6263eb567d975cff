"""Rows of documents: fields, ranks, and which text of a cell wins."""

from __future__ import annotations

import pytest
from hypothesis import given

from crdt.dots import Actor
from crdt.places import between
from crdt.state import State
from crdt.types.jsoncell import (
    ELEMENT,
    MEMBER,
    UNRANKED,
    Cell,
    body,
    component,
    is_path,
    is_text,
    last_step,
    rank_of,
    ranked,
)
from crdt.types.jsontext import DEPTH
from crdt.types.jsontree import JsonEntry
from tests.strategies import json_fields, steady

PLACE = between(None, None, b"\x00\x01\x02\xff\xfe\xfd\xfc\xfb", 1)[0]


@steady
@given(json_fields)
def test_fields_are_paths(field: bytes) -> None:
    assert is_path(field)
    if field:
        above, kind, name = last_step(field)
        assert above + component(kind, name) == field


@pytest.mark.parametrize("name", [b"", b"a", b"\x00", b"\x01\x02", b"\x02\x30", "é".encode(), b"a" * 5000])
def test_names_of_any_kind(name: bytes) -> None:
    field = component(MEMBER, b"x") + component(MEMBER, name) + component(ELEMENT, PLACE)
    assert is_path(field)
    above, kind, place = last_step(field)
    assert (kind, place) == (ELEMENT, PLACE)
    assert last_step(above) == (component(MEMBER, b"x"), MEMBER, name)


@pytest.mark.parametrize(
    "field",
    [b"a", b"\x02", b"\x00\x02", b"\x00a\x02\x33", b"\x00\xff", b"\x01", b"\x01abc", b"\x00a\x01" + PLACE[:-1],
     b"\x00a" * (DEPTH + 1)],
)  # fmt: skip
def test_what_is_no_path(field: bytes) -> None:
    assert not is_path(field)


def test_ranks() -> None:
    for rank in (0, 1, 127, 128, 300, 10**6, UNRANKED - 1):
        payload = ranked(rank, b'"\xc3\xa9"')
        assert rank_of(payload) == rank and body(payload) == b'"\xc3\xa9"' and is_text(payload)
    assert ranked(0, b"1") == b"1"
    for payload in (b"", b"\x80", b"\x801", ranked(UNRANKED, b"1"), b"\x81", b"\x81[1]", b"{}{}"):
        assert not is_text(payload)


def test_a_container_wins_over_a_leaf_an_object_over_an_array_else_the_later() -> None:
    state = State(Actor("a", 1))
    cell = Cell()
    for at, text in enumerate((b"{}", b"[]", b"{}", b"1", b"2")):
        state.begin(1000 + at)
        cell.sets[state.add(JsonEntry(b"k"), b"")] = ranked(9 - at, text)
    assert cell.rank() == 5
    order = []
    while cell.sets:
        winner = cell.winner(state)
        order.append(cell.text_in(winner))
        del cell.sets[winner]
    assert order == [b"{}", b"{}", b"[]", b"2", b"1"]
    assert cell.winner(state) == 0 and cell.rank() is None
