"""JSON documents: what commands do to a place in one.

Truth table (A and B concurrent, then exchanged; the key held {"a":{"x":1},"l":[1,2],"n":5} before, both had seen it):

    A                        B                        shown
    SET $.a.x 2              SET $.a.y 3              $.a is {"x":2,"y":3}: different paths merge
    SET $.a.x 2              SET $.a.x 3              $.a is {"x":3}: the later by clock, both in MV.GET
    SET $.a.x 2              DEL $.a                  $.a is {"x":2}: an update wins over a deletion of what it is in
    SET $.a {"y":1}          SET $.a {"z":2}          $.a is {"y":1,"z":2}: containers of one kind merge
    SET $.b {}               SET $.b []               $.b is {}: an object before an array, which is a conflict
    SET $.b {}               SET $.b 7                $.b is {}: a container before a leaf, which is a conflict
    SET $.a 7                SET $.a.y 2              $.a is {"y":2}: a container before a leaf, which is a conflict
    NUMINCRBY $.n 2          NUMINCRBY $.n 3          $.n is 10: as in number.py
    NUMINCRBY $.n 0.1        NUMINCRBY $.n 0.2        $.n is 5.3: exact, then shown as the nearest double
    SET $.n 7                NUMINCRBY $.n 3          $.n is 10: the SET took what it saw
    DEL $.n                  NUMINCRBY $.n 3          $.n is 3: the deletion took what it saw
    ARRAPPEND $.l 3 4        ARRAPPEND $.l 5 6        $.l is [1,2,3,4,5,6]: runs stay together
    ARRPOP $.l               ARRPOP $.l               $.l is [1]: both got the same element
    SET $.l[0] 7             ARRPOP $.l 0             $.l is [7,2]: an update wins
    SET $.l [9]              ARRAPPEND $.l 3          $.l is [9,3]: a SET takes the elements that it saw

A place is a `Node` of the tree (jsontree.py); after a write, ask `again` for it. What is written replaces what this
replica has observed at that place and below it, and nothing else.

Promises: a function that raises has changed nothing. Must not know: paths as people write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from math import isinf
from typing import Final

from crdt import longdouble
from crdt.clock import milliseconds
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types import amounts, number
from crdt.types.amounts import Amount
from crdt.types.jsoncell import ARRAY, ELEMENT, MEMBER, OBJECT, UNRANKED, Cell, body, ranked
from crdt.types.jsonnode import Node
from crdt.types.jsontext import Value, check_depth, dump, float_text, is_float, is_number, parse
from crdt.types.jsontree import JsonEntry
from crdt.types.number import Seen
from crdt.types.strings import Sibling, seen_by, token

NOT_FINITE: Final = "ERR result is not a number"
_KINDS: Final = {b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}
_word = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").fullmatch


# -- reading ----------------------------------------------------------------------------------------------------------


def document(state: State, key: bytes) -> JsonEntry | None:
    """The document under a key, None if there is no such key. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is not None and not isinstance(entry, JsonEntry):
        raise WrongTypeError
    return entry


def again(doc: JsonEntry, node: Node) -> Node | None:
    """A place after writes that may have replaced it; None if nothing is there any more."""
    found = doc.nodes.get(node.field)
    return found if found is not None and found.live else None


def kind(state: State, node: Node) -> str:
    """object, array, string, integer, number, boolean or null."""
    if node.is_object():
        return "object"
    if node.is_array():
        return "array"
    text = leaf(state, node)
    return _KINDS.get(text[:1]) or ("number" if is_float(text) else "integer")


def leaf(state: State, node: Node) -> bytes:
    """The text that a place shows which is neither an object nor an array."""
    shown = node.leaf(state)
    return shown if isinstance(shown, bytes) else _amount_text(shown or 0, _floating(state, node))


def _floating(state: State, node: Node) -> bool:
    """Whether the number that was set here, and may be counted on, is a float."""
    value = node.value
    if isinstance(value, Cell):
        return bool(value.sets) and is_float(value.text_in(value.winner(state)))
    return value is not None and is_float(body(value))


def _amount_text(amount: Amount, floating: bool) -> bytes:
    """A sum as JSON: an integer in full, else the nearest double."""
    if isinstance(amount, int) and not floating:
        return longdouble.digits(amount).encode()
    nearest = _double(amount)
    return longdouble.digits(int(amount)).encode() if isinf(nearest) else float_text(nearest).encode()


def _double(amount: Amount) -> float:
    return float(Decimal(amount))


def members(node: Node) -> list[tuple[bytes, Node]]:
    """Names and places of an object, in its order."""
    return [(child.name, child) for child in node.ordered()]


def member(node: Node, name: bytes) -> Node | None:
    """The place of one name in an object."""
    child = node.members.get(name)
    return child if child is not None and child.live else None


