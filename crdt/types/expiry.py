"""Lifetimes: how long the rows of a key, of whatever type, are to be seen.

    rows                       written by                               removed by
    until deadline, names      EXPIRE and its kin; SET EX               the next of these, SET, DEL, STORE, RENAME ...
    for ever, names            PERSIST; whatever writes a key anew that that saw it
                               is no string (STORE, RENAME, COPY)

    lifetime = the longest of the rows; for ever where there is none,
               and where a value that a SET wrote is named by none of them

A SET without KEEPTTL ends a lifetime. It needs no row of its own for that: an expire row names the values of the string
that it saw, and a value that no row names was written by a SET that wants no lifetime, or saw another.

Truth table (A and B concurrent, then exchanged; the key held 5 before and was to live 100 s, both had seen it):

    A             B             lives
    EXPIRE 200    EXPIRE 300    300 s      the longest
    EXPIRE 10     INCR          10 s       a write leaves the lifetime as it is
    EXPIRE 10     APPEND x      100 s      a new value that goes on living as the old one was to
    EXPIRE 10     PERSIST       for ever
    EXPIRE 10     SET w         for ever   nobody has said when w is to go
    EXPIRE 300    SET w EX 10   300 s
    SET v EX 20   SET w EX 10   20 s
    SET v         SET w EX 10   for ever
    PERSIST       DEL           no key
    EXPIRE 10     DEL           no key

Promises: no key ends before the time that any of its writers asked for, as far as they are heard within the grace.
Must not know: the time. A deadline is Unix ms; whether it has passed is for crdt/expiries.py.

Source: the design is our own; that the longest lifetime wins follows from "what is concurrent survives".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgpack

from crdt.dots import SEQ_BITS, SEQ_MASK, Actor, Dot
from crdt.entry import GONE, LIFETIME, STRUCTURED, Entry, Gone, Raw, Wire
from crdt.errors import NoSuchKeyError
from crdt.expiries import NEVER
from crdt.state import State
from crdt.types import strings
from crdt.types.number import Number
from crdt.types.strings import StringEntry

SAID: Final = 0  # a client asked for this lifetime
KEPT: Final = 3  # it comes with a write that carries one on, or ends one: no event of its own
_MALFORMED: Final = (
    ValueError, TypeError, IndexError, RecursionError, msgpack.UnpackException, msgpack.ExtraData
)  # fmt: skip
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


class Span(NamedTuple):
    """One expire row: its payload, when it ends, and the values it has seen."""

    payload: msgpack.ExtType
    deadline: int
    names: tuple[Dot, ...]


class ExpiryEntry(Entry):
    """`spans`: dot -> row. `deadline` is what they come to with the key's values, as of the last `reassess`."""

    __slots__ = ("counted", "deadline", "spans")

    CODE = LIFETIME
    NAME = "expiry"
    RANK = 1000
    SINGLE = True
    ADDED = "expire"
    REMOVED = "persist"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.deadline = NEVER
        self.counted = 0  # the deadline as it stands in the figures of INFO
        self.spans: dict[int, Span] = {}

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        span = self.spans.get(dot)
        return GONE if span is None else span.payload

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        self.spans[dot] = _decode(payload, state.name(dot))

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        span = self.spans.pop(dot, None)
        return GONE if span is None else span.payload

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        return ((None, dot, span.payload) for dot, span in self.spans.items())

    def visible(self) -> bool:
        return False

    def empty(self) -> bool:
        return not self.spans

    def ends(self, state: State) -> int:
        """When the rows under the key, shown or not, end: Unix ms, or NEVER."""
        longest = max(span.deadline for span in self.spans.values())
        if longest == NEVER:
            return NEVER
        named = {name for span in self.spans.values() for name in span.names}
        return longest if all(state.name(dot) in named for dot in _values(state, self.key)) else NEVER

    def erase(self, state: State) -> None:
        committed = [state.retire(dot, self, None, span.payload) for dot, span in self.spans.items()]
        self.spans.clear()
        if any(committed):
            state.gap()

    def prune(self, state: State, field: bytes | None) -> None:
        """Remove own rows: the key is gone, and whoever removed it did not see them."""
        own = [dot for dot in self.spans if dot >> SEQ_BITS == state.me.index]
        committed = [state.retire(dot, self, None, self.spans.pop(dot).payload) for dot in own]
        if any(committed):
            state.gap()

    @classmethod
    def event(cls, payload: Wire) -> str:
        kind, deadline, *_ = msgpack.unpackb(payload.data)
        return "" if kind == KEPT else "persist" if deadline is None else "expire"

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        if field is not None or type(payload) is not msgpack.ExtType or payload.code != STRUCTURED:
            return False
        try:
            kind, deadline, *names = msgpack.unpackb(payload.data)
            return (
                type(kind) is int and kind in (SAID, KEPT)
                and (deadline is None or (type(deadline) is int and 0 <= deadline < NEVER))
                and all(_is_name(name) for name in names)
            )  # fmt: skip
        except _MALFORMED:
            return False


