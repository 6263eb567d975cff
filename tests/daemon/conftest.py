"""Spaces that talk to each other in memory (spaces.py), for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.store import Durability
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
