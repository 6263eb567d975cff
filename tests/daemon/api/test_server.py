"""Real sockets: turns and writes, held replies, waiting requests, limits, the password, the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio
import uvloop

from daemon.api.limits import Limits
from daemon.api.registry import TABLE, command
from daemon.api.server import LOOKS, SLICE
from daemon.api.session import Session
from tests.compiled import as_python
from tests.daemon.api.serving import Client, Hub, Serving, encoded, serve, until

PARKED: list[Session] = []


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """HOLD [seconds] leaves its reply for later; BIG n answers n bytes."""
    before = dict(TABLE)

    @command("HOLD [seconds]", arity=-1, group="test", summary="Waits.")
    def hold(session: Session, args: list[bytes]) -> bytes:
        PARKED.append(session)
        return session.park(
            float(args[1]) if len(args) > 1 else None, lambda: b"+late\r\n", lambda: PARKED.remove(session)
        )

    @command("BIG size", arity=2, group="test", summary="Answers much.")
    def big(session: Session, args: list[bytes]) -> bytes:
        return session.resp.bulk(b"x" * int(args[1]))

    @command("FREE", arity=1, group="test", summary="Ends the oldest HOLD.")
    def free(session: Session, args: list[bytes]) -> bytes:
        PARKED[0].resume(b"+first\r\n")
        return session.resp.ok

    yield
    TABLE.clear()
    TABLE.update(before)
    PARKED.clear()


# -- turns


async def test_a_pipeline_is_answered_in_order(client: Client) -> None:
    count = 5000
    client.send(b"".join(encoded("SET", b"k%d" % n, b"%d" % n) + encoded("GET", b"k%d" % n) for n in range(count)))
    for n in range(count):
        assert await client.reply() == b"+OK\r\n"
        assert await client.reply() == b"$%d\r\n%d\r\n" % (len(str(n)), n)


async def test_what_only_reads_needs_no_settling(serving: Serving, client: Client) -> None:
    await client.ask("GET k")
    assert serving.hub.settled == 0
    await client.ask("SET k v")
    await until(lambda: serving.hub.settled == 1)
    await client.ask("sEt k v")
    await until(lambda: serving.hub.settled == 2)


async def test_requests_never_run_on_the_clock_of_an_earlier_turn(serving: Serving, client: Client) -> None:
    before = serving.hub.batches
    await client.ask("SET k v")
    await asyncio.sleep(0.002)
    await client.ask("GET k")
    assert serving.hub.batches - before == 2


async def test_held_replies_leave_after_settling(serving: Serving, seen: list[str]) -> None:
    hub = serving.hub
    hub.hold_replies = True
    clients = [await serving.client() for _ in range(5)]
    for client in clients:
        client.send(encoded("SET k v") + encoded("GET k"))
    for client in clients:
        assert (await client.reply(), await client.reply()) == (b"+OK\r\n", b"$1\r\nv\r\n")
    assert seen.count("wrote") == 5
    assert seen[0] == "settled"
    assert seen.count("settled") <= 5


@as_python
@pytest.mark.parametrize("looks", [LOOKS, 0])
async def test_who_writes_while_others_are_run_shares_their_commit(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Without the further looks, the control, each has a commit of its own."""
    monkeypatch.setattr("daemon.api.server.LOOKS", looks)
    hub = serving.hub
    hub.hold_replies = True
    one, two = await serving.client(), await serving.client()
    begin, once = hub.begin, iter([two])

    def beginning() -> None:
        begin()
        for late in once:
            late.send(encoded("SET k w"))

    monkeypatch.setattr(hub, "begin", beginning)
    one.send(encoded("SET k v"))
    assert (await one.reply(), await two.reply()) == (b"+OK\r\n", b"+OK\r\n")
    assert hub.settled == (1 if looks else 2)


