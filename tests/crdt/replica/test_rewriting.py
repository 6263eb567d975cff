"""Peers that would have us write anew, or become another: they are believed once in a while, and what we have stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crdt.codec import encode_frame, encode_rows, pack
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.frame import Frame
from crdt.mending import row_at
from crdt.replica.messages import RESERVED, Compare, Delta, Differ, Hello, Piece, Pull, Repair
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import sets, strings
from tests.crdt.replica.desk import Desk, exchange
from tests.crdt.replica.hostile import B, frame, goes_on, until_asked, victim


def test_who_says_that_we_wrote_more_is_believed_once_in_a_while() -> None:
    a = victim()
    for number in range(100):
        a.receive("b", Pull({a.state.actor: 1 << 40}, 1000, number=number))
        a.wait(0.1)
    assert a.alarms == ["fork"] and a.replica.drops == {"claimed": 99}
    a.wait(60)
    a.receive("b", Pull({a.state.actor: 1 << 40}, 1000))
    assert a.alarms == ["fork", "fork"] and sets.members(a.state, b"s") == {b"x"}
    goes_on(a)


def test_a_snapshot_that_knows_more_of_us_is_not_joined_unless_it_is_believed() -> None:
    """It would teach us numbers of ours that clients are given meanwhile."""
    a, author = victim(), Actor("m", 5)
    a.merges = False
    a.receive("m", Hello(author, 5, 30, 99, 1000, 1, 1000, 5000), inbox=False)
    a.receive("m", Pull({a.state.actor: 1 << 40}, 1000, number=1))  # believed, and for a minute nothing else is
    a.commit()
    until_asked(a, "m", 10)
    own, n = a.state.actor, a.state.me.applied
    a.receive("m", Piece(RESERVED + 7, author, 0, 0, 1, pack([[own.name, own.nonce, n + 5], [author.name, 5, 3]])))
    a.wait(0.5)
    assert not a.joins and a.state.actor == own and a.replica.drops["claimed"]


def test_frames_that_heal_what_we_hold_otherwise_make_us_another_once_in_a_while() -> None:
    a = victim()
    for n in range(1, 21):
        seq = next(dot & SEQ_MASK for _, dot, _ in a.state.keys[b"s"].rows())
        heals = [(a.state.actor, seq, 12345)]
        forged = Frame(Actor("x", n), 1, 1, {}, removes={a.state.actor: Runs([seq])}, heals=heals)
        a.receive("x", Delta([encode_frame(forged)]), inbox=False)
        a.commit()
        a.wait(0.5)
    assert a.alarms == ["fork"] and a.replica.drops == {"claimed": 19} and sets.members(a.state, b"s") == {b"x"}
    a.wait(60)
    goes_on(a)


def test_frames_under_our_name_make_us_another_once_in_a_while() -> None:
    a = victim()
    for _ in range(20):
        a.receive("x", Repair([frame(a.state.actor, 1, 7, 7)], 1, True, 0))
        a.commit()
    assert a.alarms == ["fork"] and a.replica.drops == {"claimed": 19} and sets.members(a.state, b"s") == {b"x"}
    goes_on(a)


def test_a_healing_that_was_not_believed_at_once_is_in_the_end() -> None:
    """It is as if it had been lost: nothing of it is applied, and it is asked for again."""
    a, b = victim(), Desk("b", 2)
    exchange(a, b)
    a.receive("x", Pull({a.state.actor: 1 << 40}, 1000))
    a.commit()
    exchange(a, b)
    seq = next(dot & SEQ_MASK for _, dot, _ in a.state.keys[b"s"].rows())
    healing = Frame(Actor("b", 77), 1, 1, {}, removes={a.state.actor: Runs([seq])}, heals=[(a.state.actor, seq, 12345)])
    b.receive("b", Delta([encode_frame(healing)]), inbox=False)
    b.commit()
    exchange(a, b, 20)
    assert a.alarms == ["fork"] and a.replica.drops["claimed"] < 15 and a.state.applied(Actor("b", 77)) == 0
    strings.put(b.state, b"later", b"v")
    b.commit()
    exchange(a, b, 60)
    assert a.alarms == ["fork", "fork"] and a.state.applied(Actor("b", 77)) == 1 and a.state.hash == b.state.hash
    assert strings.get(a.state, b"later") == b"v" and len(a.replica.held) == 0
    assert sets.members(a.state, b"s") == {b"x"} == sets.members(b.state, b"s")


def nothing(a: Desk, seq: int) -> bytes:
    return b""


def otherwise(a: Desk, seq: int) -> bytes:
    row = row_at(a.state, a.state.me, seq)
    return b"" if row is None else encode_rows([replace(row, stamps=[(1, 1 << 26)])])


def storm(a: Desk, names: list[str], seconds: float, row: Callable[[Desk, int], bytes] = nothing) -> None:
    """They claim our vector, another hash, and that none of our rows is there (or what `row` says), as often as they
    are heard.
    """
    end = a.now + seconds
    while a.now < end:
        view = a.replica.view
        for n, name in enumerate(names):
            claim = (view.vector_hash, view.vector_sum, 12345, a.state.clock.wall_ms, 5000)
            a.receive(name, Hello(Actor(name, 9), n + 1, 0, *claim), inbox=False)
        a.wait(0.1)
        sent, a.sent = a.sent, []
        for _, to, question in sent:
            if isinstance(question, Compare) and to in names:
                count = len(question.items)
                single = any(first == last for _, first, last, _ in question.items)
                vector = a.state.vector() if single else {}
                rows = [row(a, first) for _, first, _, _ in question.items] if single else []
                a.receive(to, Differ(question.number, count, list(range(count)), vector, rows))
        a.commit()


def test_who_makes_up_what_differs_makes_us_write_all_anew_once_a_minute() -> None:
    a = Desk("a", 1)
    sets.add(a.state, b"s", [b"%d" % n for n in range(1500)])
    a.commit()
    storm(a, ["x"], 55)
    assert a.replica.counts["healed"] == 1500 and a.replica.drops["claimed"] < 5
    storm(a, ["x"], 60)
    assert a.replica.counts["healed"] == 3000 and sets.size(a.state, b"s") == 1500


def test_who_makes_up_that_our_rows_are_others_makes_us_another_once_a_minute() -> None:
    a = victim()
    storm(a, ["x"], 55, otherwise)
    assert a.alarms.count("fork") == 1 and a.replica.drops["claimed"] > 1 and sets.members(a.state, b"s") == {b"x"}
    storm(a, ["x"], 30, otherwise)
    assert a.alarms.count("fork") == 2 and sets.members(a.state, b"s") == {b"x"}


def test_a_crowd_that_makes_up_what_differs_is_bounded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def storm_of_eight() -> int:
        a = Desk("a", 1)
        sets.add(a.state, b"s", [b"%d" % n for n in range(300)])
        a.commit()
        storm(a, [f"x{i}" for i in range(8)], 55)
        return a.replica.counts["healed"]

    monkeypatch.setattr("crdt.replica.pace.LEAST", 0)
    assert 300 < storm_of_eight() <= 1200
    monkeypatch.setattr("crdt.replica.pace.SHARES", 1000)
    assert storm_of_eight() > 1200


def test_frames_that_heal_rows_of_others_are_bounded_by_all_there_are() -> None:
    a = Desk("a", 1, Tuning(interval=0.0))
    other = State(B)
    other.begin(1000)
    sets.add(other, b"s", [b"%d" % n for n in range(1600)])
    cut = other.cut()
    assert cut is not None
    a.receive("b", Delta([encode_frame(cut)]), inbox=False)
    assert a.replica.healing.believes("x", 701, a.now), "what it made us write by other means"
    for n in range(1, 4):
        seqs = range(1 + 400 * n, 401 + 400 * n)
        forged = Frame(Actor("x", n), 1, 1, {}, removes={B: Runs(seqs)}, heals=[(B, seq, 12345) for seq in seqs])
        a.receive("x", Delta([encode_frame(forged)]), inbox=False)
        a.commit()
    assert a.state.seq == 800 and a.replica.drops == {"claimed": 1} and sets.size(a.state, b"s") == 1600
    assert a.state.applied(Actor("x", 3)) == 0, "as if it had been lost"
    goes_on(a, Actor("b", 9))
