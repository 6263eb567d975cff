"""PULL as it is put: the few entries of a large vector that matter, and what is not said."""

from __future__ import annotations

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica.messages import Hello, Message, Piece, Pull, Repair, encode
from crdt.replica.tuning import Tuning
from crdt.types import sets, strings
from tests.crdt.replica.desk import Desk, exchange, hello
from tests.crdt.replica.hostile import counted_on


def with_actors(name: str, number: int, nonce: int = 1, tuning: Tuning | None = None) -> Desk:
    """One that has applied something of so many others."""
    made = Desk(name, nonce, tuning)
    made.state.loaded({Actor(f"gone-{i:06}", i): 1 for i in range(number)})
    made.replica.loaded(made.now)
    return made


def greeted(b: Desk, a: Desk) -> None:
    """b hears from a where it stands, and asks for what it lacks."""
    b.receive("a", hello(a), inbox=False)
    b.wait(0.1)


def asked(b: Desk, a: Desk) -> Message:
    """What b asks a, who has written one thing more."""
    sets.add(a.state, b"s", [b"1"])
    a.commit()
    a.take()
    greeted(b, a)
    (pull,) = b.take(Pull)
    return pull


def test_only_the_entry_in_question_when_it_is_known() -> None:
    a, b = with_actors("a", 100), with_actors("b", 100, 2)
    pull = asked(b, a)
    assert isinstance(pull, Pull) and pull.vector == {Actor("a", 1): 0} and not pull.whole
    a.receive("b", pull)
    b.receive("a", *a.take(Repair))
    b.commit()
    assert b.replica.view.vector_hash == a.replica.view.vector_hash and b.replica.recovery.asking is None


def test_the_whole_vector_when_more_is_missing_than_the_peers_own() -> None:
    a, b = with_actors("a", 101), with_actors("b", 100, 2)
    pull = asked(b, a)
    assert isinstance(pull, Pull) and pull.whole and len(pull.vector) == 100


@pytest.mark.parametrize("unseen", [True, False])
def test_the_whole_vector_when_what_is_held_names_somebody_unseen(unseen: bool) -> None:
    """What a held frame depends on is missing as well, and whatever that depends on: nobody can say which entries."""
    a, b = with_actors("a", 100), with_actors("b", 100, 2)
    named = Actor("unseen", 9) if unseen else Actor("gone-000001", 1)
    data = encode_frame(
        Frame(Actor("d", 4), 2, 2, {}, [Group(1, None, [b"k"], [counted_on(named)], [2], [(1, 1 << 26)])])
    )
    assert b.replica.held.add(b.state, decode_frame(data), data, b.now)
    pull = asked(b, a)
    assert isinstance(pull, Pull) and pull.whole == unseen and len(pull.vector) == (100 if unseen else 2)


def test_a_gap_below_the_log_is_asked_for_with_the_whole_vector() -> None:
    a, b = with_actors("a", 100), with_actors("b", 100, 2)
    for i in range(3):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    a.prune()
    a.take()
    greeted(b, a)
    exchange(a, b)
    assert b.state.hash == a.state.hash and a.replica.counts["snapshots"] == 1


def test_a_hundred_thousand_actors() -> None:
    """HELLO stays as it is, the vector travels in pieces, nothing takes long enough to be noticed."""
    a, b = with_actors("a", 100_000), with_actors("b", 100_000, 2, Tuning(interval=0.0, short_vector=1 << 20))
    small = hello(Desk("a"))
    sets.add(a.state, b"s", [b"1"])
    a.commit()
    told = hello(a)
    assert len(encode(told)) <= len(encode(small)) + 40
    b.receive("a", told, inbox=False)
    b.wait(0.1)
    pieces = b.take(Piece)
    assert len(pieces) > 20 and all(len(encode(piece)) <= b.replica.tuning.max_message for piece in pieces)
    a.receive("b", *pieces)
    b.receive("a", *a.take())
    b.commit()
    assert b.replica.view.vector_hash == a.replica.view.vector_hash and sets.size(b.state, b"s") == 1
    assert len(a.replica.vectors) == 0, "a vector of that size is not kept for every peer"


def test_nothing_is_said_of_what_could_still_be_lost() -> None:
    a = Desk("a")
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.stores = False
    strings.put(a.state, b"k", b"w")
    a.commit()
    a.receive("b", Hello(Actor("b", 2), 9, 5, 1, 9, 1, 1000, 5000), inbox=False)
    a.wait(1)
    (pull, *_) = a.take(Pull)
    assert isinstance(pull, Pull) and pull.vector[a.state.actor] == 1


def test_a_question_to_the_own_name_that_comes_back_is_not_answered() -> None:
    a = Desk("a")
    strings.put(a.state, b"k", b"v")
    a.commit()
    a.replica.recovery.questions.put(a.replica.peers.get("a", a.now), whole=True, small=False)
    a.run(a.replica.out.take())
    (pull,) = a.take(Pull)
    assert isinstance(pull, Pull)
    a.receive("a", pull)
    assert a.take(Repair) == []
    a.receive("a", Pull({Actor("a", 9): 1}, 1000, number=pull.number))
    assert len(a.take(Repair)) == 1, "a second daemon under our name lacks what we have"
