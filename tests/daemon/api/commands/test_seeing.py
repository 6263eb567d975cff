"""CRDT.HASH, PEERS, CONFLICTS, DEBUG, STATUS."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crdt.replica.replica import NEVER
from crdt.state import State
from crdt.types import sets
from crdt.types.numberwire import FOSTER
from daemon.api.commands import seeing
from tests.daemon.api.commands.spacious import Client
from tests.daemon.spaces import Between, Member, same, until

Pair = tuple[Member, Member]


@pytest.fixture
async def pair(between: Between, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two that know each other, apart: `between.mend` brings them together."""
    a, b = (Member(between, name, tmp_path / name) for name in "ab")
    for member in (a, b):
        await member.start()
    known = [member.space.replica.peers.by_name for member in (a, b)]
    await until(lambda: all(len(k) == 1 and next(iter(k.values())).heard for k in known), "both to speak")
    between.cut()
    yield a, b
    for member in (a, b):
        member.kill()


def maps(reply: Any) -> list[dict[bytes, Any]]:
    """Flat RESP2 maps as dictionaries."""
    return [dict(zip(item[::2], item[1::2], strict=True)) for item in reply]


async def test_equal_states_have_equal_hashes(pair: Pair, between: Between) -> None:
    a, b = pair
    one, two = Client(a), Client(b)
    empty = await one.ask("CRDT.HASH")
    assert empty == b"0" * 32
    await one.ask("SADD s 1")
    found = await one.ask("CRDT.HASH")
    assert re.fullmatch(rb"[0-9a-f]{32}", found)
    assert found != await two.ask("CRDT.HASH")
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    assert found == await two.ask("CRDT.HASH")


