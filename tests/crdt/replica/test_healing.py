"""Divergence: found, told, healed; bounded, over loss, without a stampede; a clone becomes somebody else."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random

import pytest

from crdt.codec import encode_rows
from crdt.dots import Actor
from crdt.frame import Group
from crdt.mending import row_at
from crdt.replica import messages
from crdt.replica.effects import Lane
from crdt.replica.events import Connected, Disconnected
from crdt.replica.healing import ANSWERS
from crdt.replica.lives import REISSUED
from crdt.replica.messages import ALL, MAX_LIST, Compare, Delta, Differ, Hello
from crdt.replica.tuning import Tuning
from crdt.types import counters, numberwire, sets, strings
from tests.crdt.replica.desk import Desk
from tests.crdt.replica.hostile import MADE_UP, counted_on
from tests.simulation.defects import exchange as swap
from tests.simulation.defects import lose
from tests.simulation.mistakes import anybody_answers

A = Actor("a", 1)
QUICK = Tuning(interval=0.0, heartbeat=1.0, max_message=700)


def desks(count: int, rows: int = 300, tuning: Tuning = QUICK) -> list[Desk]:
    """Equal replicas: a's rows are members of s, then t and the count n."""
    made = [Desk("abcdefghijkl"[i], i + 1, tuning) for i in range(count)]
    a = made[0].state
    sets.add(a, b"s", [b"%d" % i for i in range(rows)])
    strings.put(a, b"t", b"v")
    counters.incr(a, b"n", 5)
    made[0].commit()
    talk(made, 6)
    assert len({desk.state.hash for desk in made}) == 1
    return made


def talk(made: list[Desk], seconds: float, loss: Random | None = None, slow: Desk | None = None) -> int:
    """Everybody hears everybody, but for every third message if there is loss, and a `slow` one after the others. How
    many COMPAREs were sent.
    """
    compares = 0
    for turn in range(int(seconds / 0.05)):
        for source in made:
            if source is slow and turn % 3:
                continue
            sent, source.sent = source.sent, []
            for lane, to, message in sent:
                compares += isinstance(message, Compare)
                for target in made:
                    here = to == target.replica.name or (to is None and target is not source)
                    if here and (loss is None or loss.random() > 0.33):
                        target.receive(source.replica.name, message, inbox=lane is Lane.INBOX)
        for desk in made:
            if desk.replica.dirty:
                desk.commit()
            desk.wait(0.05)
    return compares


def drop(desk: Desk, *seqs: int) -> None:
    for seq in seqs:
        lose(desk.state, desk.state.actors[desk.state.indexes[A]], seq)
    desk.replica.view = desk.replica._standing()


def test_rows_lost_on_either_side_come_back() -> None:
    a, b = desks(2, 5000, Tuning(interval=0.0, heartbeat=1.0))
    drop(b, 77, 5001, 5002)
    drop(a, 99)
    talk([a, b], 10)
    assert a.state.hash == b.state.hash and a.replica.counts["healed"] + b.replica.counts["healed"] == 4
    for desk in (a, b):
        assert sets.size(desk.state, b"s") == 5000 and strings.get(desk.state, b"n") == b"5"
        assert {"divergence", "healed"} <= set(desk.alarms) and "fork" not in desk.alarms
        assert desk.replica.counts["divergences"] == 1


def test_two_contents_of_one_dot_stand_side_by_side() -> None:
    a, b, c = desks(3)
    swap(b.state, b.state.actors[b.state.indexes[A]], 301, Random(1))
    b.replica.view = b.replica._standing()
    talk([a, b, c], 15)
    assert a.state.hash == b.state.hash == c.state.hash
    found = strings.siblings(c.state, b"t")
    assert found is not None and {one.value for one in found} == {b"v", b"v!"}
    assert "fork" in a.alarms  # somebody spent a dot of a


def test_it_works_over_loss() -> None:
    a, b, c = desks(3)
    drop(b, *range(10, 60))
    drop(c, *range(50, 90))
    talk([a, b, c], 120, Random(3))
    assert a.state.hash == b.state.hash == c.state.hash
    assert sets.size(a.state, b"s") == 300


