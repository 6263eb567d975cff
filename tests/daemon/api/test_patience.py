"""How long the loop stays awake for a quick client, and that it falls asleep."""

from __future__ import annotations

import asyncio

import pytest

from daemon.api.patience import LONGEST, LOOKS, SHORTEST, TRUST, Patience
from tests.compiled import as_python
from tests.daemon.api.serving import Serving


def looks(patience: Patience, most: int = 10 * LOOKS) -> int:
    """Looks until it is given up."""
    for number in range(1, most + 1):
        if not patience.lasts():
            return number
    return most


def pause(patience: Patience) -> int:
    """Reads that are followed by sleep until it begins."""
    for number in range(10 * LONGEST):
        if patience.begins():
            return number
    return 10 * LONGEST


def found(patience: Patience, after: int) -> bool:
    """A read comes after so many looks; whether they go on."""
    for _ in range(after):
        assert patience.lasts()
    assert not patience.begins(), "it has begun"
    return patience.lasts()


def test_what_is_in_vain_is_tried_ever_more_rarely() -> None:
    patience = Patience()
    assert pause(patience) == 0
    pauses = []
    for _ in range(10):
        assert looks(patience) == LOOKS
        pauses.append(pause(patience))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2 * SHORTEST, LONGEST)


def test_what_is_found_by_looking_makes_it_last() -> None:
    patience = Patience()
    for _ in range(3):
        assert pause(patience) <= 2 * SHORTEST
        assert all(found(patience, LOOKS // 2) for _ in range(100))
        looks(patience)
        assert pause(patience) == SHORTEST
        assert looks(patience) == LOOKS


def test_what_would_have_been_there_anyway_does_not() -> None:
    patience = Patience()
    assert pause(patience) == 0
    assert [found(patience, 0) for _ in range(TRUST)] == [True] * (TRUST - 1) + [False]
    assert pause(patience) == 2 * SHORTEST
    for _ in range(2 * TRUST):  # from as many clients in one turn of the loop
        assert not patience.begins()
    assert not patience.lasts()
    assert pause(patience) == 4 * SHORTEST


def test_a_few_that_are_there_at_once_do_no_harm() -> None:
    patience = Patience()
    assert pause(patience) == 0
    for _ in range(100):
        assert all(found(patience, after) for after in (5, 5, 0, 6, 0, 4))


# -- in a server


@as_python
async def test_a_server_falls_asleep(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serving.client()
    seen: list[bool] = []
    lasts = Patience.lasts
    monkeypatch.setattr(Patience, "lasts", lambda patience: (seen.append(lasts(patience)), seen[-1])[1])
    assert await client.ask("PING") == b"+PONG\r\n"
    for _ in range(10 * LOOKS):
        await asyncio.sleep(0)
    assert seen == [True] * (LOOKS - 1) + [False]
    for _ in range(2 * SHORTEST):
        assert await client.ask("PING") == b"+PONG\r\n"
    assert len(seen) == LOOKS, "it rests"
    assert await client.ask("PING") == b"+PONG\r\n"
    assert len(seen) > LOOKS
