"""Counters: sums of several replicas, and what INCR answers where one replica alone could not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crdt.dots import Actor
from crdt.state import State
from crdt.types import counters, strings
from tests.oracle import Hub

Ask = Callable[..., Any]
TOP = (1 << 63) - 1


def merge(hub: Hub, write: Callable[[State], object]) -> None:
    """Let another replica write, and take in what it wrote."""
    other = State(Actor("other", 1))
    other.begin(hub.now)
    write(other)
    frame = other.cut()
    assert frame is not None
    hub.states[0].cut()
    hub.states[0].apply(frame)
    hub.begin()


def test_increments_of_replicas_add_up(ask: Ask, hub: Hub) -> None:
    ask("INCRBY n 5")
    ask("INCRBYFLOAT f 0.1")
    merge(hub, lambda other: (counters.incr(other, b"n", 7), strings.put(other, b"g", b"x")))
    assert ask("INCR n") == 13
    assert ask("INCRBYFLOAT n 0.5") == b"13.5"


def test_a_merge_may_pass_64_bits(ask: Ask, hub: Hub) -> None:
    ask(f"INCRBY n {TOP}")
    merge(hub, lambda other: counters.incr(other, b"n", TOP))
    assert ask("GET n") == b"%d" % (2 * TOP)
    for line in ("INCR n", "DECR n", f"DECRBY n {TOP}"):
        assert ask(line) == "-ERR increment or decrement would overflow"
    assert ask("SET n 1") == b"OK"
    assert ask("INCR n") == 2


def test_one_replica_alone_is_told_that_it_is_no_integer(ask: Ask) -> None:
    ask("INCRBYFLOAT n 1e19")
    assert ask("INCR n") == "-ERR value is not an integer or out of range"


@pytest.mark.parametrize(
    ("start", "by", "end"),
    [
        ("200", "0.1", b"200.10000000000000001"),
        ("10.50", "0.1", b"10.6"),
        ("5.0e3", "2.0e2", b"5200"),
        ("3", "-3", b"0"),
        ("0x10", "1", b"17"),
        ("1e17", "0.1", b"100000000000000000.1015625"),
    ],
)
def test_floats_as_redis_shows_them(ask: Ask, start: str, by: str, end: bytes) -> None:
    ask(f"SET n {start}")
    ask(f"HSET h f {start}")
    assert ask(f"INCRBYFLOAT n {by}") == ask("GET n") == end
    assert ask(f"HINCRBYFLOAT h f {by}") == ask("HGET h f") == end
