"""OBJECT ENCODING and MEMORY USAGE: what Redis would say of a value, and what one takes here.

The encoding is the one that Redis gives a value of this content that was just written; Redis also remembers how it came
about (a set that was large stays a hashtable). Must not know sessions.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final

from crdt.state import State
from crdt.types import counters, hashes, keyspace, lists, sets, streams, strings, texts, zsets
from crdt.types.amounts import parse_int
from crdt.types.jsontree import JsonEntry

EMBEDDED: Final = 44  # the longest string that Redis keeps beside its header
COMPACT_ENTRIES: Final = 512
COMPACT_MEMBERS: Final = 128  # of a sorted set
COMPACT_VALUE: Final = 64
# Measured: bytes of the objects around one value.
_ENTRY: Final = 160
_ROW: Final = 130


def encoding(state: State, key: bytes) -> bytes | None:
    """The name of the encoding, None if there is no such key."""
    kind = keyspace.type_name(state, key)
    if kind is None:
        return None
    if kind == "string":
        text = strings.get(state, key) or b""
        return b"int" if parse_int(text) is not None else b"embstr" if len(text) <= EMBEDDED else b"raw"
    if kind == "hash":
        return b"listpack" if compact_hash(state, key) else b"hashtable"
    if kind == "ReJSON-RL":
        return b"raw"
    if kind == "stream":
        return b"stream"
    if kind == "zset":
        return b"listpack" if compact_zset(state, key) else b"skiplist"
    if kind == "set":
        return b"intset" if compact_set(state, key) else b"hashtable"
    if kind in ("list", "text"):
        return b"quicklist"
    return b"hashtable" if kind == "gset" else b"int"


def compact_set(state: State, key: bytes) -> bool:
    """Whether Redis would hold the set as a sorted array of integers: then SSCAN returns it in one piece."""
    members = sets.live(state, key)
    return len(members) <= COMPACT_ENTRIES and all(parse_int(member) is not None for member in members)


def compact_hash(state: State, key: bytes) -> bool:
    """Whether Redis would hold the hash as one list: then HSCAN returns it in one piece."""
    return hashes.size(state, key) <= COMPACT_ENTRIES and all(
        len(field) <= COMPACT_VALUE and len(value) <= COMPACT_VALUE for field, value in hashes.items(state, key)
    )


def compact_zset(state: State, key: bytes) -> bool:
    """Whether Redis would hold the sorted set as one list: then ZSCAN returns it in one piece."""
    return zsets.size(state, key) <= COMPACT_MEMBERS and all(
        len(member) <= COMPACT_VALUE for member in zsets.live(state, key)
    )


def usage(state: State, key: bytes, samples: int) -> int | None:
    """Bytes that the key takes in memory, estimated from `samples` of its elements (0: all); None if there is none."""
    kind = keyspace.type_name(state, key)
    if kind is None:
        return None
    if kind == "hash":
        fields = hashes.live(state, key)
        some = islice(fields, samples or None)
        sizes = [len(field) + len(hashes.get(state, key, field) or b"") for field in some]
        return _ENTRY + len(key) + _estimate(sizes, len(fields))
    if kind == "stream":
        return _ENTRY + len(key) + streams.size(state, key) * 2 * _ROW
    if kind in ("set", "gset", "zset"):
        members = _members(state, key, kind)
        return _ENTRY + len(key) + _estimate([len(m) for m in islice(members, samples or None)], len(members))
    if kind == "list":
        values = lists.values(state, key, 0, samples or None)
        return _ENTRY + len(key) + _estimate([len(value) for value in values], lists.size(state, key))
    if kind == "text":
        return _ENTRY + len(key) + _ROW * texts.size(state, key)
    document = state.keys[key]
    if isinstance(document, JsonEntry):
        nodes = islice(document.nodes.values(), samples or None)
        return (
            _ENTRY + len(key) + _estimate([len(n.field) + sum(map(len, n.texts())) for n in nodes], len(document.nodes))
        )
    if kind == "string":
        return _ENTRY + len(key) + len(strings.get(state, key) or b"")
    return _ENTRY + len(key) + (len(str(counters.grown(state, key))) if kind == "gcount" else 0)


def _members(state: State, key: bytes, kind: str) -> Collection[bytes]:
    if kind == "zset":
        return zsets.live(state, key)
    return sets.live(state, key, sets.GROW if kind == "gset" else sets.SetEntry)


def _estimate(sizes: list[int], count: int) -> int:
    return count * _ROW + (sum(sizes) * count // len(sizes) if sizes else 0)
