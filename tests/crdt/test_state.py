"""One State: frames it makes, what it tells of peers' changes, what it forgets, and that it leaves no garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from random import Random

import msgpack
import pytest

from crdt import codec
from crdt import state as module
from crdt.columns import Dead
from crdt.dots import Actor, Runs
from crdt.errors import PeerError, UsageError
from crdt.frame import Frame, Group
from crdt.rows import CHUNK
from crdt.state import State
from crdt.types import counters, flags, hashes, keyspace, numberwire, sets, strings
from tests.crdt.algebra import check_books, rows_held
from tests.crdt.histories import join
from tests.crdt.replicas import Replicas, cut

A, B = Actor("a", 1), Actor("b", 2)
K = b"k"


def causes_alone(self: State, frame: Frame) -> tuple[Actor, int] | None:
    """Wrong: a frame is believed to name nothing but what it depends on."""
    return next(((actor, n) for actor, n in frame.deps.items() if n > self.applied(actor)), None)


# -- cutting ----------------------------------------------------------------------------------------------------------


def test_nothing_pending_is_no_frame() -> None:
    state = State(A)
    assert state.cut() is None
    sets.remove(state, K, [b"x"])
    keyspace.delete(state, K)
    assert state.cut() is None


def test_a_frame_claims_what_it_carries() -> None:
    state = State(A)
    strings.put(state, K, b"v")
    sets.add(state, b"s", [b"x", b"y"])
    sets.remove(state, b"s", [b"x"])
    one = cut(state)
    assert (one.actor, one.first, one.last, one.deps, one.removes, one.ranges) == (A, 1, 3, {}, {}, [])
    assert [(group.code, group.key, group.fields, group.seqs) for group in one.groups] == [
        (1, None, [K], [1]),
        (4, b"s", [b"y"], [3]),
    ]
    assert state.vector() == {A: 3}
    sets.remove(state, b"s", [b"y"])
    two = cut(state)
    assert (two.first, two.last, two.groups, two.removes) == (4, 4, [], {A: Runs([3])})


def test_what_is_dead_cannot_be_buried() -> None:
    state = State(A)
    strings.put(state, K, b"v")
    cut(state)
    entry = state.keys[K]
    for raises in (nullcontext(), pytest.raises(AssertionError, match="indexed")):
        dead = Dead()
        dead.append(state.me.base + 1, entry, None, b"v")
        with raises:
            assert state._bury(state.me, dead) == Runs([1])


def test_what_vanished_before_the_cut_still_counts() -> None:
    state = State(A)
    sets.add(state, K, [b"x"])
    sets.remove(state, K, [b"x"])
    one = cut(state)
    assert (one.first, one.last, one.groups, one.removes) == (1, 1, [], {})


def test_deps_are_what_is_new() -> None:
    both = Replicas()
    strings.put(both[0], K, b"v")
    one = cut(both[0])
    both[1].apply(one)
    strings.put(both[1], b"l", b"v")
    assert cut(both[1]).deps == {one.actor: 1}
    strings.put(both[1], b"l", b"w")
    assert cut(both[1]).deps == {}


def test_rows_carry_the_time_of_their_batch() -> None:
    state = State(A)
    for ms in (1000, 1001, 1001, 900):
        state.begin(ms)
        sets.add(state, K, [b"%d" % ms, b"%d+" % ms])
    one = cut(state)
    assert [(n, hlc >> 16) for n, hlc in one.groups[0].stamps] == [(2, 1000), (4, 1001)], "never backwards"
    assert [state.hlc(dot) >> 16 for _, dot, _ in state.keys[K].rows()] == [1000, 1000, 1001, 1001, 1001, 1001]


def test_pending_rows_know_their_time_too() -> None:
    state = State(A)
    state.begin(1000)
    strings.put(state, K, b"v")
    state.begin(2000)
    strings.put(state, b"l", b"v")
    times = [(strings.siblings(state, key) or [])[0].time_ms for key in (K, b"l")]
    assert times == [1000, 2000]


# -- applying ---------------------------------------------------------------------------------------------------------


def test_a_frame_waits_for_what_it_saw() -> None:
    three = Replicas(3)
    strings.put(three[0], K, b"v")
    first = cut(three[0])
    three[1].apply(first)
    strings.put(three[1], K, b"w")
    second = cut(three[1])
    strings.put(three[1], K, b"x")
    third = cut(three[1])
    reader = three[2]
    assert [reader.ready(one) for one in (first, second, third)] == [True, False, False]
    reader.apply(first)
    assert [reader.ready(one) for one in (second, third)] == [True, False]
    reader.apply(second)
    assert reader.ready(third)
    reader.apply(third)
    assert reader.apply(first) is reader.apply(third) is None


def test_own_frames_are_not_applied() -> None:
    state, twin = State(A), State(A)
    strings.put(twin, K, b"v")
    with pytest.raises(AssertionError):
        state.apply(cut(twin))


def test_unknown_types_are_kept_and_passed_on() -> None:
    """A row of a later version has no reader, but it is hashed, sent on and removed like any other."""
    hlc = 1000 << 16
    groups = [
        Group(200, None, [K], None, [1], [(1, hlc)]),
        Group(201, None, [K], [b"v"], [2], [(1, hlc)]),
        Group(202, b"l", [b"f", b"g"], [None, b"v"], [3, 4], [(2, hlc)]),
    ]
    one = codec.decode_frame(codec.encode_frame(Frame(B, 1, 4, groups=groups)))
    state = State(A)
    assert state.apply(one) == {}
    assert not keyspace.exists(state, K)
    assert keyspace.count(state) == 0
    assert check_books(state) == []
    (chunk,) = state.intern(B).chunks
    again = State(A)
    again.load(B, 1, codec.decode_rows(codec.encode_rows(state.groups(chunk))), 4)
    again.loaded({B: 4})
    assert rows_held(again) == rows_held(state)
    assert again.hash == state.hash
    assert state.apply(Frame(B, 5, 5, removes={B: Runs([1, 2, 3])}, ranges=[((b"l",), {B: 4})])) == {}
    assert (state.live, state.hash, state.hidden) == (0, 0, {})


def test_a_snapshot_tells_its_changes() -> None:
    both = Replicas()
    strings.put(both[0], K, b"v")
    strings.put(both[0], b"l", b"v")
    both.exchange()
    keyspace.delete(both[1], K)
    strings.put(both[1], b"l", b"w")
    strings.put(both[1], b"m", b"v")
    both[1].cut()
    theirs = both[1].vector()
    live = {actor: Runs(sorted(n for a, n in rows_held(both[1]) if a == actor)) for actor in theirs}
    rows = {both[1].actor: [g for c, i in both[1].intern(both[1].actor).above(0) for g in both[1].groups(c, i)]}
    changes = join(both[0], theirs, live, rows)
    assert sorted(changes or ()) == [(K, "del"), (b"l", "set"), (b"m", "set")]
    assert both[0].hash == both[1].hash
    assert both[0].vector_hash == both[1].vector_hash


def test_there_is_room_for_so_many_actors_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one would be given the place of the own rows."""
    monkeypatch.setattr(module, "FIRST_OWN", 10)
    state = State(A)
    sets.add(state, K, [b"x"])
    state.cut()
    for i in range(9):
        state.apply(Frame(Actor("x", i), 1, 1))
    with pytest.raises(PeerError, match="actors"):
        state.apply(Frame(Actor("y", 1), 1, 1))
    state.apply(Frame(Actor("x", 3), 2, 2))
    assert state.applied(A) == 1 and state.vector()[A] == 1 and len(state.vector()) == 10
    sets.remove(state, K, [b"x"])
    assert state.cut() is not None and check_books(state) == []


