"""Looking at a replica: what is read out of its replies, and what is seen when there are none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from daemon.demo.agent import COMPLETED, DOING, DONE, OPEN, SETTING, STATUS
from daemon.demo.clients import Disconnected
from daemon.demo.observer import Distance, Inspector, Observer, look

SOON = 10.0
STATUS_DOCUMENT = {
    "spaces": [{"state_hash": "ab" * 16, "keys": 6}],
    "brokers": [{"state": "connected"}],
    "peers": [{"name": "beta", "state": "online", "lag_operations": 3, "behind_operations": 1}],
}


class FakeRedis:
    """Answers by command; a reply that is an exception is raised."""

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies = replies
        self.sent: list[tuple[object, ...]] = []
        self._queued: list[Any] | None = None

    def pipeline(self, transaction: bool) -> FakeRedis:
        assert not transaction
        several = FakeRedis(self.replies)
        several._queued = []
        return several

    def __enter__(self) -> FakeRedis:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self) -> list[Any]:
        assert self._queued is not None
        for reply in self._queued:
            if isinstance(reply, Exception):
                raise reply
        return self._queued

    def execute_command(self, *command: object) -> Any:
        self.sent.append(command)
        return self._answer(str(command[0]))

    def _answer(self, what: str) -> Any:
        reply = self.replies.get(what)
        if self._queued is not None:
            self._queued.append(reply)
            return self
        if isinstance(reply, Exception):
            raise reply
        return reply

    def scard(self, key: str) -> Any:
        return self._answer(f"SCARD {key}")

    def get(self, key: str) -> Any:
        return self._answer(f"GET {key}")

    def smembers(self, key: str) -> Any:
        return self._answer(f"SMEMBERS {key}")

    def hgetall(self, key: str) -> Any:
        return self._answer(f"HGETALL {key}")

    def close(self) -> None:
        pass


def _replies() -> dict[str, Any]:
    return {
        "CRDT.STATUS": json.dumps(STATUS_DOCUMENT),
        f"SCARD {OPEN}": 4,
        f"SCARD {DOING}": 1,
        f"SCARD {DONE}": 9,
        f"GET {COMPLETED}": "10",
    }


def test_a_glimpse() -> None:
    glimpse = look(FakeRedis(_replies()))
    assert (glimpse.state, glimpse.hash, glimpse.keys, glimpse.broker) == ("ready", "ab" * 16, 6, "connected")
    assert (glimpse.open, glimpse.doing, glimpse.done, glimpse.completed) == (4, 1, 9, 10)
    assert glimpse.peers == (Distance("beta", "online", 3, 1),)


def test_before_the_first_write_and_without_peers() -> None:
    bare = STATUS_DOCUMENT | {"brokers": [], "peers": []}
    glimpse = look(FakeRedis(_replies() | {"CRDT.STATUS": json.dumps(bare), f"GET {COMPLETED}": None}))
    assert (glimpse.completed, glimpse.broker, glimpse.peers) == (0, "none", ())


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_states_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRedis({"CRDT.STATUS": Disconnected("not there")})
    monkeypatch.setattr("daemon.demo.observer.connect", lambda *_, **__: fake)
    monkeypatch.setattr("daemon.demo.observer._EVERY", 0.001)
    observer = Observer("alpha", Path("/nowhere"))
    observer.start()
    assert observer.glimpse.state == "starting"
    for reply, state in (
        (BusyLoadingError("loading"), "loading"),
        (json.dumps(STATUS_DOCUMENT), "ready"),
        (Disconnected("gone"), "down"),
        (ResponseError("ERR what"), "strange: ERR what"),
    ):
        fake.replies = _replies() | {"CRDT.STATUS": reply}
        _until(lambda state=state: observer.glimpse.state == state)  # type: ignore[misc]
    observer.stop()
    observer.join(SOON)
    assert not observer.is_alive()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    made = FakeRedis({})
    monkeypatch.setattr("daemon.demo.observer.connect", lambda *_, **__: made)
    return made


def test_an_inspector_asks_for_the_end(fake: FakeRedis) -> None:
    siblings = [[b"value", b"bold", b"origin", b"x", b"time", 1], [b"value", b"quiet", b"origin", b"y", b"time", 2]]
    fake.replies = {
        "CRDT.HASH": b"ab" * 16,
        "CRDT.VV": b"demo.AAAA",
        "CRDT.WAITFOR": 1,
        "MV.GET": [b"context", b"\xff", b"siblings", siblings],
        f"SMEMBERS {OPEN}": {b"t1"},
        f"SMEMBERS {DOING}": set(),
        f"SMEMBERS {DONE}": {b"t2", b"t3"},
        f"GET {COMPLETED}": b"2",
        f"HGETALL {STATUS}": {b"ada": b"2 done"},
        f"GET {SETTING}": b"bold",
    }
    inspector = Inspector("alpha", Path("/nowhere"))
    assert inspector.token() == b"demo.AAAA"
    assert inspector.has(b"demo.AAAA")
    assert inspector.dispute() == (b"\xff", ["bold", "quiet"])
    inspector.settle("fast", b"\xff")
    assert fake.sent[-1] == ("MV.SET", SETTING, "fast", "CONTEXT", b"\xff")
    reading = inspector.read(frozenset({"bold"}))
    assert (reading.replica, reading.hash, reading.completed, reading.setting) == ("alpha", "ab" * 16, 2, "bold")
    assert (reading.open, reading.doing, reading.done) == ({"t1"}, frozenset(), {"t2", "t3"})
    assert reading.statuses == {"ada": "2 done"}


def test_an_inspector_of_an_empty_replica(fake: FakeRedis) -> None:
    fake.replies = {"CRDT.HASH": b"0" * 32, f"HGETALL {STATUS}": {}} | {
        f"SMEMBERS {key}": set() for key in (OPEN, DOING, DONE)
    }
    inspector = Inspector("alpha", Path("/nowhere"))
    assert inspector.dispute() == (b"", [])
    reading = inspector.read(frozenset())
    assert (reading.completed, reading.setting) == (0, None)
    inspector.close()
