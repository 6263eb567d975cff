"""An agent in a container: no network, only the socket of the daemon beside it.

It puts tasks on a list that all agents share, takes some, does them, and counts them, with redis-py as any program
would. While its daemon is away it waits; while the network is away it notices nothing.

Knows: the keys, redis-py, GOSSAMER_SOCKET and AGENT. Promises: a task done is counted in one transaction, so that the
agents' own numbers (`done`) always add up to the common one (`tasks:completed`). Must not know: other replicas, the
broker, whether anybody is connected.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

OPEN, COMPLETED, DONE, STATUS = "tasks:open", "tasks:completed", "done", "agents"
BACKLOG = 30
"""Open tasks beyond which nobody adds more."""
REPORT_EVERY = 5.0
"""Seconds."""
PULSE = Path("/tmp/last-step")
"""Touched after every step that the daemon acknowledged."""
STALE_AFTER = 15.0
"""Seconds without such a step after which the health check fails."""

AWAY = (redis.ConnectionError, redis.TimeoutError)
"""The daemon is not there, is loading, or went before it replied."""


class Agent:
    """One program with a name. It numbers its tasks from the clock, so that a restarted agent makes new ones."""

    def __init__(self, name: str, socket: str) -> None:
        self.name = name
        # redis-py would repeat a command whose reply was lost; that would count a task twice.
        # Any: redis-py's annotations do not know that with decode_responses every reply is text.
        self._redis: Any = redis.Redis(
            unix_socket_path=socket, socket_timeout=10, retry=Retry(NoBackoff(), 0), decode_responses=True
        )

    def step(self) -> None:
        """Adds a task or does one. Raises one of AWAY."""
        if random.random() < 0.5 and self._redis.scard(OPEN) < BACKLOG:
            self._redis.sadd(OPEN, f"{self.name}-{time.time_ns() // 1_000_000}")
            return
        task = self._redis.srandmember(OPEN)
        # Its removal is this agent's claim, against the agents of this daemon. On two sides of a partition two may
        # take the same task: better done twice than never.
        if task is None or not self._redis.srem(OPEN, task):
            return
        with self._redis.pipeline(transaction=True) as done:
            done.incr(COMPLETED).hincrby(DONE, self.name, 1).hset(STATUS, self.name, f"did {task}").execute()

    def report(self) -> str:
        """One line about all agents, as this one's daemon knows them. Raises one of AWAY."""
        done = self._redis.hgetall(DONE)
        each = " ".join(f"{name} {count}" for name, count in sorted(done.items()))
        return f"{self.name}: {self._redis.scard(OPEN)} open, {self._redis.get(COMPLETED) or 0} completed ({each})"


def work(agent: Agent, stop: threading.Event) -> None:
    """Until `stop`."""
    away = False
    report_at = 0.0
    while not stop.wait(random.uniform(0.1, 0.3)):
        try:
            agent.step()
            if time.monotonic() >= report_at:
                print(agent.report(), flush=True)
                report_at = time.monotonic() + REPORT_EVERY
            if away:
                print(f"{agent.name}: the daemon is back", flush=True)
            away = False
            PULSE.touch()
        except AWAY as error:
            if not away:
                print(f"{agent.name}: waiting for the daemon: {error}", flush=True)
            away = True


def check() -> int:
    """For the health check: 0 if the last step is fresh."""
    try:
        age = time.time() - PULSE.stat().st_mtime
    except FileNotFoundError:
        print("no step yet")
        return 1
    print(f"last step {age:.1f} s ago")
    return int(age > STALE_AFTER)


def main() -> int:
    if "--check" in sys.argv[1:]:
        return check()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        agent = Agent(os.environ["AGENT"], os.environ["GOSSAMER_SOCKET"])
    except KeyError as missing:
        print(f"set {missing.args[0]}: AGENT is this program's name, GOSSAMER_SOCKET its daemon's", file=sys.stderr)
        return 2
    work(agent, stop)
    print(f"{agent.name}: stopped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