# -- lives ------------------------------------------------------------------------------------------------------------


def test_a_new_life_leaves_the_old_one_as_it_was() -> None:
    both = Replicas()
    strings.put(both[0], K, b"v")
    both.exchange()
    old = both[0].actor
    both[0].become(Actor("a", 99))
    strings.put(both[0], K, b"w")
    one = cut(both[0])
    assert (one.actor, one.first, one.deps, one.removes) == (Actor("a", 99), 1, {old: 1}, {old: Runs([1])})
    both[1].apply(one)
    assert both.agree(lambda state: strings.get(state, K)) == b"w"


def test_a_start_continues_its_own_numbers() -> None:
    first = State(A)
    frames = []
    for i in range(5):
        strings.put(first, b"%d" % i, b"v")
        frames.append(cut(first))
    again = State(A)
    again.loaded({})
    for one in frames:
        again.replay(one)
        again.replay(one)
    assert again.seq == 5
    assert rows_held(again) == rows_held(first)
    strings.put(again, K, b"v")
    assert cut(again).first == 6


# -- memory: invariant I11 --------------------------------------------------------------------------------------------


def held(state: State) -> int:
    """How many things a state holds on to."""
    rows = sum(len(chunk) for owner in state.actors.values() for chunk in owner.chunks)
    cells = sum(1 for key in {*state.keys, *state.hidden} for entry in state.all_of(key) for _ in entry.rows())
    pending = len(state.entries) + len(state.removed) + len(state.swept) + len(state.orphans) + len(state.stamp_hlcs)
    chunks = sum(len(owner.chunks) + len(owner.firsts) for owner in state.actors.values())
    return rows + cells + pending + chunks + len(state.keys) + len(state.hidden) + len(state.actors) + len(state.seen)