# -- payloads: [kind, deadline or nil, name ...]; a name is a seq of the row's author, or [replica, nonce, seq] --------


def _is_name(name: Any) -> bool:
    if type(name) is list:
        replica, nonce, name = name
        if type(replica) is not str or type(nonce) is not int or nonce < 0:
            return False
    return type(name) is int and 0 < name <= SEQ_MASK


def _encode(kind: int, deadline: int, names: list[Dot], author: Dot) -> msgpack.ExtType:
    named = [d.seq if d.actor == author.actor else [d.actor.name, d.actor.nonce, d.seq] for d in names]
    return msgpack.ExtType(STRUCTURED, _pack([kind, None if deadline >= NEVER else deadline, *named]))


def _decode(payload: msgpack.ExtType, author: Dot) -> Span:
    _, deadline, *names = msgpack.unpackb(payload.data)
    dots = [Dot(Actor(name[0], name[1]), name[2]) if type(name) is list else Dot(author.actor, name) for name in names]
    return Span(payload, NEVER if deadline is None else deadline, tuple(dots))


def renamed(payload: msgpack.ExtType, cut: Dot, author: Actor) -> msgpack.ExtType:
    """A pending row that another actor takes over: own dots above `cut` are now those of `author`, from 1."""
    span = _decode(payload, cut)
    kind = msgpack.unpackb(payload.data)[0]
    names = [Dot(author, d.seq - cut.seq) if d.actor == cut.actor and d.seq > cut.seq else d for d in span.names]
    return _encode(kind, span.deadline, names, Dot(author, 0))


# -- reads ------------------------------------------------------------------------------------------------------------


def _values(state: State, key: bytes) -> list[int]:
    """The dots of the string values under a key."""
    entry = state.find(key, StringEntry)
    if entry is None:
        return []
    assert isinstance(entry, StringEntry)
    return list(entry.value.sets) if type(entry.value) is Number else [] if entry.dot < 0 else [entry.dot]


def deadline(state: State, key: bytes) -> int | None:
    """When a visible key expires, in Unix ms; None if it lives for ever."""
    entry = state.lifetimes.get(key)
    return None if entry is None or entry.deadline == NEVER else entry.deadline


def longest(state: State, key: bytes) -> int:
    """The dot of the row that a key lives by, 0 if it has none."""
    entry = state.lifetimes.get(key)
    if entry is None:
        return 0
    return max(entry.spans, key=lambda dot: (entry.spans[dot].deadline, state.hlc(dot), state.name(dot)))


# -- local writes -----------------------------------------------------------------------------------------------------


def expire(state: State, key: bytes, deadline: int, kind: int = SAID) -> None:
    """EXPIRE: the visible key lives until `deadline` (Unix ms, in the future), instead of what was seen so far.

    Raises NoSuchKeyError.
    """
    if key not in state.keys:
        raise NoSuchKeyError
    entry = state.lifetimes.get(key) or ExpiryEntry(key)
    seen = _values(state, key)
    if seen and max(seen) > state.mark:
        state.name_pending()  # own dots that are named must not be spent on another value
    for dot, span in entry.spans.items():
        state.retire(dot, entry, None, span.payload)
    new = state.add(entry, None)
    names = [state.name(dot) for dot in sorted(seen)]
    entry.spans = {new: Span(_encode(kind, deadline, names, state.name(new)), deadline, tuple(names))}
    state.lifetimes[key] = entry
    state.reassess(key)


def persist(state: State, key: bytes) -> bool:
    """PERSIST. Whether the key had a lifetime that would have ended."""
    if key not in state.keys or deadline(state, key) is None:
        return False
    expire(state, key, NEVER)
    return True


def renew(state: State, key: bytes, deadline: int | None = None) -> None:
    """A STORE form, RENAME or COPY has just written the key as a whole: it lives for ever, or as the source did.

    A string says so by itself, as after SET.
    """
    if deadline is not None:
        expire(state, key, deadline, KEPT)
    elif state.keys[key].__class__ is not StringEntry:
        expire(state, key, NEVER, KEPT)


def put(state: State, key: bytes, value: bytes) -> None:
    """SET KEEPTTL, and what rewrites a string: the lifetime goes on with the new value."""
    ends = deadline(state, key) if key in state.keys else None
    strings.put(state, key, value)
    if ends is not None:
        expire(state, key, ends, KEPT)
