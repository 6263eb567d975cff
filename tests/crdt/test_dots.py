"""Names of operations: packing, vectors, runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.dots import (
    Actor,
    Dot,
    Runs,
    canonical_vector,
    dominates,
    parse_vector,
    union,
    vector_hash,
    vector_term,
)
from tests import strategies
from tests.strategies import steady

A, B = Actor("a", 1), Actor("b", 2)


def test_names_are_readable() -> None:
    assert str(Actor("pump-3", 255)) == "pump-3/00000000000000ff"
    assert str(Dot(A, 7)) == "a/0000000000000001:7"


def test_the_seed_tells_lives_of_one_name_apart() -> None:
    assert Actor("a", 1).seed() != Actor("a", 2).seed() != Actor("b", 2).seed()


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({}, {}, True),
        ({A: 1}, {}, True),
        ({}, {A: 1}, False),
        ({A: 2}, {A: 1}, True),
        ({A: 1, B: 1}, {A: 1, B: 2}, False),
        ({}, {A: 0}, True),
    ],
)
def test_dominates(left: dict[Actor, int], right: dict[Actor, int], expected: bool) -> None:
    assert dominates(left, right) is expected


@steady
@given(strategies.vectors)
def test_the_hash_of_a_vector_moves_with_one_entry(vector: dict[Actor, int]) -> None:
    grown = {**vector, A: vector.get(A, 0) + 1}
    old = vector_term(A.seed(), vector[A]) if A in vector else 0
    assert vector_hash(grown) == (vector_hash(vector) - old + vector_term(A.seed(), grown[A])) % 2**64
    assert vector_hash({**vector, Actor("idle", 0): 0}) == vector_hash(vector)
    assert vector_hash(dict(reversed(vector.items()))) == vector_hash(vector)


@steady
@given(strategies.vectors)
def test_canonical_vectors(vector: dict[Actor, int]) -> None:
    data = canonical_vector(vector)
    assert parse_vector(data) == vector
    assert canonical_vector(dict(reversed(vector.items()))) == data


@steady
@given(st.binary(max_size=40))
def test_other_bytes_are_no_vector(data: bytes) -> None:
    try:
        vector = parse_vector(data)
    except ValueError:
        return
    assert parse_vector(canonical_vector(vector)) == {actor: n for actor, n in vector.items() if n}


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x91\x01", b"\x91\x93\x01\x01\x01", b"\x91\x93\xa1a\xff\x01", b"\x91\xc0"]
)
def test_broken_vectors(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a version vector"):
        parse_vector(data)


# -- runs -------------------------------------------------------------------------------------------------------------

numbers = st.sets(st.integers(0, 60), max_size=30)


@steady
@given(numbers)
def test_runs_are_a_set(found: set[int]) -> None:
    one = Runs(sorted(found))
    assert list(one) == sorted(found)
    assert len(one) == len(found)
    assert all((n in one) == (n in found) for n in range(-1, 62))
    assert one.issuperset(found)
    assert one.issuperset([61]) is False
    assert all(stop < start for (_, stop), (start, _) in zip(list(one.spans()), list(one.spans())[1:], strict=False))


@steady
@given(st.lists(numbers, max_size=4))
def test_union(parts: list[set[int]]) -> None:
    assert union(Runs(sorted(part)) for part in parts) == Runs(sorted(set().union(*parts)))


@steady
@given(st.sets(st.integers(1, 40)), st.integers(0, 41), st.integers(0, 41))
def test_within_is_what_lies_between(found: set[int], first: int, stop: int) -> None:
    between = [seq for part in Runs(sorted(found)).within(first, stop) for seq in part]
    assert between == sorted(seq for seq in found if first <= seq < stop)


def test_runs_take_no_room_for_what_they_claim() -> None:
    one = Runs()
    one.append(1, 1 << 42)
    assert 1 << 41 in one
    assert len(union([one, Runs([5])])) == (1 << 42) - 1
    assert repr(Runs([1, 2, 5])) == "Runs(1..2, 5..5)"