def test_a_hundred_thousand_cycles() -> None:
    writer, reader = State(A), State(B)
    members = [b"%d" % i for i in range(1000)]
    for _ in range(100):
        sets.add(writer, K, members)
        reader.apply(writer.cut() or pytest.fail("nothing to cut"))
        sets.remove(writer, K, members)
        reader.apply(writer.cut() or pytest.fail("nothing to cut"))
    assert writer.applied(A) == reader.applied(A) == 200_000
    assert held(writer) < 20
    assert held(reader) < 20


def test_the_living_do_not_keep_the_dead() -> None:
    """A few rows that stay in every chunk; the others are cut before they are removed, or nothing would be left."""
    writer, reader = State(A), State(B)
    for i in range(50_000):
        sets.add(writer, K, [b"%d" % i])
        if i % 100 and i > 2000:
            sets.remove(writer, K, [b"%d" % (i - 2000)])
        if i % 1000 == 999:
            reader.apply(writer.cut() or pytest.fail("nothing to cut"))
    for state in (writer, reader):
        assert held(state) < 4 * state.live + 2 * CHUNK
        assert sum(len(owner.chunks) for owner in state.actors.values()) < 6


def test_chunks_that_keep_their_dead_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of invariant I11."""
    monkeypatch.setattr(State, "compact", lambda self: None)
    for test in (test_a_hundred_thousand_cycles, test_the_living_do_not_keep_the_dead):
        with pytest.raises(AssertionError):
            test()


def test_nothing_moves_while_a_checkpoint_walks() -> None:
    state = State(A)
    sets.add(state, K, [b"%d" % i for i in range(100)])
    state.cut()
    state.chunks_held = True
    (chunk,) = state.me.chunks
    keyspace.delete(state, K)
    state.cut()
    assert state.me.chunks == [chunk]
    state.chunks_held = False
    state.compact()
    assert state.me.chunks == []


def walked_past() -> tuple[State, State]:
    """Two states whose compaction is in the middle of 200 chunks when all that it has passed dies."""
    a, b = State(A), State(B)

    def ship() -> None:
        b.apply(a.cut() or pytest.fail("nothing to cut"))

    for i in range(200):
        sets.add(a, b"k%d" % i, [b"%d" % n for n in range(CHUNK)])
        ship()
    for i in range(100, 126):
        sets.remove(a, b"k%d" % i, [b"%d" % n for n in range(2000)])
    ship()
    keyspace.flush(a)
    ship()
    return a, b


def test_what_dies_behind_a_compaction_is_given_back_as_well() -> None:
    """Nothing more may ever come from the author whose rows they were."""
    for state in walked_past():
        assert state.live == 0 and state.thin
        steps = 1
        while state.compact() and steps < 1000:
            steps += 1
        assert not state.thin and held(state) < CHUNK
        assert steps > 20, "to drop a chunk is work too"


def test_a_step_is_one_actor_s() -> None:
    state = State(A)
    for n in range(30):
        other = State(Actor("peer", n + 2))
        sets.add(other, b"k%d" % n, [b"%d" % i for i in range(CHUNK)])
        state.apply(other.cut() or pytest.fail("nothing to cut"))
    state.chunks_held = True
    for n in range(30):
        sets.remove(state, b"k%d" % n, [b"%d" % i for i in range(1700)])
    state.cut()
    assert not state.compact(), "nothing moves, and there is nothing to come back for"
    state.chunks_held = False
    for left in range(29, -1, -1):
        assert state.compact() is (left > 0)
        assert sum(len(owner.chunks[0]) == CHUNK for owner in state.actors.values() if owner.chunks) == left


def test_data_paths_leave_no_garbage() -> None:
    """The daemon runs without the cycle collector: nothing that comes and goes may be part of a cycle."""
    gc.collect()
    gc.disable()
    try:
        both, rng = Replicas(), Random(1)
        for _ in range(30):
            for state in both.states:
                work(state, rng)
            both.cut()
            frames, both.frames = both.frames, []
            data = [codec.encode_frame(one) for one in frames]
            for state in both.states:
                for one in map(codec.decode_frame, data):
                    if one.actor != state.actor and state.ready(one):
                        state.apply(one)
            del frames, data, state, one
        assert gc.collect() == 0
    finally:
        gc.enable()


OPERATIONS: list[Callable[[State, bytes, bytes, Random], object]] = [
    lambda s, key, name, rng: strings.put(s, key, name),
    lambda s, key, name, rng: strings.siblings(s, key),
    lambda s, key, name, rng: counters.incr(s, key, 3),
    lambda s, key, name, rng: counters.incr_float(s, key, Decimal("0.1")),
    lambda s, key, name, rng: sets.add(s, key, [b"%d" % i for i in range(100)]),
    lambda s, key, name, rng: sets.pop(s, key, 3, rng),
    lambda s, key, name, rng: hashes.put(s, key, [(name, name)]),
    lambda s, key, name, rng: hashes.incr(s, key, name, 1),
    lambda s, key, name, rng: flags.enable(s, key),
    lambda s, key, name, rng: keyspace.delete(s, key),
    lambda s, key, name, rng: keyspace.rename(s, key, name),
]


def work(state: State, rng: Random) -> None:
    """Some of every operation, refused ones included, and messages that are damaged."""
    state.begin(rng.randrange(10**6, 10**7))
    for _ in range(20):
        key, name = rng.choice([K, b"l", b"m"]), b"%d" % rng.randrange(100)
        try:
            rng.choice(OPERATIONS)(state, key, name, rng)
        except UsageError as error:
            assert error.resp
    for damaged in (b"", b"\x93\x01", codec.pack([1, 2]), codec.pack([[], 1, 1, 0, [], [], [], []])):
        with pytest.raises(PeerError):
            codec.decode_frame(damaged)


# -- what a frame speaks of -------------------------------------------------------------------------------------------

C = Actor("c", 3)


def spoken(actor: Actor) -> dict[str, Frame]:
    """Frames of B that depend on nothing and speak of this actor, three of whose operations B should have seen."""

    def counted(*row: object) -> Frame:
        payload = msgpack.ExtType(1, msgpack.packb(row))
        return Frame(B, 1, 4, groups=[Group(1, None, [K], [payload], [4], [(1, 1 << 20)])])

    frames = {
        "a removal": Frame(B, 1, 4, removes={actor: Runs([1, 3])}),
        "a range": Frame(B, 1, 4, ranges=[((K, b"\4"), {actor: 3})]),
        "a deletion of a count": counted(numberwire.BASE, 1, 3, 5, *actor),
        "a count written anew": counted(numberwire.FOSTER, 1, 3, 5, *actor),
        "a value over a count": counted(numberwire.SET, b"v", [[*actor, 1, 3, 5]]),
    }
    return {what: codec.decode_frame(codec.encode_frame(frame)) for what, frame in frames.items()}


@pytest.mark.parametrize("what", spoken(C))
def test_a_frame_waits_for_what_it_speaks_of(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody removes, or has counted on, what he has not seen: so an honest frame waits for nothing by that."""
    state, frame = State(A), spoken(C)[what]
    lacking = state.lacks(frame)
    assert lacking in ((C, 3), (C, 1)) and not state.ready(frame)
    with monkeypatch.context() as wrong:
        wrong.setattr(State, "unseen", causes_alone)
        assert state.ready(frame)
    state.apply(Frame(C, 1, lacking[1]))
    assert state.ready(frame)
    state.apply(frame)
    assert check_books(state) == []


