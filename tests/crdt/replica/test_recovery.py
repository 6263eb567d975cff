"""Asking for what is missing: whom, when, how often, and nothing twice."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.messages import Delta, Hello, Message, More, Piece, Pull, Repair, Rows, Want, encode
from crdt.replica.recovery import Recovery
from crdt.replica.tuning import Tuning
from crdt.types import sets, strings
from tests.crdt.replica.desk import Desk, exchange, hello


def ahead(count: int = 3) -> Desk:
    a = Desk("a")
    for i in range(count):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
    a.take()
    return a


def test_a_hello_that_tells_of_more_is_followed_by_one_pull() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), hello(a), inbox=False)
    assert b.take(Pull) == []
    b.wait(0.1)
    assert b.take(Pull) == [Pull({}, b.replica.tuning.repair_budget, number=1)]


def test_no_pull_when_the_gap_closes_by_itself() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    b.receive("a", Delta(a.disk.missing({}, 10_000)[0]), inbox=False)
    b.wait(1)
    assert b.take(Pull) == []


def test_retries_are_bounded_and_get_slower() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    times = []
    for _ in range(3000):
        b.wait(0.01)
        times += [b.now for _ in b.take(Pull)]
    gaps = [y - x for x, y in pairwise(times)]
    assert 4 <= len(times) <= 7 and gaps == sorted(gaps) and gaps[-1] <= b.replica.tuning.pull_timeout + 0.02


def test_a_few_that_never_answer_are_asked_less_and_less() -> None:
    a = Desk("a")
    questions = []
    for second in range(120):
        for i in (1, 2, 3):
            a.receive(f"x{i}", Hello(Actor(f"x{i}", i), i, 0, i, 1 << 40, 1, 1000, 3_600_000), inbox=False)
        a.wait(1.0)
        questions += [second] * len(a.take(Pull))
    late = [second for second in questions if second >= 60]
    assert 15 <= len(late) <= 25, "one in three seconds, whoever is asked"


def test_a_silent_peer_is_followed_by_another_that_is_ahead() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    b.wait(0.1)
    view = a.replica.view
    b.receive(
        "c", Hello(Actor("c", 3), 1, 0, view.vector_hash, view.vector_sum, view.state_hash, 0, 60_000), inbox=False
    )
    b.wait(15)
    assert {to for _, to, m in b.sent if isinstance(m, Pull)} == {"a", "c"}


def test_what_is_held_is_not_asked_for_again() -> None:
    a, b = ahead(4), Desk("b", 2)
    frames = a.disk.missing({}, 10_000)[0]
    b.receive("a", Delta(frames[2:]), inbox=False)
    b.wait(0.2)
    (pull,) = b.take(Pull)
    assert isinstance(pull, Pull) and pull.held == [(Actor("a", 1), 3, 4)]
    a.receive("b", pull)
    (repair,) = a.take(Repair)
    assert isinstance(repair, Repair) and repair.frames == frames[:2] and repair.total == 1 and repair.complete


def test_a_lost_part_of_an_answer_is_noticed_by_the_count() -> None:
    tuning = Tuning(interval=0.0, max_message=700)
    a, b = Desk("a", tuning=tuning), Desk("b", 2, tuning)
    for i in range(30):
        sets.add(a.state, b"s", [b"%d" % i * 20])
        a.commit()
    a.take()
    b.receive("a", hello(a), inbox=False)
    b.wait(0.1)
    a.receive("b", *b.take(Pull))
    answer = a.take(Repair)
    assert len(answer) > 2
    b.receive("a", *answer[:1], *answer[2:])
    assert b.replica.recovery.asking is not None
    b.take()
    b.wait(0.5)
    (pull, *_) = b.take(Pull)
    assert isinstance(pull, Pull) and pull.held and pull.vector
    assert pull.ended == 1, "the end has come: nothing else of that answer will"


def test_pieces_that_came_are_not_sent_again() -> None:
    tuning = Tuning(interval=0.0, max_message=700)
    a, b = Desk("a", tuning=tuning), Desk("b", 2, tuning)
    sets.add(a.state, b"s", [b"%040d" % i for i in range(60)])
    a.commit()
    a.take()
    b.receive("a", hello(a), inbox=False)
    b.wait(0.1)
    a.receive("b", *b.take(Pull))
    *pieces, end = a.take()
    b.receive("a", *pieces[1:], end)
    b.take()
    b.wait(0.5)
    a.receive("b", b.take(Pull)[0])
    assert a.take(Piece) == pieces[:1]
    b.receive("a", pieces[0])
    assert sets.size(b.state, b"s") == 60


def test_a_frame_beyond_all_that_may_wait_arrives_however_slowly() -> None:
    tuning = Tuning(interval=0.0, max_message=1024, held_bytes=4096, held_time=2.0, heartbeat=0.5)
    a, b = Desk("a", 1, tuning), Desk("b", 2, tuning)
    strings.put(a.state, b"k", bytes(40_000))
    a.commit()
    pieces = a.take(Piece)
    assert len(pieces) > 50
    for piece in pieces:
        b.receive("a", piece, inbox=False)
        b.wait(1.0)
    assert strings.get(b.state, b"k") == bytes(40_000)


def test_what_an_equal_peer_offers_is_not_asked_for() -> None:
    a, b = Desk("a"), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    b.wait(3)
    assert b.take(Pull) == []


def test_an_answerer_that_never_helps_is_not_asked_in_a_loop() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    pulls = 0
    for _ in range(100):
        b.wait(0.05)
        for question in b.take(Pull):
            assert isinstance(question, Pull)
            pulls += 1
            b.receive("a", Repair([], 1, False, 1 << 40, question.number))
    assert pulls == 1


# -- when the sums tell nothing ---------------------------------------------------------------------------------------


def test_one_that_differs_for_long_is_asked_though_its_sum_is_below_ours() -> None:
    a, b = ahead(1), Desk("b", 2)
    for i in range(5):
        sets.add(b.state, b"t", [b"%d" % i])
        b.commit()
    b.take()
    other = a.replica.view
    told = Hello(Actor("c", 3), 9, 0, other.vector_hash, other.vector_sum, other.state_hash, 0, 1000)
    for _ in range(2):
        b.receive("c", told, inbox=False)
        b.wait(1.0)
        assert b.take(Pull) == []
    b.receive("c", told, inbox=False)
    b.receive("c", told, inbox=False)
    b.wait(1.0)
    b.receive("c", told, inbox=False)
    b.wait(1.0)
    pull = b.take(Pull)[0]
    assert isinstance(pull, Pull) and pull.whole


# -- intervals far above the heartbeat --------------------------------------------------------------------------------

HOURLY = Tuning(interval=3600.0, heartbeat=5.0)


def wrote(count: int, tuning: Tuning = HOURLY) -> tuple[Desk, list[Message]]:
    """One that has written so often, and each DELTA that it has sent, however long it takes."""
    a, sent = Desk("a", tuning=tuning), list[Message]()
    for i in range(count):
        sets.add(a.state, b"s", [b"%d" % i])
        a.commit()
        a.wait(tuning.interval)
        sent += a.take(Delta)
    assert len(sent) == count
    return a, sent


def test_what_is_proven_to_be_lost_is_asked_for_within_a_heartbeat_or_two() -> None:
    _, (_, second) = wrote(2)
    b = Desk("b", 2, HOURLY)
    b.receive("a", second, inbox=False)
    b.wait(11)
    assert len(b.take(Pull)) >= 1


def test_what_may_not_have_been_published_yet_waits_for_the_interval() -> None:
    a, _ = wrote(2)
    b = Desk("b", 2, HOURLY)
    b.receive("a", hello(a), inbox=False)
    b.receive("a", Pull({Actor("a", 1): 2}, 1000), inbox=True)
    b.wait(3000)
    assert b.take(Pull) == []
    b.receive("a", Pull({Actor("c", 3): 1, Actor("a", 1): 2}, 1000), inbox=True)
    b.wait(11)
    assert len(b.take(Pull)) >= 1, "what is another's was published"


def test_what_somebody_waits_for_is_asked_for_within_a_heartbeat_or_two() -> None:
    a, _ = wrote(2)
    b = Desk("b", 2, HOURLY)
    b.run(b.replica.sync(b.now))
    a.receive("b", *b.take(Hello), inbox=False)
    a.run(a.replica.ask(2, a.now))
    asked = a.take(Hello)
    assert asked and isinstance(asked[0], Hello) and asked[0].asked == ("b",)
    b.receive("a", *asked, inbox=False)
    b.wait(11)
    assert len(b.take(Pull)) >= 1


# -- slow links -------------------------------------------------------------------------------------------------------


def over_a_slow_link(
    rate: float, values: int, size: int, pruned: bool = False, tuning: Tuning | None = None
) -> tuple[float, float]:
    """One who was away repairs behind a link of so many bytes a second, by a snapshot if the log is `pruned`: bytes and
    time, each divided by what it takes at least.
    """
    a, b = Desk("a", 1, tuning), Desk("b", 2, tuning)
    for i in range(values):
        strings.put(a.state, b"%d" % i, (b"%d " % i * size)[:size])
        a.commit()
    if pruned:
        a.prune()
    a.take()
    least = values * size
    link: deque[tuple[float, Message]] = deque()
    sent, busy = 0, 0.0
    b.receive("a", hello(a), inbox=False)
    while b.now < 10 * least / rate and b.state.hash != a.state.hash:
        a.receive("b", *(message for message in b.take() if isinstance(message, Pull | More | Want)))
        for message in a.take():
            carried = len(encode(message))
            sent, busy = sent + carried, max(busy, b.now) + carried / rate
            link.append((busy, message))
        while link and link[0][0] <= b.now:
            b.receive("a", link.popleft()[1])
        a.wait(0.02)
        b.wait(0.02)
    return sent / least, b.now * rate / least


def test_a_second_daemon_of_that_name_that_has_less_does_not_answer_for_it() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    b.wait(0.1)
    question = b.take(Pull)[0]
    assert isinstance(question, Pull)
    b.receive("a", Repair([], 1, True, 0, question.number))
    assert b.replica.recovery.asking is not None
    b.wait(0.5)
    again = b.take(Pull)[0]
    assert isinstance(again, Pull) and again.ended == 0, "the answer itself may be under way"
    a.receive("b", question, again)
    b.receive("a", *a.take(Repair))
    assert b.replica.recovery.asking is None and b.state.hash == a.state.hash


@pytest.mark.parametrize(("rate", "values", "size"), [(50_000, 100, 10_000), (20_000, 100, 10_000), (20_000, 500, 300),
                                                      (20_000, 10, 60_000), (10_000, 2, 300_000)])  # fmt: skip
def test_what_is_repaired_over_a_slow_link_is_sent_once(rate: float, values: int, size: int) -> None:
    sent, took = over_a_slow_link(rate, values, size)
    assert sent < 1.1 and took < 1.2


@pytest.mark.parametrize(("rate", "values", "size"), [(50_000, 100, 10_000), (20_000, 100, 10_000), (20_000, 500, 300),
                                                      (20_000, 10, 60_000), (10_000, 2, 300_000), (5_000, 50, 10_000),
                                                      (5_000, 2, 300_000), (1_000, 40, 10_000)])  # fmt: skip
def test_a_snapshot_over_a_slow_link_is_sent_once(rate: float, values: int, size: int) -> None:
    sent, took = over_a_slow_link(rate, values, size, pruned=True)
    assert sent < 1.1 and took < 1.2


LARGE = Tuning(interval=0.0, max_message=1_000_000)


def test_a_snapshot_in_messages_that_take_longer_than_any_time_out_is_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent, took = over_a_slow_link(100_000, 400, 10_000, pruned=True, tuning=LARGE)
    assert sent < 1.1 and took < 1.2
    monkeypatch.setattr(Recovery, "_resume", lambda self, *_: self.asking)  # what comes late is not looked at
    assert over_a_slow_link(100_000, 400, 10_000, pruned=True, tuning=LARGE)[0] > 5


def test_a_snapshot_that_was_given_up_goes_on_with_what_comes_late() -> None:
    a, b = ahead(), Desk("b", 2)
    a.prune()
    b.receive("a", hello(a), inbox=False)
    b.wait(0.2)
    for _ in range(2):
        a.receive("b", *(message for message in b.take() if isinstance(message, Pull | More | Want)))
        a.wait(0.0)
        late = a.take()
        b.receive("a", *(message for message in late if not isinstance(message, Rows)))
        b.wait(0.0)
    assert late and isinstance(late[-1], Rows)
    b.wait(60)
    assert b.replica.recovery.asking is None, "given up"
    b.receive("a", *late)
    assert b.state.hash == a.state.hash and b.replica.recovery.asking is None


def test_an_answer_that_comes_hours_after_it_was_given_up_says_nothing_of_the_link() -> None:
    a, b = ahead(), Desk("b", 2)
    b.receive("a", hello(a), inbox=False)
    b.wait(0.3)
    a.receive("b", *b.take(Pull)[:1])
    late = a.take(Repair)
    for _ in range(12):
        b.wait(300)
    before = b.replica.peers.get("a", b.now).timeout(0, 3.0)
    b.receive("a", *late)
    assert b.state.hash == a.state.hash
    assert b.replica.peers.get("a", b.now).timeout(0, 3.0) <= max(before, 6.0)


def behind_one_link(rate: float, values: int, size: int, givers: int) -> tuple[float, float]:
    """As above, by frames, where several have it all, and all that is said comes over the link: bytes and time."""
    a, b = Desk("a"), Desk("b", 100)
    for i in range(values):
        strings.put(a.state, b"%d" % i, (b"%d " % i * size)[:size])
        a.commit()
    desks = {"a": a} | {name: Desk(name, nonce) for nonce, name in enumerate("cdef"[: givers - 1], 2)}
    for name in list(desks)[1:]:
        exchange(a, desks[name], 20.0)
        assert desks[name].state.hash == a.state.hash
    link: deque[tuple[float, str, Lane, Message]] = deque()
    least, sent, busy, began = values * size, 0, 0.0, a.now
    for desk in (*desks.values(), b):
        desk.now = a.now
        desk.take()
    while b.now - began < 10 * least / rate and b.state.hash != a.state.hash:
        said, b.sent = b.sent, []
        for name, desk in desks.items():
            for lane, to, message in said:
                if to in (None, name):
                    desk.receive("b", message, inbox=lane is Lane.INBOX)
            answers, desk.sent = desk.sent, []
            for lane, to, message in answers:
                if to in (None, "b"):
                    carried = len(encode(message))
                    sent, busy = sent + carried, max(busy, b.now) + carried / rate
                    link.append((busy, name, lane, message))
            desk.wait(0.05)
        while link and link[0][0] <= b.now:
            _, name, lane, message = link.popleft()
            b.receive(name, message, inbox=lane is Lane.INBOX)
        b.wait(0.05)
    return sent / least, (b.now - began) * rate / least


def test_where_several_have_it_a_slow_link_is_not_filled_with_the_answers_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent, took = behind_one_link(5_000, 100, 10_000, givers=2)
    assert sent < 1.5 and took < 1.5
    monkeypatch.setattr(Recovery, "_resume", lambda self, *_: self.asking)
    assert behind_one_link(5_000, 100, 10_000, givers=2)[0] > 5
