"""The processes of a run: a mosquitto, daemons behind ways that can be cut, and the hands of the nemesis.

Knows: how each fault is done to a process or a way, and undone. Promises: acts only on processes that it started, by
their pids; `undo_all` leaves everything running and whole. Must not know: when faults come, what programs write.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos_parts.ledger import Ledger, Loss
from tests.chaos_parts.network import Network
from tests.chaos_parts.plan import BROKER, Act, Fault
from tests.daemon.processes import Broker, Daemon, World, free_port, until

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
SPACES = ("one", "two")
START_WITHIN = 60.0
END_WITHIN = 30.0
SYNCED = 2.0
"""Seconds after which a daemon with `durability = interval` has synced what it acknowledged; ten of its intervals."""
_EXPECTED = ("broker mqtt",)
"""How errors begin that the faults themselves explain."""


class Failed(Exception):
    """Something is as it must not be; the text says what."""


class TightBroker(Broker):
    """mosquitto; when `small`, it throws away what it may when a client is slow."""

    small = False

    def _config(self) -> Path:
        file = super()._config()
        if self.small:
            with file.open("a") as config:
                config.write("max_queued_messages 4\nmax_inflight_messages 4\nmax_queued_bytes 65536\n")
        return file


class Arena:
    """Started on entry, ended on exit; the folder goes with it unless `keep` is set."""

    def __init__(self, daemons: int, durability: str) -> None:
        self.names = NAMES[:daemons]
        self.durability = durability
        self.keep: Path | None = None
        """After the end: where the logs and data are, if they were kept."""
        self.done: Counter[Fault] = Counter()
        self.ledgers: Sequence[Ledger] = ()
        """Those of the programs that write at the moment."""
        self.world = World("mosquitto")
        self.world.broker = TightBroker("mosquitto", self.world.folder)
        self.world.broker.start()
        self.network = Network(self.world.broker.port, self.names)
        self.daemons: dict[str, Daemon] = {}
        self._active: list[Act] = []
        self._ports = {name: free_port() for name in self.names}
        self._repairs: dict[tuple[str, int], dict[str, int]] = {}
        self._stalled: dict[str, tuple[float, float]] = {}
        for name in self.names:
            spaces = [word for space in self.spaces_of(name) for word in ("--space", SPACES[space])]
            self.daemons[name] = self.world.daemon(
                name, "--broker", self.network.url(name), "--durability", durability, *spaces,
                "--http", f"127.0.0.1:{self._ports[name]}", GOSSAMER_STORE__LOG_BUDGET="1MiB",
            )  # fmt: skip

    def spaces_of(self, name: str) -> range:
        """Indices; the last daemon holds the first space alone."""
        return range(len(SPACES) if name != self.names[-1] else 1)

    def holders(self, space: int) -> list[str]:
        """The daemons that hold a space."""
        return [name for name in self.names if space in self.spaces_of(name)]

    def start(self) -> None:
        """Returns when all daemons serve."""
        for daemon in self.daemons.values():
            daemon.launch()
        self.wait_until_all_serve()

    def wait_until_all_serve(self) -> None:
        """Raises Failed."""
        for daemon in self.daemons.values():
            try:
                until(daemon._serves, f"{daemon.name} to serve", START_WITHIN)
            except AssertionError as error:
                raise Failed(str(error)) from None

    def end(self, keep: bool) -> None:
        """Ends every process; keeps the folder where it is if told to."""
        for daemon in self.daemons.values():
            if daemon.process is not None:
                daemon.kill()
        self.network.stop()
        self.world.broker.stop()
        if keep:
            self.keep = Path(f"{self.world.folder}-kept")
            shutil.move(self.world.folder, self.keep)
        self.world.end()

    # Faults.

    def strike(self, act: Act) -> None:
        """Do it."""
        self.done[act.fault] += 1
        self._active.append(act)
        if act.victim == BROKER:
            self.world.broker.stop()
        elif act.fault.grip == "way":
            self.network.strike(act.victim, act.fault)
        else:
            self._strike_process(act.fault, self.daemons[act.victim])

    def _strike_process(self, fault: Fault, daemon: Daemon) -> None:
        process = daemon.process
        assert process is not None
        if fault is Fault.PAUSE:
            self._stalled[daemon.name] = (time.monotonic(), float("inf"))
            process.send_signal(signal.SIGSTOP)
        elif fault is Fault.RESTART:
            process.send_signal(signal.SIGTERM)
        else:
            self.count_as_lost(daemon.name)
            daemon.kill()

    def count_as_lost(self, name: str) -> None:
        """Under `interval`: what it acknowledged just now need not survive the kill that follows."""
        if self.durability == "always":
            return
        now = time.monotonic()
        began, ended = self._stalled.get(name, (now, now))
        since = (began if now - ended < SYNCED else now) - SYNCED
        for ledger in self.ledgers:
            ledger.losses.append(Loss(self.short(name), since, float("inf")))

    def short(self, name: str) -> str:
        """The daemon's name without what makes it unique on this machine."""
        return name.rpartition("-")[0]

    def undo(self, act: Act) -> None:
        """Make it whole again. Raises Failed."""
        self._active.remove(act)
        if act.victim == BROKER:
            broker = self.world.broker
            assert isinstance(broker, TightBroker)
            broker.small = act.fault is Fault.BROKER_SMALL
            broker.start()
        elif act.fault.grip == "way":
            self.network.heal(act.victim)
        else:
            self._undo_process(act.fault, self.daemons[act.victim])

    def _undo_process(self, fault: Fault, daemon: Daemon) -> None:
        process = daemon.process
        if fault is Fault.PAUSE:
            assert process is not None
            process.send_signal(signal.SIGCONT)
            self._stalled[daemon.name] = (self._stalled[daemon.name][0], time.monotonic())
            return
        if fault is Fault.RESTART:
            assert process is not None
            try:
                status = process.wait(END_WITHIN)
            except subprocess.TimeoutExpired:
                raise Failed(f"{daemon.name} does not end {END_WITHIN:.0f} s after SIGTERM") from None
            # Before it has its handler, the signal ends it as any process.
            if status not in (0, -signal.SIGTERM):
                raise Failed(f"{daemon.name} ended with status {status} on SIGTERM")
        self.relaunch(daemon)

    def relaunch(self, daemon: Daemon) -> None:
        """A new process of one that ended."""
        now = time.monotonic()
        for ledger in self.ledgers:
            for i, loss in enumerate(ledger.losses):
                if loss.replica == self.short(daemon.name) and loss.until == float("inf"):
                    ledger.losses[i] = Loss(loss.replica, loss.since, now)
        daemon.launch()

    def undo_all(self) -> None:
        """What is still wrong is made whole."""
        for act in list(self._active):
            self.undo(act)

    def check(self) -> None:
        """Raises Failed if a process is gone that nobody ended."""
        ended = {act.victim for act in self._active if act.fault in (Fault.KILL, Fault.RESTART)}
        for name, daemon in self.daemons.items():
            if name not in ended and (daemon.process is None or daemon.process.poll() is not None):
                status = daemon.process.returncode if daemon.process else None
                raise Failed(f"{name} ended by itself with status {status}: {daemon.said()[-500:]}")

    # What it led to.

    def sample(self) -> None:
        """Take down how many repairs each process has made; one that is down or stopped is left out."""
        struck = {act.victim for act in self._active if act.fault.grip == "process"}
        for name, daemon in self.daemons.items():
            if name in struck or daemon.process is None:
                continue
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=2) as answer:
                    text = answer.read().decode()
            except OSError:
                continue  # it is starting
            found = re.findall(r'^gossamer_repairs_total{kind="(\w+)"} (\S+)$', text, re.MULTILINE)
            self._repairs[name, daemon.process.pid] = {kind: int(float(number)) for kind, number in found}

    def repairs(self) -> Counter[str]:
        """By kind, as far as they were taken down."""
        total: Counter[str] = Counter()
        for of_one in self._repairs.values():
            total.update(of_one)
        return total

    # Logs.

    def trouble(self) -> list[str]:
        """Lines of the daemons' logs that no fault explains: errors, alarms, tracebacks, what is no JSON."""
        found = []
        for name, daemon in self.daemons.items():
            for line in daemon.said().splitlines():
                record = _record(line)
                event = str(record.get("event", ""))
                bad = record.get("level") in ("error", "critical", None) and not event.startswith(_EXPECTED)
                if bad or "exception" in record or "Traceback" in line:
                    found.append(f"{name}: {line[:1000]}")
        return found


def _record(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
