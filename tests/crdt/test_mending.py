"""Rows written anew: the same for readers, never counted twice, nothing lost to a healing of others."""

from __future__ import annotations

from random import Random

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.frame import Frame, Group, merge
from crdt.mending import content, preserve, recount, reissue, row_at, rows_of, sum_between, unlike
from crdt.state import State
from crdt.types import counters, expiry, hashes, keyspace, number, numberwire, sets, strings
from tests.simulation.defects import exchange, lose
from tests.simulation.oracle import rows_of_state

A, B, C = Actor("a", 1), Actor("b", 2), Actor("c", 3)


def states(*actors: Actor) -> list[State]:
    made = [State(actor) for actor in actors]
    for i, state in enumerate(made):
        state.begin(1000 + i)
    return made


def give(source: State, *targets: State) -> Frame:
    """Cut, and apply elsewhere, over the wire."""
    frame = source.cut()
    assert frame is not None
    frame = decode_frame(encode_frame(frame))
    for target in targets:
        preserve(target, unlike(target, frame))
        target.apply(frame)
    return frame


def anew(state: State, actor: Actor, seq: int, *others: Group) -> None:
    owner = state.actors[state.indexes[actor]]
    mine = row_at(state, owner, seq)
    assert mine is not None
    reissue(state, owner, seq, [mine, *others])


def drop(state: State, actor: Actor, seq: int) -> None:
    lose(state, state.actors[state.indexes[actor]], seq)


def test_a_row_keeps_its_cell_its_payload_and_its_time() -> None:
    a, b = states(A, B)
    strings.put(a, b"t", b"old")
    sets.add(a, b"s", [b"x"])
    hashes.put(a, b"h", [(b"f", b"v")])
    give(a, b)
    before = {row for _, row in rows_of_state(a)}
    b.begin(9_000_000)
    for seq in (1, 2, 3):
        anew(b, A, seq)
    frame = give(b, a)
    assert {row for _, row in rows_of_state(a)} == {row for _, row in rows_of_state(b)} == before
    assert a.hash == b.hash and len(frame.heals) == 3 and len(frame.removes[A]) == 3
    strings.put(b, b"t", b"new")  # what comes after it carries the time of its writing
    give(b, a)
    assert strings.get(a, b"t") == b"new" and max(row[4] for _, row in rows_of_state(a)) >= 9_000_000 << 16


def test_an_old_value_does_not_win_by_being_written_anew() -> None:
    a, b = states(A, B)
    strings.put(a, b"t", b"earlier")
    strings.put(b, b"t", b"later")
    one, two = a.cut(), b.cut()
    assert one is not None and two is not None
    a.apply(two), b.apply(one)
    b.begin(9_000_000)
    anew(b, A, 1)
    give(b, a)
    assert strings.get(a, b"t") == strings.get(b, b"t") == b"later"


def test_what_others_do_not_bring_back_is_kept() -> None:
    a, b, c = states(A, B, C)
    sets.add(a, b"s", [b"x"])
    strings.put(a, b"t", b"v")
    give(a, b, c)
    exchange(c, c.actors[c.indexes[A]], 2, Random(1))
    assert strings.get(c, b"t") == b"v!"
    anew(b, A, 1)
    anew(b, A, 2)
    give(b, a, c)
    assert c.dot != c.cut_dot  # c has written its own content anew
    give(c, a, b)
    assert a.hash == b.hash == c.hash
    for state in (a, b, c):
        found = strings.siblings(state, b"t")
        assert found is not None and {sibling.value for sibling in found} == {b"v", b"v!"}


@pytest.mark.parametrize("lost_at", ["owner", "peer"])
def test_a_count_written_anew_by_several_counts_once(lost_at: str) -> None:
    a, b, c = states(A, B, C)
    counters.incr(a, b"n", 5)
    hashes.incr(a, b"h", b"f", 7)
    give(a, b, c)
    counters.incr(b, b"n", 2)
    give(b, a, c)
    victim = a if lost_at == "owner" else c
    drop(victim, A, 1)
    drop(victim, A, 2)
    healers = [b, c] if lost_at == "owner" else [a, b]
    for healer in healers:  # neither knows of the other
        anew(healer, A, 1)
        anew(healer, A, 2)
    counters.incr(a, b"n", 10)  # and the owner counts on
    frames = [decode_frame(encode_frame(frame)) for state in (a, b, c) if (frame := state.cut()) is not None]
    for state in (a, b, c):
        for frame in frames:
            if frame.actor != state.actor:
                preserve(state, unlike(state, frame))
                state.apply(frame)
    assert a.hash == b.hash == c.hash
    for state in (a, b, c):
        assert strings.get(state, b"n") == b"17" and hashes.get(state, b"h", b"f") == b"7"
    counters.incr(a, b"n", 1)
    give(a, b, c)
    assert [strings.get(state, b"n") for state in (a, b, c)] == [b"18"] * 3
    keyspace.delete(b, b"n")
    give(b, a, c)
    assert a.hash == b.hash == c.hash and strings.get(a, b"n") is None


