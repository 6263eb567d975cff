"""The log port, as the simulator's disk fills it (daemon/store.py has its own tests of the same)."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from crdt.replica.ports import LogReader
from tests.simulation.disk import Disk

A, B = Actor("a", 1), Actor("b", 2)


def test_missing_in_log_order_within_a_budget() -> None:
    disk = Disk(True)
    log: LogReader = disk
    disk.commit([LogFrame(A, 1, 2, b"aa"), LogFrame(B, 1, 1, b"bb"), LogFrame(A, 3, 3, b"cc")])
    assert log.missing({}, 100) == ([b"aa", b"bb", b"cc"], True)
    assert log.missing({A: 2}, 3) == ([b"bb"], False)
    assert log.missing({}, 0) == ([b"aa"], False)
    assert log.missing({A: 3, B: 1}, 0) == ([], True)
    assert log.floor() == {}
