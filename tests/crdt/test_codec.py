"""Bytes: what is written is read, and anything else is refused without a trace, quickly and in little memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import codec, heads
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.state import State
from tests import strategies
from tests.crdt.algebra import check_books, rows_held
from tests.crdt.histories import World
from tests.strategies import steady

A = Actor("a", 1)


@steady
@given(strategies.frames())
def test_frames_round_trip(one: Frame) -> None:
    data = codec.encode_frame(one)
    assert codec.decode_frame(data) == one
    assert codec.encode_frame(codec.decode_frame(data)) == data


@steady
@given(strategies.frames())
def test_rows_round_trip(one: Frame) -> None:
    assert codec.decode_rows(codec.encode_rows(one.groups)) == one.groups


@steady
@given(strategies.runs)
def test_live_round_trip(runs: Runs) -> None:
    assert codec.decode_live(codec.encode_live(runs)) == runs


def test_nothing_live() -> None:
    assert codec.decode_live(codec.encode_live(Runs())) == Runs()


def test_a_frame_is_small() -> None:
    """Little more than the bytes that were written."""
    state = State(A)
    from crdt.types import sets

    members = [b"member-of-20-bytes%02d" % (i % 100) + b"%d" % i for i in range(1000)]
    sets.add(state, b"k", members)
    one = state.cut()
    assert one is not None
    assert len(codec.encode_frame(one)) < 1.1 * sum(len(member) + 2 for member in members)


# -- what must be refused ---------------------------------------------------------------------------------------------

ROW = [4, b"k", 0, [0, 0], [b"x"], None]
HEAD = b"\x01a" + bytes(7) + b"\x01" + bytes((heads.TAIL, 5, 2))  # a/1, 5 to 7
GOOD = [1000, [ROW], ["b", 2], [1, 7], [[1, [1, 2]]], [[[b"k"], [1, 3]]]]
MS, GROUPS, ACTORS, DEPS, REMOVES, RANGES, HEALS = range(7)


def spelt(tail: Any, head: bytes = HEAD) -> bytes:
    """A frame with anything at its end."""
    packed: bytes = msgpack.packb(tail)
    return head + packed


def changed(place: int, value: Any) -> bytes:
    """A good frame with one part of its tail replaced."""
    return spelt([*GOOD[:place], value, *GOOD[place + 1 :]])


def headed(head: bytes) -> bytes:
    """A good frame with another head."""
    return spelt(GOOD, head)


def with_row(place: int, value: Any) -> bytes:
    return changed(GROUPS, [[*ROW[:place], value, *ROW[place + 1 :]]])


def with_payload(payload: Any, code: int = 1) -> bytes:
    return changed(GROUPS, [[code, None, 0, [0, 0], [b"x"], [payload]]])


def ext(row: Any) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(row))


def test_the_good_frame_is_good() -> None:
    one = codec.decode_frame(spelt(GOOD))
    assert (one.actor, one.first, one.last) == (A, 5, 7)
    assert (one.deps, one.removes) == ({Actor("b", 2): 7}, {Actor("b", 2): Runs([1, 2])})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x00" * 50,
        spelt(GOOD)[:-1],
        spelt(GOOD) + b"\x00",
        spelt([*GOOD, [], 0]),
        spelt([]),
        spelt({}),
        spelt({str(i): i for i in range(6)}),
        spelt(5),
        headed(b""),
        headed(b"\x00" + HEAD[2:]),
        headed(b"\x41" + b"a" * 65 + HEAD[2:]),
        headed(b"\x01\xff" + HEAD[2:]),
        headed(HEAD[:-3] + bytes((0, 5, 2))),
        headed(HEAD[:-3] + bytes((0x44, 5, 2))),
        headed(HEAD[:-3] + bytes((0x84, 5, 2))),
        headed(HEAD[:-3] + bytes((heads.TAIL | heads.KEYED, 5, 2))),
        headed(HEAD[:-3] + bytes((heads.TAIL, 0, 2))),
        headed(HEAD[:-3] + bytes((heads.TAIL, 0x85, 0, 2))),
        headed(HEAD[:-3] + bytes((heads.TAIL,)) + b"\xff" * 9 + b"\x01"),
        headed(HEAD[:-3] + bytes((heads.TAIL,)) + heads.number(SEQ_MASK) + b"\1"),
        headed(HEAD[:-3] + bytes((heads.TAIL, 5)) + heads.number(1 << 62)),
        headed(HEAD[:-3] + bytes((heads.TAIL | heads.BACK, 5, 2, 0))),
        headed(HEAD[:-3] + bytes((heads.TAIL | heads.BACK, 5, 2, 5))),
        headed(HEAD[:-3] + bytes((heads.TAIL | heads.BACK, 5, 2))),
        changed(MS, -1),
        changed(MS, 1 << 48),
        changed(MS, None),
        changed(ACTORS, []),
        changed(ACTORS, ["b"]),
        changed(ACTORS, ["", 1]),
        changed(ACTORS, ["a" * 65, 1]),
        changed(ACTORS, [b"b", 2]),
        changed(ACTORS, ["b", -1]),
        changed(ACTORS, ["b", 1.0]),
        changed(ACTORS, ["b", True]),
        changed(ACTORS, ["a", 1]),
        changed(HEALS, [[1, 9, 1]]),
        changed(HEALS, [1, 9, 1]),
        changed(DEPS, [0, 7]),
        changed(DEPS, [2, 7]),
        changed(DEPS, [1]),
        changed(DEPS, [-1, 7]),
        changed(DEPS, msgpack.ExtType(1, b"ab")),
        changed(GROUPS, None),
        changed(GROUPS, 7),
        changed(REMOVES, [[1, []]]),
        changed(REMOVES, [[1, [0, 1]]]),
        changed(REMOVES, [[1, [1, 0]]]),
        changed(REMOVES, [[1, [1, 1, 0, 1]]]),
        changed(REMOVES, [[1, [1, SEQ_MASK + 1]]]),
        changed(REMOVES, [[1, [1]]]),
        changed(REMOVES, [[1, [1, 1]], [1, [5, 1]]]),
        changed(REMOVES, [[0, [8, 1]]]),
        changed(RANGES, [[[b"k", b"\x04", b"f"], [1, 3]]]),
        changed(RANGES, [[["k"], [1, 3]]]),
        changed(RANGES, [[[], [1, 3]]]),  # over everything
        changed(RANGES, [[b"k", [1, 3]]]),
        changed(RANGES, [[[b"k"], [0, 8]]]),
        with_row(0, 256),
        with_row(0, -1),
        with_row(0, 4.0),
        with_row(1, None),
        with_row(1, "k"),
        with_row(2, 3),
        with_row(2, -1),
        with_row(2, True),
        with_row(2, []),
        with_row(2, [0, 1]),
        with_row(3, []),
        with_row(3, [0]),
        with_row(3, [1 << 48, 0]),
        with_row(3, [0, 1 << 16]),
        with_row(3, [2, 0, 0]),
        with_row(3, [0, 0, 0, 1, 0, 0]),
        with_row(3, ["x", 0]),
        with_row(4, []),
        with_row(4, b"x"),
        with_row(4, ["x"]),
        with_row(4, [None]),
        with_row(5, [b"v"]),
        with_row(5, []),
        changed(GROUPS, [ROW, [4, b"l", 0, [0, 0], [b"y"], None]]),  # one dot, two rows
        changed(GROUPS, [[4, b"k", [0, 0], [0, 0], [b"x", b"y"], None]]),
        changed(GROUPS, [[4, b"k", [1, -1], [0, 0], [b"x", b"y"], None]]),
    ],
)
def test_malformed_frames(data: bytes) -> None:
    with pytest.raises(PeerError):
        codec.decode_frame(data)


@pytest.mark.parametrize(
    "payload",
    [
        None, 5, "v", 1.5, [], {}, True, msgpack.Timestamp(1, 2), msgpack.ExtType(1, b""),
        msgpack.ExtType(2, msgpack.packb([1, 1, 5])),
        ext(5), ext({}), ext([]), ext([3, 1, 5]), ext([True, 1, 5]), ext([1.0, 1, 5]), ext([1, 0, 5]), ext([1, 1, 5.0]),
        ext([1, 1]), ext([1, 1, 5, "a", 1]), ext([1, 1, "5"]), ext([1, 1, "NaN"]), ext([1, 1, "sNaN"]),
        ext([1, 1, "Infinity"]),
        ext([1, 1, "0.50"]), ext([1, 1, "1E+2"]), ext([1, 1, "1_0.5"]), ext([1, 1, "1E+999999999"]),
        ext([1, 1, "1E-999999999"]),
        ext([1, 1, 1 << 63]), ext([1, True, 5]), ext([2, 1, 1, 5]), ext([2, 1, 1, 5, "a", -1]),
        ext([2, 1, 0, 5, "a", 1]),
        ext([0, b"v", []]), ext([0, "v", [["a", 1, 1, 1, 5]]]), ext([0, b"v", [["a", 1, 1, 1, 5]] * 2]),
        ext([0, b"v", [["b", 1, 1, 1, 5], ["a", 1, 1, 1, 5]]]), ext([0, b"v", {"a": 1}]),
        ext([0, b"v", [["a", 1, 1, 1]]]),
        msgpack.ExtType(1, b"\x93\x01\x01\xcc\x05"), msgpack.ExtType(1, b"\x91" * 5000),
    ],
)  # fmt: skip
def test_malformed_numbers(payload: Any) -> None:
    for code in (1, 3):
        with pytest.raises(PeerError):
            codec.decode_frame(with_payload(payload, code))


@pytest.mark.parametrize("payload", [b"v", ext([0, b"v", [["a", 1, 1, 1, 5]]])])
def test_a_grow_only_counter_has_no_values(payload: Any) -> None:
    codec.decode_frame(with_payload(payload))
    with pytest.raises(PeerError):
        codec.decode_frame(with_payload(payload, code=3))


@pytest.mark.parametrize("amount", [5, -(2**63), str(2**63), "0.1", "-1E-7", "1" + "0" * 4500])
def test_amounts_that_pass(amount: Any) -> None:
    codec.decode_frame(with_payload((1, 1, 5) if amount == 5 else ext([1, 1, amount])))


def test_types_of_later_versions_pass() -> None:
    for key in (None, b"k"):
        for payload in (None, [b"v"], [msgpack.ExtType(7, b"")]):
            group = codec.decode_frame(changed(GROUPS, [[200, key, 0, [0, 0], [b"x"], payload]])).groups[0]
            assert (group.code, group.key, group.payloads) == (200, key, payload)


def test_a_few_bytes_cannot_claim_much() -> None:
    """Names of billions of dots are read in constant time and space, and so is their removal."""
    bombs = [
        changed(REMOVES, [[1, [1, SEQ_MASK]]]),
        headed(HEAD[:-1] + heads.number(SEQ_MASK - 10)),
        spelt([0, [[4, b"k", 0, [1 << 40, 0, 0], [b"x"], None]]]),
        changed(
            GROUPS, [[10, b"d", 0, [0, 0], [0, b"\0" + b"a" * 100_000, *[100_001, b""] * 100_000], [b"1"] * 100_001]]
        ),
        b"\xdd\x00\x0f\x00\x00" * 500 + b"\x00" * 100_000,
        b"\x91" * 100_000,
    ]
    tracemalloc.start()
    began = time.perf_counter()
    for data in bombs:
        try:
            one = codec.decode_frame(data)
        except PeerError:
            continue
        state = State(Actor("me", 1))
        state.intern(Actor("b", 2)).applied = 7
        state.apply(one)
    assert SEQ_MASK in codec.decode_live([1, SEQ_MASK])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
    assert time.perf_counter() - began < 5


# -- fuzz -------------------------------------------------------------------------------------------------------------


def read(data: bytes) -> None:
    """Whatever it is, it is read or refused."""
    for decode in (codec.decode_frame, codec.decode_rows):
        try:
            decode(data)
        except PeerError:
            pass


@steady
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    read(data)


@steady
@given(strategies.junk)
def test_arbitrary_messagepack(value: Any) -> None:
    read(msgpack.packb(value))
    read(spelt(value))


@steady
@given(st.lists(strategies.junk, min_size=8, max_size=8))
def test_frames_of_junk(parts: list[Any]) -> None:
    read(spelt(parts[:7]))
    for place, part in enumerate(parts):
        read(changed(place % len(GOOD), part))
        read(with_row(place % len(ROW), part))
        read(with_payload(part))
        read(with_payload(ext([part, 1, 5])))


def bitten(data: bytes, rng: random.Random) -> bytes:
    """A few bytes replaced, taken out or put in."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out))
        match rng.randrange(4):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + rng.randrange(1, 5)]
            case 2:
                out[at:at] = rng.randbytes(rng.randrange(1, 5))
            case _:
                out[at] ^= 1 << rng.randrange(8)
    return bytes(out) or b"\x00"


