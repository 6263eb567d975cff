"""Documents in random histories: what is done to them, and what they must show, from the operations alone.

The model knows no rows: a place exists if a write or an increment in it, or below it, stands that no deletion has seen.
It knows the fields, which name places. Their order within an array is that of crdt/places.py, whose own tests say that
it is one.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crdt.state import State
from crdt.types import conflicts, documents
from crdt.types.jsoncell import MEMBER, RANKS, component, last_step
from crdt.types.jsonnode import Node
from crdt.types.jsontext import dump, float_text
from crdt.types.jsontree import JsonEntry
from tests.simulation.oracle import structure

if TYPE_CHECKING:
    from tests.crdt.answers import Answers, Op
    from tests.crdt.histories import Site, World

JSON = "ReJSON-RL"
NAMES = [b"x", b"y", b"", b"\x00\x01\x02", "é".encode()]
CONTAINERS = (b"{}", b"[]")


def is_below(field: bytes, above: bytes) -> bool:
    """Whether a field lies strictly below another."""
    return len(field) > len(above) and field.startswith(above) and field[len(above)] in (0, 1)


# -- what must be shown -----------------------------------------------------------------------------------------------


class Model:
    """One document of an oracle."""

    def __init__(self, answers: Answers, key: bytes, fields: set[bytes]) -> None:
        self.answers = answers
        self.key = key
        self.below: dict[bytes, set[bytes]] = {b"": set()}
        for field in fields:
            while field:
                above = last_step(field)[0]
                self.below.setdefault(field, set())
                self.below.setdefault(above, set()).add(field)
                field = above

    def sets(self, field: bytes) -> list[Op]:
        return self.answers.values(JSON, self.key, field)

    def parts(self, field: bytes, kind: int) -> list[bytes]:
        return [part for part in self.below[field] if last_step(part)[1] == kind]

    def shown(self, field: bytes) -> Any:
        """The value at a place; numbers as Decimals."""
        texts = [op.value for op in self.sets(field)]
        if b"{}" in texts or self.parts(field, 0):
            return {last_step(part)[2].decode(): self.shown(part) for part in self.parts(field, 0)}
        if b"[]" in texts or self.parts(field, 1):
            return [self.shown(part) for part in sorted(self.parts(field, 1), key=lambda part: last_step(part)[2])]
        return self.leaf(field)

    def leaf(self, field: bytes) -> Any:
        counted = self.answers.standing(JSON, self.key, "incr", field)
        sets = {op.value: op for op in self.sets(field)}
        if not sets:
            return Decimal(sum(op.value for op in counted))
        written = []
        for dot, (code, key, name, payload, hlc) in self.answers.rows.items():
            if (code, key, name) == (10, self.key, field):
                text = payload if type(payload) is bytes else structure(payload)[1]
                if type(text) is bytes:
                    written.append((hlc, dot, text.lstrip(RANKS)))
        winner = sets[max(written)[2]]
        value = json.loads(winner.value, parse_int=Decimal, parse_float=Decimal)
        if isinstance(value, Decimal):
            value += Decimal(sum(op.value for op in counted if not (winner.over or winner.past).saw(op)))
        return value

    def contested(self, field: bytes) -> bool:
        """Whether several values stand side by side at a place."""
        sets, counted = self.sets(field), self.answers.standing(JSON, self.key, "incr", field)
        texts = [op.value for op in sets]
        leaves = sum(text not in CONTAINERS for text in texts)
        if counted and not any(map(_is_number, texts)):  # they go on beside what has not seen them
            leaves += all(any(not (one.over or one.past).saw(op) for op in counted) for one in sets)
        members = b"{}" in texts or bool(self.parts(field, 0))
        elements = b"[]" in texts or bool(self.parts(field, 1))
        return leaves + members + elements > 1


def _is_number(text: bytes) -> bool:
    return text not in CONTAINERS and type(json.loads(text)) in (int, float)


def agrees(answers: Answers, state: State, key: bytes, fields: set[bytes]) -> bool:
    """Whether a document reads as it must, as a value and as a text, and its conflicts are those that there are."""
    model = Model(answers, key, fields)
    doc = documents.document(state, key)
    assert doc is not None
    value = json.loads(documents.text(state, doc.root), parse_int=Decimal, parse_float=Decimal)
    found = {c.field for c in conflicts.conflicts(state) if c.key == key and c.type == JSON and c.field is not None}
    wanted = {documents.where(doc.nodes[field]) for field in model.below if model.contested(field)}
    sizes = all(node.live >= 0 and bool(node.live) == (field in model.below) for field, node in doc.nodes.items())
    return same(value, model.shown(b"")) and found == wanted and sizes


def same(one: Any, other: Any) -> bool:
    """Equal values; numbers that are shown as doubles to the precision of those."""
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one == other or float(one) == float(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def differ(one: State, other: State) -> bool:
    """Whether a document that both show (none has expired by one clock alone) is not the same text, order included."""
    for key, doc in one.keys.items():
        theirs = other.keys.get(key)
        both = isinstance(doc, JsonEntry) and isinstance(theirs, JsonEntry)
        if both and documents.text(one, doc.root) != documents.text(other, theirs.root):  # type: ignore[union-attr]
            return True
    return False


# -- what is done -----------------------------------------------------------------------------------------------------


def _value(world: World, deep: int = 0) -> Any:
    """Any value; numbers and texts that no other operation writes."""
    pick = world.rng.random()
    world.unique += 1
    if pick < 0.4 or deep > 2:
        return world.rng.choice([world.unique, -world.unique, world.unique + 0.25, f"t{world.unique}", True, None])
    if pick < 0.75:
        return {name.decode(): _value(world, deep + 1) for name in world.rng.sample(NAMES, world.rng.randrange(4))}
    return [_value(world, deep + 1) for _ in range(world.rng.randrange(4))]


def _place(world: World, site: Site, key: bytes, *kinds: str) -> tuple[JsonEntry, Node] | None:
    """Some place of a document, of one of these kinds."""
    doc = documents.document(site.state, key)
    if doc is None:
        return None
    nodes = [node for node in doc.root.below() if node.live]
    nodes = [node for node in nodes if not kinds or documents.kind(site.state, node) in kinds]
    return (doc, world.rng.choice(nodes)) if nodes else None


def _note(site: Site, key: bytes, node: Node, value: Any) -> None:
    """A value has been written at a place."""
    _op(site, key, node.field, "remove", "below")
    if isinstance(value, dict):
        _op(site, key, node.field, "set", b"{}")
        for name, part in value.items():
            _note(site, key, node.members[name.encode()], part)
    elif isinstance(value, list):
        _op(site, key, node.field, "set", b"[]")
        for element, part in zip(node.elements(), value, strict=True):
            _note(site, key, element, part)
    else:
        _op(site, key, node.field, "set", dump(value))


def _op(site: Site, key: bytes, field: bytes, verb: str, value: Any) -> None:
    site.note(JSON, key, field, verb, value)


def put(world: World, site: Site, key: bytes) -> None:
    value = _value(world)
    documents.put(site.state, key, value)
    doc = documents.document(site.state, key)
    assert doc is not None
    _note(site, key, doc.root, value)


def assign(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key)
    if found is not None:
        value = _value(world)
        documents.assign(site.state, *found, value)
        _note(site, key, found[1], value)


def add(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key, "object")
    name = world.rng.choice(NAMES)
    if found is not None and documents.member(found[1], name) is None:
        value = _value(world, 1)
        documents.add(site.state, *found, name, value)
        _note(site, key, found[1].members[name], value)


def remove(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key)
    if found is not None:
        _op(site, key, found[1].field, "remove", None)
        documents.remove(site.state, *found)


def merge(world: World, site: Site, key: bytes) -> None:
    """A patch of one member, which the object has or not."""
    found = _place(world, site, key, "object")
    if found is None:
        return
    doc, node = found
    name, value = world.rng.choice(NAMES), world.rng.choice([None, 1, "m"])
    if node.value is None or b"{}" not in node.texts():
        _op(site, key, node.field, "set", b"{}")
    documents.merge(site.state, doc, node, {name.decode(): value})
    if value is None:
        _op(site, key, node.field + component(MEMBER, name), "remove", None)
    else:
        _note(site, key, node.members[name], value)


def count(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key, "integer", "number")
    if found is not None:
        doc, node = found
        by = world.amount() if world.rng.random() < 0.7 else world.amount() + 0.5
        before, was_float = documents.amount(site.state, node), documents._floating(site.state, node)
        documents.increase(site.state, doc, node, by)
        after = documents.amount(site.state, node)
        assert before is not None and after is not None
        if documents._floating(site.state, node) and not was_float:  # written anew as a float, then counted on
            text = float_text(float(before))
            _op(site, key, node.field, "set", text.encode())
            before = Decimal(text)
        _op(site, key, node.field, "incr", Decimal(after) - Decimal(before))


def insert(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key, "array")
    if found is not None:
        doc, node = found
        values = [_value(world, 2) for _ in range(world.rng.randrange(1, 4))]
        index = world.rng.randrange(documents.size(node) + 1)
        documents.insert(site.state, doc, node, index, values)
        for element, value in zip(node.elements(index, index + len(values)), values, strict=True):
            _note(site, key, element, value)


def take(world: World, site: Site, key: bytes) -> None:
    found = _place(world, site, key, "array")
    if found is None or not documents.size(found[1]):
        return
    doc, node = found
    start = world.rng.randrange(documents.size(node))
    elements = node.elements(start, start + 2)
    if b"[]" not in node.texts():
        _op(site, key, node.field, "set", b"[]")
    for element in elements:
        _op(site, key, element.field, "remove", None)
    documents.take(site.state, doc, elements)


ACTS = [put, assign, assign, add, add, remove, merge, count, count, insert, insert, take]
