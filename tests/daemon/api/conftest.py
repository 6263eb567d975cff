"""A server on a socket, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from daemon.api.session import Session
from tests.compiled import need_python
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


@pytest.fixture
def seen(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server does at the ends of its turns, in order: "settled", and "wrote" for each session with replies."""
    need_python()
    order: list[str] = []
    settle, flush = serving.hub.settle, Session.flush

    def settling() -> None:
        settle()
        order.append("settled")

    def flushing(session: Session) -> None:
        if session.out:
            order.append("wrote")
        flush(session)

    monkeypatch.setattr(serving.hub, "settle", settling)
    monkeypatch.setattr(Session, "flush", flushing)
    return order
