"""Sets: what is random, what is large, and what RESP3 calls a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daemon.api.dispatch import execute
from daemon.api.resp import RESP3
from daemon.api.session import Session
from tests.oracle import Hub

Ask = Callable[..., Any]


def fill(ask: Ask, count: int) -> set[bytes]:
    """A set of so many words under `s`."""
    members = [b"m%d" % i for i in range(count)]
    ask("SADD s", *members)
    return set(members)


def test_pop_takes_each_once(ask: Ask) -> None:
    members = fill(ask, 1000)
    taken = [ask("SPOP s") for _ in range(500)] + ask("SPOP s 30") + ask("SPOP s 400")
    assert len(taken) == len(set(taken)) == 930
    assert set(ask("SPOP s 100")) == members - set(taken)
    assert ask("EXISTS s") == 0
    assert ask("SPOP s") is None


def test_pop_reaches_what_is_added_meanwhile(ask: Ask) -> None:
    fill(ask, 500)
    popped = {ask("SPOP s") for _ in range(100)}
    ask("SADD s late")
    popped |= {ask("SPOP s") for _ in range(400)}
    assert b"late" in popped or ask("SPOP s") == b"late"


def test_members_are_drawn_evenly(ask: Ask) -> None:
    fill(ask, 100)
    drawn = Counter(ask("SRANDMEMBER s") for _ in range(20_000))
    assert len(drawn) == 100
    assert 120 < min(drawn.values()) and max(drawn.values()) < 290
    many = Counter(ask("SRANDMEMBER s -20000"))
    assert len(many) == 100


def test_samples(ask: Ask) -> None:
    members = fill(ask, 50)
    assert set(ask("SRANDMEMBER s 100")) == members
    few = ask("SRANDMEMBER s 20")
    assert len(few) == len(set(few)) == 20
    assert ask("SRANDMEMBER s 0") == []
    assert ask("SRANDMEMBER absent -5") == []


def test_a_sample_that_could_not_be_sent(ask: Ask, hub: Hub) -> None:
    ask("SADD s a")
    ask("HSET h a b")
    hub.limits = replace(hub.limits, reply_buffer=6000)
    assert len(ask("SRANDMEMBER s -1000")) == 1000
    for line in ("SRANDMEMBER s -1001", "HRANDFIELD h -1001"):
        assert ask(line) == "-ERR reply of 1001 elements exceeds limits.reply_buffer"


def test_one_value_named_so_often_that_the_reply_could_not_be_sent(ask: Ask, hub: Hub) -> None:
    long = "x" * 1000
    ask(f"SADD s {long}")
    ask(f"HSET h f {long}")
    ask(f"SET k {long}")
    hub.limits = replace(hub.limits, reply_buffer=6000)
    assert len(ask("SRANDMEMBER s -6")) == len(ask("HMGET h" + " f" * 6)) == len(ask("MGET" + " k" * 6)) == 6
    for line in ("SRANDMEMBER s -7", "HMGET h" + " f" * 7, "MGET" + " k" * 7):
        assert ask(line) == "-ERR reply of 7000 bytes exceeds limits.reply_buffer (6000)"
    assert ask("HRANDFIELD h -7 WITHVALUES") == "-ERR reply of 7007 bytes exceeds limits.reply_buffer (6000)"


def test_sscan_of_a_changing_set(ask: Ask) -> None:
    fill(ask, 1000)
    cursor, found = b"0", []
    for page in range(1000):
        cursor, names = ask(f"SSCAN s {cursor.decode()} COUNT 50")
        found += names
        if cursor == b"0":
            break
        ask(f"SREM s m{page}")
        ask(f"SADD s new{page}")
        assert not set(names) & {b"m%d" % i for i in range(page)}
    assert len(found) == len(set(found))
    assert {b"m%d" % i for i in range(100, 1000)} <= set(found)


def test_a_grow_only_set_is_no_set(ask: Ask) -> None:
    ask("GSET.ADD g a")
    for line in ("SADD g b", "SREM g a", "SPOP g", "SINTER g", "SMOVE g s a", "SUNIONSTORE s g"):
        assert ask(line) == "-WRONGTYPE Operation against a key holding the wrong kind of value"


def test_sets_of_resp3(session: Session) -> None:
    session.resp = RESP3
    execute(session, [b"SADD", b"s", b"a"])
    for words in ("SMEMBERS s", "SUNION s", "SINTER s", "SDIFF s", "SPOP s 5"):
        assert execute(session, words.encode().split()) == b"~1\r\n$1\r\na\r\n"
    assert execute(session, [b"SPOP", b"s", b"5"]) == b"~0\r\n"


def test_the_last_removal_is_told(ask: Ask, heard: Callable[[], list[str]]) -> None:
    for line in ("SADD s a b", "SADD s a", "SREM s a", "SPOP s", "SADD s c", "SMOVE s t c", "SINTERSTORE t t s"):
        ask(line)
    assert heard() == ["sadd s", "srem s", "spop s", "del s", "sadd s", "srem s", "del s", "sadd t", "del t"]
