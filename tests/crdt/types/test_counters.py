"""Counters by key. What they count and lose is in test_number.py; here are answers and the grow-only counter."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crdt import codec
from crdt.errors import NotANumberError, OverflowedError, UsageError, WrongTypeError
from crdt.state import State
from crdt.types import counters, keyspace, sets, strings
from crdt.types.amounts import INT_MAX
from tests.crdt.replicas import Replicas

K = b"k"


def test_answers() -> None:
    both = Replicas()
    assert counters.incr(both[0], K, 5) == 5
    assert counters.incr(both[0], K, -7) == -2
    both.exchange()
    assert counters.incr(both[1], K, 0) == -2
    assert counters.incr_float(both[1], K, Decimal("0.5")) == b"-1.5"
    assert strings.get(both[1], K) == b"-1.5"


def test_a_plain_string_becomes_a_counter_and_back() -> None:
    both = Replicas()
    strings.put(both[0], K, b"10")
    both.exchange()
    assert counters.incr(both[1], K, 1) == 11
    both.exchange()
    assert both.agree(lambda state: strings.get(state, K)) == b"11"
    assert both.agree(lambda state: keyspace.type_name(state, K)) == "string"


def test_events_of_a_peer() -> None:
    """An increment is heard as one; a SET that took in what was counted, and a deletion, are not."""
    a, b = Replicas().states

    def heard() -> list[str]:
        frame = a.cut()
        assert frame is not None
        return [event for _, event in b.apply(codec.decode_frame(codec.encode_frame(frame))) or ()]

    for act, events in (
        (lambda: counters.incr(a, K, 1), ["incrby"]),
        (lambda: counters.incr(a, K, 1), ["incrby"]),
        (lambda: strings.put(a, K, b"5"), ["set"]),
        (lambda: counters.incr(a, K, 1), ["incrby"]),
        (lambda: counters.incr_float(a, K, Decimal("0.5")), ["incrby"]),
        (lambda: keyspace.delete(a, K), ["del"]),
        (lambda: counters.grow(a, b"g", 1), ["incrby"]),
    ):
        act()
        assert heard() == events


@pytest.mark.parametrize("text", [b"", b"x", b"1.5", b"01", b"9223372036854775808"])
def test_what_is_no_integer(text: bytes) -> None:
    both = Replicas()
    strings.put(both[0], K, text)
    with pytest.raises(NotANumberError, match="ERR value is not an integer or out of range"):
        counters.incr(both[0], K, 1)


def test_wrong_types() -> None:
    state = Replicas()[0]
    sets.add(state, K, [b"x"])
    counters.grow(state, b"g", 1)
    for call in (
        lambda: counters.incr(state, K, 1),
        lambda: counters.incr_float(state, K, Decimal(1)),
        lambda: counters.grow(state, K, 1),
        lambda: counters.grown(state, K),
        lambda: counters.incr(state, b"g", 1),
        lambda: strings.get(state, b"g"),
    ):
        with pytest.raises(WrongTypeError):
            call()


# -- grow-only --------------------------------------------------------------------------------------------------------


def grown(state: State) -> int:
    return counters.grown(state, K)


def test_all_increments_count() -> None:
    three = Replicas(3)
    for i, state in enumerate(three.states):
        assert counters.grow(state, K, 10**i) == 10**i
    three.exchange()
    assert three.agree(grown) == 111
    assert three.agree(lambda state: keyspace.type_name(state, K)) == "gcount"


def test_it_only_grows() -> None:
    both = Replicas()
    assert grown(both[0]) == 0
    assert counters.grow(both[0], K, 0) == 0
    with pytest.raises(UsageError, match="must not be negative"):
        counters.grow(both[0], K, -1)
    counters.grow(both[0], K, INT_MAX)
    with pytest.raises(OverflowedError):
        counters.grow(both[0], K, 1)


def test_a_deletion_takes_what_it_saw() -> None:
    both = Replicas()
    counters.grow(both[0], K, 5)
    both.exchange()
    keyspace.delete(both[1], K)
    counters.grow(both[0], K, 3)
    both.exchange()
    assert both.agree(grown) == 3
    keyspace.delete(both[0], K)
    both.exchange()
    assert both.agree(lambda state: keyspace.exists(state, K)) is False
    assert both[0].live == 0


def test_set_replaces_it() -> None:
    both = Replicas()
    counters.grow(both[0], K, 5)
    both.exchange()
    strings.put(both[1], K, b"v")
    both.exchange()
    assert both.agree(lambda state: strings.get(state, K)) == b"v"
