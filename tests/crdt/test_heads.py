"""How a frame begins: small, read as it was written, refused where it says anything else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import codec, heads
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.heads import Head
from crdt.state import State
from crdt.types import counters, sets, strings
from tests.strategies import actors, steady

A = Actor("a", 1)
MS = 1_700_000_000_000
numbers = st.integers(0, (1 << 62) - 1) | st.integers(0, 300)
extensions = st.builds(lambda data: msgpack.ExtType(1, data), st.binary(max_size=5))
rows = st.tuples(
    st.integers(0, 255), numbers, st.integers(0, (1 << 48) - 1), st.sampled_from([0, 1, 65_535]),
    st.none() | st.binary(max_size=200), st.binary(max_size=200), st.none() | st.binary(max_size=200) | extensions,
)  # fmt: skip


@steady
@given(actors, st.integers(2, 1 << 42), st.integers(1, 1 << 42), st.none() | rows, st.binary(max_size=9), st.data())
def test_there_and_back(actor: Actor, first: int, count: int, lone: Any, tail: bytes, data: st.DataObject) -> None:
    back = data.draw(st.integers(0, first - 1))
    if count == 1 and lone is not None:
        lone = (lone[0], 0, *lone[2:])
    head = Head(heads.author(actor) + heads.body(first, count, back, lone, tail))
    assert (head.actor, head.first, head.count, head.back) == (actor, first, count, back)
    assert (head.lone(), head.tail() or b"") == (lone, tail)


@steady
@given(st.binary(max_size=300))
def test_parts_make_the_whole(data: bytes) -> None:
    author, body = heads.parted(data)
    assert author + body == data
    whole = heads.author(A) + data
    if len(data) >= heads.SMALLEST:
        assert heads.parted(whole) == (heads.author(A), data)


def small() -> list[tuple[str, Frame, int]]:
    """Frames of one row or none, and how many bytes may stand beside what they say: type, dot, time and lengths."""
    state = State(Actor("pump-3", 0xDEADBEEF12345678))
    out = []

    def cut(what: str, said: int) -> None:
        frame = state.cut()
        assert frame is not None
        out.append((what, frame, said))
        state.begin(state.clock.wall_ms + 100)

    state.begin(MS)
    for _ in range(1000):
        counters.incr(state, b"counter", 1)
    cut("a counter", 7 + 6)
    counters.incr(state, b"counter", 1)
    cut("the counter again", 7 + 8)
    sets.add(state, b"set", [b"m" * 20])
    cut("an element", 3 + 20)
    strings.put(state, b"key", b"v" * 20)
    cut("a value", 3 + 20)
    strings.put(state, b"key", b"w" * 20)
    cut("another value", 3 + 20)
    sets.remove(state, b"set", [b"m" * 20])
    cut("a removal", 0)
    return out


@pytest.mark.parametrize(("what", "frame", "said"), small(), ids=lambda part: part if type(part) is str else "")
def test_frames_of_one_row_are_small(what: str, frame: Frame, said: int) -> None:
    data = codec.encode_frame(frame)
    _, body = heads.parted(data)
    assert len(body) <= said + 14
    assert codec.decode_frame(data) == frame


BAD_COUNTS = [(0, 5), (SEQ_MASK + 1, 5), (1, 1 << 62), (1, -(1 << 62))]  # lineage, total
OTHERS: bytes = msgpack.packb([0, [[200, None, 0, [0, 0], [b"g"], None]]])


def one(payload: Any, key: bytes | None = b"k", code: int = 200) -> Frame:
    return Frame(A, 5, 5, {}, [Group(code, key, [b"f"], payload, [5], [(1, MS << 16)])])


@pytest.mark.parametrize(
    "payloads", [None, [None], [b""], [b"v"], [msgpack.ExtType(1, b"")], [msgpack.ExtType(2, b"x")]]
)
@pytest.mark.parametrize("removes", [{}, {A: Runs([3])}, {A: Runs([3, 4])}, {A: Runs([5])}, {Actor("b", 2): Runs([1])}])
def test_rows_alone_with_anything_beside_them(payloads: Any, removes: dict[Actor, Runs]) -> None:
    frame = one(payloads)
    frame.removes = removes
    data = codec.encode_frame(frame)
    assert codec.decode_frame(data) == frame
    assert codec.encode_frame(codec.decode_frame(data)) == data


def test_every_shorter_and_every_longer_one_is_refused() -> None:
    for payloads in (None, [b"v"], [msgpack.ExtType(1, b"x")]):
        for key in (None, b"k"):
            frame = one(payloads, key)
            frame.removes = {A: Runs([3])}
            for deps in ({}, {Actor("b", 2): 7}):
                frame.deps = deps
                data = codec.encode_frame(frame)
                for wrong in [data[:length] for length in range(len(data))] + [data + b"\0", data + b"\x90"]:
                    with pytest.raises(PeerError):
                        codec.decode_frame(wrong)


@pytest.mark.parametrize(
    "body",
    [
        heads.body(5, 2, 0, (200, 2, MS, 0, None, b"f", None), b""),  # before what it claims
        heads.body(5, 1, 0, (200, 0, 1 << 48, 0, None, b"f", None), b""),  # a time beyond all times
        heads.body(5, 1, 0, (200, 0, MS, 1 << 16, None, b"f", None), b""),
        heads.body(5, 1, 0, (4, 0, MS, 0, None, b"f", None), b""),  # a set without a key
        heads.body(5, 1, 0, (1, 0, MS, 0, None, b"f", None), b""),  # a string without a value
        heads.body(5, 2, 0, (200, 0, MS, 0, None, b"f", None), OTHERS),  # not alone
        heads.body(5, 1, 3, None, msgpack.packb([0, [], [], [], [[0, [3, 1]]]])),  # removals of one actor said twice
        bytes((heads.LONE | heads.ONE, 5, 200, 1, 0, 1, ord("f"))),  # a counter of 0 said
        bytes((heads.LONE, 5, 0, 200, 0, 2, 1, ord("f"))),  # one operation said as several
        bytes((heads.PLAIN | heads.ONE, 5)),
        *(heads.body(5, 1, 0, (1, 0, MS, 0, None, b"f", (1, *count)), b"") for count in BAD_COUNTS),
    ],
)  # fmt: skip
def test_hostile_short_forms_are_refused(body: bytes) -> None:
    with pytest.raises(PeerError):
        codec.decode_frame(heads.author(A) + body)


def test_a_lone_row_that_is_believed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without its check, a row outside of what its frame claims would pass."""
    monkeypatch.setattr(codec, "_require", lambda condition, what: None)
    with pytest.raises(pytest.fail.Exception):
        test_hostile_short_forms_are_refused(heads.body(5, 2, 0, (200, 2, MS, 0, None, b"f", None), b""))
