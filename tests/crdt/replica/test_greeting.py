"""HELLO: how often, and to whom, with few peers and with many."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.events import Connected, Disconnected
from crdt.replica.messages import Ack, Hello, Presence
from crdt.replica.tuning import Tuning
from crdt.types import sets
from tests.crdt.replica.desk import Desk


def hello(name: str, session: int = 1) -> Hello:
    """Of one that has nothing, and says so every 1,000 s."""
    return Hello(Actor(name, session), session, 0, 0, 0, 0, 0, 1_000_000)


def crowded(peers: int = 200, tuning: Tuning | None = None) -> Desk:
    """One that has known so many for long."""
    a = Desk("a", tuning=tuning)
    a.wait(1.0)
    for i in range(peers):
        a.receive(f"p{i}", hello(f"p{i}"), inbox=False)
    a.wait(300.0)
    for i in range(peers):
        a.receive(f"p{i}", hello(f"p{i}"), inbox=False)
    a.take()
    return a


def said(a: Desk, lane: Lane) -> int:
    """How many HELLOs went there since the last call."""
    sent, a.sent = a.sent, []
    return sum(isinstance(message, Hello) and at is lane for at, _, message in sent)


def test_the_period_grows_with_the_peers() -> None:
    few, many = Desk("a"), crowded(200)
    few.wait(60.0)
    said(few, Lane.HELLO)
    few.wait(140.0)
    many.wait(140.0)
    assert 24 <= said(few, Lane.HELLO) <= 32
    assert 2 <= said(many, Lane.HELLO) <= 4


def test_a_long_interval_does_not_hold_back_the_first_word() -> None:
    """How often operations are published says nothing about how soon peers must know that one is there."""
    a = Desk("a", tuning=Tuning(interval=3600.0))
    a.wait(11.0)
    assert said(a, Lane.HELLO) >= 1


def test_several_daemons_of_one_name_are_met_once_each() -> None:
    a = Desk("a")
    a.wait(100.0)
    said(a, Lane.HELLO)
    for turn in range(100):
        a.receive("b", hello("b", 1 + turn % 20), inbox=False)
        a.wait(1.0)
    assert said(a, Lane.HELLO) <= 20 + 100 / a.replica.hello_period + 5


def test_names_that_are_never_heard_again_slow_nobody_down() -> None:
    a = crowded(200)
    a.wait(4000.0)
    said(a, Lane.HELLO)
    a.wait(500.0)
    assert 85 <= said(a, Lane.HELLO) <= 115


def test_those_that_are_heard_again_count_again() -> None:
    a = crowded(200)
    a.wait(4000.0)
    assert a.replica.crowd == 1.0
    for i in range(100):
        a.receive(f"p{i}", hello(f"p{i}"), inbox=False)
    assert a.replica.crowd == 5.0
    a.run(a.replica.sync(a.now))
    assert a.replica.crowd == 5.0


def test_few_hear_of_a_newcomer_from_everybody() -> None:
    a = Desk("a")
    a.receive("b", hello("b"), inbox=False)
    a.wait(a.replica.patience)
    assert said(a, Lane.HELLO) >= 1


def test_in_a_crowd_only_the_newcomer_hears_it() -> None:
    a = crowded()
    a.receive("new", hello("new"), inbox=False)
    a.wait(a.replica.patience * a.replica.crowd)
    sent = [(lane, to) for lane, to, message in a.sent if isinstance(message, Hello) and lane is Lane.INBOX]
    assert sent == [(Lane.INBOX, "new")]


def test_one_that_was_here_when_it_was_said_hears_it_only_once() -> None:
    a = crowded()
    a.receive("new", Presence(7, True), inbox=False)
    a.run(a.replica.sync(a.now))
    a.take()
    a.receive("new", hello("new", 7), inbox=False)
    a.wait(a.replica.patience * a.replica.crowd)
    assert said(a, Lane.INBOX) == 0


def test_many_newcomers_hear_it_together() -> None:
    a = crowded()
    for i in range(50):
        a.receive(f"new{i}", hello(f"new{i}"), inbox=False)
    a.wait(a.replica.patience * a.replica.crowd)
    assert a.sent and said(a, Lane.INBOX) == 0


def test_many_that_come_one_after_the_other_are_told_together_not_each_few() -> None:
    """As after the restart of a broker: each says HELLO, and has a session that nobody knows."""
    a = crowded(400, Tuning())
    for i in range(400):
        a.receive(f"p{i}", hello(f"p{i}", 2), inbox=False)
        a.wait(0.01)
    a.wait(10.0)
    assert 1 <= said(a, Lane.HELLO) <= 3


def test_after_a_connection_the_crowd_spreads() -> None:
    a, times = crowded(), []
    for _ in range(50):
        a.run(a.replica.handle(Disconnected(), a.now))
        a.run(a.replica.handle(Connected(), a.now))
        times.append(a.replica.greeting.deadline - a.now)
    limit = 0.05 * a.replica.crowd
    assert max(times) <= limit and max(times) > 0.8 * limit and min(times) < 0.2 * limit


def test_in_a_crowd_only_those_are_asked_who_shall_answer() -> None:
    a = crowded()
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    a.take()
    a.run(a.replica.ask(1, a.now))
    asked = {to for lane, to, message in a.sent if isinstance(message, Hello)}
    assert len(asked) == 16 and None not in asked
    name = sorted(asked, key=str)[0]
    assert name is not None
    a.receive(name, Ack(a.state.actor, 1, 1))
    assert a.replica.acked(1, a.now) == 1
