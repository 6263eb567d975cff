"""MULTI, EXEC, WATCH: all or nothing, local and remote changes, one space."""

from __future__ import annotations

import pytest

from tests.daemon.api.serving import Client, Serving, encoded

SEVERAL = b"-EXECABORT Transaction discarded because it writes to more than one space"


async def ask_all(client: Client, *lines: str) -> bytes:
    """The reply to the last of several requests."""
    client.send(b"".join(encoded(line) for line in lines))
    for _ in lines[:-1]:
        await client.reply()
    return await client.reply()


async def test_all_of_it_runs_in_order(client: Client) -> None:
    reply = await ask_all(client, "MULTI", "SET n 1", "SADD n a", "INCR n", "EXEC")
    wrong = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
    assert reply == b"*3\r\n+OK\r\n" + wrong + b":2\r\n"


async def test_nothing_runs_after_a_refused_request(serving: Serving, client: Client) -> None:
    assert await ask_all(client, "MULTI", "SET k v", "NOPE", "EXEC") == (
        b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    )
    assert await ask_all(client, "MULTI", "SET k v", "DISCARD") == b"+OK\r\n"
    assert serving.hub.databases[0].written() == 0


async def test_another_client_spoils_a_watched_transaction(serving: Serving, client: Client) -> None:
    other = await serving.client()
    assert await ask_all(client, "WATCH k", "GET k") == b"$-1\r\n"
    assert await other.ask("SET k theirs") == b"+OK\r\n"
    assert await ask_all(client, "MULTI", "SET k mine", "EXEC") == b"*-1\r\n"
    assert await ask_all(client, "MULTI", "SET k mine", "EXEC") == b"*1\r\n+OK\r\n"


async def test_a_change_from_a_peer_spoils_it_too(serving: Serving, client: Client) -> None:
    await ask_all(client, "WATCH k", "MULTI")
    serving.hub.databases[0].touch(b"k", "set")
    assert await client.ask("EXEC") == b"*-1\r\n"


@pytest.mark.parametrize("change", ["SET k w", "DEL k", "RENAME k j", "FLUSHDB", "FLUSHALL", "MULTI"])
async def test_every_kind_of_change_counts(serving: Serving, client: Client, change: str) -> None:
    other = await serving.client()
    await client.ask("SET k v")
    await client.ask("WATCH k")
    lines = ["MULTI", "APPEND k x", "EXEC"] if change == "MULTI" else [change]
    await ask_all(other, *lines)
    assert await ask_all(client, "MULTI", "PING", "EXEC") == b"*-1\r\n"


async def test_the_end_of_a_lifetime_counts(serving: Serving, client: Client) -> None:
    await ask_all(client, "SET k v EX 10", "WATCH k", "MULTI", "SET other v")
    serving.hub.now += 10_000
    assert await client.ask("EXEC") == b"*-1\r\n"
    assert await client.ask("EXISTS k other") == b":0\r\n"


async def test_what_was_unwatched_does_not_count(serving: Serving, client: Client) -> None:
    for ending in (["UNWATCH"], ["MULTI", "DISCARD"], ["MULTI", "EXEC"]):
        await ask_all(client, "WATCH k", *ending)
        await client.ask("SET k v")
        assert await ask_all(client, "MULTI", "PING", "EXEC") == b"*1\r\n+PONG\r\n"
    assert serving.hub.databases[0].watched() == []


async def test_the_same_key_of_another_space_does_not_count(client: Client) -> None:
    assert await ask_all(client, "WATCH k", "SELECT 1", "SET k v", "MULTI", "PING", "EXEC") == b"*1\r\n+PONG\r\n"


@pytest.mark.parametrize(
    ("queue", "several"),
    [
        (["SET a 1", "SELECT 1", "SET a 1"], True),
        (["SET a 1", "SELECT 1", "GET a"], False),
        (["SELECT 1", "SET a 1", "SET b 1"], False),
        (["SET a 1", "SELECT 7", "SET a 1"], False),
        (["COPY a b DB 1"], False),
        (["SET a 1", "COPY a b DB 1"], True),
        (["SET a 1", "COPY a b DB 0"], False),
        (["SET a 1", "COPY a b DB 0 REPLACE DB 1"], True),
        (["SET a 1", "COPY a b DB 1 DB 0"], False),
        (["FLUSHDB", "SELECT 1", "FLUSHDB"], True),
        (["FLUSHALL"], True),
    ],
)
async def test_one_space_alone_may_be_written(
    serving: Serving, client: Client, queue: list[str], several: bool
) -> None:
    before = [database.written() for database in serving.hub.databases]
    reply = await ask_all(client, "MULTI", *queue, "EXEC")
    assert reply.startswith(SEVERAL) == several
    assert not several or [database.written() for database in serving.hub.databases] == before


async def test_events_leave_before_the_reply(serving: Serving, client: Client) -> None:
    await ask_all(client, "HELLO 3", "SUBSCRIBE __keyevent@0__:set")
    client.send(b"".join(map(encoded, ("MULTI", "SET k v", "EXEC"))))
    replies = [await client.reply() for _ in range(4)]
    assert replies == [b"+OK\r\n", b"+QUEUED\r\n", replies[2], b"*1\r\n+OK\r\n"]
    assert replies[2].startswith(b">3\r\n$7\r\nmessage\r\n")
