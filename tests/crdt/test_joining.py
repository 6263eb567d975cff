"""A join in slices: nothing of it is seen before the end, everything after it, and what happens meanwhile counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crdt import codec
from crdt import joining as module
from crdt.dots import Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Group
from crdt.joining import PORTION, Joining, Part, _ascending, _portions
from crdt.state import State
from crdt.types import counters, hashes, keyspace, sets, strings
from tests.crdt.algebra import check_books, rows_held

A, B = Actor("a", 1), Actor("b", 2)


@pytest.fixture(autouse=True, params=[PORTION, 2])
def portion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Also steps so short that what happens between two of them meets rows of one chunk."""
    rows: int = request.param
    monkeypatch.setattr(module, "PORTION", rows)
    return rows


def state(actor: Actor, *acts: Callable[[State], object]) -> State:
    made = State(actor)
    made.begin(1000)
    for act in acts:
        act(made)
        made.cut()
    return made


def live_of(source: State) -> dict[Actor, Runs]:
    return {actor: Runs(sorted(n for a, n in rows_held(source) if a == actor)) for actor in source.vector()}


def parts_of(source: State, size: int = 3) -> Callable[[Actor], list[Part]]:
    """All rows of an actor, so many in a part."""

    def parts(actor: Actor) -> list[Part]:
        rows = [g for chunk in source.intern(actor).chunks for g in source.groups(chunk)]
        small = [g.pick(list(range(i, min(len(g), i + size)))) for g in rows for i in range(0, len(g), size)]
        return [(g.seqs[0], g.seqs[-1], lambda g=g: [g]) for g in small]  # type: ignore[misc]

    return parts


def joining(target: State, source: State) -> Joining:
    made = Joining(target, source.vector(), live_of(source), parts_of(source))
    made.begin()
    return made


def finish(join: Joining) -> dict[tuple[bytes, str], None]:
    while join.step():
        pass
    assert not join.failed
    join.finish()
    return dict.fromkeys(join.changes())


def give(source: State, target: State) -> None:
    frame = source.cut()
    if frame is not None:
        target.apply(codec.decode_frame(codec.encode_frame(frame)))


def test_nothing_is_seen_until_the_end_and_then_everything() -> None:
    source = state(
        A, lambda s: sets.add(s, b"s", [b"%d" % i for i in range(5000)]), lambda s: strings.put(s, b"k", b"v")
    )
    target = state(B)
    join, steps = joining(target, source), 0
    while join.step():
        steps += 1
        assert not target.keys and not target.vector()
    assert steps > 3
    join.finish()
    changes = dict.fromkeys(join.changes())
    while join.discard():
        pass
    assert target.hash == source.hash and target.vector() == source.vector() and check_books(target) == []
    assert sorted(changes) == [(b"k", "set"), (b"s", "sadd")] and rows_held(target) == rows_held(source)


def test_what_is_written_and_received_meanwhile_is_in_the_result() -> None:
    source = state(A, lambda s: sets.add(s, b"s", [b"%d" % i for i in range(50)]), lambda s: counters.incr(s, b"n", 5))
    target = state(B, lambda s: sets.add(s, b"t", [b"%d" % i for i in range(50)]), lambda s: counters.incr(s, b"n", 1))
    third = state(Actor("c", 3), lambda s: strings.put(s, b"from c", b"1"))
    join = joining(target, source)
    join.step()
    target.begin(2000)
    sets.remove(target, b"t", [b"7"])
    counters.incr(target, b"n", 1)
    frame = target.cut()
    assert frame is not None
    join.follow(frame)
    (chunk,) = third.me.chunks
    assert chunk is not None
    from crdt.frame import Frame

    theirs = Frame(third.actor, 1, 1, groups=third.groups(chunk))
    assert target.apply(theirs)
    join.follow(theirs)
    finish(join)
    assert strings.get(target, b"n") == b"7" and sets.size(target, b"t") == 49 and sets.size(target, b"s") == 50
    assert strings.get(target, b"from c") == b"1" and check_books(target) == []


def test_the_next_own_frame_depends_on_what_was_joined() -> None:
    """Also when own frames were cut meanwhile: they did not depend on it."""
    source = state(A, lambda s: strings.put(s, b"k", b"v"))
    target = state(B)
    join = joining(target, source)
    strings.put(target, b"mine", b"1")
    frame = target.cut()
    assert frame is not None and frame.deps == {}
    join.follow(frame)
    finish(join)
    strings.put(target, b"k", b"over")
    after = target.cut()
    assert after is not None and after.deps == {A: 1}


def test_a_row_that_is_not_listed_goes_and_its_events_are_told() -> None:
    source = state(A, lambda s: strings.put(s, b"k", b"v"), lambda s: hashes.put(s, b"h", [(b"f", b"1"), (b"g", b"2")]))
    target = state(B)
    finish(joining(target, source))
    source.begin(3000)
    keyspace.delete(source, b"k")
    hashes.remove(source, b"h", [b"f"])
    source.cut()
    changes = finish(joining(target, source))
    assert sorted(changes) == [(b"h", "hdel"), (b"k", "del")] and target.hash == source.hash


