"""Streams: the truth table, ids, and that whoever reads on from the last id he got skips nothing."""

from __future__ import annotations

from random import Random

import msgpack
import pytest

from crdt.codec import decode_frame, decode_rows, encode_frame, encode_rows
from crdt.dots import Actor
from crdt.errors import PeerError, UsageError, WrongTypeError
from crdt.frame import Frame, Group
from crdt.state import RANGE_FROM, State
from crdt.types import conflicts, keyspace, streams, strings
from crdt.types.streams import MOST, NOTHING, Id, Left, StreamEntry
from tests.crdt.algebra import check_books
from tests.crdt.replicas import Replicas, table

K = b"k"


def put(state: State, *ids: tuple[int, int]) -> None:
    for one in ids:
        streams.add(state, K, Id(*one), [b"f", b"%d-%d" % one])


def entry_of(state: State) -> StreamEntry:
    found = streams.find(state, K)
    assert found is not None
    return found


def ids(state: State) -> list[tuple[int, int]]:
    found = streams.find(state, K)
    return [] if found is None else [tuple(streams.id_of(field)) for field in found.ids]  # type: ignore[misc]


def do(state: State, words: str) -> None:
    verb, _, *args = words.split()
    if verb == "XADD":
        found = streams.next_id(state, K) if args[0] == "*" else Id(*map(int, args[0].split("-")))
        streams.add(state, K, found, [word.encode() for word in args[1:]])
    elif verb == "XTRIM":
        entry = streams.find(state, K)
        streams.remove(state, K, list(entry.ids) if entry else [], trimmed=True)
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


