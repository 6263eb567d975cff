"""What follows from a HELLO."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crdt.dots import Actor
from crdt.replica.messages import Hello, Pull
from crdt.replica.peers import Peer
from crdt.replica.tuning import Tuning
from crdt.types import strings
from tests.crdt.replica.desk import Desk

B = Actor("b", 2)


def written(desk: Desk) -> Hello:
    """One write is stored; a HELLO of b, who stands where we stand."""
    strings.put(desk.state, b"k", b"v")
    desk.commit()
    desk.take()
    view = desk.replica.view
    return Hello(B, 9, 0, view.vector_hash, view.vector_sum, view.state_hash, 1000, 5000)


def test_who_stands_where_we_stand_has_all_that_is_stored() -> None:
    a = Desk("a")
    a.receive("b", written(a), inbox=False)
    assert a.replica.acked(1, a.now) == 1
    a.wait(10)
    assert a.take(Pull) == []


def test_who_lacks_a_part_is_not_asked_at_once() -> None:
    a = Desk("a")
    a.receive("b", replace(written(a), vector_hash=1, vector_sum=0), inbox=False)
    a.wait(2)
    assert a.replica.acked(1, a.now) == 0 and a.take(Pull) == []


def test_who_has_more_is_asked_after_a_moment() -> None:
    for more in ({"seq": 1}, {"vector_sum": 5}):
        a = Desk("a", tuning=Tuning(interval=1.0))
        a.receive("b", replace(written(a), vector_hash=1, **more), inbox=False)
        a.wait(1.0)
        assert a.take(Pull) == [], "it may be under way"
        a.wait(5.0)
        assert a.take(Pull)


def test_what_is_here_and_not_stored_yet_is_not_asked_for() -> None:
    a, b = Desk("a"), Desk("b", 2)
    hello = written(a)
    strings.put(b.state, b"l", b"w")
    b.commit()
    frames, _ = b.disk.missing({}, 1000)
    a.stores = False
    a.replica.intake.offer("b", frames[0], a.now, first_hand=True)
    state = a.state
    said = replace(hello, seq=1, vector_hash=state.vector_hash, vector_sum=state.vector_sum, state_hash=state.hash)
    a.receive("b", said, inbox=False)
    a.wait(3)
    assert a.take(Pull) == []


def test_whose_vector_differs_for_long_is_looked_at_though_sums_tell_nothing() -> None:
    a = Desk("a")
    hello = replace(written(a), vector_hash=1, vector_sum=0, period_ms=1000)
    for _ in range(8):
        a.receive("b", hello, inbox=False)
        a.wait(0.5)
    (pull, *_) = a.take(Pull)
    assert pull.whole


@pytest.mark.parametrize("shared", [True, False])
def test_of_daemons_that_share_a_name_none_takes_back_what_another_has(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a frame may wait long to be published, those that stand where we stand always spoke before we asked."""
    if not shared:
        monkeypatch.setattr(Peer, "shared", lambda *_: False)
    a = Desk("a", tuning=Tuning(interval=10.0))
    equal = written(a)
    for _ in range(20):
        a.receive("b", equal, replace(equal, session=8, vector_hash=1, seq=1), inbox=False)
        a.wait(2.5)
        a.receive("b", equal, inbox=False)
        a.wait(2.5)
    assert (a.take(Pull) != []) == shared


def test_who_came_back_under_another_session_is_one() -> None:
    a = Desk("a")
    hello = written(a)
    for session in (9, 10, 11):
        a.receive("b", replace(hello, session=session), inbox=False)
    peer = a.replica.peers.by_name["b"]
    assert not peer.shared(a.now)
    a.receive("b", hello, inbox=False)
    assert peer.shared(a.now) and peer.shared(a.now + 15) and not peer.shared(a.now + 16)


def test_nobody_speaks_for_others() -> None:
    a = Desk("a")
    a.receive("c", written(a), inbox=False)
    assert a.replica.drops == {"forged": 1} and not a.replica.peers.by_name
