"""Pending operations that move to a new actor keep their effect, and nothing is spent under the old name."""

from __future__ import annotations

from random import Random

import pytest

from crdt.dots import Actor
from crdt.errors import UsageError
from crdt.moving import go_on_as
from crdt.state import State
from crdt.types import counters, documents, flags, hashes, keyspace, lists, sets, strings, texts, zsets
from tests.crdt.replicas import cut, pending

OLD, NEW, OTHER = Actor("a", 1), Actor("a", 2), Actor("b", 3)


def write(state: State, rng: Random, contexts: list[bytes]) -> None:
    """One random operation. `contexts`: what was read before."""
    n, key = rng.randrange(20), rng.choice((b"x", b"y"))
    try:
        if n < 3:
            counters.incr(state, b"n" + key, rng.randrange(-3, 9))
        elif n == 3:
            strings.put(state, b"n" + key, b"%d" % rng.randrange(99))
        elif n == 4:
            sets.add(state, b"s" + key, [b"%d" % rng.randrange(200) for _ in range(rng.choice([2, 90]))])
        elif n == 5:
            sets.remove(state, b"s" + key, [b"%d" % rng.randrange(200)])
        elif n == 6:
            hashes.put(state, b"h" + key, [(b"f%d" % rng.randrange(3), b"7")])
        elif n == 7:
            hashes.incr(state, b"h" + key, b"f%d" % rng.randrange(3), 2)
        elif n == 8:
            flags.enable(state, b"b" + key)
        elif n == 9:
            keyspace.delete(state, rng.choice((b"s", b"h", b"b", b"l", b"t", b"n", b"n")) + key)
        elif n == 10:
            lists.push(state, b"l" + key, [b"%d" % rng.randrange(99)] * 2, rng.random() < 0.5)
        elif n == 11:
            held = lists.values(state, b"l" + key) or [b""]
            lists.insert(state, b"l" + key, rng.choice(held), b"%d" % rng.randrange(99), rng.random() < 0.5)
        elif n == 12:
            lists.pop(state, b"l" + key, 1, rng.random() < 0.5)
            lists.put(state, b"l" + key, -1, b"%d" % rng.randrange(99))
        elif n == 13:
            texts.insert(state, b"t" + key, rng.randint(0, texts.size(state, b"t" + key)), "abc")
        elif n == 14:
            strings.siblings(state, b"n" + key)  # names what is pending
        elif n == 15:
            contexts.append(strings.context(state, b"n" + key))
        elif n == 16 and contexts:
            strings.put_over(state, b"n" + key, b"%d" % rng.randrange(99), rng.choice(contexts))
        else:
            change(state, b"j" + key, rng)
    except UsageError:
        pass


def change(state: State, key: bytes, rng: Random) -> None:
    """Something in a document: members, elements, elements within elements, counts."""
    doc = documents.document(state, key)
    if doc is None or rng.random() < 0.1:
        documents.put(state, key, {"a": [1, [2, 3]], "n": 5})
        return
    node = rng.choice(list(doc.root.below()))
    kind, value = documents.kind(state, node), rng.choice([7, [8], {"m": [9]}])
    if kind == "array":
        documents.insert(state, doc, node, rng.randint(0, documents.size(node)), [value, 1])
    elif kind == "object":
        documents.add(state, doc, node, b"%d" % rng.randrange(3), value)
    elif kind in ("integer", "number") and node.live:
        documents.increase(state, doc, node, 2)
    elif node.live and rng.random() < 0.3:
        documents.remove(state, doc, node)


def shown(state: State) -> dict[bytes, object]:
    """What readers see."""
    out: dict[bytes, object] = {}
    for key in keyspace.keys(state):
        kind = keyspace.type_name(state, key)
        out[key] = (
            sorted(sets.members(state, key))
            if kind == "set"
            else sorted(hashes.items(state, key))
            if kind == "hash"
            else lists.values(state, key)
            if kind == "list"
            else texts.get(state, key)
            if kind == "text"
            else document(state, key)
            if kind == "ReJSON-RL"
            else True
            if kind == "flag"
            else strings.get(state, key)
        )
    return out


def document(state: State, key: bytes) -> bytes:
    """As text."""
    doc = documents.document(state, key)
    assert doc is not None
    return documents.text(state, doc.root)


