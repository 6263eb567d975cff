"""What a peer lacks and has ahead, told from sums and from vectors, against the truth."""

from __future__ import annotations

from random import Random

from crdt.dots import Actor
from crdt.replica import standing as module
from crdt.replica.peers import Peer
from crdt.replica.standing import MOMENTS, Moments, Vectors, written
from crdt.state import State

A, B, C = Actor("a", 1), Actor("b", 2), Actor("c", 3)


def standing(vector: dict[Actor, int]) -> State:
    """A state of a's that stands there."""
    state = State(A)
    state.loaded(vector)
    return state


def gap(state: State, peer: Peer, vector: dict[Actor, int] | None) -> tuple[int, int]:
    """With what it needs."""
    return module.gap(state, peer, vector, written(state))


def heard(vector: dict[Actor, int]) -> Peer:
    """What b's HELLO tells of this vector."""
    return Peer("b", actor=B, seq=vector.get(B, 0), vector_sum=sum(vector.values()), heard=True)


def test_both_sides_of_a_partition_wrote() -> None:
    mine, theirs = {A: 5, B: 2}, {A: 1, B: 9}
    assert gap(standing(mine), heard(theirs), None) == (4, 7)
    assert gap(standing(mine), heard(theirs), theirs) == (4, 7)


def test_nobody_lacks_its_own_operations() -> None:
    peer = heard({A: 1, B: 2})
    for vector in (None, {A: 1, B: 2}):
        assert gap(standing({A: 1, B: 6}), peer, vector) == (0, 0)
        assert gap(standing({A: 3, B: 6}), peer, vector) == (2, 0)


def test_what_came_since_its_vector_is_first_what_it_lacked() -> None:
    mine, then = {A: 5, B: 1, C: 3}, {A: 1, B: 1}
    assert gap(standing(mine), heard(then), then) == (7, 0)
    assert gap(standing(mine), heard({A: 5, B: 1}), then) == (3, 0)
    assert gap(standing(mine), heard({A: 5, B: 1, C: 3}), then) == (0, 0)
    assert gap(standing(mine), heard({A: 5, B: 1, C: 5}), then) == (0, 2)


def test_the_difference_is_always_right_and_a_fresh_vector_tells_both() -> None:
    rng = Random(1)
    for _ in range(300):
        mine, theirs = ({actor: rng.randrange(9) for actor in (A, B, C)} for _ in range(2))
        theirs[B] = max(mine[B], theirs[B])
        state, peer = standing(mine), heard(theirs)
        lag = sum(max(0, mine[actor] - theirs[actor]) for actor in mine)
        behind = sum(max(0, theirs[actor] - mine[actor]) for actor in mine)
        assert gap(state, peer, dict(theirs)) == (lag, behind)
        shown = gap(state, peer, None)
        assert shown[0] - shown[1] == lag - behind and 0 <= shown[0] <= lag


def test_one_that_was_never_heard_of_may_lack_everything() -> None:
    assert gap(standing({A: 5}), Peer("b"), None) == (5, 0)


def test_one_of_whom_only_frames_came_does_not_lack_them() -> None:
    """Whatever life of it wrote them; what an ACK said of its vector counts as well."""
    state = standing({A: 5, B: 6, Actor("b", 9): 2})
    assert gap(state, Peer("b"), None) == (5, 0)
    assert gap(state, Peer("b", vector_sum=10), None) == (3, 0)
    assert gap(state, Peer("b", vector_sum=15), None) == (0, 2)


def test_vectors_are_bounded_and_the_oldest_go() -> None:
    vectors = Vectors(limit=5)
    for name in "bcd":
        vectors.learn(name, {A: 1, B: 2})
    assert vectors.get("b") is None and vectors.get("d") == {A: 1, B: 2} and len(vectors) == 2
    vectors.learn("e", {Actor("x", i): 1 for i in range(6)})
    assert vectors.get("e") is None and len(vectors) == 2
    vectors.forget("d")
    vectors.learn("c", {A: 1})
    vectors.learn("f", {A: 1, B: 1, C: 1})
    assert len(vectors) == 2


def test_since_when() -> None:
    moments = Moments()
    assert moments.since(0) is None
    for second in range(10):
        moments.note(second * 5, float(second))
        moments.note(second * 5, second + 0.5)
    assert moments.since(0) == 1.0 and moments.since(12) == 3.0 and moments.since(45) is None


def test_moments_are_bounded_and_forget_the_old_ones_first() -> None:
    moments = Moments()
    for second in range(10 * MOMENTS):
        moments.note(second, float(second))
    assert len(moments._sums) <= MOMENTS
    assert moments.since(0) is not None and moments.since(10 * MOMENTS - 2) == 10 * MOMENTS - 1
