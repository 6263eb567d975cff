"""What is known of the rows that wait on disk."""

from __future__ import annotations

import msgpack
import pytest

from crdt.dots import Actor, Runs
from crdt.replica.staged import Staged

A, B = Actor("a", 1), Actor("b", 2)


def test_what_was_added_is_found_by_the_next_start() -> None:
    staged = Staged()
    orders = [staged.add(A, Runs([1, 2, 5]), b"x"), staged.add(B, Runs([7]), b"y"), staged.add(A, Runs([9]), b"z")]
    again = Staged()
    for order in orders:
        assert again.found(order.number, order.actor, order.seqs)
    assert list(again.seqs(A)) == [1, 2, 5, 9] and again.of(A) == [1, 3] and len(again) == 3
    assert again.add(B, Runs([8]), b"").number == 4, "numbers go on"


def test_what_was_applied_is_covered() -> None:
    staged = Staged()
    staged.add(A, Runs([1, 2]), b"")
    staged.add(A, Runs([3, 4]), b"")
    assert staged.covered({A: 3}.__getitem__) == (1,)
    staged.drop((1,))
    assert staged.of(A) == [2] and list(staged.seqs(A)) == [3, 4]
    staged.drop((2,))
    assert staged.of(A) == [] and list(staged.seqs(A)) == [] and len(staged) == 0


def test_what_a_list_names_no_row_of_is_dead() -> None:
    staged = Staged()
    staged.add(A, Runs([1, 2]), b"")
    staged.add(A, Runs([3, 4]), b"")
    staged.add(A, Runs([8, 9]), b"")
    staged.add(B, Runs([1]), b"")
    assert staged.dead({A: 8}, {A: Runs([2, 8])}) == (2,), "half alive, above the list, of an actor it does not know"
    assert staged.dead({A: 9, B: 1}, {}) == (1, 2, 3, 4)


@pytest.mark.parametrize("seqs", [b"", b"\xc1", msgpack.packb([]), msgpack.packb([0, 1]), msgpack.packb("x")])
def test_a_damaged_entry_is_refused(seqs: bytes) -> None:
    assert not Staged().found(1, A, seqs)
