"""Which rows a range takes, and how many are looked at to find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest

from crdt import ranges, rows
from crdt.applying import Applying
from crdt.dots import Actor, Runs
from crdt.entry import Entry
from crdt.frame import Frame
from crdt.ranges import Reached, doomed, ranged
from crdt.rows import ActorRows
from crdt.state import State
from crdt.types import hashes, keyspace, sets
from crdt.types.sets import SetEntry
from tests.crdt.algebra import check_books
from tests.crdt.replicas import Replicas, cut

A, B = Actor("a", 1), Actor("b", 2)
LARGE, SMALL, ROUNDS = 3000, 70, 20
SET = b"\x04"


class Looked:
    """How many rows were looked at: in entries, and in the books of actors."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        entry_rows, between = SetEntry.rows, ActorRows.between

        def counted_rows(entry: SetEntry) -> Iterator[Any]:
            for row in entry_rows(entry):
                self.count += 1
                yield row

        def counted_between(owner: ActorRows, start: int, stop: int) -> Iterator[Any]:
            for chunk, i, j in between(owner, start, stop):
                self.count += j - i
                yield chunk, i, j

        patch.setattr(SetEntry, "rows", counted_rows)
        patch.setattr(ActorRows, "between", counted_between)


def filled_and_deleted(author: State, rounds: int) -> list[Frame]:
    """Somebody cut off fills a set and deletes it, again and again."""
    out = []
    for _ in range(rounds):
        sets.add(author, b"s", [b"w%d" % i for i in range(SMALL)])
        out.append(cut(author))
        keyspace.delete(author, b"s")
        out.append(cut(author))
        assert out[-1].ranges
    return out


def large(state: State, key: bytes) -> None:
    sets.add(state, key, [b"m%d" % i for i in range(LARGE)])
    cut(state)


def test_a_range_costs_what_its_author_wrote_however_much_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    author, peer = State(A), State(B)
    large(peer, b"s")
    frames = filled_and_deleted(author, ROUNDS)
    looked = Looked(monkeypatch)
    for one in frames:
        peer.apply(one)
    assert looked.count <= ROUNDS * 4 * SMALL + LARGE, "once for the whole set, at most"
    assert len(sets.members(peer, b"s")) == LARGE and check_books(peer) == []


def test_however_much_its_author_holds_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    author, peer = State(A), State(B)
    large(peer, b"s")
    sets.add(author, b"other", [b"m%d" % i for i in range(2 * LARGE)])
    frames = [cut(author), *filled_and_deleted(author, ROUNDS)]
    looked = Looked(monkeypatch)
    for one in frames:
        peer.apply(one)
    assert looked.count <= ROUNDS * 4 * SMALL + 2 * LARGE
    assert len(sets.members(peer, b"s")) == LARGE and check_books(peer) == []


def test_without_notes_each_costs_the_whole_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    monkeypatch.setattr(Reached, "note", lambda *_: None)
    with pytest.raises(AssertionError):
        test_however_much_its_author_holds_elsewhere(monkeypatch)


def test_a_small_set_costs_itself_however_much_its_author_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    author, peer = State(A), State(B)
    sets.add(author, b"other", [b"m%d" % i for i in range(LARGE)])
    peer.apply(cut(author))
    frames = filled_and_deleted(author, 1)
    looked = Looked(monkeypatch)
    for one in frames:
        peer.apply(one)
    assert looked.count <= 2 * SMALL


