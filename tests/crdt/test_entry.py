"""What every type's entry promises, over the catalogue, and rows of types nobody knows."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.dots import SEQ_BITS, Actor
from crdt.entry import GONE, Entry, Opaque
from crdt.state import State
from crdt.types.catalog import CATALOG
from tests import strategies
from tests.strategies import steady

DOT = (1 << SEQ_BITS) + 300


def state() -> State:
    one = State(Actor("me", 1))
    one.intern(Actor("peer", 2))
    return one


@pytest.mark.parametrize("cls", CATALOG.values(), ids=lambda cls: cls.NAME)
@steady
@given(data=st.data())
def test_rows_come_and_go(cls: type[Entry], data: st.DataObject) -> None:
    """Whatever rows are put in are all there, and gone when each was dropped, in any order."""
    here, entry = state(), cls(b"k")
    fields = st.none() if cls.SINGLE else strategies.fields_of(cls.CODE)
    rows = data.draw(st.lists(st.tuples(fields, strategies.payloads(cls.CODE)), max_size=6))
    held = {DOT + i: row for i, row in enumerate(rows)}
    for dot, (field, payload) in held.items():
        assert cls.check(field, payload)
        entry.insert(here, field, payload, dot)
    for dot in data.draw(st.permutations(list(held))):
        found = {d: (f, here.wire(raw)) for f, d, raw in entry.rows()}
        assert found == held
        assert entry.empty() is not bool(held)
        assert all(entry.holds(f, d) for d, (f, _) in held.items())
        assert not entry.holds(held[dot][0], DOT - 1)
        field, payload = held.pop(dot)
        raw = entry.discard(here, field, dot)
        assert here.wire(raw) == payload
        assert entry.discard(here, field, dot) is GONE
        assert entry.row(field, dot) is GONE
    assert entry.empty()
    assert not entry.visible()


@pytest.mark.parametrize("cls", CATALOG.values(), ids=lambda cls: cls.NAME)
@steady
@given(junk=strategies.junk)
def test_foreign_values_are_checked(cls: type[Entry], junk: object) -> None:
    """`check` answers for anything, and takes no number, text, list or map."""
    for field in (None, b"f"):
        if type(junk) not in (bytes, msgpack.ExtType, type(None)):
            assert cls.check(field, junk) is False


def test_opaque_rows_are_kept() -> None:
    here, entry = state(), Opaque(b"k", 200)
    rows = [(None, None), (None, b"v"), (b"f", None), (b"f", msgpack.ExtType(9, b""))]
    for i, (field, payload) in enumerate(rows):
        assert Opaque.check(field, payload)
        entry.insert(here, field, payload, DOT + i)
    assert [(f, raw) for f, _, raw in entry.rows()] == rows
    assert entry.CODE == 200
    assert not entry.visible()
    assert entry.discard(here, b"f", DOT + 3) == msgpack.ExtType(9, b"")
    assert entry.discard(here, b"f", DOT + 3) is GONE
    assert entry.row(None, DOT) is None
    entry.erase(here)
    assert entry.empty()
