"""The node: it serves before it has loaded, goes on without a broker, and ends in order."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from config.load import load
from crdt.replica import messages
from crdt.state import State
from crdt.types import strings
from daemon.housekeeping import Housekeeping
from daemon.node import Node
from daemon.space import Space
from daemon.store import Store, StoreBusy, StoreCorrupt
from tests.daemon.nodes import a_folder, ask, running, settings
from tests.daemon.spaces import until
from transport.embedded import EmbeddedBroker
from transport.multi import MqttTransport


@pytest.fixture
async def folder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    async with a_folder(monkeypatch) as made:
        yield made


@pytest.fixture
def slow_load(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Loading waits for this event."""
    go = asyncio.Event()
    load_really = Space.load

    async def load_later(self: Space) -> None:
        await go.wait()
        await load_really(self)

    monkeypatch.setattr(Space, "load", load_later)
    return go


async def test_the_socket_answers_while_it_loads(folder: Path, slow_load: asyncio.Event) -> None:
    async with running(settings(folder), ready=False) as node:
        await until((folder / "a.sock").exists, "the socket")
        assert await ask(folder / "a.sock", "PING") == b"+PONG\r\n"
        assert (await ask(folder / "a.sock", "GET k")).startswith(b"-LOADING Gossamer is loading")
        slow_load.set()
        await until(lambda: node.loading is None, "it to be ready")
        assert await ask(folder / "a.sock", "GET k") == b"$-1\r\n"


async def test_the_log_says_which_core_runs(folder: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(settings(folder)):
            pass
    (line,) = [line for line in lines if line["event"] == "listening"]
    assert line["core"] == ("python" if inspect.isfunction(State.apply) else "compiled")


async def test_nothing_is_cut_while_it_loads(folder: Path, slow_load: asyncio.Event) -> None:
    """A replay passes through states that would have something to say, of which the log holds what was said."""
    async with running(settings(folder), ready=False) as node:
        await until((folder / "a.sock").exists, "the socket")
        state = node.spaces[0].state
        state.begin(1)
        strings.put(state, b"k", b"v")
        assert await ask(folder / "a.sock", "PING") == b"+PONG\r\n"
        assert (state.seq, state.me.applied) == (1, 0)
        slow_load.set()
        await until(lambda: node.loading is None, "it to be ready")


async def test_a_stop_while_it_loads_ends_at_once(folder: Path, slow_load: asyncio.Event) -> None:
    node = Node(settings(folder))
    task = asyncio.create_task(node.run())
    await until((folder / "a.sock").exists, "the socket")
    began = time.monotonic()
    node.stop()
    assert await task == 0
    assert time.monotonic() - began < 3
    assert not (folder / "a.sock").exists()


@pytest.mark.parametrize("durability", ["always", "interval", "never"])
async def test_what_was_written_is_there_after_a_restart(folder: Path, durability: str) -> None:
    given = settings(folder, durability=durability, interval="1h")
    async with running(given) as node:
        assert await ask(folder / "a.sock", "SADD s 1") == b":1\r\n"
        actor = node.spaces[0].state.actor
    assert not gc.get_freeze_count()
    async with running(given) as node:
        assert await ask(folder / "a.sock", "SISMEMBER s 1") == b":1\r\n"
        assert node.spaces[0].state.actor == actor


async def test_commits_come_by_themselves(folder: Path) -> None:
    async with running(settings(folder, durability="interval")) as node:
        await ask(folder / "a.sock", "SADD s 1")
        space = node.spaces[0]
        await until(lambda: space.replica.own_stored == 1, "a commit")
        assert space.replica.acknowledged


async def test_much_that_clients_sent_is_cut_however_few_operations_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.node.CUT_BYTES", 10_000)
    async with running(settings(folder, durability="never")) as node:
        space = node.spaces[0]
        space.commit = lambda: None  # type: ignore[method-assign]
        cuts = []
        for key in "abc":
            await ask(folder / "a.sock", f"SET {key} {'x' * 6_000}")
            await asyncio.sleep(0)  # the reply leaves before the turn has settled
            cuts.append(space.state.me.applied)
        assert cuts == [0, 2, 2]


async def test_an_interval_of_0_commits_each_turn(folder: Path) -> None:
    async with running(settings(folder, durability="never", interval="0")) as node:
        assert node.spaces[0].inline
        await ask(folder / "a.sock", "SADD s 1")
        assert node.spaces[0].replica.own_stored == 1


async def test_what_is_published_at_once_is_synced_every_commit_interval(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Store] = []
    monkeypatch.setattr(Store, "sync", lambda store: synced.append(store))
    given = settings(folder, durability="interval", interval="0")
    store = given.store.model_copy(update={"commit_interval": 0.01})
    async with running(given.model_copy(update={"store": store})) as node:
        for number in (1, 2):
            await ask(folder / "a.sock", f"SADD s {number}")
            await until(lambda count=number: len(synced) == count, "a sync")
        await asyncio.sleep(0.05)
        assert synced == [node.spaces[0].store] * 2, "an idle one has nothing to sync"


async def test_housekeeping_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tidied: list[str] = []
    monkeypatch.setattr("daemon.node.HOUSEKEEPING", 0.01)
    monkeypatch.setattr(Housekeeping, "_tidy", lambda self: tidied.append(self._space.name))
    async with running(settings(folder, space=("one", "two"))):
        await until(lambda: tidied.count("one") > 2 and tidied.count("two") > 2, "some rounds")


async def test_two_nodes_and_a_broker(folder: Path) -> None:
    broker = EmbeddedBroker()
    await broker.start()
    try:
        other = {"name": "b", "socket": str(folder / "b.sock"), "data_dir": str(folder / "b")}
        url = (broker.url,)
        async with running(settings(folder, broker=url)) as a, running(settings(folder, broker=url, **other)) as b:
            await ask(folder / "a.sock", "SADD s 1")
            await until(lambda: b.spaces[0].state.keys, "b to have it")
            assert a.status()["brokers"][0]["state"] == "connected"
    finally:
        await broker.stop()


async def test_the_code_of_a_failure_is_the_exit_code(folder: Path) -> None:
    node = Node(settings(folder))
    task = asyncio.create_task(node.run())
    await until(lambda: node.loading is None, "it to be ready")
    node.fail(7, "the name is taken")
    node.stop()
    assert await task == 7
    gc.enable()
    gc.unfreeze()


async def test_what_cannot_be_opened_leaves_nothing_behind(folder: Path) -> None:
    given = settings(folder)
    async with running(given):
        other = settings(folder, socket=str(folder / "b.sock"))
        with pytest.raises(StoreBusy):
            await Node(other).run()
        assert not (folder / "b.sock").exists()
    async with running(given):
        pass


async def test_a_damaged_checkpoint_is_replaced_at_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, calls = Space.load, []

    async def damaged(self: Space) -> None:
        calls.append(self.state.actor)
        if len(calls) == 1:
            raise StoreCorrupt("default.db is damaged: a segment has changed; restore it or move it away")
        await load(self)

    monkeypatch.setattr(Space, "load", damaged)
    async with running(settings(folder)) as node:
        (space,) = node.spaces
        assert space.alarms.counts == {"damaged_store": 1} and calls[0] != calls[1] == space.state.actor
        assert space.database.state is space.state is space.replica.state
        assert space.store.path.with_name("default.db.damaged-1").exists()


async def test_a_transport_that_hangs_does_not_keep_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(self: MqttTransport, farewell: object = ()) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("daemon.node.STOP_WITHIN", 0.05)
    monkeypatch.setattr(MqttTransport, "stop", hang)
    node = Node(settings(folder))
    task = asyncio.create_task(node.run())
    await until(lambda: node.loading is None, "it to be ready")
    node.stop()
    assert await task == 0
    gc.enable()
    gc.unfreeze()


async def test_reload(folder: Path) -> None:
    async with running(settings(folder, durability="interval")) as node:
        changed = folder / "changed.toml"
        changed.write_text("[limits]\nvalue = 20\n[store]\nlog_budget = '2MiB'\n[replica]\nname = 'other'\n")
        flags = {"config": str(changed), "interval": "0", "socket": str(folder / "a.sock"), "data_dir": "/x"}
        node.reload(load(flags, {}).settings)
        assert node.limits.value == 20
        assert node.settings["limits.value"] == "20"
        assert node.config.replica.name == "a"
        (space,) = node.spaces
        assert space.housekeeping.log_budget == 2 << 20
        assert space.replica.tuning.interval == 0
        assert space.inline


@pytest.mark.parametrize("wrote", [True, False])
async def test_who_has_promised_a_write_in_one_space_makes_room_in_none(folder: Path, wrote: bool) -> None:
    async with running(settings(folder, space=("one", "two"))) as node:
        assert not wrote or await ask(folder / "a.sock", "SET k v") == b"+OK\r\n"
        space = node.spaces[1]
        taken = messages.encode(messages.Taken(space.replica.session, space.replica.session ^ 1, True))
        space.receive("a", True, taken)
        assert space.alarms.counts == {"name_shared" if wrote else "name_taken": 1}
        assert node._stopping.done() is not wrote


async def test_the_service_manager_hears_when_it_is_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        async with running(settings(folder)):
            assert manager.recv(100) == b"READY=1"


async def test_without_a_run_directory_every_start_is_a_new_actor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "run").write_text("in the way")
    given = settings(folder)
    actors = []
    for _ in range(2):
        async with running(given) as node:
            await ask(folder / "a.sock", "SADD s 1")
            actors.append(node.spaces[0].state.actor)
    assert len(set(actors)) == 2


