"""The hash of rows: part of the wire version.

Knows: how one row, and a column of rows at once, becomes a number. The hash of a state is the sum of its rows' hashes
mod 2^128, so a row is added and taken out in O(1) and order does not matter.
Promises: the same number on every replica, whatever is installed: xxh3 with actor, type, key, time and number in the
seed, and the actor by its own seed, never by a local index. Against defects, not against forgery.
Must not know: state, entries.

A row's name is its field or, of a type with a cell per key, its key; what stands above the name is its scope: actor and
type, and the key where names are fields. An actor's timestamps do not fall from one row to the next (but for rows that
healing writes anew, with their old time), so a plain sum tells time and number of the rows of one scope apart. It stays
below 2^62: compiled, greater ints are objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat, starmap
from operator import add, itemgetter
from struct import Struct
from typing import Any, Final

import msgpack
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from crdt.frame import Group

SEED_MASK: Final = (1 << 60) - 1
STRUCTURED: Final = 1 << 61  # added to the seeds of structured payloads and counts
_TYPE_FACTOR: Final = 0xC2B2AE3D27D4EB4F
_data = itemgetter(1)  # of a msgpack.ExtType
counted = Struct("<Bqq").pack  # what is hashed of a count


def type_scope(actor_seed: int, code: int) -> int:
    """What the rows of one actor and type have in common."""
    return (actor_seed ^ code * _TYPE_FACTOR) & SEED_MASK


def key_scope(scope: int, key: bytes) -> int:
    """... and of one key, where names are fields."""
    return xxh3_64_intdigest(key, scope) & SEED_MASK


def row_hash(actor_seed: int, code: int, key: bytes, field: bytes | None, payload: Any, seq: int, hlc: int) -> int:
    """128-bit hash of one row with this payload as it travels."""
    scope, name = type_scope(actor_seed, code), key
    if field is not None:
        scope, name = key_scope(scope, key), field
    seed = (scope + hlc & SEED_MASK) + seq
    if payload is None:
        return xxh3_128_intdigest(name, seed)
    if type(payload) is msgpack.ExtType:
        payload, seed = payload.data, seed + STRUCTURED
    elif type(payload) is tuple:
        payload, seed = counted(*payload), seed + STRUCTURED
    return xxh3_128_intdigest(payload, xxh3_64_intdigest(name, seed))


def group_hash(actor_seed: int, group: Group) -> int:
    """Sum of the row hashes of a group (not reduced mod 2^128), a column at a time."""
    names, payloads = group.fields, group.payloads
    scope = type_scope(actor_seed, group.code)
    if group.key is not None:
        scope = key_scope(scope, group.key)
    if payloads is None:
        return sum(map(xxh3_128_intdigest, names, _seeds(group, scope, 0)))
    kinds = set(map(type, payloads))
    mark = 0
    if kinds == {tuple}:
        payloads, mark = list(starmap(counted, payloads)), STRUCTURED
    elif kinds == {msgpack.ExtType}:
        payloads, mark = list(map(_data, payloads)), STRUCTURED
    elif kinds != {bytes}:
        return _mixed(actor_seed, group)
    return sum(map(xxh3_128_intdigest, payloads, map(xxh3_64_intdigest, names, _seeds(group, scope, mark))))


def _seeds(group: Group, scope: int, mark: int) -> Iterable[int]:
    """What the hash of each row begins with, in order."""
    seqs, stamps = group.seqs, group.stamps
    if len(stamps) == 1 and seqs[-1] - seqs[0] + 1 == len(seqs):
        first = (scope + stamps[0][1] & SEED_MASK) + seqs[0] + mark
        return range(first, first + len(seqs))
    return map(add, chain.from_iterable(repeat((scope + hlc & SEED_MASK) + mark, n) for n, hlc in stamps), seqs)


def _mixed(actor_seed: int, group: Group) -> int:
    """`group_hash` where payloads are of several kinds."""
    payloads = group.payloads or ()
    total = 0
    for name, payload, seq, hlc in zip(group.fields, payloads, group.seqs, group.hlcs(), strict=True):
        key, field = (name, None) if group.key is None else (group.key, name)
        total += row_hash(actor_seed, group.code, key, field, payload, seq, hlc)
    return total
