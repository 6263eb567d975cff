"""The rows of one actor: looking up, walking, giving back."""

from __future__ import annotations

from bisect import bisect_right
from random import Random

import pytest

from crdt import rows
from crdt.dots import SEQ_BITS, Actor, Runs
from crdt.rows import ActorRows
from crdt.types.sets import SetEntry

BASE = 3 << SEQ_BITS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK", 4)


def filled(seqs: list[int]) -> tuple[ActorRows, SetEntry]:
    """Rows of one set with these sequence numbers, all live."""
    owner, entry = ActorRows(Actor("a", 1), 3, BASE), SetEntry(b"k")
    append(owner, entry, seqs)
    return owner, entry


def append(owner: ActorRows, entry: SetEntry, seqs: list[int]) -> None:
    fields = [b"%d" % seq for seq in seqs]
    entry.dots.update(zip(fields, (BASE + seq for seq in seqs), strict=True))
    owner.extend([BASE + seq for seq in seqs], [entry] * len(seqs), list(fields), [seq * 10 for seq in seqs])


def append_dense(owner: ActorRows, entry: SetEntry, first: int, live: str) -> None:
    """Rows from seq `first` on; a `-` is no row."""
    seqs = range(first, first + len(live))
    rows = [entry if at == "x" else None for at in live]
    fields = [b"%d" % seq if at == "x" else None for seq, at in zip(seqs, live, strict=True)]
    entry.dots.update({f: BASE + seq for f, seq in zip(fields, seqs, strict=True) if f is not None})
    hlcs = [seq * 10 for seq in seqs]
    owner.extend(range(BASE + first, BASE + first + len(live)), rows, fields, hlcs, live.count("-"))


def kill(owner: ActorRows, seqs: list[int]) -> list[int]:
    """Take them out; the seqs that were live."""
    _, (dots, entries, fields, hlcs) = owner.take(Runs(seqs))
    found = [dot - BASE for dot in dots]
    assert fields == [b"%d" % seq for seq in found]
    assert hlcs == [seq * 10 for seq in found]
    assert len(entries) == len(found)
    return found


def live(owner: ActorRows) -> list[int]:
    """Seqs of the live rows."""
    return [chunk.dots[i] - BASE for chunk in owner.chunks for i in chunk.live()]


def test_chunks_fill_up_and_stay_in_order() -> None:
    owner, entry = filled([1, 2, 5])
    append(owner, entry, [7, 8, 9, 20, 21, 22])
    assert [list(chunk.dots) for chunk in owner.chunks] == [
        [BASE + n for n in part] for part in ([1, 2, 5, 7], [8, 9, 20, 21], [22])
    ]
    assert owner.firsts == [BASE + 1, BASE + 8, BASE + 22]


def test_locate() -> None:
    owner, _ = filled([2, 4, 6, 8, 10, 12])
    for seq in (2, 8, 10, 12):
        found = owner.locate(BASE + seq)
        assert found is not None
        assert found[0].dots[found[1]] == BASE + seq
        assert found[0].times([found[1]])[0] == seq * 10
    assert [owner.locate(BASE + seq) for seq in (1, 3, 9, 13)] == [None] * 4
    assert ActorRows(Actor("a", 1), 3, BASE).locate(BASE + 1) is None


@pytest.mark.parametrize("start", range(8))
@pytest.mark.parametrize("stop", range(16))
def test_between_and_above(start: int, stop: int) -> None:
    seqs = [2, 3, 5, 6, 8, 9, 11, 12, 13]
    owner, _ = filled(seqs)
    found = [chunk.dots[k] - BASE for chunk, i, j in owner.between(BASE + start, BASE + stop) for k in range(i, j)]
    assert found == [seq for seq in seqs if start <= seq < stop]
    above = [chunk.dots[k] - BASE for chunk, i in owner.above(start) for k in range(i, len(chunk))]
    assert above == [seq for seq in seqs if seq > start]


def test_a_new_chunk_on_demand() -> None:
    owner, entry = filled([1, 2])
    owner.divide()
    append(owner, entry, [3])
    append(owner, entry, [4])
    assert [len(chunk) for chunk in owner.chunks] == [2, 2]


def test_half_dead_chunks_shrink_and_small_neighbours_join() -> None:
    owner, _ = filled(list(range(1, 17)))
    kept = owner.chunks[2]
    kill(owner, [1, 2, 3, 5, 6, 7, 9, 13, 14, 15, 16])
    assert owner.thin
    while owner.compact():
        pass
    assert [list(chunk.dots) for chunk in owner.chunks] == [[BASE + 4, BASE + 8], [BASE + n for n in (9, 10, 11, 12)]]
    assert owner.chunks[1] is kept
    assert kept.dead == 1
    assert [list(chunk.live()) for chunk in owner.chunks] == [[0, 1], [1, 2, 3]]
    assert not owner.thin
    assert owner.firsts == [chunk.dots[0] for chunk in owner.chunks]
    assert [hlc for chunk in owner.chunks for hlc in chunk.times(list(chunk.live()))] == [40, 80, 100, 110, 120]


