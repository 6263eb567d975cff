"""Lists: the truth table, equality with a Python list, places that are set several times, what memory is kept."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise
from random import Random

import pytest

from crdt import codec, places
from crdt.dots import Actor
from crdt.errors import NoSuchKeyError, UsageError, WrongTypeError
from crdt.frame import Frame
from crdt.state import RANGE_FROM, State
from crdt.types import conflicts, keyspace, lists, strings
from crdt.types.lists import ListEntry
from tests.crdt.replicas import Replicas, table

K, X = b"k", b"x"


def do(state: State, words: str) -> None:
    verb, *args = words.split()
    values = [arg.encode() for arg in args]
    if verb in ("RPUSH", "LPUSH"):
        lists.push(state, K, values, verb == "LPUSH")
    elif verb in ("LPOP", "RPOP"):
        assert len(lists.pop(state, K, 1, verb == "LPOP")) == 1
    elif verb == "LSET":
        lists.put(state, K, int(args[0]), values[1])
    elif verb == "LINSERT":
        lists.insert(state, K, values[1], values[2], args[0] == "AFTER")
    elif verb == "LREM":
        assert lists.remove(state, K, values[0]) == 1
    elif verb == "LTRIM":
        assert lists.trim(state, K, int(args[0]), int(args[1]) + 1) == 1
    elif verb == "LMOVE":
        assert lists.move(state, K, X, True, False) == b"m"
    else:
        assert verb == "DEL"
        keyspace.delete(state, K)


def held(state: State) -> list[bytes]:
    return lists.values(state, K)


def entry_of(state: State, key: bytes = K) -> ListEntry:
    entry = lists.of(state, key)
    assert entry is not None
    return entry


@pytest.mark.parametrize("row", table(lists), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(row: tuple[str, ...]) -> None:
    both = Replicas()
    lists.push(both[0], K, [b"m", b"n"])
    both.exchange()
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    words = row[2].partition(":")[0].split()
    assert both.agree(held) == ([] if words == ["nothing"] else [word.encode() for word in words])
    if "x has m twice" in row[2]:
        assert both.agree(lambda state: lists.values(state, X)) == [b"m", b"m"]


def test_one_replica_is_a_python_list() -> None:
    rng, state, model = Random(3), State(Actor("a", 1)), []
    for step in range(4000):
        state.begin(step)
        value, length = b"%d" % rng.randrange(12), len(model)
        n = rng.randrange(9)
        if n < 3 or not model:
            new, left = [value, b"%d" % step], rng.random() < 0.5
            assert lists.push(state, K, new, left) == length + 2
            model[:] = [*new[::-1], *model] if left else [*model, *new]
        elif n == 3:
            left, count = rng.random() < 0.5, rng.randrange(4)
            assert lists.pop(state, K, count, left) == (model[:count] if left else model[::-1][:count])
            model[:] = model[count:] if left else model[: max(0, length - count)]
        elif n == 4:
            index = rng.randrange(-length, length)
            lists.put(state, K, index, value)
            model[index] = value
        elif n == 5:
            pivot, after = rng.choice([*model, b"nowhere"]), rng.random() < 0.5
            found = lists.insert(state, K, pivot, value, after)
            if pivot in model:
                model.insert(model.index(pivot) + after, value)
            assert found == (len(model) if len(model) > length else -1)
        elif n == 6:
            count = rng.randrange(-2, 3)
            indexes = [i for i, other in enumerate(model) if other == value]
            doomed = set(indexes[:count] if count > 0 else indexes[count:] if count else indexes)
            assert lists.remove(state, K, value, count) == len(doomed)
            model[:] = [other for i, other in enumerate(model) if i not in doomed]
        elif n == 7 and rng.random() < 0.2:
            i, j = sorted((rng.randint(0, length), rng.randint(0, length + 2)))
            assert lists.trim(state, K, i, j) == length - len(model[i:j])
            model[:] = model[i:j]
        else:
            ends = rng.random() < 0.5, rng.random() < 0.5
            moved = lists.move(state, K, K, *ends)
            assert moved == (model[0] if ends[0] else model[-1])
            model.insert(0 if ends[1] else length - 1, model.pop(0 if ends[0] else -1))
        if rng.random() < 0.1:
            state.cut()
        assert held(state) == model and lists.size(state, K) == len(model)
        assert lists.values(state, K, 1, 3) == model[1:3]
    assert (K in state.keys) == bool(model)


def test_what_is_refused_changes_nothing() -> None:
    state = State(Actor("a", 1))
    strings.put(state, X, b"v")
    lists.push(state, K, [b"m"])
    before = state.seq
    for index in (1, -2, 1 << 70, -(1 << 70)):
        with pytest.raises(UsageError, match="index out of range"):
            lists.put(state, K, index, b"v")
    with pytest.raises(NoSuchKeyError):
        lists.put(state, b"absent", 0, b"v")
    for wrong in (
        lambda: lists.push(state, X, [b"v"]), lambda: lists.pop(state, X, 1, True), lambda: lists.put(state, X, 0, b""),
        lambda: lists.insert(state, X, b"", b"", True), lambda: lists.remove(state, X, b""),
        lambda: lists.size(state, X), lambda: lists.trim(state, X, 0, 1), lambda: lists.move(state, X, K, True, True),
        lambda: lists.move(state, K, X, True, True), lambda: lists.values(state, X),
    ):  # fmt: skip
        with pytest.raises(WrongTypeError):
            wrong()
    assert lists.pop(state, b"absent", 2, True) == [] == lists.pop(state, K, 0, True)
    assert lists.insert(state, b"absent", b"m", b"v", True) == 0 == lists.remove(state, K, b"none")
    assert lists.move(state, b"absent", X, True, True) is None
    assert lists.trim(state, b"absent", 0, 1) == 0 == lists.trim(state, K, 0, 9)
    assert state.seq == before


def test_what_was_set_at_once_is_a_conflict_until_it_is_set_again() -> None:
    three = Replicas(3)
    lists.push(three[0], K, [b"m", b"n"])
    three.exchange()
    for i, state in enumerate(three.states):
        lists.put(state, K, 1, b"%d" % i)
    three.exchange()
    assert three.agree(held) == [b"m", b"2"]
    assert three[0].live == 4 and three.agree(lambda state: lists.values(state, K, 1, 2)) == [b"2"]
    (found,) = conflicts.conflicts(three[1])
    assert (found.key, found.field, found.type) == (K, b"1", "list")
    assert [sibling.value for sibling in found.siblings] == [b"2", b"1", b"0"]
    lists.put(three[1], K, -1, b"v")
    three.exchange()
    assert three.agree(held) == [b"m", b"v"] and three.agree(conflicts.count) == 0 and three[0].live == 2


@pytest.mark.parametrize("how", ["pop", "remove", "trim", "erase", "move"])
def test_what_was_set_at_once_can_be_removed(how: str) -> None:
    both = Replicas()
    lists.push(both[0], K, [b"m"] if how == "erase" else [b"m", b"n"])
    both.exchange()
    for state in both.states:
        lists.put(state, K, 0, state.actor.name.encode())
    both.exchange()
    if how == "pop":
        assert lists.pop(both[0], K, 1, True) == [b"b"]
    elif how == "remove":
        assert lists.remove(both[0], K, b"a") == 0
        assert lists.remove(both[0], K, b"b") == 1
    elif how == "trim":
        assert lists.trim(both[0], K, 1, 2) == 1
    elif how == "move":
        assert lists.move(both[0], K, X, True, True) == b"b"
    else:
        assert keyspace.delete(both[0], K)
    both.exchange()
    assert both.agree(held) == ([] if how == "erase" else [b"n"])
    assert both[1].live == (how != "erase") + (how == "move")


def test_a_long_list_is_deleted_by_a_range() -> None:
    both = Replicas()
    lists.push(both[0], K, [b"%d" % i for i in range(RANGE_FROM + 5)])
    both.exchange()
    lists.push(both[1], K, [b"late"])
    keyspace.delete(both[0], K)
    frame = both[0].cut()
    assert frame is not None and len(frame.ranges) == 1 and not frame.removes
    both.frames.append(codec.decode_frame(codec.encode_frame(frame)))
    both.exchange()
    assert both.agree(held) == [b"late"]


def test_elements_pushed_and_popped_at_once_never_leave() -> None:
    state = State(Actor("a", 1))
    for i in range(50):
        lists.push(state, K, [b"%d" % i])
        lists.pop(state, K, 1, i % 2 == 0)
    frame = state.cut()
    assert frame is not None and frame.adds() == 0 and not frame.removes


@pytest.mark.parametrize("source", ["list", "other"])
def test_copies_and_renames(source: str) -> None:
    state, target = State(Actor("a", 1)), State(Actor("b", 2))
    lists.push(state, K, [b"m", b"n"])
    into = state if source == "list" else target
    keyspace.copy(state, K, X, into)
    assert lists.values(into, X) == [b"m", b"n"] == held(state)
    keyspace.rename(state, K, b"y")
    assert held(state) == [] and lists.values(state, b"y") == [b"m", b"n"]


def test_a_list_is_shown_before_what_is_made_beside_it() -> None:
    both = Replicas()
    lists.push(both[0], K, [b"m"])
    strings.put(both[1], K, b"v")
    both.exchange()
    assert both.agree(lambda state: keyspace.type_name(state, K)) == "list"
    lists.pop(both[0], K, 1, True)
    both.exchange()
    assert both.agree(lambda state: keyspace.type_name(state, K)) == "string"


# -- concurrent histories ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_runs_of_several_replicas_do_not_interleave(seed: int) -> None:
    """Invariant I9, through states and frames: each pushes or inserts a run at the same place."""
    rng = Random(seed)
    three = Replicas(3)
    lists.push(three[0], K, [b"m", b"n"])
    three.exchange()
    where = rng.choice(["RPUSH", "LPUSH", "before n", "after m"])
    for who, state in enumerate(three.states):
        for i in range(rng.randint(2, 6)):
            value = b"%d.%d" % (who, i)
            if where in ("RPUSH", "LPUSH"):
                lists.push(state, K, [value], where == "LPUSH")
            else:
                lists.insert(state, K, b"n" if where == "before n" else b"m", value, where == "after m")
            if rng.random() < 0.3:
                three.cut()
    three.exchange()
    order = [value[:1] for value in three.agree(held) if value not in (b"m", b"n")]
    assert sum(1 for i, who in enumerate(order) if i == 0 or order[i - 1] != who) == 3


def _history(seed: int) -> tuple[list[list[bytes]], list[tuple[bytes, ...]]]:
    """A random history of three replicas with unique values: every list that was ever shown, and the last ones."""
    rng = Random(seed)
    three, shown = Replicas(3), []
    for step in range(60):
        state = rng.choice(three.states)
        state.begin(2_000_000 + step)
        now = held(state)
        n = rng.randrange(6)
        if n < 2 or not now:
            lists.push(state, K, [b"%d.%d" % (step, i) for i in range(rng.randint(1, 3))], rng.random() < 0.5)
        elif n < 4:
            lists.insert(state, K, rng.choice(now), b"%d" % step, rng.random() < 0.5)
        elif n == 4:
            lists.remove(state, K, rng.choice(now))
        else:
            three.exchange()
        shown += [held(one) for one in three.states]
    three.exchange()
    return shown, [tuple(held(one)) for one in three.states]


def contradiction(shown: list[list[bytes]]) -> bool:
    """Whether two lists order two elements differently, or no order fits all of them: a cycle."""
    after: dict[bytes, set[bytes]] = {}
    for one in shown:
        for a, b in pairwise(one):
            after.setdefault(a, set()).add(b)
    done: dict[bytes, bool] = {}
    for root in after:
        path = [(root, iter(after.get(root, ())))] if root not in done else []
        done.setdefault(root, False)
        while path:
            name, rest = path[-1]
            following = next(rest, None)
            if following is None:
                done[name] = True
                path.pop()
            elif following not in done:
                done[following] = False
                path.append((following, iter(after.get(following, ()))))
            elif not done[following]:
                return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_strong_list_specification(seed: int) -> None:
    """One order of all elements that were ever inserted agrees with every list that any replica ever showed.

    Attiya et al., "Specification and complexity of collaborative text editing" (2016), definition 3.
    """
    shown, last = _history(seed)
    assert len(set(last)) == 1
    assert not contradiction(shown)


def test_an_order_that_depends_on_arrival_breaks_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: replicas that put what is concurrent where they happen to hear of it."""
    chosen = Random(1)

    def wrong(self: ListEntry, state: State, start: int, stop: int) -> list[bytes]:
        items = sorted(self.elements.items(0, len(self.elements)), key=lambda v: (len(v), chosen.random()))
        return items[start:stop]

    monkeypatch.setattr(ListEntry, "shown", wrong)
    assert any(contradiction(_history(seed)[0]) for seed in range(5))