@pytest.mark.parametrize("seed", [*range(300), 4407, 4446, 5163])  # those brought a removed count back
def test_the_effect_stays(seed: int) -> None:
    rng = Random(seed)
    state, peer = State(OLD), State(OTHER)
    contexts: list[bytes] = []
    for _ in range(rng.randrange(12)):
        state.begin(1000)
        write(state, rng, contexts)
        if rng.random() < 0.3:
            write(peer, rng, [])
            for source, target in ((state, peer), (peer, state)):
                frame = pending(source)
                if frame is not None and target.ready(frame):
                    target.apply(frame)
    first = pending(state)
    if first is not None and not peer.applied(OLD) >= first.last:
        assert peer.ready(first)
        peer.apply(first)
    committed = state.applied(OLD)
    for _ in range(rng.randrange(1, 15)):
        state.begin(2000)
        write(state, rng, contexts)
        if rng.random() < 0.1:
            write(peer, rng, [])
            heard = pending(peer)
            if heard is not None and state.ready(heard):
                state.apply(heard)
    before = shown(state)
    go_on_as(state, NEW)
    assert shown(state) == before
    if rng.random() < 0.5:
        write(state, rng, contexts)
    after = pending(state)
    assert state.applied(OLD) == committed
    if after is not None:
        assert after.actor == NEW and after.first == 1
        mine = pending(peer)
        assert peer.ready(after)
        peer.apply(after)
        if mine is not None:
            assert state.ready(mine)
            state.apply(mine)
        for last in (pending(state), pending(peer)):
            for target in (state, peer):
                if last is not None and target.applied(last.actor) < last.last:
                    target.apply(last)
        assert (peer.hash, peer.vector_hash) == (state.hash, state.vector_hash)
        assert shown(peer) == shown(state)


def goes_its_own_way(clones: list[State]) -> None:
    """The second goes on as another actor, which no reader sees; then each hears of the other, and they agree."""
    known = pending(clones[0])
    assert known is not None
    before = shown(clones[1])
    go_on_as(clones[1], NEW)
    assert shown(clones[1]) == before
    moved = pending(clones[1])
    assert moved is not None
    clones[1].apply(known)
    clones[0].apply(moved)
    assert shown(clones[0]) == shown(clones[1]) and clones[0].hash == clones[1].hash


def test_a_count_that_both_clones_go_on_with_is_exact() -> None:
    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        counters.incr(state, b"n", 10)
    first, _ = pending(clones[0]), pending(clones[1])
    assert first is not None
    counters.incr(clones[0], b"n", 1)
    counters.incr(clones[1], b"n", 2)
    assert strings.get(clones[1], b"n") == b"12"
    goes_its_own_way(clones)
    assert [strings.get(state, b"n") for state in clones] == [b"13", b"13"]


@pytest.mark.parametrize("overwritten", [False, True], ids=["deleted", "overwritten"])
def test_a_count_that_a_peer_has_removed_meanwhile_does_not_come_back(*, overwritten: bool) -> None:
    state, peer = State(OLD), State(OTHER)
    for each in (state, peer):
        each.begin(1000)
    counters.incr(state, b"n", 5)
    peer.apply(cut(state))
    counters.incr(state, b"n", 2)
    if overwritten:
        strings.put(peer, b"n", b"x")
    else:
        keyspace.delete(peer, b"n")
    state.apply(cut(peer))
    seen = shown(state)
    go_on_as(state, NEW)
    assert shown(state) == seen == {b"n": b"x" if overwritten else b"2"}
    peer.apply(cut(state))
    assert shown(peer) == seen
    assert (peer.hash, peer.vector_hash) == (state.hash, state.vector_hash)


def test_a_set_that_took_the_own_count_takes_it_under_its_new_name() -> None:
    state, peer = State(OLD), State(OTHER)
    state.begin(1000)
    counters.incr(state, b"n", 10)
    first = pending(state)
    assert first is not None
    peer.apply(first)
    counters.incr(state, b"n", 5)
    strings.put(state, b"n", b"100")
    counters.incr(state, b"n", 1)
    go_on_as(state, NEW)
    moved = pending(state)
    assert moved is not None
    peer.apply(moved)
    assert strings.get(state, b"n") == strings.get(peer, b"n") == b"101"
    assert state.hash == peer.hash


