"""WAIT's questions, and honest answers."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica.acks import OWED
from crdt.replica.messages import Ack, Delta, Hello, Presence
from crdt.replica.tuning import Tuning
from crdt.types import strings
from tests.crdt.replica.desk import Desk, exchange


def asked_by(a: Desk, b: Desk) -> Hello:
    exchange(a, b, 0.3)
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.run(a.replica.ask(1, a.now))
    hello = a.take()[-1]
    assert isinstance(hello, Hello) and hello.ask == 1 and hello.asked == ("b",)
    return hello


def test_ack_when_applied_and_stored() -> None:
    a, b = Desk("a"), Desk("b", 2)
    hello = asked_by(a, b)
    b.stores = False
    b.receive("a", hello, inbox=False)
    assert b.take(Ack) == []
    frames, _ = a.disk.missing({}, 1000)
    b.replica.intake.offer("a", frames[0], b.now, first_hand=True)
    b.replica.acks.answer()
    b.commit()
    assert b.take(Ack) == []
    b.store()
    (ack,) = b.take(Ack)
    a.receive("b", ack)
    assert a.replica.acked(1, a.now) == 1 and a.replica.acked(2, a.now) == 0


def test_ack_at_once_where_stored_is_not_promised() -> None:
    a, b = Desk("a"), Desk("b", 2, Tuning(interval=0.0, durable=False))
    hello = asked_by(a, b)
    b.stores = False
    frames, _ = a.disk.missing({}, 1000)
    b.replica.intake.offer("a", frames[0], b.now, first_hand=True)
    b.receive("a", hello, inbox=False)
    assert len(b.take(Ack)) == 1


def test_asking_waits_for_the_commit_and_ends_with_the_last_answer() -> None:
    a, b = Desk("a"), Desk("b", 2)
    exchange(a, b, 0.3)
    strings.put(a.state, b"k", b"v")
    a.run(a.replica.ask(1, a.now))
    assert a.take() == []
    a.commit()
    assert any(isinstance(m, Hello) and m.asked for m in a.take())
    a.receive("b", Ack(a.state.actor, 1, 1))
    a.wait(1)
    assert not any(isinstance(m, Hello) and m.asked for m in a.take())


def test_a_peer_cannot_acknowledge_what_was_never_sent() -> None:
    a, b = Desk("a"), Desk("b", 2)
    asked_by(a, b)
    a.receive("b", Ack(a.state.actor, 1 << 40, 1))
    assert a.replica.acked(2, a.now) == 0


def test_who_has_it_and_has_gone_does_not_stand_for_one_that_is_here() -> None:
    a, b = Desk("a"), Desk("b", 2)
    asked_by(a, b)
    a.receive("b", Ack(a.state.actor, 1, 1))
    assert a.replica.acked(1, a.now) == 1
    a.receive("b", Presence(b.replica.session, False), inbox=False)
    a.receive("c", Presence(7, True), inbox=False)
    assert len(a.replica.peers.online(a.now)) == 1 and a.replica.acked(1, a.now) == 0


def test_who_asks_for_what_never_comes_keeps_nobody_from_an_answer() -> None:
    a, b = Desk("a"), Desk("b", 2)
    b.replica.peers.limit = OWED
    for i in range(2 * OWED):
        never = Hello(Actor(f"x{i}", 1), 1, 0, 5, 1, 1, 1, 1000, 1 << 40, ("b",))
        b.receive(f"x{i}", never, inbox=False)
    hello = asked_by(a, b)
    b.take()
    b.receive("a", hello, Delta(a.disk.missing({}, 1000)[0]), inbox=False)
    b.commit()
    assert len(b.take(Ack)) == 1 and len(b.replica.acks._owed) <= OWED


def test_one_that_never_answers_is_asked_less_and_less_often() -> None:
    """Whoever waited has given up long ago; four HELLOs a second would go on for as long as that peer is there."""
    a = Desk("a")
    b = Hello(Actor("b", 2), 9, 0, 0, 0, 0, 1000, 5000)
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.receive("b", b, inbox=False)
    a.run(a.replica.ask(1, a.now))
    said = []
    for _ in range(60):
        a.wait(1.0)
        a.receive("b", b, inbox=False)
        said.append(len([m for m in a.take(Hello) if isinstance(m, Hello) and m.asked]))
    assert sum(said[:2]) >= 3 and sum(said[30:]) <= 20, said
    strings.put(a.state, b"k", b"w")
    a.commit()
    a.run(a.replica.ask(2, a.now))
    a.wait(1.0)
    assert len(a.take(Hello)) >= 2, "a new question is asked as the first was"