def test_one_of_many_that_hold_the_same_heals() -> None:
    made = desks(10)
    drop(made[4], *range(10, 60))
    compares = talk(made, 15)
    assert len({desk.state.hash for desk in made}) == 1
    assert 50 <= sum(desk.replica.counts["healed"] for desk in made) < 75  # nearly each row once
    assert compares < 120


def test_writing_goes_on_meanwhile() -> None:
    a, b = desks(2)
    drop(b, *range(10, 60))
    for i in range(100):
        for desk in (a, b):
            desk.state.begin(int(desk.now * 1000) + 1000)
            counters.incr(desk.state, b"n", 1)
            sets.add(desk.state, b"new", [b"%d" % i])
            desk.commit()
        talk([a, b], 0.1)
    talk([a, b], 10)
    assert a.state.hash == b.state.hash and sets.size(b.state, b"s") == 300 and strings.get(b.state, b"n") == b"205"


def test_wrong_books_alone_are_put_right() -> None:
    a, b = desks(2)
    owner = b.state.actors[b.state.indexes[A]]
    b.state.hash_all()
    b.state.add_hash(owner, 1)
    b.replica.view = b.replica._standing()
    talk([a, b], 15)
    assert a.state.hash == b.state.hash and a.replica.counts["healed"] == b.replica.counts["healed"] == 0


def test_an_answer_waits_for_its_commit() -> None:
    _, b = desks(2)
    b.stores = False
    sets.add(b.state, b"s", [b"pending"])
    b.receive("a", Compare(1, b.replica.session, [(A, 1, 1, 5)]))
    assert b.take(Differ) == []
    b.store()
    assert len(b.take(Differ)) == 1
    b.stores = False
    sets.add(b.state, b"s", [b"again"])
    for number in range(100):
        b.receive("a", Compare(number, b.replica.session, [(A, 1, 1, 5)]))
    b.store()
    assert len(b.take(Differ)) == ANSWERS


def test_the_work_for_one_question_is_bounded() -> None:
    a, _ = desks(2, 5000)
    a.receive("b", Compare(1, a.replica.session, [(A, 1, ALL - 1, 5)] * MAX_LIST))
    (answer,) = a.take(Differ)
    assert isinstance(answer, Differ) and 0 < answer.answered < 64
    a.receive("b", Compare(2, a.replica.session, [(Actor("z", 9), 1, ALL, 5), (A, ALL, ALL, 7)]))
    (answer,) = a.take(Differ)
    assert isinstance(answer, Differ) and answer.different == [0, 1] and answer.rows == [b"", b""]


B = Actor("b", 2)


def _asking(a: Desk, peer: Actor = B) -> int:
    """It compares with this peer; the number of its question."""
    view = a.replica.view
    a.receive(peer.name, Hello(peer, 9, 0, view.vector_hash, view.vector_sum, 1, 1, 1000), inbox=False)
    a.wait(1)
    return [m.number for m in a.take() if isinstance(m, Compare)][-1]


def test_answers_to_nothing_that_was_asked_are_dropped() -> None:
    a, _ = desks(2)
    number, before = _asking(a), a.state.hash
    row = row_at(a.state, a.state.me, 7)
    assert row is not None
    wrong = (
        Differ(number, 0, []),
        Differ(number, 2, [0]),
        Differ(number, 1, [1]),
        Differ(number, 1, [0, 0]),
        Differ(number, 1, [0], {}, [b"", b""]),
    )
    for message in wrong:
        a.receive("b", message)
    assert a.replica.drops == {"malformed": len(wrong)}
    a.receive("c", Differ(number, 1, [0]))
    a.receive("b", Differ(number + 1, 1, [0]))
    assert a.take(Compare) == []
    a.receive("b", Differ(number, 1, [0]))
    (question,) = a.take(Compare)
    assert isinstance(question, Compare)
    while question.items[0][1] < question.items[0][2]:
        a.receive("b", Differ(question.number, 1, [0]))
        (question,) = a.take(Compare)
        assert isinstance(question, Compare)
    for rows in ([], [b"\xc1"], [encode_rows([row]) + b"x"], [encode_rows([row])]):
        if question.items[0][1] != 7 or rows != [encode_rows([row])]:
            a.receive("b", Differ(question.number, 1, [0], {A: 300}, rows))
    assert a.replica.drops["malformed"] >= len(wrong) + 3 and a.state.hash == before


