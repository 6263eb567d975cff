"""Containers in shards answer as a dict does, and sets and hashes made of them as small ones do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import shards
from crdt.codec import decode_frame, decode_rows, encode_frame, encode_rows
from crdt.dots import Actor
from crdt.shards import PARTS, Large, Shards, compacted, disjoint, listed, roomy, setdefaults, shed
from crdt.state import State
from crdt.types import hashes, keyspace, sets, strings, zsets
from tests.strategies import steady

NAMES = st.integers(0, 40).map(b"%d".__mod__)


def walked(held: Large[int], part: int = 0) -> list[bytes]:
    """All names that a walk finds from this part on."""
    found: list[bytes] = []
    while part < PARTS:
        names, part = listed(held, part)
        found += names
    return found


@steady
@given(
    st.sets(NAMES), st.lists(st.tuples(st.sampled_from(["put", "del", "pop", "all", "divide"]), NAMES, st.integers(1)))
)
def test_shards_are_a_dict(first: set[bytes], steps: list[tuple[str, bytes, int]]) -> None:
    model = dict.fromkeys(first, 7)
    tried = Shards(dict(model))
    for step, name, value in steps:
        if step == "put":
            model[name] = tried[name] = value
        elif step == "pop":
            assert tried.pop(name) == model.pop(name, None)
        elif step == "del" and name in model:
            del model[name], tried[name]
        elif step == "all":
            names = [name, b"new", name + b"0"]
            assert disjoint(tried, names) == disjoint(model, names)
            assert setdefaults(tried, names, [1, 2, 3]) == setdefaults(model, names, [1, 2, 3])
        elif step == "divide":
            tried.divide()
            assert tried.divided and compacted(tried) is tried
        assert dict(tried.items()) == model and len(tried) == len(model) and bool(tried) == bool(model)
        assert sorted(tried) == sorted(model) and tried.keys() == model.keys()
        assert (name in tried) == (name in model) and tried.get(name) == model.get(name)
        assert sorted(walked(tried)) == sorted(tried.at(i) for i in range(len(model))) == sorted(model)
    with pytest.raises(KeyError):
        tried[b"never"]
    with pytest.raises(IndexError):
        tried.at(len(model))
    for held in (tried, model):
        while held:
            before = len(held)
            shed(held, 3)
            assert before - 3 <= len(held) < before


def test_what_is_small_stays_one_dictionary_and_what_is_large_grows_no_further() -> None:
    small = dict.fromkeys((b"%d" % i for i in range(shards.LIMIT - 1)), 1)
    assert roomy(small, 1) is small
    large = roomy(small, 2)
    assert isinstance(large, Shards) and roomy(large, 10**9) is large
    setdefaults(large, [b"more:%d" % i for i in range(1000)], [2] * 1000)
    assert len(small) == shards.LIMIT - 2001 and len(large) == shards.LIMIT + 999
    for i in range(shards.LIMIT // 2):
        large[b"%d" % i] = 3  # what is overwritten takes nothing along: somebody may be walking
    assert len(small) == shards.LIMIT - 2001
    for i in range(shards.LIMIT // 2):
        large[b"and more:%d" % i] = 4
    assert not small and len(large) == shards.LIMIT * 3 // 2 + 999


def test_no_dictionary_of_a_large_set_is_ever_copied_when_it_is_large() -> None:
    """What a copy costs is the size of what is copied; one dictionary of as many is the control."""
    names = [b"%d" % i for i in range(3 * shards.LIMIT)]
    state = State(Actor("a", 1))
    copied, sizes = 0, {}
    for start in range(0, len(names), 3000):
        sets.add(state, b"set", names[start : start + 3000])
        held = state.keys[b"set"].dots  # type: ignore[attr-defined]
        for part in [held] if isinstance(held, dict) else [held._first, *held._parts]:
            before = sizes.get(id(part), 0)
            sizes[id(part)] = size = sys.getsizeof(part)
            copied = max(copied, before if size > before else 0)
    longest = sys.getsizeof(dict.fromkeys(names[: 1 << 16]))
    assert sets.size(state, b"set") == len(names) and copied <= longest
    alone, copied = dict.fromkeys(names[:1]), 0
    for name in names:
        before = sys.getsizeof(alone)
        alone[name] = None
        copied = max(copied, before if sys.getsizeof(alone) > before else 0)
    assert copied > longest


def test_what_one_command_puts_in_is_divided_at_once() -> None:
    """Else it would be listed as a whole, however much it is."""
    names = [b"%d" % i for i in range(2 * shards.LIMIT)]
    state = State(Actor("a", 1))
    sets.add(state, b"set", names)
    held = sets.live(state, b"set")
    assert isinstance(held, Shards) and held.divided and len(held) == len(names)
    assert max(held.lengths()) < 2 * len(names) // PARTS and sorted(walked(held)) == sorted(names)


def test_a_start_fills_one_dictionary_of_keys_and_ends_with_one_that_may_be_walked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "LIMIT", 50)
    state, again = State(Actor("a", 1)), State(Actor("again", 3))
    for i in range(100):
        strings.put(state, b"%d" % i, b"v")
    state.cut()
    again.starting = True
    _load(again, state)
    assert isinstance(again.keys, dict)
    again.started()
    assert isinstance(again.keys, Shards) and sorted(again.keys) == sorted(state.keys)


def test_what_is_asked_for_lists_is_divided_in_the_end_without_growing() -> None:
    state = State(Actor("a", 1))
    for start in range(0, shards.LIMIT + 1000, 1000):
        sets.add(state, b"set", [b"%d" % i for i in range(start, start + 1000)])
    held, before, turns = sets.live(state, b"set"), len(sets.live(state, b"set")), 0
    assert isinstance(held, Shards) and not held.divided
    while not held.divided:
        names = sorted(walked(held))
        assert len(names) == len(set(names)) == before == sets.size(state, b"set")
        turns += 1
    assert 10 < turns < 25 and max(held.lengths()) < 1000
    assert len(listed(held, 0)[0]) == held.lengths()[0] < 1000


def test_each_part_is_listed_by_its_hash_whatever_the_container_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_FOR_LISTS", 0)
    names = [b"%d" % i for i in range(1000)]
    apart, mixed = Shards(dict.fromkeys(names, 1)), Shards(dict.fromkeys(names, 1))
    apart.divide()
    for i in range(200):
        mixed[b"x%d" % i] = apart[b"x%d" % i] = 1
    whole = dict.fromkeys(apart, 1)
    assert not mixed.divided
    for part in (0, 1, 100, PARTS - 1):
        expected = sorted(name for name in whole if hash(name) & PARTS - 1 >= part)
        assert sorted(walked(apart, part)) == sorted(walked(mixed, part)) == sorted(walked(whole, part)) == expected
    assert [listed(held, 0)[1] for held in (apart, mixed, whole)] == [1, PARTS, PARTS]


def test_a_part_that_is_mostly_holes_is_copied_when_it_is_listed() -> None:
    held: Shards[int] = Shards({})
    names = [b"%d" % i for i in range(300_000)]
    held.setdefaults(names, [1] * len(names))
    before = sum(map(sys.getsizeof, held._parts))
    for name in names[100:]:
        del held[name]
    assert sorted(walked(held)) == sorted(names[:100])
    assert sum(map(sys.getsizeof, held._parts)) < before // 10


def test_a_dict_of_holes_is_copied() -> None:
    live = {b"%d" % i: i for i in range(10_000)}
    assert compacted(live) is live
    for i in range(9_990):
        del live[b"%d" % i]
    assert compacted(live) == live
    assert compacted(live) is not live


@pytest.mark.parametrize("way", ["hincrby", "hincrbyfloat", "mv.set", "zincrby"])
def test_a_collection_that_grows_by_counting_becomes_shards_too_here_and_at_a_peer(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "LIMIT", 50)
    a, b = State(Actor("a", 1)), State(Actor("b", 2))
    add: Callable[[bytes], object] = {
        "hincrby": lambda field: hashes.incr(a, b"k", field, 1),
        "hincrbyfloat": lambda field: hashes.incr_float(a, b"k", field, Decimal(1)),
        "mv.set": lambda field: hashes.put_over(a, b"k", field, b"1", hashes.context(a, b"k", field)),
        "zincrby": lambda field: zsets.increase(a, b"k", field, 1.0),
    }[way]
    for i in range(51):
        a.begin(1_700_000_000_000 + i)
        add(b"%d" % i)
    _exchange(a, b)
    for state in (a, b):
        entry = state.keys[b"k"]
        assert isinstance(entry, hashes.HashEntry) and type(entry.values) is Shards and len(entry.values) == 51


@pytest.mark.parametrize("limit", [0, 50, 10**6])
def test_large_sets_and_hashes_go_through_everything(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two replicas write, overwrite and remove, hear each other, and start again from what a checkpoint holds."""
    monkeypatch.setattr(shards, "LIMIT", limit)
    a, b = State(Actor("a", 1)), State(Actor("b", 2))
    names = [b"%d" % i for i in range(300)]
    for number, state in enumerate((a, b)):
        state.begin(1_700_000_000_000 + number)
        sets.add(state, b"set", names[number * 100 : number * 100 + 200])
        hashes.put(state, b"hash", [(name, b"%d" % number) for name in names[number * 100 : number * 100 + 200]])
        hashes.incr(state, b"hash", names[number], 3)
        for name in names[number * 100 : number * 100 + 200]:
            strings.put(state, b"key:" + name, b"%d" % number)
    assert (type(a.keys) is Shards) == (limit < 200)
    assert (type(a.keys[b"set"].dots) is Shards) == (limit < 200)  # type: ignore[attr-defined]
    _exchange(a, b)
    assert a.hash == b.hash
    assert sorted(sets.members(a, b"set")) == sorted(names) and sets.size(b, b"set") == 300
    assert dict(hashes.items(a, b"hash")) == dict(hashes.items(b, b"hash"))
    assert sets.remove(a, b"set", names[:120]) == 120 and hashes.remove(a, b"hash", names[:120]) == 120
    sets.add(b, b"set", names[110:130])
    hashes.put(b, b"hash", [(name, b"later") for name in names[110:130]])
    _exchange(a, b)
    assert a.hash == b.hash
    assert sorted(sets.members(a, b"set")) == sorted(sets.members(b, b"set")) == sorted(names[110:])
    again = _started(a)
    assert again.hash == a.hash and sorted(sets.members(again, b"set")) == sorted(names[110:])
    assert dict(hashes.items(again, b"hash")) == dict(hashes.items(b, b"hash"))
    assert sorted(again.keys) == sorted(a.keys) == sorted(b.keys) and len(again.keys) == 302
    assert all(strings.get(again, key) == strings.get(b, key) for key in a.keys if key[:4] == b"key:")
    assert keyspace.flush(a) == 302
    _exchange(a, b)
    assert a.hash == b.hash == 0 and not a.keys and not b.keys


def _exchange(*states: State) -> None:
    frames = [encode_frame(frame) for state in states if (frame := state.cut()) is not None]
    for state in states:
        for data in frames:
            frame = decode_frame(data)
            if frame.actor != state.actor:
                state.apply(frame)


def _started(state: State) -> State:
    """A state that is loaded from what a checkpoint of this one holds."""
    again = State(Actor("again", 3))
    _load(again, state)
    return again


def _load(again: State, state: State) -> None:
    for rows in list(state.actors.values()):
        for chunk in rows.chunks:
            groups = decode_rows(encode_rows(state.groups(chunk)))
            again.load(rows.actor, chunk.dots[0] - rows.base, groups, 1 << 40)
    again.loaded(state.vector())
