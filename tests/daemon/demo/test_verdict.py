"""The verdict: what is lost is found, what is in doubt is neither lost nor kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.demo.ledger import Ledger
from daemon.demo.verdict import Line, Reading, Verdict, judge

GOOD = Reading(
    replica="alpha",
    hash="aa",
    open=frozenset({"t3"}),
    doing=frozenset(),
    done=frozenset({"t1", "t2"}),
    completed=2,
    statuses={"ada": "2 done"},
    disputed=frozenset({"bold", "quiet"}),
    setting="fast",
)


@pytest.fixture
def ledger() -> Ledger:
    """Three tasks, two of them done and counted."""
    made = Ledger()
    for task in ("t1", "t2", "t3"):
        made.add(task, repeated=False)
    for task in ("t1", "t2"):
        made.claim(task)
        made.finish(task, "ada", "2 done")
    made.set("bold")
    made.set("quiet")
    return made


def _judge(ledger: Ledger, *readings: Reading) -> Verdict:
    return judge(ledger, readings, "fast")


def _bad(verdict: Verdict) -> list[str]:
    return [line.kind for line in verdict.lines if not line.good]


def _line(verdict: Verdict, kind: str) -> Line:
    return next(line for line in verdict.lines if line.kind == kind)


def test_all_well(ledger: Ledger) -> None:
    verdict = _judge(ledger, GOOD, replace(GOOD, replica="beta"))
    assert verdict.kept
    assert verdict.converged
    assert [(line.acknowledged, line.surviving) for line in verdict.lines] == [
        (3, 3), (2, 2), (2, 2), (2, 2), (1, 1), (2, 2), (1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"open": frozenset()}, "tasks added"),
        ({"open": frozenset({"t3", "t1"})}, "tasks claimed"),
        ({"done": frozenset({"t1"}), "doing": frozenset({"t2"})}, "tasks done"),
        ({"completed": 1}, "increments"),
        ({"completed": 3}, "increments"),
        ({"statuses": {"ada": "1 done"}}, "agents' statuses"),
        ({"statuses": {}}, "agents' statuses"),
        ({"disputed": frozenset({"bold"})}, "disputed setting"),
        ({"setting": "bold"}, "dispute settled"),
    ],
)
def test_what_one_replica_lacks_is_lost(ledger: Ledger, change: dict[str, object], kind: str) -> None:
    worse = replace(GOOD, replica="beta", **change)  # type: ignore[arg-type]
    verdict = _judge(ledger, GOOD, worse)
    assert _bad(verdict) == [kind]
    assert not verdict.kept


def test_replicas_that_differ_have_not_converged(ledger: Ledger) -> None:
    verdict = _judge(ledger, GOOD, replace(GOOD, replica="beta", hash="bb"))
    assert verdict.kept
    assert not verdict.converged
    assert verdict.hashes == {"alpha": "aa", "beta": "bb"}


@pytest.mark.parametrize(("completed", "good"), [(1, False), (2, True), (3, True), (4, False)])
def test_an_increment_without_a_reply_may_count_or_not(ledger: Ledger, completed: int, good: bool) -> None:
    ledger.doubt_finish("ada", "3 done")
    verdict = _judge(ledger, replace(GOOD, completed=completed))
    assert verdict.kept is good
    assert _line(verdict, "increments").note.endswith("2 to 3 is exact, as 1 reply was lost")


def test_too_many_increments_are_told(ledger: Ledger) -> None:
    assert "more than the 2" in _line(_judge(ledger, replace(GOOD, completed=5)), "increments").wrong


@pytest.mark.parametrize("status", ["2 done", "3 done"])
def test_a_status_without_a_reply_may_be_there_or_not(ledger: Ledger, status: str) -> None:
    ledger.doubt_finish("ada", "3 done")
    assert _judge(ledger, replace(GOOD, statuses={"ada": status})).kept


def test_a_task_added_twice_may_come_back(ledger: Ledger) -> None:
    ledger.add("t1", repeated=True)
    assert _judge(ledger, replace(GOOD, open=frozenset({"t1", "t3"}))).kept


def test_a_task_done_on_both_sides_counts_twice(ledger: Ledger) -> None:
    ledger.finish("t2", "ben", "1 done")
    verdict = _judge(ledger, replace(GOOD, completed=3, statuses={"ada": "2 done", "ben": "1 done"}))
    assert verdict.kept
    assert _line(verdict, "tasks done").note == "1 of them on both sides"