def disturbed(value: Any, rng: random.Random) -> Any:
    """The same structure with one leaf or branch replaced by another value."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        i = rng.randrange(len(value))
        return [*value[:i], disturbed(value[i], rng), *value[i + 1 :]]
    if type(value) is msgpack.ExtType and rng.random() < 0.8:
        return ext(disturbed(msgpack.unpackb(value.data), rng))
    choices = [0, 1, 2, 3, 7, -1, 1 << 40, b"", b"a", "a", None, [], [1, 1], [1, 1, 5], ext([1, 1, 5]), value]
    return rng.choice([*choices, value + 1 if type(value) is int else value])


def moved(data: bytes, rng: random.Random) -> bytes:
    """The same frame with one thing that it says changed."""
    head = heads.Head(data)
    lone, tail = head.lone(), head.tail()
    first, count, back = head.first, head.count, head.back
    match rng.randrange(6):
        case 0:
            first, count = max(1, first + rng.randrange(-2, 3)), max(1, count + rng.randrange(-1, 3))
        case 1:
            back = rng.choice([0, max(0, first - 1), first // 2, 1 % first])
        case 2 if lone is not None:
            row = list(lone)
            at = rng.randrange(7)
            row[at] = rng.choice([0, 1, 4, 10, 99, 1 << 40] if at < 4 else [b"", b"k", b"a", None][: 3 + (at != 5)])
            row[0] %= 256
            lone = row[0], row[1], row[2], row[3], row[4], row[5], row[6]
        case _ if tail is not None:
            tail = msgpack.packb(disturbed(msgpack.unpackb(tail), rng))
    back = back if back < first else 0
    return heads.author(head.actor) + heads.body(first, count, back, lone, tail or b"")


@pytest.mark.parametrize("seed", range(8))
def test_damaged_frames(seed: int) -> None:
    """What passes for a frame can be applied, and the books of the state are right afterwards."""
    rng = random.Random(seed)
    world = World(seed, sites=2)
    world.run(60)
    frames = [codec.encode_frame(one) for one in world.frames]
    accepted = 0
    for _ in range(400):
        data = rng.choice(frames)
        data = bitten(data, rng) if rng.random() < 0.3 else moved(data, rng)
        try:
            one = codec.decode_frame(data)
        except PeerError:
            continue
        assert codec.decode_frame(codec.encode_frame(one)) == one
        state = State(Actor("victim", 1))
        for good in world.frames:
            if state.ready(good) and good.actor != one.actor:
                state.apply(good)
        before, total = rows_held(state), state.hash
        if state.ready(one) and state.apply(one) is not None:
            accepted += 1
            assert check_books(state) == []
        else:
            assert (rows_held(state), state.hash) == (before, total)
    assert accepted > 10


def test_groups_are_checked_in_rows_too() -> None:
    good = codec.encode_rows([Group(4, b"k", [b"x", b"y"], None, [3, 9], [(2, 1 << 16)])])
    assert codec.decode_rows(good)[0].seqs == [3, 9]
    ms, groups = msgpack.unpackb(good)
    for bad in ([ms, groups * 2], [-1, groups], [ms, [[4, None, *groups[0][2:]]]], groups, None):
        with pytest.raises(PeerError):
            codec.decode_rows(msgpack.packb(bad))


@pytest.mark.parametrize("wrong", ["nothing is checked", "nothing is caught"])
def test_a_decoder_that_believes_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of invariant I15."""
    if wrong == "nothing is checked":
        monkeypatch.setattr(codec, "_require", lambda condition, what: None)
    else:
        monkeypatch.setattr(codec, "_DECODING", ())
    with pytest.raises(Exception) as caught:
        for seed in range(8):
            test_damaged_frames(seed)
    assert caught.type is not PeerError


