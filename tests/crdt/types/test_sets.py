"""Sets and grow-only sets: the truth table, ranges, answers."""

from __future__ import annotations

from random import Random

import pytest

from crdt.dots import Actor
from crdt.errors import WrongTypeError
from crdt.state import RANGE_FROM, State
from crdt.types import keyspace, sets, strings
from tests.crdt.replicas import Replicas, table

K = b"k"
MANY = [b"%d" % i for i in range(RANGE_FROM + 10)]


def do(state: State, words: str) -> None:
    verb, *args = words.split()
    if verb == "SADD":
        sets.add(state, K, [args[0].encode()])
    elif verb == "SREM":
        sets.remove(state, K, [args[0].encode()])
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


def members(state: State) -> set[bytes]:
    return set(sets.members(state, K))


@pytest.mark.parametrize("row", table(sets), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    both.exchange()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    word = row[2].split()[0].rstrip(":")
    expected = {"yes": {b"x"}, "no": set(), "y": {b"y"}}[word]
    assert both.agree(members) == expected


def test_adding_again_outlives_a_removal_elsewhere() -> None:
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    both.exchange()
    assert sets.add(both[0], K, [b"x"]) == 0
    sets.remove(both[1], K, [b"x"])
    both.exchange()
    assert both.agree(members) == {b"x"}
    assert both[0].live == 1


def test_additions_side_by_side_are_one_member() -> None:
    three = Replicas(3)
    for state in three.states:
        assert sets.add(state, K, [b"x"]) == 1
    three.exchange()
    assert three.agree(lambda state: sets.size(state, K)) == 1
    assert three[0].live == 3
    assert sets.remove(three[1], K, [b"x"]) == 1
    three.exchange()
    assert three.agree(members) == set()
    assert three[0].live == 0


def test_adding_over_additions_side_by_side_leaves_one() -> None:
    both = Replicas()
    for state in both.states:
        sets.add(state, K, [b"x"])
    both.exchange()
    assert sets.add(both[0], K, [b"x"]) == 0
    both.exchange()
    assert both[1].live == 1


def test_what_came_and_went_between_cuts_is_not_sent() -> None:
    state = State(Actor("a", 1))
    sets.add(state, K, [b"x", b"y"])
    sets.remove(state, K, [b"x"])
    one = state.cut()
    assert one is not None
    assert (one.first, one.last, one.adds(), one.removes) == (1, 2, 1, {})


def test_members_of_a_burst_are_not_counted_twice() -> None:
    state = State(Actor("a", 1))
    assert sets.add(state, K, [b"x", b"x", b"y"]) == 2
    assert sets.remove(state, K, [b"x", b"x", b"z"]) == 1


# -- ranges: invariant I7 ---------------------------------------------------------------------------------------------


def test_a_large_set_goes_by_a_range() -> None:
    both = Replicas()
    sets.add(both[0], K, MANY)
    both.exchange()
    keyspace.delete(both[1], K)
    one = both[1].cut()
    assert one is not None
    assert one.removes == {}
    assert one.ranges == [((K, b"\x04"), {both[0].actor: len(MANY)})]
    both[0].apply(one)
    assert both.agree(members) == set()
    assert (both[0].hash, both[0].live) == (0, 0)


@pytest.mark.parametrize("count", [RANGE_FROM, RANGE_FROM + 1])
def test_a_range_equals_the_removals(count: int) -> None:
    """Also of rows that a third replica writes meanwhile."""
    three = Replicas(3)
    sets.add(three[0], K, MANY[:count])
    three.exchange()
    keyspace.delete(three[1], K)
    sets.add(three[2], K, [MANY[0], b"new"])
    sets.add(three[0], b"k2", [b"other"])
    three.exchange()
    assert three.agree(members) == {MANY[0], b"new"}
    assert three.agree(lambda state: set(sets.members(state, b"k2"))) == {b"other"}


def test_a_range_spares_what_is_written_after_it() -> None:
    both = Replicas()
    sets.add(both[0], K, MANY)
    keyspace.delete(both[0], K)
    sets.add(both[0], K, [b"new"])
    both.exchange()
    assert both.agree(members) == {b"new"}


def test_a_range_over_additions_side_by_side() -> None:
    three = Replicas(3)
    for state in three.states:
        sets.add(state, K, MANY)
    three.exchange()
    keyspace.delete(three[0], K)
    three.exchange()
    assert three[2].live == 0


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 7, 20, 30, 31, 100])
def test_pop(count: int) -> None:
    both = Replicas()
    everything = {b"%d" % i for i in range(30)}
    sets.add(both[0], K, sorted(everything))
    both.exchange()
    taken = sets.pop(both[0], K, count, Random(1))
    assert len(taken) == len(set(taken)) == min(count, 30)
    both.exchange()
    assert both.agree(members) == everything - set(taken)
    assert both.agree(lambda state: keyspace.exists(state, K)) == (count < 30)


def test_sample() -> None:
    state, rng = State(Actor("a", 1)), Random(1)
    assert sets.sample(state, K, rng) is None
    sets.add(state, K, [b"x", b"y", b"z"])
    assert {sets.sample(state, K, rng) for _ in range(100)} == {b"x", b"y", b"z"}
    sets.remove(state, K, [b"x", b"y"])
    assert {sets.sample(state, K, rng) for _ in range(20)} == {b"z"}


def test_samples() -> None:
    state, rng = State(Actor("a", 1)), Random(1)
    assert sets.samples(state, K, 3, rng) == sets.samples(state, K, -3, rng) == []
    sets.add(state, K, MANY)
    few, again = sets.samples(state, K, 5, rng), sets.samples(state, K, -500, rng)
    assert len(set(few)) == 5 and set(few) <= set(MANY) and len(again) == 500 and set(again) == set(MANY)


def test_absent_keys() -> None:
    state = State(Actor("a", 1))
    assert sets.size(state, K) == len(sets.members(state, K)) == sets.remove(state, K, [b"x"]) == 0
    assert sets.pop(state, K, 3, Random(1)) == []
    assert not sets.contains(state, K, b"x")
    assert state.seq == 0


def test_the_last_member_takes_the_key_along() -> None:
    state = State(Actor("a", 1))
    sets.add(state, K, [b"x"])
    assert sets.contains(state, K, b"x")
    assert sets.remove(state, K, [b"x"]) == 1
    assert not keyspace.exists(state, K)


def test_grow_only_sets_do_not_shrink() -> None:
    both = Replicas()
    assert sets.add(both[0], K, [b"x"], sets.GROW) == 1
    both.exchange()
    assert both.agree(lambda state: set(sets.members(state, K, sets.GROW))) == {b"x"}
    assert both.agree(lambda state: sets.size(state, K, sets.GROW)) == 1
    assert sets.contains(both[1], K, b"x", sets.GROW)
    for call in (sets.remove, sets.add):
        with pytest.raises(WrongTypeError):
            call(both[0], K, [b"x"])
    with pytest.raises(WrongTypeError):
        sets.pop(both[0], K, 1, Random(1))
    keyspace.delete(both[1], K)
    both.exchange()
    assert both.agree(lambda state: keyspace.exists(state, K)) is False


def test_wrong_types() -> None:
    state = State(Actor("a", 1))
    strings.put(state, K, b"v")
    for call in (
        lambda: sets.add(state, K, [b"x"]),
        lambda: sets.remove(state, K, [b"x"]),
        lambda: sets.members(state, K),
        lambda: sets.size(state, K),
        lambda: sets.sample(state, K, Random(1)),
        lambda: sets.samples(state, K, 2, Random(1)),
    ):
        with pytest.raises(WrongTypeError):
            call()
