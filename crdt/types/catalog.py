"""The one place where a type is announced: wire code -> entry class. The laws, the codec and the docs read it."""

from __future__ import annotations

from typing import Final

from crdt.entry import Entry
from crdt.types.counters import GrowCounterEntry
from crdt.types.expiry import ExpiryEntry
from crdt.types.flags import FlagEntry
from crdt.types.hashes import HashEntry
from crdt.types.jsontree import JsonEntry
from crdt.types.lists import ListEntry
from crdt.types.sets import GrowSetEntry, SetEntry
from crdt.types.streams import StreamEntry
from crdt.types.strings import StringEntry
from crdt.types.texts import TextEntry
from crdt.types.zsets import ZSetEntry

CATALOG: Final[dict[int, type[Entry]]] = {
    cls.CODE: cls
    for cls in (
        StringEntry,
        HashEntry,
        GrowCounterEntry,
        SetEntry,
        GrowSetEntry,
        FlagEntry,
        ExpiryEntry,
        ListEntry,
        TextEntry,
        JsonEntry,
        ZSetEntry,
        StreamEntry,
    )
}


def entry_class(code: int) -> type[Entry] | None:
    """The type of this wire code, None if this version does not know it."""
    return CATALOG.get(code)
