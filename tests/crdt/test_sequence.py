"""The index over places: equal to a sorted list, whatever comes and goes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import places, sequence
from crdt.sequence import Sequence
from tests.strategies import steady

SEED = places.seed_bytes(1)


def agree(one: Sequence, model: list[tuple[bytes, int, int]]) -> None:
    """Every way of reading says the same, and the books are right."""
    assert len(one) == len(model)
    assert list(one) == model
    assert [len(block.places) for block in one._blocks].count(0) <= (not model)
    assert all(len(block.places) <= 2 * sequence.LOAD for block in one._blocks)
    assert one._firsts == sorted(one._firsts)
    for i, (place, number, item) in enumerate(model):
        block, at = one.at(i)
        assert (block.places[at], block.numbers[at], block.items[at]) == (place, number, item)
        assert one.find(place) == (block, at)
        assert one.index(place) == i
        assert one.index(place + b"\x01") == i + 1
    for i in range(0, len(model), 7):
        assert one.items(i, i + 20) == [item for _, _, item in model[i : i + 20]]
        assert one.places(i, len(model)) == [place for place, _, _ in model[i:]]


SIZES = st.sampled_from([1, 1, 2, 7, 100, sequence.LOAD, 900])


@steady
@given(data=st.data())
def test_it_is_a_sorted_list(data: st.DataObject) -> None:
    one, model, seq = Sequence(), [], 0  # type: ignore[var-annotated]
    for _ in range(data.draw(st.integers(1, 8))):
        index = data.draw(st.integers(0, len(model)))
        count = data.draw(SIZES)
        if data.draw(st.integers(0, 2)):
            leftwards = data.draw(st.booleans())
            new = one.between(index, SEED, seq + 1, count, leftwards)
            rows = [(place, seq + 1 + i, -i) for i, place in enumerate(new)]
            seq += count
            if data.draw(st.booleans()):
                assert one.insert_run(*map(list, zip(*rows, strict=True)))  # type: ignore[arg-type]
                assert not one.insert_run(*map(list, zip(*rows, strict=True)))  # type: ignore[arg-type]
            else:
                for row in Random(count).sample(rows, count):
                    one.insert(*row)
            model[index:index] = rows[::-1] if leftwards else rows
        elif data.draw(st.booleans()):
            gone = list(map(list, zip(*model[index : index + count], strict=True))) or [[], [], []]
            if gone[0]:
                assert one.alike(index, gone[0], gone[1], 0) == len(gone[0])
                middle = len(gone[0]) // 2
                assert one.alike(index, gone[0], [*gone[1][:middle], 0, *gone[1][middle + 1 :]], 0) == middle
                assert one.alike(index + 1, gone[0], gone[1], 0) == 0
            assert one.cut(index, index + count) == tuple(gone)
            del model[index : index + count]
        else:
            for place, number, item in model[index : index + count]:
                if number % 2:
                    assert one.remove(place) == (number, item)
                else:
                    assert one.pop(index) == (place, number, item)
                assert one.remove(place) is None and one.find(place) is None
            del model[index : index + count]
        agree(one, model)


def test_a_run_with_something_between_is_refused() -> None:
    one = Sequence()
    outer = places.between(None, None, SEED, 1, 2)
    inner = places.between(*outer, SEED, 3)
    one.insert(inner[0], 3, None)
    assert not one.insert_run(outer, [1, 2], [None, None])
    assert not one.insert_run([outer[1], outer[0], *places.between(outer[1], None, SEED, 4)], [1, 2, 3], [None] * 3)
    assert list(one) == [(inner[0], 3, None)]


def test_what_lies_in_several_runs_is_put_in_run_by_run() -> None:
    one = Sequence()
    outer = places.between(None, None, SEED, 1, 4)
    inner = places.between(outer[1], outer[2], SEED, 5, 2)
    new, numbers = [*outer[:2], *outer[2:], *inner], list(range(1, 7))
    assert one.insert_ahead(new, numbers, numbers, 0) == 4, "what follows does not ascend"
    assert one.insert_ahead(new, numbers, numbers, 0) == 0, "there is an element at the first of them"
    assert one.insert_ahead(new, numbers, numbers, 4) == 2
    assert one.items(0, 6) == [1, 2, 5, 6, 3, 4]
    first, last = places.between(None, outer[0], SEED, 9), places.between(outer[3], None, SEED, 10)
    assert one.insert_ahead([*first, *last], [9, 10], [9, 10], 0) == 1, "all that is here stands between"
    assert one.insert_ahead([*first, *last], [9, 10], [9, 10], 1) == 1
    agree(one, [(place, n, n) for place, n in zip(one.places(0, 8), [9, 1, 2, 5, 6, 3, 4, 10], strict=True)])


def test_a_long_one_with_its_ends_and_its_middle() -> None:
    """Blocks are split and joined; memory is that of what stands there (invariant I11)."""
    rng, one, model = Random(1), Sequence(), []
    seq = 0
    for _ in range(3000):
        index = rng.choice((0, len(model), rng.randint(0, len(model))))
        if rng.random() < 0.6:
            place = one.between(index, SEED, seq := seq + 1)[0]
            one.insert(place, seq, index)
            model.insert(index, (place, seq, index))
        elif index < len(model):
            assert one.pop(index) == model.pop(index)
    agree(one, model)
    new = one.between(100, SEED, seq + 1, 10_000)
    assert one.insert_run(new, range(1, 10_001), [None] * 10_000)
    assert len(one._blocks) > 15
    for place in Random(2).sample(new, 10_000):
        assert one.remove(place) is not None
    agree(one, model)
    while model:
        count = rng.randint(1, 300)
        assert list(zip(*one.cut(0, count), strict=True)) == model[:count]
        del model[:count]
        agree(one, model)
    assert one._blocks == one._firsts == []
    one.insert(new[0], 1, None)
    agree(one, [(new[0], 1, None)])


def test_a_queue_keeps_no_blocks() -> None:
    one, seq = Sequence(), 0
    for _ in range(20_000):
        one.insert(one.between(len(one), SEED, seq := seq + 1)[0], seq, None)
        if len(one) > 10:
            one.pop(0)
    assert len(one._blocks) <= 2 and len(one._firsts) <= 2


def write_on(rng: Random, rounds: int) -> None:
    """Somebody writes on, here and there, while others change what stands there: every place is that of `between`."""
    one, other, seqs = Sequence(), Sequence(), {1: 0, 2: 0}

    def put(index: int, seed: int, by_pen: bool) -> None:
        seq = seqs[seed] = seqs[seed] + 1
        place = other.between(index, places.seed_bytes(seed), seq)[0]
        other.insert(place, seq, seed)
        if by_pen:
            assert one.write(index, seed, seq, seq, seed) == place
        else:
            one.insert(place, seq, seed)

    for _ in range(rounds):
        index = rng.choice((0, len(one), rng.randint(0, len(one))))
        for _ in range(rng.choice((1, 2, 3, 30, 700))):
            put(index, 1, True)
            index += 1
        what = rng.randrange(5)
        near = min(max(index + rng.randint(-2, 1), 0), len(one) - 1)
        if what == 0:  # somebody else's comes to where the pen is
            put(index, 2, False)
        elif what == 1:
            put(index, 2, True)
        elif what == 2:
            assert one.pop(near) == other.pop(near)
        elif what == 3:
            count = rng.choice((1, 40, 600))
            assert one.cut(near, near + count) == other.cut(near, near + count)
        elif what == 4:
            place = one.place(near)
            assert one.remove(place) == other.remove(place)
        if rng.randrange(3):
            put(min(index, len(one)), 1, True)
        assert len(one) == len(other)
        agree(one, list(other))


def test_a_short_one_has_no_pen() -> None:
    """It would be a quarter of its memory."""
    one = Sequence()
    for i in range(sequence.WRITTEN_ON + 1):
        assert one._pen is None
        one.write(i, 1, i + 1, i + 1, None)
    assert one._pen is not None


@pytest.mark.parametrize("seed", range(6))
def test_who_writes_on_gets_the_places_of_between(seed: int) -> None:
    write_on(Random(seed), 25)


def test_a_pen_that_changes_do_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: it fails where a pen outlives a change."""
    monkeypatch.setattr(Sequence, "_changed", lambda self: None)
    with pytest.raises(AssertionError):
        for seed in range(6):
            write_on(Random(seed), 25)


def test_who_writes_on_passes_a_place_that_parts_blocks() -> None:
    """Only a made-up place can lie there: a peer named places after operations that its victim had not done yet."""
    one, size = Sequence(), 300
    for seq in range(1, size + 1):
        one.write(seq - 1, 1, seq, seq, None)
    made_up = places.between(None, None, SEED, 1, 3000)[1000:]
    assert made_up[0].startswith(one.place(size - 1)[:-2])
    assert one.insert_run(made_up, range(1, 2001), [None] * 2000)
    last = places.between(one.place(len(one) - 1), None, places.seed_bytes(2), 1, size)
    assert one.insert_run(last, range(1, size + 1), [None] * size)
    one.cut(size, size + len(made_up))
    first = one._firsts[-1]
    assert len(one._firsts) == 2 and first in made_up
    below = [one.write(size + i, 1, 400 + i, 400 + i, None) for i in range(2)]
    above = [one.write(size + 2 + i, 1, 5000 + i, 5000 + i, None) for i in range(3)]
    assert below[-1] < first < above[0] < one.place(size + 5)
    agree(one, list(one))
    assert one.places(size, size + 5) == below + above
