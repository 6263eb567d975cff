"""Who hears what, how often, and when keyspace events are worth sending."""

from __future__ import annotations

import asyncio

from daemon.api.resp import RESP3
from daemon.api.server import Server
from daemon.api.session import Session
from tests.daemon.api.serving import Hub, session


async def heard(*sessions: Session) -> list[bytes]:
    """What each session was written since it was made."""
    await asyncio.sleep(0)
    return [b"".join(one.wire.written) for one in sessions]  # type: ignore[attr-defined]


async def test_channel_and_pattern_deliver_once_each() -> None:
    server = Server(Hub())
    one, both = session(server), session(server)
    channels = server.channels
    for subscribed in (one, both, both):
        channels.subscribe(b"news", subscribed)
    channels.subscribe_pattern(b"n?ws", both)
    assert channels.publish(b"news", b"x") == 3
    message = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
    assert await heard(one, both) == [
        message,
        message + b"*4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n$1\r\nx\r\n",
    ]
    channels.unsubscribe(b"news", both)
    channels.unsubscribe_pattern(b"n?ws", both)
    channels.unsubscribe(b"nosuch", both)
    assert channels.publish(b"news", b"x") == 1
    assert channels.publish(b"other", b"x") == 0
    channels.unsubscribe(b"news", one)
    assert channels.channels == channels.patterns == {}


async def test_messages_are_pushes_in_resp3() -> None:
    server = Server(Hub())
    modern = session(server)
    modern.resp = RESP3
    server.channels.subscribe(b"a", modern)
    server.channels.publish(b"a", b"")
    assert await heard(modern) == [b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$0\r\n\r\n"]


async def test_databases_are_observed_while_somebody_may_listen_to_events() -> None:
    server = Server(Hub())
    listener = session(server)
    channels, database = server.channels, server.hub.databases[1]
    channels.subscribe(b"news", listener)
    assert not database.observed
    channels.subscribe(b"__keyevent@1__:set", listener)
    assert database.observed
    channels.unsubscribe(b"__keyevent@1__:set", listener)
    assert not database.observed
    channels.subscribe_pattern(b"anything*", listener)
    assert database.observed
    channels.unsubscribe_pattern(b"anything*", listener)
    assert not database.observed
