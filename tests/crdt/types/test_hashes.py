"""Hashes: the truth table, fields of every kind, ranges. Numbers in fields are in test_number.py."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from crdt.errors import NotANumberError, UsageError, WrongTypeError
from crdt.state import RANGE_FROM, State
from crdt.types import hashes, keyspace, sets
from tests.crdt.replicas import Replicas, table

K = b"k"


def do(state: State, words: str) -> None:
    verb, _, *args = words.split()
    if verb == "HSET":
        hashes.put(state, K, [(args[0].encode(), args[1].encode())])
    elif verb == "HDEL":
        hashes.remove(state, K, [args[0].encode()])
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


def items(state: State) -> dict[bytes, bytes]:
    return dict(hashes.items(state, K))


@pytest.mark.parametrize("row", table(hashes), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    hashes.put(both[0], K, [(b"f", b"old"), (b"h", b"old")])
    both.exchange()
    hashes.remove(both[0], K, [b"h"])
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    expected = {
        "both fields": {b"f": b"x", b"g": b"y"},
        "the later by clock; both in MV.GET k f": {b"f": b"y"},
        "x: an update wins over a deletion that had not seen it": {b"f": b"x"},
        "f alone": {b"f": b"x"},
    }[row[2]]
    assert both.agree(items) == expected
    if "MV.GET" in row[2]:
        found = both.agree(lambda state: hashes.siblings(state, K, b"f")) or []
        assert [sibling.value for sibling in found] == [b"y", b"x"]


def test_answers() -> None:
    both = Replicas()
    assert hashes.put(both[0], K, [(b"f", b"1"), (b"g", b"2"), (b"f", b"3")]) == 2
    both.exchange()
    assert hashes.put(both[1], K, [(b"f", b"4"), (b"h", b"5")]) == 1
    assert hashes.get(both[1], K, b"f") == b"4"
    assert hashes.get(both[1], K, b"none") is None
    assert hashes.size(both[1], K) == 3
    assert hashes.contains(both[1], K, b"h")
    assert sorted(hashes.fields(both[1], K)) == [b"f", b"g", b"h"]
    assert hashes.remove(both[1], K, [b"f", b"f", b"none"]) == 1
    assert hashes.remove(both[1], K, [b"g", b"h"]) == 2
    assert not keyspace.exists(both[1], K)


def test_absent_keys() -> None:
    state = Replicas()[0]
    assert hashes.get(state, K, b"f") is None
    assert hashes.siblings(state, K, b"f") is None
    assert hashes.sample(state, K, Random(1)) is None
    assert hashes.items(state, K) == []
    assert hashes.fields(state, K) == []
    assert hashes.size(state, K) == hashes.remove(state, K, [b"f"]) == 0
    assert not hashes.contains(state, K, b"f")


def test_a_field_alone_conflicts() -> None:
    both = Replicas()
    hashes.put(both[0], K, [(b"f", b"a"), (b"g", b"a")])
    hashes.put(both[1], K, [(b"f", b"b"), (b"h", b"b")])
    both.exchange()
    assert both.agree(items) == {b"f": b"b", b"g": b"a", b"h": b"b"}
    token = hashes.context(both[0], K, b"f")
    hashes.put_over(both[0], K, b"f", b"merged", token)
    both.exchange()
    found = both.agree(lambda state: hashes.siblings(state, K, b"f")) or []
    assert [sibling.value for sibling in found] == [b"merged"]
    with pytest.raises(UsageError):
        hashes.put_over(both[0], K, b"f", b"x", b"junk")


def test_empty_values_and_fields() -> None:
    both = Replicas()
    hashes.put(both[0], K, [(b"", b"")])
    hashes.put(both[1], K, [(b"", b"")])
    both.exchange()
    assert both.agree(items) == {b"": b""}
    hashes.remove(both[0], K, [b""])
    both.exchange()
    assert both[1].live == 0


def test_a_large_hash_goes_by_a_range_and_its_numbers_by_name() -> None:
    three = Replicas(3)
    hashes.put(three[0], K, [(b"%d" % i, b"v") for i in range(RANGE_FROM + 10)])
    hashes.incr(three[0], K, b"n", 5)
    hashes.incr(three[1], K, b"n", 6)
    three.exchange()
    keyspace.delete(three[2], K)
    hashes.incr(three[1], K, b"n", 1)
    hashes.put(three[0], K, [(b"3", b"again")])
    one = three[2].cut()
    assert one is not None
    assert [path for path, _ in one.ranges] == [(K, b"\x02")]
    three.frames = [one]
    three.exchange()
    assert three.agree(items) == {b"n": b"1", b"3": b"again"}


def test_fields_that_were_counted_leave_no_ghosts() -> None:
    both = Replicas()
    hashes.incr(both[0], K, b"n", 5)
    both.exchange()
    hashes.remove(both[1], K, [b"n"])
    assert not keyspace.exists(both[1], K)
    assert both[1].hidden
    both.exchange()
    assert not both[0].hidden
    assert not both[1].hidden
    assert both[0].live == 0


def test_a_field_over_a_baseline() -> None:
    both = Replicas()
    hashes.incr(both[0], K, b"n", 5)
    both.exchange()
    hashes.remove(both[1], K, [b"n"])
    assert hashes.put(both[1], K, [(b"n", b"text")]) == 1
    assert hashes.put(both[1], K, [(b"n", b"text2")]) == 0
    both.exchange()
    assert both.agree(items) == {b"n": b"text2"}


def test_numbers_in_fields() -> None:
    both = Replicas()
    hashes.put(both[0], K, [(b"t", b"x")])
    with pytest.raises(NotANumberError, match="hash value is not an integer"):
        hashes.incr(both[0], K, b"t", 1)
    with pytest.raises(NotANumberError, match="hash value is not a float"):
        hashes.incr_float(both[0], K, b"t", Decimal(1))
    assert hashes.incr_float(both[0], K, b"n", Decimal("0.5")) == b"0.5"
    assert hashes.contains(both[0], K, b"n")


def test_samples_reach_every_field() -> None:
    state, rng = Replicas()[0], Random(1)
    hashes.put(state, K, [(b"f", b"1"), (b"g", b"2")])
    hashes.incr(state, K, b"n", 1)
    assert {hashes.sample(state, K, rng) for _ in range(100)} == {b"f", b"g", b"n"}
    assert sorted(hashes.samples(state, K, 3, rng)) == sorted(hashes.live(state, K)) == [b"f", b"g", b"n"]
    assert hashes.samples(state, b"absent", 3, rng) == list(hashes.live(state, b"absent")) == []


def test_wrong_types() -> None:
    state = Replicas()[0]
    sets.add(state, K, [b"x"])
    for call in (
        lambda: hashes.put(state, K, [(b"f", b"v")]),
        lambda: hashes.get(state, K, b"f"),
        lambda: hashes.remove(state, K, [b"f"]),
        lambda: hashes.incr(state, K, b"f", 1),
        lambda: hashes.incr_float(state, K, b"f", Decimal(1)),
        lambda: hashes.siblings(state, K, b"f"),
        lambda: hashes.put_over(state, K, b"f", b"v", hashes.context(state, K, b"f")),
        lambda: hashes.items(state, K),
        lambda: hashes.live(state, K),
        lambda: hashes.samples(state, K, 2, Random(1)),
    ):
        with pytest.raises(WrongTypeError):
            call()
