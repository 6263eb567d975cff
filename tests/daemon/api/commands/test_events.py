"""SUBSCRIBE to PUBSUB, and keyspace events that are always on."""

from __future__ import annotations

import pytest

from tests.daemon.api.serving import Client, Serving, encoded


async def test_who_listens_is_told(serving: Serving, client: Client) -> None:
    other = await serving.client()
    assert await client.ask("SUBSCRIBE news") == b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
    assert await client.ask("PSUBSCRIBE n*") == b"*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:2\r\n"
    assert await other.ask("PUBLISH news hi") == b":2\r\n"
    assert await client.reply() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
    assert await client.reply() == b"*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
    assert await client.ask("UNSUBSCRIBE") == b"*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n"
    assert await client.ask("PUNSUBSCRIBE") == b"*3\r\n$12\r\npunsubscribe\r\n$2\r\nn*\r\n:0\r\n"
    assert await other.ask("PUBLISH news hi") == b":0\r\n"
    assert await client.ask("PING") == b"+PONG\r\n"


async def test_in_resp2_a_listener_does_little_else(client: Client) -> None:
    await client.ask("SUBSCRIBE c")
    assert await client.ask("PING") == b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    assert (await client.ask("GET k")).startswith(b"-ERR Can't execute 'get': only (P|S)SUBSCRIBE")


async def test_in_resp3_a_listener_does_everything(serving: Serving, client: Client) -> None:
    await client.ask("HELLO 3")
    assert await client.ask("SUBSCRIBE c") == b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    assert await client.ask("SET k v") == b"+OK\r\n"
    client.send(encoded("PUBLISH c x"))
    assert await client.reply() == b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
    assert await client.reply() == b":1\r\n"


async def test_a_listener_that_left_is_not_counted(serving: Serving, client: Client) -> None:
    other = await serving.client()
    await other.ask("SUBSCRIBE c")
    await other.ask("QUIT")
    assert await other.ended()
    assert await client.ask("PUBLISH c x") == b":0\r\n"
    assert await client.ask("PUBSUB CHANNELS") == b"*0\r\n"


@pytest.mark.parametrize(
    ("request_", "event", "key"),
    [
        ("SET k v", "set", "k"),
        ("SADD s a", "sadd", "s"),
        ("HSET h f v", "hset", "h"),
        ("INCR n", "incrby", "n"),
        ("DEL gone", "del", "gone"),
    ],
)
async def test_keyspace_events_are_on(serving: Serving, client: Client, request_: str, event: str, key: str) -> None:
    other = await serving.client()
    await other.ask("SELECT 1")
    await other.ask("SET gone v")
    await client.ask("PSUBSCRIBE __key*@1__:*")
    await other.ask(request_)
    assert await client.reply() == (
        b"*4\r\n$8\r\npmessage\r\n$12\r\n__key*@1__:*\r\n"
        + b"$%d\r\n__keyspace@1__:%b\r\n$%d\r\n%b\r\n" % (15 + len(key), key.encode(), len(event), event.encode())
    )
    assert (await client.reply()).endswith(b"\r\n%b\r\n" % key.encode())


async def test_what_is_listened_to(serving: Serving, client: Client) -> None:
    other = await serving.client()
    for line in ("HELLO 3", "SUBSCRIBE one", "SUBSCRIBE two", "PSUBSCRIBE t*"):
        await other.ask(line)
    assert await client.ask("PUBSUB CHANNELS") == b"*2\r\n$3\r\none\r\n$3\r\ntwo\r\n"
    assert await client.ask("PUBSUB CHANNELS t*") == b"*1\r\n$3\r\ntwo\r\n"
    assert await client.ask("PUBSUB NUMSUB one nope") == b"*4\r\n$3\r\none\r\n:1\r\n$4\r\nnope\r\n:0\r\n"
    assert await client.ask("PUBSUB NUMPAT") == b":1\r\n"
