"""WAIT, CRDT.VV, CRDT.WAITFOR, CRDT.SYNC on spaces that talk to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crdt.dots import Actor
from crdt.errors import UsageError
from daemon.api.commands.convergence import parse_token
from tests.daemon.api.commands.spacious import Client
from tests.daemon.api.serving import Wire
from tests.daemon.spaces import Between, Member, same, until

Pair = tuple[Member, Member]


@pytest.fixture(params=["always", "interval"])
async def pair(between: Between, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two that know each other."""
    a, b = (Member(between, name, tmp_path / name, request.param) for name in "ab")
    for member in (a, b):
        await member.start()
    await until(lambda: all(m.space.replica.peers.online(m.space.now()) for m in (a, b)), "both to meet")
    await until(lambda: all(p.heard for m in (a, b) for p in m.space.replica.peers.by_name.values()), "both to speak")
    committing = asyncio.get_running_loop().create_task(_commit(a, b))
    yield a, b
    committing.cancel()
    for member in (a, b):
        member.kill()


async def _commit(*members: Member) -> None:
    """The node's timer."""
    while True:
        await asyncio.sleep(0.02)
        for member in members:
            if member.space.replica.dirty:
                member.space.commit()


async def test_wait_counts_peers_that_have_it(pair: Pair) -> None:
    a, b = pair
    client = Client(a)
    assert await client.ask("SADD s 1") == 1
    assert await client.ask("WAIT 1 5000") == 1
    assert b.members(b"s") == {b"1"}
    assert await client.ask("WAIT 0 0") == 1


async def test_wait_gives_up_in_time_and_is_forgotten(pair: Pair) -> None:
    a, _ = pair
    client = Client(a)
    await client.ask("SADD s 1")
    assert await client.ask("WAIT 2 100") == 1
    assert len(a.space.waiters) == 0
    client.send("WAIT 2 0")
    assert len(a.space.waiters) == 1
    client.server.close_session(client.session)
    assert len(a.space.waiters) == 0


async def test_wait_without_a_write_counts_who_is_online(pair: Pair, between: Between) -> None:
    a, _ = pair
    client = Client(a)
    assert await client.ask("WAIT 1 0") == 1
    between.cut()
    await until(lambda: not a.space.replica.peers.online(a.space.now()), "b to be silent")
    assert await client.ask("WAIT 1 10") == 0


async def test_wait_is_asked_again_after_the_network_was_away(pair: Pair, between: Between) -> None:
    a, b = pair
    client = Client(a)
    between.cut()
    await client.ask("SADD s 1")
    client.send("WAIT 1 0")
    await asyncio.sleep(0.05)
    assert client.data == b""
    between.mend()
    assert await client.reply() == 1
    assert b.members(b"s") == {b"1"}


async def test_several_wait_at_once(pair: Pair) -> None:
    a, _ = pair
    clients = [Client(a) for _ in range(20)]
    for i, client in enumerate(clients):
        client.send(f"SADD s {i}")
    for client in clients:
        assert await client.reply() == 1
        client.send("WAIT 1 5000")
    assert [await client.reply() for client in clients] == [1] * 20


async def test_tokens_of_equal_vectors_are_equal(pair: Pair) -> None:
    a, b = pair
    one, two = Client(a), Client(b)
    await one.ask("SADD s 1")
    await two.ask("SADD s 2")
    await until(lambda: same(a, b), "both to converge")
    token = await one.ask("CRDT.VV")
    assert token.startswith(b"default.")
    assert token == await two.ask("CRDT.VV")
    assert await one.ask("CRDT.WAITFOR", token, "0") == 1


async def test_waitfor_comes_back_when_it_is_there(pair: Pair, between: Between) -> None:
    a, b = pair
    one, two = Client(a), Client(b)
    between.cut()
    await one.ask("SADD s 1")
    token = await one.ask("CRDT.VV")
    assert await two.ask("CRDT.WAITFOR", token, "20") == 0
    assert len(b.space.waiters) == 0
    two.send("CRDT.WAITFOR", token, "0")
    await asyncio.sleep(0.01)
    assert two.data == b""
    between.mend()
    assert await two.reply() == 1
    assert b.members(b"s") == {b"1"}
    assert len(b.space.waiters) == 0


