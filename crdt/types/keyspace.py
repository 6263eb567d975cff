"""What commands do to keys of any type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crdt.errors import NoSuchKeyError
from crdt.sampler import Sampler
from crdt.shards import Large
from crdt.state import State
from crdt.types import amounts, documents, expiry, hashes, sets, streams, strings, zsets
from crdt.types.counters import GrowCounterEntry, grow, grown
from crdt.types.flags import FlagEntry, enable
from crdt.types.hashes import HashEntry
from crdt.types.jsontree import JsonEntry
from crdt.types.lists import ListEntry, made
from crdt.types.sets import SetEntry
from crdt.types.streams import StreamEntry
from crdt.types.zsets import ZSetEntry

if TYPE_CHECKING:
    from random import Random


def exists(state: State, key: bytes) -> bool:
    """EXISTS."""
    return key in state.keys


def type_name(state: State, key: bytes) -> str | None:
    """TYPE; None if there is no such key."""
    entry = state.keys.get(key)
    return None if entry is None else entry.NAME


def keys(state: State) -> Large[Any]:
    """All keys, to be walked through; not to be changed, nor to be kept over a write."""
    return state.keys


def count(state: State) -> int:
    """DBSIZE."""
    return len(state.keys)


def random_key(state: State, rng: Random, sampler: Sampler | None = None) -> bytes | None:
    """RANDOMKEY; in O(1) with a sampler that is kept for the next time."""
    return (sampler or Sampler()).draw(state.keys, rng) if state.keys else None


def delete(state: State, key: bytes) -> bool:
    """DEL: remove what this replica has seen under the key, of every type. Whether there was such a key."""
    existed = key in state.keys
    if existed or key in state.expired:
        state.bury(key)
    return existed


def flush(state: State) -> int:
    """FLUSHDB: delete every key. How many there were."""
    names = list(state.keys)
    for key in [*names, *state.lifetimes]:
        state.bury(key)
    return len(names)


def copy(state: State, source: bytes, target: bytes, into: State | None = None) -> None:
    """Write what this replica reads under `source` as new rows under `target`, in another space if `into` is given.

    Raises NoSuchKeyError.
    """
    entry = state.keys.get(source)
    if entry is None:
        raise NoSuchKeyError
    into = into or state
    if source == target and into is state:
        return
    ends = expiry.deadline(state, source)
    if isinstance(entry, StreamEntry):
        entries, left = [(field, entry.words(state, field)) for field in entry.ids], entry.left(state)
        delete(into, target)
        streams.replace(into, target, entries, left)
    elif isinstance(entry, ZSetEntry):
        scores = zsets.items(state, source)
        delete(into, target)
        zsets.put(into, target, scores)
    elif isinstance(entry, HashEntry):
        pairs = hashes.items(state, source)
        delete(into, target)
        hashes.put(into, target, pairs)
    elif isinstance(entry, SetEntry):
        members = list(entry.dots)
        delete(into, target)
        sets.add(into, target, members, entry.__class__)
    elif isinstance(entry, JsonEntry):
        content = documents.value(state, entry.root)
        delete(into, target)
        documents.put(into, target, content)
    elif isinstance(entry, ListEntry):
        held = entry.shown(state, 0, len(entry.elements))
        delete(into, target)
        made(into, target, entry.__class__).add(into, 0, held)
    elif isinstance(entry, FlagEntry):
        delete(into, target)
        enable(into, target)
    elif isinstance(entry, GrowCounterEntry):
        value = min(grown(state, source), amounts.INT_MAX)
        delete(into, target)
        grow(into, target, value)
    else:
        text = strings.get(state, source)
        assert text is not None
        strings.put(into, target, text)
    expiry.renew(into, target, ends)


def rename(state: State, source: bytes, target: bytes) -> None:
    """RENAME: copy, then delete the source. Raises NoSuchKeyError."""
    copy(state, source, target)
    if source != target:
        delete(state, source)
