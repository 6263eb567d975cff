"""Strings: options that are not built, limits, and replies that depend on the protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from daemon.api.dispatch import execute
from daemon.api.resp import RESP3
from daemon.api.session import Session
from tests.oracle import Hub

Ask = Callable[..., Any]


@pytest.mark.parametrize(
    "line",
    ["SET k v EX", "SET k v EX 1 PX 1", "SET k v KEEPTTL EX 1", "SET k v EX 1 KEEPTTL", "GETEX k EX", "GETEX k EX 1 2"],
)
def test_deadlines_are_read_as_redis_reads_them(ask: Ask, line: str) -> None:
    assert ask(line) == "-ERR syntax error"
    assert ask("EXISTS k") == 0


def test_values_do_not_grow_beyond_the_limit(ask: Ask, hub: Hub) -> None:
    hub.limits = replace(hub.limits, value=10)
    ask("SET k 12345678")
    error = "-ERR value of 11 bytes exceeds limits.value (10)"
    assert ask("APPEND k abc") == error
    assert ask("SETRANGE k 10 x") == error
    assert ask("SETBIT k 80 1") == error
    assert ask("GET k") == b"12345678"
    assert ask("APPEND k 90") == 10
    assert ask("SETRANGE k 500000000 x") == "-ERR value of 500000001 bytes exceeds limits.value (10)"


def test_nulls_of_resp3(session: Session) -> None:
    session.resp = RESP3
    assert execute(session, [b"GET", b"k"]) == b"_\r\n"
    assert execute(session, [b"MGET", b"k"]) == b"*1\r\n_\r\n"
    assert execute(session, [b"LCS", b"a", b"b", b"IDX"]) == b"%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"


def test_appending_to_a_counter_sets_what_it_shows(ask: Ask) -> None:
    ask("INCRBY n 41")
    assert ask("APPEND n 0") == 3
    assert ask("INCR n") == 411


def test_writes_are_told(ask: Ask, heard: Callable[[], list[str]]) -> None:
    for line in (
        "SET k v",
        "SET k v NX",
        "SETNX k v",
        "GETSET k 1",
        "SETBIT k 1 1",
        "SETBIT k 1 1",
        "GETDEL k",
        "GETDEL k",
    ):
        ask(line)
    assert heard() == ["set k", "set k", "setbit k", "del k"]
