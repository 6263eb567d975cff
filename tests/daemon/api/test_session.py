"""A connection's state: pushes, parked requests, watches, and letting go of everything at the end."""

from __future__ import annotations

import asyncio

import pytest

from crdt.types import strings
from daemon.api.server import Server
from daemon.api.session import CLOSING, PARKED, QUIET, SUBSCRIBED, Session
from tests.daemon.api.serving import Hub, session, until


class Waiting:
    """A parked request and what became of it."""

    def __init__(self, one: Session, seconds: float | None = None) -> None:
        self.cancelled = 0
        assert one.park(seconds, lambda: b":0\r\n", self._cancel) == b""

    def _cancel(self) -> None:
        self.cancelled += 1


def sent(one: Session) -> bytes:
    """Everything that was written."""
    return b"".join(one.wire.written)  # type: ignore[attr-defined]


@pytest.fixture
async def one() -> Session:
    return session(Server(Hub()))


async def test_pushes_leave_in_one_write_at_the_end_of_the_turn(one: Session) -> None:
    one.push(b"a")
    one.push(b"b")
    assert sent(one) == b""
    await asyncio.sleep(0)
    assert one.wire.written == [b"ab"]  # type: ignore[attr-defined]


async def test_resume_answers_once(one: Session) -> None:
    waiting = Waiting(one)
    assert one.gate & PARKED
    assert one.resume(b":1\r\n")
    assert not one.resume(b":2\r\n")
    await asyncio.sleep(0)
    assert (sent(one), waiting.cancelled, one.gate) == (b":1\r\n", 0, 0)


async def test_the_time_is_up(one: Session) -> None:
    waiting = Waiting(one, 0.001)
    await until(lambda: sent(one))
    assert (sent(one), waiting.cancelled) == (b":0\r\n", 1)
    assert not one.resume(b":1\r\n")


async def test_an_answered_request_has_no_timer_left(one: Session) -> None:
    Waiting(one, 0.001)
    one.resume(b":1\r\n")
    await asyncio.sleep(0.01)
    assert sent(one) == b":1\r\n"


@pytest.mark.parametrize(
    ("error", "reply"), [(False, b":0\r\n"), (True, b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")]
)
async def test_unblock(one: Session, error: bool, reply: bytes) -> None:
    assert not one.unblock(error)
    waiting = Waiting(one)
    assert one.unblock(error)
    await asyncio.sleep(0)
    assert (sent(one), waiting.cancelled) == (reply, 1)


async def test_a_silenced_connection_is_not_answered(one: Session) -> None:
    one.gate |= QUIET
    Waiting(one)
    one.resume(b":1\r\n")
    await asyncio.sleep(0)
    assert sent(one) == b""


async def test_who_leaves_is_forgotten_everywhere(one: Session) -> None:
    server, database, wire = one.server, one.db, one.wire
    waiting = Waiting(one)
    database.watch(b"k", one)
    one.watched[database, b"k"] = None
    one.channels[b"c"] = one.patterns[b"p"] = None
    server.channels.subscribe(b"c", one)
    server.channels.subscribe_pattern(b"p", one)
    server.monitor(one)
    server.close_session(one)
    assert waiting.cancelled == 1
    assert one.gate & CLOSING
    assert not one.gate & SUBSCRIBED
    assert (database.watched(), server.channels.channels, server.channels.patterns) == ([], {}, {})
    assert (server.sessions, server.monitors) == ({}, {})
    await asyncio.sleep(0)
    assert wire.written == []  # type: ignore[attr-defined]


async def test_nothing_parks_within_exec(one: Session) -> None:
    assert one.may_park()
    one.executing = True
    assert not one.may_park()


async def test_the_last_write_of_a_space_outlives_selecting_another(one: Session) -> None:
    first, second = one.hub.databases
    strings.put(first.state, b"k", b"v")
    one.select(second)
    assert one.last_write == 0
    one.select(first)
    assert one.last_write == 1


async def test_origin_is_what_monitor_shows() -> None:
    server = Server(Hub())
    assert session(server).origin() == "unix:/nowhere"
    assert server.open_session(None, "127.0.0.1:5", "127.0.0.1:6").origin() == "127.0.0.1:5"
