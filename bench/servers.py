"""The processes that are measured: started on free loopback ports and sockets in a temporary directory, ended by id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 60.0


PINNED = False  # --pin: measured servers on the first core, everything else on the others


class Skipped(Exception):
    """A part that this machine lacks."""


def need(program: str) -> str:
    """The path of a program. Raises Skipped."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Skipped(f"{program} is not installed")
    return found


def free_port() -> int:
    """A loopback port that nobody uses at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Process:
    """A child and the socket it answers at."""

    def __init__(
        self, arguments: list[str], log: Path, path: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.path = path
        self.log = log
        with log.open("ab") as out:
            self.child = subprocess.Popen(arguments, stdout=out, stderr=out, env={**os.environ, **(env or {})})

    def client(self) -> redis.Redis:
        """A client on its socket."""
        return redis.Redis(unix_socket_path=str(self.path), socket_timeout=DEADLINE)

    def ask(self, *words: object) -> Any:
        """The reply to any command."""
        return self.client().execute_command(*words)  # type: ignore[no-untyped-call]

    def ready(self) -> float:
        """Wait until it answers and has loaded; seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < DEADLINE:
            try:
                self.client().get("bench:ready")
            except redis.RedisError:
                if self.child.poll() is not None:
                    raise RuntimeError(f"ended at once, see {self.log}: {self.log.read_text()[-500:]}") from None
                time.sleep(0.002)
            else:
                return time.monotonic() - began
        raise RuntimeError(f"no answer within {DEADLINE} s, see {self.log}")

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        """Bytes of resident memory."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def pin(self, core: int) -> None:
        """Keep every thread of it on one core."""
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})

    def stop(self) -> None:
        """End it in order."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


@contextmanager
def redis_server(directory: Path, *arguments: str, name: str = "redis") -> Iterator[Process]:
    """redis-server with an append-only file and no snapshots of its own accord; replicas get theirs at once."""
    home = directory / name
    home.mkdir(exist_ok=True)
    path = directory / f"{name}.sock"
    command = [need("redis-server"), "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "yes"]
    command += ["--repl-diskless-sync-delay", "0"]
    process = Process([*command, "--dir", str(home), *arguments], directory / f"{name}.log", path)
    try:
        process.ready()
        yield process
    finally:
        process.stop()


@contextmanager
def redis_pair(directory: Path, *arguments: str) -> Iterator[tuple[Process, Process]]:
    """redis-server, and another one that has become its replica."""
    port = str(free_port())
    with (
        redis_server(directory, "--port", port, *arguments, name="pair-master") as master,
        redis_server(directory, "--replicaof", "127.0.0.1", port, *arguments, name="pair-replica") as replica,
    ):
        linked(replica)
        yield master, replica


def linked(replica: Process) -> None:
    """Wait until it has what its master has."""
    while replica.client().info()["master_link_status"] != "up":
        time.sleep(0.05)


@contextmanager
def broker(directory: Path) -> Iterator[int]:
    """mosquitto on a free port."""
    port = free_port()
    settings = directory / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    process = Process([need("mosquitto"), "-c", str(settings)], directory / "mosquitto.log")
    try:
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.stop()


@contextmanager
def daemon(directory: Path, name: str, port: int, *arguments: str, **environ: str) -> Iterator[Process]:
    """One of our daemons on this broker; `environ` has settings that are no flags."""
    with daemons(directory, (name,), port, *arguments, **environ) as (one,):
        yield one


@contextmanager
def daemons(
    directory: Path, names: Iterable[str], port: int, *arguments: str, **environ: str
) -> Iterator[list[Process]]:
    """Several of them, started side by side."""
    processes = [_launched(directory, name, port, *arguments, **environ) for name in names]
    try:
        for process in processes:
            process.ready()
        yield processes
    finally:
        for process in processes:
            process.stop()


def _launched(directory: Path, name: str, port: int, *arguments: str, **environ: str) -> Process:
    path = directory / f"{name}.sock"
    code = "from daemon.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "--name", name, "--socket", str(path)]
    command += ["--data-dir", str(directory / name), "--broker", f"mqtt://127.0.0.1:{port}", "--log-format", "console"]
    # As where it is installed: a start finds the sources as bytecode.
    env = {"PYTHONPYCACHEPREFIX": str(directory / "bytecode"), "PYTHONDONTWRITEBYTECODE": "", **environ}
    return Process([*command, *arguments], directory / f"{name}.log", path, env)


def connected(*daemons: Process) -> None:
    """Wait until each of the daemons sees all the others online."""
    for one in daemons:
        until = time.monotonic() + DEADLINE
        while one.client().info()["crdt_peers"] < len(daemons) - 1:
            if time.monotonic() > until:
                raise RuntimeError(f"{one.path} does not see its peers")
            time.sleep(0.02)


def converged(*daemons: Process, within: float = DEADLINE) -> float:
    """Wait until all have one hash; seconds that took."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        if len({one.ask("CRDT.HASH") for one in daemons}) == 1:
            return time.monotonic() - began
        time.sleep(0.01)
    raise RuntimeError(f"not converged within {within:.0f} s")
