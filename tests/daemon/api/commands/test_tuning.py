"""CONFIG: Redis's own parameters are accepted, ours are shown."""

from __future__ import annotations

import pytest

from daemon.api.commands.tuning import TUNING
from tests.daemon.api.serving import Client

FAILED = b"-ERR CONFIG SET failed (possibly related to argument '%b') - %b\r\n"


async def test_ours_are_shown_and_not_set(client: Client) -> None:
    assert await client.ask("CONFIG GET limits.*") == b"*2\r\n$10\r\nlimits.key\r\n$5\r\n65536\r\n"
    assert await client.ask("CONFIG SET limits.key 1") == (
        b"-ERR limits.key is set in the configuration file; change it there and send SIGHUP\r\n"
    )


async def test_databases_are_the_spaces(client: Client) -> None:
    assert await client.ask("CONFIG GET databases") == b"*2\r\n$9\r\ndatabases\r\n$1\r\n2\r\n"
    assert await client.ask("CONFIG SET databases 3") == FAILED % (b"databases", b"can't set immutable config")


async def test_what_was_set_is_remembered(client: Client) -> None:
    assert await client.ask("CONFIG SET maxmemory 2mb hz 20 SAVE x") == b"+OK\r\n"
    assert await client.ask("CONFIG GET maxmemory") == b"*2\r\n$9\r\nmaxmemory\r\n$7\r\n2097152\r\n"
    assert await client.ask("CONFIG GET h?") == b"*2\r\n$2\r\nhz\r\n$2\r\n20\r\n"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("CONFIG SET timeout x", FAILED % (b"timeout", b"argument couldn't be parsed into an integer")),
        ("CONFIG SET activedefrag x", FAILED % (b"activedefrag", b"argument must be 'yes' or 'no'")),
        ("CONFIG SET maxmemory 1tb", FAILED % (b"maxmemory", b"argument must be a memory value")),
        ("CONFIG SET hz 1 HZ 2", FAILED % (b"HZ", b"duplicate parameter")),
        ("CONFIG SET hz 1 nope 2", b"-ERR Unknown option or number of arguments for CONFIG SET - 'nope'\r\n"),
        ("CONFIG SET hz 1 nope", b"-ERR syntax error\r\n"),
    ],
)
async def test_nothing_is_set_if_anything_is_wrong(client: Client, request_: str, error: bytes) -> None:
    assert await client.ask(request_) == error
    assert await client.ask("CONFIG GET hz") == b"*2\r\n$2\r\nhz\r\n$2\r\n10\r\n"


@pytest.mark.parametrize("name", TUNING)
async def test_every_parameter_takes_the_value_it_has(client: Client, name: str) -> None:
    value = TUNING[name].encode()
    assert await client.ask("CONFIG SET", name.encode(), value) == b"+OK\r\n"
    assert await client.ask("CONFIG GET", name.encode()) == (
        b"*2\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name.encode(), len(value), value)
    )
