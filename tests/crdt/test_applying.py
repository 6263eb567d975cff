"""A frame that is applied: what it meets here, and what readers are told of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crdt.dots import Actor
from crdt.state import State
from crdt.types import counters, hashes, keyspace, sets, strings
from tests.crdt.algebra import check_books, rows_held
from tests.crdt.replicas import Replicas, cut

A, B = Actor("a", 1), Actor("b", 2)
K = b"k"


def test_a_peer_does_not_touch_what_is_pending() -> None:
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    both.exchange()
    sets.add(both[0], K, [b"x"])
    keyspace.delete(both[1], K)
    both[0].apply(cut(both[1]))
    assert sets.contains(both[0], K, b"x")
    both.frames = []
    one = cut(both[0])
    assert check_books(both[0]) == []
    both[1].apply(one)
    assert both.agree(lambda state: sets.contains(state, K, b"x"))


def test_both_remove_the_same_row() -> None:
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    both.exchange()
    sets.remove(both[0], K, [b"x"])
    sets.remove(both[1], K, [b"x"])
    both.exchange()
    assert (both[0].live, both[0].hash) == (0, 0)


# -- what changed for readers -----------------------------------------------------------------------------------------


def told(state: State, before: Callable[[State], object], change: Callable[[State], object]) -> list[tuple[bytes, str]]:
    """The events of a peer's change to a state that had seen what was before."""
    both = Replicas()
    both.states[0] = state
    before(both[1])
    both.exchange()
    change(both[1])
    return list(state.apply(cut(both[1])) or {})


EVENTS: dict[str, tuple[Callable[[State], object], Callable[[State], object], list[tuple[bytes, str]]]] = {
    "new": (lambda s: None, lambda s: strings.put(s, K, b"v"), [(K, "set")]),
    "overwritten": (lambda s: strings.put(s, K, b"v"), lambda s: strings.put(s, K, b"w"), [(K, "set")]),
    "deleted": (lambda s: strings.put(s, K, b"v"), lambda s: keyspace.delete(s, K), [(K, "del")]),
    "counted": (lambda s: counters.incr(s, K, 1), lambda s: counters.incr(s, K, 1), [(K, "incrby")]),
    "member": (lambda s: sets.add(s, K, [b"x"]), lambda s: sets.add(s, K, [b"y"]), [(K, "sadd")]),
    "same member": (lambda s: sets.add(s, K, [b"x"]), lambda s: sets.add(s, K, [b"x"]), [(K, "sadd")]),
    "member gone": (lambda s: sets.add(s, K, [b"x", b"y"]), lambda s: sets.remove(s, K, [b"x"]), [(K, "srem")]),
    "last gone": (lambda s: sets.add(s, K, [b"x"]), lambda s: sets.remove(s, K, [b"x"]), [(K, "srem"), (K, "del")]),
    "field": (lambda s: hashes.put(s, K, [(b"f", b"v")]), lambda s: hashes.put(s, K, [(b"f", b"w")]), [(K, "hset")]),
    "two": (
        lambda s: sets.add(s, K, [b"x"]),
        lambda s: (sets.remove(s, K, [b"x"]), sets.add(s, K, [b"y"])),
        [(K, "sadd"), (K, "srem")],
    ),
    "another type": (
        lambda s: sets.add(s, K, [b"x"]),
        lambda s: strings.put(s, K, b"v"),
        [(K, "set"), (K, "srem")],
    ),
    "range": (
        lambda s: sets.add(s, K, [b"%d" % i for i in range(100)]),
        lambda s: keyspace.delete(s, K),
        [(K, "srem"), (K, "del")],
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events(name: str) -> None:
    before, change, events = EVENTS[name]
    assert told(State(Actor("a", 10)), before, change) == events


def test_baselines_are_no_events() -> None:
    both = Replicas()
    counters.incr(both[0], K, 5)
    both.exchange()
    keyspace.delete(both[1], K)
    assert list(both[0].apply(cut(both[1])) or {}) == [(K, "del")]
    assert both[1].apply(cut(both[0])) == {}, "the owner has dropped the baseline"


@pytest.mark.parametrize("told", [True, False])
def test_changes_are_listed_for_those_who_ask(told: bool) -> None:
    writer, reader = State(A), State(B)
    for value in (b"v", b"w"):
        strings.put(writer, K, value)
        counters.incr(writer, b"n", 1)
        sets.add(writer, b"s", [b"x"])
        reader.told = told
        changes = reader.apply(cut(writer))
        expected = [(K, "set"), (b"n", "incrby"), (b"s", "sadd")]
        assert sorted(changes or ()) == (expected if told else []) and changes is not None
        assert rows_held(reader) == rows_held(writer) and reader.hash == writer.hash
