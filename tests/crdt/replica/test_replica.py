"""The engine's door: what follows what, and what nobody may make it do."""

from __future__ import annotations

from random import Random

import pytest

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.replica import messages
from crdt.replica.effects import Lane, Notify, Persist, Send, Witness
from crdt.replica.events import Connected, Disconnected, Received, Tick
from crdt.replica.messages import Delta, Hello, Presence
from crdt.replica.replica import HASH_PAUSE, NOW
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import counters, sets, strings
from tests.crdt.replica.desk import Desk, exchange


def test_nothing_leaves_before_it_is_stored() -> None:
    a = Desk("a")
    a.stores = False
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.run(a.replica.sync(a.now))
    assert [type(m) for m in a.take()] == [Hello] and a.replica.view.seq == 0
    a.store()
    assert [type(m) for m in a.take()] == [Delta] and a.replica.view.seq == 1


def test_the_witness_comes_before_the_send_it_covers() -> None:
    a = Desk("a")
    strings.put(a.state, b"k", b"v")
    a.commit()
    kinds = [type(order) for order in a.orders if not isinstance(order, Send) or order.lane is Lane.DELTA]
    assert kinds == [Persist, Witness, Send]


def test_one_message_an_interval_with_merged_frames() -> None:
    a = Desk("a", tuning=Tuning(interval=0.2))
    for i in range(5):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    assert a.take(Delta) == []
    a.wait(0.2)
    (delta,) = a.take(Delta)
    assert isinstance(delta, Delta) and len(delta.frames) == 1


def test_what_is_more_than_a_message_leaves_in_steps() -> None:
    """Each is a Tick of its own: clients are served between them."""
    a, b = Desk("a", tuning=Tuning(interval=0.2, max_message=2_000)), Desk("b", 2)
    for i in range(20):
        for k in range(50):
            strings.put(a.state, b"%d-%d" % (k, i), b"a value of 20 bytes.")
        a.commit()
    a.now = a.replica.deadline
    steps = 0
    while a.replica.deadline <= a.now:
        a.run(a.replica.handle(Tick(), a.now))
        deltas = a.take(Delta)
        steps += 1
        assert len(deltas) <= 1
        for delta in deltas:
            b.receive("a", delta, inbox=False)
    assert steps > 5 and b.state.hash == a.state.hash
    for i in range(20):
        strings.put(a.state, b"again-%d" % i, b"%0500d" % i)
        a.commit()
    a.run(a.replica.sync(a.now))
    assert len(a.take(Delta)) > 5, "whoever asks for all of it gets it at once"


def test_what_is_stored_while_others_leave_waits_for_the_next_interval() -> None:
    a = Desk("a", tuning=Tuning(interval=0.2, max_message=2_000))
    for i in range(10):
        sets.add(a.state, b"s", [b"%d-%0100d" % (i, n) for n in range(15)])
        a.commit()
    a.now = began = a.replica.deadline
    a.run(a.replica.handle(Tick(), a.now))
    sets.add(a.state, b"s", [b"later"])
    a.commit()
    steps = 1
    while a.replica.deadline <= a.now:
        a.run(a.replica.handle(Tick(), a.now))
        steps += 1
    seen = [data for delta in a.take(Delta) for data in delta.frames]
    assert steps > 5 and not any(b"later" in data for data in seen)
    a.wait(0.2)
    (delta,) = a.take(Delta)
    assert b"later" in delta.frames[0] and a.now <= began + 0.2 + 1e-9


def test_a_connection_lost_between_two_messages() -> None:
    """What left before may be lost as well: the log has it, and whoever lacks it asks."""
    a, b = Desk("a", tuning=Tuning(interval=0.2, max_message=2_000)), Desk("b", 2)
    for i in range(10):
        sets.add(a.state, b"s", [b"%d-%0100d" % (i, n) for n in range(15)])
        a.commit()
    a.now = a.replica.deadline
    a.run(a.replica.handle(Tick(), a.now))
    a.run(a.replica.handle(Disconnected(7), a.now))
    sets.add(a.state, b"s", [b"offline"])
    a.commit()
    assert a.replica.deadline > a.now
    a.take(Delta)
    a.run(a.replica.handle(Connected(), a.now))
    exchange(a, b)
    assert b.state.hash == a.state.hash


