"""Whom to ask first: those that are trusted, each of the others in its turn, and nobody never."""

from __future__ import annotations

from crdt.replica.suspects import ANSWERED, FAIR, NEVER, RANKS, STRANGER, WROTE, Suspects


def test_the_trusted_first_then_who_waits_longest() -> None:
    suspects = Suspects(10)
    for name, at, rank in (("x", 1.0, STRANGER), ("w", 2.0, WROTE), ("b", 4.0, ANSWERED), ("a", 3.0, ANSWERED)):
        assert suspects.add(name, at, rank)
    assert suspects.next() == 1.0 and suspects.next(WROTE) == 3.0 and suspects.take(0.5) is None
    assert [suspects.take(5.0) for _ in range(5)] == ["a", "b", "w", "x", None] and suspects.next() == NEVER


def test_who_is_not_due_yet_keeps_nobody_waiting() -> None:
    suspects = Suspects(10)
    suspects.add("known", 9.0, ANSWERED)
    suspects.add("stranger", 1.0, STRANGER)
    assert suspects.take(2.0) == "stranger" and suspects.take(2.0) is None and suspects.take(9.0) == "known"


def test_the_earlier_time_and_the_latest_rank_hold() -> None:
    suspects = Suspects(10)
    suspects.add("x", 2.0, STRANGER)
    suspects.add("x", 5.0, ANSWERED)
    assert len(suspects) == 1 and "x" in suspects and suspects.next(WROTE) == 2.0
    suspects.add("x", 1.0, STRANGER)
    assert suspects.next(STRANGER) == NEVER and suspects.next(RANKS) == 1.0
    suspects.drop("x")
    assert suspects.take(9.0) is None and "x" not in suspects and suspects.next() == NEVER


def test_strangers_are_bounded_and_shut_nobody_else_out() -> None:
    suspects = Suspects(3)
    assert [suspects.add(f"x{i}", 1.0, STRANGER) for i in range(5)] == [True] * 3 + [False] * 2
    assert suspects.add("known", 1.0, ANSWERED) and suspects.take(1.0) == "known"


def test_a_stranger_has_its_turn_however_many_are_trusted() -> None:
    suspects = Suspects(10)
    suspects.add("stranger", 0.0, STRANGER)
    taken = []
    for now in range(1, 2 * FAIR):
        suspects.add("known", now, ANSWERED)
        taken.append(suspects.take(now))
    assert taken.index("stranger") == FAIR - 1


def test_what_is_no_longer_so_is_forgotten() -> None:
    suspects = Suspects(10)
    for at in range(1000, 0, -1):
        suspects.add("x", at, STRANGER)
        suspects.add("y", at, ANSWERED)
        suspects.drop("y")
    assert sum(map(len, suspects._heaps)) < 200 and suspects.take(1.0) == "x"