async def test_a_transaction_is_one_frame_whatever_reports_in_it(pair: Pair) -> None:
    a, b = pair
    client = Client(a)
    await client.ask("MULTI")
    for words in ("SADD s 1", "WAIT 1 0", "CRDT.HASH", "CRDT.VV", "CRDT.PEERS", "CRDT.DEBUG s", "SADD s 2"):
        assert await client.ask(words) == b"QUEUED"
    replies = await client.ask("EXEC")
    assert replies[0] == replies[-1] == 1
    assert replies[1] in (0, 1)
    a.space.commit()
    a.space.commits.drain()
    frames, complete = a.space.store.missing({}, 1 << 20)
    assert complete
    assert len(frames) == 1
    # What the transaction had written by then is in its token.
    vector = parse_token(replies[3], "default")
    assert vector == {a.space.state.actor: 1}
    await until(lambda: b.members(b"s") == {b"1", b"2"}, "b to have all of it")


async def test_waitfor_and_sync_in_a_transaction(pair: Pair) -> None:
    a, _ = pair
    client = Client(a)
    token = b"default." + b"kZOheHsB"
    await client.ask("MULTI")
    assert await client.ask("CRDT.WAITFOR", token, "0") in (b"QUEUED",)
    assert (await client.ask("CRDT.SYNC")).startswith("-ERR Command not allowed inside a transaction")
    assert (await client.ask("EXEC")).startswith("-EXECABORT")


async def test_sync_says_whether_it_left(pair: Pair, between: Between) -> None:
    a, b = pair
    client = Client(a)
    await client.ask("SADD s 1")
    assert await client.ask("CRDT.SYNC") == b"OK"
    assert a.space.replica.own_stored == 1
    await until(lambda: b.members(b"s") == {b"1"}, "b to have it")
    between.cut()
    assert await client.ask("CRDT.SYNC") == "-ERR no broker connected"


async def test_wait_after_sync_asks_for_everything(pair: Pair) -> None:
    """`gossamer wait` writes nothing itself."""
    a, b = pair
    a.add(b"s", b"1")
    client = Client(a)
    await client.ask("CRDT.SYNC")
    assert client.session.last_write == 1
    assert await client.ask("WAIT 1 5000") == 1
    assert b.members(b"s") == {b"1"}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("CRDT.WAITFOR default.kA x", "-ERR timeout is not an integer or out of range"),
        ("CRDT.WAITFOR default.kA -1", "-ERR timeout is negative"),
        ("CRDT.WAITFOR nothing 0", "-ERR invalid token"),
        ("CRDT.WAITFOR other.kA 0", "-ERR token is of space 'other'"),
        ("CRDT.VV x", "-ERR wrong number of arguments for 'crdt.vv' command"),
    ],
)
async def test_bad_arguments(pair: Pair, words: str, error: str) -> None:
    assert await Client(pair[0]).ask(words) == error


@pytest.mark.parametrize(
    "token",
    [b"", b".", b"default", b"default.", b"default.!", b"default.kA!", b"\xff.kA", b"default.//8", b"default.wQ"],
)
def test_no_tokens(token: bytes) -> None:
    with pytest.raises(UsageError, match="invalid token"):
        parse_token(token, "default")


def test_a_space_with_dots_in_its_name() -> None:
    assert parse_token(b"a.b.kA", "a.b") == {}
    with pytest.raises(UsageError, match=r"token is of space 'a\.b'"):
        parse_token(b"a.b.kA", "a")
    assert Actor("a", 1) not in parse_token(b"a.b.kA", "a.b")


@pytest.mark.parametrize("write", ["SET k v", "Set k v", "GSET.ADD k v"])
@pytest.mark.parametrize("wait", ["WAIT 1 20", "wait 1 20", "Wait 1 20"])
@pytest.mark.parametrize("watched", [False, True])
async def test_wait_counts_for_what_was_written_in_the_same_read(
    pair: Pair, between: Between, write: str, wait: str, watched: bool
) -> None:
    client = Client(pair[0])
    between.whole = False  # without anybody noticing: the peer counts as online
    if watched:
        client.server.monitor(client.server.open_session(Wire()))
    client.send_all(write, wait)
    assert await client.reply() in (b"OK", 1)
    assert await client.reply() == 0
