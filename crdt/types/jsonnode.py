"""A place in a JSON document: its own cell, and what is below it as an object and as an array.

Knows: what is shown of it, in which order, and the text of that. Must not know: rows of the whole document, which the
entry (jsontree.py) puts here and takes away; paths as people write them.
"""

from __future__ import annotations

from collections.abc import Iterator

from crdt import sequence
from crdt.state import State
from crdt.types import amounts
from crdt.types.jsoncell import ARRAY, ELEMENT, OBJECT, UNRANKED, Cell, body, rank_of
from crdt.types.jsontext import quoted


class Node:
    """A place in a document: its own cell, and what is below it as an object and as an array.

    `value` is a ranked text and `dot` its own (nearly always), or a Cell and `dot` is -1, or None. `live` counts the
    rows that readers may see, here and below; a node without any row is dropped from the tree. `spelled` is the compact
    text of what a container shows, kept from one reading to the next change here or below.
    """

    __slots__ = (
        "dot",
        "field",
        "ghosts",
        "items",
        "kind",
        "live",
        "members",
        "name",
        "parent",
        "shuffled",
        "spelled",
        "top",
        "value",
    )

    def __init__(self, parent: Node | None, kind: int, name: bytes, field: bytes) -> None:
        self.parent = parent
        self.kind = kind
        self.name = name
        self.field = field
        self.value: bytes | Cell | None = None
        self.dot = -1
        self.live = 0
        self.members: dict[bytes, Node] = {}
        self.items: sequence.Sequence | None = None  # the visible elements
        self.ghosts: dict[bytes, Node] = {}  # the other ones: baselines alone, or nothing yet
        self.top = 0  # the rank of the next member: above those of all others, as far as there are ranks
        self.shuffled = False  # the members stand in another order than their ranks say
        self.spelled: bytes | None = None

    def changed(self) -> None:
        """What is shown here may be something else now."""
        above: Node | None = self
        while above is not None:
            above.spelled = None
            above = above.parent

    def texts(self) -> list[bytes]:
        """Every text in the own cell."""
        value = self.value
        if value is None:
            return []
        return [body(value)] if isinstance(value, bytes) else value.texts()

    def rank(self) -> tuple[int, bytes]:
        """Where the node stands among the members of its parent."""
        value = self.value
        rank = rank_of(value) if isinstance(value, bytes) else None if value is None else value.rank()
        return (UNRANKED if rank is None else rank), self.name

    def is_object(self) -> bool:
        """Whether an object is shown here."""
        value = self.value
        if isinstance(value, bytes) and value.endswith(OBJECT):
            return True
        return any(child.live for child in self.members.values()) or OBJECT in self.texts()

    def is_array(self) -> bool:
        """Whether an array is here; it is shown if `is_object` is false."""
        value = self.value
        if isinstance(value, bytes) and value.endswith(ARRAY):
            return True
        return self.length() > 0 or ARRAY in self.texts()

    def leaf(self, state: State) -> bytes | amounts.Amount | None:
        """What the cell shows if neither an object nor an array is here."""
        value = self.value
        return body(value) if isinstance(value, bytes) else None if value is None else value.shown(state)

    def ordered(self) -> list[Node]:
        """The visible members, in their order."""
        if self.shuffled:
            self.members = {child.name: child for child in sorted(self.members.values(), key=Node.rank)}
            self.shuffled = False
        return [child for child in self.members.values() if child.live]

    def take_rank(self) -> int:
        """The rank of a new member."""
        rank = self.top
        self.top = min(rank + 1, UNRANKED - 1)
        return rank

    def length(self) -> int:
        """How many visible elements there are."""
        return 0 if self.items is None else len(self.items)

    def index(self, element: Node) -> int:
        """How many visible elements stand before this one."""
        return 0 if self.items is None else self.items.index(element.name)

    def elements(self, start: int = 0, stop: int | None = None) -> list[Node]:
        """The visible elements start <= index < stop, in their order."""
        return [] if self.items is None else self.items.items(start, len(self.items) if stop is None else stop)

    def label(self, separator: bytes) -> bytes:
        """The name as JSON, and what separates it from the value."""
        return quoted(self.name) + separator

    def contested(self) -> bool:
        """Whether several values stand side by side here."""
        texts = self.texts()
        leaves = sum(text != OBJECT and text != ARRAY for text in texts)
        if isinstance(self.value, Cell):
            leaves += self.value.counts_beside() if texts else self.value.visible()
        return leaves + self.is_object() + self.is_array() > 1

    def clashes(self) -> bool:
        """Whether `contested` may be true: what can be told at a glance."""
        value = self.value
        if isinstance(value, Cell):
            return True
        if value is None:
            return bool(self.members and self.items)
        if value.endswith(OBJECT):
            return bool(self.items)
        return bool(self.members) or (bool(self.items) and not value.endswith(ARRAY))

    def holds_besides(self, part: Node) -> bool:
        """Whether something else of the same kind is visible here."""
        if part.kind == ELEMENT:
            return self.length() > bool(part.live)
        return any(child.live for child in self.members.values() if child is not part)

    def inhabited(self) -> bool:
        """Whether there is anything below."""
        return bool(self.members or self.items or self.ghosts)

    def below(self) -> Iterator[Node]:
        """This node and everything under it."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack += node.members.values()
            stack += node.ghosts.values()
            stack += node.elements()
