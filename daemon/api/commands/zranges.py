"""Ranges of sorted sets: by rank, by score, by member; read, stored, counted, removed.

Knows Redis's grammar of ranges and its errors.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter
from typing import Final

from crdt.errors import UsageError
from crdt.types import expiry, keyspace, zsets
from crdt.types.zsets import Order, Scored
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.zsets import announce_removal, pairs, strtod
from daemon.api.registry import command
from daemon.api.session import Session

NOT_A_SCORE_RANGE: Final = "ERR min or max is not a float"
NOT_A_LEX_RANGE: Final = "ERR min or max not valid string range item"
LIMIT_BY_RANK: Final = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
SCORES_BY_LEX: Final = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"
Span = tuple[int, int]  # positions in the order: from, up to and without
Bounds = Callable[[Order], Span]


# -- what a range covers


def by_rank(low: bytes, high: bytes) -> Bounds:
    """START and STOP, negative from the end. Raises UsageError."""
    start, stop = integer(low), integer(high)

    def span(order: Order) -> Span:
        size = len(order)
        first = max(start + size, 0) if start < 0 else start
        last = stop + size if stop < 0 else stop
        return first, min(last + 1, size)

    return span


def by_score(low: bytes, high: bytes) -> Bounds:
    """`1`, `(1`, `-inf`. Raises UsageError."""
    least, above = _score_bound(low)
    most, below = _score_bound(high)

    def span(order: Order) -> Span:
        # A pair of one element sorts before all pairs that begin with it, and (x, longer than any) after them.
        first = _after(order, least) if above else order.bisect_left((least, b""))
        return first, order.bisect_left((most, b"")) if below else _after(order, most)

    return span


def _after(order: Order, score: float) -> int:
    """The position behind the last member of this score."""
    return len(order) if score == inf else order.bisect_left((nextafter(score, inf), b""))


def _score_bound(text: bytes) -> tuple[float, bool]:
    """(score, whether it is excluded)."""
    exclusive = text[:1] == b"("
    word = text[1:] if exclusive else text
    value = strtod(word.lstrip(b" \t\n\v\f\r")) if word else 0.0  # C reads nothing as 0
    if value is None:
        raise UsageError(NOT_A_SCORE_RANGE)
    return value, exclusive


def by_lex(low: bytes, high: bytes) -> Bounds:
    """`[a`, `(a`, `-`, `+`: all scores are taken to be equal. Raises UsageError."""
    one, other = _lex_bound(low), _lex_bound(high)

    def span(order: Order) -> Span:
        return _lex_position(order, one, upper=False), _lex_position(order, other, upper=True)

    return span


def _lex_bound(text: bytes) -> tuple[bytes, bytes]:
    """(one of `-+[(`, member)."""
    if text in (b"-", b"+"):
        return text, b""
    if text[:1] not in (b"[", b"("):
        raise UsageError(NOT_A_LEX_RANGE)
    return text[:1], text[1:]


def _lex_position(order: Order, bound: tuple[bytes, bytes], upper: bool) -> int:
    kind, member = bound
    if kind in b"-+":
        return len(order) if kind == b"+" else 0
    low, high = 0, len(order)
    behind = (kind == b"[") == upper  # whether the member itself lies before the position
    while low < high:
        middle = (low + high) // 2
        found = order[middle][1]
        if found < member or (behind and found == member):
            low = middle + 1
        else:
            high = middle
    return low


# -- reading a range


class Range:
    """A range of ZRANGE and its kin: what is covered, in which direction, how much of it."""

    __slots__ = ("bounds", "limit", "offset", "reverse", "with_scores")

    def __init__(
        self,
        low: bytes,
        high: bytes,
        words: list[bytes],
        kind: str = "",
        reverse: bool | None = None,
        store: bool = False,
    ) -> None:
        """`kind` and `reverse` where the command's name says them, else options do. Raises UsageError."""
        self.with_scores, self.offset, self.limit = False, 0, -1
        at, limited = 0, False
        while at < len(words):
            word = words[at].lower()
            if not store and word == b"withscores":
                self.with_scores = True
            elif word == b"limit" and at + 2 < len(words):
                self.offset, self.limit = integer(words[at + 1]), integer(words[at + 2])
                limited = self.limit != -1
                at += 2
            elif reverse is None and word == b"rev":
                reverse = True
            elif not kind and word in (b"bylex", b"byscore"):
                kind = word.decode()
            else:
                raise UsageError(SYNTAX)
            at += 1
        kind = kind or "byrank"
        if kind == "byrank":
            if limited:
                raise UsageError(LIMIT_BY_RANK)
            self.offset = 0  # LIMIT n -1 is let through, and does nothing
        if self.with_scores and kind == "bylex":
            raise UsageError(SCORES_BY_LEX)
        self.reverse = bool(reverse)
        if self.reverse and kind != "byrank":
            low, high = high, low
        self.bounds = {"byrank": by_rank, "byscore": by_score, "bylex": by_lex}[kind](low, high)
        if kind == "byrank" and self.reverse:
            self.bounds = _mirrored(self.bounds)

    def select(self, order: Order) -> list[Scored]:
        """The members in range, in the order asked for."""
        first, last = self.bounds(order)
        if first >= last or self.offset < 0:
            return []
        if self.offset or self.limit >= 0:
            length = last - first - self.offset
            length = length if self.limit < 0 else min(length, self.limit)
            if length <= 0:
                return []
            first = last - self.offset - length if self.reverse else first + self.offset
            last = first + length
        found = list(order[first:last])
        return found[::-1] if self.reverse else found


