"""Rows of one actor, gathered into the columns that frames, segments and hashes work on.

Promises: everything that walks rows by the thousand does so here, in rows.py and in hashing.py, a column at a time.
Must not know: state; how a payload becomes wire is told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from crdt.dots import SEQ_MASK
from crdt.entry import GONE, Entry, Opaque, Raw, Wire
from crdt.frame import Group, stamps_of
from crdt.hashing import SEED_MASK, STRUCTURED, key_scope, type_scope

MANY: Final = 256  # rows of one entry from which they are asked for together
Row = tuple[int, Entry, bytes | None, Raw, int]  # packed dot, entry, field, raw payload, timestamp
Wires = Callable[[list[Raw]], list[Wire]]  # raw payloads -> what is sent
Contents = Callable[[list[Raw]], list[bytes]]  # structured ones -> what is hashed
# Below, an int that is only handed on (a dot, a timestamp) is of type Any: compiled, it stays the object that it is.


class Dead:
    """Rows that are no more, in any order: packed dots, entries, fields and raw payloads, side by side."""

    __slots__ = ("dots", "entries", "fields", "raws")

    def __init__(self) -> None:
        self.dots: list[int] = []
        self.entries: list[Entry] = []
        self.fields: list[bytes | None] = []
        self.raws: list[Raw] = []

    def __len__(self) -> int:
        return len(self.dots)

    def append(self, dot: int, entry: Entry, field: bytes | None, raw: Raw) -> None:
        """One more."""
        self.dots.append(dot)
        self.entries.append(entry)
        self.fields.append(field)
        self.raws.append(raw)

    def drop(self, at: int) -> None:
        """This one is not dead after all."""
        del self.dots[at], self.entries[at], self.fields[at], self.raws[at]

    def before(self, at: int) -> Dead:
        """The first of them."""
        if at == len(self.dots):
            return self
        dead = Dead()
        dead.dots, dead.entries = self.dots[:at], self.entries[:at]
        dead.fields, dead.raws = self.fields[:at], self.raws[:at]
        return dead


class _Column:
    """Rows of one group, under way."""

    __slots__ = ("dots", "entry", "hlcs", "names", "raws")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.names: list[bytes] = []
        self.raws: list[Raw] = []
        self.dots: list[Any] = []
        self.hlcs: list[Any] = []


def gathered(
    dots: Sequence[Any],
    entries: list[Entry | None],
    fields: list[bytes | None],
    hlcs: list[Any],
    wires: Wires,
) -> tuple[list[Group], list[int]]:
    """Rows, ascending by dot, as groups: one for each key and type, or for each type with a cell per key.

    Where the entry is None is no row. Also the positions of rows that their entries do not hold (any more).
    """
    alone = _alone(dots, entries, fields, hlcs, wires)
    if alone is not None:
        return alone
    by: dict[Any, _Column] = {}
    stale: list[int] = []
    at: Any = None  # the entry or, of types with a cell per key, the class of the rows before: what is in `column`
    column: _Column | None = None
    i = -1
    for dot in dots:
        i += 1
        entry = entries[i]
        if entry is None:
            continue
        field = fields[i]
        raw = entry.row(field, dot)
        if raw is GONE:
            stale.append(i)
            continue
        now: Any = type(entry) if field is None else entry
        if column is None or now is not at or now is Opaque:  # whose entries are of many types
            at = now
            where = entry.CODE if field is None else entry
            column = by.get(where)
            if column is None:
                column = by[where] = _Column(entry)
            names, raws, held, times = column.names, column.raws, column.dots, column.hlcs
        names.append(entry.key if field is None else field)
        raws.append(raw)
        held.append(dot)
        times.append(hlcs[i])
    return [_group(where, column, wires) for where, column in by.items()], stale


def _alone(
    dots: Sequence[int],
    entries: Sequence[Entry | None],
    fields: Sequence[bytes | None],
    hlcs: list[int],
    wires: Wires,
) -> tuple[list[Group], list[int]] | None:
    """`gathered` of many rows, all live and of one entry with fields: what one long command writes. None of others."""
    if len(entries) < MANY or entries[0] is None or entries[-1] is not entries[0] or fields[0] is None:
        return None
    entry = entries[0]
    if entries.count(entry) < len(entries):
        return None
    column = _Column(entry)
    column.names, column.dots, column.hlcs = list(fields), list(dots), hlcs  # type: ignore[arg-type]
    column.raws = entry.raws(column.names, dots)
    return None if GONE in column.raws else ([_group(entry, column, wires)], [])


def grouped(rows: Iterable[Row], wires: Wires) -> list[Group]:
    """As `gathered`, of rows whose payloads are known; their entries may have lost them."""
    by: dict[Any, _Column] = {}
    for dot, entry, field, raw, hlc in rows:
        where = entry.CODE if field is None else entry
        column = by.get(where)
        if column is None:
            column = by[where] = _Column(entry)
        column.names.append(entry.key if field is None else field)
        column.raws.append(raw)
        column.dots.append(dot)
        column.hlcs.append(hlc)
    return [_group(where, column, wires) for where, column in by.items()]


def _group(where: Any, column: _Column, wires: Wires) -> Group:
    raws, hlcs = column.raws, column.hlcs
    dots: list[int] = column.dots
    payloads: list[Wire] | None = raws
    if raws[0] is None and raws.count(None) == len(raws):
        payloads = None
    elif not all(isinstance(raw, bytes) for raw in raws):
        payloads = wires(raws)
    return Group(
        column.entry.CODE,
        None if type(where) is int else column.entry.key,
        column.names,
        payloads,
        [dot & SEQ_MASK for dot in dots],
        stamps_of(hlcs),
    )


def dead_hash(actor_seed: int, dead: Dead, hlcs: list[int], contents: Contents) -> int:
    """Sum of the hashes (hashing.row_hash) of these rows of one actor, not reduced mod 2^128."""
    bare: list[bytes] = []  # names of rows without payload, and their seeds
    bare_seeds: list[int] = []
    names: list[bytes] = []  # of those with one
    seeds: list[int] = []
    payloads: list[bytes] = []
    marked: list[bytes] = []  # of those with a structured one, which go last: a sum has no order
    marked_seeds: list[int] = []
    raws: list[Raw] = []
    last: Entry | None = None
    keyed: Entry | None = None
    cls: type[Entry] | None = None
    above, inner = 0, 0  # the scopes of the last type, and of the last key with fields
    for i in range(len(dead.dots)):
        dot, entry, field, raw = dead.dots[i], dead.entries[i], dead.fields[i], dead.raws[i]
        if entry is not last:
            last = entry
            if type(entry) is not cls or cls is Opaque:  # whose entries are of many types
                cls = type(entry)
                above = type_scope(actor_seed, entry.CODE)
        name, scope = entry.key, above
        if field is not None:
            if entry is not keyed:
                keyed, inner = entry, key_scope(above, entry.key)
            name, scope = field, inner
        seed = (scope + hlcs[i] & SEED_MASK) + (dot & SEQ_MASK)
        if raw is None:
            bare.append(name)
            bare_seeds.append(seed)
        elif isinstance(raw, bytes):
            names.append(name)
            seeds.append(seed)
            payloads.append(raw)
        else:
            marked.append(name)
            marked_seeds.append(seed + STRUCTURED)
            raws.append(raw)
    if raws:
        names += marked
        seeds += marked_seeds
        payloads += contents(raws)
    named = map(xxh3_64_intdigest, names, seeds)
    return sum(map(xxh3_128_intdigest, payloads, named)) + sum(map(xxh3_128_intdigest, bare, bare_seeds))
