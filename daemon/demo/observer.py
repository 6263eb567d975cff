"""Looks at one replica, again and again, through its socket, as anybody may.

Knows: CRDT.STATUS and the demo's keys. Promises: a glimpse is never older than a replica's silence; a replica that
hangs holds up nobody else. Must not know: how glimpses are shown.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import BusyLoadingError, RedisError

from daemon.demo.agent import COMPLETED, DOING, DONE, OPEN, SETTING, STATUS
from daemon.demo.clients import AWAY, as_map, connect
from daemon.demo.verdict import Reading

_EVERY = 0.2
"""Seconds between glimpses."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a peer is, as the replica knows it from the last HELLO."""

    peer: str
    state: str
    lag: int
    """Operations that the peer lacks."""
    behind: int
    """Operations that the replica lacks."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A replica at one moment."""

    state: str = "starting"
    """starting, ready, loading or down."""
    hash: str = ""
    open: int = 0
    doing: int = 0
    done: int = 0
    completed: int = 0
    keys: int = 0
    broker: str = ""
    peers: tuple[Distance, ...] = ()


class Observer(threading.Thread):
    """`glimpse` is the latest; stops with `stop`."""

    def __init__(self, replica: str, socket: Path) -> None:
        super().__init__(name=f"observer of {replica}", daemon=True)
        self.replica = replica
        self.glimpse = Glimpse()
        self._redis = connect(socket, 2.0)
        self._enough = threading.Event()

    def stop(self) -> None:
        """It ends soon."""
        self._enough.set()

    def run(self) -> None:
        while not self._enough.is_set():
            try:
                self.glimpse = look(self._redis)
            except BusyLoadingError:
                self.glimpse = Glimpse("loading")
            except AWAY:
                if self.glimpse.state != "starting":
                    self.glimpse = Glimpse("down")
            except (RedisError, ValueError, KeyError) as error:
                self.glimpse = Glimpse(f"strange: {error}"[:40])
            self._enough.wait(_EVERY)
        self._redis.close()


def look(client: Any) -> Glimpse:
    """One glimpse. Raises what redis-py raises."""
    with client.pipeline(transaction=False) as several:
        several.execute_command("CRDT.STATUS")
        several.scard(OPEN).scard(DOING).scard(DONE).get(COMPLETED)
        status, open_, doing, done, completed = several.execute()
    return _glimpse(json.loads(status), open_, doing, done, int(completed or 0))


def _glimpse(status: Mapping[str, Any], open_: int, doing: int, done: int, completed: int) -> Glimpse:
    space = status["spaces"][0]
    return Glimpse(
        state="ready",
        hash=space["state_hash"] or "",
        open=open_,
        doing=doing,
        done=done,
        completed=completed,
        keys=space["keys"],
        broker=status["brokers"][0]["state"] if status["brokers"] else "none",
        peers=tuple(
            Distance(peer["name"], peer["state"], peer["lag_operations"], peer["behind_operations"])
            for peer in status["peers"]
        ),
    )


class Inspector:
    """Asks a replica what only the end of a demo asks. Raises what redis-py raises."""

    def __init__(self, replica: str, socket: Path) -> None:
        self.replica = replica
        self._redis = connect(socket, text=False)  # contexts and tokens are bytes

    def close(self) -> None:
        """Ends its connection."""
        self._redis.close()

    def hash(self) -> str:
        """The state, in 32 hex digits."""
        return _text(self._redis.execute_command("CRDT.HASH"))

    def token(self) -> bytes:
        """For everything that the replica has acknowledged or applied so far."""
        token: bytes = self._redis.execute_command("CRDT.VV")
        return token

    def has(self, token: bytes) -> bool:
        """Whether the replica has all that the token names; asks for a millisecond."""
        return bool(self._redis.execute_command("CRDT.WAITFOR", token, 1))

    def dispute(self) -> tuple[bytes, list[str]]:
        """The context of the disputed setting, and its values, the shown one first."""
        reply = self._redis.execute_command("MV.GET", SETTING)
        if reply is None:
            return b"", []
        found = as_map(reply)
        return found[b"context"], [_text(as_map(sibling)[b"value"]) for sibling in found[b"siblings"]]

    def settle(self, value: str, context: bytes) -> None:
        """Replaces exactly the values that the context names."""
        self._redis.execute_command("MV.SET", SETTING, value, "CONTEXT", context)

    def read(self, disputed: frozenset[str]) -> Reading:
        """Everything the verdict needs; `disputed` as `dispute` told it before."""
        client = self._redis
        setting = client.get(SETTING)
        return Reading(
            replica=self.replica,
            hash=self.hash(),
            open=self._set(OPEN),
            doing=self._set(DOING),
            done=self._set(DONE),
            completed=int(client.get(COMPLETED) or 0),
            statuses={_text(agent): _text(status) for agent, status in client.hgetall(STATUS).items()},
            disputed=disputed,
            setting=None if setting is None else _text(setting),
        )

    def _set(self, key: str) -> frozenset[str]:
        return frozenset(_text(member) for member in self._redis.smembers(key))


def _text(value: bytes) -> str:
    return value.decode()
