"""What readers must see, from the operations and what each had observed, without rows or dots at all.

Knows: what an operation of each type means. Promises: written without the code under test. Must not know: frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgpack

from crdt.dots import Actor
from crdt.expiries import NEVER
from crdt.state import State
from crdt.types import (
    amounts,
    counters,
    expiry,
    flags,
    hashes,
    keyspace,
    lists,
    numberwire,
    sets,
    streams,
    strings,
    zsets,
)
from crdt.types.lists import ListEntry
from crdt.types.texts import TextEntry
from tests.crdt import json_model
from tests.crdt.algebra import Name, Row
from tests.crdt.json_model import JSON
from tests.simulation.oracle import structure

KEYS = [b"a", b"ab", b"b"]
KINDS = ["hash", "list", "set", "zset", "stream", JSON, "text", "gset", "gcount", "flag", "string"]  # by rank


@dataclass(slots=True)
class Past:
    """What an operation had observed: the first `count` of its author's, and of others what `vector` covers."""

    author: Actor
    count: int
    vector: dict[Actor, int]

    def saw(self, other: Op) -> bool:
        if other.author == self.author:
            return other.index < self.count
        return other.last is not None and other.last <= self.vector.get(other.author, 0)


@dataclass(slots=True)
class Op:
    """One local operation on a cell, or a removal (`remove`) of everything in it that was observed."""

    author: Actor
    index: int
    kind: str  # the type; for removals "" is every type
    key: bytes
    name: bytes | None  # member or field; for removals None is all of them
    verb: str  # add, set, incr, remove
    value: Any
    past: Past
    over: Past | None = None  # for a SET with a context: what it replaces
    last: int | None = None  # last operation of the frame that carries it

    def removes(self, other: Op) -> bool:
        """Whether this is a deletion that `other` falls under."""
        if self.verb != "remove" or self.key != other.key or self.kind not in ("", other.kind):
            return False
        inside = self.kind == JSON and other.name is not None and json_model.is_below(other.name, self.name or b"")
        if self.value == "below":  # a place in a document that is written anew
            return inside and self.past.saw(other)
        return (inside or self.name in (None, other.name)) and self.past.saw(other)