async def unhashed(member: Member, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows that only CRDT.HASH will hash, in slices of seven."""
    monkeypatch.setattr(seeing, "HASH_SLICE", 7)
    monkeypatch.setattr(member.space.replica, "hashed", 0)
    monkeypatch.setattr(member.space.replica, "_hash_pause", NEVER)
    await Client(member).ask("SADD s", *[b"%d" % i for i in range(rows)])
    member.space.commit()
    assert member.space.state.backlog == rows


async def test_a_hash_that_takes_long_is_taken_in_slices(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await unhashed(pair[0], 300, monkeypatch)
    state = pair[0].space.state
    one, two = Client(pair[0]), Client(pair[0])
    slices: list[int] = []
    some = State.hash_some
    monkeypatch.setattr(State, "hash_some", lambda state, rows: (slices.append(rows), some(state, rows))[1])
    one.send_all("CRDT.HASH", "SCARD s")
    two.send("CRDT.HASH")
    found = await one.reply()
    assert (await one.reply(), await two.reply()) == (300, found)
    assert slices.count(7) >= 300 // 7 and found == b"%032x" % state.hash


async def test_a_hash_is_taken_though_others_write_as_fast(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await unhashed(pair[0], 100, monkeypatch)
    space = pair[0].space
    some, slices = State.hash_some, []

    def beside(state: State, rows: int) -> bool:
        slices.append(rows)
        done = some(state, rows)
        sets.add(state, b"t", [b"%d" % (100 * len(slices) + i) for i in range(10)])
        space.commit()
        return done

    monkeypatch.setattr(State, "hash_some", beside)
    assert re.fullmatch(rb"[0-9a-f]{32}", await Client(pair[0]).ask("CRDT.HASH"))
    assert max(slices[:-1]) <= 8 * 7, "it need not hash much more in a slice than is written meanwhile"


async def test_a_hash_is_whole_within_a_transaction_and_forgotten_with_its_client(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await unhashed(pair[0], 300, monkeypatch)
    state = pair[0].space.state
    one, gone = Client(pair[0]), Client(pair[0])
    gone.send("CRDT.HASH")
    gone.server.close_session(gone.session)
    assert [await one.ask(line) for line in ("MULTI", "CRDT.HASH")] == [b"OK", b"QUEUED"]
    assert await one.ask("EXEC") == [b"%032x" % state.hash]
    assert state.backlog == 0


async def test_status_is_json(pair: Pair) -> None:
    assert json.loads(await Client(pair[0]).ask("CRDT.STATUS")) == {"name": "a"}


async def test_peers(pair: Pair, between: Between) -> None:
    a, b = pair
    between.mend()
    client = Client(a)
    (found,) = maps(await client.ask("CRDT.PEERS"))
    assert list(found) == [b"name", b"incarnation", b"state", b"lag", b"behind", b"last_seen", b"skew"]
    assert found[b"name"] == b"b"
    assert found[b"incarnation"] is None  # it has not written
    assert found[b"state"] == b"online"
    b.add(b"s", b"1")
    await until(lambda: same(a, b), "both to converge")
    await until(lambda: a.space.replica.converged(a.space.now()), "a to know it")
    (found,) = maps(await client.ask("CRDT.PEERS"))
    assert found[b"incarnation"] == b"%016x" % b.space.state.actor.nonce
    assert (found[b"lag"], found[b"behind"]) == (0, 0)
    between.cut()
    await client.ask("SADD s 2 3")
    (found,) = maps(await client.ask("CRDT.PEERS"))
    assert (found[b"lag"], found[b"behind"]) == (2, 0)
    await until(lambda: not a.space.replica.peers.online(a.space.now()), "b to be silent")
    (found,) = maps(await client.ask("CRDT.PEERS"))
    assert found[b"state"] == b"silent"
    assert found[b"last_seen"] >= 300
    between.mend()
    b.close()
    between.members["b"] = b  # for the fixture's end
    await until(lambda: a.space.replica.peers.by_name["b"].offline, "a to hear it leave")
    b.open()


async def test_conflicts(pair: Pair, between: Between) -> None:
    a, b = pair
    one, two = Client(a), Client(b)
    for name, client in (("a", one), ("b", two)):
        for key in ("k1", "k2", "other"):
            await client.ask(f"SET {key} {name}")
        await client.ask(f"HSET h f {name}")
        await client.ask(f"HSET h {name} alone")
    await one.ask("SET mixed text")
    await two.ask("SADD mixed member")
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    found = {item[b"key"]: item for item in maps(await one.ask("CRDT.CONFLICTS"))}
    assert set(found) == {b"k1", b"k2", b"other", b"h", b"mixed"}
    assert (found[b"k1"][b"where"], found[b"k1"][b"type"]) == (None, b"string")
    siblings = maps(found[b"k1"][b"siblings"])
    assert {item[b"value"] for item in siblings} == {b"a", b"b"}
    assert {item[b"origin"] for item in siblings} == {str(m.space.state.actor).encode() for m in pair}
    assert all(item[b"time"] > 1.7e12 for item in siblings)
    assert (found[b"h"][b"where"], found[b"h"][b"type"]) == (b"f", b"hash")
    assert {item[b"value"] for item in maps(found[b"mixed"][b"siblings"])} == {b"string", b"set"}
    assert (
        found[b"k1"][b"siblings"] == {i[b"key"]: i for i in maps(await two.ask("CRDT.CONFLICTS"))}[b"k1"][b"siblings"]
    )
    assert {item[b"key"] for item in maps(await one.ask("CRDT.CONFLICTS MATCH k*"))} == {b"k1", b"k2"}
    assert len(await one.ask("CRDT.CONFLICTS COUNT 1 MATCH k*")) == 1
    await one.ask("SET k1 settled")
    assert b"k1" not in {item[b"key"] for item in maps(await one.ask("CRDT.CONFLICTS"))}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("CRDT.CONFLICTS MATCH", "-ERR syntax error"),
        ("CRDT.CONFLICTS FOO x", "-ERR syntax error"),
        ("CRDT.CONFLICTS COUNT x", "-ERR value is not an integer or out of range"),
        ("CRDT.DEBUG", "-ERR wrong number of arguments for 'crdt.debug' command"),
    ],
)
async def test_bad_arguments(pair: Pair, words: str, error: str) -> None:
    assert await Client(pair[0]).ask(words) == error


async def test_debug_shows_the_rows(pair: Pair) -> None:
    a, _ = pair
    client = Client(a)
    actor = str(a.space.state.actor)
    assert await client.ask("CRDT.DEBUG none") is None
    await client.ask("SET k v")
    (row,) = maps(await client.ask("CRDT.DEBUG k"))
    assert list(row) == [b"dot", b"type", b"cell", b"value", b"time"]
    assert (row[b"dot"], row[b"type"], row[b"cell"]) == (f"{actor}:1".encode(), b"string", None)
    assert b"v" in row[b"value"]
    await client.ask("SADD s x y")
    assert {item[b"cell"] for item in maps(await client.ask("CRDT.DEBUG s"))} == {b"x", b"y"}
    await client.ask("INCRBY n 5")
    await client.ask("INCRBYFLOAT n 0.5")
    (row,) = maps(await client.ask("CRDT.DEBUG n"))
    assert row[b"value"] == f"count 5.5 since {actor}:4".encode()
    state, number = a.space.state, a.space.state.keys[b"n"].number()  # type: ignore[attr-defined]
    held = number.counts
    number.counts = dict.fromkeys(held, (FOSTER, state.me.base + 2, 7, 3))  # as a replica that heals writes it
    (row,) = maps(await client.ask("CRDT.DEBUG n"))
    assert row[b"value"] == f"count 7 since {actor}:2".encode()
    number.counts = held
    await client.ask("JSON.SET j $", b'{"a":[1,{"b":"c"}]}')
    rows = {item[b"cell"]: item[b"value"] for item in maps(await client.ask("CRDT.DEBUG j"))}
    assert rows == {b"$": b"{}", b"$.a": b"[]", b"$.a[0]": b"1", b"$.a[1]": b"{}", b"$.a[1].b": b'"c"'}
    await client.ask("RPUSH l x y z")
    await client.ask("LPOP l")
    assert {row[b"cell"]: row[b"value"] for row in maps(await client.ask("CRDT.DEBUG l"))} == {b"0": b"y", b"1": b"z"}
    await client.ask("XADD stream 5-1 f v")
    await client.ask("XADD stream 6-1 f v g w")
    await client.ask("XDEL stream 5-1")
    assert {row[b"cell"]: row[b"value"] for row in maps(await client.ask("CRDT.DEBUG stream"))} == {
        b"6-1": b"f v g w",
        b"": b"last id 6-1, 1 removed by XDEL up to 5-1",
    }
    await client.ask("HSET h f v g w")
    assert {item[b"cell"] for item in maps(await client.ask("CRDT.DEBUG h"))} == {b"f", b"g"}
    await client.ask("FLAG.ENABLE flag")
    await client.ask("GCOUNT.INCR grown 3")
    await client.ask("GSET.ADD gs m")
    await client.ask("SET mortal v PXAT 4000000000000")
    assert {item[b"type"]: item[b"value"] for item in maps(await client.ask("CRDT.DEBUG mortal"))} == {
        b"string": b"v",
        b"expiry": b"until 4000000000000, has seen 1 values",
    }
    for key in ("flag", "grown", "gs"):
        assert maps(await client.ask(f"CRDT.DEBUG {key}")), key


async def test_debug_of_a_counter_both_have_used(pair: Pair, between: Between) -> None:
    a, b = pair
    one, two = Client(a), Client(b)
    await one.ask("INCRBY n 5")
    between.mend()
    await until(lambda: same(a, b), "both to converge")
    await two.ask("INCRBY n 7")
    await two.ask("SET n 100")
    await two.ask("INCR n")
    await until(lambda: same(a, b), "both to converge")
    rows = maps(await one.ask("CRDT.DEBUG n"))
    assert len(rows) >= 2
    assert await one.ask("GET n") == b"101"


@pytest.mark.parametrize("line", ["MV.GET k", "MV.GET h f", "CRDT.VV", "CRDT.DEBUG k"])
async def test_what_names_dots_tells_the_witness(pair: Pair, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    a, _ = pair
    client = Client(a)
    recorded: list[int] = []
    for words in ("SET k v", "HSET h f v"):
        await client.ask(words)
    monkeypatch.setattr(a.space._witness, "record", lambda nonce, seq: recorded.append(seq))
    for words in ("MULTI", "SET other v", line, "EXEC"):
        await client.ask(words)
    assert 3 in recorded