def parts(node: Node) -> list[Node]:
    """What is directly in the container that is shown here."""
    return node.ordered() if node.is_object() else node.elements()


def size(node: Node) -> int:
    """How many members or elements the shown container has."""
    return len(node.ordered()) if node.is_object() else node.length()


def value(state: State, node: Node) -> Value:
    """What is shown here and below."""
    if node.is_object():
        return {child.name.decode(): value(state, child) for child in node.ordered()}
    if node.is_array():
        return [value(state, child) for child in node.elements()]
    return parse(leaf(state, node))


def equals(state: State, node: Node, other: Value) -> bool:
    """Whether this value is shown here; members in any order, but 1 is not 1.0."""
    shown = value(state, node)
    return shown == other and _sorted(shown) == _sorted(other)


def _sorted(part: Value) -> bytes:
    """A text that equal values share."""
    if type(part) is dict:
        return b"{%b}" % b",".join([dump(name) + b":" + _sorted(part[name]) for name in sorted(part)])
    if type(part) is list:
        return b"[%b]" % b",".join(map(_sorted, part))
    return dump(part)


class Style:
    """How containers are spelled: as JSON.GET is told to."""

    __slots__ = ("indent", "newline", "space")

    def __init__(self, indent: bytes = b"", newline: bytes = b"", space: bytes = b"") -> None:
        self.indent = indent
        self.newline = newline
        self.space = space

    def wrap(self, pieces: list[bytes], brackets: bytes, depth: int) -> bytes:
        """Pieces between brackets, `depth` containers down."""
        if not pieces:
            return brackets
        inner = self.newline + self.indent * (depth + 1)
        last = self.newline + self.indent * depth
        return b"%c%b%b%b%c" % (brackets[0], inner, (b"," + inner).join(pieces), last, brackets[1])


COMPACT: Final = Style()


def text(state: State, node: Node, style: Style = COMPACT, depth: int = 0) -> bytes:
    """The JSON of what is shown here."""
    value = node.value
    if isinstance(value, bytes) and not node.members and node.items is None:
        return body(value)
    kept = node.spelled if style is COMPACT else None
    if kept is not None:
        return kept
    if node.is_object():
        found = _object_text(state, node, style, depth)
    elif node.is_array():
        found = _array_text(state, node, style, depth)
    else:
        return leaf(state, node)
    if style is COMPACT:
        node.spelled = found
    return found


def _object_text(state: State, node: Node, style: Style = COMPACT, depth: int = 0) -> bytes:
    separator = b":" + style.space
    pieces = [node.label(separator) + text(state, node, style, depth + 1) for node in node.ordered()]
    return style.wrap(pieces, OBJECT, depth)


def _array_text(state: State, node: Node, style: Style = COMPACT, depth: int = 0) -> bytes:
    return style.wrap([text(state, child, style, depth + 1) for child in node.elements()], ARRAY, depth)


def where(node: Node) -> bytes:
    """The path of a place as people write it."""
    steps = []
    while node.parent is not None:
        if node.kind == ELEMENT:
            steps.append(f"[{node.parent.index(node)}]")
        else:
            name = node.name.decode()
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            steps.append(f".{name}" if _word(name) else f'["{quoted}"]')
        node = node.parent
    return ("$" + "".join(reversed(steps))).encode()


def depth(node: Node) -> int:
    """How many containers a place is in."""
    deep = 0
    while node.parent is not None:
        node, deep = node.parent, deep + 1
    return deep


# -- writing ----------------------------------------------------------------------------------------------------------


def put(state: State, key: bytes, value: Value) -> None:
    """JSON.SET of a whole document. Raises UsageError, WrongTypeError."""
    check_depth(value)
    doc = document(state, key) or state.create(JsonEntry, key)
    assert isinstance(doc, JsonEntry)
    _put(state, doc, doc.root, value, 0)


def check_place(node: Node, value: Value) -> None:
    """Whether a value may stand at a place. Raises UsageError if it is too deep."""
    check_depth(value, depth(node))


def assign(state: State, doc: JsonEntry, node: Node, value: Value) -> None:
    """Replace what is at a place. Raises UsageError."""
    check_place(node, value)
    _put(state, doc, node, value, _rank(node))


def add(state: State, doc: JsonEntry, parent: Node, name: bytes, value: Value) -> None:
    """A member that the object does not have. Raises UsageError."""
    check_depth(value, depth(parent) + 1)
    _add(state, doc, parent, name, value)


def _add(state: State, doc: JsonEntry, parent: Node, name: bytes, value: Value) -> None:
    last = next(reversed(parent.members.values()), None)
    if last is not None and (name in parent.members or last.rank()[0] == UNRANKED):
        parent.shuffled = True  # it is there, not seen but not gone; or what stands last has no rank, and goes behind
    child = doc.child(parent, MEMBER, name)
    _put(state, doc, child, value, parent.take_rank())


