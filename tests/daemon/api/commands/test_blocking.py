"""Clients that wait for a list: scenes of several clients, with a real Redis 7.0.15 and with us, reply by reply.

A scene is lines of "client: request". After each the scene goes on when every client has its reply or is blocked. What
each client got at each step must be the same.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from crdt.errors import UsageError
from crdt.types import lists
from daemon.api.commands.blocking import LONGEST, timeout
from daemon.api.requests import split_words
from tests import oracle
from tests.compiled import as_python
from tests.daemon.api.commands import spacious
from tests.daemon.api.serving import Client, Hub, encoded, serve
from tests.daemon.spaces import Between, Member, until

REASON = oracle.missing()
with_redis = pytest.mark.skipif(REASON is not None, reason=REASON or "")
Step = dict[str, bytes]

SCENES = {
    "one waits": "a: BLPOP k 0 / w: RPUSH k x / w: LLEN k / w: EXISTS k / a: PING",
    "nobody waits where there is something": "w: RPUSH k x y z / a: BLPOP k 0 / a: BRPOP q k 0 /"
    " a: BLMOVE k t LEFT LEFT 0",
    "who came first": "a: BLPOP k 0 / b: BRPOP k 0 / c: BLPOP k 0 / w: RPUSH k 1 2 3 4 / w: LRANGE k 0 -1",
    "who is left goes on waiting": "a: BLPOP k 0 / b: BLPOP k 0 / w: LPUSH k 1 / w: LPUSH k 2 / w: EXISTS k",
    "all is pushed first": "a: BLPOP k 0 / w: LPUSH k 1 2 3 / w: LRANGE k 0 -1",
    "several keys": "a: BLPOP k l m 0 / b: BLPOP m l 0 / w: RPUSH l 1 / w: RPUSH k 2 / w: RPUSH m 3 / w: KEYS *",
    "the key that was filled first": "a: BLPOP k l 0 /"
    " w: MULTI / w: RPUSH l 1 / w: RPUSH k 2 / w: EXEC / w: EXISTS l k",
    "one key twice": "a: BLPOP k k 0 / w: RPUSH k 1 2 / w: LRANGE k 0 -1",
    "a transaction is served at its end": "a: BLPOP k 0 / w: MULTI / w: RPUSH k 1 / w: LPUSH k 2 / w: LPOP k / w: EXEC",
    "a transaction that takes it back": "a: BLPOP k 0 / w: MULTI / w: RPUSH k 1 / w: DEL k / w: EXEC / w: RPUSH k 2",
    "waiting within a transaction": "a: MULTI / a: BLPOP k 0 / a: BRPOP k 0 / a: BLMOVE k t LEFT LEFT 0 /"
    " a: BRPOPLPUSH k t 0 / a: BLMPOP 0 1 k LEFT / a: EXEC",
    "another type": "w: SET k v / a: BLPOP k 0 / b: BLPOP q k 0 / c: BLMOVE k t LEFT LEFT 0 / d: BLMPOP 0 2 q k LEFT",
    "another type comes": "a: BLPOP k 0 / w: SET k v / w: DEL k / w: SADD k v / w: DEL k / w: RPUSH k x",
    "another type behind something": "w: RPUSH l x / w: SET k v / a: BLPOP l k 0 / b: BLPOP k l 0",
    "moving on": "a: BLMOVE k l LEFT RIGHT 0 / b: BLPOP l 0 / w: RPUSH k x / w: EXISTS k l",
    "moving in a circle": "a: BLMOVE k l LEFT RIGHT 0 / b: BLMOVE l k LEFT RIGHT 0 / c: BLPOP k 0 / w: RPUSH k x",
    "moving to another type": "w: SET t v / a: BLMOVE k t LEFT LEFT 0 / b: BLPOP k 0 / w: RPUSH k x / w: LLEN k",
    "moving onto itself": "a: BLMOVE k k LEFT RIGHT 0 / w: RPUSH k 1 2 3 / w: LRANGE k 0 -1",
    "the old name": "a: BRPOPLPUSH k t 0 / w: RPUSH k 1 2 / w: LRANGE t 0 -1 / w: LRANGE k 0 -1",
    "many at once": "a: BLMPOP 0 2 k l LEFT COUNT 2 / b: BLMPOP 0 1 l RIGHT COUNT 9 / w: RPUSH l 1 2 3 4 / w: EXISTS l",
    "renamed and copied": "a: BLPOP k 0 / b: BLPOP l 0 /"
    " w: RPUSH q 1 2 / w: COPY q l / w: RENAME q k / w: LRANGE k 0 -1",
    "moved to it": "a: BLPOP k 0 / w: RPUSH q 1 /"
    " w: LMOVE q k LEFT LEFT / b: BLPOP k 0 / w: RPUSH q 2 / w: RPOPLPUSH q k",
    "pushed only where there is one": "a: BLPOP k 0 / w: LPUSHX k x / w: RPUSHX k x / w: RPUSH k y",
    "what follows waits": "a: BLPOP k 0 / a: PING / a: RPUSH l x / w: EXISTS l / w: RPUSH k v / w: EXISTS l",
    "who waits watches nothing": "a: WATCH k / a: BLPOP k 0 / w: RPUSH k v / a: MULTI / a: PING / a: EXEC",
    "a pop that was waited for fails watchers": "w: WATCH k / a: BLPOP k 0 / b: RPUSH k v /"
    " w: MULTI / w: PING / w: EXEC",
    "the time is up": "a: BLPOP k 0.01 / b: BRPOP k 0.01 / c: BLMOVE k t LEFT LEFT 0.01 / d: BRPOPLPUSH k t 0.01 /"
    " a: BLMPOP 0.01 1 k LEFT / w: RPUSH k x / w: LLEN k",
    "the time is up, in RESP3": "a: HELLO 3 SETNAME a / b: HELLO 3 SETNAME b / a: BLPOP k 0.01 /"
    " b: BLMOVE k t LEFT LEFT 0.01 / a: BLMPOP 0.01 1 k LEFT / b: BLPOP k 0 / w: RPUSH k x /"
    " a: BLMPOP 0 1 k LEFT / w: RPUSH k y",
    "hung up": "a: BLPOP k 0 / b: BLPOP k 0 / a! / w: RPUSH k x / w: LLEN k",
    "unblocked": "a: BLPOP k 0 / w: UNBLOCK a / a: BLPOP k 0 / w: UNBLOCK a ERROR / a: BLMOVE k t LEFT LEFT 0 /"
    " w: UNBLOCK a TIMEOUT / w: UNBLOCK a / w: RPUSH k x / w: LLEN k",
    "sorted sets": "a: BZPOPMIN k 0 / b: BZPOPMAX k 0 / w: ZADD k 1 x 2 y 3 z / w: ZRANGE k 0 -1 /"
    " a: BZMPOP 0 2 l k MAX COUNT 2 / c: BZMPOP 0 2 l k MAX COUNT 2 / w: ZADD l 1 x 2 y 3 z / w: ZADD k INCR 1 q",
    "sorted sets, other types": "a: BZPOPMIN k 0 / w: SET k v / w: DEL k / w: RPUSH k v / w: DEL k / w: ZADD k 1.5 x /"
    " w: SET k v / a: BZPOPMIN k 0 / a: BZPOPMAX q k 0 / a: BZMPOP 0 1 k MIN",
    "sorted sets that are stored": "a: BZPOPMIN k 0 / w: ZADD z 1 x / w: ZUNIONSTORE k 1 z / b: BZPOPMAX q 0 /"
    " w: ZRANGESTORE q z 0 -1 / a: BZPOPMIN k 0 / w: ZINCRBY k 5 y",
    "sorted sets, in RESP3":
    "a: HELLO 3 SETNAME a / a: BZPOPMIN k 0 / w: ZADD k 1.5 x / a: BZMPOP 0 1 k MIN / w: ZADD k inf x",
    "sorted sets, in a transaction": "a: MULTI / a: BZPOPMIN k 0 / a: BZMPOP 0 1 k MIN / a: EXEC / a: BZPOPMIN k 0.01",
    "streams":
    "a: XREAD BLOCK 0 STREAMS k 0 / b: XREAD BLOCK 0 STREAMS l k $ $ / w: XADD k 1-1 f v / w: XADD k 2-1 f v /"
    " a: XREAD BLOCK 0 COUNT 1 STREAMS k 1-1 / a: XREAD BLOCK 0 STREAMS k 2-1 / w: XADD k 3-1 f v",
    "streams, other types": "a: XREAD BLOCK 0 STREAMS k 0 / w: RPUSH k v / w: DEL k / w: XADD k 1-1 f v / w: DEL k /"
    " w: SET k v / a: XREAD BLOCK 0 STREAMS k 0 / a: XREAD BLOCK x STREAMS k 0 / a: XREAD BLOCK -1 STREAMS k 0",
    "streams, in a transaction": "a: MULTI / a: XREAD BLOCK 0 STREAMS k 0 / a: EXEC / b: XREAD BLOCK 0 STREAMS k $ /"
    " w: MULTI / w: XADD k 1-1 f v / w: XADD k 2-1 f v / w: EXEC",
    "streams, in RESP3":
    "a: HELLO 3 SETNAME a / a: XREAD BLOCK 0 STREAMS k $ / w: XADD k 1-1 f v / a: XREAD STREAMS k q 0 0",
    "out of reach": "a: BLPOP k -1 / a: BLPOP k x / a: BLPOP k nan / a: BLPOP k inf / a: BLPOP k -0.0001 / a: BLPOP k /"
    " a: BLMPOP 0 0 k LEFT / a: BLMPOP 0 1 k UP / a: BLMPOP 0 2 k LEFT / a: BLMPOP 0 1 k LEFT COUNT 0 /"
    " a: BLMOVE k t UP LEFT 0 / a: BLMOVE k t LEFT LEFT x / a: BRPOPLPUSH k t -1",
}  # fmt: skip


class Stage:
    """The clients of one scene on one server; `play` carries out a line."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.clients: dict[str, Client] = {}
        self.ids: dict[str, bytes] = {}
        self.waiting: dict[str, int] = {}

    async def enter(self, name: str) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.path))
        self.clients[name] = client
        assert await client.ask(f"CLIENT SETNAME {name}") == b"+OK\r\n"
        self.ids[name] = (await client.ask("CLIENT ID"))[1:-2]
        self.waiting[name] = 0
        return client

    async def play(self, line: str) -> Step:
        """Who got which bytes because of it."""
        name = line[0]
        client = self.clients.get(name) or await self.enter(name)
        if line[1] == "!":
            client.close()
            del self.clients[name]
        else:
            words = split_words(line[2:].encode()) or []
            if words[0] == b"UNBLOCK":
                words = [b"CLIENT", b"UNBLOCK", self.ids[words[1].decode()], *words[2:]]
            client.send(encoded(*words))
            self.waiting[name] += 1
        return await self.settle()

    async def settle(self) -> Step:
        """Everybody has the replies to all requests, or is blocked."""
        got: Step = {}
        while True:
            blocked = await self.blocked()
            for name, client in self.clients.items():
                while self.waiting[name]:
                    try:
                        found = await asyncio.wait_for(client.reply(), 0.002)
                        got[name] = got.get(name, b"") + re.sub(rb"\$2\r\nid\r\n:\d+", b"id", found)
                        self.waiting[name] -= 1
                    except TimeoutError:
                        break
            # Asked before the replies were read: who was blocked then and got nothing since is blocked.
            if all(name in blocked or not self.waiting[name] for name in self.clients):
                return got

    async def blocked(self) -> set[str]:
        """Who waits without a limit, or much longer than a scene takes."""
        control = self.clients.get("control") or await self.enter("control")
        text = (await control.ask("CLIENT LIST")).decode()
        lines = [
            dict(word.partition("=")[::2] for word in line.split()) for line in text.splitlines() if "name=" in line
        ]
        return {line["name"] for line in lines if "b" in line["flags"] and line["name"] not in self.timed}

    timed: frozenset[str] = frozenset()


