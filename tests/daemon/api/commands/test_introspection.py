"""COMMAND and INFO."""

from __future__ import annotations

from daemon.api.registry import commands
from tests.daemon.api.serving import Client, Serving
from tests.oracle import reply, texts


async def test_every_command_is_counted_listed_and_described(client: Client) -> None:
    names = [entry.name.encode() for entry in commands()]
    assert await client.ask("COMMAND COUNT") == b":%d\r\n" % len(names)
    assert texts(reply(await client.ask("COMMAND LIST"))) == names
    assert [entry[1][0][1] for entry in reply(await client.ask("COMMAND"))[1]] == names
    assert texts(reply(await client.ask("COMMAND DOCS")))[::2] == names


async def test_subcommands_of_command_are_found(client: Client) -> None:
    (entry, nothing) = reply(await client.ask("COMMAND INFO client|id nope"))[1]
    assert entry[1][0] == ("$", b"client|id")
    assert nothing == ("_", None)
    assert await client.ask("COMMAND NOPE") == b"-ERR unknown subcommand 'NOPE'. Try COMMAND HELP.\r\n"


async def test_filters(client: Client) -> None:
    assert await client.ask("COMMAND LIST FILTERBY PATTERN ech?") == b"*1\r\n$4\r\necho\r\n"
    assert b"discard" in texts(reply(await client.ask("COMMAND LIST FILTERBY ACLCAT transaction")))
    assert await client.ask("COMMAND LIST FILTERBY MODULE x") == b"*0\r\n"


async def test_keys_of_a_request(client: Client) -> None:
    assert await client.ask("COMMAND GETKEYS mset a 1 b 2") == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert await client.ask("COMMAND GETKEYS nope x") == b"-ERR Invalid command specified\r\n"
    assert await client.ask("COMMAND GETKEYS ping x") == b"-ERR The command has no key arguments\r\n"


def fields(data: bytes) -> dict[str, str]:
    """The lines of INFO."""
    lines = reply(data)[1].decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


async def test_info_has_the_lines_of_server_and_hub(serving: Serving, client: Client) -> None:
    await client.ask("MSET a 1 b 2")
    await (await serving.client()).ask("SUBSCRIBE c")
    found = fields(await client.ask("INFO"))
    expected = {
        "redis_version": "7.0.15",
        "gossamer_version": "0.0.test",
        "connected_clients": "2",
        "blocked_clients": "0",
        "pubsub_channels": "1",
        "crdt_name": "test",
        "db0": "keys=2,expires=0,avg_ttl=0",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "db1" not in found


async def test_info_counts_what_expires(serving: Serving, client: Client) -> None:
    serving.hub.now = 0
    for line in ("MSET a 1 b 2 c 3", "PEXPIREAT a 100000", "PEXPIREAT b 200000"):
        await client.ask(line)
    serving.hub.now = 49_999
    assert fields(await client.ask("INFO keyspace"))["db0"] == "keys=3,expires=2,avg_ttl=100000"
    serving.hub.now = 149_999
    assert fields(await client.ask("INFO keyspace"))["db0"] == "keys=2,expires=1,avg_ttl=50000"


async def test_info_of_one_section(client: Client) -> None:
    assert reply(await client.ask("INFO crdt"))[1] == b"# Crdt\r\ncrdt_name:test\r\n"
    assert await client.ask("INFO nope") == b"$0\r\n\r\n"
    assert (await client.ask("INFO everything")).count(b"# ") > 3


async def test_commands_are_counted_since_the_reset(client: Client) -> None:
    await client.ask("CONFIG RESETSTAT")
    for _ in range(3):
        await client.ask("PING")
    assert 3 <= int(fields(await client.ask("INFO stats"))["total_commands_processed"]) <= 5