def _mirrored(bounds: Bounds) -> Bounds:
    """Ranks from the end."""

    def span(order: Order) -> Span:
        first, last = bounds(order)
        size = len(order)
        return size - max(last, 0), size - min(first, size)

    return span


def _answer(session: Session, key: bytes, asked: Range) -> bytes:
    found = asked.select(zsets.ordered(session.db.state, key))
    session.hub.limits.check_reply(sum([len(member) for _, member in found]))
    return pairs(session.resp, found, asked.with_scores)


@command(
    "ZRANGE key min max [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set",
)
def zrange(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:]))


@command(
    "ZREVRANGE key start stop [WITHSCORES]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set, by index, with scores ordered from high to low",
)
def zrevrange(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:], "byrank", True))


@command(
    "ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set, by score",
)
def zrangebyscore(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:], "byscore", False))


@command(
    "ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set, by score, with scores ordered from high to low",
)
def zrevrangebyscore(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:], "byscore", True))


@command(
    "ZRANGEBYLEX key min max [LIMIT offset count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set, by lexicographical range",
)
def zrangebylex(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:], "bylex", False))


@command(
    "ZREVRANGEBYLEX key max min [LIMIT offset count]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower strings",
)
def zrevrangebylex(session: Session, args: list[bytes]) -> bytes:
    return _answer(session, args[1], Range(args[2], args[3], args[4:], "bylex", True))


def store(session: Session, key: bytes, scored: list[Scored], event: str) -> bytes:
    """Write a new sorted set under the key, whatever it held, and say so. The reply: how many members it has."""
    db = session.db
    existed = keyspace.delete(db.state, key)
    if scored:
        zsets.put(db.state, key, [(member, score) for score, member in scored])
        expiry.renew(db.state, key)
    if db.observed and (scored or existed):
        db.touch(key, event if scored else "del")
        session.served(db)
    return session.resp.integer(len(scored))


@command(
    "ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]",
    arity=-5,
    flags=("write", "denyoom"),
    keys=(1, 2, 1),
    group="sorted-set",
    summary="Store a range of members from sorted set into another key",
)
def zrangestore(session: Session, args: list[bytes]) -> bytes:
    asked = Range(args[3], args[4], args[5:], store=True)
    found = asked.select(zsets.ordered(session.db.state, args[2]))
    return store(session, args[1], found, "zrangestore")


# -- counting


def _count(session: Session, key: bytes, bounds: Bounds) -> bytes:
    first, last = bounds(zsets.ordered(session.db.state, key))
    return session.resp.integer(max(0, last - first))


@command(
    "ZCOUNT key min max",
    arity=4,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Count the members in a sorted set with scores within the given values",
)
def zcount(session: Session, args: list[bytes]) -> bytes:
    return _count(session, args[1], by_score(args[2], args[3]))


@command(
    "ZLEXCOUNT key min max",
    arity=4,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Count the number of members in a sorted set between a given lexicographical range",
)
def zlexcount(session: Session, args: list[bytes]) -> bytes:
    return _count(session, args[1], by_lex(args[2], args[3]))


# -- removing


def _remove(session: Session, args: list[bytes], bounds: Bounds) -> bytes:
    db, key = session.db, args[1]
    order = zsets.ordered(db.state, key)
    first, last = bounds(order)
    members = [member for _, member in order[first:last]] if first < last else []
    if members:
        zsets.remove(db.state, key, members)
        if db.observed:
            announce_removal(db, key, args[0].decode().lower())
    return session.resp.integer(len(members))


@command(
    "ZREMRANGEBYRANK key start stop",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove all members in a sorted set within the given indexes",
)
def zremrangebyrank(session: Session, args: list[bytes]) -> bytes:
    return _remove(session, args, by_rank(args[2], args[3]))


@command(
    "ZREMRANGEBYSCORE key min max",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove all members in a sorted set within the given scores",
)
def zremrangebyscore(session: Session, args: list[bytes]) -> bytes:
    return _remove(session, args, by_score(args[2], args[3]))


@command(
    "ZREMRANGEBYLEX key min max",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Remove all members in a sorted set between the given lexicographical range",
)
def zremrangebylex(session: Session, args: list[bytes]) -> bytes:
    return _remove(session, args, by_lex(args[2], args[3]))
