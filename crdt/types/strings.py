"""Strings: a register per key, which is a number as soon as somebody counts on it.

Truth table (A and B concurrent, then exchanged):

    A             B             GET                     MV.GET
    SET k x       SET k y       the later by clock      x and y, until a writer who saw both writes again
    SET k x       DEL k         x                       x
    DEL k         DEL k         (nil)                   (nil)
    SET k 7       INCRBY k 3    see number.py

Source: the multi-value register of Shapiro et al., "A comprehensive study of CRDTs" (2011), section 3.2.2, read as
last-writer-wins by hybrid clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgpack

from crdt.clock import milliseconds
from crdt.dots import Actor, canonical_vector, parse_vector
from crdt.entry import GONE, Entry, Gone, Leaving, Raw, Wire
from crdt.errors import UsageError, WrongTypeError
from crdt.shards import roomy
from crdt.state import State
from crdt.types import amounts, number, numberwire
from crdt.types.number import Number, Seen

_MALFORMED: Final = (ValueError, TypeError, RecursionError, msgpack.UnpackException, msgpack.ExtraData)
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


Value = bytes | number.Lone | Number  # what a cell holds: its only row, or its rows


class Sibling(NamedTuple):
    """One of the values that stand side by side: who wrote it, and when by that writer's clock (Unix ms)."""

    value: bytes
    origin: Actor
    time_ms: int


class StringEntry(Entry):
    """`value` is the only row, bytes or a count, and `dot` its own (nearly always), or a Number, and `dot` is -1."""

    __slots__ = ("dot", "value")

    CODE = 1
    NAME = "string"
    RANK = 90
    SINGLE = True
    ADDED = "set"
    REMOVED = "set"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.dot = -1
        self.value: Value | None = None

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        if self.dot == dot:
            return self.value
        return self.value.row(dot) if type(self.value) is Number else GONE

    def number(self) -> Number:
        """The cell as a Number, made from the only row where there was one."""
        value = self.value
        if type(value) is Number:
            return value
        cell = Number(self.dot, value)
        self.value, self.dot = cell, -1
        return cell

    def simplify(self) -> None:
        """Back to the only row, if that is all there is."""
        cell = self.value
        if type(cell) is Number:
            lone = cell.lone()
            if lone is not None:
                self.dot, self.value = lone

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        if self.value is None and (type(payload) is bytes or type(payload) is tuple):
            self.value, self.dot = payload, dot
        else:
            self.number().insert(state, self, None, payload, dot)
            self.simplify()

    def swap(self, state: State, field: bytes | None, payload: Wire, dot: int, leaving: Leaving) -> bool:
        if (type(payload) is bytes or type(payload) is tuple) and leaving.replaced(self.dot, self.value):
            self.value, self.dot = payload, dot
            return True
        self.insert(state, None, payload, dot)
        return False

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        if self.dot == dot:
            value, self.value, self.dot = self.value, None, -1
            return value
        if type(self.value) is not Number:
            return GONE
        raw = self.value.discard(state, self, None, dot)
        self.simplify()
        return raw

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        if type(self.value) is Number:
            return ((None, dot, raw) for dot, raw in self.value.rows())
        return iter(() if self.value is None else ((None, self.dot, self.value),))

    def visible(self) -> bool:
        value = self.value
        return value.visible() if type(value) is Number else value is not None

    def contested(self, field: bytes | None) -> bool:
        return type(self.value) is Number and self.value.contested()

    def prune(self, state: State, field: bytes | None) -> None:
        """Remove baselines of own dead lineages."""
        if type(self.value) is Number:
            self.value.prune(state, self, None)

    def erase(self, state: State) -> None:
        if type(self.value) is bytes:
            if state.retire(self.dot, self, None, self.value):
                state.gap()
            self.value, self.dot = None, -1
        elif self.value is not None:
            self.number().erase(state, self, None)

    @classmethod
    def event(cls, payload: Wire) -> str:
        return "incrby" if numberwire.is_count(payload) else cls.ADDED

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return field is None and (type(payload) is bytes or (payload is not None and numberwire.check(payload)))


