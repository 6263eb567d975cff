"""What a touch reaches: transactions that watch the key, and listeners to its events."""

from __future__ import annotations

import asyncio

from crdt.dots import Actor
from crdt.state import State
from crdt.types import strings
from daemon.api.database import Database
from daemon.api.server import Server
from tests.daemon.api.serving import Hub, session


async def test_a_touch_spoils_those_who_watch_the_key_in_this_space() -> None:
    server = Server(Hub())
    here, elsewhere = server.hub.databases
    one, two = session(server), session(server)
    here.watch(b"k", one)
    elsewhere.watch(b"k", two)
    here.touch(b"other", "set")
    assert not one.stale
    here.touch(b"k", "set")
    assert (one.stale, two.stale) == (True, False)


async def test_observed_follows_the_watchers() -> None:
    server = Server(Hub())
    database = server.hub.databases[0]
    one, two = session(server), session(server)
    database.watch(b"k", one)
    database.watch(b"k", two)
    database.unwatch(b"k", one)
    assert database.observed
    assert database.watched() == [b"k"]
    database.unwatch(b"k", two)
    database.unwatch(b"k", two)
    assert not database.observed
    assert database.watched() == []


async def test_a_touch_sends_both_events() -> None:
    server = Server(Hub())
    listener = session(server)
    server.channels.subscribe(b"__keyspace@1__:k", listener)
    server.channels.subscribe(b"__keyevent@1__:sadd", listener)
    server.hub.databases[0].touch(b"k", "sadd")
    server.hub.databases[1].touch(b"k", "sadd")
    await asyncio.sleep(0)
    sent = b"".join(listener.wire.written)  # type: ignore[attr-defined]
    assert sent == (
        b"*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@1__:k\r\n$4\r\nsadd\r\n"
        b"*3\r\n$7\r\nmessage\r\n$19\r\n__keyevent@1__:sadd\r\n$1\r\nk\r\n"
    )


async def test_a_change_without_event_spoils_as_well() -> None:
    server = Server(Hub())
    database = server.hub.databases[0]
    one = session(server)
    database.watch(b"k", one)
    database.changed(b"k")
    assert one.stale


def test_written_is_the_own_sequence_number() -> None:
    database = Hub().databases[0]
    assert database.written() == 0
    strings.put(database.state, b"k", b"v")
    assert database.written() == database.state.seq == 1


def test_dots_that_are_shown_are_not_spent_on_anything_else() -> None:
    shown: list[int] = []
    database = Database(0, "default", State(Actor("a", 1)), shown.append)
    strings.put(database.state, b"k", b"v")
    database.show_dots()
    strings.put(database.state, b"k", b"w")
    assert shown == [1]
    assert database.written() == 2