def test_whoever_answers_for_operations_that_are_unknown_here_is_pulled_from_first() -> None:
    a, _ = desks(2, 1)
    question = Compare(_asking(a), 9, [])
    a.receive("b", Differ(question.number, 1, [0]))
    (question,) = a.take(Compare)  # type: ignore[assignment]
    a.receive("b", Differ(question.number, 1, [0]))
    (question,) = a.take(Compare)  # type: ignore[assignment]
    before = a.state.hash
    a.receive("b", Differ(question.number, 1, [0], {A: 3, Actor("z", 1): 5}, [b""]))
    a.wait(0.5)
    kinds = [type(m).__name__ for m in a.take()]
    assert "Pull" in kinds and a.state.hash == before and a.replica.counts["healed"] == 0


def test_nobody_answers() -> None:
    a, _ = desks(2)
    _asking(a)
    a.wait(120)
    assert a.replica.healing.comparing is None
    assert len(a.take(Compare)) < 20


# -- daemons that share a name ----------------------------------------------------------------------------------------


def namesakes(count: int) -> list[Desk]:
    """b, and so many daemons named a, all equal."""
    made = [*desks(2)[::-1], *(Desk("a", 10 + i, QUICK) for i in range(1, count))]
    talk(made, 6)
    assert len({desk.state.hash for desk in made}) == 1
    return made


@pytest.mark.parametrize("anybody", [False, True])
def test_of_three_daemons_under_one_name_the_one_that_lacks_a_row_is_reached(anybody: bool) -> None:
    """What it asks itself shows nothing: all it has is there. Those that hold everything answered for it, sooner."""
    made = namesakes(3)
    drop(made[-1], 77)
    with anybody_answers() if anybody else nullcontext():
        talk(made, 60, slow=made[-1])
    assert (len({desk.state.hash for desk in made}) == 1) != anybody
    assert sets.size(made[-1].state, b"s") == (299 if anybody else 300)


def _says(a: Desk, session: int, state_hash: int) -> None:
    view = a.replica.view
    said = Hello(B, session, 0, view.vector_hash, view.vector_sum, state_hash, 1, 1000)
    a.receive("b", said, inbox=False)


def test_what_one_daemon_of_a_name_says_another_does_not_take_back() -> None:
    a = Desk("a", 1, QUICK)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    _says(a, 9, 1)
    _says(a, 10, a.replica.view.state_hash)
    assert not a.replica.converged(a.now)
    a.wait(1)
    assert [m.session for m in a.take() if isinstance(m, Compare)][:1] == [9]
    _says(a, 9, 1)
    _says(a, 10, a.replica.view.state_hash)
    assert a.replica.counts["divergences"] == a.alarms.count("divergence") == 1
    _says(a, 9, a.replica.view.state_hash)
    assert a.replica.converged(a.now)


def test_who_is_not_heard_any_more_holds_nothing_else() -> None:
    a = Desk("a", 1, QUICK)
    _says(a, 9, 1)
    for _ in range(3):
        a.wait(1)
        _says(a, 10, a.replica.view.state_hash)
        assert not a.replica.converged(a.now)
    a.wait(1)
    _says(a, 10, a.replica.view.state_hash)
    assert a.replica.converged(a.now)


# -- a machine that was cloned with its memory -------------------------------------------------------------------------


def test_a_frame_of_our_name_with_another_content_is_a_clone() -> None:
    a, clone, b = Desk("a", 1), Desk("a", 1), Desk("b", 2)
    sets.add(a.state, b"s", [b"mine", b"also mine"])
    a.commit()
    a.take()
    sets.add(clone.state, b"s", [b"its own"])
    clone.commit()
    (delta,) = clone.take(Delta)
    a.receive("a", delta, inbox=False)
    assert a.alarms == ["fork"] and a.state.actor != A
    a.commit()
    (fresh,) = a.take(Delta)
    for message in (delta, fresh):
        b.receive("a", message, inbox=False)
    b.commit()
    assert {b"mine", b"also mine"} <= set(sets.members(a.state, b"s"))


