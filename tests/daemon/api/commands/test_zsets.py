"""Sorted sets, member by member: how scores are spelled, what is random, RESP3. The rest is compared with Redis."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from crdt.errors import UsageError
from daemon.api.commands.zsets import double, strtod
from daemon.api.dispatch import execute
from daemon.api.resp import RESP3
from daemon.api.session import Session
from tests.oracle import Hub

Ask = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"1", 1.0), (b"-1.5e3", -1500.0), (b".5", 0.5), (b"5.", 5.0), (b"inf", inf), (b"-Infinity", -inf),
     (b"0x1p4", 16.0), (b"0x.8", 0.5), (b"0e5", 0.0), (b"0x0", 0.0)],
)  # fmt: skip
def test_scores_are_read_as_c_reads_them(text: bytes, value: float) -> None:
    assert double(text) == value


@pytest.mark.parametrize(
    "text", [b"", b" 1", b"1 ", b"x", b"nan", b"1_0", b"1e", b"0x", b"1e999", b"1e-999", b"0x1p9999"]
)
def test_what_is_no_score(text: bytes) -> None:
    with pytest.raises(UsageError, match="not a valid float"):
        double(text)


def test_a_bound_out_of_range_is_infinite() -> None:
    assert (strtod(b"1e999"), strtod(b"-0x1p9999"), strtod(b"1e-999")) == (inf, -inf, 0.0)


def test_scores_in_resp3(session: Session) -> None:
    session.resp = RESP3
    execute(session, [b"ZADD", b"z", b"1.5", b"x"])
    assert execute(session, [b"ZSCORE", b"z", b"x"]) == b",1.5\r\n"
    assert execute(session, [b"ZPOPMIN", b"z", b"1"]) == b"*1\r\n*2\r\n$1\r\nx\r\n,1.5\r\n"


def test_events(ask: Ask, hub: Hub) -> None:
    ask("ZADD z 1 x")
    ask("ZADD z 1 x")  # nothing is new
    ask("ZADD z INCR 0 x")
    ask("ZINCRBY z 2 x")
    ask("ZPOPMAX z")
    told = [name.rpartition(b":")[2] for name, _ in hub.told.events]
    assert told == [b"zadd", b"zincr", b"zpopmax", b"del"]


def test_a_large_walk_finds_each_once(ask: Ask) -> None:
    ask("ZADD z", *[word for i in range(500) for word in (b"%d" % i, b"m%d" % i)])
    cursor, found = b"0", []
    while True:
        cursor, page = ask(f"ZSCAN z {cursor.decode()} COUNT 37")
        found += page[::2]
        if cursor == b"0":
            break
        ask("ZREM z m499")
    assert len(found) == len(set(found)) and set(found) >= {b"m%d" % i for i in range(499)}


def test_a_sample_that_could_not_be_sent(ask: Ask) -> None:
    ask("ZADD z 1 x")
    assert ask("ZRANDMEMBER z -1000000000").startswith("-ERR reply of")