@pytest.mark.parametrize("key", [b"n", b"m"])
def test_a_context_that_names_a_pending_count_which_was_deleted_since(key: bytes) -> None:
    """What is written with it, over that counter or another, takes what was committed of it, and no more."""
    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        counters.incr(state, b"n", 5)
        counters.incr(state, b"m", 50)
    first, _ = pending(clones[0]), pending(clones[1])
    assert first is not None
    counters.incr(clones[0], b"n", 1)
    counters.incr(clones[1], b"n", 2)
    strings.put(clones[1], b"n", b"1")
    context = strings.context(clones[1], b"n")
    keyspace.delete(clones[1], b"n")
    strings.put_over(clones[1], key, b"100", context)
    strings.put(clones[1], b"beside", b"acknowledged")
    goes_its_own_way(clones)
    assert shown(clones[0])[b"beside"] == b"acknowledged"
    assert key == b"m" or strings.get(clones[0], b"n") == b"101", "the other one's increment stands"


def test_clones_that_went_on_with_one_run_keep_both_their_elements() -> None:
    """Both continued the same run with the same operations, in the middle and at the ends."""
    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        lists.push(state, b"l", [b"m", b"n"])
        texts.insert(state, b"t", 0, "mn")
    first, _ = pending(clones[0]), pending(clones[1])
    assert first is not None
    for name, state in zip("ab", clones, strict=True):
        lists.push(state, b"l", [b"%b%d" % (name.encode(), i) for i in range(3)])
        lists.push(state, b"l", [name.encode()], True)
        texts.insert(state, b"t", 1, name * 3)
        texts.insert(state, b"t", 5, name * 2)
    goes_its_own_way(clones)
    held = lists.values(clones[0], b"l")
    assert sorted(held) == sorted([b"m", b"n", b"a", b"b", b"a0", b"a1", b"a2", b"b0", b"b1", b"b2"])
    for name in (b"a", b"b"):
        at = held.index(name + b"0")
        assert held[at : at + 3] == [name + b"0", name + b"1", name + b"2"]
    text = texts.get(clones[0], b"t")
    assert text is not None and b"aaa" in text and b"bbb" in text and len(text) == 12


def test_clones_that_went_on_with_one_array_keep_both_their_elements() -> None:
    """Both put whole containers into it, by the same operations, in the middle and at the end, and wrote in those."""
    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        documents.put(state, b"j", [[0], 1])
    first, _ = pending(clones[0]), pending(clones[1])
    assert first is not None
    for name, state in zip("ab", clones, strict=True):
        doc = documents.document(state, b"j")
        assert doc is not None
        documents.insert(state, doc, doc.root, 1, [[name], {name: [name, {}]}])
        documents.insert(state, doc, doc.root, 4, [name])
        documents.insert(state, doc, documents.elements(doc.root, 0, 1)[0], 1, [name])
        documents.insert(state, doc, documents.elements(doc.root, 1, 2)[0], 1, [name * 2])
    goes_its_own_way(clones)
    assert document(clones[0], b"j") == b'[[0,"b","a"],["b","bb"],{"b":["b",{}]},["a","aa"],{"a":["a",{}]},1,"b","a"]'


@pytest.mark.parametrize("counted_first", [False, True])
@pytest.mark.parametrize("fields", [1, 300])
def test_a_pending_deletion_takes_what_it_saw_of_the_own_count(counted_first: bool, fields: int) -> None:
    """The other one goes on with that count: what it adds stays, and nothing else."""

    def count(state: State, by: int) -> None:
        counters.incr(state, b"n", by)
        counters.grow(state, b"g", by)
        zsets.increase(state, b"z", b"m", by)
        for i in range(fields):
            hashes.incr(state, b"h", b"%d" % i, by)

    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        count(state, 10)
        pending(state)
    count(clones[0], 1)
    known = pending(clones[0])
    if counted_first:
        count(clones[1], 2)
    for key in (b"n", b"g", b"z", b"h"):
        keyspace.delete(clones[1], key)
    go_on_as(clones[1], NEW)
    moved = pending(clones[1])
    clones[1].apply(known)
    clones[0].apply(moved)
    for state in clones:
        assert strings.get(state, b"n") == b"1" and counters.grown(state, b"g") == 1
        assert list(zsets.ordered(state, b"z")) == [(1.0, b"m")]
        assert {hashes.get(state, b"h", b"%d" % i) for i in range(fields)} == {b"1"}
    assert clones[0].hash == clones[1].hash
