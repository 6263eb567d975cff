"""Who removes the rows of expired keys, and when."""

from __future__ import annotations

import pytest

from crdt.dots import Actor
from crdt.replica import reaper
from crdt.replica.events import Tick
from crdt.replica.messages import Hello
from crdt.replica.tuning import Tuning
from crdt.types import expiry, sets
from tests.crdt.replica.desk import Desk, exchange

K = b"k"
START = 1000  # ms, where a Desk's clock stands
TUNING = Tuning(interval=0.0, heartbeat=5.0, grace=60.0)


def at(desk: Desk, seconds: float) -> None:
    """The desk's clocks have come to this moment, with a tick at every deadline on the way."""
    while desk.replica.deadline <= seconds:
        desk.now = max(desk.now, desk.replica.deadline)
        desk.state.begin(START + round(desk.now * 1000))
        desk.run(desk.replica.handle(Tick(), desk.now))
    desk.now = seconds
    desk.state.begin(START + round(seconds * 1000))
    desk.commit()


def mortal(desk: Desk, key: bytes = K, seconds: int = 10) -> None:
    sets.add(desk.state, key, [b"x"])
    expiry.expire(desk.state, key, desk.state.time_ms + 1000 * seconds)


def pair() -> tuple[Desk, Desk]:
    """Two that have what `a` wrote, and then hear no more of each other."""
    a, b = Desk("a", 1, TUNING), Desk("b", 2, TUNING)
    mortal(a)
    exchange(a, b, 1.0)
    assert a.state.hash == b.state.hash
    for desk in (a, b):
        desk.state.begin(START + 1000)
    return a, b


def test_a_tick_is_asked_for_when_a_key_expires() -> None:
    a = Desk("a", 1, TUNING, connect=False)
    assert a.replica.deadline == float("inf")
    mortal(a)
    a.commit()
    assert a.replica.deadline == pytest.approx(10.0, abs=0.01)


def test_the_author_removes_the_values_after_the_grace_and_the_row_after_another() -> None:
    a = Desk("a", 1, TUNING, connect=False)
    mortal(a)
    at(a, 69)
    assert K not in a.state.keys
    assert a.state.live == 2
    at(a, 71)
    assert a.state.live == 1
    at(a, 129)
    assert a.state.live == 1
    at(a, 131)
    assert a.state.live == 0
    assert not a.state.lifetimes and not a.state.expired


def test_others_leave_it_to_the_author_for_twice_the_grace_and_more() -> None:
    _, b = pair()
    at(b, 129)
    assert b.state.live == 2
    at(b, 10 + 3 * 60 + 1)
    assert b.state.live == 1
    at(b, 10 + 4 * 60 + 1)
    assert b.state.live == 0


def test_one_of_many_removes() -> None:
    a, b = pair()
    at(a, 71)
    frame = a.disk.missing(b.state.vector(), 1 << 20)[0][-1]
    b.replica.intake.offer("a", frame, b.now, first_hand=True)
    at(b, 300)
    assert b.state.seq == 1  # it removed the expire row alone, because it did not hear of its end


def test_an_extension_within_the_grace_keeps_everything() -> None:
    a, b = pair()
    expiry.expire(b.state, K, START + 1_000_000)
    b.commit()
    at(a, 60)
    assert K not in a.state.keys
    exchange(a, b, 1.0)
    assert K in a.state.keys
    at(a, 500)
    assert a.state.live == 2


def tell(a: Desk, b: Desk, wall_ms: int, period_ms: int) -> None:
    """Two peers say what time it is, and when they will speak again."""
    for name in ("b", "c"):
        told = Hello(Actor(name, 2), b.replica.session + ord(name), 0, 0, 0, 0, wall_ms, period_ms, 0, ())
        a.receive(name, told, inbox=False)


def test_who_is_off_removes_nothing_and_reads_the_clocks_of_the_others() -> None:
    a, b = pair()
    later = START + 3_600_000
    tell(a, b, later, 3_600_000)
    assert a.replica.reaper.off
    a.state.begin(START + 2000)
    assert K not in a.state.keys
    assert a.state.time_ms == pytest.approx(later, abs=5000)
    at(a, 300)
    assert a.state.live == 2


