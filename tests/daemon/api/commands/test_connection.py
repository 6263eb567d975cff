"""PING to SHUTDOWN. Every byte is compared with Redis in test_conversations.py; this is what must hold without one."""

from __future__ import annotations

import time

from tests.daemon.api.serving import Client, Serving, until


async def test_hello_changes_the_protocol(client: Client) -> None:
    assert (await client.ask("HELLO 3")).startswith(
        b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
    )
    assert await client.ask("GET k") == b"_\r\n"
    assert (await client.ask("HELLO 2")).startswith(b"*14\r\n")
    assert await client.ask("GET k") == b"$-1\r\n"
    assert await client.ask("HELLO 4") == b"-NOPROTO unsupported protocol version\r\n"


async def test_select_ends_with_the_spaces(client: Client) -> None:
    assert await client.ask("SET k here") == b"+OK\r\n"
    assert await client.ask("SELECT 1") == b"+OK\r\n"
    assert await client.ask("GET k") == b"$-1\r\n"
    assert await client.ask("SELECT 2") == b"-ERR DB index is out of range\r\n"
    assert await client.ask("SELECT 0") == b"+OK\r\n"
    assert await client.ask("GET k") == b"$4\r\nhere\r\n"


async def test_reset_forgets_everything(client: Client) -> None:
    for line in ("HELLO 3", "SELECT 1", "CLIENT SETNAME n", "WATCH k", "SUBSCRIBE c"):
        await client.ask(line)
    assert await client.ask("RESET") == b"+RESET\r\n"
    assert await client.ask("CLIENT GETNAME") == b"$-1\r\n"
    assert b" db=0 sub=0 " in await client.ask("CLIENT INFO")


async def test_reset_leaves_a_transaction(client: Client) -> None:
    assert await client.ask("MULTI") == b"+OK\r\n"
    assert await client.ask("SET k v") == b"+QUEUED\r\n"
    assert await client.ask("RESET") == b"+RESET\r\n"
    assert await client.ask("EXEC") == b"-ERR EXEC without MULTI\r\n"
    assert await client.ask("GET k") == b"$-1\r\n"


async def test_quit_says_ok_and_hangs_up(serving: Serving, client: Client) -> None:
    assert await client.ask("QUIT") == b"+OK\r\n"
    assert await client.ended()
    await until(lambda: not serving.server.sessions)


async def test_monitor_sees_what_others_do_until_reset(serving: Serving, client: Client) -> None:
    other = await serving.client()
    assert await client.ask("MONITOR") == b"+OK\r\n"
    assert await other.ask("SET", b"k", b'a "b"') == b"+OK\r\n"
    line = await client.reply()
    assert line.startswith(b"+") and line.endswith(b'] "SET" "k" "a \\"b\\""\r\n')
    assert await other.ask("AUTH default secret") == b"+OK\r\n"
    assert (await client.reply()).endswith(b'] "AUTH" "(redacted)" "(redacted)"\r\n')
    assert await client.ask("RESET") == b"+RESET\r\n"
    assert await other.ask("GET k") == b'$5\r\na "b"\r\n'
    assert await client.ask("PING") == b"+PONG\r\n"
    assert all(session.gate == 0 for session in serving.server.sessions.values())


async def test_a_monitor_that_leaves_costs_nothing_more(serving: Serving, client: Client) -> None:
    other = await serving.client()
    await client.ask("MONITOR")
    client.close()
    await until(lambda: not serving.server.monitors)
    assert await other.ask("PING") == b"+PONG\r\n"
    assert [session.gate for session in serving.server.sessions.values()] == [0]


async def test_time_is_now(client: Client) -> None:
    seconds = int((await client.ask("TIME")).split(b"\r\n")[2])
    assert abs(seconds - time.time()) < 5


async def test_dbsize_counts_keys(client: Client) -> None:
    await client.ask("MSET a 1 b 2")
    assert await client.ask("DBSIZE") == b":2\r\n"


async def test_shutdown_stops_the_daemon(serving: Serving, client: Client) -> None:
    assert await client.ask("SHUTDOWN ABORT") == b"-ERR No shutdown in progress.\r\n"
    assert not serving.hub.stopping
    client.send(b"SHUTDOWN NOSAVE\r\n")
    assert await client.ended()
    assert serving.hub.stopping
