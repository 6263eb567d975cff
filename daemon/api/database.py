"""One space as the API server sees it: the state to read and write, and who wants to hear of changes.

Knows which sessions watch which keys, who is blocked until a key holds something, whether anybody listens to keyspace
events, and where walks and draws over its keys stand. Promises that `touch` marks every watcher, remembers the key for
those blocked on it, and announces the event once. Must not know where a change came from: commands of this daemon and
the changes of peers call the same `touch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crdt.sampler import Sampler
from daemon.api.blocked import Blocked, Waiter
from daemon.api.scans import Scans

if TYPE_CHECKING:
    from crdt.state import State
    from daemon.api.channels import Channels
    from daemon.api.session import Session


class Database:
    """One space. `observed` is true while a touch reaches anybody; commands may skip `touch` when it is false."""

    __slots__ = (
        "_channels",
        "_event_prefix",
        "_key_prefix",
        "_shown",
        "_watchers",
        "blocked",
        "index",
        "name",
        "observed",
        "sampler",
        "scans",
        "state",
    )

    def __init__(self, index: int, name: str, state: State, shown: Callable[[int], object] = lambda seq: None) -> None:
        """`index` is the number SELECT takes; `shown(seq)`: a client is about to learn own operations up to `seq`."""
        self.index = index
        self.name = name
        self.state = state
        self.scans = Scans()
        self.sampler = Sampler()  # for RANDOMKEY
        self.blocked = Blocked()
        self.observed = False
        self._key_prefix = b"__keyspace@%d__:" % index
        self._event_prefix = b"__keyevent@%d__:" % index
        self._watchers: dict[bytes, dict[Session, None]] = {}
        self._channels: Channels | None = None
        self._shown = shown

    def begin(self, wall_ms: int) -> None:
        """A batch of requests or a message follows: set the clock, and announce what has expired."""
        self.state.begin(wall_ms)
        if self.state.lapsed:
            lapsed = self.state.take_lapsed()
            if self.observed:
                for key in lapsed:
                    self.touch(key, "expired")

    def touch(self, key: bytes, event: str) -> None:
        """`key` has changed: fail the transactions that watch it and send both keyspace events.

        Called after the change, once per key and kind of change; `event` is Redis's name (`set`, `sadd`, `del` ...).
        """
        self.changed(key)
        channels = self._channels
        if channels is not None and channels.keyspace:
            name = event.encode()
            channels.publish(self._key_prefix + key, name)
            channels.publish(self._event_prefix + name, key)

    def changed(self, key: bytes) -> None:
        """Fail the transactions that watch `key`, without an event (FLUSHDB sends none)."""
        for session in self._watchers.get(key, ()):
            session.stale = True
        if self.blocked:
            self.blocked.changed(key)

    def watched(self) -> list[bytes]:
        """The keys that some transaction watches."""
        return list(self._watchers)

    def watch(self, key: bytes, session: Session) -> None:
        """From now on a change of `key` makes `session` stale."""
        self._watchers.setdefault(key, {})[session] = None
        self.observed = True

    def unwatch(self, key: bytes, session: Session) -> None:
        """The session no longer cares for `key`; unknown pairs are ignored."""
        sessions = self._watchers.get(key)
        if sessions is None:
            return
        sessions.pop(session, None)
        if not sessions:
            del self._watchers[key]
            self.refresh()

    def block(self, waiter: Waiter) -> None:
        """Serve it as soon as it can be; see `Blocked`."""
        self.blocked.add(waiter)
        self.observed = True

    def unblock(self, waiter: Waiter) -> None:
        """It is no longer to be served."""
        self.blocked.forget(waiter)
        self.refresh()

    def serve(self) -> None:
        """What changed may be taken now: a command, a transaction or a peer's frame is through."""
        if self.blocked:
            self.blocked.serve()
            self.refresh()

    def written(self) -> int:
        """The own sequence number that a write of just now does not exceed."""
        return self.state.seq

    def show_dots(self) -> None:
        """A reply names own dots: from now on none of them may stand for anything else, not even after a crash."""
        self.state.name_pending()
        self._shown(self.state.seq)

    def attach(self, channels: Channels) -> None:
        """Announce keyspace events on `channels`; the server does this once."""
        self._channels = channels
        self.refresh()

    def refresh(self) -> None:
        """Recompute `observed` after watchers, waiters or subscriptions changed."""
        self.observed = bool(self._watchers or self.blocked) or (self._channels is not None and self._channels.keyspace)
