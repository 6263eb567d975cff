"""A session on spaces without replication, and a way to talk to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.api.dispatch import execute
from daemon.api.session import Session
from tests.oracle import Hub, Reply, open_session, reply

Ask = Callable[..., Any]


def plain(value: Reply) -> Any:
    """A reply as Python values: errors as text that begins with a minus, maps as lists of pairs."""
    kind, content = value
    if kind == "_":
        return None
    if kind == ":":
        return int(content)
    if kind == "-":
        return "-" + content.decode()
    if kind == "%":
        return [(plain(k), plain(v)) for k, v in zip(content[::2], content[1::2], strict=True)]
    return [plain(item) for item in content] if isinstance(content, list) else content


@pytest.fixture
def hub() -> Hub:
    """Sixteen empty spaces."""
    return Hub(seed=1)


@pytest.fixture
def session(hub: Hub) -> Session:
    """A connection that speaks RESP2."""
    return open_session(hub)


@pytest.fixture
def ask(session: Session) -> Ask:
    """ask("SET key", b"any bytes"): text is split at spaces, bytes are one argument each."""

    def say(*words: str | bytes) -> Any:
        args = [part for word in words for part in ([word] if isinstance(word, bytes) else word.encode().split())]
        return plain(reply(execute(session, args)))

    return say


@pytest.fixture
def heard(hub: Hub) -> Callable[[], list[str]]:
    """The events since the last call, as "event key"."""

    def events() -> list[str]:
        found = [*hub.told.events]
        hub.told.events.clear()
        return [f"{channel.decode().partition(':')[2]} {key.decode()}" for channel, key in found]

    return events
