"""Commands without an equivalent in Redis: replies as the contract fixes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from crdt.dots import Actor
from crdt.state import State
from crdt.types import hashes, strings
from daemon.api.dispatch import execute
from daemon.api.resp import RESP3
from daemon.api.session import Session
from tests.oracle import Hub

Ask = Callable[..., Any]
WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"


def write_elsewhere(hub: Hub) -> None:
    """Another replica sets key `k` and field `f` of `h` at the same time, by a clock that is ahead."""
    other = State(Actor("other", 0xABC))
    other.begin(5_000)
    strings.put(other, b"k", b"theirs")
    hashes.put(other, b"h", [(b"f", b"theirs")])
    frame = other.cut()
    assert frame is not None
    hub.states[0].cut()
    hub.states[0].apply(frame)
    hub.begin()


def siblings(answer: list[Any]) -> list[dict[bytes, Any]]:
    """The siblings of MV.GET in RESP2."""
    assert answer[0] == b"context" and answer[2] == b"siblings"
    return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in answer[3]]


@pytest.mark.parametrize(("write", "where"), [("SET k mine", "k"), ("HSET h f mine", "h f")])
def test_concurrent_values_stand_side_by_side(ask: Ask, hub: Hub, write: str, where: str) -> None:
    ask(write)
    write_elsewhere(hub)
    found = siblings(ask("MV.GET " + where))
    assert found[0] == {b"value": b"theirs", b"origin": b"other/0000000000000abc", b"time": 5000}
    assert found[1] == {b"value": b"mine", b"origin": b"oracle0/0000000000000001", b"time": 1001}


@pytest.mark.parametrize("where", ["k", "h f", "doc $.n"])
def test_a_context_is_plain_text(ask: Ask, where: str) -> None:
    """A client that decodes every reply as UTF-8 must be able to read it: redis-py with decode_responses=True."""
    for line in ("SET k v", "HSET h f v", """JSON.SET doc $ {"n":1}"""):
        ask(line)
    ask("INCR counted")
    assert re.fullmatch(rb"[-_0-9A-Za-z]+", ask("MV.GET " + where)[1])
    assert re.fullmatch(rb"[-_0-9A-Za-z]+", ask("MV.GET counted")[1])


@pytest.mark.parametrize(("where", "target"), [("k", "k"), ("h f", "h FIELD f")])
def test_a_context_replaces_what_it_covers(ask: Ask, hub: Hub, where: str, target: str) -> None:
    ask("SET k mine")
    ask("HSET h f mine")
    context = ask("MV.GET " + where)[1]
    write_elsewhere(hub)
    assert ask(f"MV.SET {target} new CONTEXT", context) == b"OK"
    assert {s[b"value"] for s in siblings(ask("MV.GET " + where))} == {b"theirs", b"new"}
    context = ask("MV.GET " + where)[1]
    assert ask(f"MV.SET {target} last context", context) == b"OK"
    assert [s[b"value"] for s in siblings(ask("MV.GET " + where))] == [b"last"]


def test_without_context_as_set_or_hset(ask: Ask, heard: Callable[[], list[str]]) -> None:
    ask("SADD k a")
    assert ask("MV.SET k v") == b"OK"
    assert ask("GET k") == b"v"
    assert ask("MV.SET h FIELD f v") == b"OK"
    assert ask("HGET h f") == b"v"
    assert ask("MV.SET k FIELD f v") == WRONG_TYPE
    assert heard() == ["sadd k", "set k", "hset h"]


def test_a_value_may_read_like_a_word_of_the_grammar(ask: Ask) -> None:
    assert ask("MV.SET k FIELD") == b"OK"
    assert ask("GET k") == b"FIELD"
    assert ask("MV.SET h FIELD CONTEXT v") == b"OK"
    assert ask("HGET h CONTEXT") == b"v"


@pytest.mark.parametrize("line", ["MV.SET k v x", "MV.SET k v CONTEXT", "MV.SET k FIELD f v x", "MV.GET k f x"])
def test_syntax(ask: Ask, line: str) -> None:
    assert ask(line) == "-ERR syntax error"


def test_errors(ask: Ask) -> None:
    for line in ("SADD s a", "GCOUNT.INCR c", "FLAG.ENABLE f", "SET k v", "HSET h f v"):
        ask(line)
    assert ask("MV.GET absent") is None
    assert ask("MV.GET h absent") is None
    for line in ("MV.GET s", "MV.GET c", "MV.GET h", "MV.GET k field", "GCOUNT.INCR k", "GCOUNT.GET k", "GSET.ADD s a"):
        assert ask(line) == WRONG_TYPE
    for line in ("GSET.CARD k", "FLAG.ENABLE k", "FLAG.DISABLE k", "FLAG.GET c", "SMEMBERS f", "INCR c", "GET f"):
        assert ask(line) == WRONG_TYPE
    assert ask("MV.SET k v CONTEXT nonsense").startswith("-ERR invalid context")
    context = ask("MV.GET k")[1]
    assert ask("MV.SET c v CONTEXT", context) == WRONG_TYPE


def test_grow_only_sets(ask: Ask, session: Session) -> None:
    assert [ask("GSET.ADD g a b"), ask("GSET.ADD g b c"), ask("GSET.CARD g")] == [2, 1, 3]
    assert sorted(ask("GSET.MEMBERS g")) == [b"a", b"b", b"c"]
    assert [ask("GSET.ISMEMBER g a"), ask("GSET.ISMEMBER g x"), ask("GSET.CARD absent")] == [1, 0, 0]
    session.resp = RESP3
    assert execute(session, [b"GSET.MEMBERS", b"absent"]) == b"~0\r\n"


def test_grow_only_counters(ask: Ask) -> None:
    assert [ask("GCOUNT.GET c"), ask("GCOUNT.INCR c"), ask("GCOUNT.INCR c 41"), ask("GCOUNT.GET c")] == [0, 1, 42, 42]
    assert ask("GCOUNT.INCR c -1") == "-ERR increment must not be negative"
    assert ask("GCOUNT.INCR c x") == "-ERR value is not an integer or out of range"
    assert ask("GCOUNT.INCR c 9223372036854775807") == "-ERR increment or decrement would overflow"


def test_flags(ask: Ask, heard: Callable[[], list[str]]) -> None:
    words = ("GET", "ENABLE", "ENABLE", "GET", "DISABLE", "DISABLE", "GET")
    assert [ask(f"FLAG.{word} f") for word in words] == [0, 1, 0, 1, 1, 0, 0]
    assert heard() == ["set f", "set f", "del f"]


def test_maps_of_resp3(session: Session) -> None:
    session.resp = RESP3
    execute(session, [b"SET", b"k", b"v"])
    answer = execute(session, [b"MV.GET", b"k"])
    assert answer.startswith(b"%2\r\n$7\r\ncontext\r\n$")
    assert b"$8\r\nsiblings\r\n*1\r\n%3\r\n$5\r\nvalue\r\n$1\r\nv\r\n$6\r\norigin\r\n" in answer
