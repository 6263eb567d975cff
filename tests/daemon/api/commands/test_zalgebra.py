"""Unions, intersections and differences of sorted sets. Grammar and errors are compared with Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., Any]


def test_sets_count_as_one(ask: Ask) -> None:
    ask("ZADD a 1 x 2 y")
    ask("SADD b y z")
    assert ask("ZUNION 2 a b WITHSCORES") == [b"x", b"1", b"z", b"1", b"y", b"3"]
    assert ask("ZINTER 2 a b WEIGHTS 10 5 WITHSCORES") == [b"y", b"25"]
    assert ask("ZDIFF 2 a b WITHSCORES") == [b"x", b"1"]
    assert ask("ZINTERCARD 2 a b") == 1


def test_aggregates(ask: Ask) -> None:
    ask("ZADD a 1 x 5 y")
    ask("ZADD b 3 x 2 y")
    assert ask("ZUNION 2 a b AGGREGATE MIN WITHSCORES") == [b"x", b"1", b"y", b"2"]
    assert ask("ZINTER 2 a b AGGREGATE MAX WITHSCORES") == [b"x", b"3", b"y", b"5"]


def test_infinities_that_meet_are_nothing(ask: Ask) -> None:
    ask("ZADD a inf x")
    ask("ZADD b -inf x")
    assert ask("ZUNION 2 a b WITHSCORES") == [b"x", b"0"]
    assert ask("ZUNION 1 a WEIGHTS 0 WITHSCORES") == [b"x", b"0"]


def test_storing(ask: Ask) -> None:
    ask("ZADD a 1 x 2 y")
    ask("ZADD a2 1 x")
    assert ask("ZUNIONSTORE a 2 a a2") == 2  # one of its own sources
    assert ask("ZRANGE a 0 -1 WITHSCORES") == [b"x", b"2", b"y", b"2"]
    assert ask("ZDIFFSTORE a 2 a a") == 0
    assert ask("EXISTS a") == 0
    ask("SET s text")
    assert ask("ZINTERSTORE out 2 a2 s").startswith("-WRONGTYPE")