M, N = ["m", 3], ["n", 4]
BASE_OF_M, BASE_OF_A = ext([2, 1, 1, 5, *M]), ext([2, 1, 1, 5, *A])
SET_OVER = ext([0, b"v", [[*A, 1, 1, 5], [*M, 1, 1, 5], [*M, 2, 2, 5], [*N, 1, 1, 5]]])


def test_a_frame_says_whom_its_counts_name() -> None:
    """Each once, in the order in which they come, and not its author."""
    both = [Actor("m", 3), Actor("n", 4)]
    for row, named in ((b"v", []), ((1, 1, 5), []), (BASE_OF_A, []), (BASE_OF_M, both[:1]), (SET_OVER, both)):
        assert codec.decode_frame(with_payload(row)).named == tuple(named)
        lone = Frame(A, 5, 7, {}, [Group(1, None, [b"x"], [row], [6], [(1, 1 << 16)])])
        assert codec.decode_frame(codec.encode_frame(lone)).named == tuple(named)
    fields = [2, b"h", 0, [0, 0], [b"f", b"g", b"h"], [b"v", SET_OVER, BASE_OF_M]]
    other = [12, b"y", 3, [0, 0], [bytes(16)], [BASE_OF_M]]
    assert codec.decode_frame(spelt([0, [fields, other]], HEAD[:-1] + bytes((9,)))).named == tuple(both)


