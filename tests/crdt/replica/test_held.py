"""What waits, in bounds, and what an advance sets free."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable

import msgpack
import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor, Runs
from crdt.frame import Frame, Group
from crdt.replica.held import FRAME_COST, Held, HeldFrame, Name, cost
from crdt.state import State
from crdt.types import counters, sets, strings, texts

A, B, C, D = Actor("a", 1), Actor("b", 2), Actor("c", 3), Actor("d", 4)


def frame(actor: Actor, first: int, last: int = 0, **deps: int) -> Frame:
    seqs = list(range(first, (last or first) + 1))
    group = Group(1, None, [b"k%d" % n for n in seqs], [b"v"] * len(seqs), seqs, [(len(seqs), 1 << 26)])
    return Frame(actor, first, last or first, {by[name]: n for name, n in deps.items()}, [group])


by = {"a": A, "b": B, "c": C, "d": D}


def test_bounded_by_bytes_and_each_once() -> None:
    size = cost(frame(A, 2, 3), b"12345")
    held, state = Held(size + FRAME_COST), State(C)
    assert held.add(state, frame(A, 2, 3), b"12345", 0.0) and held.add(state, frame(A, 2, 3), b"12345", 1.0)
    assert held.bytes == size > FRAME_COST and not held.add(state, frame(A, 4), b"1", 0.0)
    assert held.expire(0.5) == 1 and (held.bytes, len(held)) == (0, 0)
    assert held.pop(state, A) is None


def _written(write: Callable[[State, int], object]) -> list[bytes]:
    state, out = State(A), []
    for n in range(3):
        state.begin(1000 + n)
        write(state, n)
        one = state.cut()
        assert one is not None
        out.append(encode_frame(one))
    return out


def _strings(state: State, n: int) -> None:
    for i in range(500):
        state.begin(2000 + 500 * n + i)
        strings.put(state, b"key%d" % (500 * n + i), b"v" * 20)


def _counts(state: State, n: int) -> None:
    for i in range(500):
        counters.incr(state, b"c%d" % (500 * n + i), 5)


def _naming(actors: list[Actor]) -> bytes:
    payload = msgpack.ExtType(1, msgpack.packb([0, b"v", [[*actor, 1, 300, 5] for actor in actors]]))
    return encode_frame(Frame(A, 1, 1, {}, [Group(1, None, [b"k"], [payload], [1], [(1, 1 << 26)])]))


ROWS: dict[str, Callable[[], list[bytes]]] = {
    "text": lambda: _written(lambda state, n: texts.insert(state, b"t", 0, "lorem ipsum dolor sit amet " * 100)),
    "text of other letters": lambda: _written(lambda state, n: texts.insert(state, b"t", 0, "\u6f22\u5b57" * 1000)),
    "set": lambda: _written(lambda state, n: sets.add(state, b"s", [b"%d" % (2000 * n + i) for i in range(2000)])),
    "strings, each at its own time": lambda: _written(_strings),
    "counts": lambda: _written(_counts),
    "one large string": lambda: _written(lambda state, n: strings.put(state, b"k", b"v" * 100_000)),
    "removes": lambda: [encode_frame(Frame(A, 1, 1, {}, removes={B: Runs(range(1, 20_000, 2))}))],
    "deps": lambda: [encode_frame(Frame(A, 1, 1, {Actor(f"actor{i}", i << 40): i + 300 for i in range(2000)}))],
    "removes of many": lambda: [
        encode_frame(Frame(A, 1, 1, removes={Actor(f"actor{i}", i << 40): Runs([i + 300]) for i in range(2000)}))
    ],
    "a range over many": lambda: [
        encode_frame(Frame(A, 1, 1, ranges=[((b"k",), {Actor(f"actor{i}", i << 40): i + 300 for i in range(2000)})]))
    ],
    "names in counts": lambda: [_naming([Actor(f"actor{i:04}", i << 40) for i in range(2000)])],
}


@pytest.mark.parametrize("what", ROWS)
def test_what_a_frame_takes_is_counted_as_it_is_decoded(what: str) -> None:
    datas = ROWS[what]()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        copies = [bytes(bytearray(data)) for data in datas]
        frames = [decode_frame(data) for data in copies]
        held, state = Held(1 << 30), State(C)
        for n, (one, data) in enumerate(zip(frames, copies, strict=True)):
            one.first, one.last = one.first + n + 1, one.last + n + 1  # so that it waits
            held.add(state, one, data, 0.0)
        gc.collect()
        grew = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grew / 2 < held.bytes < 2 * grew


def test_spans_join_neighbours() -> None:
    held = Held(100_000)
    for actor, first, last in ((A, 5, 6), (B, 2, 2), (A, 2, 3), (A, 4, 4), (A, 9, 9)):
        held.add(State(C), frame(actor, first, last), b"x", 0.0)
    assert held.spans(9) == [(A, 2, 6), (A, 9, 9), (B, 2, 2)]
    assert held.spans(1) == [(A, 2, 6)]


def test_it_waits_for_one_thing_after_the_other() -> None:
    held, state = Held(100_000), State(C)
    held.add(state, frame(A, 2, b=2), b"x", 0.0)
    state.apply(frame(B, 1, 2))
    assert held.pop(state, B) is None and len(held) == 1
    state.apply(frame(A, 1))
    one = held.pop(state, A)
    assert one is not None and one.frame.first == 2 and held.pop(state, A) is None and held.bytes == 0


def test_it_waits_for_whom_it_names() -> None:
    held, state, one = Held(100_000), State(C), decode_frame(_naming([B, D]))
    held.add(state, one, b"x", 0.0)
    state.apply(frame(B, 1))
    assert held.due(state, B) and held.pop(state, B) is None and len(held) == 1
    state.apply(frame(D, 1))
    assert held.pop(state, D) is not None and len(held) == 0


def test_what_a_larger_one_brought_is_dropped() -> None:
    held, state = Held(100_000), State(C)
    held.add(state, frame(A, 2, b=1), b"x", 0.0)
    state.apply(frame(A, 1, 3))
    assert held.pop(state, A) is None and len(held) == 0


@pytest.mark.parametrize("seed", range(20))
def test_it_sets_free_what_a_look_at_everything_would(seed: int) -> None:
    rng = random.Random(seed)
    actors = [Actor(name, 1) for name in "abcdef"]
    made: dict[Actor, int] = dict.fromkeys(actors, 0)
    frames: list[Frame] = []
    for _ in range(120):
        actor = rng.choice(actors)
        saw = {a: n for a, n in made.items() if a != actor and n and rng.random() < 0.4}
        first = made[actor] + 1
        made[actor] += rng.randrange(1, 4)
        one = frame(actor, first, made[actor])
        one.deps = saw
        frames.append(one)
    came = rng.sample(frames, len(frames)) + rng.sample(frames, 30)
    held, state = Held(1 << 30), State(C)
    for now, one in enumerate(came):
        if one.last <= state.applied(one.actor):
            continue
        if not state.ready(one):
            held.add(state, one, b"x", now)
            if rng.random() < 0.1:
                held.expire(now - 60)
            continue
        state.apply(one)
        todo = [one.actor]
        while todo:
            free = held.pop(state, todo[-1])
            if free is None:
                todo.pop()
                continue
            state.apply(free.frame)
            todo.append(free.frame.actor)
        assert not any(state.ready(h.frame) or h.frame.last <= state.applied(h.frame.actor) for h in held.first(1000))
    assert len(held._frames) * 4 + 64 >= held._entries == sum(map(len, held._waits.values()))


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often it is asked from now on how far somebody has come."""
    looks, applied = [0], State.applied

    def counted(self: State, actor: Actor) -> int:
        looks[0] += 1
        return applied(self, actor)

    monkeypatch.setattr(State, "applied", counted)
    return looks


