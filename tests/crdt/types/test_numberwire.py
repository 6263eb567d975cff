"""Payloads of numbers on the wire: one form each, and nothing else is let through."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given

from crdt.codec import decode_actor, decode_frame, encode_frame
from crdt.dots import MASK_64, MAX_NAME, SEQ_MASK, Actor
from crdt.entry import LARGEST
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.hashing import group_hash
from crdt.state import State
from crdt.types import amounts, numberwire
from crdt.types.numberwire import COUNT, FOSTER, check, content, decode, encode
from tests import strategies
from tests.strategies import steady


@steady
@given(strategies.amounts)
def test_amounts_have_one_form(a: amounts.Amount) -> None:
    text = numberwire._out(a)
    assert numberwire._amount(text)
    assert numberwire._in(text) == a
    assert type(numberwire._in(text)) is type(a)


SMALL = [0, 1, 0x7F, 0x80, 0xFFFF, 1 << 32, LARGEST, -1, -LARGEST]
LARGE = [LARGEST + 1, -LARGEST - 1, (1 << 63) - 1, -(1 << 63), 1 << 63, 1 << 70, -(1 << 70)]


@pytest.mark.parametrize("total", [*SMALL, *LARGE])
@pytest.mark.parametrize("lineage", [1, 0x7F, 0x80, 0x100, 0x10000, 1 << 32, SEQ_MASK])
@pytest.mark.parametrize("many", [False, True])
def test_a_count_is_read_as_it_was_written(lineage: int, total: int, many: bool) -> None:
    state, raw = State(Actor("a", 1)), (COUNT, lineage, total)
    payload = encode(state, raw)
    assert (payload is raw) == (total in SMALL)
    assert check(payload)
    assert decode(state, payload) == raw
    fields, payloads = ([b"k", b"l", b"m"], [b"v", payload, payload]) if many else ([b"k"], [payload])
    group = Group(1, None, fields, payloads, [4, 5, 6][: len(fields)], [(len(fields), 1 << 20)])
    frame = Frame(Actor("a", 1), 4, 3 + len(fields), groups=[group])
    (found,) = decode_frame(encode_frame(frame)).groups
    assert found == group
    assert group_hash(7, found) == group_hash(7, group)
    kept = payload.data if isinstance(payload, msgpack.ExtType) else payload
    assert content(state, raw) == (kept if type(kept) is bytes else numberwire.counted(*raw))


BAD = [
    (), (COUNT,), (COUNT, 1), (COUNT, 1, 5, 1), (0, 1, 5), (2, 1, 5), (FOSTER, 1, 5), (COUNT, 0, 5), (COUNT, -1, 5),
    (COUNT, SEQ_MASK + 1, 5), (COUNT, 1, LARGEST + 1), (COUNT, 1, -LARGEST - 1), (COUNT, 1, 1 << 63),
    (True, 1, 5), (COUNT, True, 5), (COUNT, 1, True), (1.0, 1, 5), (COUNT, 1.0, 5), (COUNT, 1, 5.0), (COUNT, 1, "5"),
    (COUNT, 1, None), (COUNT, b"1", 5), (COUNT, 1, (5,)),
]  # fmt: skip


@pytest.mark.parametrize("payload", BAD)
@pytest.mark.parametrize("beside", [[], [b"v"], [(COUNT, 1, 5)]])
@pytest.mark.parametrize("code", [1, 3, 200])
def test_what_is_no_count_is_refused(payload: Any, beside: list[Any], code: int) -> None:
    assert not check(payload)
    payloads = [*beside, payload, *beside]
    fields = [b"%d" % i for i in range(len(payloads))]
    key = b"k" if code == 200 else None
    group = Group(code, key, fields, payloads, list(range(1, 1 + len(fields))), [(len(fields), 7)])
    other = Group(4, b"s", [b"m"], None, [9], [(1, 7)])
    with pytest.raises(PeerError):
        decode_frame(encode_frame(Frame(Actor("a", 1), 1, 9, groups=[group, other])))


@pytest.mark.parametrize("total", [*SMALL, *LARGE])
def test_a_count_has_one_form(total: int) -> None:
    """Those that are sent as they are held are refused as bytes, or two replicas could hash one count differently."""
    assert check(msgpack.ExtType(1, msgpack.packb([COUNT, 1, numberwire._out(total)]))) == (total in LARGE)


M, N = Actor("m", 3), Actor("n", 4)
NAMED: list[tuple[Any, list[Actor]]] = [
    (b"5", []),
    ((COUNT, 1, 5), []),
    ([COUNT, 1, "1.5"], []),
    ([numberwire.BASE, 1, 2, 5, *M], [M]),
    ([FOSTER, 1, 2, 5, *N], [N]),
    ([numberwire.SET, b"5", [[*M, 1, 2, 5], [*M, 2, 2, 5], [*N, 1, 2, 5]]], [M, M, N]),
]


@pytest.mark.parametrize(("row", "actors"), NAMED)
def test_whom_a_payload_names(row: Any, actors: list[Actor]) -> None:
    payload = msgpack.ExtType(1, msgpack.packb(row)) if isinstance(row, list) else row
    assert isinstance(payload, bytes) or check(payload)
    assert numberwire.named(payload) == actors


LONGEST = "x" * MAX_NAME
NO_ACTORS = [["", 1], [LONGEST + "x", 1], [b"m", 1], ["m", -1], ["m", "1"]]


@pytest.mark.parametrize("kind", [numberwire.SET, numberwire.BASE, FOSTER])
def test_whom_a_payload_names_can_be_an_actor(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a frame's own table can name: a name that waits takes what a name takes, not megabytes."""

    def naming(actor: list[Any]) -> msgpack.ExtType:
        row = [kind, b"5", [[*actor, 1, 2, 5]]] if kind == numberwire.SET else [kind, 1, 2, 5, *actor]
        return msgpack.ExtType(1, msgpack.packb(row))

    for good in ([LONGEST, MASK_64], ["m", 0]):
        assert check(naming(good)) and decode_actor(*good) == Actor(*good)
    for bad in NO_ACTORS:
        assert not check(naming(bad))
        with pytest.raises(ValueError):
            decode_actor(*bad)
    long = Frame(Actor("a", 1), 1, 1, {}, [Group(1, None, [b"k"], [naming(["x" * 10_000, 1])], [1], [(1, 1 << 26)])])
    with pytest.raises(PeerError):
        decode_frame(encode_frame(long))
    monkeypatch.setattr(numberwire, "is_actor", lambda name, nonce: True)
    assert decode_frame(encode_frame(long)).named == (Actor("x" * 10_000, 1),)
