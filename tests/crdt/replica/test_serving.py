"""Answers to PULL: exactly what is missing, always progress, nothing that could still be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.messages import Delta, Hello, Message, More, Piece, Presence, Pull, Repair, Want, encode
from crdt.replica.serving import SLOWEST, TENURE
from crdt.replica.tuning import Tuning
from crdt.types import sets, strings
from tests.crdt.replica.desk import Desk, exchange

ME = Actor("a", 1)


def desk(count: int, tuning: Tuning | None = None) -> Desk:
    a = Desk("a", tuning=tuning)
    for i in range(count):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    a.take()
    return a


def test_the_gap_and_no_more() -> None:
    a = desk(5)
    a.receive("b", Pull({ME: 3}, 10_000))
    (repair,) = a.take(Repair)
    assert isinstance(repair, Repair) and len(repair.frames) == 2 and repair.complete
    a.receive("b", Pull({ME: 5}, 10_000))
    (repair,) = a.take(Repair)
    assert isinstance(repair, Repair) and repair.frames == [] and repair.complete


def test_the_bytes_of_an_answer_are_those_of_its_frames() -> None:
    a = desk(300)
    before = len(a.orders)
    a.receive("b", Pull({}, 1 << 20))
    frames, _ = a.disk.missing({}, 1 << 20)
    sent = sum(len(order.data) for order in a.orders[before:] if hasattr(order, "data"))
    assert sent < 1.1 * sum(map(len, frames))


def test_any_budget_makes_progress() -> None:
    a = desk(5)
    a.receive("b", Pull({}, 0))
    (repair,) = a.take(Repair)
    assert isinstance(repair, Repair) and len(repair.frames) == 1 and not repair.complete


def test_the_answerer_learns_what_it_lacks_itself() -> None:
    a = desk(1)
    a.receive("b", Pull({ME: 1, Actor("b", 2): 7}, 1000))
    a.take()
    a.wait(0.2)
    assert a.take(Pull) == [Pull({ME: 1}, a.replica.tuning.repair_budget, number=1)]


def test_a_snapshot_leaves_only_when_it_is_stored() -> None:
    a = desk(3)
    a.prune()
    a.stores = False
    strings.put(a.state, b"k", b"v")
    a.receive("b", Pull({}, 1000))
    assert a.take(Piece) == []
    a.store()
    assert len(a.take(Piece)) == 1


def test_a_repeated_question_is_answered_from_the_same_snapshot() -> None:
    a = desk(3)
    a.prune()
    a.receive("b", Pull({}, 1000), Pull({}, 1000))
    (first,) = a.take(Piece)  # which may be under way
    a.wait(0.5)
    a.receive("b", Pull({}, 1000))
    assert a.take(Piece) == [first] and a.replica.counts["snapshots"] == 1


def test_a_bounded_number_of_snapshots_at_a_time_that_end() -> None:
    a = desk(3)
    a.prune()
    for i in range(5):
        a.receive(f"b{i}", Pull({}, 1000))
    assert a.replica.counts["snapshots"] == a.replica.tuning.transfers
    a.wait(3 * a.replica.tuning.pull_timeout)
    a.receive("b5", Pull({}, 1000))
    assert a.replica.counts["snapshots"] == a.replica.tuning.transfers + 1


def keep(streams: dict[str, int], name: str, now: float) -> list[Message]:
    """With one word."""
    return [More(streams[name], 0, []) if name in streams else Pull({}, 1000)]


def begin_anew(streams: dict[str, int], name: str, now: float) -> list[Message]:
    """Asking for another one before the time of the first is over."""
    return [Pull({Actor("q", 1): int(now)}, 1000)]


def be_done(streams: dict[str, int], name: str, now: float) -> list[Message]:
    """As if all had come, and asking again at once."""
    return [Want(streams[name], 0, []), Pull({}, 1000)] if name in streams else [Pull({}, 1000)]


def until_served_beside(holders: int, how: Callable[[dict[str, int], str, float], list[Message]] = keep) -> float:
    """Seconds until one more gets a snapshot beside so many names that hold a place with a word every three seconds."""
    a, d = desk(300), Desk("d", 9)
    a.prune()
    streams: dict[str, int] = {}
    while a.now < 300 and d.state.hash != a.state.hash:
        for name in (f"x{i}" for i in range(holders)):
            a.receive(name, *how(streams, name, a.now))
        streams |= {to: m.stream for _, to, m in a.sent if to not in (None, "d") and isinstance(m, Piece) and m.total}
        exchange(a, d, 3.0)
    return a.now


@pytest.mark.parametrize("how", [keep, begin_anew, be_done])
def test_who_holds_a_place_for_snapshots_for_long_makes_room(
    monkeypatch: pytest.MonkeyPatch, how: Callable[[dict[str, int], str, float], list[Message]]
) -> None:
    assert until_served_beside(0) <= 6
    assert until_served_beside(2, how) <= 60
    monkeypatch.setattr("crdt.replica.serving.TENURE", 1_000)
    assert until_served_beside(2, how) >= 300


def test_slow_askers_that_make_room_for_each_other_all_get_there() -> None:
    """Each behind a link of its own, over which it all takes twice as long as a place cannot be another's."""
    a = Desk("a", 1, Tuning(interval=0.0, transfers=1))
    turn = TENURE * a.replica.tuning.pull_timeout
    for i in range(int(2 * turn * SLOWEST) // 10_000):
        strings.put(a.state, b"%d" % i, bytes(10_000))
        a.commit()
    a.prune()
    a.take()
    askers = {name: Desk(name, nonce) for nonce, name in enumerate("xyz", 5)}
    links: dict[str, deque[tuple[float, Lane, Message]]] = {name: deque() for name in askers}
    sent = 0
    while a.now < 20 * turn and any(x.state.hash != a.state.hash for x in askers.values()):
        for name, x in askers.items():
            said, x.sent = x.sent, []
            for lane, to, message in said:
                if to in (None, "a"):
                    a.receive(name, message, inbox=lane is Lane.INBOX)
        said, a.sent = a.sent, []
        for lane, to, message in said:
            for name in askers if to is None else [to]:
                size = len(encode(message))
                sent += size
                busy = max(a.now, links[name][-1][0] if links[name] else 0.0)
                links[name].append((busy + size / SLOWEST, lane, message))
        for name, x in askers.items():
            while links[name] and links[name][0][0] <= a.now:
                _, lane, message = links[name].popleft()
                x.receive("a", message, inbox=lane is Lane.INBOX)
            x.wait(0.1)
        a.wait(0.1)
    assert all(x.state.hash == a.state.hash for x in askers.values())
    assert a.replica.counts["snapshots"] > 3, "they did make room"
    assert a.now < 7 * turn and sent < 1.1 * 3 * 2 * turn * SLOWEST, "and nothing was sent twice"


def test_more_of_what_is_no_longer_sent_is_answered_with_none() -> None:
    a = desk(1)
    a.receive("b", More(77, 3, [1]))
    assert a.take() == [Piece(77, ME, 0, 0, 0, b"")]


def test_what_a_snapshot_taught_is_below_the_floor() -> None:
    a, b, c = desk(3), Desk("b", 2), Desk("c", 3)
    a.prune()
    exchange(a, b, 3)
    assert b.disk.floor() == {ME: 3}
    sets.add(b.state, b"s", [b"mine"])
    b.commit()
    exchange(b, c, 3)
    assert sets.size(c.state, b"s") == 4 and c.state.hash == b.state.hash


# -- what several ask for ---------------------------------------------------------------------------------------------


def test_what_several_ask_for_is_published_once_more() -> None:
    a = desk(3)
    for name in "bcde":
        a.receive(name, Pull({ME: 1}, 10_000))
    sent = a.take(Repair)
    assert [len(repair.frames) for repair in sent if isinstance(repair, Repair)] == [2, 0, 0, 0]
    a.wait(a.replica.patience)
    (delta,) = a.take(Delta)
    assert isinstance(delta, Delta) and len(delta.frames) == 2


def test_what_was_published_once_more_may_be_under_way_as_well() -> None:
    a = large()
    for _ in range(8):  # two who ask by turns, and whose questions come all at once
        for name in "bc":
            a.receive(name, Pull({ME: 1}, 10_000))
        a.wait(2 * a.replica.transit)
    assert len(a.take(Delta)) == 1
    a.wait(2.0)
    for name in "bc":
        a.receive(name, Pull({ME: 1}, 10_000))
    a.wait(2 * a.replica.transit)
    assert len(a.take(Delta)) == 1, "by now even a slow link has lost it"


def test_one_that_lacks_more_than_will_be_published_is_answered() -> None:
    a = desk(3)
    for name, n in (("b", 2), ("c", 2), ("d", 0)):
        a.receive(name, Pull({ME: n}, 10_000))
    sent = a.take(Repair)
    assert [len(repair.frames) for repair in sent if isinstance(repair, Repair)] == [1, 0, 3]


def test_one_that_asks_twice_is_answered_twice() -> None:
    a = desk(3)
    for _ in range(2):
        a.receive("b", Pull({ME: 1}, 10_000))
        a.wait(0.1)
    sent = a.take(Repair)
    assert [len(repair.frames) for repair in sent if isinstance(repair, Repair)] == [2, 2]
    a.wait(a.replica.patience)
    assert a.take(Delta) == []


def large(session: int = 7) -> Desk:
    """One with a value that a slow link carries for seconds, and a peer b that it has heard of."""
    a = desk(3)
    strings.put(a.state, b"k", bytes(20_000))
    a.commit()
    a.receive("b", Presence(session, True), inbox=False)
    a.take()
    return a


def repaired(a: Desk, *, after: float = 0.0, question: Pull | None = None) -> int:
    """Frames that b is sent when it asks (again) after so many seconds."""
    a.wait(after)
    a.receive("b", question or Pull({}, 1 << 20, number=1))
    return sum(len(message.frames) for message in a.take(Repair) if isinstance(message, Repair))


def test_an_answer_that_may_be_under_way_is_not_sent_again() -> None:
    a = large()
    assert repaired(a) == 4
    assert [repaired(a, after=0.5) for _ in range(3)] == [0, 0, 0]
    assert repaired(a, after=1.0) == 4, "by now even a slow link has lost it"


def test_a_question_that_shows_that_the_answer_has_come_is_answered_at_once() -> None:
    a = large()
    assert repaired(a) == 4
    lost = Pull({ME: 1}, 1 << 20, [(ME, 4, 4)], number=2, ended=1)
    assert repaired(a, question=lost) == 2, "the end has come, and these have not"
    sets.add(a.state, b"s", [b"more"])
    a.commit()
    a.take()
    assert repaired(a, question=Pull({ME: 4}, 1 << 20, number=3, ended=1)) == 1, "another question"


def test_a_delta_that_brings_the_last_frame_of_an_answer_is_not_its_end() -> None:
    a = large()
    assert repaired(a) == 4
    assert repaired(a, question=Pull({ME: 1}, 1 << 20, [(ME, 4, 4)], number=2)) == 0


def test_an_asker_that_is_connected_anew_is_answered_at_once() -> None:
    a = large()
    assert repaired(a) == 4
    a.receive("b", Presence(8, True), inbox=False)
    assert repaired(a) == 4


def test_two_daemons_of_one_name_are_not_answered_with_every_turn_of_theirs() -> None:
    a = large()
    for session in (7, 8):
        a.receive("b", Hello(Actor("b", session), session, 0, 0, 0, 0, 0, 1000), inbox=False)
    assert repaired(a) == 4
    a.receive("b", Presence(7, True), inbox=False)
    assert repaired(a) == 0


def test_what_does_not_fit_a_message_is_not_forced_on_everybody() -> None:
    a = desk(3, Tuning(interval=0.0, max_message=700))
    sets.add(a.state, b"s", [b"x" * 2000])
    a.commit()
    a.take()
    for name in "bc":
        a.receive(name, Pull({ME: 0}, 10_000))
    a.wait(a.replica.patience)
    assert len(a.take(Repair)) >= 2 and a.take(Delta) == []


def test_a_part_of_a_vector_says_nothing_of_the_rest() -> None:
    a = desk(2)
    a.receive("b", Pull({Actor("z", 9): 0}, 10_000, whole=False))
    (repair,) = a.take(Repair)
    assert isinstance(repair, Repair) and repair.frames == [] and repair.complete