def test_a_chain_and_a_crowd_of_strangers_cost_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand frames in a row that come backwards, beside a thousand that wait for what never comes."""
    held, state = Held(1 << 30), State(C)
    for n in range(1000, 1, -1):
        held.add(state, frame(A, n), b"x", 0.0)
        held.add(state, frame(Actor("stranger", n), 2), b"x", 0.0)
    looks = counted_looks(monkeypatch)
    state.apply(frame(A, 1))
    while (one := held.pop(state, A)) is not None:
        state.apply(one.frame)
    assert state.applied(A) == 1000 and len(held) == 999 and looks[0] <= 10 * 1000


CROWD = [Actor("known one by one", n) for n in range(200)]
CAUSES: dict[str, Frame] = {
    "deps": Frame(A, 1, 1, dict.fromkeys(CROWD, 1)),
    "removes": Frame(A, 1, 1, removes={actor: Runs([1]) for actor in CROWD}),
    "ranges": Frame(A, 1, 1, ranges=[((b"k",), dict.fromkeys(CROWD, 1))]),
    "names": decode_frame(_naming(CROWD)),
}


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("what", CAUSES)
def test_of_many_that_come_one_by_one_each_is_looked_at_once(
    what: str, forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, state, watch = Held(1 << 30), State(C), Held._watch

    def from_the_start(self: Held, state: State, one: HeldFrame, name: Name) -> bool:
        one.waits[:] = reversed(one.frame.causes())
        return watch(self, state, one, name)

    if forgets:
        monkeypatch.setattr(Held, "_watch", from_the_start)
    held.add(state, CAUSES[what], b"x", 0.0)
    looks = counted_looks(monkeypatch)
    for actor in CROWD:
        state.apply(Frame(actor, 1, 1))
        assert held.due(state, actor)
        assert (held.pop(state, actor) is not None) == (actor == CROWD[-1])
    assert (looks[0] <= 10 * len(CROWD)) != forgets


def test_what_is_found_ready_is_looked_at_as_a_whole() -> None:
    """If ever a vector went back, what had been passed would be lacking again."""
    held, state = Held(1 << 30), State(C)
    held.add(state, frame(A, 1, b=1, d=1), b"x", 0.0)
    state.apply(frame(B, 1))
    assert held.pop(state, B) is None
    other = State(C)
    other.apply(frame(D, 1))
    assert held.pop(other, D) is None and len(held) == 1
    other.apply(frame(B, 1))
    assert held.pop(other, B) is not None


def test_what_comes_and_expires_for_ever_leaves_nothing() -> None:
    held, state = Held(1 << 30), State(C)
    for n in range(3000):
        held.add(state, frame(Actor("x", n), 2, b=9), b"x", n)
        held.expire(n - 5)
    assert len(held) <= 6 and held._entries <= 4 * 6 + 64 and len(held._waits) <= 4 * 6 + 64
