"""How long the loop stays awake for a quick client, and that it falls asleep."""

from __future__ import annotations

import asyncio

import pytest

from daemon.api.patience import LOOKS, REST, Patience
from tests.daemon.api.serving import Serving


def looks(patience: Patience, most: int = 10 * LOOKS) -> int:
    """Looks until it is given up."""
    for number in range(1, most + 1):
        if not patience.lasts():
            return number
    return most


def test_it_is_given_up_and_tried_again_after_a_rest() -> None:
    patience = Patience()
    for _ in range(3):
        assert patience.begins()
        assert looks(patience) == LOOKS
        assert [patience.begins() for _ in range(REST)] == [False] * REST


def test_what_it_finds_makes_it_last() -> None:
    patience = Patience()
    assert patience.begins()
    for _ in range(100):
        assert all(patience.lasts() for _ in range(LOOKS - 1))
        assert not patience.begins(), "it has begun"
    assert looks(patience) == LOOKS


# -- in a server


async def test_a_server_falls_asleep(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serving.client()
    seen: list[bool] = []
    lasts = Patience.lasts
    monkeypatch.setattr(Patience, "lasts", lambda patience: (seen.append(lasts(patience)), seen[-1])[1])
    assert await client.ask("PING") == b"+PONG\r\n"
    for _ in range(10 * LOOKS):
        await asyncio.sleep(0)
    assert seen == [True] * (LOOKS - 1) + [False]
    for _ in range(REST):
        assert await client.ask("PING") == b"+PONG\r\n"
    assert len(seen) == LOOKS, "it rests"
    assert await client.ask("PING") == b"+PONG\r\n"
    assert len(seen) > LOOKS
