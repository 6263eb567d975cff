"""INCRBYFLOAT between replicas: sums are exact, in any order, and nothing foreign can make them explode."""

from __future__ import annotations

from decimal import Decimal

import msgpack
import pytest

from crdt.dots import Actor
from crdt.entry import STRUCTURED
from crdt.errors import NotANumberError, WrongTypeError
from crdt.state import State
from crdt.types import counters, hashes, numberwire, strings


def replica(name: str) -> State:
    """An empty state with a clock that stands."""
    state = State(Actor(name, 1))
    state.begin(1_000)
    return state


def exchange(a: State, b: State) -> None:
    """Both cut, and take in the other's frame."""
    one, other = a.cut(), b.cut()
    if one is not None:
        b.apply(one)
    if other is not None:
        a.apply(other)
    a.begin(2_000)
    b.begin(2_000)
    assert a.hash == b.hash


@pytest.mark.parametrize("amount", ["0.1", "1e17", "-1e-17", "1e4400", "-1e4931"])
def test_replicas_agree_whatever_the_size(amount: str) -> None:
    a, b = replica("a"), replica("b")
    strings.put(a, b"k", b"200.123456789012345678901234567890")
    exchange(a, b)
    for state, by in ((a, "0.3"), (b, amount), (b, "0.7")):
        counters.incr_float(state, b"k", Decimal(by))
        hashes.incr_float(state, b"h", b"f", Decimal(by))
    exchange(a, b)
    assert strings.get(a, b"k") == strings.get(b, b"k")
    assert hashes.get(a, b"h", b"f") == hashes.get(b, b"h", b"f")
    assert Decimal((hashes.get(a, b"h", b"f") or b"").decode()) == pytest.approx(Decimal(amount) + 1)


def test_what_is_shown_is_what_was_answered() -> None:
    state = replica("a")
    for by in ("200.1", "0.7", "-1e10", "1e-9", "12345678901234567890.5"):
        assert counters.incr_float(state, b"k", Decimal(by)) == strings.get(state, b"k")
        state.cut()
        state.begin(3_000)
        assert counters.incr_float(state, b"k", Decimal(0)) == strings.get(state, b"k")


def test_hexadecimal_is_replaced_by_the_sum() -> None:
    a, b = replica("a"), replica("b")
    strings.put(a, b"k", b"0x10")
    hashes.put(a, b"h", [(b"f", b"0x10")])
    assert counters.incr_float(a, b"k", Decimal("0.5")) == b"16.5"
    assert hashes.incr_float(a, b"h", b"f", Decimal("0.5")) == b"16.5"
    exchange(a, b)
    assert counters.incr_float(b, b"k", Decimal("0.5")) == b"17"


def test_what_is_not_finite_is_refused() -> None:
    state = replica("a")
    strings.put(state, b"k", b"1e4932")
    for by in ("1e4932", "Infinity"):
        with pytest.raises(NotANumberError, match="NaN or Infinity"):
            counters.incr_float(state, b"k", Decimal(by))
    strings.put(state, b"k", b"inf")
    with pytest.raises(NotANumberError, match="NaN or Infinity"):
        counters.incr_float(state, b"k", Decimal(1))
    assert strings.get(state, b"k") == b"inf"


@pytest.mark.parametrize(
    ("amount", "fine"),
    [
        ("0.5", True),
        (str(1 << 70), True),
        ("1E+999999999", False),
        ("1E-999999999", False),
        ("0E+999999999", False),
        ("0.50", False),
        ("NaN", False),
        ("Infinity", False),
        ("1" + "0" * 4_990, True),
        ("1" + "0" * 6_000, False),
    ],
)
def test_foreign_amounts_are_bounded(amount: str, fine: bool) -> None:
    assert numberwire.check(msgpack.ExtType(STRUCTURED, msgpack.packb([numberwire.COUNT, 1, amount]))) is fine


def test_a_grow_only_counter_has_no_siblings() -> None:
    state = replica("a")
    counters.grow(state, b"c", 1)
    with pytest.raises(WrongTypeError):
        strings.siblings(state, b"c")
    with pytest.raises(WrongTypeError):
        strings.put_over(state, b"c", b"v", strings.context(state, b"c"))
