"""Hashes: what is random, what is large, and what RESP3 calls a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.api.dispatch import execute
from daemon.api.resp import RESP3
from daemon.api.session import Session

Ask = Callable[..., Any]


def test_random_fields(ask: Ask) -> None:
    ask("HSET h", *(word for i in range(200) for word in (f"f{i}", f"v{i}")))
    assert len({ask("HRANDFIELD h") for _ in range(5000)}) == 200
    pairs = ask("HRANDFIELD h -50 WITHVALUES")
    assert len(pairs) == 100
    assert all(value == b"v" + field[1:] for field, value in zip(pairs[::2], pairs[1::2], strict=True))


def test_hscan_of_a_changing_hash(ask: Ask) -> None:
    ask("HSET h", *(word for i in range(1000) for word in (f"f{i}", f"v{i}")))
    cursor, found = b"0", []
    for page in range(1000):
        cursor, flat = ask(f"HSCAN h {cursor.decode()} COUNT 50")
        found += flat[::2]
        if cursor == b"0":
            break
        ask(f"HDEL h f{page}")
        ask(f"HSET h new{page} v f999 v999")
    assert len(found) == len(set(found))
    assert {b"f%d" % i for i in range(100, 1000)} <= set(found)


def test_maps_of_resp3(session: Session) -> None:
    session.resp = RESP3
    execute(session, [b"HSET", b"h", b"f", b"v"])
    assert execute(session, [b"HGETALL", b"h"]) == b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert execute(session, b"HRANDFIELD h 1 WITHVALUES".split()) == b"*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert execute(session, [b"HSCAN", b"h", b"0"]) == b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"


def test_the_last_field_is_told(ask: Ask, heard: Callable[[], list[str]]) -> None:
    for line in (
        "HSET h a 1 b 2",
        "HSETNX h a 1",
        "HINCRBY h a 1",
        "HINCRBYFLOAT h a 1",
        "HDEL h x",
        "HDEL h a",
        "HDEL h b",
    ):
        ask(line)
    assert heard() == ["hset h", "hincrby h", "hincrbyfloat h", "hdel h", "hdel h", "del h"]
