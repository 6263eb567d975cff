"""Ranges of sorted sets against sorted lists. Grammar and errors are compared with Redis."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Ask = Callable[..., Any]


def fill(ask: Ask, rng: Random) -> list[tuple[int, bytes]]:
    scored = sorted((rng.randrange(20), b"m%03d" % i) for i in range(200))
    ask("ZADD z", *[word for score, member in scored for word in (b"%d" % score, member)])
    return scored


def test_by_score(ask: Ask) -> None:
    rng = Random(1)
    scored = fill(ask, rng)
    for _ in range(100):
        low, high = rng.randrange(-2, 22), rng.randrange(-2, 22)
        open_low, open_high = rng.random() < 0.5, rng.random() < 0.5
        ends = ["(" * open_low + str(low), "(" * open_high + str(high)]
        expected = [
            member
            for score, member in scored
            if (low < score if open_low else low <= score) and (score < high if open_high else score <= high)
        ]
        assert ask(f"ZRANGEBYSCORE z {ends[0]} {ends[1]}") == expected
        assert ask(f"ZREVRANGEBYSCORE z {ends[1]} {ends[0]} LIMIT 3 4") == expected[::-1][3:7]
        assert ask(f"ZCOUNT z {ends[0]} {ends[1]}") == len(expected)


def test_by_rank(ask: Ask) -> None:
    rng = Random(2)
    members = [member for _, member in fill(ask, rng)]
    for _ in range(100):
        first, last = rng.randrange(-220, 220), rng.randrange(-220, 220)
        start, stop = max(first + 200, 0) if first < 0 else first, last + 200 if last < 0 else last
        assert ask(f"ZRANGE z {first} {last}") == members[start : max(stop + 1, 0)]
        assert ask(f"ZREVRANGE z {first} {last}") == members[::-1][start : max(stop + 1, 0)]


def test_by_member(ask: Ask) -> None:
    ask("ZADD z", *[word for name in b"abcdef" for word in (b"0", bytes([name]))])
    assert ask("ZRANGEBYLEX z [b (e") == [b"b", b"c", b"d"]
    assert ask("ZREVRANGEBYLEX z + (c LIMIT 1 5") == [b"e", b"d"]
    assert ask("ZLEXCOUNT z - [c") == 3
    assert ask("ZREMRANGEBYLEX z (a [c") == 2
    assert ask("ZRANGE z 0 -1") == [b"a", b"d", b"e", b"f"]


def test_removing_by_rank_and_score(ask: Ask) -> None:
    fill(ask, Random(3))
    low = ask("ZRANGE z 0 9")
    assert ask("ZREMRANGEBYRANK z 0 9") == 10
    assert not set(low) & set(ask("ZRANGE z 0 -1"))
    left = ask("ZCOUNT z 5 7")
    assert ask("ZREMRANGEBYSCORE z 5 7") == left
    assert ask("ZREMRANGEBYSCORE z -inf inf") == 190 - left
    assert ask("EXISTS z") == 0


def test_a_stored_range_replaces_what_was_there(ask: Ask) -> None:
    ask("ZADD z 1 a 2 b 3 c")
    ask("SET out text")
    assert ask("ZRANGESTORE out z 2 3 BYSCORE") == 2
    assert ask("ZRANGE out 0 -1 WITHSCORES") == [b"b", b"2", b"c", b"3"]
    assert ask("ZRANGESTORE out z 9 9") == 0
    assert ask("EXISTS out") == 0
