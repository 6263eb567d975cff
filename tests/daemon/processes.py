"""Brokers and daemons as processes of their own, as users run them; redis-py is the client.

Everything is synchronous and waits on conditions with a deadline. A `World` gives free ports, names nobody else uses
(root's run directory is shared by all) and ends what it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import redis
from redis.exceptions import BusyLoadingError, ConnectionError

from config.machine import Machine

T = TypeVar("T")
SOON = 15.0
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
GOSSAMER = (sys.executable, "-P", "-c", "from daemon.cli import main; main(prog_name='gossamer')")
_AMQTT = """
import asyncio, sys
from transport.embedded import EmbeddedBroker

async def main():
    await EmbeddedBroker("127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


def until(condition: Callable[[], T], what: str, within: float = SOON) -> T:
    """The first true value of it; a daemon that is away or loading counts as false."""
    deadline = time.monotonic() + within
    while True:
        try:
            value = condition()
        except (ConnectionError, BusyLoadingError, OSError):
            value = None  # type: ignore[assignment]
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A TCP port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """mosquitto or amqtt on a port that stays the same. `passwords`: user:password pairs, mosquitto only."""

    def __init__(self, kind: str, folder: Path, passwords: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._folder = folder
        self._passwords = passwords
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to listen."""
        command = [sys.executable, "-P", "-c", _AMQTT, str(self.port)]
        if self.kind == "mosquitto":
            assert MOSQUITTO is not None
            command = [MOSQUITTO, "-c", str(self._config())]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: accepts(self.port), f"{self.kind} to listen")

    def stop(self) -> None:
        """kill -9; does nothing to one that is down."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _config(self) -> Path:
        lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true"]
        if os.geteuid() == 0:
            lines.append("user root")  # it would become a user who cannot read the test's directory
        if self._passwords is None:
            lines.append("allow_anonymous true")
        else:
            file = self._folder / "passwords"
            file.write_text("".join(f"{user}:{password}\n" for user, password in self._passwords.items()))
            subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)
            lines += ["allow_anonymous false", f"password_file {file}"]
        config = self._folder / "broker.conf"
        config.write_text("\n".join(lines) + "\n")
        return config


class Daemon:
    """One daemon: socket, data and log in the world's folder."""

    def __init__(self, world: World, name: str, *flags: str, **environ: str) -> None:
        self.world = world
        self.name = name
        self.data = world.folder / f"{name}.data"
        self.socket = world.folder / f"{name}.sock"
        self.log = world.folder / f"{name}.log"
        self.flags = flags
        self.environ = environ
        self.program: tuple[str, ...] = GOSSAMER
        self.process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    def command(self) -> list[str]:
        """What is run."""
        given = " ".join(self.flags)
        fixed = [
            ("--config", os.devnull), ("--name", self.name), ("--broker", self.world.broker.url),
            ("--socket", str(self.socket)), ("--data-dir", str(self.data)), ("--interval", "50ms"),
            ("--heartbeat", "500ms"), ("--log-format", "json"),
        ]  # fmt: skip
        usual = [word for flag, value in fixed if flag not in given for word in (flag, value)]
        if "--embedded-broker" in given:
            at = usual.index("--broker")
            del usual[at : at + 2]
        return [*self.program, "run", *usual, *self.flags]

    def launch(self) -> None:
        """Start the process, and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.world.environ() | self.environ,
                start_new_session=True,
            )

    def start(self, connected: bool = True) -> Daemon:
        """Start it, and wait until it serves (and is connected to a broker)."""
        self.launch()
        until(self._serves, f"{self.name} to serve")
        if connected:
            until(lambda: self.brokers()[0]["state"] == "connected", f"{self.name} to be connected")
        return self

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}: {self.said()}"
        self.redis.dbsize()
        return True

    @property
    def redis(self) -> redis.Redis:
        """A client of its socket."""
        if self._client is None:
            self._client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=SOON)
        return self._client

    def do(self, *words: Any) -> Any:
        """Any command."""
        return self.redis.execute_command(*words)

    def status(self) -> dict[str, Any]:
        """The document of CRDT.STATUS."""
        import json

        found: dict[str, Any] = json.loads(self.do("CRDT.STATUS"))
        return found

    def brokers(self) -> list[dict[str, Any]]:
        """The brokers of the status."""
        found: list[dict[str, Any]] = self.status()["brokers"]
        return found

    def actor(self) -> str | None:
        """Its incarnation."""
        found: str | None = self.status()["spaces"][0]["incarnation"]
        return found

    def has(self, key: str, *members: str) -> bool:
        """Whether a set is exactly this."""
        return self.redis.smembers(key) == {member.encode() for member in members}

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Until it ends by itself; the exit status."""
        process = self.process
        assert process is not None
        status = process.wait(SOON)
        self.process = None
        return status

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        try:
            return process.wait(SOON)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


class World:
    """A broker, and daemons by short names."""

    def __init__(self, kind: str | None = None, passwords: Mapping[str, str] | None = None) -> None:
        # Short, because the paths of sockets are.
        self.folder = Path(tempfile.mkdtemp(prefix="gs", dir="/tmp"))
        self.suffix = uuid.uuid4().hex[:8]
        self.broker = Broker(kind or ("mosquitto" if MOSQUITTO else "amqtt"), self.folder, passwords)
        self.daemons: list[Daemon] = []

    def environ(self) -> dict[str, str]:
        """What a daemon or a command line finds; nothing of the user's own daemon."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOSSAMER_", "NOTIFY_"))}
        mine = {"XDG_RUNTIME_DIR": str(self.folder), "XDG_STATE_HOME": str(self.folder), "NO_COLOR": "1"}
        return kept | mine

    def daemon(self, name: str, *flags: str, **environ: str) -> Daemon:
        """One that is not started."""
        made = Daemon(self, f"{name}-{self.suffix}", *flags, **environ)
        self.daemons.append(made)
        return made

    def start(self, *names: str) -> list[Daemon]:
        """Several, started at the same time, all connected and known to each other."""
        made = [self.daemon(name) for name in names]
        for daemon in made:
            daemon.launch()
        for daemon in made:
            until(daemon._serves, f"{daemon.name} to serve")
        for daemon in made:
            until(lambda d=daemon: len(online(d)) == len(names) - 1, f"{daemon.name} to know all")  # type: ignore[misc]
        return made

    def gossamer(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The command line."""
        return subprocess.run(
            [*GOSSAMER, *words], capture_output=True, text=True, timeout=SOON, env=self.environ(), **options
        )

    def end(self) -> None:
        """Stop everything, and remove it."""
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.kill()
        self.broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        for file in Machine.here().run_dir(os.environ).glob(f"*-{self.suffix}.*"):
            file.unlink(missing_ok=True)


def online(daemon: Daemon) -> list[str]:
    """The peers it has heard of lately."""
    return [peer["name"] for peer in daemon.status()["peers"] if peer["state"] == "online"]


def converged(*daemons: Daemon) -> bool:
    """Whether all hold the same, and know it."""
    spaces = [daemon.status()["spaces"][0] for daemon in daemons]
    same = len({space["state_hash"] for space in spaces}) == 1 and len({str(space["vv"]) for space in spaces}) == 1
    return same and all(space["converged"] for space in spaces)
