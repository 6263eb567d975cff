"""Snapshots: what is missing travels, what was removed goes, nothing is claimed that is not there."""

from __future__ import annotations

import msgpack
import pytest

from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica.snapshot import decode_snapshot, encode_snapshot
from crdt.state import State
from crdt.types import sets

A, B = Actor("a", 1), Actor("b", 2)


def state() -> State:
    made = State(A)
    made.begin(1000)
    sets.add(made, b"s", [b"%d" % i for i in range(10)])
    made.cut()
    sets.remove(made, b"s", [b"3"])
    sets.add(made, b"s", [b"x"])
    made.cut()
    return made


def test_a_newcomer_gets_everything() -> None:
    source, target = state(), State(B)
    snapshot = decode_snapshot(encode_snapshot(source, {}))
    target.join(snapshot.vector, snapshot.live, snapshot.rows)
    assert target.hash == source.hash and target.vector() == source.vector()


def test_only_rows_above_the_base_travel() -> None:
    source = state()
    snapshot = decode_snapshot(encode_snapshot(source, {A: 10}))
    assert snapshot.base == {A: 10} and sum(len(g) for g in snapshot.rows[A]) == 1
    assert len(list(snapshot.live[A])) == 10


def test_rows_that_are_not_claimed_are_refused() -> None:
    body, base = msgpack.unpackb(encode_snapshot(state(), {}))
    for change in ((2, 5), (3, [1, 2])):
        wrong = [list(entry) for entry in body]
        wrong[0][change[0]] = change[1]
        with pytest.raises(PeerError):
            decode_snapshot(msgpack.packb([wrong, base]))


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x92\x90", b"\x92\x91\x90\x90", b"\x92\x90\x91\x01"])
def test_garbage(data: bytes) -> None:
    with pytest.raises(PeerError):
        decode_snapshot(data)
