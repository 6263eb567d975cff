"""Clients that wait until a key of one space holds something they can take: BLPOP and its kin.

Knows who waits for which keys, in the order in which they came, and which of those keys have changed. Promises what
Redis does: who came first is served first, a key that changed first is looked at first, and nobody is served twice.
Must not know what is taken, nor sessions: a waiter is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Attempt = Callable[[bytes], bool]
"""Try to take from this key and answer the client; False if there is nothing to take."""


class Waiter:
    """One blocked request: the keys it waits for, and how to serve it."""

    __slots__ = ("attempt", "keys")

    def __init__(self, keys: Iterable[bytes], attempt: Attempt) -> None:
        self.keys = dict.fromkeys(keys)
        self.attempt = attempt


class Blocked:
    """The waiters of one space."""

    __slots__ = ("_ready", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[bytes, dict[Waiter, None]] = {}
        self._ready: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, waiter: Waiter) -> None:
        """From now on it is served when one of its keys can be taken from; until `forget`."""
        for key in waiter.keys:
            self._waiting.setdefault(key, {})[waiter] = None

    def forget(self, waiter: Waiter) -> None:
        """It has been served, or its time is up, or its client has gone."""
        for key in waiter.keys:
            waiting = self._waiting.get(key, {})
            waiting.pop(waiter, None)
            if not waiting:
                self._waiting.pop(key, None)

    def changed(self, key: bytes) -> None:
        """The key may hold something now; `serve` will look."""
        if key in self._waiting:
            self._ready[key] = None

    def serve(self) -> None:
        """Serve whoever waits for the keys that have changed, and for those that change because of that."""
        while self._ready:
            key = next(iter(self._ready))
            del self._ready[key]
            for waiter in list(self._waiting.get(key, ())):
                if waiter not in self._waiting.get(key, ()):
                    continue
                if waiter.attempt(key):
                    self.forget(waiter)
