"""Going on as a new actor, and what those before it have written."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica.effects import Persist, Witness
from crdt.replica.events import Connected, Disconnected
from crdt.replica.messages import Ack, Delta, Hello, Pull
from crdt.types import counters, sets, strings
from tests.crdt.replica.desk import Desk, exchange


def test_who_knows_more_of_us_than_we_do_makes_us_another() -> None:
    a = Desk("a")
    counters.incr(a.state, b"n", 1)
    a.commit()
    counters.incr(a.state, b"n", 5)
    a.receive("b", Pull({Actor("a", 1): 2}, 1000))
    assert a.alarms == ["fork"] and a.state.actor != Actor("a", 1)
    assert strings.get(a.state, b"n") == b"6" and a.state.applied(Actor("a", 1)) == 1
    a.commit()
    assert a.state.vector()[a.state.actor] == 2  # what was pending, and what may have been spent twice
    assert a.replica.own_stored == 2


def test_a_life_that_begins_with_a_fork_is_witnessed_before_it_has_said_anything() -> None:
    """Else a start goes on with the one before, and spends dots that peers know already."""
    a = Desk("a")
    a.receive("b", Pull({Actor("a", 1): 2}, 1000))
    assert Witness(0) in a.orders and a.state.seq == 0


def test_what_is_written_anew_is_stored_before_the_new_life_is_witnessed() -> None:
    """Else a crash in between leaves a life that knows nothing of what the one before must not lose."""
    a = Desk("a")
    strings.put(a.state, b"k", b"v")
    a.replica.lives.fork(True)
    orders = a.replica.out.take()
    a.run(orders)
    kinds = [type(order) for order in orders]
    assert kinds.index(Persist) < kinds.index(Witness) and not a.replica.dirty


def test_what_a_clone_wrote_before_its_first_connection_is_written_anew() -> None:
    """Others have removed operations of these numbers, which meant what the original had written."""
    original, c = Desk("a"), Desk("c", 3)
    sets.add(original.state, b"s", [b"%d" % i for i in range(5)])
    original.commit()
    exchange(original, c)
    sets.remove(c.state, b"s", [b"%d" % i for i in range(5)])
    c.commit()
    clone = Desk("a", connect=False)
    sets.add(clone.state, b"s", [b"x", b"y", b"z"])
    clone.commit()
    clone.run(clone.replica.handle(Connected(), clone.now))
    exchange(clone, c, 30)
    assert clone.alarms == ["fork"] and sets.members(c.state, b"s") == {b"x", b"y", b"z"}
    assert clone.state.hash == c.state.hash


def test_what_was_asked_for_before_a_fork_is_asked_for_by_its_new_name() -> None:
    a, b = Desk("a"), Desk("b", 2)
    exchange(a, b, 0.3)
    for _ in range(5):
        strings.put(a.state, b"k", b"v")
        a.commit()
    a.run(a.replica.ask(5, a.now))
    a.receive("c", Pull({Actor("a", 1): 6}, 1000))
    assert a.alarms == ["fork"]
    assert a.replica.acked(5, a.now) == a.replica.acked(1, a.now) == 0
    a.commit()
    exchange(a, b)
    assert a.replica.acked(5, a.now) == 1, "a client that had written before still waits"
    strings.put(a.state, b"k", b"w")
    a.commit()
    a.run(a.replica.ask(a.state.seq, a.now))
    assert any(isinstance(m, Hello) and m.asked for m in a.take()), "nobody is ever asked again"


def test_who_wrote_before_a_fork_that_left_nothing_to_write_anew_waits_for_the_next_operation() -> None:
    a, b = Desk("a"), Desk("b", 2)
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.receive("b", Ack(a.state.actor, 1, 1))
    for event in (Disconnected(), Connected()):
        a.run(a.replica.handle(event, a.now))
    a.replica.lives.fork()
    a.run(a.replica.out.take())
    assert a.state.seq == 0 and a.replica.acked(1, a.now) == 0
    exchange(a, b)
    assert a.replica.acked(1, a.now) == 0, "an empty life says nothing of the one before"
    strings.put(a.state, b"k", b"w")
    a.commit()
    exchange(a, b)
    assert a.replica.acked(1, a.now) == 1


def test_a_life_that_has_written_nothing_asks_for_what_those_before_it_have() -> None:
    """A reboot makes a new actor; whoever waits for everything means what was written before it, too."""
    a, b = Desk("a"), Desk("b", 2)
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.state.become(Actor("a", 9))
    assert a.replica.lives.sign()
    a.commit()
    assert not a.replica.lives.sign() and a.state.seq == 1 and a.state.applied(Actor("a", 1)) == 1
    frames, _ = a.disk.missing({Actor("a", 1): 1}, 1000)
    b.receive("a", Delta(frames), inbox=False)
    assert len(b.replica.held) == 1, "it is not to be had without the others"
    exchange(a, b)
    assert a.replica.acked(1, a.now) == 1 and strings.get(b.state, b"k") == b"v"


def test_who_never_wrote_has_nothing_to_ask_for() -> None:
    a, b = Desk("a"), Desk("b", 2)
    strings.put(a.state, b"k", b"v")
    a.commit()
    exchange(a, b)
    assert not b.replica.lives.sign() and b.state.seq == 0
