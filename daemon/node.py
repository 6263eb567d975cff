"""One daemon: its spaces, its brokers, its socket, and the one loop in which time passes.

Knows: how the parts fit. Promises: the socket accepts before the replicas are loaded (and says LOADING meanwhile); a
broker that is down, or refuses, never stops reads and writes; `stop` stores and publishes what is pending and says
goodbye. Must not know: what a command or a frame means.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.brokers import Broker
from config.errors import ConfigError
from config.load import all_settings
from config.machine import Machine, make_run_dir
from config.reload import reloaded
from config.settings import SECRETS, Settings
from config.show import shown
from config.values import Address
from crdt import COMPILED
from crdt.replica.tuning import Tuning
from daemon import report
from daemon.api.database import Database
from daemon.api.hub import Section
from daemon.api.limits import Limits
from daemon.api.listeners import ListenError, TcpListener, UnixListener
from daemon.api.server import Server
from daemon.logs import configure, get_logger
from daemon.salvage import Damage, open_or_replace, replace
from daemon.space import Space
from daemon.store import Store, StoreCorrupt
from daemon.witness import Witness, boot_id, sweep
from transport.embedded import EmbeddedBroker
from transport.interface import EVERYWHERE, INBOX, PRESENCE, Incoming, Outgoing, Owner
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.multi import MqttTransport

if TYPE_CHECKING:
    from daemon.http import HttpServer

log = get_logger("node")

VERSION = installed("gossamer")
HOUSEKEEPING = 0.25  # seconds; longer and the WAL is folded by a commit that somebody waits for
CUT_BYTES = 1 << 20  # from clients, after which the next cut is made: so a frame of large values stays of bounded size
QUIET = 5_000  # operations since the last housekeeping: a collection over what so many left takes about 1 ms
STOP_WITHIN = 4.0  # seconds for goodbyes; exit follows within 5


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the daemon ends."""

    code: int
    text: str = ""


