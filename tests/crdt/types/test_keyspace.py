"""Keys of any type: existence, deletion, copies, and several types under one key."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from crdt.dots import Actor
from crdt.entry import LIFETIME
from crdt.errors import NoSuchKeyError
from crdt.state import RANGE_FROM, State
from crdt.types import counters, documents, flags, hashes, keyspace, lists, sets, streams, strings, texts, zsets
from crdt.types.catalog import CATALOG
from crdt.types.jsontree import JsonEntry
from tests.crdt.replicas import Replicas

K, L = b"k", b"l"

WRITES: dict[str, Callable[[State, bytes], object]] = {
    "string": lambda state, key: strings.put(state, key, b"v"),
    "hash": lambda state, key: hashes.put(state, key, [(b"f", b"v"), (b"g", b"w")]),
    "gcount": lambda state, key: counters.grow(state, key, 5),
    "set": lambda state, key: sets.add(state, key, [b"x", b"y"]),
    "gset": lambda state, key: sets.add(state, key, [b"x", b"y"], sets.GROW),
    "flag": lambda state, key: flags.enable(state, key),
    "stream": lambda state, key: streams.add(state, key, streams.next_id(state, key), [b"f", b"v"]),
    "zset": lambda state, key: zsets.put(state, key, [(b"x", 1.5), (b"y", -1.0)]),
    "ReJSON-RL": lambda state, key: documents.put(state, key, {"a": [1, {"b": "c"}], "n": 1.5}),
    "list": lambda state, key: lists.push(state, key, [b"x", b"y"]),
    "text": lambda state, key: texts.insert(state, key, 0, "xy"),
}
READS: dict[str, Callable[[State, bytes], object]] = {
    "string": strings.get,
    "hash": lambda state, key: dict(hashes.items(state, key)),
    "gcount": counters.grown,
    "set": lambda state, key: set(sets.members(state, key)),
    "gset": lambda state, key: set(sets.members(state, key, sets.GROW)),
    "flag": flags.enabled,
    "stream": lambda state, key: (entry := streams.find(state, key)) and [entry.words(state, f) for f in entry.ids],
    "zset": lambda state, key: list(zsets.ordered(state, key)),
    "ReJSON-RL": lambda state, key: None if (doc := documents.document(state, key)) is None else _text(state, doc),
    "list": lists.values,
    "text": texts.get,
}


def _text(state: State, doc: JsonEntry) -> bytes:
    return documents.text(state, doc.root)


def test_the_tables_cover_the_catalogue() -> None:
    assert set(WRITES) == set(READS) == {cls.NAME for cls in CATALOG.values() if cls.CODE != LIFETIME}


def exists(state: State) -> bool:
    return keyspace.exists(state, K)


@pytest.mark.parametrize("kind", WRITES)
def test_keys_come_and_go(kind: str) -> None:
    both = Replicas()
    WRITES[kind](both[0], K)
    both.exchange()
    assert both.agree(exists)
    assert both.agree(lambda state: keyspace.type_name(state, K)) == kind
    assert both.agree(keyspace.count) == 1
    assert both.agree(lambda state: list(keyspace.keys(state))) == [K]
    assert keyspace.delete(both[1], K)
    assert not keyspace.delete(both[1], K)
    both.exchange()
    assert not both.agree(exists)
    assert both.agree(lambda state: keyspace.type_name(state, K)) is None
    assert both[0].live == 0


@pytest.mark.parametrize("kind", WRITES)
def test_a_concurrent_write_survives_a_deletion(kind: str) -> None:
    both = Replicas()
    WRITES[kind](both[0], K)
    both.exchange()
    keyspace.delete(both[0], K)
    WRITES[kind](both[1], K)
    both.exchange()
    assert both.agree(exists)


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("over", [None, *WRITES])
def test_copy(kind: str, over: str | None) -> None:
    both = Replicas()
    WRITES[kind](both[0], K)
    if over is not None:
        WRITES[over](both[1], L)
    both.exchange()
    keyspace.copy(both[0], K, L)
    both.exchange()
    assert both.agree(lambda state: READS[kind](state, L)) == both.agree(lambda state: READS[kind](state, K))
    keyspace.delete(both[0], K)
    both.exchange()
    assert both.agree(lambda state: keyspace.type_name(state, L)) == kind


@pytest.mark.parametrize("kind", WRITES)
def test_rename(kind: str) -> None:
    both = Replicas()
    WRITES[kind](both[0], K)
    before = READS[kind](both[0], K)
    both.exchange()
    keyspace.rename(both[1], K, L)
    both.exchange()
    assert both.agree(lambda state: READS[kind](state, L)) == before
    assert not both.agree(exists)


def test_copies_into_another_space() -> None:
    here, there = State(Actor("a", 1)), State(Actor("a", 2))
    sets.add(here, K, [b"x"])
    keyspace.copy(here, K, K, there)
    assert READS["set"](there, K) == {b"x"}


def test_a_key_onto_itself() -> None:
    state = State(Actor("a", 1))
    strings.put(state, K, b"v")
    keyspace.copy(state, K, K)
    keyspace.rename(state, K, K)
    assert strings.get(state, K) == b"v"
    for call in (keyspace.copy, keyspace.rename):
        with pytest.raises(NoSuchKeyError):
            call(state, L, K)


def test_flush() -> None:
    both = Replicas()
    for kind, write in WRITES.items():
        write(both[0], kind.encode())
    sets.add(both[0], b"large", [b"%d" % i for i in range(RANGE_FROM * 2)])
    both.exchange()
    strings.put(both[0], b"meanwhile", b"v")
    assert keyspace.flush(both[1]) == len(WRITES) + 1
    both.exchange()
    assert both.agree(lambda state: list(keyspace.keys(state))) == [b"meanwhile"]
    assert both[0].live == 1


def test_random_keys() -> None:
    state, rng = State(Actor("a", 1)), Random(1)
    assert keyspace.random_key(state, rng) is None
    for key in (b"a", b"b", b"c"):
        strings.put(state, key, b"v")
    assert {keyspace.random_key(state, rng) for _ in range(100)} == {b"a", b"b", b"c"}


# -- several types under one key --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", WRITES)
@pytest.mark.parametrize("second", WRITES)
def test_types_made_at_once(first: str, second: str) -> None:
    """The one of the lower rank is shown, the other is kept; a DEL that has seen both takes both."""
    if first == second:
        return
    both = Replicas()
    WRITES[first](both[0], K)
    WRITES[second](both[1], K)
    both.exchange()
    ranks = {cls.NAME: cls.RANK for cls in CATALOG.values()}
    shown = min(first, second, key=ranks.__getitem__)
    assert both.agree(lambda state: keyspace.type_name(state, K)) == shown
    assert both.agree(keyspace.count) == 1
    other = both[1] if shown == first else both[0]
    assert keyspace.delete(other, K)
    assert not keyspace.exists(other, K)
    both.exchange()
    assert both[0].live == 0


def test_a_hidden_type_comes_forth() -> None:
    both = Replicas()
    hashes.put(both[0], K, [(b"f", b"v")])
    strings.put(both[1], K, b"v")
    both.exchange()
    hashes.remove(both[0], K, [b"f"])
    both.exchange()
    assert both.agree(lambda state: strings.get(state, K)) == b"v"
    assert not both[0].hidden


def test_ranks_are_distinct() -> None:
    assert len({cls.RANK for cls in CATALOG.values()}) == len(CATALOG)
