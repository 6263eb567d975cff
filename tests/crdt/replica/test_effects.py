"""Effects are values: equal when they say the same, never changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from crdt.replica.effects import Lane, Persist, Send, Witness


def test_values() -> None:
    assert Send(Lane.DELTA, None, b"x") == Send(Lane.DELTA, None, b"x") != Send(Lane.HELLO, None, b"x")
    with pytest.raises(FrozenInstanceError):
        Witness(1).seq = 2  # type: ignore[misc]


def test_a_plain_persist_needs_no_checkpoint() -> None:
    assert not Persist(1, ()).snapshot and Persist(1, ()).floors == ()


def test_lanes_are_the_letters_of_the_topics() -> None:
    assert {lane.value for lane in Lane} == {"d", "h", "p", "i"}