class Node:
    """See the module. `await run()` returns the exit code."""

    def __init__(self, settings: Settings, version: str = VERSION) -> None:
        """Nothing is opened yet. Make it inside the event loop it shall live in."""
        self.config = settings
        self.version = version
        self.settings: Mapping[str, str] = _all_shown(settings)
        self.rng = random.Random(int.from_bytes(os.urandom(16)))
        self.dice = random.SystemRandom()  # who we are is drawn from outside: a clone of the memory draws otherwise
        self._cut_at = 0  # what clients had sent by the last cut that was made for its size
        self._operations = 0  # as the last housekeeping saw them
        self.loading: str | None = "Gossamer is loading the replica from disk, try again in a moment"
        store = settings.store
        self.hold_replies = store.durability == "always"
        self.limits = _limits(settings)
        self.spaces: list[Space] = []
        self.databases: list[Database] = []
        self.started = time.monotonic()
        self.transport: MqttTransport | None = None
        self.server: Server | None = None
        self.http: HttpServer | None = None
        self._embedded: EmbeddedBroker | None = None
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Future[Stop] = self._loop.create_future()
        self._by_name: dict[str, Space] = {}
        self._damages: list[Damage | None] = []  # of each space's store, at this start
        self._run_dir = Path()
        self._boot: str | None = None
        self._commit_timer: asyncio.TimerHandle | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Open, serve until told to stop, close. Raises StoreError, ListenError, OSError for what cannot be opened."""
        opening = asyncio.create_task(self._open())
        try:
            await asyncio.wait((opening, self._stopping), return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
            stop = await self._stopping
        finally:
            opening.cancel()
            await asyncio.wait((opening,))
            await self._close()
        if stop.text:
            log.error("stopped", what=stop.text)
        else:
            log.info("stopped", what="asked to; everything is stored")
        return stop.code

    def stop(self, code: int = 0, text: str = "") -> None:
        """End the daemon in order. Only the first call counts."""
        if not self._stopping.done():
            self._stopping.set_result(Stop(code, text))

    def shutdown(self) -> None:
        """SHUTDOWN was called."""
        self.stop()

    def fail(self, code: int, text: str) -> None:
        """Something leaves no way to go on. What is not stored must not be acknowledged: code 1 ends at once."""
        if code == 1:
            log.critical("storage_failed", what=text, next="free space or repair the disk, then start again")
            sys.stderr.flush()
            os._exit(1)
        self.stop(code, text)

    async def _open(self) -> None:
        settings = self.config
        make_run_dir(settings.api.socket.parent, os.getuid())
        self._open_transport()
        self._open_spaces()
        password = settings.api.password
        self.server = Server(self, password.get_secret_value().encode() if password else None)
        await self._listen(self.server)
        if settings.api.http is not None:
            from daemon.http import HttpServer  # a third of a second to import, for those who ask for it

            self.http = HttpServer(self)
            with _listening("--http", settings.api.http):
                await self.http.start(settings.api.http.host, settings.api.http.port)
        name, path = settings.replica.name, str(settings.api.socket)
        core = "compiled" if COMPILED else "python"
        log.info("listening", name=name, socket=path, version=self.version, core=core)
        gc.collect()
        gc.disable()  # no data path makes reference cycles, and a pass over a million objects takes 0.1 s
        for space, damage in zip(self.spaces, self._damages, strict=True):
            await self._load(space, damage)
        gc.freeze()
        self.loading = None
        self._begin_timers()
        await self._connect()
        _notify_systemd()
        log.info(
            "ready", seconds=round(time.monotonic() - self.started, 3), keys=sum(len(s.state.keys) for s in self.spaces)
        )

    async def _load(self, space: Space, damage: Damage | None) -> None:
        try:
            await space.load()
        except StoreCorrupt as error:
            store, damage = replace(space.store, space.name, self.config.store.durability, error)
            space.start_anew(store, self._witness(store))
            await space.load()
        if damage is not None:
            space.housekeeping.tell(damage)
        state = space.state
        log.info(
            "loaded",
            space=space.name,
            keys=len(state.keys),
            rows=state.live,
            actor=str(state.actor),
            continued=space.continued,
        )

    async def _listen(self, server: Server) -> None:
        api = self.config.api
        await server.listen(UnixListener(api.socket, api.socket_mode, api.socket_group))
        if api.listen is not None:
            await server.listen(TcpListener(api.listen.host, api.listen.port))

    def _open_spaces(self) -> None:
        settings, transport = self.config, self.transport
        assert transport is not None
        store = settings.store
        tuning = _tuning(settings)
        inline, session = _inline(settings), self.dice.getrandbits(63)
        run = Machine.here().run_dir(os.environ)
        boot = boot_id() if _has_run_dir(run) else None
        sweep(run, boot)
        self._run_dir, self._boot = run, boot
        for index, name in enumerate(settings.replica.spaces):
            opened, damage = open_or_replace(store.dir, name, store.durability)
            self._damages.append(damage)
            space = Space(
                index, name, opened, self._witness(opened), settings.replica.name, tuning, transport, self.dice,
                session, self.fail, inline, store.log_budget,
            )  # fmt: skip
            space.on_promise = self._on_promise
            self.spaces.append(space)
            self.databases.append(space.database)
            self._by_name[name] = space

    def _on_promise(self) -> None:
        """A client of one space relies on this daemon: in none of them does it make room for a namesake any more."""
        for space in self.spaces:
            space.replica.acknowledged = True

    def _witness(self, store: Store) -> Witness:
        path = _witness_path(self._run_dir, self.config.replica.name, store)
        return Witness(path, store.identity, self._boot)

    async def _close(self) -> None:
        if self._commit_timer is not None:
            self._commit_timer.cancel()
        if self.server is not None:
            await self.server.close()
        if self.http is not None:
            await self.http.stop()
        farewell = []
        for space in self.spaces:
            if self.loading is None:
                space.close()
                farewell.append(Outgoing(space.name, PRESENCE, None, space.replica.presence(False)))
            else:
                space.leave()
        if len(farewell) > 1:
            farewell.append(self._presence(False))
        if self.transport is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.transport.stop(farewell), STOP_WITHIN)
        if self._embedded is not None:
            await self._embedded.stop()

    def reload(self, settings: Settings) -> None:
        """SIGHUP: take over what can change while running, and say what needs a restart."""
        outcome = reloaded(self.config, settings)
        self.config = settings = outcome.settings
        self.settings = _all_shown(settings)
        self.limits = _limits(settings)
        if self.server is not None:
            self.server.relimit()
        configure(settings.log.level, settings.log.format)
        for space in self.spaces:
            space.retune(_tuning(settings), settings.store.log_budget, _inline(settings))
        log.info("reloaded", changed=list(outcome.changed))
        if outcome.restart:
            log.warning(
                "restart_needed", what=f"changed, and not in effect before a restart: {', '.join(outcome.restart)}"
            )

    # -- the network --------------------------------------------------------------------------------------------------

    def _open_transport(self) -> None:
        settings = self.config
        mqtt = settings.mqtt
        self.transport = MqttTransport(
            MqttSettings(
                brokers=tuple(_address(broker) for broker in mqtt.brokers),
                replica=settings.replica.name,
                spaces=settings.replica.spaces,
                prefix=mqtt.prefix,
                keepalive_seconds=max(2, round(mqtt.keepalive)),
                max_message=mqtt.max_message,
                messages_per_second=mqtt.messages_per_second,
                bytes_per_second=mqtt.bytes_per_second,
                allow_plaintext=mqtt.allow_plaintext,
            ),
            self.rng,
        )
        self.transport.listen(
            Owner(self._on_message, self._on_connected, self._on_disconnected, self._will, self._busy)
        )

    async def _connect(self) -> None:
        embedded = self.config.mqtt.embedded
        if embedded is not None:
            self._embedded = EmbeddedBroker(embedded.host, embedded.port)
            with _listening("--embedded-broker", embedded):
                await self._embedded.start()
        assert self.transport is not None
        await self.transport.start()

    def _on_message(self, message: Incoming) -> None:
        if self._stopping.done():
            return
        # A presence that holds everywhere was not in all of our spaces, which the replicas know.
        spaces = self.spaces if message.space == EVERYWHERE else [self._by_name[message.space]]
        for space in spaces:
            space.receive(message.sender, message.lane == INBOX, message.data)

    def _on_connected(self) -> None:
        if len(self.spaces) > 1:
            assert self.transport is not None
            self.transport.publish(EVERYWHERE, PRESENCE, None, self._presence(True).data)
        for space in self.spaces:
            space.connected()

    def _on_disconnected(self) -> None:
        session = self.dice.getrandbits(63)
        for space in self.spaces:
            space.disconnected(session)

    def _presence(self, online: bool) -> Outgoing:
        """That we are here or gone, as one message: a connection has one last will, for however many spaces."""
        replica = self.spaces[0].replica
        if len(self.spaces) == 1:
            return Outgoing(self.spaces[0].name, PRESENCE, None, replica.presence(online))
        return Outgoing(EVERYWHERE, PRESENCE, None, replica.presence(online, everywhere=True))

    def _busy(self) -> bool:
        return any(space.busy for space in self.spaces)

    def _will(self) -> Outgoing:
        return self._presence(False)

    # -- what the API server asks for (daemon/api/hub.py) ------------------------------------------------------------

    def begin(self) -> None:
        """A batch of requests follows."""
        for space in self.spaces:
            space.begin()

    def settle(self) -> None:
        """The turn is over: commit what it wrote, where replies wait for that."""
        if self.loading is None:  # half a history must not be gone on with
            assert self.server is not None
            read = self.server.bytes_read
            much = read - self._cut_at > CUT_BYTES
            if much:
                self._cut_at = read
            for space in self.spaces:
                space.settle(much)

    def space_of(self, database: Database) -> Space:
        """The space behind a database."""
        return self.spaces[database.index]

    def status(self) -> dict[str, Any]:
        """The document of GET /status."""
        return report.status(self)

    def info(self, database: Database) -> Mapping[str, Section]:
        """Lines of INFO that only the node knows."""
        return report.info(self, database.index)

    def _collect_garbage(self) -> None:
        """Lost broker connections leave cycles. Look for them while there is little to look at, and never at data."""
        operations = sum(space.state.seq + space.state.vector_sum for space in self.spaces)
        if operations - self._operations < QUIET:
            gc.collect(0)
        gc.freeze()
        self._operations = operations

    # -- timers -------------------------------------------------------------------------------------------------------

    def _begin_timers(self) -> None:
        interval = self.config.store.commit_interval

        def commit() -> None:
            self._commit_timer = self._loop.call_later(interval, commit)
            for space in self.spaces:
                if space.replica.dirty:
                    space.begin()
                    space.commit()
                space.commits.sync()

        def housekeep() -> None:
            if not self._stopping.done():
                self._loop.call_later(HOUSEKEEPING, housekeep)
                self._collect_garbage()
                for space in self.spaces:
                    space.housekeeping.turn()

        commit()
        self._loop.call_later(HOUSEKEEPING, housekeep)


@contextmanager
def _listening(flag: str, address: Address) -> Iterator[None]:
    """What the system says of an address that cannot be had, as a sentence."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"{address} cannot be listened at: {reason}; pass another {flag}") from None