def test_large_frames_are_put_together_only_if_that_saves_much() -> None:
    """A merge costs what a cut does; beside thousands of rows a header is nothing."""
    for fresh, expected in ((True, 3), (False, 1)):
        a = Desk("a", tuning=Tuning(interval=0.2))
        for i in range(3):
            for k in range(300):
                strings.put(a.state, b"%d-%d" % (k, i * fresh), b"a value of 20 bytes.")
            a.commit()
        a.wait(0.2)
        (delta,) = a.take(Delta)
        assert isinstance(delta, Delta) and len(delta.frames) == expected


def test_what_a_peer_changed_is_told_once() -> None:
    a, b = Desk("a"), Desk("b", 2)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    (delta,) = a.take(Delta)
    b.receive("a", delta, delta, inbox=False)
    assert b.changes == [(b"s", "sadd")]
    assert sum(isinstance(order, Notify) for order in b.orders) == 1
    assert b.replica.counts["duplicates"] == 1


def test_two_engines_become_equal_and_say_so() -> None:
    a, b = Desk("a"), Desk("b", 2)
    counters.incr(a.state, b"n", 2)
    counters.incr(b.state, b"n", 3)
    exchange(a, b)
    assert strings.get(a.state, b"n") == strings.get(b.state, b"n") == b"5"
    assert a.replica.converged(a.now) and b.replica.converged(b.now)
    assert a.state.hash == b.state.hash


def test_nothing_is_sent_or_due_without_a_connection() -> None:
    a = Desk("a", connect=False)
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.run(a.replica.ask(1, a.now))
    assert a.take() == [] and a.replica.deadline == float("inf")
    b = Desk("b", 2)
    b.receive("a", Hello(Actor("a", 1), 5, 7, 1, 7, 1, 0, 1000), inbox=False)
    b.run(b.replica.handle(Disconnected(), b.now))
    assert b.replica.deadline == float("inf")


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_dropped_and_counted(seed: int) -> None:
    a, rng = Desk("a"), Random(seed)
    strings.put(a.state, b"k", b"v")
    a.commit()
    good = [messages.encode(m) for m in a.take()] + [a.replica.presence(True)]
    before = (a.state.hash, a.state.vector())
    for _ in range(200):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        a.run(a.replica.handle(Received("x", rng.random() < 0.5, bytes(data[: rng.randint(0, len(data))])), a.now))
    assert (a.state.hash, a.state.vector()) == before
    assert sum(a.replica.drops.values()) > 50


def test_a_frame_under_another_name_is_refused() -> None:
    a, c = Desk("a"), Desk("c", 3)
    strings.put(a.state, b"k", b"v")
    a.commit()
    (delta,) = a.take(Delta)
    c.receive("b", delta, inbox=False)
    assert c.replica.drops == {"forged": 1} and strings.get(c.state, b"k") is None


def test_unknown_actors_are_limited_first_hand_only() -> None:
    a = Desk("a", tuning=Tuning(interval=0.0, actors=3))
    for i in range(10):
        other = State(Actor("b", i))
        other.begin(1000)
        strings.put(other, b"k%d" % i, b"v")
        frame = other.cut()
        assert frame is not None
        a.receive("b", Delta([encode_frame(frame)]), inbox=False)
    assert a.replica.drops == {"actors": 8} and len(a.state.vector()) == 2


def test_a_peer_with_our_vector_and_other_rows_is_reported_once() -> None:
    a = Desk("a")
    view = a.replica.view
    hello = Hello(Actor("b", 2), 9, 0, view.vector_hash, view.vector_sum, view.state_hash + 1, 0, 1000)
    a.receive("b", hello, hello, inbox=False)
    assert a.alarms == ["divergence"] and a.replica.counts["divergences"] == 1 and not a.replica.converged(a.now)


def test_two_that_share_a_name_for_good_converge_all_the_same() -> None:
    first, second = Desk("a"), Desk("a", 2)
    first.replica.acknowledged = second.replica.acknowledged = True
    sets.add(first.state, b"s", [b"x"])
    sets.add(second.state, b"s", [b"y"])
    first.commit()
    second.commit()
    first.take(), second.take()
    exchange(first, second, 15)
    assert first.state.hash == second.state.hash and sets.size(first.state, b"s") == 2