async def played(path: str, scene: list[str]) -> list[Step]:
    """Every step of a scene."""
    stage = Stage(path)
    control = await stage.enter("control")
    await control.ask("FLUSHALL")
    out = []
    for line in scene:
        if " 0.01" in line:  # this one is waited for
            stage.timed |= {line[0]}
        out.append(await stage.play(line))
        stage.timed = frozenset()
    for client in stage.clients.values():
        client.close()
    return out


@pytest.fixture(scope="module")
def redis() -> object:
    if REASON is not None:
        pytest.skip(REASON)
    with oracle.redis_server() as path:
        yield path


async def compare(redis: str, tmp_path: Path, scene: list[str]) -> None:
    theirs = await played(redis, scene)
    async with serve(tmp_path / "s", Hub(spaces=16)) as serving:
        ours = await played(str(serving.path), scene)
    for line, one, other in zip(scene, theirs, ours, strict=True):
        assert other == one, line


@with_redis
@pytest.mark.parametrize("name", SCENES)
async def test_every_scene_is_redis(redis: str, tmp_path: Path, name: str) -> None:
    await compare(redis, tmp_path, SCENES[name].split(" / "))


def invented(seed: int) -> list[str]:
    """A scene of four who wait and one who fills."""
    rng = random.Random(seed)
    keys = ["k", "l", "m"]

    def side() -> str:
        return rng.choice(["LEFT", "RIGHT"])

    def some() -> str:
        return " ".join(rng.choice(keys) for _ in range(rng.randint(1, 3)))

    out = []
    for i in range(25):
        who, names = rng.choice("abcd"), some()
        if rng.random() < 0.5:
            count = len(names.split())
            waits = (
                f"BLPOP {names} 0", f"BRPOP {names} 0", f"BLMPOP 0 {count} {names} {side()} COUNT 2",
                f"BLMOVE {rng.choice(keys)} {rng.choice(keys)} {side()} {side()} 0",
            )  # fmt: skip
            out.append(f"{who}: {rng.choice(waits)}")
            continue
        key, other = rng.choice(keys), rng.choice(keys)
        fills = (
            f"RPUSH {key} {i} {i}b", f"LPUSH {key} {i}", f"LPOP {key}", f"DEL {key}", f"LMOVE {key} {other} LEFT LEFT",
            f"RENAME {key} {other}", f"COPY {key} {other}", f"SET {key} v", f"LRANGE {key} 0 -1",
        )  # fmt: skip
        if rng.random() < 0.2:
            out += ["w: MULTI", *(f"w: {rng.choice(fills)}" for _ in range(3)), "w: EXEC"]
        else:
            out.append(f"w: {rng.choice(fills)}")
    return out


