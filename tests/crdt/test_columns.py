"""Rows gathered into columns."""

from __future__ import annotations

import msgpack

from crdt.columns import Row, grouped
from crdt.dots import SEQ_BITS
from crdt.entry import Opaque, Raw, Wire
from crdt.frame import Group
from crdt.types.sets import SetEntry
from crdt.types.strings import StringEntry

BASE = 5 << SEQ_BITS
NUMBER = (1, 2, 3)


def wire(raw: Raw, dot: int) -> Wire:
    """A stand-in that says what it was asked."""
    return msgpack.ExtType(1, b"%d" % (dot - BASE)) if type(raw) is tuple else raw


def test_no_rows() -> None:
    assert grouped([], wire) == []


def test_keys_of_one_type_and_fields_of_one_key() -> None:
    one, two, members = StringEntry(b"k"), StringEntry(b"l"), SetEntry(b"s")
    rows: list[Row] = [
        (BASE + 1, one, None, b"v", 7),
        (BASE + 2, members, b"x", None, 7),
        (BASE + 4, two, None, b"w", 8),
        (BASE + 5, members, b"y", None, 7),
    ]
    assert grouped(rows, wire) == [
        Group(1, None, [b"k", b"l"], [b"v", b"w"], [1, 4], [(1, 7), (1, 8)]),
        Group(4, b"s", [b"x", b"y"], None, [2, 5], [(2, 7)]),
    ]


def test_structured_payloads_are_made_wire() -> None:
    one, two = StringEntry(b"k"), StringEntry(b"l")
    rows: list[Row] = [(BASE + 1, one, None, NUMBER, 7), (BASE + 2, two, None, b"v", 7)]
    assert grouped(rows, wire)[0].payloads == [msgpack.ExtType(1, b"1"), b"v"]


def test_unknown_types_keep_the_form_they_came_in() -> None:
    one, two = Opaque(b"k", 200), Opaque(b"l", 200)
    rows: list[Row] = [
        (BASE + 1, one, None, None, 7),
        (BASE + 2, one, b"f", b"v", 7),
        (BASE + 3, two, None, b"w", 7),
    ]
    assert grouped(rows, wire) == [
        Group(200, None, [b"k", b"l"], [None, b"w"], [1, 3], [(2, 7)]),
        Group(200, b"k", [b"f"], [b"v"], [2], [(1, 7)]),
    ]


def test_a_time_that_comes_back_is_a_run_of_its_own() -> None:
    members = SetEntry(b"s")
    rows: list[Row] = [(BASE + i, members, b"%d" % i, None, hlc) for i, hlc in enumerate((7, 8, 7), 1)]
    assert grouped(rows, wire)[0].stamps == [(1, 7), (1, 8), (1, 7)]
