"""What waits, in bounds."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.frame import Frame
from crdt.replica.held import Held

A, B = Actor("a", 1), Actor("b", 2)


def test_bounded_by_bytes_and_each_once() -> None:
    held = Held(10)
    assert held.add(Frame(A, 2, 3), b"12345", 0.0) and held.add(Frame(A, 2, 3), b"12345", 1.0)
    assert held.bytes == 5 and not held.add(Frame(A, 4, 4), b"123456", 0.0)
    assert held.expire(0.5) == 1 and (held.bytes, len(held)) == (0, 0)


def test_spans_join_neighbours() -> None:
    held = Held(1000)
    for actor, first, last in ((A, 5, 6), (B, 2, 2), (A, 2, 3), (A, 4, 4), (A, 9, 9)):
        held.add(Frame(actor, first, last), b"x", 0.0)
    assert held.spans(9) == [(A, 2, 6), (A, 9, 9), (B, 2, 2)]
    assert held.spans(1) == [(A, 2, 6)]
