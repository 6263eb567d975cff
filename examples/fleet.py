"""Three real daemons on a broker of their own, that meet only when they are told to.

An interval of an hour and `CRDT.SYNC` take chance out of the examples: what happens between two meetings is concurrent,
however quick the machine. In life nobody calls `meet`; an interval of 200 ms does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket

import redis

GOSSAMER = (sys.executable, "-P", "-c", "from daemon.cli import main; main(prog_name='gossamer')")
NAMES = ("ada", "bob", "cyd")
PATIENCE = 30.0  # seconds until a step is given up
Agents = tuple[redis.Redis, redis.Redis, redis.Redis]


@contextmanager
def fleet() -> Iterator[tuple[Callable[[], None], Agents]]:
    """(meet, the three agents' connections), for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="gs-examples-") as home, ExitStack() as ends:
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            broker = f"127.0.0.1:{probe.getsockname()[1]}"
        for at, name in enumerate(NAMES):
            reach = ("--embedded-broker", broker) if at == 0 else ("--broker", f"mqtt://{broker}")
            ends.callback(_end, _start(Path(home), name, reach))
        agents = tuple(
            redis.Redis(unix_socket_path=f"{home}/{name}.sock", protocol=3, socket_timeout=2 * PATIENCE)
            for name in NAMES
        )
        for agent in agents:
            ends.callback(agent.close)
            _until(lambda agent=agent: _sees_all(agent))  # type: ignore[misc]
        yield lambda: _meet(agents), agents  # type: ignore[misc]


def _start(home: Path, name: str, reach: tuple[str, str]) -> subprocess.Popen[bytes]:
    where = ("--socket", f"{home}/{name}.sock", "--data-dir", f"{home}/{name}", "--space", "examples")
    slow = ("--interval", "1h", "--heartbeat", "500ms", "--log-level", "error")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GOSSAMER_")}
    return subprocess.Popen([*GOSSAMER, "run", "--name", name, *where, *slow, *reach], env=clean)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(PATIENCE)


def _sees_all(agent: redis.Redis) -> bool:
    peers = agent.execute_command("CRDT.PEERS")
    return len(peers) == len(NAMES) - 1


def _meet(agents: Agents) -> None:
    """Everybody publishes, and waits until it has what everybody had."""
    tokens = [agent.execute_command("CRDT.VV") for agent in agents]
    for agent in agents:
        agent.execute_command("CRDT.SYNC")
    for agent in agents:
        for token in tokens:
            if not agent.execute_command("CRDT.WAITFOR", token, int(PATIENCE * 1000)):
                raise TimeoutError("the replicas did not meet: see what the daemons wrote above")


def _until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if done():
                return
        except (redis.ConnectionError, redis.ResponseError) as error:  # it starts, or looks for the broker
            reason = error
        else:
            reason = None
        if time.monotonic() > deadline:
            raise TimeoutError("the daemons did not find each other") from reason
        time.sleep(0.02)
