"""How the demo's programs reach a daemon: redis-py, as any program would, with one thing set with care.

redis-py repeats a command by itself if the connection breaks. That is wrong for whoever counts: an INCR whose reply
was lost may have been done. So it is off here, and each program decides what it may repeat. Must not know: keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

AWAY = (Disconnected, TimedOut)
"""The daemon is not there, is loading, or went away before it replied."""

ANSWER_WITHIN = 15.0
"""Seconds; a commit on a busy disk may take a while, and giving up early leaves a write in doubt."""


def connect(socket: Path, answer_within: float = ANSWER_WITHIN, text: bool = True) -> Any:
    """A redis.Redis that connects with its first command; with `text` its replies are str.

    Typed as Any, because redis-py's own annotations know neither of these.
    """
    return redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=answer_within,
        retry=Retry(NoBackoff(), 0),
        decode_responses=text,
    )


def as_map(reply: Any) -> dict[bytes, Any]:
    """A map as RESP3 sends it, or as RESP2 does, keys and values in turn."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
