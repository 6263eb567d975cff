"""Peers that hold up repair and healing: they claim to have more and never answer, or answer and bring nothing new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crdt.dots import Actor
from crdt.replica.messages import RESERVED, Compare, Delta, Hello, Message, Piece, Pull, Repair
from crdt.replica.recovery import LARGE, Recovery
from crdt.replica.suspects import STRANGER
from crdt.replica.tuning import Tuning
from tests.crdt.replica.desk import Desk
from tests.crdt.replica.hostile import B, acquainted, frame, honest, strangers, until_asked, victim


def test_who_only_claims_to_have_more_holds_up_nobody_who_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    # With so many here a question waits for up to patience * crowd, whoever asks; and there is one stranger before it.
    at_most = 0.05 * 500 / 20 + 1.0
    assert until_asked(acquainted(500, answers=True), "h", at_most) <= at_most
    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "rank", lambda *_: STRANGER)
        assert until_asked(acquainted(500, answers=True), "h", 500) > 10 * at_most


def test_where_nobody_has_answered_yet_strangers_are_asked_quickly() -> None:
    assert until_asked(acquainted(200, answers=False), "h", 1000) < 200 * 0.35 + 15


def given_up_often(count: int, answers: bool) -> Desk:
    """One that has asked so many strangers for minutes, beside an honest peer, which `answers`."""
    a = acquainted(0, answers)
    for n in range(40):
        strangers(a, count)
        a.wait(5)
        if answers:
            peer = a.replica.peers.by_name["h"]
            a.receive("h", Repair([frame(Actor("h", 7), n + 2, n + 2, n + 2)], 1, True, n + 3, peer.asked))
            a.receive("h", honest("h", n + 2), inbox=False)
    strangers(a, count)
    a.wait(0.4)
    a.sent.clear()
    return a


@pytest.mark.parametrize("count", [1, 4, 20])
def test_who_never_answers_holds_up_nobody_longer_for_being_asked_often(count: int) -> None:
    a = given_up_often(count, answers=True)
    assert any(peer.vain > 5 for peer in a.replica.peers.by_name.values())
    a.receive("h", honest("h", 60), inbox=False)
    assert until_asked(a, "h", 10) < 1


def test_a_crowd_that_never_answers_holds_up_a_stranger_no_longer_for_being_asked_often() -> None:
    a = given_up_often(100, answers=False)
    a.receive("h", honest("h", 60), inbox=False)
    assert until_asked(a, "h", 1000) < 100 * 0.35 + 15


def test_a_stranger_that_answers_late_is_one_no_more() -> None:
    a = acquainted(200, answers=False)
    until_asked(a, "h", 1000)
    (pull,) = (message for _, to, message in a.sent if to == "h")
    assert isinstance(pull, Pull)
    a.take()
    while a.replica.recovery.asking is None or a.replica.recovery.asking.peer == "h":
        a.wait(0.05)  # it was not waited for
    a.receive("h", Repair([frame(Actor("h", 7))], 1, False, 2, pull.number + 50))
    assert not a.replica.peers.by_name["h"].answers
    a.receive("h", Repair([frame(Actor("h", 7))], 1, False, 2, pull.number))
    assert a.replica.peers.by_name["h"].answers
    assert until_asked(a, "h", 5) < 5


NOTHING_NEW: dict[str, Callable[[int, int], Message]] = {
    "an answer without an end": lambda n, number: Repair([], 0, False, 1 << 40, number),
    "the same frame": lambda n, number: Repair([frame(B)], 0, False, 1 << 40, number),
    "the same piece": lambda n, number: Piece(0, B, 30, 0, 100, b"x"),
    "the list of one snapshot after the other": lambda n, number: Piece(RESERVED + n, B, 0, 0, 3, b"x"),
}


def until_another_is_asked(message: Callable[[int, int], Message]) -> float:
    """Seconds that a peer holds up repair which answers with this all the time, four times a second."""
    a = victim()
    strangers(a, 1)
    until_asked(a, "x0", 5)
    number = next(m.number for _, to, m in a.sent if to == "x0" and isinstance(m, Pull))
    a.receive("h", honest("h", 2), inbox=False)
    a.sent.clear()
    for n in range(1_000):
        a.receive("x0", message(n, number))
        a.wait(0.25)
        for _, to, pull in a.sent:
            if isinstance(pull, Pull):
                if to == "h":
                    return n / 4
                number = pull.number
        a.sent.clear()
    return 250.0


@pytest.mark.parametrize("what", NOTHING_NEW)
def test_who_answers_and_brings_nothing_new_holds_up_others_for_a_minute(what: str) -> None:
    assert until_another_is_asked(NOTHING_NEW[what]) < 65


def test_that_something_new_has_to_come_is_what_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdt.replica.recovery.TURN", 1000)
    assert until_another_is_asked(NOTHING_NEW["an answer without an end"]) == 250.0


def until_asked_beside_pieces(rate: int, most: float) -> float:
    """Seconds until one that has answered before is asked, while another sends so many bytes a second of a frame that
    never ends.
    """
    a = victim()
    a.receive("h", honest("h", 1), inbox=False)
    until_asked(a, "h", 5)
    (pull,) = a.take(Pull)
    assert isinstance(pull, Pull)
    a.receive("h", Repair([frame(Actor("h", 7))], 1, True, 2, pull.number))
    strangers(a, 1)
    until_asked(a, "x0", 30)
    a.sent.clear()
    began, n = a.now, 0
    while a.now < began + most and not any(to == "h" and isinstance(pull, Pull) for _, to, pull in a.sent):
        a.sent.clear()
        if n % 5 == 0:
            a.receive("h", honest("h", 2), inbox=False)
        a.receive("x0", Piece(0, B, 30, n, 60_000, b"x" * rate))
        a.wait(1.0)
        n += 1
    return a.now - began


def test_pieces_of_what_never_ends_hold_up_who_has_answered_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = LARGE * 3.0 + 65
    assert until_asked_beside_pieces(1_200, 2 * most) < most
    monkeypatch.setattr("crdt.replica.recovery.LARGE", 10 * LARGE)
    assert until_asked_beside_pieces(1_200, 2 * most) >= 2 * most


def test_answers_to_old_questions_keep_nobody_waiting() -> None:
    a = victim()
    a.replica.recovery.questions.last = 1_000
    strangers(a, 1)
    until_asked(a, "x0", 5)
    a.receive("h", honest("h", 2), inbox=False)
    a.sent.clear()
    for number in range(200):
        a.receive("x0", Repair([], 0, False, 0, 0), Repair([], 1, False, 0, 0), Repair([], 1, False, 0, number))
        a.wait(0.25)
    assert any(to == "h" and isinstance(message, Pull) for _, to, message in a.sent)


def test_an_answer_after_hours_says_nothing_of_the_link() -> None:
    a = acquainted(1, answers=True)
    until_asked(a, "x0", 30)
    a.wait(120)
    peer = a.replica.peers.by_name["x0"]
    a.receive("x0", Repair([], 1, False, 1 << 40, peer.asked))
    assert 0 < peer.rtt <= a.replica.tuning.pull_timeout


def test_whoever_answered_is_not_forgotten_for_strangers() -> None:
    a = acquainted(0, answers=True)
    a.replica.peers.limit = 100
    a.now += 1.0
    strangers(a, 1000)
    assert "h" in a.replica.peers.by_name and len(a.replica.peers.by_name) <= 100


def test_strangers_that_claim_other_rows_hold_up_no_healing(monkeypatch: pytest.MonkeyPatch) -> None:
    def until_compared(strangers: int) -> float:
        a = acquainted(0, answers=True)
        a.receive("h", Delta([frame(Actor("h", 7), 2, 2, 2)]), inbox=False)
        a.commit()
        view = a.replica.view
        differs = Hello(Actor("h", 7), 7, 2, view.vector_hash, view.vector_sum, 1, 1000, 5000)
        for i in range(strangers):
            a.receive(f"x{i}", replace(differs, actor=Actor(f"x{i}", 1), seq=0), inbox=False)
        a.wait(3)
        a.take()
        a.receive("h", differs, inbox=False)
        began = a.now
        while not any(to == "h" and isinstance(message, Compare) for _, to, message in a.sent):
            assert a.now < began + 1000
            a.wait(0.05)
        return a.now - began

    assert until_compared(100) < 3
    monkeypatch.setattr(Recovery, "rank", lambda *_: STRANGER)
    assert until_compared(100) > 30


def test_made_up_daemons_under_names_that_have_answered_hold_up_no_healing() -> None:
    """Nobody answers for them, and their names are trusted."""

    def until_compared(known: bool) -> float:
        a = acquainted(0, answers=True)
        a.receive("h", Delta([frame(Actor("h", 7), 2, 2, 2)]), inbox=False)
        a.commit()
        view = a.replica.view
        differs = Hello(Actor("h", 7), 7, 2, view.vector_hash, view.vector_sum, 1, 1000, 5000)
        for name in "ijklmnopqrstuvwxyz":
            a.receive(name, replace(differs, actor=Actor(name, 1), seq=0, session=66), inbox=False)
            a.replica.peers.by_name[name].answers = True
            a.replica.peers.by_name[name].compared = 66 if known else 7
        a.wait(0.2)
        a.receive("h", differs, inbox=False)
        began = a.now
        while not any(to == "h" and isinstance(message, Compare) for _, to, message in a.sent):
            assert a.now < began + 1000
            a.wait(0.05)
        return a.now - began

    assert until_compared(known=False) < 3 < 10 < until_compared(known=True)


def test_pieces_that_others_send_meanwhile_do_not_make_an_answer_in_pieces_bring_nothing_new() -> None:
    a = victim(Tuning(interval=0.0, held_bytes=20_000, frame_bytes=10_000_000))
    strangers(a, 1)
    for i in range(300):
        a.receive("y", Piece(0, Actor("y", 1), 1, i, 1_000, b"y" * 1000), inbox=False)  # the largest
    until_asked(a, "x0", 5)
    for i in range(150):
        for j in range(20):
            a.receive("y", Piece(0, Actor("y", 1), 2 + 20 * i + j, 0, 2, b"y" * 2000), inbox=False)
        a.receive("x0", Piece(0, B, 30, i, 1_000, b"x" * 1500))
        a.wait(1.0)
        asking = a.replica.recovery.asking
        assert asking is not None and asking.peer == "x0", f"given up after {i} s"