async def test_a_turn_ends_though_requests_never_do(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = serving.hub
    hub.hold_replies = True
    one, two, _ = [await serving.client() for _ in range(3)]
    begin, looks = hub.begin, 0

    def beginning() -> None:
        nonlocal looks
        begin()
        if not hub.settled:
            looks += 1
            two.send(encoded("SET k w"))

    monkeypatch.setattr(hub, "begin", beginning)
    one.send(encoded("SET k v"))
    assert await one.reply() == b"+OK\r\n"
    assert 0 < looks <= 1 + LOOKS


async def test_what_is_served_while_replies_are_held_waits_for_the_commit_of_its_own(
    serving: Serving, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pop that ends the wait of a client, in the settling of the very turn in which that client began to wait."""
    hub = serving.hub
    hub.hold_replies = True
    client = await serving.client()
    settle = hub.settle

    def settling() -> None:
        settle()
        if PARKED:
            PARKED[0].resume(b"+popped\r\n")
            PARKED.clear()

    monkeypatch.setattr(hub, "settle", settling)
    client.send(encoded("HOLD"))
    assert await client.reply() == b"+popped\r\n"
    assert seen == ["settled", "settled", "wrote"]


async def test_few_who_write_in_one_turn_share_its_settling(serving: Serving) -> None:
    clients = await serving.crowd(3)
    serving.read_together(encoded("SET k v"))
    assert [await client.reply() for client in clients] == [b"+OK\r\n"] * 3
    await until(lambda: serving.hub.settled)
    assert serving.hub.settled == 1


# -- waiting requests


async def test_a_parked_request_keeps_its_own_connection_waiting_alone(serving: Serving, client: Client) -> None:
    other = await serving.client()
    client.send(encoded("PING") + encoded("HOLD") + encoded("ECHO x"))
    assert await client.reply() == b"+PONG\r\n"
    client.send(encoded("ECHO y") + encoded("HOLD") + encoded("ECHO z"))
    assert await other.ask("SET k v") == b"+OK\r\n"
    await until(lambda: PARKED and len(PARKED[0].backlog) == 4)
    PARKED[0].resume(b"+first\r\n")
    assert [await client.reply() for _ in range(3)] == [b"+first\r\n", b"$1\r\nx\r\n", b"$1\r\ny\r\n"]
    PARKED[0].resume(b"+second\r\n")
    assert [await client.reply() for _ in range(2)] == [b"+second\r\n", b"$1\r\nz\r\n"]
    assert await client.ask("PING") == b"+PONG\r\n"


async def test_what_comes_while_a_parked_request_ends_waits_its_turn(serving: Serving, client: Client) -> None:
    client.send(encoded("HOLD") + encoded("ECHO x"))
    await until(lambda: PARKED)
    session = PARKED[0]
    session.resume(b"+now\r\n")
    session.wire.data_received(encoded("ECHO y"))  # type: ignore[attr-defined]  # in the same turn of the loop
    assert [await client.reply() for _ in range(3)] == [b"+now\r\n", b"$1\r\nx\r\n", b"$1\r\ny\r\n"]


async def test_one_that_is_resumed_by_what_waited_elsewhere_goes_on(serving: Serving, client: Client) -> None:
    other = await serving.client()
    client.send(encoded("HOLD") + encoded("ECHO x"))
    await until(lambda: len(PARKED) == 1)
    other.send(encoded("HOLD") + encoded("FREE"))
    await until(lambda: len(PARKED) == 2)
    first, second = PARKED
    serving.server.schedule(first)
    second.resume(b"+second\r\n")  # in the same turn, after the first was looked at
    assert [await client.reply(), await client.reply()] == [b"+first\r\n", b"$1\r\nx\r\n"]


async def test_what_waits_behind_a_parked_request_is_held_to_the_limits(serving: Serving, client: Client) -> None:
    serving.hub.limits = replace(serving.hub.limits, request=100_000)
    client.send(encoded("HOLD"))
    await until(lambda: PARKED)
    client.send(encoded(b"SET", b"k" * 70_000, b"v") + encoded("DBSIZE"))
    await until(lambda: len(PARKED[0].backlog) == 2)
    for _ in range(50):
        client.send(encoded(b"SET", b"k", b"v" * 50_000))
    await asyncio.sleep(0.05)
    assert len(PARKED[0].backlog) < 20  # the rest is not even read
    PARKED[0].resume(b"+now\r\n")
    assert await client.reply() == b"+now\r\n"
    assert await client.reply() == b"-ERR key of 70000 bytes exceeds limits.key (65536)\r\n"
    assert await client.reply() == b":0\r\n"
    assert [await client.reply() for _ in range(50)] == [b"+OK\r\n"] * 50


async def test_the_time_of_a_parked_request_ends(client: Client) -> None:
    client.send(encoded("HOLD 0.01") + encoded("PING"))
    assert [await client.reply(), await client.reply()] == [b"+late\r\n", b"+PONG\r\n"]
    assert PARKED == []


@pytest.mark.parametrize(
    ("how", "reply"), [("", b"+late\r\n"), ("ERROR", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")]
)
async def test_client_unblock(serving: Serving, client: Client, how: str, reply: bytes) -> None:
    other = await serving.client()
    number = (await client.ask("CLIENT ID"))[1:-2].decode()
    assert await other.ask(f"CLIENT UNBLOCK {number}") == b":0\r\n"
    client.send(encoded("HOLD"))
    await until(lambda: PARKED)
    assert b" flags=bU " in await other.ask(f"CLIENT LIST ID {number}")
    assert await other.ask(f"CLIENT UNBLOCK {number} {how}") == b":1\r\n"
    assert await client.reply() == reply
    assert PARKED == []


async def test_who_leaves_while_waiting_is_forgotten(serving: Serving, client: Client) -> None:
    client.send(encoded("HOLD"))
    await until(lambda: PARKED)
    client.close()
    await until(lambda: not PARKED and not serving.server.sessions)


async def test_a_protocol_error_waits_its_turn(client: Client) -> None:
    client.send(encoded("HOLD"))
    await until(lambda: PARKED)
    client.send(encoded("ECHO x") + b"*x\r\n")
    await until(lambda: PARKED[0].backlog)
    PARKED[0].resume(b"+now\r\n")
    assert await client.rest() == b"+now\r\n$1\r\nx\r\n-ERR Protocol error: invalid multibulk length\r\n"


async def test_what_waits_behind_a_parked_request_is_bounded(serving: Serving, client: Client) -> None:
    client.send(encoded("HOLD"))
    await until(lambda: PARKED)
    session = PARKED[0]
    count = 300_000
    sending = asyncio.ensure_future(_send(client, count))
    await until(lambda: len(session.backlog) > 1024)
    waiting = -1
    while waiting != len(session.backlog):
        waiting = len(session.backlog)
        await asyncio.sleep(0.05)
    assert waiting < 100_000
    session.resume(b"+now\r\n")
    assert await client.reply() == b"+now\r\n"
    rest = await client.exactly(count * len(b"+PONG\r\n"))
    assert rest == b"+PONG\r\n" * count
    await sending


async def _send(client: Client, count: int) -> None:
    for _ in range(count // 1000):
        client.send(encoded("PING") * 1000)
        await client.writer.drain()


# -- limits


async def test_a_long_value_is_refused_and_the_connection_stays(client: Client) -> None:
    client.send(encoded("SET k", b"x" * 2097152))
    assert await client.reply() == b"-ERR value of 2097152 bytes exceeds limits.value (1048576)\r\n"
    client.send(encoded("SET", b"k" * 65537, b"v"))
    assert await client.reply() == b"-ERR key of 65537 bytes exceeds limits.key (65536)\r\n"
    assert await client.ask("DBSIZE") == b":0\r\n"
    assert await client.ask("SET", b"k" * 65536, b"x" * 1048576) == b"+OK\r\n"


async def test_a_long_request_ends_the_connection_alone(serving: Serving, client: Client) -> None:
    other = await serving.client()
    client.send(b"*20\r\n" + (b"$1048576\r\n" + b"x" * 1048576 + b"\r\n") * 15 + b"$1048576\r\n")
    assert await client.rest() == b"-ERR request of 16777413 bytes exceeds limits.request (16777216)\r\n"
    assert await other.ask("PING") == b"+PONG\r\n"


async def test_one_client_too_many(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(limits=Limits(clients=2))) as serving:
        clients = [await serving.client() for _ in range(2)]
        for client in clients:
            assert await client.ask("PING") == b"+PONG\r\n"
        refused = await serving.client()
        assert await refused.rest() == b"-ERR max number of clients reached\r\n"
        assert serving.server.statistics.refused == 1
        clients[0].close()
        await until(lambda: len(serving.server.sessions) == 1)
        assert await (await serving.client()).ask("PING") == b"+PONG\r\n"


async def test_who_does_not_read_is_disconnected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(tmp_path / "s", Hub(limits=Limits(reply_buffer=1 << 20))) as serving:
        lazy, other = await serving.client(), await serving.client()
        assert [await one.ask("PING") for one in (lazy, other)] == [b"+PONG\r\n"] * 2
        lazy.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with caplog.at_level(logging.WARNING):
            lazy.send(encoded("BIG 1000000") * 20)
            await until(lambda: len(serving.server.sessions) == 1)
        assert "more than limits.reply_buffer (1048576 bytes) wait for it to read" in caplog.text
        assert await other.ask("PING") == b"+PONG\r\n"


async def test_a_pipeline_whose_replies_outgrow_the_limit_is_not_run_to_its_end(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(limits=Limits(reply_buffer=1 << 20))) as serving:
        greedy, other = await serving.client(), await serving.client()
        assert [await one.ask("PING") for one in (greedy, other)] == [b"+PONG\r\n"] * 2
        greedy.send(encoded("BIG 100000") * 2000)
        await until(lambda: len(serving.server.sessions) == 1)
        assert TABLE[b"big"].calls <= 2 * SLICE
        assert serving.server.statistics.slow_readers == 1
        assert await other.ask("PING") == b"+PONG\r\n"


async def test_a_transaction_whose_replies_outgrow_the_limit_runs_whole(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(limits=Limits(reply_buffer=1 << 20))) as serving:
        greedy, other = await serving.client(), await serving.client()
        assert [await one.ask("PING") for one in (greedy, other)] == [b"+PONG\r\n"] * 2
        greedy.send(encoded("MULTI") + encoded("BIG 100000") * 20 + encoded("SET k v") + encoded("EXEC"))
        await until(lambda: len(serving.server.sessions) == 1)
        assert await other.ask("GET k") == b"$1\r\nv\r\n"


async def test_who_reads_may_get_much(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(limits=Limits(reply_buffer=1 << 20))) as serving:
        client = await serving.client()
        for _ in range(20):
            assert len(await client.ask("BIG 900000")) == 900_011


async def test_new_limits_hold_for_open_connections(serving: Serving, client: Client) -> None:
    await client.ask("PING")
    serving.hub.limits = Limits(value=10)
    serving.server.relimit()
    assert await client.ask("SET k 12345678901") == b"-ERR value of 11 bytes exceeds limits.value (10)\r\n"


# -- TCP and its password


async def test_tcp_asks_for_the_password_and_the_unix_socket_does_not(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(), b"sekret") as serving:
        tcp, local = await serving.tcp_client(), await serving.client()
        assert await tcp.ask("GET k") == b"-NOAUTH Authentication required.\r\n"
        assert (await tcp.ask("HELLO 3")).startswith(
            b"-NOAUTH HELLO must be called with the client already authenticated"
        )
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        assert await tcp.ask("AUTH wrong") == wrong
        assert await tcp.ask("AUTH joe sekret") == wrong
        assert await local.ask("GET k") == b"$-1\r\n"
        assert await local.ask("AUTH sekret") == b"+OK\r\n"
        assert await local.ask("AUTH wrong") == wrong
        assert await tcp.ask("AUTH sekret") == b"+OK\r\n"
        assert await tcp.ask("GET k") == b"$-1\r\n"
        assert await tcp.ask("RESET") == b"+RESET\r\n"
        assert await tcp.ask("GET k") == b"-NOAUTH Authentication required.\r\n"
        assert (await tcp.ask("HELLO 3 AUTH default sekret SETNAME bob")).startswith(b"%7\r\n")
        assert await tcp.ask("CLIENT GETNAME") == b"$3\r\nbob\r\n"


async def test_requests_may_follow_the_password_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(), b"sekret") as serving:
        tcp = await serving.tcp_client()
        tcp.send(
            encoded("AUTH sekret")
            + encoded("DEL", *[b"k"] * 50)
            + encoded("SET k", b"x" * 20_000)
            + encoded("PING")[:5]
        )
        assert [await tcp.reply() for _ in range(3)] == [b"+OK\r\n", b":0\r\n", b"+OK\r\n"]
        tcp.send(encoded("PING")[5:])
        assert await tcp.reply() == b"+PONG\r\n"


async def test_before_the_password_requests_are_small(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", Hub(), b"sekret") as serving:
        for data, error in [(b"*11\r\n", b"multibulk"), (b"*1\r\n$16385\r\n", b"bulk")]:
            tcp = await serving.tcp_client()
            tcp.send(data)
            assert await tcp.rest() == b"-ERR Protocol error: unauthenticated %b length\r\n" % error


# -- the end


async def test_stopping_writes_what_is_held_and_closes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serve(path, Hub()) as serving:
        client = await serving.client()
        assert await client.ask("SHUTDOWN FOO") == b"-ERR syntax error\r\n"
        client.send(encoded("SHUTDOWN"))
        assert await client.ended()
        assert serving.hub.stopping
    assert not path.exists()


async def test_other_clients_notice_nothing_of_a_broken_one(serving: Serving) -> None:
    steady = await serving.client()
    for data in (b"*x\r\n", b"\x00" * 100, encoded("PING")[:7], b"*1\r\n$4\r\nQUIT\r\n"):
        broken = await serving.client()
        broken.send(data)
        await broken.writer.drain()
        broken.close()
        assert await steady.ask("PING") == b"+PONG\r\n"
    await until(lambda: len(serving.server.sessions) == 1)


# -- libraries


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_library_needs_nothing_special(serving: Serving, protocol: int) -> None:
    client = redis.asyncio.Redis(unix_socket_path=str(serving.path), protocol=protocol, decode_responses=True)
    async with client:
        assert await client.ping()
        assert await client.set("k", "v")
        assert await client.hset("h", mapping={"a": "1", "b": "2"}) == 2
        assert await client.hgetall("h") == {"a": "1", "b": "2"}
        async with client.pipeline(transaction=True) as pipe:
            assert await pipe.incr("n").incr("n").get("k").execute() == [1, 2, "v"]
        async with client.pubsub() as listener:
            await listener.psubscribe("__keyevent@0__:*")
            await listener.get_message(timeout=5)
            await client.set("k", "w")
            message = await listener.get_message(timeout=5)
            assert (message["channel"], message["data"]) == ("__keyevent@0__:set", "k")
        assert (await client.info())["redis_version"] == "7.0.15"
        assert (await client.config_get("databases")) == {"databases": "2"}
        assert (await client.client_list())[0]["lib-name"]
        assert "get" in await client.command()


# -- the other loop: daemons run on uvloop


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_pipeline_is_answered_in_order,
        test_the_time_of_a_parked_request_ends,
        test_a_protocol_error_waits_its_turn,
        test_a_long_value_is_refused_and_the_connection_stays,
    ],
)
def test_the_same_under_uvloop(scenario: Callable[[Client], Awaitable[None]], tmp_path: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path / "s", Hub()) as serving:
            await scenario(await serving.client())

    uvloop.run(run())


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_parked_request_keeps_its_own_connection_waiting_alone,
        test_what_waits_behind_a_parked_request_is_bounded,
        test_a_long_request_ends_the_connection_alone,
        test_what_only_reads_needs_no_settling,
    ],
)
def test_two_connections_under_uvloop(scenario: Callable[[Serving, Client], Awaitable[None]], tmp_path: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path / "s", Hub()) as serving:
            await scenario(serving, await serving.client())

    uvloop.run(run())


def test_a_lazy_client_under_uvloop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uvloop.run(test_who_does_not_read_is_disconnected(tmp_path, caplog))


def test_much_may_be_read_under_uvloop(tmp_path: Path) -> None:
    uvloop.run(test_who_reads_may_get_much(tmp_path))
