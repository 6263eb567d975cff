"""What waits for a decision: siblings and types side by side."""

from __future__ import annotations

from math import inf

import pytest

from crdt import codec
from crdt.dots import Actor
from crdt.state import State
from crdt.types import counters, documents, hashes, keyspace, sets, strings, zsets
from crdt.types.conflicts import Conflict, conflicts, count
from crdt.types.jsonnode import Node
from crdt.types.jsontree import JsonEntry
from tests.crdt.replicas import Replicas

K, L, M, N = b"k", b"l", b"m", b"n"


def found(state: State) -> set[tuple[bytes, bytes | None, str, tuple[bytes, ...]]]:
    """The conflicts without who and when."""
    return {(c.key, c.field, c.type, tuple(s.value for s in c.siblings)) for c in conflicts(state)}


def _place(state: State) -> tuple[JsonEntry, Node]:
    """The document M and its member n."""
    doc = documents.document(state, M)
    assert doc is not None
    node = documents.member(doc.root, b"n")
    assert node is not None
    return doc, node


def test_all_of_them() -> None:
    both = Replicas()
    for i, state in enumerate(both.states):
        strings.put(state, K, b"%d" % i)
        hashes.put(state, L, [(b"f", b"%d" % i), (b"g%d" % i, b"alone")])
    sets.add(both[0], M, [b"x"])
    strings.put(both[1], M, b"v")
    both.exchange()
    assert both.agree(found) == {
        (K, None, "string", (b"1", b"0")),
        (L, b"f", "hash", (b"1", b"0")),
        (M, None, "set", (b"set", b"string")),
    }
    assert both.agree(count) == 3


def test_increments_beside_a_value_that_is_no_number_are_a_conflict() -> None:
    """The value is shown alone; who counted must be able to find out. Whoever writes after seeing both settles it."""
    both = Replicas()
    strings.put(both[0], K, b"5")
    hashes.put(both[0], L, [(b"f", b"5"), (b"g", b"5")])
    documents.put(both[0], M, {"n": 5})
    zsets.put(both[0], N, [(b"x", 1.0)])
    both.exchange()
    counters.incr(both[0], K, 3)
    hashes.incr(both[0], L, b"f", 3)
    hashes.incr(both[0], L, b"g", 3)
    documents.increase(both[0], *_place(both[0]), 3)
    zsets.increase(both[0], N, b"x", 3.0)
    strings.put(both[1], K, b"text")
    hashes.put(both[1], L, [(b"f", b"text"), (b"g", b"7")])
    documents.assign(both[1], *_place(both[1]), "text")
    zsets.put(both[1], N, [(b"x", inf)])
    both.exchange()
    assert both.agree(found) == {
        (K, None, "string", (b"text", b"3")),
        (L, b"f", "hash", (b"text", b"3")),
        (M, b"$.n", "ReJSON-RL", (b'"text"', b"3")),
    }
    strings.put(both[0], K, b"settled")
    hashes.put(both[1], L, [(b"f", b"settled")])
    documents.assign(both[1], *_place(both[1]), "settled")
    both.exchange()
    assert both.agree(count) == 0


def test_what_was_settled_is_none() -> None:
    both = Replicas()
    for state in both.states:
        strings.put(state, K, state.actor.name.encode())
        hashes.put(state, L, [(b"f", state.actor.name.encode())])
        hashes.put(state, M, [(b"f", state.actor.name.encode())])
    both.exchange()
    assert both.agree(count) == 3
    strings.put(both[0], K, b"v")
    hashes.remove(both[0], L, [b"f"])
    keyspace.delete(both[1], M)
    both.exchange()
    assert both.agree(count) == 0
    assert list(conflicts(both[0])) == []


def test_conflicts_of_a_type_that_is_not_shown_wait_until_it_is() -> None:
    """A set behind which a disputed string stands is deleted: the string comes up, and with it its conflict."""
    both = Replicas()
    strings.put(both[0], K, b"0")
    strings.put(both[1], K, b"1")
    third = State(Actor("d", 99))
    sets.add(third, K, [b"x"])
    both.exchange()
    seen = codec.decode_frame(codec.encode_frame(third.cut() or pytest.fail("it has written")))
    for state in both.states:
        state.apply(seen)
    mixed = (K, None, "set", (b"set", b"string"))
    assert both.agree(found) == {mixed}  # settles the list
    sets.remove(both[0], K, [b"x"])
    both.exchange()
    assert both.agree(found) == {(K, None, "string", (b"1", b"0"))}


def test_a_conflict_names_its_writers() -> None:
    both = Replicas()
    for state in both.states:
        strings.put(state, K, b"v")
    both.exchange()
    (one,) = conflicts(both[0])
    assert isinstance(one, Conflict)
    assert [sibling.origin for sibling in one.siblings] == [both[1].actor, both[0].actor]


def test_settled_conflicts_are_forgotten_though_nobody_asks() -> None:
    both = Replicas()
    for i in range(1000):
        key = b"%d" % i
        for state in both.states:
            strings.put(state, key, state.actor.name.encode())
        both.exchange()
        if i % 2:
            keyspace.delete(both[0], key)
        else:
            strings.put(both[1], key, b"v")
    both.exchange()
    assert all(len(state.contested) <= 101 for state in both.states)