@pytest.mark.parametrize("seed", range(30))
def test_compacting_goes_on_in_steps_while_rows_come_and_go(seed: int) -> None:
    dice = Random(seed)
    owner, entry = filled([1])
    there, last = {1}, 1
    for _ in range(200):
        for _ in range(dice.randrange(4)):
            last += dice.choice((1, 1, 1, 2, 9))
            append(owner, entry, [last])
            there.add(last)
        gone = sorted(dice.sample(sorted(there), min(len(there), dice.randrange(6))))
        assert kill(owner, gone) == gone if gone else True
        there -= set(gone)
        if owner.thin:
            owner.compact()
        assert live(owner) == sorted(there)
        assert owner.firsts == [chunk.dots[0] for chunk in owner.chunks]
        for seq in there:
            found = owner.locate(BASE + seq)
            assert found is not None and found[0].times([found[1]]) == [seq * 10]
    while owner.compact():
        pass
    assert sum(len(chunk) for chunk in owner.chunks) <= 2 * len(there) + rows.CHUNK


def test_a_step_of_compacting_is_short() -> None:
    """However much is dead: here half of all, in every chunk."""
    owner, _ = filled(list(range(1, 401)))
    kill(owner, [seq for seq in range(1, 401) if seq % 4])
    steps = 0
    more = True
    while more:
        before = [id(chunk) for chunk in owner.chunks if len(chunk) == rows.CHUNK]
        more = owner.compact()
        after = {id(chunk) for chunk in owner.chunks if len(chunk) == rows.CHUNK}
        assert len([chunk for chunk in before if chunk not in after]) <= 2
        steps += 1
    assert steps >= 50
    assert not owner.thin


def test_to_look_and_to_join_is_work_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LOOK", 1)
    for size, least in ((4, 24), (1, 45)):
        owner, entry = ActorRows(Actor("a", 1), 3, BASE), SetEntry(b"k")
        for n in range(100):
            append(owner, entry, list(range(10 * n + 1, 10 * n + 1 + size)))
            owner.divide()
        steps = 1
        while owner.compact():
            steps += 1
        assert steps > least
        assert len(live(owner)) == 100 * size


def test_nothing_is_left_of_nothing() -> None:
    owner, entry = filled([1, 2, 3])
    kill(owner, [1, 2, 3])
    while owner.compact():
        pass
    assert (owner.chunks, owner.firsts) == ([], [])
    append(owner, entry, [4])
    assert owner.locate(BASE + 4) is not None


def test_what_changed_has_to_be_written_again() -> None:
    owner, entry = filled([1, 2, 3, 4, 5])
    for chunk in owner.chunks:
        chunk.saved = (1,)
    append(owner, entry, [6])
    assert [chunk.saved for chunk in owner.chunks] == [(1,), None]
    kill(owner, [1, 2, 3])
    while owner.compact():
        pass
    assert owner.chunks[0].saved is None


def test_the_share_of_the_vector() -> None:
    owner, _ = filled([1])
    assert owner.term() == 0
    owner.applied = 1
    assert owner.term() != 0


def test_rows_in_a_row_stay_dense_and_what_lies_between_counts_as_dead() -> None:
    entry = SetEntry(b"k")
    owner = ActorRows(Actor("a", 1), 3, BASE)
    append_dense(owner, entry, 1, "xx")
    append_dense(owner, entry, 4, "x")
    (chunk,) = owner.chunks
    assert chunk.dots == range(BASE + 1, BASE + 5)
    assert (len(chunk), chunk.dead, live(owner)) == (4, 1, [1, 2, 4])
    assert owner.locate(BASE + 4) == (chunk, 3)