class Answers:
    """What every reader must see once exactly these operations are known."""

    def __init__(self, ops: list[Op], rows: dict[Name, Row]) -> None:
        self.ops = ops
        self.rows = rows
        self.removals = [op for op in ops if op.verb == "remove"]

    def standing(self, kind: str, key: bytes, verb: str, name: bytes | None = None, any_name: bool = False) -> list[Op]:
        """Operations of a cell that no deletion has observed."""
        wanted = [
            o for o in self.ops if o.verb == verb and o.kind == kind and o.key == key and (any_name or o.name == name)
        ]
        return [op for op in wanted if not any(r.removes(op) for r in self.removals)]

    def values(self, kind: str, key: bytes, name: bytes | None) -> list[Op]:
        """The SETs that stand side by side in a register."""
        standing = self.standing(kind, key, "set", name)
        everything = [o for o in self.ops if o.verb == "set" and (o.kind, o.key, o.name) == (kind, key, name)]
        return [op for op in standing if not any((o.over or o.past).saw(op) and o is not op for o in everything)]

    def register(self, kind: str, key: bytes, name: bytes | None) -> tuple[bytes | Decimal | None, set[bytes]]:
        """What is shown of a register that is also counted on, and the values side by side."""
        values = {op.value: op for op in self.values(kind, key, name)}
        counted = self.standing(kind, key, "incr", name)
        if not values:
            return (Decimal(sum(op.value for op in counted)) if counted else None), set()
        code = {"string": 1, "hash": 2, "gcount": 3, "list": 8, "text": 9, "zset": 11}[kind]
        written = [
            (row[4], dot, value)
            for dot, row in self.rows.items()
            if row[:3] == (code, key, name)
            for value in [row[3] if type(row[3]) is bytes else structure(row[3])[1]]
            if type(value) is bytes
        ]
        shown = max(written)[2]
        winner = values[shown]
        new = [op.value for op in counted if not (winner.over or winner.past).saw(op)]
        if not new or not shown.isdigit():
            return shown, set(values)
        return int(shown) + Decimal(sum(new)), set(values)

    def members(self, kind: str, key: bytes) -> set[bytes | None]:
        """Members of a set, fields of a hash or document, `{None}` for a string, flag or counter that exists."""
        if kind in ("set", "gset", "flag", "stream"):
            return {op.name for op in self.standing(kind, key, "add", any_name=True)}
        cells = {op.name for op in self.ops if (op.kind, op.key) == (kind, key) and op.verb in ("set", "incr")}
        return {n for n in cells if self.values(kind, key, n) or self.standing(kind, key, "incr", n)}

    def ends(self, key: bytes) -> int:
        """When a key ends: the longest of its expire rows, unless one of its string's values is in none of them."""
        spans = [(d[0], msgpack.unpackb(row[3].data)) for d, row in self.rows.items() if row[:2] == (7, key)]
        if not spans or any(span[1] is None for _, span in spans):
            return NEVER
        named = {
            (Actor(*name[:2]), name[2]) if isinstance(name, list) else (author, name)
            for author, span in spans
            for name in span[2:]
        }
        values = [d for d, row in self.rows.items() if row[:2] == (1, key) and not numberwire.is_count(row[3])]
        values = [d for d in values if type(p := self.rows[d][3]) is bytes or structure(p)[0] == 0]
        return NEVER if set(values) - named else max(span[1] for _, span in spans)

    def faults(self, state: State) -> list[str]:
        """Where the state answers otherwise."""
        out = []
        for key in KEYS:
            kinds = [kind for kind in KINDS if self.members(kind, key)]
            ends = self.ends(key)
            if ends <= state.time_ms:
                kinds = []
            if kinds and (expiry.deadline(state, key) or NEVER) != ends:
                out.append("lifetime wrong")
            shown = keyspace.type_name(state, key)
            if shown != (kinds[0] if kinds else None) or keyspace.exists(state, key) != bool(kinds):
                out.append("type wrong")
            elif shown is not None:
                out += [f"{shown} wrong"] * (not self.agrees(state, shown, key))
        if set(keyspace.keys(state)) != {key for key in KEYS if keyspace.exists(state, key)}:
            out.append("keys wrong")
        return out

    def agrees(self, state: State, kind: str, key: bytes) -> bool:
        """Whether reading a key of this type gives what it must."""
        names = self.members(kind, key)
        if kind == JSON:
            return json_model.agrees(self, state, key, {name for name in names if name is not None})
        if kind == "flag":
            return flags.enabled(state, key)
        if kind in ("set", "gset"):
            return set(sets.members(state, key, sets.GROW if kind == "gset" else sets.SetEntry)) == names
        if kind == "gcount":
            return counters.grown(state, key) == self.register(kind, key, None)[0]
        if kind == "string":
            return self.same(strings.get(state, key), strings.siblings(state, key), kind, key, None)
        if kind == "stream":
            entry = streams.find(state, key)
            return entry is not None and set(entry.ids) == names - {streams.META} == set(entry.after(state, b""))
        if kind == "zset":
            return self.ranked(state, key, names)
        if kind in PLACED:  # in the order of their places, and each the register that it is
            return standing(state, kind, key) == {name: self.register(kind, key, name)[0] for name in sorted(names)}  # type: ignore[type-var]
        if set(hashes.fields(state, key)) != names or dict(hashes.items(state, key)).keys() != names:
            return False
        return all(
            name is not None
            and self.same(hashes.get(state, key, name), hashes.siblings(state, key, name), kind, key, name)
            for name in names
        )

    def ranked(self, state: State, key: bytes, names: set[bytes | None]) -> bool:
        """Whether a sorted set has the scores it must have, in order."""
        order = list(zsets.ordered(state, key))
        scores = {name: float(self.register("zset", key, name)[0] or 0) for name in names}
        return order == sorted(order) and {member: score for score, member in order} == scores

    def same(
        self, text: bytes | None, siblings: list[strings.Sibling] | None, kind: str, key: bytes, name: bytes | None
    ) -> bool:
        """Whether a register reads as it must: the shown value to the byte if nothing counts on it."""
        shown, values = self.register(kind, key, name)
        if text is None or siblings is None:
            return False
        alike = text == (amounts.render(amounts.exact(shown)) if isinstance(shown, Decimal) else shown)
        seen = {sibling.value for sibling in siblings}
        return alike and (seen == values or isinstance(shown, Decimal) or len(seen) == len(values) + 1)


PLACED = {"list": ListEntry, "text": TextEntry}


def standing(state: State, kind: str, key: bytes) -> dict[bytes, bytes]:
    """What stands at which place, in the order that readers see; nothing where another type is shown."""
    if keyspace.type_name(state, key) != kind:
        return {}
    entry = lists.of(state, key, PLACED[kind])
    assert entry is not None
    size = len(entry.elements)
    return dict(zip(entry.elements.places(0, size), entry.shown(state, 0, size), strict=True))
