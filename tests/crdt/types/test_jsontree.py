"""The tree of a document: fields, ranks, what comes from outside, what is left when all is gone."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given

from crdt.codec import decode_frame, encode_frame
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.places import between
from crdt.state import RANGE_FROM
from crdt.types import documents, keyspace
from crdt.types.jsontree import JsonEntry
from tests.crdt.replicas import Replicas
from tests.strategies import junk, steady

K = b"k"
PLACE = between(None, None, b"\x00\x01\x02\xff\xfe\xfd\xfc\xfb", 1)[0]


def document(both: Replicas, i: int = 0) -> JsonEntry:
    doc = documents.document(both[i], K)
    assert doc is not None
    return doc


# -- from outside


@steady
@given(junk, junk)
def test_anything_may_come(field: Any, payload: Any) -> None:
    assert JsonEntry.check(field, payload) in (True, False)


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        (b"a", b"1"),
        (b"", b"[1]"),
        (b"", None),
        (b"\x00\xff", b"1"),
        (b"", msgpack.ExtType(1, msgpack.packb([0, b"no json", [["a", 1, 1, 1, 1]]]))),
        (b"", msgpack.ExtType(1, msgpack.packb([7]))),
    ],
)
def test_every_row_of_a_peer_is_looked_into(field: Any, payload: Any) -> None:
    """Not the first of a group alone: each may put the tree out of shape."""
    both = Replicas()
    documents.put(both[0], K, {"a": 1})
    one = both[0].cut()
    assert one is not None
    bad = Frame(one.actor, 1, 9)
    bad.groups = [Group(10, K, [b"", field], [b"{}", payload], [1, 2], [(2, 1 << 16)])]
    with pytest.raises(PeerError):
        decode_frame(encode_frame(bad))


# -- what is left


def test_nothing_is_left_of_what_was_deleted() -> None:
    both = Replicas()
    documents.put(both[0], K, {"keep": [], "a": {"b": {"c": [1, {"d": 2}]}}})
    both.exchange()
    nodes = len(document(both).nodes)
    for turn in range(200):
        state, doc = both[turn % 2], document(both, turn % 2)
        documents.add(state, doc, doc.root, b"m%d" % turn, {"x": [turn] * 3, "n": turn})
        member = documents.member(doc.root, b"m%d" % turn)
        assert member is not None
        number = documents.member(member, b"n")
        assert number is not None
        documents.increase(state, doc, number, 1)
        both.exchange()
        documents.remove(state, doc, member)
        both.exchange()
    both.exchange()
    assert len(document(both).nodes) == nodes == len(document(both, 1).nodes)
    assert all(state.live == nodes for state in both.states)
    keyspace.delete(both[0], K)
    both.exchange()
    assert [state.live for state in both.states] == [0, 0]
    assert not any(state.keys or state.hidden for state in both.states)


@pytest.mark.parametrize("size", [RANGE_FROM // 2, RANGE_FROM * 3])
def test_a_deletion_of_many_rows_is_a_range(size: int) -> None:
    both = Replicas()
    documents.put(both[0], K, {"n": 5, "list": list(range(size))})
    both.exchange()
    counter = documents.member(document(both, 1).root, b"n")
    assert counter is not None
    documents.increase(both[1], document(both, 1), counter, 3)
    keyspace.delete(both[0], K)
    frame = both[0].cut()
    assert frame is not None and bool(frame.ranges) == (size > RANGE_FROM)
    both.frames.append(decode_frame(encode_frame(frame)))
    both.exchange()
    assert both.agree(lambda state: documents.text(state, documents.document(state, K).root)) == b'{"n":3}'  # type: ignore[union-attr]


def test_a_part_may_come_before_what_it_is_in() -> None:
    """Both replicas build the same containers; each deletes what it had of the other's."""
    both = Replicas()
    documents.put(both[0], K, {"a": {"b": [1]}})
    documents.put(both[1], K, {"a": {"b": [2]}})
    both.exchange()
    assert both.agree(lambda state: documents.value(state, documents.document(state, K).root)) in (  # type: ignore[union-attr]
        {"a": {"b": [1, 2]}},
        {"a": {"b": [2, 1]}},
    )
