"""An agent against a Redis of a few lines that loses replies: the ledger says what was acknowledged, and no more."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from daemon.demo.agent import COMPLETED, DOING, DONE, OPEN, SETTING, STATUS, Agent
from daemon.demo.clients import Disconnected
from daemon.demo.ledger import Ledger

SOON = 10.0


class FakeRedis:
    """Enough of redis.Redis. `lose[name]` tells for the next calls of `name` whether they are done before they fail."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = defaultdict(set)
        self.hashes: dict[str, dict[str, str]] = defaultdict(dict)
        self.strings: dict[str, str] = {}
        self.lose: dict[str, list[bool]] = defaultdict(list)
        self.away = 0
        self.broken: Exception | None = None

    def _call(self, name: str, work: Callable[[], Any]) -> Any:
        if self.broken:
            raise self.broken
        if self.lose[name]:
            if self.lose[name].pop(0):
                work()
            self.away = 2
            raise Disconnected("gone")
        return work()

    def dbsize(self) -> int:
        if self.away:
            self.away -= 1
            raise Disconnected("not yet back")
        return 0

    def scard(self, key: str) -> int:
        return len(self.sets[key])

    def sismember(self, key: str, member: str) -> int:
        return int(member in self.sets[key])

    def srandmember(self, key: str) -> str | None:
        return min(self.sets[key], default=None)

    def sadd(self, key: str, member: str) -> Any:
        return self._call("sadd", lambda: self.sets[key].add(member))

    def hset(self, key: str, field: str, value: str) -> Any:
        return self._call("hset", lambda: self.hashes[key].update({field: value}))

    def set(self, key: str, value: str) -> Any:
        return self._call("set", lambda: self.strings.update({key: value}))

    def smove(self, source: str, target: str, member: str) -> Any:
        def move() -> int:
            if member not in self.sets[source]:
                return 0
            self.sets[source].discard(member)
            self.sets[target].add(member)
            return 1

        return self._call("smove", move)

    def pipeline(self, transaction: bool) -> FakePipeline:
        assert transaction
        return FakePipeline(self)

    def close(self) -> None:
        pass


class FakePipeline:
    """MULTI and EXEC."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._queue: list[Callable[[], object]] = []

    def __enter__(self) -> FakePipeline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def srem(self, key: str, member: str) -> FakePipeline:
        self._queue.append(lambda: self._redis.sets[key].discard(member))
        return self

    def sadd(self, key: str, member: str) -> FakePipeline:
        self._queue.append(lambda: self._redis.sets[key].add(member))
        return self

    def incr(self, key: str) -> FakePipeline:
        strings = self._redis.strings
        self._queue.append(lambda: strings.update({key: str(int(strings.get(key, 0)) + 1)}))
        return self

    def hset(self, key: str, field: str, value: str) -> FakePipeline:
        self._queue.append(lambda: self._redis.hashes[key].update({field: value}))
        return self

    def execute(self) -> None:
        self._redis._call("exec", lambda: [work() for work in self._queue])


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    made = FakeRedis()
    monkeypatch.setattr("daemon.demo.agent.connect", lambda socket: made)
    return made


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def agent(redis: FakeRedis, ledger: Ledger) -> Agent:
    """Not started: the tests call what it does."""
    return Agent("ada", "alpha", Path("/nowhere"), ledger, 1)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_it_works_and_the_ledger_agrees(agent: Agent, redis: FakeRedis, ledger: Ledger) -> None:
    agent.start()
    agent.decide("bold")
    _until(lambda: ledger.counted >= 3 and bool(ledger.settings))
    agent.stop()
    agent.join(SOON)
    assert agent.failure is None
    assert redis.sets[OPEN] | redis.sets[DOING] | redis.sets[DONE] == ledger.added
    assert redis.sets[DONE] == ledger.finished
    assert redis.strings[COMPLETED] == str(ledger.counted)
    assert redis.strings[SETTING] == "bold"
    assert ledger.statuses["ada"] == (redis.hashes[STATUS]["ada"],)
    assert ledger.unsure == 0


@pytest.mark.parametrize("done", [True, False])
def test_adding_is_repeated(agent: Agent, redis: FakeRedis, ledger: Ledger, done: bool) -> None:
    redis.lose["sadd"] = [done]
    agent._add_task()
    assert redis.sets[OPEN] == ledger.added == ledger.repeated == {"ada-1"}
    assert (ledger.writes, ledger.unsure) == (1, 1)


def test_a_lost_transaction_that_was_done_is_not_repeated(agent: Agent, redis: FakeRedis, ledger: Ledger) -> None:
    redis.lose["exec"] = [True]
    agent._finish("t")
    assert redis.strings[COMPLETED] == "1"
    assert (ledger.counted, ledger.perhaps_counted, ledger.finished) == (0, 1, set())
    assert redis.hashes[STATUS]["ada"] in ledger.statuses["ada"]


def test_a_lost_transaction_that_was_not_done_is_repeated(agent: Agent, redis: FakeRedis, ledger: Ledger) -> None:
    redis.lose["exec"] = [False, False]
    agent._finish("t")
    assert redis.strings[COMPLETED] == "1"
    assert (ledger.counted, ledger.perhaps_counted, ledger.finished) == (1, 2, {"t"})


@pytest.mark.parametrize(("done", "task"), [(True, "t"), (False, None)])
def test_a_lost_claim_is_looked_up(
    agent: Agent, redis: FakeRedis, ledger: Ledger, done: bool, task: str | None
) -> None:
    redis.sets[OPEN].add("t")
    redis.lose["smove"] = [done]
    assert agent._claim() == task
    assert ledger.claimed == set()
    assert ledger.unsure == 1


def test_a_task_that_another_took_first_is_left_to_it(
    agent: Agent, redis: FakeRedis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "srandmember", lambda key: "gone")
    assert agent._claim() is None
    assert ledger.writes == 0


def test_a_lost_status_is_said_again(agent: Agent, redis: FakeRedis, ledger: Ledger) -> None:
    redis.lose["hset"] = [True]
    agent._tell("at t")
    assert ledger.statuses == {"ada": ("at t",)}
    redis.lose["set"] = [False]
    agent._set_mood("bold")
    assert ledger.settings == {"bold"}
    assert ledger.unsure == 2


def test_an_error_reply_is_a_failure(agent: Agent, redis: FakeRedis) -> None:
    redis.broken = ResponseError("WRONGTYPE of something")
    agent.start()
    agent.join(SOON)
    assert agent.failure == "ada beside alpha: ResponseError: WRONGTYPE of something"


def test_a_daemon_that_stays_away_ends_the_work(
    agent: Agent, redis: FakeRedis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.demo.agent._PATIENCE", 0.0)
    redis.lose["sadd"] = redis.lose["smove"] = [False] * 10
    redis.sets[OPEN].add("t")
    agent.start()
    agent.join(SOON)
    assert not agent.is_alive()
    assert agent.failure is None
    assert ledger.writes == 0
