"""CLIENT: connections seen and ended by each other, and silence."""

from __future__ import annotations

import pytest

from tests.daemon.api.serving import Client, Serving, encoded, until


async def number(client: Client) -> str:
    return (await client.ask("CLIENT ID"))[1:-2].decode()


async def test_numbers_are_never_used_again(serving: Serving, client: Client) -> None:
    first = await number(client)
    client.close()
    await until(lambda: not serving.server.sessions)
    assert int(await number(await serving.client())) > int(first)


async def test_a_line_says_what_a_connection_is_doing(serving: Serving, client: Client) -> None:
    other = await serving.client()
    await other.ask("CLIENT SETNAME worker")
    await other.ask("CLIENT SETINFO lib-name lib")
    await other.ask("CLIENT SETINFO LIB-VER 1.2")
    await other.ask("CLIENT NO-TOUCH on")
    await other.ask("WATCH k")
    await client.ask("SET k v")
    await other.ask("MULTI")
    await other.ask("GET k")
    line = (await client.ask(f"CLIENT LIST ID {await number(client)} 99")).decode()
    assert f" addr={serving.path}:0 " in line
    assert " cmd=client|list " in line
    (line,) = [line for line in (await client.ask("CLIENT LIST")).decode().split("\n") if "name=worker" in line]
    assert " flags=xdUT db=0 sub=0 psub=0 ssub=0 multi=1 " in line
    assert line.endswith(" resp=2 lib-name=lib lib-ver=1.2")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("CLIENT SETINFO nope x", b"-ERR Unrecognized option 'nope'\r\n"),
        ("CLIENT NO-TOUCH maybe", b"-ERR syntax error\r\n"),
        ("CLIENT NO-EVICT maybe", b"-ERR syntax error\r\n"),
        ("CLIENT LIST TYPE nope", b"-ERR Unknown client type 'nope'\r\n"),
        ("CLIENT KILL nobody:1", b"-ERR No such client\r\n"),
        ("CLIENT REPLY maybe", b"-ERR syntax error\r\n"),
    ],
)
async def test_refusals(client: Client, request_: str, error: bytes) -> None:
    assert await client.ask(request_) == error


async def test_library_names_have_no_spaces(client: Client) -> None:
    error = b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    assert await client.ask("CLIENT SETINFO LIB-NAME", b"a b") == error


async def test_types(serving: Serving, client: Client) -> None:
    listener, monitor = await serving.client(), await serving.client()
    await listener.ask("SUBSCRIBE c")
    await monitor.ask("MONITOR")
    assert b" flags=PU " in await client.ask("CLIENT LIST TYPE pubsub")
    assert b" flags=OU " in await client.ask("CLIENT LIST TYPE slave")
    assert b" flags=U " in await client.ask("CLIENT LIST TYPE normal")


async def test_kill_by_number(serving: Serving, client: Client) -> None:
    victim = await serving.client()
    assert await client.ask(f"CLIENT KILL ID {await number(victim)}") == b":1\r\n"
    assert await victim.ended()
    assert await client.ask("PING") == b"+PONG\r\n"


async def test_kill_spares_oneself_unless_told(serving: Serving, client: Client) -> None:
    victim = await serving.client()
    await victim.ask("PING")
    assert await client.ask("CLIENT KILL TYPE normal") == b":1\r\n"
    assert await victim.ended()
    client.send(encoded("CLIENT KILL TYPE normal SKIPME no") + encoded("SET k v"))
    assert await client.rest() == b":1\r\n"
    assert serving.hub.databases[0].written() == 0


async def test_kill_by_address_takes_the_first(serving: Serving, client: Client) -> None:
    assert await client.ask(f"CLIENT KILL {serving.path}:0") == b"+OK\r\n"
    assert await client.ended()


async def test_silence(client: Client) -> None:
    client.send(b"".join(map(encoded, ("CLIENT REPLY OFF", "SET k v", "NOPE", "GET k", "CLIENT REPLY ON", "GET k"))))
    assert [await client.reply(), await client.reply()] == [b"+OK\r\n", b"$1\r\nv\r\n"]
    client.send(b"".join(map(encoded, ("CLIENT REPLY SKIP", "GET k", "PING"))))
    assert await client.reply() == b"+PONG\r\n"
