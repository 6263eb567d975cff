"""For a test: spaces that talk to each other in memory (spaces.py), or a broker for daemons as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from daemon.store import Durability, Store
from tests.daemon.processes import World
from tests.daemon.spaces import Between, Make, Member


@pytest.fixture
async def between() -> Between:
    return Between()


@pytest.fixture
async def make(between: Between, tmp_path: Path) -> AsyncIterator[Make]:
    """Members by name; those that still run at the end are killed."""
    made: list[Member] = []

    def begin(name: str, durability: Durability = "always") -> Member:
        made.append(Member(between, name, tmp_path / name, durability))
        return made[-1]

    yield begin
    for member in made:
        if between.members.get(member.name) is member:
            member.kill()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    made = Store.open(tmp_path, "s")
    yield made
    made.close()


@pytest.fixture
def world() -> Iterator[World]:
    """A broker, no daemon yet."""
    made = World()
    made.broker.start()
    yield made
    made.end()
