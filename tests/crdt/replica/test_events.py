"""Every event has its answer, and events are values."""

from __future__ import annotations

import pytest

from crdt.replica.events import Connected, Disconnected, Event, Persisted, Received, Tick
from tests.crdt.replica.desk import Desk


@pytest.mark.parametrize("event", [Received("x", True, b""), Tick(), Persisted(7), Connected(), Disconnected()])
def test_the_door_takes_it(event: Event) -> None:
    assert isinstance(Desk("a").replica.handle(event, 1.0), list)


def test_values() -> None:
    assert Received("a", True, b"x") == Received("a", True, b"x") != Received("a", False, b"x")
