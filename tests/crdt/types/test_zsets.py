"""Sorted sets: the truth table, the order as members come and go, sums that do not depend on arrival."""

from __future__ import annotations

from itertools import permutations
from math import inf
from random import Random

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.errors import UsageError, WrongTypeError
from crdt.state import RANGE_FROM, State
from crdt.types import conflicts, keyspace, strings, zsets
from tests.crdt.algebra import check_books
from tests.crdt.replicas import Replicas, table

K = b"k"


def replica(name: str) -> State:
    return State(Actor(name, 1))


def do(state: State, words: str) -> None:
    verb, *args = words.split()
    if verb == "ZADD":
        zsets.put(state, K, [(args[2].encode(), float(args[1]))])
    elif verb == "ZINCRBY":
        zsets.increase(state, K, args[1].encode(), float(args[0]))
    elif verb == "ZREM":
        zsets.remove(state, K, [args[1].encode()])
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


def order(state: State) -> list[tuple[float, bytes]]:
    return list(zsets.ordered(state, K))


@pytest.mark.parametrize("row", table(zsets), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    if row[2] != "y alone":
        zsets.put(both[0], K, [(b"x", 0.0)])
    else:
        zsets.put(both[0], K, [(b"x", 0.0), (b"y", 0.0)])
    both.exchange()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    expected = {
        "the later by clock": [(2.0, b"x")],
        "x with 1: an addition wins over a removal that had not seen it": [(1.0, b"x")],
        "both increments count": [(5.0, b"x")],
        "10: the increment that ZADD had not seen stays": [(10.0, b"x")],
        "inf": [(inf, b"x")],
        "y alone": [(1.0, b"y")],
    }[row[2]]
    assert both.agree(order) == expected


def test_the_order_follows_every_change() -> None:
    """Against a dict that is sorted anew, through local writes, peers' frames, removals and ranges."""
    rng, both, model = Random(5), Replicas(), dict[bytes, float]()
    for step in range(400):
        member, score = b"%d" % rng.randrange(40), float(rng.randrange(-5, 6))
        state = both[step % 2]
        what = rng.random()
        if what < 0.5:
            zsets.put(state, K, [(member, score)])
            model[member] = score
        elif what < 0.7:
            model[member] = zsets.increase(state, K, member, score)
        elif what < 0.95:
            assert zsets.remove(state, K, [member]) == (model.pop(member, None) is not None)
        else:
            keyspace.delete(state, K)
            model.clear()
        both.exchange()
        expected = sorted((score, member) for member, score in model.items())
        assert order(both[0]) == order(both[1]) == expected
        for rank, (_, name) in enumerate(expected[::7]):
            assert zsets.rank(both[1], K, name) == rank * 7
    assert [check_books(state) for state in (both[0], both[1])] == [[], []]


def test_sums_do_not_depend_on_arrival() -> None:
    frames = []
    for name, by in (("b", 0.1), ("c", 0.2), ("d", 1e17), ("e", -1e17)):
        state = replica(name)
        zsets.increase(state, K, b"x", by)
        frames.append(encode_frame(state.cut()))  # type: ignore[arg-type]
    found = set()
    for arrival in permutations(frames):
        state = State(Actor("a", 1))
        for data in arrival:
            state.apply(decode_frame(data))
        found.add(zsets.score(state, K, b"x"))
    assert found == {0.3}  # exactly: as doubles, 1e17 would have swallowed the rest


def test_one_replica_adds_as_doubles_do() -> None:
    state, rng = replica("a"), Random(3)
    total = 0.0
    for _ in range(200):
        by = rng.choice([0.1, 0.7, -3.3, 1e9, 1e-9, 5.0])
        total += by
        assert zsets.increase(state, K, b"x", by) == total
        assert zsets.score(state, K, b"x") == total


def test_infinities() -> None:
    state = replica("a")
    zsets.put(state, K, [(b"x", inf)])
    assert zsets.increase(state, K, b"x", 5.0) == inf
    before = state.dot
    with pytest.raises(UsageError, match="NaN"):
        zsets.increase(state, K, b"x", -inf)
    assert state.dot == before
    zsets.put(state, K, [(b"y", 1.0)])
    assert zsets.increase(state, K, b"y", -inf) == -inf
    assert order(state) == [(-inf, b"y"), (inf, b"x")]


def test_a_sum_beyond_doubles_is_infinite() -> None:
    both = Replicas()
    for state in (both[0], both[1]):
        zsets.increase(state, K, b"x", 1.7e308)
    both.exchange()
    assert both.agree(order) == [(inf, b"x")]


def test_a_score_that_no_zadd_writes_counts_as_nothing() -> None:
    state = replica("a")
    zsets.put(state, K, [(b"x", 1.0), (b"y", -1.0)])
    entry = state.keys[K]
    assert isinstance(entry, zsets.ZSetEntry)
    for junk in (b"junk", b"nan", b""):
        entry.insert(state, junk, junk, 1 << 42 | 7)
    assert order(state) == [(-1.0, b"y"), (0.0, b""), (0.0, b"junk"), (0.0, b"nan"), (1.0, b"x")]


def test_many_members_go_by_a_range() -> None:
    both = Replicas()
    zsets.put(both[0], K, [(b"%d" % i, float(i)) for i in range(RANGE_FROM + 10)])
    zsets.increase(both[0], K, b"counted", 5.0)
    both.exchange()
    zsets.put(both[1], K, [(b"late", 1.0)])
    keyspace.delete(both[0], K)
    both.exchange()
    assert both.agree(order) == [(1.0, b"late")]


def test_a_disputed_score_is_a_conflict() -> None:
    both = Replicas()
    for score, state in enumerate((both[0], both[1])):
        zsets.put(state, K, [(b"x", float(score))])
    both.exchange()
    (found,) = conflicts.conflicts(both[0])
    assert (found.key, found.field, found.type) == (K, b"x", "zset")
    assert [sibling.value for sibling in found.siblings] == [b"1", b"0"]


def test_samples() -> None:
    state, rng = replica("a"), Random(1)
    assert zsets.samples(state, K, 2, rng) == list(zsets.live(state, K)) == []
    zsets.put(state, K, [(b"%d" % i, 1.0) for i in range(100)])
    found = zsets.samples(state, K, 5, rng)
    assert len(set(found)) == 5 and set(found) <= set(zsets.live(state, K))
    assert len(zsets.samples(state, K, -7, rng)) == 7


def test_wrong_types() -> None:
    state = replica("a")
    strings.put(state, K, b"text")
    for call in (
        lambda: zsets.put(state, K, [(b"x", 1.0)]),
        lambda: zsets.increase(state, K, b"x", 1.0),
        lambda: zsets.remove(state, K, [b"x"]),
        lambda: zsets.ordered(state, K),
        lambda: zsets.rank(state, K, b"x"),
        lambda: zsets.live(state, K),
        lambda: zsets.samples(state, K, 2, Random(1)),
    ):
        with pytest.raises(WrongTypeError):
            call()


def test_nothing_is_left_of_what_came_and_went() -> None:
    both = Replicas()
    for i in range(2000):
        zsets.put(both[i % 2], K, [(b"%d" % (i % 10), float(i))])
        zsets.ordered(both[i % 2], K)
        zsets.remove(both[i % 2], K, [b"%d" % (i % 10)])
        if i % 50 == 0:
            both.exchange()
    both.exchange()
    for state in (both[0], both[1]):
        assert (state.live, len(state.keys), len(state.hidden)) == (0, 0, 0)
        assert sum(len(chunk) for owner in state.actors.values() for chunk in owner.chunks) < 5000


def test_an_order_that_does_not_follow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the order: peers' rows that nobody looks at again."""
    both = Replicas()
    zsets.put(both[0], K, [(b"%d" % i, 1.0) for i in range(9)])
    both.exchange()
    zsets.ordered(both[1], K)
    entry = both[1].keys[K]
    assert isinstance(entry, zsets.ZSetEntry)
    zsets.put(both[0], K, [(b"5", -1.0)])
    both.exchange()
    entry.stale.clear()
    assert order(both[1]) != order(both[0])