# -- bytes and memory -------------------------------------------------------------------------------------------------


def pushed(count: int, left: bool = False) -> Frame:
    state = State(Actor("pump-3", 1 << 62))
    state.begin(1_700_000_000_000)
    state.dot += 100_000  # not the first thing that it ever did
    state.entries += [None] * 100_000
    state.fields += [None] * 100_000
    for i in range(count):
        lists.push(state, K, [b"%020d" % i], left)
    frame = state.cut()
    assert frame is not None
    return frame


@pytest.mark.parametrize("left", [False, True])
def test_pushes_cost_what_their_elements_cost(left: bool) -> None:
    """10,000 elements of 20 bytes: at most 1.3 times what MessagePack needs for them alone."""
    bare = 10_000 * (20 + 2)
    data = codec.encode_frame(pushed(10_000, left))
    assert len(data) < 1.01 * bare
    assert codec.decode_frame(data).groups[0].fields == pushed(10_000, left).groups[0].fields


def exchange(states: list[State]) -> None:
    """As Replicas.exchange for two, without looking at everything each time."""
    frames = [state.cut() for state in states]
    for state, frame in zip(states, reversed(frames), strict=True):
        if frame is not None:
            state.apply(codec.decode_frame(codec.encode_frame(frame)))


def test_a_queue_of_two_producers_keeps_ten_records_for_ten_elements() -> None:
    """100,000 operations, with frames in between: what is kept is what is in the queue (invariant I11)."""
    states = [State(Actor("a", 1)), State(Actor("b", 2))]
    for turn in range(50_000):
        lists.push(states[turn % 2], K, [b"%d" % turn])
        if turn >= 10:
            lists.pop(states[0], K, 1, True)
        if turn % 10 == 9:
            exchange(states)
    exchange(states)
    for state in states:
        found = entry_of(state).elements.places(0, 20)
        assert len(found) == state.live == 10
        assert len({place[: places.parse(place).head] for place in found}) <= 10
        assert max(map(len, found)) <= 18
        assert sum(len(chunk) for owner in state.actors.values() for chunk in owner.chunks) < 200
        assert len(entry_of(state).elements._blocks) <= 2


