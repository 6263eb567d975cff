"""The processes of a run: two mosquittos, daemons behind ways that can be cut, and the hands of the nemesis.

Knows: how each fault is done to a process or a way, and undone. Promises: acts only on processes that it started, by
their pids; `undo_all` leaves everything running and whole. Must not know: when faults come, what programs write.
"""

from __future__ import annotations

import errno
import json
import os
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

from redis.exceptions import RedisError

from daemon.demo.clients import connect
from tests.chaos_parts.ledger import Ledger, Loss
from tests.chaos_parts.machine import Clock, Disks
from tests.chaos_parts.network import Network
from tests.chaos_parts.plan import BROKER, Act, Fault
from tests.daemon.processes import Broker, Daemon, World, free_port, until

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
SPACES = ("one", "two")
START_WITHIN = 60.0
END_WITHIN = 30.0
SYNCED = 2.0
"""Seconds after which a daemon with `durability = interval` has synced what it acknowledged; ten of its intervals."""
SECURED_WITHIN = 3.0
"""Seconds that a peer gets to store what a disk holds that is about to be lost."""
_EXPECTED = ("broker mqtt",)
"""How errors begin that the faults themselves explain."""
_EXPLAINED = {
    Fault.FULL: ("storage_failed", "join_failed", "housekeeping_failed"),
    Fault.SKEW: ("clock",),
}
"""And those that these explain."""
_FULL = (os.strerror(errno.ENOSPC), "disk is full")  # as the system says it, and SQLite
_ENDING = (Fault.KILL, Fault.RESTART, Fault.FULL, Fault.RESTORE, Fault.LOSE, Fault.COPY)
_BROKERS = (BROKER, "second broker")


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

    def __init__(self, daemons: int, durability: str, without: Sequence[Fault] = ()) -> None:
        self.names = NAMES[:daemons]
        self.durability = durability
        self._without = frozenset(without)
        self.keep: Path | None = None
        """After the end: where the logs and data are, if they were kept."""
        self.done: Counter[Fault] = Counter()
        self.ledgers: Sequence[Ledger] = ()
        """Those of the programs that write at the moment."""
        self.world = World("mosquitto")
        self.world.broker = TightBroker("mosquitto", self.world.folder)
        aside = self.world.folder / "second"
        aside.mkdir()
        self.brokers = {_BROKERS[0]: self.world.broker, _BROKERS[1]: TightBroker("mosquitto", aside)}
        for broker in self.brokers.values():
            broker.start()
        self.ways = {
            f"{name} to {broker}": (name, broker)
            for number, name in enumerate(self.names)
            for broker in (_BROKERS if number % 3 == 0 else (_BROKERS[number % 3 - 1],))
        }
        """The first and the fourth sit on both brokers, the others on one of them."""
        self.network = Network({way: self.brokers[broker].port for way, (_, broker) in self.ways.items()})
        self.disks = Disks(self.world.folder, self.names)
        self.clocks = {name: Clock(self.world.folder / f"{name}.clock") for name in self.names}
        self.daemons: dict[str, Daemon] = {}
        self.copies: dict[str, Daemon] = {}
        """By short name, of this round; they hold the spaces of the one whose directory they run on."""
        self._backups: dict[str, Path] = {}
        self._marks = 0
        self._active: list[Act] = []
        self._ports = {name: free_port() for name in self.names}
        self._repairs: dict[tuple[str, int], dict[str, int]] = {}
        self._stalled: dict[str, tuple[float, float]] = {}
        for name in self.names:
            spaces = [word for space in self.spaces_of(name) for word in ("--space", SPACES[space])]
            self.daemons[name] = self.world.daemon(
                name, *self._way_flags(name), "--durability", durability, *spaces,
                "--http", f"127.0.0.1:{self._ports[name]}", GOSSAMER_STORE__LOG_BUDGET="1MiB",
            )  # fmt: skip
            self.daemons[name].program = self.clocks[name].program()
            self.daemons[name].data = self.disks.path(name) / "data"

    def _way_flags(self, name: str) -> list[str]:
        ways = [way for way, (of, _) in self.ways.items() if of == name]
        return [word for way in ways for word in ("--broker", self.network.url(way))]

    def faults(self) -> tuple[Fault, ...]:
        """What can be done here: not everything on every machine, nor with every durability, nor if told not to."""
        impossible = set(self._without)
        if not self.disks.real:
            impossible.add(Fault.FULL)
        if self.durability != "always":
            impossible |= {Fault.RESTORE, Fault.LOSE}  # WAIT could not tell that others have it on disk
        return tuple(fault for fault in Fault if fault not in impossible)

    @property
    def running(self) -> dict[str, Daemon]:
        """The daemons and the copies."""
        return self.daemons | self.copies

    def spaces_of(self, name: str) -> range:
        """Indices; the last daemon holds the first space alone."""
        return range(len(SPACES) if name != self.names[-1] else 1)

    def holders(self, space: int) -> list[str]:
        """The daemons that hold a space."""
        return [name for name in self.running if space in self.spaces_of(name.partition("-copy")[0])]

    def start(self) -> None:
        """Returns when all daemons serve."""
        for daemon in self.daemons.values():
            daemon.launch()
        self.wait_until_all_serve()

    def wait_until_all_serve(self) -> None:
        """Raises Failed."""
        for daemon in self.running.values():
            try:
                until(daemon._serves, f"{daemon.name} to serve", START_WITHIN)
            except AssertionError as error:
                raise Failed(str(error)) from None

    def end(self, keep: bool) -> None:
        """Ends every process; keeps the folder where it is if told to."""
        for daemon in self.running.values():
            if daemon.process is not None:
                daemon.kill()
        self.network.stop()
        self.stop_brokers()
        if keep:
            self.keep = Path(f"{self.world.folder}-kept")
            shutil.copytree(self.world.folder, self.keep, ignore=_no_sockets)
        self.disks.release()
        self.world.end()

    def stop_brokers(self) -> None:
        """kill -9 of both."""
        for broker in self.brokers.values():
            broker.stop()

    # Faults.

    def strike(self, act: Act) -> None:
        """Do it."""
        self.done[act.fault] += 1
        self._active.append(act)
        if act.fault.grip == BROKER:
            self.brokers[act.victim].stop()
        elif act.fault.grip == "way":
            self.network.strike(act.victim, act.fault)
        elif act.fault is Fault.SKEW:
            self.clocks[act.victim].set(act.skew)
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
        elif fault is Fault.FULL:
            self.count_as_lost(daemon.name)
            self.disks.fill(self.short(daemon.name))
        elif fault in (Fault.RESTORE, Fault.LOSE):
            self._lose_disk(fault, daemon)
        else:
            self.count_as_lost(daemon.name)
            daemon.kill()

    def _lose_disk(self, fault: Fault, daemon: Daemon) -> None:
        """Its disk goes; what it acknowledged since a peer was seen to have stored everything goes with it."""
        name, since = self.short(daemon.name), time.monotonic()
        backup = self._backups.pop(name, None) if fault is Fault.RESTORE else None
        if (fault is Fault.RESTORE and backup is None) or not self._secured(name):
            if backup is not None:
                self._backups[name] = backup
            self.done[fault] -= 1
            self.done[Fault.KILL] += 1
            daemon.kill()
            return
        for ledger in self.ledgers:
            ledger.rolled.add(name)
            ledger.losses.append(Loss(name, since, float("inf")))
        daemon.kill()
        shutil.rmtree(daemon.data)
        if backup is not None:
            shutil.copytree(backup, daemon.data)
            shutil.rmtree(backup)

    def _secured(self, name: str) -> bool:
        """Whether a peer has stored all that this one holds; its frames name everything that it had applied."""
        self._marks += 1
        for space in self.spaces_of(name):
            there = connect(self.daemons[name].socket, SECURED_WITHIN + 1)
            try:
                with there.pipeline(transaction=False) as all_:
                    all_.select(space).set(f"nemesis:{name}", self._marks)
                    all_.execute_command("WAIT", 1, int(SECURED_WITHIN * 1000))
                    if all_.execute()[-1] < 1:
                        return False
            except (RedisError, OSError):
                return False
            finally:
                there.close()
        return True

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
        if act.fault.grip == BROKER:
            broker = self.brokers[act.victim]
            assert isinstance(broker, TightBroker)
            broker.small = act.fault is Fault.BROKER_SMALL
            broker.start()
        elif act.fault.grip == "way":
            self.network.heal(act.victim)
        elif act.fault is Fault.SKEW:
            self.clocks[act.victim].set(0.0)
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
        name = self.short(daemon.name)
        if fault is Fault.FULL:
            self.disks.empty(name)
            self._after_full(daemon)
        if name not in self._backups and daemon.data.exists():
            self._backups[name] = self.world.folder / f"{name}.backup"
            shutil.copytree(daemon.data, self._backups[name])
        if fault is Fault.COPY:
            self._copy(name)
        self.relaunch(daemon)

    def _after_full(self, daemon: Daemon) -> None:
        """One that could not store ends with status 1 by itself; one that had nothing to store is killed."""
        assert daemon.process is not None
        status = daemon.process.poll()
        if status is None:
            daemon.kill()
        elif status != 1:
            raise Failed(f"{daemon.name} ended with status {status} when its disk was full")

    def _copy(self, name: str) -> None:
        """A second daemon on a copy of the directory, under a name of its own; it lives until the round is over."""
        original, copy = self.daemons[name], f"{name}-copy"
        spaces = [word for space in self.spaces_of(name) for word in ("--space", SPACES[space])]
        broker = next(broker for of, broker in self.ways.values() if of == name)
        made = self.world.daemon(
            copy, "--broker", self.brokers[broker].url, "--durability", self.durability, *spaces,
            GOSSAMER_STORE__LOG_BUDGET="1MiB",
        )  # fmt: skip
        shutil.rmtree(made.data, ignore_errors=True)
        shutil.copytree(original.data, made.data)
        made.launch()
        self.copies[copy] = made

    def end_copies(self) -> None:
        """When all are equal: what they wrote is elsewhere. Raises Failed."""
        for name, daemon in self.copies.items():
            if status := daemon.terminate():
                raise Failed(f"{name} ended with status {status} on SIGTERM")
        self.copies = {}

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
        ended = {act.victim for act in self._active if act.fault in _ENDING}
        for name, daemon in self.running.items():
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
        explained = _EXPECTED + tuple(event for fault, of in _EXPLAINED.items() if self.done[fault] for event in of)
        for name, daemon in self.running.items():
            for line in daemon.said().splitlines():
                if self.done[Fault.FULL] and line.startswith("gossamer: ") and any(full in line for full in _FULL):
                    continue  # it was starting
                record = _record(line)
                event = str(record.get("event", ""))
                bad = record.get("level") in ("error", "critical", None) and not event.startswith(explained)
                if bad or "exception" in record or "Traceback" in line:
                    found.append(f"{name}: {line[:1000]}")
        return found


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied, and the ballast."""
    return [name for name in names if name == "ballast" or not (Path(folder) / name).exists() or
            (Path(folder) / name).is_socket()]  # fmt: skip


def _record(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