async def test_the_witness_is_not_in_the_data_directory(folder: Path) -> None:
    async with running(settings(folder, space=("one", "two"))) as node:
        names = {f"a.{space.store.database_id.hex()}.witness" for space in node.spaces}
        assert {path.name for path in (folder / "run").iterdir()} == names
        assert not any("witness" in path.name for path in (folder / "data").iterdir())
        assert all(path.stat().st_uid == os.getuid() for path in (folder / "run").iterdir())


async def test_settings_for_config_get_hold_no_secrets(folder: Path) -> None:
    given = load({"config": os.devnull, "listen": "127.0.0.1:0"}, {"GOSSAMER_API__PASSWORD": "sesame"}).settings
    node = Node(given)
    assert "api.password" not in node.settings
    assert "sesame" not in str(node.settings)


async def test_connections_that_come_and_go_leave_no_cycles(folder: Path) -> None:
    """The collector is off: whatever it would find now stays for ever."""
    async with running(settings(folder, durability="never")) as node:
        path = folder / "a.sock"

        async def come_and_go() -> None:
            await ask(path, "SADD s 1")
            await ask(path, "INCR s")
            await ask(path, "nonsense")
            await ask(path, "SUBSCRIBE c")
            await ask(path, "MULTI")
            await ask(path, "WATCH s")
            await until(lambda: node.server is not None and not node.server.sessions, "all to be gone")

        await come_and_go()
        await asyncio.sleep(0.01)
        gc.collect()
        for _ in range(10):
            await come_and_go()
        await asyncio.sleep(0.01)
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            left = [type(item).__name__ for item in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not {"Session", "Connection", "RequestParser"} & set(left)
