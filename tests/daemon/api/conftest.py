"""A server on a socket, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.api.serving import Client, Hub, Serving, serve

Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """A server with two spaces on a Unix socket."""
    async with serve(tmp_path / "s", Hub()) as running:
        yield running


@pytest.fixture
async def client(serving: Serving) -> Client:
    """One connection to it."""
    return await serving.client()
