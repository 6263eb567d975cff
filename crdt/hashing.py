"""The hash of rows: part of the wire version.

Knows: how one row, and a column of rows at once, becomes a number. The hash of a state is the sum of its rows' hashes
mod 2^128, so a row is added and taken out in O(1) and order does not matter.
Promises: the same number on every replica, whatever is installed: xxh3 with dot, type, key and time in the seed, and
the actor by its 64-bit seed, never by a local index. Against defects, not against forgery.
Must not know: state, entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count, repeat
from operator import add
from typing import Any, Final

import msgpack
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from crdt.dots import MASK_64
from crdt.frame import Group

CLOCK_FACTOR: Final = 0x9E3779B97F4A7C15  # odd, so that every timestamp keeps its 64 bits
_TYPE_FACTOR: Final = 0xC2B2AE3D27D4EB4F
STRUCTURED: Final = 0x165667B19E3779F9


def row_hash(actor_seed: int, code: int, key: bytes, field: bytes | None, payload: Any, seq: int, hlc: int) -> int:
    """128-bit hash of one row with this payload as it travels."""
    seed = (xxh3_64_intdigest(key, type_seed(actor_seed, code)) + hlc * CLOCK_FACTOR + seq) & MASK_64
    if payload is None:
        return xxh3_128_intdigest(field or b"", seed)
    if type(payload) is msgpack.ExtType:
        seed ^= STRUCTURED
        payload = payload.data
    if field is not None:
        seed = xxh3_64_intdigest(field, seed)
    return xxh3_128_intdigest(payload, seed)


def group_hash(actor_seed: int, group: Group) -> int:
    """Sum of the row hashes of a group (not reduced mod 2^128), a column at a time."""
    fields, payloads = group.fields, group.payloads
    seed = type_seed(actor_seed, group.code)
    seeds = _seeds(group, seed)
    if payloads is None:
        return sum(map(xxh3_128_intdigest, repeat(b"") if group.key is None else fields, seeds))
    kinds = set(map(type, payloads))
    if type(None) in kinds:  # in types that this version does not know
        return _mixed(actor_seed, group)
    if msgpack.ExtType in kinds:
        structured = [type(payload) is msgpack.ExtType for payload in payloads]
        seeds = [seed ^ STRUCTURED if one else seed for one, seed in zip(structured, seeds, strict=False)]
        payloads = [payload.data if one else payload for one, payload in zip(structured, payloads, strict=True)]
    if group.key is not None:
        seeds = map(xxh3_64_intdigest, fields, seeds)
    return sum(map(xxh3_128_intdigest, payloads, seeds))


def _seeds(group: Group, seed: int) -> Iterable[int]:
    """What the hash of each row begins with, in order. May exceed 64 bits: xxhash takes the lower ones (its README)."""
    seqs = group.seqs
    keys: Iterable[int]
    if group.key is None:
        keys = map(xxh3_64_intdigest, group.fields, repeat(seed))
        if len(group.stamps) == 1:
            shift = group.stamps[0][1] * CLOCK_FACTOR & MASK_64
            return map(add, keys, map(shift.__add__, seqs))
    else:
        key = xxh3_64_intdigest(group.key, seed)
        if len(group.stamps) == 1:
            first = key + group.stamps[0][1] * CLOCK_FACTOR & MASK_64
            if seqs[-1] - seqs[0] + 1 == len(seqs):
                return count(first + seqs[0])
            return map(first.__add__, seqs)
        keys = repeat(key)
    shifts = chain.from_iterable(repeat(hlc * CLOCK_FACTOR & MASK_64, n) for n, hlc in group.stamps)
    return map(add, keys, map(add, shifts, seqs))


def _mixed(actor_seed: int, group: Group) -> int:
    columns = zip(group.fields, group.payloads or (), group.seqs, group.hlcs(), strict=True)
    if group.key is None:
        return sum(row_hash(actor_seed, group.code, name, None, p, seq, hlc) for name, p, seq, hlc in columns)
    return sum(row_hash(actor_seed, group.code, group.key, name, p, seq, hlc) for name, p, seq, hlc in columns)


def type_seed(actor_seed: int, code: int) -> int:
    """What the hashes of all rows of one actor and type begin with."""
    return actor_seed ^ (code * _TYPE_FACTOR & MASK_64)