@with_redis
@pytest.mark.parametrize("seed", range(12))
async def test_invented_scenes_are_redis(redis: str, tmp_path: Path, seed: int) -> None:
    await compare(redis, tmp_path, invented(seed))


@as_python
@with_redis
async def test_a_difference_would_be_seen(redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "pop", lambda *args, pop=lists.pop: pop(*args)[::-1] and [b"wrong"])
    with pytest.raises(AssertionError):
        await compare(redis, tmp_path, SCENES["one waits"].split(" / "))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"0", None), (b"0.0", None), (b"-0", None), (b"1", 1.0), (b"0.0001", 0.001), (b"9223372036854775", LONGEST)],
)
def test_time_outs(text: bytes, seconds: float | None) -> None:
    assert timeout(text) == seconds


@pytest.mark.parametrize("text", [b"", b"x", b"nan", b" 1", b"-1", b"-inf", b"inf", b"1e19", b"-1e-9x"])
def test_time_outs_that_are_none(text: bytes) -> None:
    with pytest.raises(UsageError, match="ERR timeout is"):
        timeout(text)


# -- peers ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    between = Between()
    a, b = (Member(between, name, tmp_path / name, "always") for name in "ab")
    for member in (a, b):
        await member.start()
    await until(lambda: all(m.space.replica.peers.online(m.space.now()) for m in (a, b)), "both to meet")
    yield SimpleNamespace(a=a, b=b)
    for member in (a, b):
        member.kill()


