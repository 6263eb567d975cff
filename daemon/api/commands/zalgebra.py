"""Unions, intersections and differences of sorted sets, and of sets, whose members count as 1.

Knows Redis's grammar, and that sums are made in the order of sizes: doubles do not add up the same in every order.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Final

from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import sets, zsets
from crdt.types.sets import SetEntry
from crdt.types.zsets import Scored, ZSetEntry
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.zranges import store
from daemon.api.commands.zsets import double, pairs
from daemon.api.registry import command
from daemon.api.session import Session

Scores = dict[bytes, float]


def _sum(a: float, b: float) -> float:
    total = a + b
    return 0.0 if isnan(total) else total


_AGGREGATES: Final[dict[bytes, Callable[[float, float], float]]] = {b"sum": _sum, b"min": min, b"max": max}


def _read(state: State, key: bytes) -> Scores:
    entry = state.keys.get(key)
    if entry is None:
        return {}
    if entry.__class__ is SetEntry:
        return dict.fromkeys(sets.live(state, key), 1.0)
    if entry.__class__ is ZSetEntry:
        return dict(zsets.items(state, key))
    raise WrongTypeError


class _Sources:
    """The keys of one command with their weights, and its options. Raises UsageError, WrongTypeError."""

    __slots__ = ("aggregate", "limit", "scores", "weights", "with_scores")

    def __init__(self, session: Session, name: str, words: list[bytes], kind: str) -> None:
        """`kind`: union, inter, diff, or card; "store" in `name` means that nothing is shown."""
        count = integer(words[0])
        if count < 1:
            raise UsageError(f"ERR at least 1 input key is needed for '{name}' command")
        if count > len(words) - 1:
            raise UsageError(SYNTAX)
        self.scores = [_read(session.db.state, key) for key in words[1 : 1 + count]]
        self.weights = [1.0] * count
        self.aggregate: Callable[[float, float], float] = _sum
        self.with_scores, self.limit = False, 0
        rest = words[1 + count :]
        at = 0
        while at < len(rest):
            word, left = rest[at].lower(), len(rest) - at
            if word == b"weights" and kind in ("union", "inter") and left > count:
                self.weights = [
                    double(text, "ERR weight value is not a float") for text in rest[at + 1 : at + 1 + count]
                ]
                at += count
            elif word == b"aggregate" and kind in ("union", "inter") and left > 1:
                found = _AGGREGATES.get(rest[at + 1].lower())
                if found is None:
                    raise UsageError(SYNTAX)
                self.aggregate = found
                at += 1
            elif word == b"withscores" and kind != "card" and "store" not in name:
                self.with_scores = True
            elif word == b"limit" and kind == "card" and left > 1:
                self.limit = integer(rest[at + 1], "ERR LIMIT can't be negative", 0)
                at += 1
            else:
                raise UsageError(SYNTAX)
            at += 1

    def weighted(self) -> list[tuple[Scores, float]]:
        """Sources with weights, the smallest first."""
        return sorted(zip(self.scores, self.weights, strict=True), key=lambda source: len(source[0]))

    def union(self) -> list[Scored]:
        """Members of any of them."""
        out: Scores = {}
        for scores, weight in self.weighted():
            for member, score in scores.items():
                value = _times(score, weight)
                out[member] = self.aggregate(out[member], value) if member in out else value
        return sorted((score, member) for member, score in out.items())

    def inter(self) -> list[Scored]:
        """Members of all of them."""
        (first, weight), *others = self.weighted()
        out: list[Scored] = []
        for member, score in first.items():
            if all(member in scores for scores, _ in others):
                value = _times(score, weight)
                for scores, other in others:
                    value = self.aggregate(value, scores[member] * other)  # not a number: the sum is 0
                out.append((value, member))
        return sorted(out)

    def diff(self) -> list[Scored]:
        """Members of the first alone."""
        first, *others = self.scores
        return sorted((score, m) for m, score in first.items() if not any(m in scores for scores in others))


def _times(score: float, weight: float) -> float:
    value = score * weight
    return 0.0 if isnan(value) else value


def _shown(session: Session, scored: list[Scored], with_scores: bool) -> bytes:
    session.hub.limits.check_reply(sum([len(member) for _, member in scored]))
    return pairs(session.resp, scored, with_scores)


@command(
    "ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]",
    arity=-3,
    flags=("readonly", "movablekeys"),
    group="sorted-set",
    summary="Add multiple sorted sets",
)
def zunion(session: Session, args: list[bytes]) -> bytes:
    sources = _Sources(session, "zunion", args[1:], "union")
    return _shown(session, sources.union(), sources.with_scores)


@command(
    "ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]",
    arity=-3,
    flags=("readonly", "movablekeys"),
    group="sorted-set",
    summary="Intersect multiple sorted sets",
)
def zinter(session: Session, args: list[bytes]) -> bytes:
    sources = _Sources(session, "zinter", args[1:], "inter")
    return _shown(session, sources.inter(), sources.with_scores)


@command(
    "ZDIFF numkeys key [key ...] [WITHSCORES]",
    arity=-3,
    flags=("readonly", "movablekeys"),
    group="sorted-set",
    summary="Subtract multiple sorted sets",
)
def zdiff(session: Session, args: list[bytes]) -> bytes:
    sources = _Sources(session, "zdiff", args[1:], "diff")
    return _shown(session, sources.diff(), sources.with_scores)


@command(
    "ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX]",
    arity=-4,
    flags=("write", "denyoom", "movablekeys"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Add multiple sorted sets and store the resulting sorted set in a new key",
)
def zunionstore(session: Session, args: list[bytes]) -> bytes:
    scored = _Sources(session, "zunionstore", args[2:], "union").union()
    return store(session, args[1], scored, "zunionstore")


@command(
    "ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX]",
    arity=-4,
    flags=("write", "denyoom", "movablekeys"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Intersect multiple sorted sets and store the resulting sorted set in a new key",
)
def zinterstore(session: Session, args: list[bytes]) -> bytes:
    scored = _Sources(session, "zinterstore", args[2:], "inter").inter()
    return store(session, args[1], scored, "zinterstore")


@command(
    "ZDIFFSTORE destination numkeys key [key ...]",
    arity=-4,
    flags=("write", "denyoom", "movablekeys"),
    keys=(1, 1, 1),
    group="sorted-set",
    summary="Subtract multiple sorted sets and store the resulting sorted set in a new key",
)
def zdiffstore(session: Session, args: list[bytes]) -> bytes:
    scored = _Sources(session, "zdiffstore", args[2:], "diff").diff()
    return store(session, args[1], scored, "zdiffstore")


@command(
    "ZINTERCARD numkeys key [key ...] [LIMIT limit]",
    arity=-3,
    flags=("readonly", "movablekeys"),
    group="sorted-set",
    summary="Intersect multiple sorted sets and return the cardinality of the result",
)
def zintercard(session: Session, args: list[bytes]) -> bytes:
    sources = _Sources(session, "zintercard", args[1:], "card")
    found = len(sources.inter())
    return session.resp.integer(min(found, sources.limit) if sources.limit else found)
