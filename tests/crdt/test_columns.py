"""Rows gathered into columns."""

from __future__ import annotations

import msgpack

from crdt.columns import Dead, dead_hash, gathered
from crdt.dots import SEQ_BITS, Actor
from crdt.entry import Entry, Opaque, Raw, Wire
from crdt.frame import Group
from crdt.hashing import row_hash
from crdt.state import State
from crdt.types.sets import SetEntry
from crdt.types.strings import StringEntry

BASE = 5 << SEQ_BITS
NUMBER = (1, 2, 3)


def wire(raw: Raw) -> Wire:
    """A stand-in that says what it was asked."""
    return msgpack.ExtType(1, b"%d" % raw[1]) if type(raw) is tuple else raw


def wires(raws: list[Raw]) -> list[Wire]:
    return [wire(raw) for raw in raws]


def contents(raws: list[Raw]) -> list[bytes]:
    return [payload.data for payload in wires(raws)]


Row = tuple[int, Entry, bytes | None, Raw, int]  # packed dot, entry, field, payload, timestamp


def grouped(rows: list[Row]) -> list[Group]:
    """Rows that their entries hold, as groups."""
    for dot, entry, field, raw, _ in rows:
        if isinstance(entry, StringEntry):
            entry.dot, entry.value = dot, raw
        else:
            entry.insert(State(Actor("a", 1)), field, raw, dot)
    dots, entries, fields, _, hlcs = zip(*rows, strict=True)
    groups, stale = gathered(dots, entries, fields, hlcs, wires)
    assert stale == []
    return groups


def test_no_rows() -> None:
    assert gathered([], [], [], [], wires) == ([], [])


def test_rows_that_are_gone_and_places_without_rows_are_passed_over() -> None:
    members = SetEntry(b"s")
    members.dots = {b"x": BASE + 1, b"y": BASE + 9}
    columns = ([BASE + 1, BASE + 2, BASE + 3], [members, None, members], [b"x", None, b"y"], [7, 7, 7])
    groups, stale = gathered(*columns, wires)
    assert [group.fields for group in groups] == [[b"x"]]
    assert stale == [2]


def test_dead_rows_hash_as_they_did() -> None:
    string, members, unknown = StringEntry(b"k"), SetEntry(b"s"), Opaque(b"u", 200)
    rows: list[tuple[int, Entry, bytes | None, Raw]] = [
        (BASE + 9, string, None, b"v"),
        (BASE + 3, string, None, NUMBER),
        (BASE + 4, members, b"x", None),
        (BASE + 5, members, b"y", None),
        (BASE + 6, unknown, b"f", b"v"),
        (BASE + 7, unknown, None, None),
        (BASE + 8, unknown, b"f", msgpack.ExtType(1, b"v")),
    ]
    hlcs = [7, 8, 8, 9, 9, 9, 1 << 60]
    expected = sum(
        row_hash(3, entry.CODE, entry.key, field, wire(raw), dot - BASE, hlc)
        for (dot, entry, field, raw), hlc in zip(rows, hlcs, strict=True)
    )
    dead = Dead()
    for row in rows:
        dead.append(*row)
    assert dead_hash(3, dead, hlcs, contents) == expected


def test_keys_of_one_type_and_fields_of_one_key() -> None:
    one, two, members = StringEntry(b"k"), StringEntry(b"l"), SetEntry(b"s")
    rows: list[Row] = [
        (BASE + 1, one, None, b"v", 7),
        (BASE + 2, members, b"x", None, 7),
        (BASE + 4, two, None, b"w", 8),
        (BASE + 5, members, b"y", None, 7),
    ]
    assert grouped(rows) == [
        Group(1, None, [b"k", b"l"], [b"v", b"w"], [1, 4], [(1, 7), (1, 8)]),
        Group(4, b"s", [b"x", b"y"], None, [2, 5], [(2, 7)]),
    ]


def test_structured_payloads_are_made_wire() -> None:
    one, two = StringEntry(b"k"), StringEntry(b"l")
    rows: list[Row] = [(BASE + 1, one, None, NUMBER, 7), (BASE + 2, two, None, b"v", 7)]
    assert grouped(rows)[0].payloads == [msgpack.ExtType(1, b"2"), b"v"]


def test_unknown_types_keep_the_form_they_came_in() -> None:
    one, two = Opaque(b"k", 200), Opaque(b"l", 200)
    rows: list[Row] = [
        (BASE + 1, one, None, None, 7),
        (BASE + 2, one, b"f", b"v", 7),
        (BASE + 3, two, None, b"w", 7),
    ]
    assert grouped(rows) == [
        Group(200, None, [b"k", b"l"], [None, b"w"], [1, 3], [(2, 7)]),
        Group(200, b"k", [b"f"], [b"v"], [2], [(1, 7)]),
    ]


def test_a_time_that_comes_back_is_a_run_of_its_own() -> None:
    members = SetEntry(b"s")
    rows: list[Row] = [(BASE + i, members, b"%d" % i, None, hlc) for i, hlc in enumerate((7, 8, 7), 1)]
    assert grouped(rows)[0].stamps == [(1, 7), (1, 8), (1, 7)]
