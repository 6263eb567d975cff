"""Payloads of numbers on the wire: one form each, and nothing else is let through."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given

from crdt.dots import SEQ_MASK, Actor
from crdt.state import State
from crdt.types import amounts, numberwire
from crdt.types.numberwire import COUNT, check, decode, encode
from tests import strategies
from tests.strategies import steady


@steady
@given(strategies.amounts)
def test_amounts_have_one_form(a: amounts.Amount) -> None:
    text = numberwire._out(a)
    assert numberwire._amount(text)
    assert numberwire._in(text) == a
    assert type(numberwire._in(text)) is type(a)


AMOUNTS = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, -1, -(1 << 63)]


@pytest.mark.parametrize("total", [*AMOUNTS, "1.5", "9223372036854775808"])
@pytest.mark.parametrize("lineage", [1, 0x7F, 0x80, 0x100, 0x10000, 1 << 32, SEQ_MASK])
def test_a_count_is_read_as_it_was_packed(lineage: int, total: int | str) -> None:
    data = msgpack.packb([COUNT, lineage, total])
    state = State(Actor("a", 1))
    dot = state.intern(Actor("b", 2)).base + 9
    assert check(msgpack.ExtType(1, data))
    assert decode(state, data, dot) == (COUNT, (dot & ~SEQ_MASK) + lineage, numberwire._in(total))
    assert encode(state, decode(state, data, dot), dot) == msgpack.ExtType(1, data)


def _unread(data: bytes) -> bool:
    """Whether the count is canonical, by unpacking it all."""
    try:
        row = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException, msgpack.ExtraData):
        return False
    numbers = type(row) is list and len(row) == 3 and all(type(item) is int for item in row)
    return (
        numbers and msgpack.packb(row) == data and row[0] == COUNT and 0 < row[1] <= SEQ_MASK
        and -(1 << 63) <= row[2] < 1 << 63
    )  # fmt: skip


def test_what_is_no_canonical_count_is_refused_whichever_way_it_is_read() -> None:
    heads = [b"\x7f", b"\xcc\x7f", b"\xcc\x80", b"\xcd\0\xff", b"\xcd\1\0", b"\xce\0\0\xff\xff", b"\xce\0\1\0\0"]
    heads += [
        b"\xcf" + bytes(4) + b"\xff" * 4,
        b"\xcf\0\0\0\1" + bytes(4),
        b"\xcf" + b"\xff" * 8,
        b"\xcd\1",
        b"\xcc",
        b"",
    ]
    heads += [b"\0", b"\xff", b"\xd0\x80", b"\xc0", b"\xcf\0\0\4" + bytes(5), b"\xcf\0\0\3" + b"\xff" * 5]
    for lineage in heads:
        for total in heads:
            for data in (b"\x93\1" + lineage + total, b"\x93\1" + lineage + total + b"\0", b"\x92\1" + lineage + total):
                assert check(msgpack.ExtType(1, data), (COUNT,)) == _unread(data), data