def test_a_removal_waits_for_the_last_that_it_names() -> None:
    state, frame = State(A), Frame(B, 1, 1, removes={C: Runs([1, 3, 7])})
    for n, lacking in ((2, (C, 7)), (6, (C, 7)), (7, None)):
        state.apply(Frame(C, state.applied(C) + 1, n))
        assert state.lacks(frame) == lacking


@pytest.mark.parametrize("what", spoken(B))
def test_a_frame_may_speak_of_its_author(what: str) -> None:
    state = State(A)
    assert state.ready(spoken(B)[what])


@pytest.mark.parametrize("verb", ["erase", "assign", "range"])
def test_what_is_written_over_counts_of_others_waits_for_nothing(verb: str) -> None:
    """The frame itself depends on nobody: the count was seen by an earlier one."""
    c, b, other = State(C), State(B), State(A)
    counters.incr(c, K, 5)
    sets.add(c, b"s", [b"%d" % n for n in range(100)])
    frames = [cut(c)]
    b.apply(frames[0])
    strings.put(b, b"unrelated", b"v")
    frames.append(cut(b))
    if verb == "assign":
        strings.put(b, K, b"7")
    else:
        keyspace.delete(b, K if verb == "erase" else b"s")
    frames.append(cut(b))
    last = frames[-1]
    assert last.deps == {} and (last.named == (C,) if verb != "range" else last.ranges)
    for frame in frames:
        assert other.ready(frame)
        other.apply(frame)
    assert other.hash == b.hash and other.lacks(last) is None


