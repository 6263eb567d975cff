"""Who is here: presence and wills, of one space and of all; and two under one name."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica import attendance
from crdt.replica.events import Tick
from crdt.replica.messages import Hello, Presence, Probe, Taken
from tests.crdt.replica.desk import Desk


def state_of(a: Desk, name: str) -> str | None:
    """As it is shown; None: not known."""
    peer = a.replica.peers.by_name.get(name)
    return None if peer is None else peer.state(a.now)


def test_a_daemon_that_is_gone_is_gone_from_every_space_it_was_in() -> None:
    a = Desk("a")
    a.receive("b", Presence(7, True, everywhere=True), inbox=False)
    assert state_of(a, "b") is None, "it did not say that it is in this space"
    a.receive("b", Presence(7, True), inbox=False)
    assert state_of(a, "b") == "online"
    a.receive("b", Presence(6, False, everywhere=True), inbox=False)
    assert state_of(a, "b") == "online", "a late will of the session before"
    a.receive("b", Presence(7, False, everywhere=True), inbox=False)
    assert state_of(a, "b") == "offline"
    a.receive("b", Presence(7, True, everywhere=True), inbox=False)
    assert state_of(a, "b") == "online", "it is back"


def test_what_the_broker_kept_of_one_that_is_gone_is_not_believed() -> None:
    a = Desk("a")
    a.receive("b", Presence(7, False, everywhere=True), Presence(7, True), inbox=False)
    assert state_of(a, "b") is None
    a.receive("b", Presence(8, True), inbox=False)
    assert state_of(a, "b") == "online"


def test_a_will_before_the_first_hello_is_of_its_session_only() -> None:
    a = Desk("a")
    a.receive("b", Presence(8, True), Presence(7, False), inbox=False)
    assert state_of(a, "b") == "online"
    a.receive("b", Presence(8, False), inbox=False)
    assert state_of(a, "b") == "offline"


def test_the_first_under_a_name_stays_the_second_goes() -> None:
    first, second = Desk("a"), Desk("a", 2, connect=False)
    first.replica.acknowledged = True
    first.receive("a", Probe(second.replica.session))
    (taken,) = first.take(Taken)
    second.receive("a", taken)
    assert first.alarms == ["name_shared"] and second.alarms == ["name_taken"]
    second.replica.acknowledged = True
    second.receive("a", taken)
    assert second.alarms == ["name_taken", "name_shared"]


def test_one_that_is_started_again_and_again_under_our_name_is_reported_once_a_minute() -> None:
    a = Desk("a")
    for start in range(120):
        a.receive("a", Probe(1000 + start))
        a.wait(1.0)
    assert a.alarms == ["name_shared"] * 2 and len(a.take(Taken)) == 120, "each of them is told"


def test_a_flood_of_probes_is_answered_now_and_then() -> None:
    a = Desk("a")
    for number in range(1000):
        a.receive("a", Probe(number + 1))
        a.wait(0.001)
    assert 5 <= len(a.take(Taken)) <= 11 * attendance.ANSWERS and a.alarms == ["name_shared"]


def test_who_repeats_its_probe_is_answered_now_and_then() -> None:
    a = Desk("a")
    for _ in range(1000):
        a.receive("a", Probe(7))
        a.wait(0.001)
    assert 5 <= len(a.take(Taken)) <= 11


def test_a_namesake_that_probes_once_is_answered_among_a_hundred_false_ones_a_second() -> None:
    a = Desk("a")
    for number in range(1000):
        a.receive("a", Probe(10_000 + number))
        if number % 100 == 5:
            a.receive("a", Probe(number + 1))
        a.wait(0.01)
    answered = [message.probed for message in a.take(Taken) if isinstance(message, Taken)]
    assert [session for session in answered if session < 10_000] == list(range(6, 1000, 100))


def test_a_late_will_of_the_session_before_is_answered() -> None:
    a = Desk("a")
    a.receive("a", Presence(1, False), inbox=False)
    assert a.take() == [Presence(a.replica.session, True)]
    assert a.replica.handle(Tick(), a.now) is not None


def test_a_goodbye_right_after_a_restart_is_believed() -> None:
    a = Desk("a")
    a.receive("b", Hello(Actor("b", 2), 7, 0, 0, 0, 0, 0, 1000), Presence(8, True), Presence(7, False), inbox=False)
    assert state_of(a, "b") == "online"
    a.receive("b", Presence(8, False), inbox=False)
    assert state_of(a, "b") == "offline"
