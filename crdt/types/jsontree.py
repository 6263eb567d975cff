"""A JSON document as rows: the tree that they make, and which part of it is shown.

    cell                     rows
    path of a leaf           as a number cell (number.py): a text per write; counts; baselines
    path of a container      a text `{}` or `[]` per write: its presence
    the parts of it          cells of their own, one component further

No row refers to another one (jsoncell.py says how they are spelled), so whatever arrives first finds its place: a
container whose presence was deleted is there as long as anything in it is.

What is shown of a node: an object if an `{}` stands there or anything visible under it as an object, else an array
likewise, else the winning leaf. What stands behind it is a conflict, and never lost.

Must not know: paths as people write them, replies.

Source: containers that live on in their parts: Kleppmann, Beresford, "A conflict-free replicated JSON datatype" (2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgpack

from crdt import sequence
from crdt.dots import Actor
from crdt.entry import GONE, Entry, Gone, Leaving, Raw, Wire
from crdt.places import seed_bytes
from crdt.state import RANGE_FROM, State
from crdt.types import amounts, numberwire
from crdt.types.jsoncell import (
    ELEMENT,
    MEMBER,
    UNRANKED,
    Cell,
    component,
    is_path,
    is_text,
    last_step,
    moved,
)
from crdt.types.jsonnode import Node
from crdt.types.number import Seen


class JsonEntry(Entry):
    """A document. `nodes`: every node by its field."""

    __slots__ = ("nodes", "root")

    CODE = 10
    NAME = "ReJSON-RL"
    RANK = 50
    SINGLE = False
    STRICT = True
    NESTED = True
    ADDED = "json.set"
    REMOVED = "json.set"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.root = Node(None, MEMBER, b"", b"")
        self.nodes: dict[bytes, Node] = {b"": self.root}

    # -- nodes

    def reach(self, field: bytes) -> Node:
        """The node of a field, made with all that lead to it where there is none."""
        node = self.nodes.get(field)
        if node is not None:
            return node
        above, kind, name = last_step(field)
        parent = self.reach(above)
        parent.shuffled = True
        return self.child(parent, kind, name)

    def child(self, parent: Node, kind: int, name: bytes) -> Node:
        """A part of a container, made where there is none. Nobody sees it before it has a row."""
        field = parent.field + component(kind, name)
        node = self.nodes.get(field)
        if node is None:
            node = self.nodes[field] = Node(parent, kind, name, field)
            (parent.ghosts if kind == ELEMENT else parent.members)[name] = node
        return node

    def places(self, state: State, array: Node, index: int, count: int) -> list[bytes]:
        """Places for new elements before the one at `index`. Each of them has to be written at once."""
        return (array.items or sequence.Sequence()).between(index, seed_bytes(state.me.seed), state.seq + 1, count)

    def count(self, node: Node, more: int) -> None:
        """`more` visible rows stand in a node's cell."""
        above: Node | None = node
        while above is not None:
            was = above.live
            above.live += more
            above.spelled = None
            if above.kind == ELEMENT and (was == 0) != (above.live == 0):
                self.appear(above)
            above = above.parent

    def appear(self, element: Node) -> None:
        """An element has become visible, or is not any more."""
        array = element.parent
        assert array is not None
        if array.items is None:
            array.items = sequence.Sequence()
        if element.live:
            del array.ghosts[element.name]
            array.items.insert(element.name, 0, element)
        else:
            array.items.remove(element.name)
            array.ghosts[element.name] = element
            if not array.items:
                array.items = None

    def drop(self, node: Node) -> None:
        """Rows left a node: without any row it goes, and what held it if that is empty then."""
        while node.value is None and not node.inhabited() and self.nodes.get(node.field) is node:
            parent = node.parent
            if parent is None:
                return
            del self.nodes[node.field]
            del (parent.ghosts if node.kind == ELEMENT else parent.members)[node.name]
            node = parent

    def cell(self, node: Node) -> Cell:
        """The node's cell as a Cell, made when it was plain or absent. Call `tidy` when its rows have changed."""
        value = node.value
        if isinstance(value, Cell):
            return value
        cell = Cell()
        if value is not None:
            cell.sets[node.dot] = value
        node.value, node.dot = cell, -1
        return cell

    def tidy(self, node: Node, before: int) -> None:
        """Rows of a Cell that had `before` visible ones have changed: count them, and simplify."""
        cell = node.value
        assert isinstance(cell, Cell)
        visible = len(cell.sets) + len(cell.counts)
        if visible != before:
            self.count(node, visible - before)
        else:
            node.changed()
        text = cell.plain()
        if text is not None:
            node.dot, node.value = next(iter(cell.sets)), text
        elif cell.empty():
            node.value = None
            self.drop(node)

    # -- rows

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        node = self.nodes.get(field)
        if node is None:
            return GONE
        if node.dot == dot:
            return node.value
        return node.value.row(dot) if isinstance(node.value, Cell) else GONE

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        assert field is not None
        node = self.reach(field)
        if node.value is None and type(payload) is bytes:
            node.value, node.dot = payload, dot
            self.count(node, 1)
        else:
            before = _visible(node)
            self.cell(node).insert(state, self, field, payload, dot)
            self.tidy(node, before)
        self._ranks(node)
        self.contest(state, node)

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        for field, payload, dot in zip(fields, payloads or (), dots, strict=True):
            node = self.nodes.get(field)
            if node is None or type(payload) is not bytes or not leaving.replaced(node.dot, node.value):
                self.insert(state, field, payload, dot)
                continue
            node.value, node.dot = payload, dot
            node.changed()
            self._ranks(node)
            self.contest(state, node)

    def contest(self, state: State, node: Node) -> None:
        """Rows came to a node: it or what it is in may hold several values now."""
        if node.clashes():
            state.contest(self, node.field)
        while node.parent is not None:
            above = node.parent
            if above.holds_besides(node):
                return  # it was a container of this kind before
            node = above
            if node.clashes():
                state.contest(self, node.field)

    def _ranks(self, node: Node) -> None:
        parent = node.parent
        if parent is not None and node.kind == MEMBER:
            parent.shuffled = True
            rank = node.rank()[0]
            if parent.top <= rank < UNRANKED:
                parent.top = min(rank + 1, UNRANKED - 1)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        node = self.nodes.get(field)
        if node is None:
            return GONE
        if node.dot == dot:
            value, node.value, node.dot = node.value, None, -1
            self.count(node, -1)
            raw: Raw | Gone = value
        elif isinstance(node.value, Cell):
            before = _visible(node)
            raw = node.value.discard(state, self, field, dot)
            self.tidy(node, before)
        else:
            return GONE
        self._ranks(node)
        self.drop(node)
        return raw

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        for field, node in self.nodes.items():
            value = node.value
            if isinstance(value, Cell):
                for dot, raw in value.rows():
                    yield field, dot, raw
            elif value is not None:
                yield field, node.dot, value

    def visible(self) -> bool:
        return self.root.live > 0

    def empty(self) -> bool:
        return len(self.nodes) == 1 and self.root.value is None

    def contested(self, field: bytes | None) -> bool:
        assert field is not None
        node = self.nodes.get(field)
        return node is not None and node.contested()

    def prune(self, state: State, field: bytes | None) -> None:
        """Remove baselines of own dead lineages."""
        assert field is not None
        node = self.nodes.get(field)
        if node is not None and isinstance(node.value, Cell):
            before = _visible(node)
            node.value.prune(state, self, field)
            self.tidy(node, before)

    @classmethod
    def event(cls, payload: Wire) -> str:
        return cls.ADDED

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        if type(field) is not bytes or not is_path(field):
            return False
        if type(payload) is bytes:
            return is_text(payload)
        if payload is None or not numberwire.check(payload):
            return False
        if type(payload) is tuple:
            return True
        row = msgpack.unpackb(payload.data)
        return row[0] != numberwire.SET or is_text(row[1])

    @classmethod
    def renamed(cls, field: bytes, old: int, new: int, cut: int) -> bytes:
        return moved(field, seed_bytes(old), seed_bytes(new), cut)

    # -- local writes

    def write(self, state: State, node: Node, payload: bytes) -> None:
        """One ranked text in place of what is observed in the node's cell."""
        value = node.value
        if isinstance(value, Cell):
            before = _visible(node)
            value.assign(state, self, node.field, payload)
            self.tidy(node, before)
        elif value is not None and node.dot > state.mark:
            node.value = payload
            node.changed()
        else:
            if value is None:
                self.count(node, 1)
            else:
                state.retire(node.dot, self, node.field, value)
                node.changed()
            node.dot = state.add(self, node.field)
            node.value = payload

    def increase(self, state: State, node: Node, by: amounts.Amount, after: amounts.Amount) -> None:
        """Count on a number; `after` is what will be shown."""
        before = _visible(node)
        self.cell(node).increase(state, self, node.field, by, after)
        self.tidy(node, before)

    def replace(self, state: State, node: Node, payload: bytes, seen: Seen) -> None:
        """One ranked text in place of what `seen` covers in the node's cell."""
        before = _visible(node)
        self.cell(node).replace(state, self, node.field, payload, seen)
        self.tidy(node, before)
        self._ranks(node)
        self.contest(state, node)

    def clear(self, state: State, node: Node, seen: dict[Actor, int] | None = None) -> None:
        """Remove what is observed in a node's cell and below it, or of that what `seen` covers."""
        committed = False
        for part in list(node.below()):
            value = part.value
            if isinstance(value, Cell):
                if seen is None or all(_covered(state, dot, seen) for dot, _ in value.rows()):
                    before = _visible(part)
                    value.erase(state, self, part.field)
                    self._ranks(part)
                    self.tidy(part, before)
                else:
                    committed |= self.withdraw(state, part, value, seen)
            elif value is not None and (seen is None or _covered(state, part.dot, seen)):
                committed |= state.retire(part.dot, self, part.field, value)
                part.value, part.dot = None, -1
                self._ranks(part)
                self.count(part, -1)
                self.drop(part)
        if committed:
            state.gap()

    def withdraw(self, state: State, node: Node, cell: Cell, seen: dict[Actor, int]) -> bool:
        """Remove the texts that `seen` covers, and leave what came later; whether one of them was in a frame."""
        before = _visible(node)
        committed = cell.withdraw(state, self, node.field, [dot for dot in cell.sets if _covered(state, dot, seen)])
        self._ranks(node)
        self.tidy(node, before)
        return committed

    def erase(self, state: State) -> None:
        plain = [node for node in self.nodes.values() if isinstance(node.value, bytes)]
        if len(plain) <= RANGE_FROM:
            self.clear(state, self.root)
            return
        rows = [(node.field, node.dot, node.value) for node in plain]
        for node in plain:
            node.value, node.dot = None, -1
            self.count(node, -1)
            self.drop(node)
        self.clear(state, self.root)
        state.sweep(self, iter(rows), [dot for _, dot, _ in rows])


def _visible(node: Node) -> int:
    """How many rows of a node's own cell readers may see."""
    value = node.value
    if isinstance(value, Cell):
        return len(value.sets) + len(value.counts)
    return value is not None


def _covered(state: State, dot: int, seen: dict[Actor, int]) -> bool:
    name = state.name(dot)
    return name.seq <= seen.get(name.actor, 0)