def _rank(node: Node) -> int:
    """The rank that a new text takes over."""
    parent = node.parent
    if parent is None or node.kind == ELEMENT:
        return 0
    rank = node.rank()[0]
    if rank == UNRANKED:
        parent.shuffled = True
        return parent.take_rank()
    return rank


def _put(state: State, doc: JsonEntry, node: Node, value: Value, rank: int) -> None:
    if type(value) is dict:
        names = {name.encode(): part for name, part in value.items()}
        doc.write(state, node, ranked(rank, OBJECT))
        _clear(state, doc, [*node.elements(), *(c for n, c in node.members.items() if n not in names)])
        node.shuffled = bool(node.members)
        for at, (name, part) in enumerate(names.items()):
            _put(state, doc, doc.child(node, MEMBER, name), part, at)
        node.top = len(names)
        return
    doc.write(state, node, ranked(rank, ARRAY if type(value) is list else dump(value)))
    _clear(state, doc, [*node.members.values(), *node.elements()])
    if type(value) is list:
        _insert(state, doc, node, 0, value)


def _clear(state: State, doc: JsonEntry, nodes: list[Node]) -> None:
    for node in nodes:
        doc.clear(state, node)


def remove(state: State, doc: JsonEntry, node: Node) -> None:
    """Delete a place and what is below it."""
    doc.clear(state, node)
    if not doc.visible():
        state.settle(doc)


def merge(state: State, doc: JsonEntry, node: Node, patch: Value) -> None:
    """JSON.MERGE at a place that is there (RFC 7396). Raises UsageError."""
    check_place(node, patch)
    _merge(state, doc, node, patch)


def _merge(state: State, doc: JsonEntry, node: Node, patch: Value) -> None:
    if type(patch) is not dict:
        _put(state, doc, node, patch, _rank(node))
        return
    if not node.is_object():
        _put(state, doc, node, {}, _rank(node))
    elif OBJECT not in node.texts():
        doc.write(state, node, ranked(_rank(node), OBJECT))  # it goes on when its last member is deleted
    for name, part in patch.items():
        child = member(node, name.encode())
        if part is None:
            if child is not None:
                doc.clear(state, child)
        elif child is None:
            _add(state, doc, node, name.encode(), _without_nulls(part))
        else:
            _merge(state, doc, child, part)


def _without_nulls(patch: Value) -> Value:
    """What a patch makes of nothing."""
    if type(patch) is not dict:
        return patch
    return {name: _without_nulls(part) for name, part in patch.items() if part is not None}


# -- numbers ----------------------------------------------------------------------------------------------------------


def amount(state: State, node: Node) -> Amount | None:
    """The exact number at a place, None if something else is there."""
    if node.is_object() or node.is_array():
        return None
    shown = node.leaf(state)
    if not isinstance(shown, bytes):
        return shown
    return amounts.parse(shown) if is_number(shown) else None


def check_increase(state: State, node: Node, by: int | float) -> None:
    """Whether `by` can be counted on the number at a place. Raises UsageError."""
    _increased(state, node, by)


def _increased(state: State, node: Node, by: int | float) -> tuple[Amount, bool]:
    """What will be shown, and whether as a float: an integer stays one as long as integers are counted on it."""
    now = amount(state, node)
    assert now is not None, "callers ask first"
    if isinstance(by, int) and isinstance(now, int) and not _floating(state, node):
        return number.checked_sum(now, by), False
    after = _double(now) + float(by)
    if isinf(after):
        raise UsageError(NOT_FINITE)
    return amounts.exact(Decimal(float_text(after))), True


def increase(state: State, doc: JsonEntry, node: Node, by: int | float) -> bytes:
    """JSON.NUMINCRBY on a number: its new text. Floats are added as doubles, and count by the difference of the texts.

    Raises UsageError.
    """
    after, floating = _increased(state, node, by)
    now = amount(state, node)
    assert now is not None
    if floating and isinstance(after, int) and not _floating(state, node):
        # The sum of counts on an integer would read as one: written anew as the float that it is now.
        doc.write(state, node, ranked(_rank(node), float_text(_double(now)).encode()))
        now = amount(state, node)
        assert now is not None
    doc.increase(state, node, amounts.minus(after, now), after)
    return leaf(state, node)


# -- arrays -----------------------------------------------------------------------------------------------------------


def check_elements(node: Node, values: list[Value]) -> None:
    """Whether values may be elements of an array. Raises UsageError if one is too deep."""
    for value in values:
        check_depth(value, depth(node) + 1)


