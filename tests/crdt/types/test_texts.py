"""Texts: the truth table, equality with a Python str, code points, many edits in the middle."""

from __future__ import annotations

from random import Random

import pytest

from crdt import codec, places
from crdt.dots import Actor
from crdt.errors import PeerError, UsageError, WrongTypeError
from crdt.frame import Group
from crdt.state import State
from crdt.types import keyspace, lists, texts
from crdt.types.texts import TextEntry
from tests.crdt.replicas import Replicas, table

K = b"k"


def do(state: State, words: str) -> None:
    verb, *args = words.split()
    if verb == "INSERT":
        texts.insert(state, K, int(args[0]), args[1])
    elif verb == "DELETE":
        texts.delete(state, K, int(args[0]), int(args[1]))
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


def exchange(states: list[State]) -> None:
    """Both get what the other has cut."""
    frames = [state.cut() for state in states]
    for state, frame in zip(states, reversed(frames), strict=True):
        if frame is not None:
            state.apply(frame)


def read(state: State) -> str | None:
    found = texts.get(state, K)
    return None if found is None else found.decode()


@pytest.mark.parametrize("row", table(texts), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    texts.insert(both[0], K, 0, "mn")
    both.exchange()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    assert both.agree(read) == row[2].partition(":")[0]


def test_one_replica_is_a_python_str() -> None:
    rng, state, model = Random(1), State(Actor("a", 1)), ""
    for _ in range(2000):
        index = rng.randint(0, len(model))
        if rng.random() < 0.6:
            new = "".join(rng.choice("aé€\U0001f600\x00") for _ in range(rng.randint(0, 5)))
            assert texts.insert(state, K, index, new) == len(model) + len(new)
            model = model[:index] + new + model[index:]
        else:
            count = rng.randint(0, 5)
            assert texts.delete(state, K, index, count) == len(model[index : index + count])
            model = model[:index] + model[index + count :]
        assert (read(state) or "") == model and texts.size(state, K) == len(model)
        assert (K in state.keys) == bool(model)
        if rng.random() < 0.05:
            state.cut()
    assert texts.get(state, K, 3, 9) == model[3:9].encode()


def test_what_is_refused_changes_nothing() -> None:
    state = State(Actor("a", 1))
    lists.push(state, b"list", [b"v"])
    texts.insert(state, K, 0, "mn")
    before = state.seq
    for index in (-1, 3, 1 << 70):
        with pytest.raises(UsageError, match="index out of range"):
            texts.insert(state, K, index, "x")
        with pytest.raises(UsageError, match="index out of range"):
            texts.delete(state, K, index, 1)
    for wrong in (
        lambda: texts.insert(state, b"list", 0, "x"), lambda: texts.delete(state, b"list", 0, 1),
        lambda: texts.get(state, b"list"), lambda: texts.size(state, b"list"), lambda: lists.push(state, K, [b"v"]),
    ):  # fmt: skip
        with pytest.raises(WrongTypeError):
            wrong()
    assert texts.get(state, b"absent") is None
    assert texts.insert(state, b"absent", 0, "") == texts.delete(state, b"absent", 0, 5) == 0
    assert state.seq == before


def test_copies_stay_texts() -> None:
    state = State(Actor("a", 1))
    texts.insert(state, K, 0, "m\u20ac")
    keyspace.copy(state, K, b"x")
    assert keyspace.type_name(state, b"x") == "text" and texts.get(state, b"x") == "m\u20ac".encode()


def test_many_edits_in_the_middle() -> None:
    """Typing in runs at random places of a long text, by two who hear of each other now and then."""
    states, rng = [State(Actor("a", 1)), State(Actor("b", 2))], Random(2)
    texts.insert(states[0], K, 0, "x" * 1000)
    for i in range(4000):
        state = states[i % 2]
        index = rng.randint(0, texts.size(state, K))
        texts.insert(state, K, index, "abc")
        texts.delete(state, K, max(0, index - 10), 2)
        if i % 20 == 0:
            exchange(states)
    exchange(states)
    entry = lists.of(states[0], K, TextEntry)
    assert entry is not None
    depths = [places.parse(place).depth for place in entry.elements.places(0, texts.size(states[0], K))]
    assert max(depths) < 20 and sum(depths) / len(depths) < 9  # it grows like the logarithm of the edits
    assert read(states[0]) == read(states[1]) and states[0].hash == states[1].hash


def test_a_text_travels_as_a_text() -> None:
    """A byte or little more for each character typed in a run, its place included."""
    state = State(Actor("a", 1))
    for i in range(10_000):
        texts.insert(state, K, i, "x\u20ac"[i % 10 == 0])
    frame = state.cut()
    assert frame is not None
    data = codec.encode_frame(frame)
    assert len(data) < 1.1 * len("".join("x\u20ac"[i % 10 == 0] for i in range(10_000)).encode())
    assert codec.decode_frame(data) == frame


@pytest.mark.parametrize(
    "payloads",
    [[b"ab", b"c"], [b"a", b""], [b"\xff", b"a"], [b"a", b"\xed\xa0\x80"], [b"\xe2", b"\xac"], None, [b"a", None], "a"],
)
def test_rows_of_a_peer_that_are_no_code_points(payloads: list[bytes] | None) -> None:
    new = places.between(None, None, places.seed_bytes(1), 1, 2)
    good = codec.encode_rows([Group(9, K, new, [b"a", b"b"], [1, 2], [(2, 1 << 16)])])
    assert codec.decode_rows(good)[0].payloads == [b"a", b"b"]
    column = codec.pack([0, [[9, K, 0, [1, 0], new, payloads]]])
    with pytest.raises(PeerError):
        codec.decode_rows(column)
    plain = codec.pack([0, [[9, K, 0, [1, 0], new, [b"a", b"b"]]]])  # as somebody passes it on who does not know texts
    assert codec.decode_rows(plain) == codec.decode_rows(good)
