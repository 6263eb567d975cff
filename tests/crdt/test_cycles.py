"""Memory of what is live, after any number of additions and removals, for every type: invariant I11.

For each type, and each way in which its rows come and go: a writer adds, another replica or the writer removes, about
WINDOW things stay, everything travels as bytes, and a third replica only listens. What each of the three holds after
the last cycle is counted and weighed against what it held after a few hundred.

`make test` runs 1,500 cycles of each, which is enough to see one object left behind by every third of them. With more,
and figures: CYCLES=100000 make test ARGS="-s tests/crdt/test_cycles.py" (docs/guarantees.md has what came of it).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import pytest

from crdt import codec
from crdt.dots import Actor
from crdt.sequence import Sequence
from crdt.state import State
from crdt.types import (
    counters,
    documents,
    expiry,
    flags,
    hashes,
    jsoncell,
    jsontext,
    keyspace,
    lists,
    number,
    sets,
    streams,
    strings,
    texts,
    zsets,
)
from crdt.types.catalog import CATALOG
from tests.crdt.algebra import rows_held

CYCLES = int(os.environ.get("CYCLES", "1500"))
WINDOW = 40  # things that are there at any time
BATCH = 25  # cycles between two frames of each writer: so what is removed was in a frame
WARM = 500  # cycles after which nothing may grow any more
MANY = 70  # elements of a collection that is removed as a whole: enough to be named as a range (RANGE_FROM)
K = b"k"

Act = Callable[[State, int], object]


def key(i: int) -> bytes:
    return b"key:%d" % i


def name(i: int) -> bytes:
    return b"name:%d" % i


def document(state: State) -> Any:
    """The document under K, made where there is none."""
    if K not in state.keys:
        documents.put(state, K, {"a": []})
    return documents.document(state, K)


def member(state: State, i: int) -> Any:
    found = document(state)
    return found, documents.member(found.root, name(i))


def add_member(state: State, i: int) -> None:
    found = document(state)
    documents.add(state, found, found.root, name(i), {"x": i})


def remove_member(state: State, i: int) -> None:
    found, node = member(state, i)
    documents.remove(state, found, node)


def count_member(state: State, i: int) -> None:
    found = document(state)
    documents.add(state, found, found.root, name(i), 1)
    documents.increase(state, found, documents.member(found.root, name(i)) or pytest.fail("it was added"), 2)


def append_element(state: State, i: int) -> None:
    found = document(state)
    array = documents.member(found.root, b"a") or pytest.fail("it is never removed")
    documents.insert(state, found, array, documents.size(array) // 2 if i % 2 else documents.size(array), [i])


def take_element(state: State, i: int) -> None:
    found = document(state)
    array = documents.member(found.root, b"a") or pytest.fail("it is never removed")
    documents.take(state, found, documents.elements(array, 0, 1))


def insert_in_the_middle(state: State, i: int) -> None:
    pivot = lists.values(state, K)[lists.size(state, K) // 2 :][:1]
    if not pivot or lists.insert(state, K, pivot[0], name(i), i % 2 == 0) < 1:
        lists.push(state, K, [name(i)])


def set_and_pop(state: State, i: int) -> None:
    lists.put(state, K, 0, b"set")
    lists.pop(state, K, 1, True)


def type_text(state: State, i: int) -> None:
    texts.insert(state, K, texts.size(state, K) // 2 if i % 2 else texts.size(state, K), "aé")


def add_entry(state: State, i: int) -> None:
    streams.add(state, K, streams.next_id(state, K), [b"f", name(i)])


def remove_entry(state: State, i: int) -> None:
    entry = streams.find(state, K) or pytest.fail("it has entries")
    streams.remove(state, K, [min(entry.ids)], trimmed=i % 2 == 0)


def live_a_while(state: State, i: int) -> None:
    strings.put(state, key(i), b"v")
    expiry.expire(state, key(i), state.time_ms + 10**9)


def end_by_time(state: State, i: int) -> None:
    """The filter hits, and the rows are removed."""
    if key(i) in state.keys:
        expiry.expire(state, key(i), state.time_ms + 1)
        state.begin(state.time_ms + 2)
        state.bury(key(i))


def live_on(state: State, i: int) -> None:
    """The same key all the time, with one lifetime after the other."""
    sets.add(state, K, [b"m"])
    expiry.expire(state, K, state.time_ms + 10**6 + i)


def for_ever(state: State, i: int) -> None:
    expiry.persist(state, K)


def delete(state: State, i: int) -> None:
    keyspace.delete(state, key(i))


class Cycle(NamedTuple):
    """How rows of a type come, and how they go."""

    code: int
    add: Act
    remove: Act
    rows: int = 2  # at most so many live rows for each thing that is there, and two more


CASES: dict[str, Cycle] = {
    "string: SET, DEL": Cycle(1, lambda s, i: strings.put(s, key(i), name(i)), delete),
    "string: SET over SET": Cycle(1, lambda s, i: strings.put(s, K, name(i)), lambda s, i: strings.put(s, K, b"v")),
    "string: INCR, DEL": Cycle(1, lambda s, i: counters.incr(s, key(i), 1), delete),
    "string: INCR, SET": Cycle(1, lambda s, i: counters.incr(s, K, 1), lambda s, i: strings.put(s, K, b"7")),
    "string: INCRBYFLOAT, DEL": Cycle(1, lambda s, i: counters.incr_float(s, key(i), Decimal("0.5")), delete),
    "hash: HSET, HDEL": Cycle(
        2, lambda s, i: hashes.put(s, K, [(name(i), b"v")]), lambda s, i: hashes.remove(s, K, [name(i)])
    ),
    "hash: HINCRBY, HDEL": Cycle(
        2, lambda s, i: hashes.incr(s, K, name(i), 1), lambda s, i: hashes.remove(s, K, [name(i)])
    ),
    "hash: HSET of 70, DEL": Cycle(
        2, lambda s, i: hashes.put(s, key(i), [(b"%d" % n, b"v") for n in range(MANY)]), delete, MANY
    ),
    "gcount: GCOUNT.INCR, DEL": Cycle(3, lambda s, i: counters.grow(s, key(i), 1), delete),
    "set: SADD, SREM": Cycle(4, lambda s, i: sets.add(s, K, [name(i)]), lambda s, i: sets.remove(s, K, [name(i)])),
    "set: SADD of 70, DEL": Cycle(4, lambda s, i: sets.add(s, key(i), [b"%d" % n for n in range(MANY)]), delete, MANY),
    "gset: GSET.ADD, DEL": Cycle(5, lambda s, i: sets.add(s, key(i), [name(i)], sets.GROW), delete),
    "flag: ENABLE, DISABLE": Cycle(6, lambda s, i: flags.enable(s, key(i)), lambda s, i: flags.disable(s, key(i))),
    "expiry: SET EX, DEL": Cycle(7, live_a_while, delete),
    "expiry: SET EX, its end": Cycle(7, live_a_while, end_by_time),
    "expiry: EXPIRE, PERSIST": Cycle(7, live_on, for_ever),
    "list: RPUSH, LPOP": Cycle(8, lambda s, i: lists.push(s, K, [name(i)]), lambda s, i: lists.pop(s, K, 1, True)),
    "list: LPUSH, LPOP": Cycle(
        8, lambda s, i: lists.push(s, K, [name(i)], True), lambda s, i: lists.pop(s, K, 1, True)
    ),
    "list: LINSERT in the middle, LSET, LPOP": Cycle(8, insert_in_the_middle, set_and_pop),
    "list: RPUSH of 70, DEL": Cycle(8, lambda s, i: lists.push(s, key(i), [b"v"] * MANY), delete, MANY),
    "text: INSERT, DELETE": Cycle(9, type_text, lambda s, i: texts.delete(s, K, texts.size(s, K) // 3, 2)),
    "JSON: SET, DEL of a path": Cycle(10, add_member, remove_member, 3),
    "JSON: NUMINCRBY, DEL": Cycle(10, count_member, remove_member, 3),
    "JSON: ARRINSERT, ARRPOP": Cycle(10, append_element, take_element),
    "JSON: SET, DEL of a document": Cycle(10, lambda s, i: documents.put(s, key(i), {"a": [1, 2]}), delete, 4),
    "zset: ZADD, ZREM": Cycle(
        11, lambda s, i: zsets.put(s, K, [(name(i), float(i))]), lambda s, i: zsets.remove(s, K, [name(i)])
    ),
    "zset: ZINCRBY, ZREM": Cycle(
        11, lambda s, i: zsets.increase(s, K, name(i), 1.5), lambda s, i: zsets.remove(s, K, [name(i)])
    ),
    "stream: XADD, XDEL and XTRIM": Cycle(12, add_entry, remove_entry),
}


class Held(NamedTuple):
    """What one state holds on to."""

    live: int  # rows
    indexed: int  # rows in chunks, dead ones included, and chunks
    cells: int  # what entries give, and entries, hidden and expired ones included
    pending: int  # what waits for a cut, ranges included
    contested: int  # cells that may have siblings
    stored: int  # bytes of a checkpoint
    objects: int  # Python objects that the state leads to
    weight: int  # and their bytes


_OUTSIDE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def weighed(root: object) -> tuple[int, int]:
    """How many objects something leads to, and their bytes; not what is code, and what all states share."""
    seen = {id(root)}
    todo, found, weight = [root], 0, 0
    while todo:
        one = todo.pop()
        found += 1
        weight += sys.getsizeof(one)
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, _OUTSIDE) and other is not CATALOG:
                seen.add(id(other))
                todo.append(other)
    return found, weight


def held(state: State) -> Held:
    chunks = [chunk for owner in state.actors.values() for chunk in owner.chunks]
    firsts = sum(len(owner.firsts) for owner in state.actors.values())
    entries = [entry for k in {*state.keys, *state.hidden, *state.lifetimes} for entry in state.all_of(k)]
    lists = (state.entries, state.fields, state.removed, state.ranges, state.swept, state.orphans, state.stamp_hlcs)
    waiting = (state.strays, state.graves, state.lapsed, state.expired, state.frozen)
    objects, weight = weighed(state)
    return Held(
        live=state.live,
        indexed=sum(map(len, chunks)) + len(chunks) + firsts,
        cells=sum(1 for entry in entries for _ in entry.rows()) + len(entries) + len(state.schedule),
        pending=sum(len(one) for one in lists) + sum(len(one) for one in waiting),
        contested=len(state.contested),
        stored=sum(len(codec.encode_rows(state.groups(chunk))) for chunk in chunks if len(chunk) > chunk.dead),
        objects=objects,
        weight=weight,
    )


class Three:
    """One that adds, one that removes half of it (the first removes the other half), one that listens."""

    def __init__(self) -> None:
        self.states = [State(Actor("abc"[i], 10 + i)) for i in range(3)]
        self.done = 0
        for i, state in enumerate(self.states):
            state.begin(1_000_000 + i)

    def tell(self, author: State) -> None:
        frame = author.cut()
        if frame is not None:
            data = codec.encode_frame(frame)
            for other in self.states:
                if other is not author:
                    other.apply(codec.decode_frame(data))

    def cycle(self, case: Cycle, until: int) -> None:
        while self.done < until:
            batch = range(self.done, self.done + BATCH)
            now = max(state.time_ms for state in self.states) + BATCH
            for state in self.states:
                state.begin(now)
            for i in batch:
                case.add(self.states[0], i)
            self.tell(self.states[0])
            remover = self.states[batch[0] // BATCH % 2]
            for i in batch:
                if i >= WINDOW:
                    case.remove(remover, i - WINDOW)
            self.tell(remover)
            for state in self.states:
                self.tell(state)  # what an owner says when a peer has deleted what it counted
                state.take_lapsed()  # as the engine does at once
                state.graves.clear()
            self.done += BATCH

    def held(self) -> list[Held]:
        jsontext._quoted.cache_clear()  # bounded, but not yet full
        jsoncell._known_depth.cache_clear()
        gc.collect()
        return [held(state) for state in self.states]


def resident() -> int:
    """KiB of memory that the process has from the system; 0 where nobody says so."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGESIZE") // 1024


