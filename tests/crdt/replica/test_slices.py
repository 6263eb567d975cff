"""A message of many frames is taken in by slices: clients have their turns in between, and the order stays."""

from __future__ import annotations

import pytest

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import intake
from crdt.replica.events import Tick
from crdt.replica.held import LOOKS, Held, HeldFrame, Name
from crdt.replica.messages import Delta, Hello, Pull, Repair
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import strings
from tests.crdt.replica.desk import Desk
from tests.crdt.replica.hostile import B, goes_on, many, until_asked, victim


def test_a_message_of_many_frames_is_taken_in_by_slices_and_in_order() -> None:
    a, n = victim(), 5 * intake.SLICE_FRAMES + 1
    a.receive("b", Delta(many(n)), inbox=False)
    for slices in range(1, 6):
        assert a.state.applied(B) == slices * intake.SLICE_FRAMES and a.replica.busy and a.replica.deadline <= a.now
        strings.put(a.state, b"own", b"%d" % slices)  # a client's turn, and a commit of all up to here
        a.commit()
        a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == n and not a.replica.busy and a.state.me.applied == 6
    a.commit()
    stored = a.disk.missing({}, 1 << 30)[0]
    twin = Desk("c", 3)
    for data in stored:
        twin.receive("b", Repair([data], 1, True, 0))
    assert twin.state.hash == a.state.hash, "the log is closed at every prefix, whatever stood between the slices"


def test_large_frames_are_slices_of_their_own() -> None:
    a = victim()
    large = [
        encode_frame(Frame(B, k, k, {}, [Group(1, None, [b"t"], [bytes(intake.SLICE_BYTES)], [k], [(1, k << 26)])]))
        for k in (1, 2, 3)
    ]
    a.receive("b", Delta(large), inbox=False)
    assert a.state.applied(B) == 1
    a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == 2 and a.replica.busy


def test_the_next_message_finishes_the_one_before_first() -> None:
    a, n = victim(), 3 * intake.SLICE_FRAMES
    a.receive("b", Delta(many(n)), Delta(many(1, n + 1)), inbox=False)
    assert a.state.applied(B) == n + 1 and not a.replica.busy and not len(a.replica.held)


def test_a_message_of_a_great_many_tiny_frames_is_over_after_a_few_turns() -> None:
    a = victim()
    a.receive("b", Delta([b"xx"] * 3_000), inbox=False)
    for _ in range(intake.MOST_SLICES):
        if a.replica.busy:
            a.run(a.replica.handle(Tick(), a.now))
    assert not a.replica.busy and a.replica.drops == {"malformed": 3_000}
    goes_on(a)


def test_while_a_message_is_taken_in_what_is_stored_leaves_and_hello_is_said_and_nothing_is_asked() -> None:
    a = victim(Tuning(interval=1.0))
    a.wait(3)
    a.receive("c", Hello(Actor("c", 3), 9, 5, 5, 5, 1, 1, 60_000), inbox=False)
    strings.put(a.state, b"own", b"1")
    a.commit()
    a.receive("b", Delta(many(20 * intake.SLICE_FRAMES)), inbox=False)
    a.take()
    a.now += 30  # a slow machine
    a.run(a.replica.handle(Tick(), a.now))
    assert a.replica.busy and [type(message) for message in a.take()] == [Delta, Hello]
    a.wait(0.0)
    assert not a.replica.busy and a.take(Pull)


def test_what_one_frame_releases_is_taken_in_by_slices_too() -> None:
    a, n = victim(), 4 * intake.SLICE_FRAMES
    for k in range(2, n + 1, 50):
        a.receive("b", Delta(many(min(50, n + 1 - k), k)), inbox=False)
    a.receive("b", Delta([*many(1), *many(1, n + 1)]), inbox=False)
    for slices in range(1, 5):
        assert a.state.applied(B) == slices * intake.SLICE_FRAMES and a.replica.busy
        strings.put(a.state, b"own", b"%d" % slices)  # a client's turn, and a commit of all up to here
        a.commit()
        a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == n + 1 and not a.replica.busy and not len(a.replica.held)
    a.commit()
    assert [frame.first for _, frame in a.disk.image.log if frame.actor == B] == list(range(1, n + 2))


def test_what_only_waits_for_something_else_from_then_on_is_looked_at_by_slices_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, n = victim(), 5_000
    group = Group(1, None, [b"t"], [b""], [1], [(1, 1 << 26)])
    waiting = [encode_frame(Frame(Actor("w", i), 1, 1, {B: 1, Actor("z", 1): 1}, [group])) for i in range(n)]
    a.receive("c", Repair(waiting, 0, False, 0, 0))
    a.wait(0.0)
    looks, watch = 0, Held._watch

    def look(self: Held, state: State, held: HeldFrame, name: Name) -> bool:
        nonlocal looks
        looks += 1
        return watch(self, state, held, name)

    monkeypatch.setattr(Held, "_watch", look)
    a.receive("b", Delta(many(1)), inbox=False)
    assert a.replica.busy and 0 < looks <= intake.SLICE_FRAMES * LOOKS
    a.wait(0.0)
    assert looks == n == len(a.replica.held) and not a.replica.busy
    a.receive("z", Delta([encode_frame(Frame(Actor("z", 1), 1, 1, {}, [group]))]), inbox=False)
    a.wait(0.0)
    assert not len(a.replica.held) and not a.replica.busy


def test_an_answer_is_over_when_its_last_frame_is_taken_in() -> None:
    a, n = victim(), 2 * intake.SLICE_FRAMES
    a.receive("b", Hello(B, 9, n, 5, n, 1, 1, 60_000), inbox=False)
    until_asked(a, "b", 5)
    (pull,) = a.take(Pull)
    assert isinstance(pull, Pull)
    a.receive("b", Repair(many(n), 1, True, n + 1, pull.number))
    assert a.replica.busy and a.replica.recovery.asking is not None
    a.wait(0.0)
    assert not a.replica.busy and a.replica.recovery.asking is None and a.state.applied(B) == n