def insert(state: State, doc: JsonEntry, node: Node, index: int, values: list[Value]) -> None:
    """New elements before the one at `index` (0 to the size of the array). Raises UsageError."""
    check_elements(node, values)
    _insert(state, doc, node, index, values)


def _insert(state: State, doc: JsonEntry, node: Node, index: int, values: list[Value]) -> None:
    if values:
        for place, value in zip(doc.places(state, node, index, len(values)), values, strict=True):
            _put(state, doc, doc.child(node, ELEMENT, place), value, 0)


def elements(node: Node, start: int, stop: int) -> list[Node]:
    """The places of the elements start <= index < stop."""
    return node.elements(start, stop)


def take(state: State, doc: JsonEntry, nodes: list[Node]) -> None:
    """Take elements out of their array, which stays, be it empty."""
    parent = nodes[0].parent if nodes else None
    if parent is not None and ARRAY not in parent.texts():
        doc.write(state, parent, ranked(_rank(parent), ARRAY))
    _clear(state, doc, nodes)


# -- values side by side ----------------------------------------------------------------------------------------------


def siblings(state: State, node: Node) -> list[Sibling]:
    """Everything that stands at a place, the shown one first; a container as its text and its last write."""
    state.name_pending()
    out: list[Sibling] = []
    if node.is_object():
        out.append(_container(state, node, OBJECT, node.ordered(), _object_text(state, node)))
    if node.is_array():
        out.append(_container(state, node, ARRAY, node.elements(), _array_text(state, node)))
    if isinstance(node.value, Cell):
        return out + _leaves(state, node, node.value, bool(out))
    if node.value is not None and body(node.value) not in (OBJECT, ARRAY):
        out.append(_sibling(state, node.dot, body(node.value)))
    return out


def _leaves(state: State, node: Node, cell: Cell, behind: bool) -> list[Sibling]:
    """The leaves of a cell, the winning one first unless they stand behind a container."""
    dots = [dot for dot in cell.sets if cell.text_in(dot) not in (OBJECT, ARRAY)]
    dots.sort(key=lambda dot: (state.hlc(dot), state.name(dot)), reverse=True)
    plain = [_sibling(state, dot, cell.text_in(dot)) for dot in dots]
    added = cell.added(state)
    if added is None:
        return plain
    newest = _sibling(state, max(cell.counts, key=lambda dot: (state.hlc(dot), state.name(dot))), b"")
    shown = None if behind else cell.shown(state)
    if shown is None or isinstance(shown, bytes):  # what was counted stands beside it
        return [*plain, newest._replace(value=_amount_text(added, False))]
    return [newest._replace(value=leaf(state, node)), *plain[1:]]


def _container(state: State, node: Node, presence: bytes, parts: list[Node], text: bytes) -> Sibling:
    dots = [dot for part in parts for below in part.below() for dot in _dots(below)]
    value = node.value
    if isinstance(value, Cell):
        dots += [dot for dot in value.sets if value.text_in(dot) == presence]
    elif value is not None and body(value) == presence:
        dots.append(node.dot)
    return _sibling(state, max(dots, key=lambda dot: (state.hlc(dot), state.name(dot))), text)


def _dots(node: Node) -> Iterator[int]:
    if isinstance(node.value, Cell):
        yield from node.value.sets
        yield from node.value.counts
    elif node.value is not None:
        yield node.dot


def _sibling(state: State, dot: int, value: bytes) -> Sibling:
    return Sibling(value, state.name(dot).actor, milliseconds(state.hlc(dot)))


def context(state: State, node: Node) -> bytes:
    """An opaque token for what a reader of this place has seen so far, for `put_over`."""
    return token(state, node.value if isinstance(node.value, Cell) else None)


def put_over(state: State, doc: JsonEntry, node: Node, value: Value, context: bytes) -> None:
    """MV.SET with a context: replaces exactly what the context covers at a place and below it. Raises UsageError."""
    seen = seen_by(state, context)
    check_place(node, value)
    _put_over(state, doc, node, value, _rank(node), seen)


def _put_over(state: State, doc: JsonEntry, node: Node, value: Value, rank: int, seen: Seen) -> None:
    names = {name.encode(): part for name, part in value.items()} if type(value) is dict else {}
    own = OBJECT if type(value) is dict else ARRAY if type(value) is list else dump(value)
    doc.replace(state, node, ranked(rank, own), seen)
    vector = seen[0]
    for part in [*node.elements(), *(child for name, child in node.members.items() if name not in names)]:
        doc.clear(state, part, vector)
    for at, (name, part) in enumerate(names.items()):
        _put_over(state, doc, doc.child(node, MEMBER, name), part, at, (vector, {}))
    if names:
        node.shuffled, node.top = True, max(node.top, len(names))
    if type(value) is list:
        _insert(state, doc, node, 0, value)