def test_our_own_frames_coming_back_are_no_clone() -> None:
    a = Desk("a", 1)
    for i in range(5):
        sets.add(a.state, b"s", [b"%d" % i])
        strings.put(a.state, b"t", b"%d" % i)
        a.commit()
    for message in a.take(Delta):
        a.receive("a", message, message, inbox=False)
    again = Desk("a", 1)  # a restart continues the actor, and hears what the process before it sent
    again.replica.state = a.state
    again.receive("a", messages.encode(Delta([data for _, f in a.disk.image.log for data in (f.data,)])), inbox=False)
    assert a.alarms == again.alarms == []


@pytest.mark.parametrize("wrote", [False, True])
def test_a_reverted_machine_takes_its_future_back(wrote: bool) -> None:
    """Memory and disk fall back: what it had deleted since stays deleted. If it wrote meanwhile, that may come back."""
    b, a = Desk("b", 2), Desk("a", 1)
    sets.add(a.state, b"s", [b"x", b"y"])
    a.commit()
    first = a.take(Delta)
    reverted = Desk("a", 1)
    sets.add(reverted.state, b"s", [b"x", b"y"])
    reverted.commit()
    reverted.receive("b", Hello(Actor("b", 2), 9, 0, 0, 0, 1, 1, 1000), inbox=False)
    reverted.take()
    sets.remove(a.state, b"s", [b"x"])
    a.commit()
    second = a.take(Delta)
    b.receive("a", *first, *second, inbox=False)
    b.commit()
    if wrote:
        sets.add(reverted.state, b"s", [b"z"])
        reverted.commit()
    reverted.run(reverted.replica.handle(Disconnected(), 0.0))
    reverted.run(reverted.replica.handle(Connected(), 0.0))
    talk([b, reverted], 10)
    assert "fork" in reverted.alarms or wrote
    assert sorted(sets.members(b.state, b"s")) == sorted(sets.members(reverted.state, b"s"))
    assert set(sets.members(b.state, b"s")) - {b"x"} == ({b"y", b"z"} if wrote else {b"y"})
    assert wrote or b"x" not in sets.members(b.state, b"s")
    assert b.state.hash == reverted.state.hash


def test_whatever_may_have_been_spent_twice_is_written_anew_in_portions() -> None:
    """However much that is: no row is left to what the clone removes by number, and no frame holds all of them."""
    a, clone = Desk("a", 1), Desk("a", 1)
    rows = 2 * REISSUED + 7
    sets.add(a.state, b"s", [b"%d" % i for i in range(rows)])
    a.commit()
    sets.add(clone.state, b"s", [b"its own"])
    clone.commit()
    (delta,) = clone.take(Delta)
    logged = len(a.disk.image.log)
    a.receive("a", delta, inbox=False)
    a.commit()
    anew = [frame for _, frame in a.disk.image.log[logged:] if frame.actor == a.state.actor]
    assert [frame.last - frame.first + 1 for frame in anew] == [REISSUED, REISSUED, 7]
    assert all(a.state.name(dot).actor == a.state.actor for _, dot, _ in a.state.keys[b"s"].rows())
    assert len(list(sets.members(a.state, b"s"))) == rows


def test_clones_draw_sessions_of_their_own() -> None:
    a = Desk("a", 1)
    before = a.replica.session
    a.run(a.replica.handle(Disconnected(), 0.0))
    assert a.replica.session != before


@pytest.mark.parametrize("looked", [True, False])
def test_a_row_that_names_whom_its_holder_does_not_know_is_not_written_anew(
    looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever apply the frame, and so no later one of ours."""
    if not looked:
        monkeypatch.setattr(numberwire, "named", lambda payload: [])
    _, b = desks(2)
    question = Compare(_asking(b, A), 9, [(A, 1, ALL, 0)])
    while question.items[0][1] < question.items[0][2]:
        b.receive("a", Differ(question.number, 1, [0]))
        (question,) = b.take(Compare)  # type: ignore[assignment]
    seq, before = question.items[0][1], b.state.hash
    row = encode_rows([Group(2, b"h", [b"f"], [counted_on(MADE_UP)], [seq], [(1, 1 << 26)])])
    b.receive("a", Differ(question.number, 1, [0], {A: 302}, [row]))
    assert (MADE_UP in b.state.indexes) != looked
    assert not looked or (b.state.hash == before and b.replica.drops == {"malformed": 1})