def test_farewell_publishes_first() -> None:
    a = Desk("a", tuning=Tuning(interval=10.0))
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.run(a.replica.farewell())
    assert [type(m) for m in a.take()] == [Delta, Presence]


def test_held_frames_that_waited_too_long_are_counted() -> None:
    a, b = Desk("a"), Desk("b", 2, tuning=Tuning(interval=0.0, held_time=1.0))
    for i in range(2):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    b.receive("a", a.take(Delta)[1], inbox=False)
    b.run(b.replica.handle(Disconnected(), b.now))
    b.run(b.replica.handle(Connected(), b.now + 5.0))
    b.now += 5.0
    b.wait(30.0)
    assert b.replica.drops == {"held_time": 1} and len(b.replica.held) == 0


def test_frames_that_one_sends_are_those_the_other_gets() -> None:
    a, b = Desk("a", tuning=Tuning(interval=0.1)), Desk("b", 2, Tuning(interval=0.1))
    for i in range(20):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
        if i == 10:
            a.take()  # lost: they come again as repair
        if i % 7 == 0:
            sets.add(b.state, b"t", [b"%d" % i])
            b.commit()
            exchange(a, b, 0.2)
    a.take()
    lost = a.replica.counts["frames_out"] - b.replica.counts["frames_in"]
    exchange(a, b)
    assert a.replica.counts["frames_out"] - b.replica.counts["frames_in"] == lost
    assert b.replica.counts["frames_out"] == a.replica.counts["frames_in"] > 0
    assert sets.size(b.state, b"s") == 20


# -- the hash of the state --------------------------------------------------------------------------------------------


def _hellos(desk: Desk) -> list[int | None]:
    return [hello.state_hash for hello in desk.take() if isinstance(hello, Hello)]


def _alone() -> Desk:
    """Nobody hears it. It has stored thirty rows, of which commits hash none, and a Tick ten."""
    desk = Desk("a", connect=False)
    desk.replica.hashed, desk.replica.hash_slice = 0, 10
    sets.add(desk.state, b"s", [b"%d" % i for i in range(30)])
    desk.commit()
    return desk


def test_a_hello_tells_the_hash_unless_more_was_written_than_commits_may_hash() -> None:
    desk = Desk("a")
    desk.replica.hashed = desk.replica.hash_slice = 10
    desk.run(desk.replica.sync(desk.now))
    sets.add(desk.state, b"s", [b"%d" % i for i in range(10)])
    desk.commit()
    known = desk.state.hash
    desk.take(Hello)
    desk.run(desk.replica.sync(desk.now))
    assert _hellos(desk) == [known]
    sets.add(desk.state, b"s", [b"%d" % i for i in range(100, 140)])
    desk.commit()
    assert desk.replica.view.state_hash is None and desk.state.backlog == 40
    desk.run(desk.replica.sync(desk.now))
    assert _hellos(desk) == [None]
    for left in (30, 20, 10, 0):
        assert desk.replica.deadline == NOW
        desk.run(desk.replica.handle(Tick(), desk.now))
        assert desk.state.backlog == left
    assert desk.replica.deadline > desk.now
    desk.run(desk.replica.sync(desk.now))
    assert _hellos(desk) == [desk.state.hash]


def test_a_hash_is_caught_up_with_while_there_is_writing() -> None:
    """A slice more at each Tick, whatever is pending meanwhile; the next commit knows the rest."""
    desk = Desk("a")
    desk.replica.hashed = desk.replica.hash_slice = 10
    sets.add(desk.state, b"s", [b"%d" % i for i in range(100)])
    desk.commit()
    assert desk.replica.view.state_hash is None
    while desk.state.backlog:
        sets.add(desk.state, b"s", [b"x"])
        desk.run(desk.replica.handle(Tick(), desk.now))
    assert desk.replica.view.state_hash is None, "that is where it stood before"
    desk.now += 1
    desk.commit()
    assert desk.replica.view.state_hash == desk.state.hash