class Growth(NamedTuple):
    """What came of many cycles."""

    faults: list[str]  # what is more than it was, or than it may be
    late: list[Held]  # of each of the three, in the end
    blocks: int  # that the interpreter holds more than after the first few hundred
    resident: int  # KiB that the process holds more


def grown(case: Cycle, cycles: int) -> Growth:
    """Run a case."""
    three = Three()
    warm, cycles = (WARM, cycles) if case.rows < MANY else (WARM // 5, cycles // 10)  # as many rows all the same
    three.cycle(case, warm)
    early = three.held()
    blocks, before_all = sys.getallocatedblocks(), resident()
    three.cycle(case, warm + cycles)
    late = three.held()
    blocks, more = sys.getallocatedblocks() - blocks, resident() - before_all
    faults = []
    most = case.rows * (WINDOW + BATCH) + 2
    for before, after in zip(early, late, strict=True):
        wanted = {"live": most, "indexed": 3 * most + 64, "cells": 2 * most + 80, "pending": 4, "contested": 100}
        faults += [f"{what} {n}" for what, limit in wanted.items() if (n := getattr(after, what)) > limit]
        # Numbers become longer as they grow; dead rows wait in chunks until those are half dead.
        slack = {"stored": (1.3, 400), "objects": (1.3, 400), "weight": (1.4, 20_000)}
        for what, (factor, besides) in slack.items():
            if getattr(after, what) > factor * getattr(before, what) + besides:
                faults.append(f"{what} {getattr(before, what)} -> {getattr(after, what)}")
    if blocks > 0.3 * sum(one.objects for one in early) + 450:
        faults.append(f"blocks of the process +{blocks}")
    assert len({state.hash for state in three.states}) == 1
    assert len({frozenset(rows_held(state)) for state in three.states}) == 1
    return Growth(faults, late, blocks, more)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_what_is_gone_leaves_nothing(case: str) -> None:
    growth = grown(CASES[case], CYCLES)
    writer, _, listener = growth.late
    print(
        f"\n| {case} | {writer.live} | {writer.indexed}, {listener.indexed} | {writer.stored} "
        f"| {writer.weight // 1024}, {listener.weight // 1024} | {growth.blocks:+} | {growth.resident:+} |"
    )
    assert growth.faults == []


def test_every_type_is_among_them() -> None:
    assert {case.code for case in CASES.values()} == set(CATALOG)


# -- negative controls: each forgets to forget one thing --------------------------------------------------------------


def dead_rows_stay_in_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "compact", lambda self: None)


def baselines_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(number.Number, "prune", lambda self, *_: None)


def deadlines_stay(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: State, name: bytes, deadline: int) -> None:
        self.schedule.append((deadline, name))

    patch.setattr(State, "plan", wrong)


def removed_places_are_remembered(patch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []  # beside the state: only the process knows
    remove = Sequence.remove

    def wrong(self: Sequence, place: bytes) -> Any:
        kept.append(bytes(bytearray(place)))
        return remove(self, place)

    patch.setattr(Sequence, "remove", wrong)


CONTROLS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "dead rows stay in chunks": (dead_rows_stay_in_chunks, "set: SADD, SREM"),
    "baselines stay": (baselines_stay, "hash: HINCRBY, HDEL"),
    "deadlines stay": (deadlines_stay, "expiry: SET EX, DEL"),
    "removed places are remembered": (removed_places_are_remembered, "list: RPUSH, LPOP"),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_what_is_kept_is_noticed(control: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative controls of invariant I11."""
    wrong, case = CONTROLS[control]
    wrong(monkeypatch)
    assert grown(CASES[case], 1500).faults != []