async def test_a_push_by_a_peer_is_waited_for(pair: SimpleNamespace) -> None:
    """And what was popped for the client is stored and told like any other pop."""
    waits, pushes, after = spacious.Client(pair.a), spacious.Client(pair.b), spacious.Client(pair.a)
    waits.send("BLPOP k 0")
    assert await pushes.ask("RPUSH k x y") == 2
    assert await waits.reply() == [b"k", b"x"]
    assert await after.ask("LRANGE k 0 -1") == [b"y"]
    await until(lambda: lists.values(pair.b.space.state, b"k") == [b"y"], "the pop to arrive")
    assert pair.a.space.database.observed is False


async def test_each_daemon_serves_one_of_its_own(pair: SimpleNamespace) -> None:
    """Documented: N daemons with a blocked client each pop the element."""
    here, there, pushes = spacious.Client(pair.a), spacious.Client(pair.b), spacious.Client(pair.b)
    here.send("BLPOP k 0")
    pushes.send("MULTI")
    assert await pushes.reply() == b"OK"
    await pushes.ask("RPUSH k x")
    there.send("BLPOP k 0")
    assert await pushes.ask("EXEC") == [1]
    assert await there.reply() == [b"k", b"x"]
    # The pair of push and pop left nothing to tell: nobody else ever sees the element.
    assert await pushes.ask("RPUSH k y z") == 2
    assert await here.reply() == [b"k", b"y"]


async def test_who_is_waiting_is_forgotten_with_the_connection(pair: SimpleNamespace) -> None:
    client, other = spacious.Client(pair.a), spacious.Client(pair.a)
    client.send("BLPOP k 0")
    assert pair.a.space.database.observed and pair.a.space.database.blocked
    client.server.close_session(client.session)
    assert not pair.a.space.database.blocked and not pair.a.space.database.observed
    assert await other.ask("RPUSH k x") == 1
    assert await other.ask("LLEN k") == 1
