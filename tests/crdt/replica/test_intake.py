"""Frames out of order, and the bounds of what waits."""

from __future__ import annotations

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.replica.messages import Delta
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import counters, keyspace, sets, streams, strings, texts
from crdt.types.streams import Id
from tests.crdt.algebra import check_books
from tests.crdt.replica.desk import Desk, exchange


def deltas(count: int) -> list[Delta]:
    a = Desk("a")
    for i in range(count):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    return [m for m in a.take(Delta) if isinstance(m, Delta)]


def test_frames_of_one_actor_wait_for_those_before() -> None:
    b, (first, second, third) = Desk("b", 2), deltas(3)
    b.receive("a", third, second, inbox=False)
    assert len(b.replica.held) == 2 and sets.size(b.state, b"s") == 0
    b.receive("a", first, inbox=False)
    assert len(b.replica.held) == 0 and b.replica.held.bytes == 0 and sets.size(b.state, b"s") == 3


def test_a_frame_waits_for_what_its_author_had_seen() -> None:
    a, b, c = Desk("a"), Desk("b", 2), Desk("c", 3)
    strings.put(a.state, b"question", b"why")
    a.commit()
    (question,) = a.take(Delta)
    b.receive("a", question, inbox=False)
    strings.put(b.state, b"answer", b"because")
    b.commit()
    (answer,) = b.take(Delta)
    c.receive("b", answer, inbox=False)
    assert strings.get(c.state, b"answer") is None
    c.receive("a", question, inbox=False)
    assert strings.get(c.state, b"answer") == b"because"
    c.commit()
    assert [frame.actor.name for _, frame in c.disk.image.log] == ["a", "b"]


def test_the_log_has_entries_of_streams_in_the_order_in_which_readers_got_them() -> None:
    """A reader that had got an own entry, and not yet a peer's that came behind it, skipped that one after a start."""
    a, b = Desk("a"), Desk("b", 2)
    streams.add(a.state, b"k", Id(5, 0), [b"f", b"peer"])
    a.commit()
    streams.add(b.state, b"k", Id(3, 0), [b"f", b"own"])
    b.receive("a", *a.take(Delta), inbox=False)
    b.commit()
    again = State(b.state.actor)
    for _, frame in b.disk.image.log:
        again.replay(decode_frame(frame.data))
    for state in (b.state, again):
        entry = streams.find(state, b"k")
        assert entry is not None and list(entry.after(state, Id(3, 0).field())) == [Id(5, 0).field()]
    assert b.state.cut() is None and not b.state.streamed


def test_what_waits_is_bounded_and_forgotten_after_a_time() -> None:
    b = Desk("b", 2, Tuning(interval=0.0, held_bytes=16_000, held_time=2.0, heartbeat=1.0))
    b.receive("a", *deltas(40)[1:], inbox=False)
    assert b.replica.held.bytes <= 16_000 and b.replica.drops["held_full"] > 20
    b.wait(5)
    assert len(b.replica.held) == 0


def test_what_may_not_wait_for_its_size_once_decoded_is_applied_in_its_turn() -> None:
    tuning = Tuning(interval=0.0, held_bytes=50_000, heartbeat=1.0)
    a, b = Desk("a", 1, tuning), Desk("b", 2, tuning)
    sets.add(a.state, b"s", [b"lost"])
    a.commit()
    a.take()
    texts.insert(a.state, b"t", 0, "x" * 1000)
    a.commit()
    (delta,) = a.take(Delta)
    assert isinstance(delta, Delta) and len(delta.frames[0]) < 1200
    b.receive("a", delta, inbox=False)
    assert b.replica.drops == {"held_full": 1} and b.replica.held.bytes == 0
    exchange(a, b, 10)
    assert texts.size(b.state, b"t") == 1000 and a.state.hash == b.state.hash


def test_a_malformed_frame_stops_none_of_the_others() -> None:
    b, (first, second) = Desk("b", 2), deltas(2)
    b.receive("a", Delta([first.frames[0], b"\x93junk", second.frames[0]]), inbox=False)
    assert sets.size(b.state, b"s") == 2 and b.replica.drops == {"malformed": 1}


def test_a_clock_far_ahead_is_reported_once() -> None:
    a, b = Desk("a"), Desk("b", 2)
    for i in range(2):
        a.state.begin(10**12 + i)
        strings.put(a.state, b"k%d" % i, b"v")
        a.commit()
    b.receive("a", *a.take(Delta), inbox=False)
    assert b.alarms == ["clock"] and strings.get(b.state, b"k1") == b"v"


def test_a_frame_of_two_histories_under_one_name_waits_for_what_the_other_one_had_seen() -> None:
    """Of a machine cloned with its memory one copy has seen c, the other has not: its frames make up for the first ones
    of the former, so what those depended on is asked for nowhere.
    """
    actor = Actor("a", 1)
    one, two, c, d = State(actor), State(actor), Desk("c", 3), Desk("d", 4)
    counters.incr(c.state, b"n", 5)
    c.commit()
    (seen,) = c.take(Delta)
    assert isinstance(seen, Delta)
    strings.put(one, b"x", b"1")
    strings.put(one, b"y", b"2")
    first = one.cut()
    two.apply(decode_frame(seen.frames[0]))
    strings.put(two, b"z", b"3")
    strings.put(two, b"y", b"2")
    assert two.cut() is not None
    keyspace.delete(two, b"n")
    last = two.cut()
    assert first is not None and last is not None and last.deps == {}
    d.receive("a", Delta([encode_frame(first), encode_frame(last)]), inbox=False)
    assert d.state.applied(actor) == 2 and len(d.replica.held) == 1 and c.state.actor not in d.state.indexes
    d.receive("c", seen, inbox=False)
    assert d.state.applied(actor) == last.last and strings.get(d.state, b"n") is None and check_books(d.state) == []
