"""The hash of rows: fixed numbers, nothing left out, columns as their rows."""

from __future__ import annotations

import msgpack
from hypothesis import given

from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.hashing import counted, group_hash, row_hash
from tests import strategies
from tests.crdt.algebra import rows_of
from tests.strategies import steady


def test_the_hash_never_changes() -> None:
    """It is part of the wire version: these numbers are for ever."""
    seed = Actor("a", 1).seed()
    expected = {
        (4, b"key", b"member", None): 0x1A1AB2A9572F0AB9490827C9994E98FC,
        (1, b"key", None, b"value"): 0x2BE7D116B3539F9792E80053A5BB8E17,
        (2, b"key", b"field", b"value"): 0x79641C22934451EBA3C55D440AD24C98,
        (1, b"key", None, (1, 1, 5)): 0x59B1DB374A1DB568E6036BD293600C23,
        (1, b"key", None, msgpack.ExtType(1, b"\x93\x01\x01\x05")): 0xB7BA3E9E942194AF1FDD2074F5477DF0,
    }
    for row, number in expected.items():
        assert row_hash(seed, *row, 7, 1000 << 16) == number


def test_every_part_of_a_row_is_hashed() -> None:
    rows = [
        row_hash(seed, code, key, field, payload, seq, hlc)
        for seed in (Actor("a", 1).seed(), Actor("a", 2).seed())
        for code in (1, 2)
        for key in (b"k", b"l")
        for field in (None, b"f", b"g")
        for payload in (None, b"v", b"w", (1, 1, 5), (1, 1, 6), (1, 2, 5), counted(1, 1, 5), msgpack.ExtType(1, b"v"))
        for seq in (1, 2)
        for hlc in (1 << 16, 2 << 16)
    ]
    assert len(set(rows)) == len(rows)


@steady
@given(strategies.frames())
def test_columns_hash_as_their_rows(one: Frame) -> None:
    for group in one.groups:
        rows = [row for (_, seq), row in rows_of([group], one.actor)]
        total = sum(row_hash(3, *row[:4], seq, row[4]) for row, seq in zip(rows, group.seqs, strict=True))
        assert group_hash(3, group) == total


def test_columns_of_unknown_types() -> None:
    payloads = [None, b"v", msgpack.ExtType(1, b"v"), b"", (1, 1, 5)]
    for key in (None, b"k"):
        group = Group(200, key, [b"a", b"b", b"c", b"d", b"e"], payloads, [1, 2, 3, 9, 10], [(2, 7), (3, 8)])
        rows = [row for _, row in rows_of([group], Actor("a", 1))]
        assert group_hash(3, group) == sum(
            row_hash(3, *row[:4], seq, row[4]) for row, seq in zip(rows, group.seqs, strict=True)
        )