def test_ranges_over_one_path_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What any of the vectors covers goes, and the rows are looked at once."""
    author, other, peer = State(A), State(B), State(Actor("c", 3))
    for state, name in ((author, b"a"), (other, b"b")):
        sets.add(state, b"s", [b"%s%d" % (name, i) for i in range(10)])
        peer.apply(cut(state))
    looked = Looked(monkeypatch)
    vectors = [{A: 2, B: 1}, {B: 4}, {A: 3}] * 50
    peer.apply(Frame(A, 11, 11, {}, ranges=[((b"s", SET), vector) for vector in vectors]))
    assert looked.count <= 20 + 7
    gone = {b"a0", b"a1", b"a2", b"b0", b"b1", b"b2", b"b3"}
    assert set(sets.members(peer, b"s")) == {b"%s%d" % (n, i) for n in (b"a", b"b") for i in range(10)} - gone
    assert check_books(peer) == []


def naive(state: State, path: tuple[bytes, ...], vector: Mapping[Actor, int]) -> list[tuple[Actor, list[int]]]:
    """What the definition says, row by row."""
    found: dict[Actor, list[int]] = {}
    for entry in state.all_of(path[0]):
        if len(path) == 1 or bytes([entry.CODE]) == path[1]:
            for _, dot, raw in entry.rows():
                actor, seq = state.name(dot)
                if seq <= min(vector.get(actor, 0), state.applied(actor)) and ranged(raw):
                    found.setdefault(actor, []).append(seq)
    return sorted((actor, sorted(seqs)) for actor, seqs in found.items())


def booked(state: State, found: list[tuple[Actor, list[int]]]) -> list[tuple[Actor, list[int]]]:
    """Those of them that are in the books."""
    out = []
    for actor, seqs in found:
        owner = state.actors[state.indexes[actor]]
        places = [(seq, owner.locate(owner.base + seq)) for seq in seqs]
        live = [seq for seq, place in places if place is not None and place[0].entries[place[1]] is not None]
        out += [(actor, live)] if live else []
    return sorted(out)


Way = Callable[[pytest.MonkeyPatch], object]
WAYS: dict[str, Way] = {
    "the lesser": lambda patch: None,
    "from the actors": lambda patch: patch.setattr(ranges, "_from_entry", lambda entry, limits, most, found: most + 1),
    "from the entry": lambda patch: patch.setattr(ActorRows, "span", lambda owner, start, stop: 1 << 40),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_both_ways_take_what_the_definition_says(seed: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(seed, way, monkeypatch)


def compare(seed: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random work of three on two keys; at each range of a frame, and at made-up ones, the rows are compared."""
    rng, both = Random(seed), Replicas(3)
    for module in (sets, hashes):
        monkeypatch.setattr(module, "RANGE_FROM", 2)
    monkeypatch.setattr(ranges, "MUCH", 0)
    monkeypatch.setattr(rows, "CHUNK", 8)
    WAYS[way](monkeypatch)
    compared = 0
    found = Applying._in_range

    def in_range(self: Applying, path: tuple[bytes, ...], vector: Mapping[Actor, int]) -> Any:
        nonlocal compared
        expected = naive(self._state, path, vector)
        got = list(found(self, path, vector))
        # What the frame also removes by name has left the books already, and only those.
        assert booked(self._state, [(owner.actor, list(gone)) for owner, gone in got]) == booked(self._state, expected)
        compared += bool(expected)
        return iter(got)

    monkeypatch.setattr(Applying, "_in_range", in_range)
    for turn in range(60):
        state = both[rng.randrange(3)]
        state.begin(2_000_000 + turn)
        for _ in range(rng.randrange(1, 8)):
            key, name = rng.choice([b"k", b"l"]), b"%d" % rng.randrange(30)
            act = rng.randrange(8)
            if act < 2:
                sets.add(state, b"k", [b"%d" % rng.randrange(40) for _ in range(5)])
            elif act < 4:
                hashes.put(state, b"l", [(name, b"v%d" % turn), (name + b"x", b"w")])
            elif act < 6:
                hashes.incr(state, b"l", b"n" + name, 1)
            else:
                keyspace.delete(state, key)
        if rng.random() < 0.3:
            both.exchange()
    both.exchange()
    assert len({state.hash for state in both.states}) == 1
    assert all(check_books(state) == [] for state in both.states)
    assert compared > 3


def test_notes_that_reach_too_far_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a note must not go beyond what has been applied."""
    note = Reached.note

    def wrong(self: Reached, entry: Entry, limits: dict[int, int]) -> None:
        note(self, entry, {index: n + 9 for index, n in limits.items()})

    monkeypatch.setattr(Reached, "note", wrong)
    with pytest.raises(AssertionError):
        for seed in range(4):
            with pytest.MonkeyPatch.context() as patch:
                compare(seed, "from the actors", patch)


def test_a_vector_that_claims_the_future_is_not_believed() -> None:
    """Whoever says that a range covers what nobody has seen does not hide those rows from the next range."""
    author, peer = State(A), State(B)
    big = ranges.MUCH + 10
    sets.add(author, b"s", [b"%d" % i for i in range(big)])
    peer.apply(cut(author))
    sets.add(peer, b"s", [b"own"])
    cut(peer)
    peer.apply(Frame(Actor("x", 9), 1, 1, {}, ranges=[((b"s", SET), {A: 1 << 30})]))
    assert list(sets.members(peer, b"s")) == [b"own"]
    keyspace.delete(author, b"s")
    peer.apply(cut(author))
    sets.add(author, b"s", [b"%d" % i for i in range(SMALL)])
    peer.apply(cut(author))
    assert len(sets.members(peer, b"s")) == SMALL + 1
    peer.apply(Frame(Actor("x", 9), 2, 2, {}, ranges=[((b"s", SET), {A: author.seq})]))
    assert list(sets.members(peer, b"s")) == [b"own"] and check_books(peer) == []


def test_what_waits_for_the_own_cut_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    author, peer = State(A), State(B)
    sets.add(author, b"s", [b"1", b"2", b"3"])
    peer.apply(cut(author))
    sets.remove(peer, b"s", [b"2"])
    monkeypatch.setattr(ranges, "_from_entry", lambda entry, limits, most, found: most + 1)
    entry = peer.keys[b"s"]
    assert doomed(peer, entry, {peer.indexes[A]: 3}) == {peer.indexes[A]: [1, 3]}


def test_notes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MOST", 4)
    reached, entries = Reached(), [SetEntry(b"%d" % i) for i in range(5)]
    for entry in entries[:4]:
        reached.note(entry, {1: 5})
    reached.note(entries[0], {1: 3, 2: 8})  # the latest now, and one more
    assert [reached.of(entry) for entry in entries[:4]] == [{1: 5, 2: 8}, None, {1: 5}, {1: 5}]
    reached.note(entries[4], dict.fromkeys(range(9), 1))
    assert [reached.of(entry) for entry in entries] == [None] * 5
    reached.note(entries[4], {1: 1})
    assert reached.of(entries[4]) == {1: 1}


def test_runs_of_a_range_ascend() -> None:
    """`Runs` are made of ascending numbers, whatever the order of the rows in the entry."""
    author, peer = State(A), State(B)
    sets.add(author, b"s", [b"1", b"2", b"3"])
    sets.add(author, b"s", [b"1"])
    frame = cut(author)
    peer.apply(frame)
    found = list(Applying(peer, False)._in_range((b"s",), {A: 9}))
    assert [(owner.actor, gone) for owner, gone in found] == [(A, Runs(sorted(frame.groups[0].seqs)))]
