"""Pending operations that move to a new actor keep their effect, and nothing is spent under the old name."""

from __future__ import annotations

from random import Random

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.errors import UsageError
from crdt.frame import Frame
from crdt.moving import go_on_as
from crdt.state import State
from crdt.types import counters, flags, hashes, keyspace, sets, strings

OLD, NEW, OTHER = Actor("a", 1), Actor("a", 2), Actor("b", 3)


def write(state: State, rng: Random) -> None:
    """One random operation."""
    n, key = rng.randrange(11), rng.choice((b"x", b"y"))
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
            keyspace.delete(state, rng.choice((b"s", b"h", b"b")) + key)
        else:
            strings.siblings(state, b"n" + key)  # names what is pending
    except UsageError:
        pass


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
            else True
            if kind == "flag"
            else strings.get(state, key)
        )
    return out


def cut(state: State) -> Frame | None:
    frame = state.cut()
    return None if frame is None else decode_frame(encode_frame(frame))


@pytest.mark.parametrize("seed", range(300))
def test_the_effect_stays(seed: int) -> None:
    rng = Random(seed)
    state, peer = State(OLD), State(OTHER)
    for _ in range(rng.randrange(12)):
        state.begin(1000)
        write(state, rng)
        if rng.random() < 0.3:
            write(peer, rng)
            for source, target in ((state, peer), (peer, state)):
                frame = cut(source)
                if frame is not None and target.ready(frame):
                    target.apply(frame)
    first = cut(state)
    if first is not None and not peer.applied(OLD) >= first.last:
        assert peer.ready(first)
        peer.apply(first)
    committed = state.applied(OLD)
    for _ in range(rng.randrange(1, 15)):
        state.begin(2000)
        write(state, rng)
    before = shown(state)
    go_on_as(state, NEW)
    assert shown(state) == before
    if rng.random() < 0.5:
        write(state, rng)
    after = cut(state)
    assert state.applied(OLD) == committed
    if after is not None:
        assert after.actor == NEW and after.first == 1
        mine = cut(peer)
        assert peer.ready(after)
        peer.apply(after)
        if mine is not None:
            assert state.ready(mine)
            state.apply(mine)
        for last in (cut(state), cut(peer)):
            for target in (state, peer):
                if last is not None and target.applied(last.actor) < last.last:
                    target.apply(last)
        assert (peer.hash, peer.vector_hash) == (state.hash, state.vector_hash)
        assert shown(peer) == shown(state)


def test_a_count_that_both_clones_go_on_with_is_exact() -> None:
    clones = [State(OLD), State(OLD)]
    for state in clones:
        state.begin(1000)
        counters.incr(state, b"n", 10)
    first = cut(clones[0])
    cut(clones[1])
    counters.incr(clones[0], b"n", 1)
    counters.incr(clones[1], b"n", 2)
    known = cut(clones[0])
    assert first is not None and known is not None
    go_on_as(clones[1], NEW)
    assert strings.get(clones[1], b"n") == b"12"
    moved = cut(clones[1])
    assert moved is not None
    clones[1].apply(known)
    clones[0].apply(moved)
    assert [strings.get(state, b"n") for state in clones] == [b"13", b"13"]
    assert clones[0].hash == clones[1].hash


def test_a_set_that_took_the_own_count_takes_it_under_its_new_name() -> None:
    state, peer = State(OLD), State(OTHER)
    state.begin(1000)
    counters.incr(state, b"n", 10)
    first = cut(state)
    assert first is not None
    peer.apply(first)
    counters.incr(state, b"n", 5)
    strings.put(state, b"n", b"100")
    counters.incr(state, b"n", 1)
    go_on_as(state, NEW)
    moved = cut(state)
    assert moved is not None
    peer.apply(moved)
    assert strings.get(state, b"n") == strings.get(peer, b"n") == b"101"
    assert state.hash == peer.hash