def test_a_count_of_a_later_lineage_is_another_one() -> None:
    """The negative control: if a lineage did not count once, the sums above would be 22 and 14."""
    cell = number.Number()
    cell.counts = {1: (numberwire.FOSTER, 9, 5, 9), 2: (numberwire.FOSTER, 9, 5, 9), 3: (numberwire.FOSTER, 8, 5, 8)}
    assert cell.added(State(A)) == 10
    cell.counts[4] = (numberwire.FOSTER, 9, 7, 9)  # two totals at one place: the larger
    assert cell.added(State(A)) == 12


def test_a_set_and_a_deletion_take_what_they_saw_of_a_count_written_anew() -> None:
    a, b, c = states(A, B, C)
    counters.incr(a, b"n", 5)
    give(a, b, c)
    drop(a, A, 1)
    anew(c, A, 1)
    give(c, a, b)
    strings.put(a, b"n", b"100")
    give(a, b, c)
    assert [strings.get(state, b"n") for state in (a, b, c)] == [b"100"] * 3
    keyspace.delete(b, b"n")
    anew_by_c = decode_frame(encode_frame(_healed_once_more(c)))
    give(b, a, c)
    for state in (a, b):
        preserve(state, unlike(state, anew_by_c))
        state.apply(anew_by_c)
    assert a.hash == b.hash == c.hash  # the deletion left a baseline: the other copy of the count shows nothing
    assert strings.get(a, b"n") in (None, b"0")


def _healed_once_more(c: State) -> Frame:
    ((dot, _),) = [(dot, row) for dot, row in rows_of_state(c) if numberwire.is_count(row[3])]
    anew(c, dot[0], dot[1])
    frame = c.cut()
    assert frame is not None
    return frame


def test_books_that_are_wrong_are_put_right() -> None:
    (a,) = states(A)
    sets.add(a, b"s", [b"x", b"y"])
    a.cut()
    right = a.hash
    assert not recount(a, a.me)
    a.add_hash(a.me, 5)
    assert recount(a, a.me) and a.hash == right == a.me.hash


def test_sums_are_those_of_the_live_rows() -> None:
    (a,) = states(A)
    sets.add(a, b"s", [b"%d" % i for i in range(20)])
    a.cut()
    sets.remove(a, b"s", [b"3"])
    a.cut()
    whole = sum_between(a, a.me, 1, 99)
    assert whole != sum_between(a, a.me, 1, 19) and sum_between(a, a.me, 4, 4) == 0
    row = row_at(a, a.me, 7)
    assert row is not None and content(a.me, row) == sum_between(a, a.me, 7, 7) and row_at(a, a.me, 4) is None


def test_neighbours_in_a_set_that_swapped_their_times_differ() -> None:
    """Their hashes are the same two in their low halves."""
    (a,) = states(A)
    one, two = (list(rows_of(Group(4, b"s1", [b"906", b"907"], None, [44, 45], stamps))) for stamps in (
        [(1, 111411200004063232), (1, 111411200003997696)], [(1, 111411200003997696), (1, 111411200004063232)]
    ))  # fmt: skip
    assert {content(a.me, row) for row in one}.isdisjoint({content(a.me, row) for row in two})


def test_a_healing_travels_and_merges() -> None:
    a, b = states(A, B)
    sets.add(a, b"s", [b"x", b"y"])
    give(a, b)
    anew(b, A, 1)
    first = b.cut()
    anew(b, A, 2)
    second = b.cut()
    assert first is not None and second is not None
    one = decode_frame(encode_frame(merge([first, second])))
    assert one.heals == first.heals + second.heals and len(one.removes[A]) == 2
    first.heals = [(A, 9, 9)]
    with pytest.raises(PeerError):
        decode_frame(encode_frame(first))


def test_a_value_written_anew_lives_as_long_as_it_was_to() -> None:
    a, b = states(A, B)
    strings.put(a, b"t", b"v")
    expiry.expire(a, b"t", 60_000)
    give(a, b)
    for seq in (1, 2):
        anew(b, A, seq)
    assert expiry.deadline(b, b"t") == 60_000
    give(b, a)
    assert a.hash == b.hash and expiry.deadline(a, b"t") == 60_000
    strings.put(a, b"t", b"later")
    give(a, b)
    assert a.hash == b.hash and expiry.deadline(b, b"t") is None
