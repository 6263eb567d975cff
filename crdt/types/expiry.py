"""Lifetimes: how long the rows of a key, of whatever type, are to be seen.

    rows                       written by                               removed by
    until deadline, names      EXPIRE and its kin; SET EX               the next of these, SET, DEL, STORE, RENAME ...
    for ever, names            PERSIST; whatever writes a key anew that that saw it
                               is no string (STORE, RENAME, COPY)

    lifetime = the longest of the rows; for ever where there is none,
               and where a value of a string is named by none of them

A SET without KEEPTTL ends a lifetime. It needs no row of its own for that: an expire row names the values of the string
that it saw, and a value that no row names was written by somebody who wants no lifetime, or saw another. The same goes
for a string that an APPEND, SETRANGE or SETBIT has made: nobody has said when it is to go. What is written as a whole
and is no string says in a row for the key that it lives for ever: a mark in each of its rows would cost every element
something, and would be gone with the last of them, though others have added what nobody wanted to end.

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
from typing import Any, Final

import msgpack

from crdt.dots import SEQ_BITS, SEQ_MASK, Actor
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
_unpack = msgpack.unpackb
_structured: Any = tuple.__new__  # an ExtType without its constructor: nothing to check in our own bytes


class ExpiryEntry(Entry):
    """`dot` is the only row nearly always, 0 if there is none; `more` those that stand beside it.

    `deadline` is what they come to with the key's values, as of the last `reassess`. Payloads are held as they travel.
    """

    __slots__ = ("counted", "deadline", "dot", "more", "payload")

    CODE = LIFETIME
    NAME = "expiry"
    RANK = 1000
    SINGLE = True
    COUNTS = False  # names of values are only looked up: `_packed`
    ADDED = "expire"
    REMOVED = "persist"

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.dot = 0
        self.payload: msgpack.ExtType | None = None
        self.more: dict[int, msgpack.ExtType] | None = None
        self.deadline = NEVER
        self.counted = 0  # the deadline as it stands in the figures of INFO

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        if dot == self.dot:
            return self.payload
        return GONE if self.more is None else self.more.get(dot, GONE)

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        if self.dot in (0, dot):
            self.dot, self.payload = dot, payload
        elif self.more is None:
            self.more = {dot: payload}
        else:
            self.more[dot] = payload

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        more = self.more
        if dot != self.dot:
            return GONE if more is None else more.pop(dot, GONE)
        payload = self.payload
        self.dot, self.payload = more.popitem() if more else (0, None)
        return payload

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        if self.dot:
            yield None, self.dot, self.payload
        if self.more:
            for dot, payload in self.more.items():
                yield None, dot, payload

    def visible(self) -> bool:
        return False

    def empty(self) -> bool:
        return not self.dot

    def ends(self, state: State) -> int:
        """When the rows under the key, shown or not, end: Unix ms, or NEVER."""
        longest = 0
        named: set[int] = set()
        for _, dot, payload in self.rows():
            _, deadline, *names = _unpack(payload.data)
            if deadline is None:
                return NEVER
            longest = max(longest, deadline)
            named.update(_packed(state, name, dot) for name in names)
        return longest if named.issuperset(_values(state, self.key)) else NEVER

    def erase(self, state: State) -> None:
        if self._retire(state, [dot for _, dot, _ in self.rows()]):
            state.gap()

    def prune(self, state: State, field: bytes | None) -> None:
        """Remove what this replica gave, in any of its lives: the key is gone, and who removed it did not see that."""
        me = state.actor.name
        if self._retire(state, [dot for _, dot, _ in self.rows() if state.name(dot).actor.name == me]):
            state.gap()

    def _retire(self, state: State, dots: list[int]) -> bool:
        """Take rows out; whether any of them was already part of a frame."""
        committed = False
        for dot in dots:
            committed |= state.retire(dot, self, None, self.discard(state, None, dot))
        return committed

    @classmethod
    def event(cls, payload: Wire) -> str:
        kind, deadline, *_ = _unpack(payload.data)
        return "" if kind == KEPT else "persist" if deadline is None else "expire"

    @classmethod
    def foster(cls, payload: Wire, owner: Actor, seq: int) -> Wire:
        kind, deadline, *names = _unpack(payload.data)
        named = [[owner.name, owner.nonce, name] if type(name) is int else name for name in names]
        return msgpack.ExtType(STRUCTURED, _pack([kind, deadline, *named]))

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        if field is not None or type(payload) is not msgpack.ExtType or payload.code != STRUCTURED:
            return False
        try:
            kind, deadline, *names = _unpack(payload.data)
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


def _encode(state: State, kind: int, deadline: int, seen: list[int]) -> msgpack.ExtType:
    """A new own row that names these dots."""
    me = state.me.index
    names: list[int | list[Any]] = []
    for dot in seen:
        if dot >> SEQ_BITS == me:
            names.append(dot & SEQ_MASK)
        else:
            actor, seq = state.name(dot)
            names.append([actor.name, actor.nonce, seq])
    return _structured(msgpack.ExtType, (STRUCTURED, _pack([kind, None if deadline == NEVER else deadline, *names])))


def _packed(state: State, name: int | list[Any], dot: int) -> int:
    """The dot that a name in row `dot` stands for; 0 if its actor is not known here."""
    if isinstance(name, int):
        return dot & ~SEQ_MASK | name
    replica, nonce, seq = name
    index = state.indexes.get(Actor(replica, nonce))
    return 0 if index is None else state.actors[index].base + seq


def name_instead(state: State, key: bytes, old: int, new: list[int]) -> None:
    """A value was written anew under other dots (crdt/mending.py): these live as long as the old one was to."""
    entry = state.lifetimes.get(key)
    ends: list[int] = []
    for _, dot, payload in entry.rows() if entry is not None else ():
        _, deadline, *names = _unpack(payload.data)
        if old in {_packed(state, name, dot) for name in names}:
            ends.append(NEVER if deadline is None else deadline)
    if entry is not None and ends:
        dot = state.add(entry, None)
        entry.insert(state, None, _encode(state, KEPT, max(ends), new), dot)
        state.name_pending()


def renamed(payload: msgpack.ExtType, old: Actor, cut: int) -> msgpack.ExtType:
    """A pending row that another actor takes over: own dots above `cut` are now its own, from 1 on."""
    kind, deadline, *names = _unpack(payload.data)
    own = [[old.name, old.nonce, n] if n <= cut else n - cut for n in names if type(n) is int]
    return msgpack.ExtType(STRUCTURED, _pack([kind, deadline, *own, *(n for n in names if type(n) is not int)]))


# -- reads ------------------------------------------------------------------------------------------------------------


def _values(state: State, key: bytes) -> list[int]:
    """The dots of the string values under a key."""
    entry = state.find(key, StringEntry)
    if entry is None:
        return []
    assert isinstance(entry, StringEntry)
    if type(entry.value) is Number:
        return list(entry.value.sets)
    return [entry.dot] if type(entry.value) is bytes else []


def deadline(state: State, key: bytes) -> int | None:
    """When a visible key expires, in Unix ms; None if it lives for ever."""
    entry = state.lifetimes.get(key)
    return None if entry is None or entry.deadline == NEVER else entry.deadline


def described(payload: msgpack.ExtType) -> str:
    """A row for people."""
    _, deadline, *names = _unpack(payload.data)
    seen = f", has seen {len(names)} values" if names else ""
    return ("for ever" if deadline is None else f"until {deadline}") + seen


def longest(state: State, key: bytes) -> int:
    """The dot of the row that an expired key lived by."""
    entry = state.lifetimes[key]
    if not entry.more:
        return entry.dot
    ends = {dot: _unpack(payload.data)[1] for _, dot, payload in entry.rows()}
    return max(ends, key=lambda dot: (ends[dot], state.hlc(dot), state.name(dot)))


# -- local writes -----------------------------------------------------------------------------------------------------


def expire(state: State, key: bytes, deadline: int, kind: int = SAID) -> None:
    """EXPIRE: the visible key lives until `deadline` (Unix ms, in the future), instead of what was seen so far.

    Raises NoSuchKeyError.
    """
    if key not in state.keys:
        raise NoSuchKeyError
    entry = state.lifetimes.get(key)
    if entry is None:
        entry = state.lifetimes[key] = ExpiryEntry(key)
    seen = _values(state, key)
    if seen and max(seen) > state.mark:
        state.name_pending()  # own dots that are named must not be spent on another value
    if entry.dot:
        entry._retire(state, [dot for _, dot, _ in entry.rows()])
    entry.dot = state.add(entry, None)
    entry.payload = _encode(state, kind, deadline, seen)
    state.limit(key, entry, deadline)


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
    elif type(state.keys[key]) is not StringEntry:
        expire(state, key, NEVER, KEPT)


def put(state: State, key: bytes, value: bytes) -> None:
    """SET KEEPTTL, and what rewrites a string: the lifetime goes on with the new value."""
    ends = deadline(state, key) if key in state.keys else None
    strings.put(state, key, value)
    if ends is not None:
        expire(state, key, ends, KEPT)
