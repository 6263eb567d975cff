"""The ledger: acknowledged, repeated, in doubt."""

from __future__ import annotations

from daemon.demo.ledger import Ledger


def test_what_is_acknowledged_counts() -> None:
    ledger = Ledger()
    ledger.add("t1", repeated=False)
    ledger.add("t2", repeated=True)
    ledger.claim("t1")
    ledger.tell("ada", "at t1")
    ledger.finish("t1", "ada", "1 done")
    ledger.set("bold")
    assert (ledger.writes, ledger.unsure) == (6, 0)
    assert (ledger.added, ledger.repeated) == ({"t1", "t2"}, {"t2"})
    assert (ledger.claimed, ledger.finished, ledger.counted) == ({"t1"}, {"t1"}, 1)
    assert ledger.statuses == {"ada": ("1 done",)}
    assert ledger.settings == {"bold"}


def test_a_lost_reply_leaves_both_possible() -> None:
    ledger = Ledger()
    ledger.tell("ada", "at t1")
    ledger.doubt_finish("ada", "1 done")
    assert (ledger.writes, ledger.unsure) == (1, 1)
    assert (ledger.counted, ledger.perhaps_counted, ledger.finished) == (0, 1, set())
    assert ledger.statuses == {"ada": ("at t1", "1 done")}
    ledger.doubt_tell("ada", "at t2")
    assert ledger.statuses == {"ada": ("at t1", "1 done", "at t2")}
    ledger.tell("ada", "at t3")
    assert ledger.statuses == {"ada": ("at t3",)}
    ledger.doubt()
    assert ledger.unsure == 3
