"""What stands side by side and waits for somebody to decide: several values in a cell, several types under a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crdt.clock import milliseconds
from crdt.entry import Entry
from crdt.state import State
from crdt.types import documents, lists, streams, strings
from crdt.types.hashes import HashEntry
from crdt.types.jsontree import JsonEntry
from crdt.types.lists import ListEntry
from crdt.types.streams import StreamEntry
from crdt.types.strings import Sibling


class Conflict(NamedTuple):
    """One cell or key. `field`: an index in a list, a path in a document, an id in a stream; None for a string, and for
    several types.
    """

    key: bytes
    field: bytes | None
    type: str
    siblings: list[Sibling]


def _cells(state: State) -> list[tuple[Entry, bytes | None]]:
    """Cells that still have siblings, of the types that are shown."""
    state.settle_contested()
    return [cell for cell in state.contested.values() if state.keys.get(cell[0].key) is cell[0]]


def _mixed(state: State) -> Iterator[bytes]:
    """Keys under which several types are live."""
    for key, others in state.hidden.items():
        if key in state.keys and any(entry.visible() for entry in others):
            yield key


def count(state: State) -> int:
    """How many conflicts there are."""
    return len(_cells(state)) + sum(1 for _ in _mixed(state))


def conflicts(state: State) -> Iterator[Conflict]:
    """All of them, in no particular order."""
    for entry, field in _cells(state):
        if isinstance(entry, JsonEntry):
            node = entry.nodes[field or b""]
            yield Conflict(entry.key, where(entry, node.field), entry.NAME, documents.siblings(state, node))
            continue
        if isinstance(entry, ListEntry):
            assert field is not None
            yield _element(state, entry, field)
            continue
        if isinstance(entry, HashEntry):
            assert field is not None
            found = strings.standing(state, entry.values[field], entry.dots.get(field) or -1)
            if isinstance(entry, StreamEntry):
                found = [one._replace(value=streams.described(field, one.value)) for one in found]
            field = where(entry, field)
        else:
            found = strings.siblings(state, entry.key) or []
        yield Conflict(entry.key, field, entry.NAME, found)
    for key in list(_mixed(state)):
        entries = [entry for entry in state.all_of(key) if entry.visible()]
        yield Conflict(key, None, entries[0].NAME, [_newest(state, entry) for entry in entries])


def where(entry: Entry, field: bytes) -> bytes:
    """A field as people write it: see Conflict; empty for what the removed entries of a stream left behind."""
    if isinstance(entry, JsonEntry):
        return documents.where(entry.nodes[field])
    if isinstance(entry, ListEntry):
        return b"%d" % entry.elements.index(field)
    if isinstance(entry, StreamEntry) and field != streams.META:
        return b"%d-%d" % streams.id_of(field)
    return field


def _element(state: State, entry: ListEntry, place: bytes) -> Conflict:
    """An element of a list that was set at several replicas at once."""
    state.name_pending()
    standing = lists.siblings(state, entry, place)
    found = [Sibling(value, state.name(dot).actor, milliseconds(state.hlc(dot))) for dot, value in standing]
    return Conflict(entry.key, where(entry, place), entry.NAME, found)


def _newest(state: State, entry: Entry) -> Sibling:
    """A type that stands under a key, by its last write."""
    state.name_pending()
    dot = max((dot for _, dot, _ in entry.rows()), key=lambda dot: (state.hlc(dot), state.name(dot)))
    return Sibling(entry.NAME.encode(), state.name(dot).actor, milliseconds(state.hlc(dot)))
