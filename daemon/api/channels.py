"""Channels and patterns, and the sessions subscribed to them.

Knows who listens to what and how a message is framed. Promises delivery in the order of publishing, at most once per
subscription. PUBLISH is local: nothing here leaves the daemon. Must not know why a message is published.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from daemon.api.glob import compile_glob
from daemon.api.resp import RESP2

if TYPE_CHECKING:
    import re

    from daemon.api.database import Database
    from daemon.api.session import Session

KEYSPACE = b"__key"
"""What the names of keyspace channels begin with."""


class Channels:
    """The subscriptions of one server. `keyspace`: somebody may be listening to keyspace events."""

    __slots__ = ("_compiled", "_databases", "channels", "keyspace", "patterns")

    def __init__(self, databases: Iterable[Database]) -> None:
        self.channels: dict[bytes, dict[Session, None]] = {}
        self.patterns: dict[bytes, dict[Session, None]] = {}
        self.keyspace = False
        self._compiled: dict[bytes, re.Pattern[bytes]] = {}
        self._databases = list(databases)
        for database in self._databases:
            database.attach(self)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send `message` to all subscribers; returns the number of deliveries."""
        count = 0
        receivers = self.channels.get(channel)
        if receivers:
            body = RESP2.bulk(b"message") + RESP2.bulk(channel) + RESP2.bulk(message)
            for session in list(receivers):
                session.push(session.resp.push_header(3) + body)
            count = len(receivers)
        for pattern, sessions in list(self.patterns.items()):
            if self._compiled[pattern].fullmatch(channel) is not None:
                body = b"".join(map(RESP2.bulk, (b"pmessage", pattern, channel, message)))
                for session in list(sessions):
                    session.push(session.resp.push_header(4) + body)
                count += len(sessions)
        return count

    def subscribe(self, channel: bytes, session: Session) -> None:
        """Add a session to a channel; again is harmless."""
        self.channels.setdefault(channel, {})[session] = None
        self._refresh()

    def unsubscribe(self, channel: bytes, session: Session) -> None:
        """Take a session from a channel; unknown pairs are ignored."""
        if _remove(self.channels, channel, session):
            self._refresh()

    def subscribe_pattern(self, pattern: bytes, session: Session) -> None:
        """Add a session to a glob pattern; again is harmless."""
        self.patterns.setdefault(pattern, {})[session] = None
        self._compiled[pattern] = compile_glob(pattern)
        self._refresh()

    def unsubscribe_pattern(self, pattern: bytes, session: Session) -> None:
        """Take a session from a pattern; unknown pairs are ignored."""
        if _remove(self.patterns, pattern, session):
            del self._compiled[pattern]
            self._refresh()

    def _refresh(self) -> None:
        # Any pattern counts: deciding which globs can match a keyspace channel is not worth the trouble.
        self.keyspace = bool(self.patterns) or any(channel.startswith(KEYSPACE) for channel in self.channels)
        for database in self._databases:
            database.refresh()


def _remove(table: dict[bytes, dict[Session, None]], name: bytes, session: Session) -> bool:
    """Take `session` from `name`; True if that left nobody and the name is gone."""
    sessions = table.get(name)
    if sessions is None or session not in sessions:
        return False
    del sessions[session]
    if sessions:
        return False
    del table[name]
    return True
