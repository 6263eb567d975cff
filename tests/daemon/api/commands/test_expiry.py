"""Lifetimes at the socket: what the clock does, which Redis and the oracle cannot be asked together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.oracle import Hub

Ask = Callable[..., Any]
Heard = Callable[[], list[str]]


def wait(hub: Hub, milliseconds: int) -> None:
    """Time passes; a batch begins."""
    hub.now += milliseconds - 1
    hub.begin()


@pytest.mark.parametrize(
    "write", ["SET k v EX 10", "SET k v PX 10000", "SETEX k 10 v", "PSETEX k 10000 v", "SET k v|EXPIRE k 10",
              "SADD k x|PEXPIRE k 10000", "SET k v|GETEX k EX 10", "HSET k f v|EXPIRE k 10",
              "FLAG.ENABLE k|EXPIRE k 10",
              "GCOUNT.INCR k|EXPIRE k 10", "GSET.ADD k x|EXPIRE k 10"],
)  # fmt: skip
def test_a_key_is_gone_when_its_time_is_up(ask: Ask, hub: Hub, heard: Heard, write: str) -> None:
    for line in write.split("|"):
        assert not str(ask(line)).startswith("-")
    ask("SET other v")
    assert ask("TTL k") == 10
    wait(hub, 9_999)
    heard()
    assert ask("PTTL k") == 1
    assert ask("EXISTS k") == 1
    wait(hub, 1)
    assert heard() == ["expired k"]
    assert ask("EXISTS k other") == 1
    assert ask("TYPE k") == b"none"
    assert ask("KEYS *") == [b"other"]
    assert ask("SCAN 0") == [b"0", [b"other"]]
    assert ask("RANDOMKEY") == b"other"
    assert ask("DBSIZE") == 1
    assert ask("TTL k") == ask("PTTL k") == ask("EXPIRETIME k") == -2
    assert ask("GET k") is None
    assert ask("MEMORY USAGE k") is None
    assert ask("OBJECT ENCODING k") is None
    assert ask("DEL k") == 0
    assert ask("PERSIST k") == 0
    assert ask("EXPIRE k 10") == 0
    assert ask("RENAME k other") == "-ERR no such key"
    wait(hub, 1)
    assert heard() == []


def test_a_new_key_of_that_name_is_new(ask: Ask, hub: Hub) -> None:
    ask("SADD k x")
    ask("EXPIRE k 10")
    wait(hub, 10_000)
    assert ask("SET k 1 XX") is None
    assert ask("SETNX k 1") == 1
    assert ask("INCR k") == 2
    assert ask("TTL k") == -1


def test_a_deadline_in_the_past_is_a_deletion(ask: Ask, heard: Heard) -> None:
    for line in ("EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k 1", "GETEX k EXAT 1"):
        ask("SET k v")
        heard()
        assert ask(line) in (1, b"v")
        assert heard() == ["del k"]
        assert ask("EXISTS k") == 0


def test_set_with_a_deadline_in_the_past(ask: Ask, hub: Hub, heard: Heard) -> None:
    assert ask("SET k v EXAT 1") == b"OK"
    assert ask("EXISTS k") == 0
    wait(hub, 1)
    assert heard() == ["set k", "expire k", "expired k"]


@pytest.mark.parametrize(
    ("line", "events"),
    [
        ("SET k v EX 10", ["set k", "expire k"]),
        ("SETEX k 10 v", ["set k", "expire k"]),
        ("EXPIRE k 10", ["expire k"]),
        ("GETEX k PX 10", ["expire k"]),
        ("PERSIST k", ["persist k"]),
        ("GETEX k PERSIST", ["persist k"]),
        ("EXPIRE k 10 NX", []),
        ("GETEX k", []),
    ],
)
def test_events(ask: Ask, heard: Heard, line: str, events: list[str]) -> None:
    ask("SET k v EX 100")
    heard()
    ask(line)
    assert heard() == events


def test_errors_change_nothing(ask: Ask) -> None:
    ask("SET k v EX 100")
    invalid = "-ERR invalid expire time in '{}' command"
    for line, name in (
        ("SET k w EX 0", "set"), ("SET k w PX -1", "set"), ("SET k w EX 9223372036854775807", "set"),
        ("SETEX k 0 w", "setex"), ("PSETEX k -1 w", "psetex"), ("GETEX k EX 0", "getex"),
        ("SET k w PX 9223372036854775807", "set"), ("EXPIRE k 9223372036854775807", "expire"),
        ("PEXPIRE k 9223372036854775807", "pexpire"), ("EXPIREAT k 9223372036854776", "expireat"),
    ):  # fmt: skip
        assert ask(line) == invalid.format(name)
    assert ask("EXPIRE k x") == "-ERR value is not an integer or out of range"
    assert ask("EXPIRE k 1 GT LT") == "-ERR GT and LT options at the same time are not compatible"
    assert ask("EXPIRE k 1 NX XX") == "-ERR NX and XX, GT or LT options at the same time are not compatible"
    assert ask("EXPIRE k 1 QX") == "-ERR Unsupported option QX"
    assert ask("GET k") == b"v"
    assert ask("TTL k") == 100


def test_what_keeps_a_lifetime_and_what_ends_it(ask: Ask) -> None:
    keeps = (
        "APPEND k 1",
        "SETRANGE k 0 2",
        "SETBIT k 7 1",
        "INCR k",
        "INCRBYFLOAT k 0.5",
        "SET k 1 KEEPTTL",
        "GETEX k",
    )
    ends = ("SET k 1", "GETSET k 1", "MSET k 1", "MV.SET k 1", "SDIFFSTORE k e", "COPY s k REPLACE", "RENAME s k")
    ask("SADD e x")
    for line in keeps + ends:
        ask("DEL k")
        ask("SET s 1")
        ask("SET k 1 EX 100")
        ask("SDIFFSTORE none e none")
        assert not str(ask(line)).startswith("-")
        assert ask("TTL k") == (100 if line in keeps else -1), line