def test_what_a_frame_speaks_of_is_looked_at_before_anything_of_it_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that names more actors than can be numbered was dropped when what it removes had left the books."""
    state = State(A)
    one = Group(1, None, [K], [b"v"], [1], [(1, 1 << 20)])
    state.apply(Frame(B, 1, 1, groups=[one]))
    crowd = [[*Actor("made up", n), 1, 1, 5] for n in range(50)]
    payload = msgpack.ExtType(1, msgpack.packb([numberwire.SET, b"w", crowd]))
    lie = Frame(B, 2, 2, groups=[Group(1, None, [K], [payload], [2], [(1, 1 << 21)])], removes={B: Runs([1])})
    lie = codec.decode_frame(codec.encode_frame(lie))
    before, known = state.hash, dict(state.indexes)
    monkeypatch.setattr(module, "FIRST_OWN", 20)
    assert not state.ready(lie)
    assert (state.hash, state.indexes, strings.get(state, K), check_books(state)) == (before, known, b"v", [])
    monkeypatch.setattr(State, "unseen", causes_alone)
    assert state.ready(lie)
    with pytest.raises(PeerError):
        state.apply(lie)
    assert check_books(state) != []


# -- the hash ---------------------------------------------------------------------------------------------------------


def _fill(state: State) -> None:
    strings.put(state, K, b"v")
    counters.incr(state, b"n", 5)
    sets.add(state, b"s", [b"%d" % i for i in range(200)])
    hashes.put(state, b"h", [(b"f", b"1"), (b"g", b"2")])


LEAVING: dict[str, Callable[[State], object]] = {
    "nothing": lambda state: None,
    "overwritten": lambda state: strings.put(state, K, b"w"),
    "counted": lambda state: counters.incr(state, b"n", 1),
    "removed": lambda state: sets.remove(state, b"s", [b"7", b"9"]),
    "swept": lambda state: keyspace.delete(state, b"s"),
    "field": lambda state: hashes.put(state, b"h", [(b"f", b"3")]),
}


@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("what", LEAVING)
def test_the_hash_is_that_of_the_last_boundary_whatever_waits_for_the_cut(what: str, rows: int) -> None:
    state, peer = State(A), State(B)
    _fill(state)
    peer.apply(cut(state))
    LEAVING[what](state)
    while not state.hash_some(rows):
        assert state.backlog > 0
    assert (state.backlog, state.hash) == (0, peer.hash)
    frame = state.cut()
    if frame is not None:
        peer.apply(frame)
    assert (state.hash, check_books(state)) == (peer.hash, [])


@pytest.mark.parametrize("seed", range(6))
def test_more_leaves_between_the_slices_of_a_hash(seed: int) -> None:
    rng, state, peer = Random(seed), State(A), State(B)
    _fill(state)
    peer.apply(cut(state))
    while not state.hash_some(rng.choice((1, 2, 30))):
        for act in rng.sample([*LEAVING.values()], rng.randrange(3)):
            act(state)
    assert state.hash == peer.hash
    peer.apply(cut(state))
    assert (state.hash, check_books(state)) == (peer.hash, [])


def test_what_leaves_is_looked_up_once_for_all_slices() -> None:
    state = State(A)
    _fill(state)
    cut(state)
    keyspace.delete(state, b"s")
    left = []
    while not state.hash_some(20):
        left.append(state._left)
    assert len(left) > 5 and len({id(one) for one in left if one is not None}) == 1
    state.cut()
    assert state._left is None


def test_what_waits_for_the_cut_has_to_be_hashed_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the one before."""
    state, peer = State(A), State(B)
    _fill(state)
    peer.apply(cut(state))
    strings.put(state, K, b"w")
    monkeypatch.setattr(State, "_leaving", lambda state: dict.fromkeys(state.removed.dots, b"w"))
    assert state.hash != peer.hash


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_come_and_go_between_two_questions(seed: int) -> None:
    rng, state, peer, asked = Random(seed), State(A), State(B), State(Actor("c", 3))
    for _ in range(60):
        for _ in range(rng.randrange(12)):
            name = b"%d" % rng.randrange(20)
            rng.choice(
                [
                    lambda name: strings.put(state, b"k" + name, b"%d" % rng.randrange(9)),
                    lambda name: counters.incr(state, b"n" + name, 1),
                    lambda name: sets.add(state, b"s", [name]),
                    lambda name: sets.remove(state, b"s", [name]),
                    lambda name: keyspace.delete(state, b"k" + name),
                ]
            )(name)
        frame = state.cut()
        if frame is not None:
            peer.apply(frame)
            asked.apply(codec.decode_frame(codec.encode_frame(frame)))
        assert 0 <= state.backlog <= state.live
        for one in (state, peer):
            if rng.random() < 0.4:
                one.hash_some(rng.randrange(1, 20))
        asked.hash_all()
        if rng.random() < 0.2:
            assert state.hash == asked.hash
    assert state.hash == peer.hash == asked.hash
    assert check_books(state) == check_books(peer) == []