def test_memory_is_that_of_what_is_there() -> None:
    """Elements come and go; what was removed leaves nothing behind (invariant I11)."""
    state = State(Actor("a", 1))

    def churn(count: int) -> None:
        for i in range(count):
            lists.push(state, K, [b"%020d" % i], i % 3 == 0)
            if i % 5 == 0:
                lists.insert(state, K, lists.values(state, K, 0, 1)[0], b"%d" % i, True)
                lists.pop(state, K, 1, False)
            if lists.size(state, K) > 100:
                lists.pop(state, K, 1, i % 2 == 0)
            if i % 100 == 0:
                state.cut()
        assert max(map(len, entry_of(state).elements.places(0, 100))) < 100

    churn(2000)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    churn(20_000)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000
    assert state.live == 100


@pytest.mark.parametrize("leftwards", [False, True])
def test_many_elements_go_at_once(leftwards: bool) -> None:
    """What is written together is taken out together, here and at a peer, also around what others wrote or set."""
    states = [State(Actor("a", 1)), State(Actor("b", 2))]
    lists.push(states[0], K, [b"%d" % i for i in range(3000)], leftwards)
    exchange(states)
    lists.insert(states[1], K, b"1500", b"new", True)
    lists.put(states[1], K, 700, b"set")
    lists.trim(states[0], K, 1000, 2000)
    expected = lists.values(states[0], K)
    exchange(states)
    shown = lists.values(states[0], K)
    assert shown == lists.values(states[1], K)
    assert [value for value in shown if value not in (b"new", b"set")] == expected
    assert len(shown) == 1002
    assert lists.remove(states[1], K, b"set") == 1
    assert len(lists.pop(states[1], K, 900, True)) == 900
    exchange(states)
    assert lists.values(states[0], K) == lists.values(states[1], K)
    assert lists.size(states[0], K) == 101