def _address(broker: Broker) -> BrokerAddress:
    password = broker.password.get_secret_value() if broker.password else None
    return BrokerAddress(
        broker.url, broker.host, broker.port, broker.tls, broker.username, password,
        broker.ca_file, broker.cert_file, broker.key_file,
    )  # fmt: skip


def _witness_path(run: Path, replica: str, store: Store) -> Path:
    """In the run directory, which is outside every data directory; a file for each store that was ever made."""
    return run / f"{replica}.{store.database_id.hex()}.witness"


def _has_run_dir(run: Path) -> bool:
    """Whether a witness can be kept. Without one every start is a new actor, which is no reason not to start."""
    try:
        make_run_dir(run, os.getuid())
    except ConfigError as error:
        log.warning("no_run_directory", what=f"{error}; until then every start is a new actor")
        return False
    return True


def _all_shown(settings: Settings) -> dict[str, str]:
    return {name: shown(settings, name) for name in all_settings() if name not in SECRETS}


def _tuning(settings: Settings) -> Tuning:
    gossip = settings.gossip
    return Tuning(
        interval=gossip.interval,
        heartbeat=gossip.heartbeat,
        max_message=settings.mqtt.max_message,
        held_bytes=settings.limits.held,
        frame_bytes=4 * settings.limits.transaction,
        actors=settings.limits.actors,
        max_drift_ms=int(gossip.max_drift * 1000),
        durable=settings.store.durability == "always",
        bridges=len(settings.mqtt.brokers) > 1,
    )


def _inline(settings: Settings) -> bool:
    """Whether each turn that wrote ends with a commit."""
    return settings.store.durability == "always" or settings.gossip.interval == 0


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(limits.key, limits.value, limits.request, limits.transaction, limits.reply_buffer, limits.clients)


def _notify_systemd() -> None:
    """READY=1 for a service manager that asked for it (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            sock.sendto(b"READY=1", address)
        except OSError as error:
            log.warning("notify_failed", what=f"NOTIFY_SOCKET {address}: {error}")
