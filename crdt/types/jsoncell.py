"""How rows of a JSON document are spelled, and the cell that they make.

A field is the path of a place in full, from the root (the empty field): per component a byte for its kind, then the
name of a member or the position of an element (crdt/places.py), escaped so that neither kind byte occurs in it.

A payload is a text: that of a leaf, or `{}` or `[]` for the presence of a container. Before it stands a rank: bytes
from 0x80 up, which no JSON begins with. Members are shown by (rank, name), so that replicas agree on their order, and
it is the order in which one writer wrote them.

Promises: one field, one path; one payload, one rank and text; what comes from outside is checked here (`is_path`,
`is_text`). Must not know: the tree.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from crdt.entry import Entry
from crdt.places import is_place, renamed
from crdt.state import State
from crdt.types import number
from crdt.types.jsontext import DEPTH, is_scalar
from crdt.types.number import UNKNOWN, Number

OBJECT: Final = b"{}"
ARRAY: Final = b"[]"
MEMBER: Final = 0  # kind bytes of a component
ELEMENT: Final = 1
RANKS: Final = bytes(range(0x80, 0x100))
RANK_BYTES: Final = 8
CACHED: Final = 256  # bytes of a field up to which its depth is remembered
UNRANKED: Final = 1 << 7 * RANK_BYTES  # behind every rank
_ESCAPE: Final = 2
_ESCAPED: Final = {0: b"\x02\x30", 1: b"\x02\x31", 2: b"\x02\x32"}
_special = re.compile(rb"[\x00-\x02]")
_PLAIN: Final = {b"\x02\x30": b"\x00", b"\x02\x31": b"\x01", b"\x02\x32": b"\x02"}
_escape = re.compile(rb"\x02.?", re.DOTALL)


# -- fields and texts -------------------------------------------------------------------------------------------------


def component(kind: int, name: bytes) -> bytes:
    """One step of a path as bytes."""
    if _special.search(name):
        name = _special.sub(lambda found: _ESCAPED[found[0][0]], name)
    return bytes((kind,)) + name


def last_step(field: bytes) -> tuple[bytes, int, bytes]:
    """(field of the parent, kind, name) of a field that is not the root's."""
    at = max(field.rfind(b"\x00"), field.rfind(b"\x01"))
    name = field[at + 1 :]
    if _ESCAPE in name:
        name = _escape.sub(lambda found: _PLAIN[found[0]], name)
    return field[:at], field[at], name


def is_path(field: bytes) -> bool:
    """Whether a field from outside is a path in its one spelling, and no deeper than a document may be."""
    if not field:
        return True
    if field[0] > ELEMENT or (_ESCAPE in field and any(found not in _PLAIN for found in _escape.findall(field))):
        return False
    above, kind, name = last_step(field)
    return _is_name(kind, name) and (_known_depth if len(above) <= CACHED else _depth)(above) < DEPTH


def moved(field: bytes, old: bytes, new: bytes, cut: int) -> bytes:
    """The field of a place whose author goes on as another actor: every element on the way may be named by it."""
    out: list[bytes] = []
    while field:
        field, kind, name = last_step(field)
        out.append(component(kind, renamed(name, old, new, cut) if kind == ELEMENT else name))
    return b"".join(reversed(out))


def _depth(field: bytes) -> int:
    """The number of components, if each of them is right; else beyond every limit."""
    deep = 0
    while field:
        field, kind, name = last_step(field)
        if not _is_name(kind, name):
            return DEPTH
        deep += 1
    return deep


_known_depth = lru_cache(4096)(_depth)  # the parts of a container come together


def _is_name(kind: int, name: bytes) -> bool:
    if kind == ELEMENT:
        return is_place(name)
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def ranked(rank: int, text: bytes) -> bytes:
    """A text with its rank."""
    digits = b""
    while rank:
        digits = bytes((0x80 | rank & 0x7F,)) + digits
        rank >>= 7
    return digits + text


def body(payload: bytes) -> bytes:
    """The text without its rank."""
    return payload.lstrip(RANKS) if payload[0] & 0x80 else payload


def rank_of(payload: bytes) -> int:
    """The rank of a text."""
    rank = 0
    for byte in payload:
        if not byte & 0x80:
            break
        rank = rank << 7 | byte & 0x7F
    return rank


def is_text(payload: bytes) -> bool:
    """Whether a payload from outside is a rank and a text that may stand in a cell."""
    text = payload.lstrip(RANKS)
    if len(payload) - len(text) > RANK_BYTES or payload[:1] == b"\x80":
        return False
    return text in (OBJECT, ARRAY) or is_scalar(text)


class Cell(Number):
    """A cell with more than one text, or with counts. A container wins over a leaf, an object over an array."""

    __slots__ = ()

    def winner(self, state: State) -> int:
        if len(self.sets) < 2:
            return next(iter(self.sets), 0)
        return max(self.sets, key=lambda dot: (_weight(self.text_in(dot)), state.hlc(dot), state.name(dot)))

    def text_in(self, dot: int) -> bytes:
        return body(number.text_of(self.sets[dot]))

    def withdraw(self, state: State, entry: Entry, field: bytes, dots: list[int]) -> bool:
        """Take some of the texts out; whether one of them was in a frame."""
        self._shown = UNKNOWN
        return self._retire(state, entry, field, dots)

    def texts(self) -> list[bytes]:
        """Every text that stands here."""
        return [self.text_in(dot) for dot in self.sets]

    def rank(self) -> int | None:
        """The least rank that stands here, None if there is none."""
        return min((rank_of(number.text_of(raw)) for raw in self.sets.values()), default=None)


def _weight(text: bytes) -> int:
    return 2 if text == OBJECT else 1 if text == ARRAY else 0
