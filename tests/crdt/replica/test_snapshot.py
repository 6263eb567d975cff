"""The bytes of a snapshot: parts that can be read alone, portions that fit, nothing that is not there."""

from __future__ import annotations

import msgpack
import pytest

from crdt.codec import decode_rows
from crdt.dots import Actor, Runs
from crdt.errors import PeerError
from crdt.frozen import Frozen
from crdt.replica.snapshot import decode_part, list_parts, portions
from crdt.state import State
from crdt.types import sets, strings

A = Actor("a", 1)


def state(count: int = 10, holes: int = 0) -> State:
    made = State(A)
    made.begin(1000)
    sets.add(made, b"s", [b"%d" % i for i in range(count)])
    made.cut()
    if holes:
        sets.remove(made, b"s", [b"%d" % i for i in range(0, count, holes)])
        made.cut()
    return made


@pytest.mark.parametrize("room", [40, 300, 60_000])
def test_parts_fit_and_say_the_same_whatever_their_size(room: int) -> None:
    source = state(3000, 3)
    parts = [part for part in list_parts(Frozen(source.actors.values(), {}), room) if part is not None]
    assert all(len(part) <= room for part in parts)
    decoded = [entry for part in parts for entry in decode_part(part)]
    assert {(actor, n) for actor, n, _ in decoded} == {(A, source.seq)}
    assert [seq for _, _, runs in decoded for seq in runs] == [i + 1 for i in range(3000) if i % 3]


def test_many_actors_share_a_part() -> None:
    source = State(A)
    for i in range(2000):
        source.advance(source.intern(Actor("x", i)), 7)
    parts = [part for part in list_parts(Frozen(source.actors.values(), {}), 60_000) if part is not None]
    assert len(parts) == 1 and len(decode_part(parts[0])) == 2000


@pytest.mark.parametrize("entry", [["a", 1, 5, 1, 9], ["a", 1, 0], ["a", 1, 5, 0, 1], ["a", 1], ["", 1, 5], 7,
                                   ["a", 1, "5"], ["a", 1, 5, 1], ["a", 1, 1 << 50]])  # fmt: skip
def test_a_list_that_cannot_be_is_refused(entry: object) -> None:
    good = ["a", 1, 5, 1, 2]
    assert decode_part(msgpack.packb([good])) == [(A, 5, Runs([1, 2]))]
    for data in (msgpack.packb([entry]), msgpack.packb([good, entry]), msgpack.packb(entry)):
        with pytest.raises(PeerError):
            decode_part(data)


def test_a_list_that_ends_early_is_refused() -> None:
    good: bytes = msgpack.packb([["a", 1, 5, 1, 2]])
    for wrong in (good[:-1], good + b"\xc0", b""):
        with pytest.raises(PeerError):
            decode_part(wrong)


def test_portions_cover_the_rows_and_fit() -> None:
    source = state(1000)
    strings.put(source, b"large", b"x" * 5000)
    source.cut()
    rows, _, _ = Frozen(source.actors.values(), {}).slice(source.me, 1, 2000, 2000)
    found = list(portions(rows, source.wires, 500))
    assert [last for last, _ in found] == sorted({last for last, _ in found}) and found[-1][0] == 1001
    seqs = [seq for _, data in found for group in decode_rows(data) for seq in group.seqs]
    assert seqs == list(range(1, 1002))
    assert [last for last, data in found if len(data) > 500] == [1001], "only a single row may be larger"
    assert list(portions([], source.wires, 500)) == []
