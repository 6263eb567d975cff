"""Rows of one actor, gathered into the columns that frames, segments and hashes work on.

Promises: everything that walks rows by the thousand does so here and in hashing.py, a column at a time.
Must not know: state; how a payload becomes wire is told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crdt.dots import SEQ_MASK
from crdt.entry import Entry, Raw, Wire
from crdt.frame import Group, stamps_of

Row = tuple[int, Entry, bytes | None, Raw, int]  # packed dot, entry, field, raw payload, timestamp


def grouped(rows: list[Row], wire: Callable[[Raw, int], Wire]) -> list[Group]:
    """Rows, ascending by dot, as groups: one for each key and type, or for each type with a cell per key."""
    by: dict[Any, list[Row]] = {}
    for row in rows:
        where = row[1].CODE if row[2] is None else row[1]
        found = by.get(where)
        if found is None:
            by[where] = [row]
        else:
            found.append(row)
    return [_group(part, wire) for part in by.values()]


def _group(rows: list[Row], wire: Callable[[Raw, int], Wire]) -> Group:
    dots, entries, fields, raws, hlcs = zip(*rows, strict=True)
    single = fields[0] is None
    kinds = set(map(type, raws))
    payloads: list[Wire] | None
    if kinds == {bytes}:
        payloads = list(raws)
    elif kinds == {type(None)}:
        payloads = None
    else:
        payloads = [wire(raw, dot) for raw, dot in zip(raws, dots, strict=True)]
    first: Entry = entries[0]
    return Group(
        first.CODE,
        None if single else first.key,
        [entry.key for entry in entries] if single else list(fields),
        payloads,
        [dot & SEQ_MASK for dot in dots],
        [(len(hlcs), hlcs[0])] if hlcs[0] == hlcs[-1] and len(set(hlcs)) == 1 else stamps_of(hlcs),
    )