def get(state: State, key: bytes) -> bytes | None:
    """The shown value, or None. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        return None
    if type(entry) is not StringEntry:
        raise WrongTypeError
    value = entry.value
    if type(value) is bytes:
        return value
    return value.text(state) if isinstance(value, Number) else amounts.render(value[2])  # type: ignore[index]


def put(state: State, key: bytes, value: bytes) -> None:
    """SET: replaces what this replica has observed under the key, whatever its type."""
    entry = state.keys.get(key)
    if state.lifetimes and key in state.lifetimes:
        state.release(key)
        entry = state.keys.get(key)
    if type(entry) is StringEntry and not (state.hidden and key in state.hidden):
        if type(entry.value) is not bytes:
            entry.number().assign(state, entry, None, value)
            entry.simplify()
            return
        dot = entry.dot
        if dot <= state.mark:
            state.retire(dot, entry, None, entry.value)
            entry.dot = state.add(entry, None)
        entry.value = value
        return
    if entry is None and not state.hidden:
        fresh = state.keys[key] = StringEntry(key)
        fresh.dot = state.add(fresh, None)
        fresh.value = value
        state.keys = roomy(state.keys)
        return
    for other in state.all_of(key):
        if type(other) is not StringEntry:
            other.erase(state)
            state.settle(other)
    target = state.keys.get(key) or state.create(StringEntry, key)
    assert isinstance(target, StringEntry)
    target.number().assign(state, target, None, value)
    target.simplify()


def siblings(state: State, key: bytes) -> list[Sibling] | None:
    """Every value that stands, the shown one first; None if there is no such key. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is None:
        return None
    if type(entry) is not StringEntry:  # a grow-only counter is none
        raise WrongTypeError
    return standing(state, entry.value, entry.dot)


def standing(state: State, value: Value | None, dot: int) -> list[Sibling]:
    """The siblings of one cell. The dots are about to be known outside, so pending ones are not spent again."""
    state.name_pending()
    if type(value) is bytes:
        return [_sibling(state, dot, value)]
    if type(value) is tuple:
        return [_sibling(state, dot, amounts.render(value[2]))]
    assert type(value) is Number
    winner = value.winner(state)
    order = sorted(value.sets, key=lambda d: (d == winner, state.hlc(d), state.name(d)), reverse=True)
    plain = [_sibling(state, d, value.text_in(d)) for d in order]
    added = value.added(state)
    if added is None:
        return plain
    newest = max(value.counts, key=lambda d: (state.hlc(d), state.name(d)))
    shown = value.shown(state)
    if type(shown) is bytes:  # the winner is no number: what was counted stands beside it
        return [*plain, _sibling(state, newest, amounts.render(added))]
    return [_sibling(state, newest, amounts.render(shown)), *plain[1:]]  # type: ignore[arg-type]


def _sibling(state: State, dot: int, value: bytes) -> Sibling:
    return Sibling(value, state.name(dot).actor, milliseconds(state.hlc(dot)))


def context(state: State, key: bytes) -> bytes:
    """An opaque token for what a reader of this string has seen so far, for `put_over`."""
    entry = state.keys.get(key)
    if not isinstance(entry, StringEntry):
        return token(state, None)
    return token(state, Number(entry.dot, entry.value) if type(entry.value) is tuple else entry.value)


def token(state: State, value: Value | None) -> bytes:
    """What a reader of this cell has seen: the vector, and how far each count had come."""
    state.name_pending()
    counted = value.counted(state) if isinstance(value, Number) else b""
    return _pack([canonical_vector({**state.vector(), state.actor: state.seq}), counted])  # type: ignore[no-any-return]


def seen_by(state: State, context: bytes) -> Seen:
    """Inverse of `token`. Raises UsageError."""
    try:
        vector, counted = msgpack.unpackb(context)
        seen = parse_vector(vector)
        bases = numberwire.counted_by(state, counted) if counted else {}
    except _MALFORMED:
        raise UsageError("ERR invalid context, use the one that MV.GET returned") from None
    if bases is None:
        raise UsageError("ERR context names increments that have not arrived here, use it where MV.GET returned it")
    return seen, bases


def put_over(state: State, key: bytes, value: bytes, context: bytes) -> None:
    """MV.SET with a context: replaces exactly the values that the context covers. Raises UsageError, WrongTypeError."""
    seen = seen_by(state, context)
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not StringEntry:
        raise WrongTypeError
    if entry is not None and key in state.lifetimes:
        state.release(key)
    target = entry or state.create(StringEntry, key)
    assert isinstance(target, StringEntry)
    target.number().replace(state, target, None, value, seen)
    target.simplify()
