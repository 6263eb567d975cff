"""Frames and merging them, case by case. The general law is in test_laws.py."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given

from crdt.dots import Actor, Runs
from crdt.frame import Frame, Group, covered, merge, overlap, plain, stamps_of
from tests import strategies
from tests.strategies import steady

A, B = Actor("a", 1), Actor("b", 2)
COUNT = (1, 1, 5)
BASE = msgpack.ExtType(1, msgpack.packb([2, 1, 1, 5, "b", 2]))
VALUE = msgpack.ExtType(1, msgpack.packb([0, b"v", [["b", 2, 1, 1, 5]]]))


def members(key: bytes, *seqs: int) -> Group:
    """Members of a set, named after their sequence numbers."""
    return Group(4, key, [b"%d" % seq for seq in seqs], None, list(seqs), [(len(seqs), 7)])


def strings(**values: tuple[int, Any]) -> Group:
    """String keys: name = (seq, payload)."""
    seqs = [seq for seq, _ in values.values()]
    return Group(1, None, [k.encode() for k in values], [p for _, p in values.values()], seqs, [(len(seqs), 7)])


def rows(one: Frame) -> dict[int, tuple[bytes | None, bytes, int]]:
    """seq -> key, field, timestamp."""
    return {
        seq: (group.key, field, hlc)
        for group in one.groups
        for seq, field, hlc in zip(group.seqs, group.fields, group.hlcs(), strict=True)
    }


def test_merging_keeps_what_each_brings() -> None:
    first = Frame(A, 1, 3, {B: 4}, [members(b"s", 1, 2), members(b"t", 3)], {B: Runs([2])})
    second = Frame(A, 4, 5, {}, [members(b"s", 5)], {B: Runs([1, 4])})
    one = merge([first, second])
    assert (one.actor, one.first, one.last, one.deps) == (A, 1, 5, {B: 4})
    assert rows(one) == {n: (b"t" if n == 3 else b"s", b"%d" % n, 7) for n in (1, 2, 3, 5)}
    assert one.removes == {B: Runs([1, 2, 4])}
    assert len(one.groups) == 2, "rows of one key travel in one column"


def test_what_a_later_frame_removes_is_not_carried_but_named() -> None:
    """Somebody may have applied the first frame alone."""
    one = merge([Frame(A, 1, 2, {}, [members(b"s", 1, 2)]), Frame(A, 3, 3, removes={A: Runs([1])})])
    assert set(rows(one)) == {2}
    assert one.removes == {A: Runs([1])}


def test_a_frame_does_not_remove_what_comes_after_it() -> None:
    one = merge([Frame(A, 2, 2, removes={A: Runs([1])}), Frame(A, 3, 3, {}, [members(b"s", 3)])])
    assert set(rows(one)) == {3}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ((b"s",), {2, 3, 5}),
        ((b"s", b"\x04"), {2, 3, 5}),
        ((b"s", b"\x02"), {1, 2, 3, 5}),
        ((b"st",), {1, 2, 3, 5}),
        ((b"t",), {1, 3, 5}),
    ],
)
def test_ranges_take_what_they_cover(path: tuple[bytes, ...], left: set[int]) -> None:
    first = Frame(A, 1, 3, {}, [members(b"s", 1), members(b"t", 2), members(b"s", 3)])
    second = Frame(A, 4, 5, {}, [members(b"s", 5)], ranges=[(path, {A: 2, B: 9})])
    one = merge([first, second])
    assert set(rows(one)) == left
    assert one.ranges == [(path, {A: 2, B: 9})]


def test_ranges_leave_counts_and_baselines() -> None:
    first = Frame(A, 1, 4, {}, [strings(k=(1, COUNT), l=(2, BASE), m=(3, VALUE), n=(4, b"v"))])
    one = merge([first, Frame(A, 5, 5, ranges=[((key,), {A: 4}) for key in (b"k", b"l", b"m", b"n")])])
    assert set(rows(one)) == {1, 2}


def test_payloads_meet_none() -> None:
    """A group without payloads and one with payloads of the same unknown type."""
    first = Frame(A, 1, 1, {}, [Group(200, b"k", [b"f"], None, [1], [(1, 7)])])
    second = Frame(A, 2, 2, {}, [Group(200, b"k", [b"g"], [b"v"], [2], [(1, 8)])])
    assert merge([first, second]).groups == [Group(200, b"k", [b"f", b"g"], [None, b"v"], [1, 2], [(1, 7), (1, 8)])]


def test_merging_does_not_change_the_parts() -> None:
    first = Frame(A, 1, 1, {}, [members(b"s", 1)], {B: Runs([1])})
    merge([first, Frame(A, 2, 2, {}, [members(b"s", 2)], {B: Runs([2]), A: Runs([1])})])
    assert first == Frame(A, 1, 1, {}, [members(b"s", 1)], {B: Runs([1])})


def test_overlap_is_what_a_merge_would_save() -> None:
    later = Frame(A, 8, 9, removes={A: Runs([2, 3, 5, 6, 7]), B: Runs([4])})
    assert [overlap(first, later) for first in (1, 3, 4, 6, 8)] == [5, 4, 3, 2, 0]
    assert overlap(1, Frame(A, 8, 9)) == 0


def test_runs_that_claim_much_cost_little() -> None:
    all_of_b = Runs()
    all_of_b.append(1, 1 << 41)
    one = merge([Frame(A, 1, 1, removes={B: all_of_b}), Frame(A, 2, 2, removes={B: all_of_b})])
    assert one.removes[B] == all_of_b
    own = merge([Frame(A, 1 << 40, 1 << 40), Frame(A, (1 << 40) + 1, (1 << 40) + 1, removes={A: all_of_b})])
    assert own.removes[A] == all_of_b


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(None, True), (b"\x93\x01", True), (VALUE, True), (COUNT, False), (BASE, False), (msgpack.ExtType(9, b""), True)],
)
def test_plain(payload: object, expected: bool) -> None:
    assert plain(payload) is expected


def test_a_prefix_is_of_components() -> None:
    group = members(b"ab", 1)
    assert covered((b"ab",), group, b"ab")
    assert not covered((b"a",), group, b"ab")


@steady
@given(strategies.frames())
def test_picking_rows(one: Frame) -> None:
    for group in one.groups:
        keep = list(range(0, len(group), 2))
        picked = group.pick(keep)
        assert list(picked.hlcs()) == list(group.hlcs())[::2]
        assert picked.seqs == group.seqs[::2]
        assert stamps_of(group.hlcs()) == group.stamps
    assert one.adds() == sum(len(group.seqs) for group in one.groups)
