"""What waits for a decision: siblings and types side by side."""

from __future__ import annotations

import pytest

from crdt import codec
from crdt.dots import Actor
from crdt.state import State
from crdt.types import hashes, keyspace, sets, strings
from crdt.types.conflicts import Conflict, conflicts, count
from tests.crdt.replicas import Replicas

K, L, M = b"k", b"l", b"m"


def found(state: State) -> set[tuple[bytes, bytes | None, str, tuple[bytes, ...]]]:
    """The conflicts without who and when."""
    return {(c.key, c.field, c.type, tuple(s.value for s in c.siblings)) for c in conflicts(state)}


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