def test_a_clock_that_jumps_removes_nothing_before_peers_were_heard() -> None:
    a, b = pair()
    a.now = a.now + 3600.0
    for i in range(200):
        mortal(a, b"k%d" % i, 1800)
    a.commit()
    lives = a.state.live
    for _ in range(100):
        a.now += 0.1
        a.state.begin(START + round(a.now * 1000) + 86_400_000)
        a.run(a.replica.handle(Tick(), a.now))
    tell(a, b, START + round(a.now * 1000), 3_600_000)
    a.commit()
    assert a.replica.reaper.off and a.state.live == lives


def test_who_is_left_alone_trusts_its_own_clock_again() -> None:
    a, b = pair()
    later = START + 3_600_000
    tell(a, b, later, 5000)
    assert a.replica.reaper.off
    a.wait(60.0)
    assert not a.replica.reaper.off and a.state.offset_ms == 0


def test_in_a_crowd_the_clocks_of_all_are_looked_at_now_and_then() -> None:
    """Not at each HELLO: with a thousand peers that look would cost more than everything else."""
    a, later = Desk("a", 1, TUNING), START + 3_600_000
    for i in range(60):
        name = f"p{i:02}"
        a.receive(name, Hello(Actor(name, 2), 77 + i, 0, 0, 0, 0, START, 3_600_000, 0, ()), inbox=False)
    for i in range(60):
        name = f"p{i:02}"
        a.receive(name, Hello(Actor(name, 2), 77 + i, 0, 0, 0, 0, later, 3_600_000, 0, ()), inbox=False)
    assert a.replica.crowd > 1.0 and not a.replica.reaper.off
    a.now += 2 * reaper.HEED * a.replica.crowd
    a.receive("p00", Hello(Actor("p00", 2), 77, 0, 0, 0, 0, later, 3_600_000, 0, ()), inbox=False)
    assert a.replica.reaper.off


def test_two_that_disagree_meet_in_the_middle() -> None:
    a = Desk("a", 1, TUNING)
    a.receive("b", Hello(Actor("b", 2), 77, 0, 0, 0, 0, START + 3_600_000, 5000, 0, ()), inbox=False)
    assert a.state.offset_ms == 1_800_000
    a.receive("b", Hello(Actor("b", 2), 77, 0, 0, 0, 0, START + 50_000, 5000, 0, ()), inbox=False)
    assert a.state.offset_ms == 0 and not a.replica.reaper.off


def test_many_are_removed_in_portions() -> None:
    a = Desk("a", 1, TUNING, connect=False)
    for i in range(3 * reaper.KEYS):
        mortal(a, b"k%d" % i)
    at(a, 69)
    assert a.state.live == 6 * reaper.KEYS
    a.now = 71.0
    a.state.begin(START + 71_000)
    a.run(a.replica.handle(Tick(), a.now))
    assert a.state.live == 5 * reaper.KEYS
    assert a.replica.deadline == pytest.approx(71.0 + reaper.PAUSE)
    at(a, 72)
    assert a.state.live == 3 * reaper.KEYS


def test_the_grace_is_at_least_three_heartbeats() -> None:
    a = Desk("a", 1, Tuning(interval=0.0, heartbeat=100.0, grace=60.0), connect=False)
    mortal(a)
    at(a, 309)
    assert a.state.live == 2
    at(a, 311)
    assert a.state.live == 1


def test_who_was_away_removes_what_is_overdue_but_not_with_all_others_at_once() -> None:
    times = set()
    for nonce in range(5):
        _, b = pair()
        b.replica.rng.seed(nonce)
        b.state.begin(START + 86_400_000)
        b.now = 86_400.0
        b.run(b.replica.handle(Tick(), b.now))
        assert b.state.live == 2
        times.add(round(b.replica.reaper.deadline))
        at(b, 86_461)
        assert b.state.live == 0
    assert len(times) > 2