def test_names_that_are_no_counts_of_anybody_are_not_listed() -> None:
    """A lifetime that names a value of an unknown actor names nothing; types that are not known are not looked into."""
    assert codec.decode_frame(with_payload(ext([0, 1000, [*M, 1]]), code=7)).named == ()
    assert codec.decode_frame(changed(GROUPS, [[200, None, 0, [0, 0], [b"x"], [BASE_OF_M]]])).named == ()


def test_numbers_in_documents_say_whom_they_name() -> None:
    """Of types whose every row is looked at, too."""
    over = ext([0, b"1", [[*N, 1, 1, 5]]])
    numbers = [[10, b"d", 0, [0, 0], [b"", b"\0a"], [b"{}", over]], [10, b"e", 2, [0, 0], [b""], [BASE_OF_M]]]
    assert codec.decode_frame(changed(GROUPS, numbers)).named == (Actor("n", 4), Actor("m", 3))
    plain = [[10, b"d", 0, [0, 0], [b"", b"\0a"], [b"{}", b"1"]]]
    assert codec.decode_frame(changed(GROUPS, plain)).named == ()


def test_rows_say_whom_their_counts_name() -> None:
    data = codec.encode_rows([Group(1, None, [b"x", b"y"], [SET_OVER, b"v"], [3, 9], [(2, 1 << 16)])])
    named: dict[Actor, None] = {}
    assert codec.decode_rows(data, named) == codec.decode_rows(data)
    assert list(named) == [A, Actor("m", 3), Actor("n", 4)]