def test_a_round_of_hashing_ends_though_more_is_written_than_it_hashes() -> None:
    """The daemon does not stay awake for it: the next round is some seconds later."""
    desk = _alone()
    for i in range(3):
        assert desk.replica.deadline == NOW
        desk.run(desk.replica.handle(Tick(), desk.now))
        sets.add(desk.state, b"t", [b"%d" % j for j in range(100 * i, 100 * i + 100)])
        desk.commit()
    assert desk.state.backlog == 300
    assert desk.replica.deadline > desk.now
    desk.now += HASH_PAUSE
    assert desk.replica.deadline <= desk.now
    for _ in range(30):
        desk.run(desk.replica.handle(Tick(), desk.now))
    assert desk.replica.view.state_hash == desk.state.hash and desk.state.backlog == 0


def test_commits_may_hash_so_much_a_second_however_rare_hellos_are() -> None:
    desk = Desk("a")
    desk.replica.hashed = desk.replica.hash_slice = 100
    for i in range(50):
        desk.now += 1
        sets.add(desk.state, b"s", [b"%d" % j for j in range(90 * i, 90 * i + 90)])
        desk.commit()
        assert desk.replica.view.state_hash == desk.state.hash


def test_a_replica_that_nobody_hears_knows_its_hash_as_well() -> None:
    desk = _alone()
    for _ in range(3):
        assert desk.replica.deadline == NOW
        desk.run(desk.replica.handle(Tick(), desk.now))
    assert desk.replica.view.state_hash == desk.state.hash


def test_a_hash_that_was_put_right_is_not_told_as_it_was_by_a_commit_under_way() -> None:
    desk = Desk("a")
    sets.add(desk.state, b"s", [b"x"])
    desk.replica.flush()
    under_way = desk.replica.out.take()
    desk.state.add_hash(desk.state.me, 5)  # as healing does
    desk.replica.restate()
    desk.run(under_way)
    assert desk.replica.stored == desk.replica.batch and desk.replica.view.state_hash is None
    desk.run(desk.replica.handle(Tick(), desk.now))
    assert desk.replica.view.state_hash == desk.state.hash


def test_a_hash_that_cannot_be_taken_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a defect, and told as one; HELLOs leave all the same, and the daemon does not try all the time."""
    desk = Desk("a")
    desk.replica.hashed = 0
    sets.add(desk.state, b"s", [b"x"])
    desk.commit()
    monkeypatch.setattr(State, "hash_some", lambda state, rows: 1 // 0)
    told, failed = 0, 0
    desk.take(Hello)
    for _ in range(60):
        desk.now += 0.5
        for _ in range(3):
            if desk.replica.deadline > desk.now:
                continue
            try:
                desk.run(desk.replica.handle(Tick(), desk.now))
            except ZeroDivisionError:
                failed += 1
            told += len(_hellos(desk))
    assert told >= 5 and 4 <= failed <= 7


def test_a_row_that_its_entry_lost_stops_no_commit() -> None:
    """A defect's work: it is healed where peers compare, and whatever is written meanwhile is stored."""
    desk = Desk("a")
    desk.replica.hashed = 0
    sets.add(desk.state, b"s", [b"x", b"y"])
    desk.commit()
    del desk.state.keys[b"s"].dots[b"x"]  # type: ignore[attr-defined]
    desk.replica.hashed = 100
    for i in range(3):
        desk.now += 1
        sets.add(desk.state, b"s", [b"%d" % i])
        desk.commit()
        assert desk.replica.stored == desk.replica.batch and desk.state.backlog == 0
    assert desk.replica.view.state_hash == desk.state.hash


def test_an_unknown_hash_is_no_other_hash() -> None:
    a, b = Desk("a"), Desk("b", 2)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    b.receive("a", *[message for _, _, message in a.sent if isinstance(message, Delta)])
    b.commit()
    view = b.replica.view
    assert view.vector_sum == 1
    alarms: list[str] = []
    for known in (None, view.state_hash, 5):
        b.receive("a", Hello(a.state.actor, 1, 1, view.vector_hash, view.vector_sum, known, 1000, 5000))
        alarms += ["divergence"] if known == 5 else []
        assert b.alarms == alarms
