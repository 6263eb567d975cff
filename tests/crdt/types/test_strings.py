"""Strings: the truth table, siblings, contexts."""

from __future__ import annotations

import pytest

from crdt.dots import Actor
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import counters, hashes, keyspace, sets, strings
from tests.crdt.replicas import Replicas, table

K = b"k"


def do(state: State, words: str) -> None:
    verb, _, *args = words.split()
    if verb == "SET":
        strings.put(state, K, args[0].encode())
    elif verb == "DEL":
        keyspace.delete(state, K)
    else:
        assert verb == "INCRBY"
        counters.incr(state, K, int(args[0]))


def values(state: State) -> list[bytes]:
    return [sibling.value for sibling in strings.siblings(state, K) or []]


@pytest.mark.parametrize("row", table(strings), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    strings.put(both[0], K, b"before")
    both.exchange()
    if row[1].startswith("INCRBY"):
        do(both[0], "DEL k")
        both.exchange()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    shown = both.agree(lambda state: strings.get(state, K))
    if row[2] == "the later by clock":
        assert shown == b"y"
        assert both.agree(values) == [b"y", b"x"]
        strings.put(both[0], K, b"z")
        both.exchange()
        assert both.agree(values) == [b"z"]
    elif row[2].startswith("see"):
        assert shown == b"10"
    else:
        assert (shown or b"(nil)").decode() == row[2]
        assert both.agree(values) == ([] if shown is None else [shown])


def test_the_later_clock_wins_whoever_arrives_first() -> None:
    both = Replicas()
    both[0].begin(2_000_000)
    strings.put(both[0], K, b"late")
    strings.put(both[1], K, b"early")
    both.exchange()
    assert both.agree(values) == [b"late", b"early"]


def test_what_was_seen_is_beaten_whatever_the_clocks_say() -> None:
    both = Replicas()
    both[0].begin(9_000_000_000)
    strings.put(both[0], K, b"far future")
    both.exchange()
    assert both[1].clock.refused == 1
    strings.put(both[1], K, b"now")
    both.exchange()
    assert both.agree(values) == [b"now"]


def test_equal_clocks_are_decided_by_name() -> None:
    three = Replicas(3)
    for state in three.states:
        state.begin(5_000_000)
        strings.put(state, K, state.actor.name.encode())
    three.exchange()
    assert three.agree(values) == [b"c", b"b", b"a"]


def test_siblings_say_who_and_when() -> None:
    both = Replicas()
    strings.put(both[0], K, b"x")
    strings.put(both[1], K, b"y")
    both.exchange()
    assert both.agree(lambda state: strings.siblings(state, K)) == [
        strings.Sibling(b"y", Actor("b", 11), 1_000_001),
        strings.Sibling(b"x", Actor("a", 10), 1_000_000),
    ]
    assert both[0].contested
    assert strings.siblings(both[0], b"other") is None


def test_overwriting_what_is_pending_takes_no_dot() -> None:
    state = State(Actor("a", 1))
    for i in range(100):
        strings.put(state, K, b"%d" % i)
    one = state.cut()
    assert one is not None
    assert (one.first, one.last, one.adds()) == (1, 1, 1)
    assert one.groups[0].payloads == [b"99"]


def test_overwriting_what_was_named_does() -> None:
    state = State(Actor("a", 1))
    strings.put(state, K, b"x")
    strings.siblings(state, K)
    strings.put(state, K, b"y")
    one = state.cut()
    assert one is not None
    assert (one.last, one.adds(), one.removes) == (2, 1, {})


# -- contexts ---------------------------------------------------------------------------------------------------------


def test_a_context_replaces_exactly_what_it_covers() -> None:
    three = Replicas(3)
    strings.put(three[0], K, b"x")
    strings.put(three[1], K, b"y")
    three.exchange()
    token = strings.context(three[2], K)
    strings.put(three[0], K, b"new")
    three.exchange()
    strings.put_over(three[2], K, b"merged", token)
    three.exchange()
    assert sorted(three.agree(values)) == [b"merged", b"new"]
    strings.put_over(three[2], K, b"settled", strings.context(three[2], K))
    three.exchange()
    assert three.agree(values) == [b"settled"]


def test_a_context_covers_own_pending_writes() -> None:
    state = State(Actor("a", 1))
    strings.put(state, K, b"x")
    token = strings.context(state, K)
    strings.put_over(state, K, b"y", token)
    assert values(state) == [b"y"]
    strings.put_over(state, K, b"z", token)
    assert sorted(values(state)) == [b"y", b"z"]


def test_an_empty_context_adds_a_sibling() -> None:
    state = State(Actor("a", 1))
    token = strings.context(state, K)
    strings.put(state, K, b"x")
    strings.put_over(state, K, b"y", token)
    assert sorted(values(state)) == [b"x", b"y"]


@pytest.mark.parametrize("token", [b"", b"x", b"\xc0", b"\x91\x01", b"\xff" * 50])
def test_foreign_contexts_are_refused(token: bytes) -> None:
    state = State(Actor("a", 1))
    with pytest.raises(UsageError, match="invalid context"):
        strings.put_over(state, K, b"x", token)
    assert not keyspace.exists(state, K)


# -- other types ------------------------------------------------------------------------------------------------------


def test_wrong_types() -> None:
    state = State(Actor("a", 1))
    sets.add(state, K, [b"x"])
    for call in (
        lambda: strings.get(state, K),
        lambda: strings.siblings(state, K),
        lambda: strings.put_over(state, K, b"", strings.context(state, K)),
        lambda: counters.incr(state, K, 1),
    ):
        with pytest.raises(WrongTypeError):
            call()


def test_set_replaces_every_type() -> None:
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    hashes.put(both[1], K, [(b"f", b"v")])
    both.exchange()
    assert both.agree(lambda state: keyspace.type_name(state, K)) == "hash"
    strings.put(both[0], K, b"v")
    both.exchange()
    assert both.agree(lambda state: strings.get(state, K)) == b"v"
    assert both[1].live == 1
    assert not both[1].hidden


def test_a_key_that_is_gone_comes_back_clean() -> None:
    both = Replicas()
    counters.incr(both[0], K, 5)
    both.exchange()
    keyspace.delete(both[1], K)
    strings.put(both[1], K, b"x")
    both.exchange()
    assert both.agree(values) == [b"x"]


def test_a_context_takes_the_increments_it_saw_and_leaves_what_came_later() -> None:
    three = Replicas(3)
    strings.put(three[0], K, b"10")
    three.exchange()
    counters.incr(three[1], K, 5)
    three.exchange()
    token = strings.context(three[0], K)  # 15 was read
    counters.incr(three[1], K, 2)
    three.exchange()
    counters.incr(three[0], K, 1)
    strings.put_over(three[0], K, b"100", token)
    three.exchange()
    assert three.agree(lambda state: strings.get(state, K)) == b"103"


def test_a_context_of_increments_that_have_not_arrived_is_refused() -> None:
    both = Replicas()
    counters.incr(both[0], K, 5)
    token = strings.context(both[0], K)
    before = both[1].dot
    with pytest.raises(UsageError, match="have not arrived"):
        strings.put_over(both[1], K, b"100", token)
    assert (both[1].dot, keyspace.exists(both[1], K)) == (before, False)