def test_rows_far_apart_are_not_dense() -> None:
    entry = SetEntry(b"k")
    owner = ActorRows(Actor("a", 1), 3, BASE)
    append_dense(owner, entry, 1, "--x-")
    append_dense(owner, entry, 100, "x")
    (chunk,) = owner.chunks
    assert list(chunk.dots) == [BASE + 3, BASE + 100]
    assert (chunk.dead, live(owner)) == (0, [3, 100])
    assert owner.locate(BASE + 99) is None


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("start", range(1, 15))
@pytest.mark.parametrize("stop", range(2, 16))
def test_take_finds_what_is_live_in_a_span(dense: bool, start: int, stop: int) -> None:
    entry = SetEntry(b"k")
    owner = ActorRows(Actor("a", 1), 3, BASE)
    seqs = [1, 2, 4, 5, 6, 7, 9, 10, 12, 13]
    if dense:
        append_dense(owner, entry, 1, "xx-xxxx-xx-xx")
    else:
        append(owner, entry, seqs)
    kill(owner, [5])
    expected = [seq for seq in seqs if start <= seq < stop and seq != 5]
    span = Runs(range(start, stop))
    _, (dots, _, fields, hlcs) = owner.take(span)
    assert [dot - BASE for dot in dots] == expected
    assert fields == [b"%d" % seq for seq in expected]
    assert hlcs == [seq * 10 for seq in expected]
    assert live(owner) == [seq for seq in seqs if seq not in expected and seq != 5]
    assert owner.take(span) == (0, ([], [], [], []))


@pytest.mark.parametrize("told", range(15))
@pytest.mark.parametrize("timed", range(15))
def test_take_tells_of_the_first_rows_alone(told: int, timed: int) -> None:
    owner, _ = filled([1, 2, 4, 5, 6, 7, 9, 10, 12, 13])
    gone = [2, 4, 5, 9, 13]
    count, (dots, entries, fields, hlcs) = owner.take(Runs(gone), BASE + told, BASE + timed)
    assert count == len(gone) and live(owner) == [1, 6, 7, 10, 12]
    assert dots == [BASE + seq for seq in gone if seq <= told]
    assert fields == [b"%d" % seq for seq in gone if seq <= told] and len(entries) == len(fields)
    assert hlcs == [10 * seq for seq in gone if seq <= timed]


def test_the_next_chunk_is_the_one_that_a_bisection_finds() -> None:
    firsts = [3, 4, 9, 10, 20, 21, 22, 40]
    for dot in range(45):
        right = max(0, bisect_right(firsts, dot) - 1)
        for at in range(right + 1):
            assert rows._onward(firsts, dot, at) == right


def test_take_of_many_spans() -> None:
    owner, entry = filled(list(range(1, 40)))
    assert kill(owner, [0, 3, 4, 5, 17, 30, 31, 45]) == [3, 4, 5, 17, 30, 31]
    assert kill(ActorRows(Actor("a", 1), 3, BASE), [1]) == []
    append(owner, entry, [40])
    assert 40 in live(owner)


def test_what_was_taken_can_stay() -> None:
    owner, entry = filled([1, 2, 3])
    kill(owner, [2])
    owner.restore(BASE + 2, entry, b"2")
    assert (live(owner), owner.chunks[0].dead) == ([1, 2, 3], 0)


@pytest.mark.parametrize("dense", [True, False])
def test_taking_some_of_several_chunks(dense: bool) -> None:
    entry = SetEntry(b"k")
    owner = ActorRows(Actor("a", 1), 3, BASE)
    seqs = [1, 2, 4, 5, 6, 7, 9, 10, 12, 13]
    if dense:
        append_dense(owner, entry, 1, "xx-xxxx-xx-xx")
    else:
        append(owner, entry, seqs)
    for chunk in owner.chunks:
        chunk.saved = (1,)
    assert owner.take(Runs([4, 5, 12, 13]))[1][3] == [40, 50, 120, 130]
    assert live(owner) == [1, 2, 6, 7, 9, 10]
    for chunk in owner.chunks:
        assert chunk.dead == len(chunk) - len(chunk.live()) and chunk.fields is not None
        assert [i for i, field in enumerate(chunk.fields) if field is not None] == chunk.live()
        hit = any(chunk.dots[0] <= BASE + seq <= chunk.dots[-1] for seq in (4, 5, 12, 13))
        assert chunk.saved == (None if hit else (1,))


def test_what_is_dead_is_not_taken_again() -> None:
    owner, _ = filled([1, 2, 3])
    assert (kill(owner, [2]), kill(owner, [2]), kill(owner, [1, 2, 3])) == ([2], [], [1, 3])


@pytest.mark.parametrize(("fields", "left"), [(False, 2), (True, 4)])
def test_a_dense_chunk_bears_many_dead(monkeypatch: pytest.MonkeyPatch, fields: bool, left: int) -> None:
    """Until an eighth is left; of rows with fields, which cost twice as much, a fifth."""
    monkeypatch.setattr(rows, "CHUNK", 20)
    owner, entry = ActorRows(Actor("a", 1), 3, BASE), SetEntry(b"k")
    names = [b"f" if fields else None for _ in range(20)]
    owner.extend(range(BASE + 1, BASE + 21), [entry] * 20, names, [1] * 20)
    for seq in range(1, 21 - left):
        assert not owner.thin
        owner.take(Runs([seq]))
    assert owner.thin
