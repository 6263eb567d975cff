"""Texts: Unicode code points in an order that all replicas agree on.

Truth table (A and B concurrent, then exchanged; the text was mn before):

    A             B             the text after
    INSERT 1 abc  INSERT 1 xyz  mxyzabcn: what one wrote stays together
    INSERT 1 abc  DELETE 0 2    abc: a deletion takes exactly what it had seen
    INSERT 2 abc  INSERT 2 xyz  mnabcxyz
    DELETE 0 1    DELETE 0 1    n
    DEL           INSERT 2 x    x

Rows and order are those of lists.py, with one code point, in UTF-8, as the value. Code points are never set anew.
"""

from __future__ import annotations

from crdt.entry import Wire
from crdt.errors import UsageError
from crdt.state import State
from crdt.types.lists import OUT_OF_RANGE, ListEntry, made, of


class TextEntry(ListEntry):
    """A list of code points."""

    __slots__ = ()

    CODE = 9
    NAME = "text"
    RANK = 55
    ADDED = "text.insert"
    REMOVED = "text.delete"
    POINTS = True

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        if not ListEntry.check(field, payload):
            return False
        try:
            return len(payload.decode()) == 1
        except UnicodeDecodeError:
            return False


def size(state: State, key: bytes) -> int:
    """TEXT.LEN: how many code points. Raises WrongTypeError."""
    entry = of(state, key, TextEntry)
    return 0 if entry is None else len(entry.elements)


def get(state: State, key: bytes, start: int = 0, stop: int | None = None) -> bytes | None:
    """The code points start <= index < stop (None: to the end) as UTF-8; 0 <= start. None without such a key.

    Raises WrongTypeError.
    """
    entry = of(state, key, TextEntry)
    if entry is None:
        return None
    return b"".join(entry.shown(state, start, len(entry.elements) if stop is None else stop))


def insert(state: State, key: bytes, index: int, text: str) -> int:
    """TEXT.INSERT before the code point with this index. The new length. Raises UsageError, WrongTypeError."""
    entry = of(state, key, TextEntry)
    length = 0 if entry is None else len(entry.elements)
    if not 0 <= index <= length:
        raise UsageError(OUT_OF_RANGE)
    if not text:
        return length
    if entry is None:
        entry = made(state, key, TextEntry)
    if len(text) == 1:
        entry.add_one(state, index, text.encode())
    else:
        entry.add(state, index, [point.encode() for point in text])
    return length + len(text)


def delete(state: State, key: bytes, index: int, count: int) -> int:
    """TEXT.DELETE of up to `count` code points from an index on. How many. Raises UsageError, WrongTypeError."""
    length = size(state, key)
    if not 0 <= index <= length:
        raise UsageError(OUT_OF_RANGE)
    count = min(max(count, 0), length - index)
    entry = of(state, key, TextEntry)
    if entry is not None and count:
        entry.take(state, index, count)
        if not entry.visible():
            state.settle(entry)
    return count