@pytest.mark.parametrize("row", table(streams), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()

    def words(state: State) -> list[list[bytes]]:
        entry = entry_of(state)
        return [entry.words(state, field) for field in entry.ids]

    found = both.agree(words)
    if row[2].startswith("one is shown"):
        assert found == [[b"b"]]
        (dispute,) = conflicts.conflicts(both[0])
        assert {s.value for s in dispute.siblings} == {b"a", b"b"}
    else:
        assert sorted(found) == ([[b"f", b"1"], [b"f", b"2"]] if row[2].startswith("both") else [[b"f", b"1"]])


# -- ids --------------------------------------------------------------------------------------------------------------


def test_ids_rise_on_one_replica_and_are_never_given_twice() -> None:
    both, given = Replicas(), set[Id]()
    for step in range(300):
        for state in (both[0], both[1]):
            state.begin(1_700_000_000_000)  # the clocks stand still, and agree
            last = streams.find(state, K)
            found = streams.next_id(state, K)
            assert last is None or found.field() > last.last(state)
            assert found not in given
            given.add(found)
            streams.add(state, K, found, [b"f", b"v"])
        if step % 7 == 0:
            both.exchange()
    both.exchange()
    assert len(both.agree(ids)) == 600


def test_a_millisecond_that_is_full_is_left() -> None:
    state = State(Actor("a", 1))
    state.begin(5)
    put(state, (state.time_ms, MOST))
    assert streams.next_id(state, K) == (state.time_ms + 1, streams.own(state.actor))


def test_the_last_id_of_all() -> None:
    state = State(Actor("a", 1))
    put(state, (MOST, MOST))
    for call in (lambda: streams.next_id(state, K), lambda: put(state, (MOST, MOST))):
        with pytest.raises(UsageError, match="exhausted"):
            call()


def test_an_id_that_is_not_higher_changes_nothing() -> None:
    state = State(Actor("a", 1))
    put(state, (5, 1))
    before = state.dot
    for one in ((5, 1), (5, 0), (4, 9)):
        with pytest.raises(UsageError, match="equal or smaller"):
            put(state, one)
    assert (state.dot, ids(state)) == (before, [(5, 1)])


def test_ids_next_to_each_other() -> None:
    assert Id(1, MOST).following() == (2, 0)
    assert Id(2, 0).preceding() == (1, MOST)
    assert Id(MOST, MOST).following() is None
    assert Id(0, 0).preceding() is None


# -- what removed entries leave behind --------------------------------------------------------------------------------


def test_an_empty_stream_is_there_and_remembers_its_last_id() -> None:
    both = Replicas()
    put(both[0], (5, 1), (7, 0))
    both.exchange()
    assert streams.remove(both[1], K, [Id(7, 0).field(), Id(5, 1).field(), Id(9, 9).field()]) == 2
    both.exchange()
    for state in (both[0], both[1]):
        assert keyspace.exists(state, K) and streams.size(state, K) == 0
        assert entry_of(state).left(state) == Left(Id(7, 0).field(), 2, Id(7, 0).field())
        with pytest.raises(UsageError, match="equal or smaller"):
            put(state, (7, 0))
    keyspace.delete(both[0], K)
    both.exchange()
    assert not both.agree(lambda state: keyspace.exists(state, K))


def test_notes_of_several_replicas_are_taken_together() -> None:
    both = Replicas()
    put(both[0], (1, 0), (2, 0), (3, 0))
    both.exchange()
    streams.remove(both[0], K, [Id(3, 0).field()])
    streams.set_left(both[1], K, Left(Id(9, 0).field(), 1, NOTHING))
    both.exchange()
    assert both.agree(lambda state: entry_of(state).left(state)) == Left(Id(9, 0).field(), 1, Id(3, 0).field())


def test_a_copy_has_everything() -> None:
    state = State(Actor("a", 1))
    put(state, (1, 0), (2, 0), (3, 0))
    streams.remove(state, K, [Id(3, 0).field()])
    keyspace.copy(state, K, b"other")
    copied = streams.find(state, b"other")
    assert copied is not None
    assert (list(copied.ids), copied.left(state)) == (list(entry_of(state).ids), entry_of(state).left(state))


# -- readers ----------------------------------------------------------------------------------------------------------


class Reader:
    """Reads on from the last id it got, a few entries at a time."""

    def __init__(self, state: State, count: int) -> None:
        self.state, self.count = state, count
        self.last = NOTHING
        self.read: list[bytes] = []

    def turn(self) -> int:
        entry = streams.find(self.state, K)
        found = (
            []
            if entry is None
            else [f for f, _ in zip(entry.after(self.state, self.last), range(self.count), strict=False)]
        )
        self.read += found
        if found:
            self.last = found[-1]
        return len(found)


@pytest.mark.parametrize("seed", range(12))
def test_a_reader_skips_nothing_whatever_arrives_late(seed: int) -> None:
    rng, three = Random(seed), Replicas(3)
    readers = [Reader(three[2], 1), Reader(three[2], 3), Reader(three[0], 2)]
    added = 0
    for step in range(120):
        state = three[rng.randrange(3)]
        for one in three.states:
            one.begin(1_000_000 + 10 * step + rng.randrange(40))
        for _ in range(rng.randrange(3)):
            streams.add(state, K, streams.next_id(state, K), [b"n", b"%d" % added])
            added += 1
        if rng.random() < 0.3:
            three.exchange()
        rng.choice(readers).turn()
    three.exchange()
    for reader in readers:
        while reader.turn():
            pass
        everything = set(entry_of(reader.state).ids)
        assert set(reader.read) == everything and len(reader.read) == len(everything) == added


def test_a_reader_that_goes_by_ids_alone_skips_what_is_late() -> None:
    """The negative control: what Redis does, where nobody else writes."""
    both = Replicas()
    put(both[0], (5, 0))
    put(both[1], (9, 0))
    entry = entry_of(both[1])
    last = entry.ids[-1]
    both.exchange()
    assert [f for f in entry_of(both[1]).ids if f > last] == []
    assert list(entry_of(both[1]).after(both[1], last)) == [Id(5, 0).field()]


def test_an_id_that_is_gone_skips_nothing() -> None:
    both = Replicas()
    put(both[0], (5, 0))
    put(both[1], (9, 0))
    both.exchange()
    state = both[1]
    late = Id(5, 0).field()
    assert list(entry_of(state).after(state, late)) == []
    streams.remove(state, K, [late])
    put(state, (10, 0))
    assert list(entry_of(state).after(state, late)) == [Id(9, 0).field(), Id(10, 0).field()]  # 9 is repeated


def test_new_entries_of_an_empty_stream_are_read() -> None:
    state = State(Actor("a", 1))
    put(state, (1, 0), (2, 0))
    streams.remove(state, K, [Id(1, 0).field(), Id(2, 0).field()])
    newest = entry_of(state).newest(state)
    put(state, (3, 0))
    assert list(entry_of(state).after(state, newest)) == [Id(3, 0).field()]


def test_the_order_of_arrival_outlives_a_start() -> None:
    """As a checkpoint and the log above it bring a state back."""
    both = Replicas()
    put(both[0], (3, 0), (4, 0))
    put(both[1], (8, 0), (9, 0))
    both.exchange()
    state = both[1]
    before = list(entry_of(state).after(state, NOTHING))
    assert before == [Id(n, 0).field() for n in (8, 9, 3, 4)]

    again = State(state.actor)
    streams.unpack_latecomers(again, streams.pack_latecomers(state))
    for owner in state.actors.values():
        for chunk in owner.chunks:
            if groups := state.groups(chunk):
                again.load(owner.actor, chunk.dots[0] - owner.base, decode_rows(encode_rows(groups)), 1 << 40)
    again.loaded(state.vector())
    put(both[0], (9, 5))
    frame = both[0].cut()
    assert frame is not None
    for one in (state, again):
        one.apply(decode_frame(encode_frame(frame)))
    put(both[0], (9, 9))
    assert list(entry_of(again).after(again, Id(9, 0).field())) == [
        Id(3, 0).field(),
        Id(4, 0).field(),
        Id(9, 5).field(),
    ]
    assert list(entry_of(again).after(again, NOTHING)) == list(entry_of(state).after(state, NOTHING))


def test_damaged_notes_of_late_entries_are_left_out() -> None:
    state = State(Actor("a", 1))
    for junk in (b"", b"\xc1", b"\x91\x01", msgpack.packb([[b"k", [[b"f"]]]])):
        streams.unpack_latecomers(state, junk)
        assert state.latecomers == {}


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_what_no_xadd_writes_stops_no_reader() -> None:
    state = State(Actor("a", 1))
    put(state, (1, 0))
    for number, junk in enumerate((b"", b"\xc1", b"\x01", b"\x91\x01"), 2):
        entry_of(state).insert(state, Id(number, 0).field(), junk, 1 << 42 | number)
    entry = entry_of(state)
    for number, note in enumerate((b"junk", msgpack.packb([bytes(16), float("inf"), bytes(16)])), 9):
        entry.insert(state, b"", note, 1 << 42 | number)
        assert entry.left(state) == Left()
    assert [entry.words(state, field) for field in entry.ids][1:] == [[], [], [], []]
    assert entry.left(state) == Left()
    assert not StreamEntry.check(b"short", b"")


def test_many_entries_go_by_a_range() -> None:
    both = Replicas()
    put(both[0], *[(n, 0) for n in range(1, RANGE_FROM + 20)])
    both.exchange()
    put(both[1], (1000, 0))
    keyspace.delete(both[0], K)
    both.exchange()
    assert both.agree(ids) == [(1000, 0)]
    assert [check_books(state) for state in (both[0], both[1])] == [[], []]


def test_nothing_is_left_of_what_was_trimmed() -> None:
    both = Replicas()
    for n in range(1, 3000):
        put(both[n % 2], (n, 0))
        for state in (both[0], both[1]):
            if entry := streams.find(state, K):
                streams.remove(state, K, list(entry.ids[:-5]), trimmed=True)
        if n % 20 == 0:
            both.exchange()
    both.exchange()
    for state in (both[0], both[1]):
        entry = entry_of(state)
        assert state.live < 40
        assert len(entry.arrivals or ()) < 200 and len(entry.late) < 20


def test_wrong_types() -> None:
    state = State(Actor("a", 1))
    strings.put(state, K, b"text")
    for call in (
        lambda: put(state, (1, 0)),
        lambda: streams.next_id(state, K),
        lambda: streams.remove(state, K, [NOTHING]),
        lambda: streams.size(state, K),
    ):
        with pytest.raises(WrongTypeError):
            call()


def test_what_a_peer_is_told_of_entries_that_went_and_of_xsetid() -> None:
    """What removed entries leave behind is a row, and no entry: nobody hears of an `xadd`."""
    a, b = State(Actor("a", 1)), State(Actor("b", 2))
    for state in (a, b):
        state.begin(1_700_000_000_000)

    def told() -> list[str]:
        changes = b.apply(decode_frame(encode_frame(a.cut() or pytest.fail("nothing was written"))))
        return [event for _, event in changes or ()]

    for n in (1, 2, 3):
        streams.add(a, K, streams.Id(n, 1), [b"f", b"v"])
    assert told() == ["xadd"]
    streams.remove(a, K, [streams.Id(1, 1).field()])
    assert told() == ["xdel"]
    streams.remove(a, K, [streams.Id(2, 1).field()], trimmed=True)
    assert told() == ["xdel"]
    streams.set_left(a, K, streams.Left(streams.Id(9, 1).field(), 7))
    assert told() == ["xsetid"]
    streams.add(a, K, streams.Id(10, 1), [b"f", b"v"])
    streams.remove(a, K, [streams.Id(3, 1).field()], trimmed=True)
    assert told() == ["xadd", "xdel"]
    keyspace.delete(a, K)
    assert told() == ["xdel", "del"]


def test_notes_of_what_was_removed_are_no_conflict() -> None:
    both = Replicas()
    for n in (1, 2, 3):
        streams.add(both[0], K, streams.Id(n, 1), [b"f", b"v"])
    both.exchange()
    streams.remove(both[0], K, [streams.Id(1, 1).field()])
    streams.remove(both[1], K, [streams.Id(2, 1).field()])
    both.exchange()
    assert both.agree(conflicts.count) == 0


@pytest.mark.parametrize("field", [b"\xff", b"\xff" * 17, b"\xff" * 30])
def test_no_peer_s_row_has_an_id_of_another_length(field: bytes) -> None:
    """Nobody could give an id behind one that is longer. It is looked for in every row, not in the first alone."""
    payloads = [msgpack.packb([b"f", b"v"])] * 2
    group = Group(StreamEntry.CODE, K, [Id(5, 1).field(), field], payloads, [1, 2], [(2, 1 << 20)])
    with pytest.raises(PeerError):
        decode_frame(encode_frame(Frame(Actor("z", 1), 1, 2, groups=[group])))