def test_rows_that_are_missing_fail_the_join_and_change_nothing() -> None:
    source, target = state(A, lambda s: sets.add(s, b"s", [b"1", b"2"])), state(B, lambda s: strings.put(s, b"k", b"v"))
    before = rows_held(target)
    join = Joining(target, source.vector(), live_of(source), lambda actor: parts_of(source, 1)(actor)[:1])
    join.begin()
    while join.step():
        pass
    assert join.failed and rows_held(target) == before and not target.chunks_held


def test_rows_that_cannot_be_read_fail_the_join() -> None:
    def damaged() -> list[Group]:
        raise PeerError("malformed", "damaged")

    source, target = state(A, lambda s: sets.add(s, b"s", [b"1", b"2"])), state(B)
    join = Joining(target, source.vector(), live_of(source), lambda actor: [(1, 2, damaged)])
    join.begin()
    while join.step():
        pass
    assert join.failed


def test_a_join_made_for_another_vector_fails() -> None:
    """Rows above an old vector are not enough for one that fell back."""
    source = state(A, lambda s: sets.add(s, b"s", [b"1"]), lambda s: sets.add(s, b"s", [b"2"]))
    above = [g.above(1) for chunk in source.me.chunks for g in source.groups(chunk)]
    join = Joining(state(B), source.vector(), live_of(source), lambda actor: [(2, 2, lambda: above)])
    join.begin()
    while join.step():
        pass
    assert join.failed


def test_an_abandoned_one_leaves_everything_as_it_was() -> None:
    source, target = state(A, lambda s: strings.put(s, b"k", b"v")), state(B, lambda s: strings.put(s, b"m", b"1"))
    join = joining(target, source)
    join.step()
    join.abandon()
    assert not join.step() and not target.chunks_held and strings.get(target, b"k") is None


def test_parts_overlap_and_come_in_any_order() -> None:
    def group(*seqs: int) -> Group:
        return Group(4, b"s", [b"%d" % seq for seq in seqs], None, list(seqs), [(len(seqs), 5)])

    groups = [group(5, 7, 9), group(1, 2, 3), group(2, 6, 8), group(6, 20)]
    parts: list[Part] = [(g.seqs[0], g.seqs[-1], lambda g=g: [g]) for g in groups]  # type: ignore[misc]
    batches = [sorted(seq for g in batch for seq in g.seqs) for batch in _ascending(parts)]
    assert [seq for batch in batches for seq in batch] == [1, 2, 3, 5, 6, 7, 8, 9, 20]


def test_rows_of_several_groups_are_put_in_in_portions(portion: int) -> None:
    def group(key: bytes, *seqs: int) -> Group:
        return Group(4, key, [b"%d" % seq for seq in seqs], None, list(seqs), [(len(seqs), 5)])

    groups = [group(b"s", *range(1, 2000, 2)), group(b"t", *range(2, 2000, 4)), group(b"u", 4000)]
    portions = list(_portions(groups))
    assert [sum(map(len, one)) for one in portions[:-1]] == [portion] * (len(portions) - 1)
    seqs = [sorted(seq for part in one for seq in part.seqs) for one in portions]
    assert [seq for one in seqs for seq in one] == sorted(seq for part in groups for seq in part.seqs)
    assert list(_portions([])) == [[]]


def test_no_step_puts_more_than_a_portion_in(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = ([b"%s%d" % (name, i) for i in range(3000)] for name in (b"m", b"t"))
    source = state(A, lambda s: sets.add(s, b"s", theirs))
    target = state(B, lambda s: sets.add(s, b"s", mine))
    join = Joining(target, source.vector(), live_of(source), parts_of(source, 2000))
    included: list[int] = []

    def noting(self: State, actor: Actor, groups: list[Group]) -> None:
        included.append(sum(map(len, groups)))
        include(self, actor, groups)

    include = State.include
    monkeypatch.setattr(State, "include", noting)
    join.begin()
    before = 0
    while join.step():
        assert len(included) <= before + 1
        before = len(included)
    assert sum(included) == 6000 and max(included) == portion
    join.finish()
    steps = 0
    while join.discard():
        steps += 1
    assert steps >= 3000 // portion
    assert sets.size(target, b"s") == 6000 and check_books(target) == []


def test_everything_that_belongs_to_the_rows_is_replaced() -> None:
    """A new attribute of a state has to be thought of in `State.trade`."""
    own = {"clock", "encode", "kinds", "time_ms", "offset_ms", "lapsed", "frozen"}  # goes on, or is made anew
    pending = {
        "entries", "fields", "heals", "stamp_starts", "stamp_hlcs", "removed", "ranges", "swept", "mark", "dot",
        "cut_dot", "streamed", "removed_twice",
    }  # fmt: skip
    target, other = state(B, lambda s: strings.put(s, b"k", b"v")), state(A, lambda s: strings.put(s, b"l", b"v"))
    slots = {name for cls in State.__mro__ for name in getattr(cls, "__slots__", ())} - own - pending
    assert {"keys", "hidden", "actors", "_hash", "lifetimes"} <= slots
    before = {name: getattr(other, name) for name in slots}
    target.trade(other)
    assert [name for name in sorted(slots) if getattr(target, name) is not before[name]] == []
