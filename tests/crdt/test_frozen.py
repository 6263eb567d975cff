"""What was live at one moment stays readable, whatever happens after it."""

from __future__ import annotations

from random import Random

import pytest

from crdt.dots import Actor, Runs, union
from crdt.frozen import SLICE, Frozen
from crdt.state import State
from crdt.types import keyspace, sets, strings

A = Actor("a", 1)


def state(count: int = 10) -> State:
    made = State(A)
    made.begin(1000)
    sets.add(made, b"s", [b"%d" % i for i in range(count)])
    made.cut()
    return made


def freeze(source: State, base: int = 0) -> Frozen:
    frozen = Frozen(source.actors.values(), {A: base})
    source.frozen.append(frozen)
    return frozen


def listed(frozen: Frozen) -> Runs:
    return union(portion[2] for portion in frozen.intervals() if portion is not None)


def seqs(source: State, frozen: Frozen, first: int, last: int, limit: int = SLICE) -> list[int]:
    """All of first..last, slice by slice."""
    found: list[int] = []
    while first <= last:
        rows, reached, whole = frozen.slice(source.me, first, last, limit)
        assert whole and reached >= first
        found += [row[0] - source.me.base for row in rows]
        first = reached + 1
    return found


def test_what_dies_is_still_given_and_what_comes_is_not() -> None:
    source = state()
    frozen = freeze(source)
    sets.remove(source, b"s", [b"3", b"9"])
    sets.add(source, b"s", [b"new"])
    source.cut()
    keyspace.delete(source, b"s")
    source.cut()
    assert list(listed(frozen)) == seqs(source, frozen, 1, 10) == list(range(1, 11))
    assert seqs(source, frozen, 1, 99) == list(range(1, 11)) and frozen.kept == 10


def test_a_removal_that_is_pending_hides_rows_until_it_is_cut() -> None:
    source = state()
    frozen = freeze(source)
    sets.remove(source, b"s", [b"3"])
    assert frozen.slice(source.me, 1, 10, SLICE)[2] is False
    source.cut()
    assert seqs(source, frozen, 1, 10) == list(range(1, 11))


def test_what_the_base_covers_is_listed_only_and_not_kept() -> None:
    source = state()
    frozen = freeze(source, base=8)
    keyspace.delete(source, b"s")
    source.cut()
    assert list(listed(frozen)) == list(range(1, 11))
    assert seqs(source, frozen, 1, 10) == [9, 10] and frozen.kept == 2


def test_an_actor_without_live_rows_is_listed() -> None:
    source = state()
    keyspace.delete(source, b"s")
    source.cut()
    assert [portion for portion in freeze(source).intervals() if portion] == [(A, 11, Runs())]


def test_a_long_list_comes_in_portions_with_breaks() -> None:
    source = state(5 * SLICE)
    sets.remove(source, b"s", [b"%d" % i for i in range(0, 5 * SLICE, 2)])
    source.cut()
    portions = list(freeze(source).intervals())
    assert portions.count(None) >= 4 and max(len(p[2].starts) for p in portions if p) <= 2 * SLICE
    assert list(union(p[2] for p in portions if p)) == list(range(2, 5 * SLICE + 1, 2))


@pytest.mark.parametrize("seed", range(20))
def test_slices_of_any_size_under_any_changes(seed: int) -> None:
    """Against a copy of the moment: whatever dies, is compacted or is overwritten between two slices."""
    rng = Random(seed)
    source = state(300)
    for i in range(200):
        strings.put(source, b"k%d" % (i % 7), b"%d" % i)
        if rng.random() < 0.3:
            source.cut()
    source.cut()
    frozen = freeze(source)
    expected = [chunk.dots[i] - source.me.base for chunk in source.me.chunks for i in chunk.live()]
    found: list[int] = []
    first = 1
    while first <= source.me.applied and first <= 510:
        for _ in range(rng.randrange(40)):
            sets.remove(source, b"s", [b"%d" % rng.randrange(300)])
            strings.put(source, b"k%d" % rng.randrange(7), b"later")
        source.cut()
        rows, reached, _ = frozen.slice(source.me, first, 510, rng.choice([1, 7, 100]))
        found += [row[0] - source.me.base for row in rows]
        first = reached + 1
    assert found == expected == list(listed(frozen))
