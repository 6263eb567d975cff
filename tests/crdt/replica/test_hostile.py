"""Broken and hostile peers, through the door and the real decoder: counted, the state untouched, life goes on."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import msgpack
import pytest

from crdt import heads
from crdt.codec import encode_frame, encode_rows, pack
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.frame import Frame, Group
from crdt.mending import row_at
from crdt.replica import intake, messages
from crdt.replica.events import Tick
from crdt.replica.held import LOOKS, Held, Name
from crdt.replica.messages import RESERVED, Compare, Delta, Differ, Hello, Message, Piece, Pull, Repair, envelope
from crdt.replica.recovery import LARGE, Recovery
from crdt.replica.suspects import STRANGER
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import expiry, sets, strings
from tests.crdt.replica.desk import Desk, exchange

B = Actor("b", 2)


def frame(actor: Actor = B, first: int = 1, last: int = 1, seq: int = 1, hlc: int = 1 << 26) -> bytes:
    return encode_frame(Frame(actor, first, last, {}, [Group(1, None, [b"t"], [b"v"], [seq], [(1, hlc)])]))


def victim(tuning: Tuning | None = None) -> Desk:
    a = Desk("a", 1, tuning)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    a.take()
    return a


def goes_on(a: Desk, actor: Actor = B, n: int = 1) -> None:
    """What an honest peer says is still taken."""
    a.receive("b", Delta([frame(actor, n, n, n)]), inbox=False)
    assert strings.get(a.state, b"t") == b"v"


def test_rubbish_changes_nothing() -> None:
    a, before = victim(), victim().state.hash
    deep = b"\x91" * 5000 + b"\x90"
    bombs = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", deep]
    for kind in range(1, len(messages._KINDS) + 1):
        for body in [*bombs, b"", b"\x90", b"\xc1", msgpack.packb([None] * 12), msgpack.packb([-1] * 12)]:
            a.receive("b", envelope(kind, body), inbox=False)
    for bomb in bombs:
        a.receive("b", Delta([bomb, b"\x98" + bomb]), Repair([bomb], 1, True, 0), inbox=True)
    assert a.state.hash == before and a.alarms == [] and a.replica.drops["malformed"] > 100
    assert set(a.replica.drops) == {"malformed"}
    goes_on(a)


def test_frames_that_claim_or_carry_too_much() -> None:
    a, before = victim(), victim().state.hash
    wrong = [
        frame(Actor("c", 3)),  # of somebody else
        heads.author(B)
        + heads.body(1, 2, 0, (1, 2, 1024, 0, None, b"t", b"v"), b""),  # a row outside of what it claims
        frame(first=0, last=0, seq=0),
        frame(last=1 << 50),
        frame()[:-1],
        frame() + b"\0",
    ]
    a.receive("b", Delta(wrong), inbox=False)
    assert a.replica.drops == {"forged": 1, "malformed": 5} and a.state.hash == before
    goes_on(a)


def test_replays_change_nothing() -> None:
    a = victim()
    for _ in range(50):
        a.receive("b", Delta([frame()]), inbox=False)
    before = a.state.hash
    a.receive("b", *[Delta([frame()])] * 50, inbox=False)
    assert a.state.hash == before and a.replica.counts["duplicates"] == 99


def test_many_made_up_actors_are_bounded() -> None:
    a = victim(Tuning(interval=0.0, actors=50))
    for nonce in range(500):
        a.receive("b", Delta([frame(Actor("b", nonce + 2))]), inbox=False)
    assert len(a.state.indexes) <= 51 and a.replica.drops["actors"] >= 449


def crowd(numbers: range, first: int = 1) -> list[bytes]:
    """Frames of as many actors of one name, from a template: to encode a million would take longer than the rest."""
    template = 1 << 63
    before, after = frame(Actor("b", template), first, first, first).split(template.to_bytes(8, "big"))
    return [before + (template + n).to_bytes(8, "big") + after for n in numbers]


def growth(act: Callable[[], None]) -> int:
    """Bytes that are still held afterwards."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_beyond_the_limit_frames_of_strangers_are_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tests.crdt.replica.test_hostile` does it with a million."""
    a = victim(Tuning(interval=0.0, actors=200))
    flood(a, 300)
    assert len(a.state.indexes) == 200 and a.state.applied(Actor("b", 1 << 63)) == 1
    dropped = a.replica.drops["actors"]

    def never(data: bytes) -> Frame:
        raise AssertionError("it was decoded")

    with monkeypatch.context() as patched:
        patched.setattr(intake, "decode_frame", never)
        assert growth(lambda: flood(a, 20_000, 1000)) < 64 << 10
    assert a.replica.drops["actors"] == dropped + 20_000
    before = a.state.hash
    assert a.replica.drops.keys() == {"actors"} and a.state.hash == before
    # Whoever was known before is still heard, and strangers that a peer has applied come by REPAIR, which we ask for.
    goes_on(a, Actor("b", 1 << 63), 2)
    a.receive("c", honest("c", 5), inbox=False)
    until_asked(a, "c", 60)
    (pull,) = (message for _, to, message in a.sent if to == "c")
    assert isinstance(pull, Pull)
    a.receive("c", Repair(crowd(range(5000, 5001)), 1, True, 0, pull.number))
    assert a.state.applied(Actor("b", (1 << 63) + 5000)) == 1


def test_strangers_that_come_to_the_inbox_unasked_are_limited_as_well() -> None:
    a = victim(Tuning(interval=0.0, actors=20))
    a.receive("x", Repair(crowd(range(100)), 1, True, 0))
    a.wait(0.0)
    for n, data in enumerate(crowd(range(100, 200))):
        a.receive("x", Piece(0, Actor("b", (1 << 63) + 100 + n), 1, 0, 1, data))
    assert len(a.state.indexes) == 20 and a.replica.drops == {"actors": 181}


def test_who_was_asked_and_answers_late_brings_strangers_only_for_that_question() -> None:
    a = acquainted(200, answers=False)
    a.replica.retune(Tuning(actors=2))
    until_asked(a, "h", 1000)
    number = next(message.number for _, to, message in a.sent if to == "h" and isinstance(message, Pull))
    while a.replica.recovery.asking is None or a.replica.recovery.asking.peer == "h":
        a.wait(0.05)  # it was not waited for
    a.receive("h", Repair(crowd(range(10)), 0, False, 2, number + 50))
    assert len(a.state.indexes) == 2
    a.receive("h", Repair(crowd(range(10)), 1, True, 2, number))
    assert len(a.state.indexes) > 10


def test_strangers_that_have_waited_are_limited_when_they_are_set_free() -> None:
    a = victim(Tuning(interval=0.0, actors=20))
    frames = [encode_frame(Frame(Actor("b", n), 1, 1, {B: 1})) for n in range(10, 100)]
    a.receive("b", Delta(frames), inbox=False)
    a.wait(0.0)
    assert len(a.replica.held) == 90
    goes_on(a)
    a.wait(0.0)
    assert len(a.state.indexes) == 20 and a.replica.drops == {"actors": 72} and len(a.replica.held) == 0


def test_no_more_actors_than_can_be_numbered_come_by_any_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_ACTORS", 50)
    a = victim()
    strangers(a, 1)
    until_asked(a, "x0", 5)
    number = next(m.number for _, to, m in a.sent if to == "x0" and isinstance(m, Pull))
    a.receive("x0", Repair(crowd(range(100)), 1, True, 1 << 40, number))
    a.wait(0.0)
    assert len(a.state.indexes) == 50


def flood(a: Desk, strangers: int, start: int = 0) -> None:
    for n in range(start, start + strangers, 500):
        a.receive("b", Delta(crowd(range(n, min(n + 500, start + strangers)))), inbox=False)
        a.wait(0.0)


def test_frames_of_strangers_that_wait_are_bounded_with_what_they_take_decoded() -> None:
    limit = 500_000
    a = victim(Tuning(interval=0.0, held_bytes=limit))

    def wait_for_ever() -> None:
        for n in range(0, 3000, 500):
            a.receive("b", Delta(crowd(range(n, n + 500), first=2)), inbox=False)

    assert growth(wait_for_ever) < 3 * limit
    assert 0 < a.replica.held.bytes <= limit and a.replica.drops["held_full"] > 2000
    assert len(a.state.indexes) == 1
    goes_on(a)


def test_a_message_beyond_all_bounds() -> None:
    a = victim()
    before = a.state.hash
    huge = bytes(8 << 20)
    for kind in range(1, len(messages._KINDS) + 1):
        a.receive("b", envelope(kind, huge), envelope(kind, b"\xc6\x00\x80\x00\x00" + huge), inbox=False)
    sent = [messages.encode(Delta([huge])), messages.encode(Delta([b"\x98" + huge]))]
    assert growth(lambda: a.receive("b", *sent, inbox=False)) < 1 << 20
    assert a.state.hash == before and set(a.replica.drops) == {"malformed"}
    goes_on(a)


def test_a_time_far_ahead_is_applied_and_moves_no_clock() -> None:
    a = victim()
    before = a.state.clock.now
    a.receive("b", Delta([frame(hlc=((1 << 48) - 1) << 16)]), inbox=False)
    assert strings.get(a.state, b"t") == b"v" and a.state.clock.now == before and a.alarms == ["clock"]


def test_a_sequence_number_beyond_all_bounds_is_asked_for_in_bounds() -> None:
    a = victim()
    for i in range(50):
        a.receive("b", Hello(B, 9, (1 << 64) - 1, i, (1 << 64) - 1, 1, 1, 1000), inbox=False)
        a.wait(0.1)
    a.wait(60)
    assert len(a.take(Pull)) < 60


def strangers(a: Desk, count: int) -> None:
    """They say that they have more than anybody, for an hour, and never answer."""
    for i in range(count):
        claim = Hello(Actor(f"x{i}", i + 1), i + 1, 0, i + 1, 1 << 40, 1, 1000, 3_600_000)
        a.receive(f"x{i}", claim, inbox=False)


def honest(name: str, n: int) -> Hello:
    """It wrote n operations."""
    return Hello(Actor(name, 7), 7, n, 3, n, 1, 1000, 5000)


def until_asked(a: Desk, name: str, most: float) -> float:
    """Seconds until a PULL goes to this peer."""
    began = a.now
    while not any(to == name and isinstance(message, Pull) for _, to, message in a.sent):
        assert a.now < began + most
        a.sent.clear()
        a.wait(0.05)
    return a.now - began


def acquainted(count: int, answers: bool) -> Desk:
    """One that has met an honest peer, which `answers` when it is asked, and then that many strangers."""
    a = victim()
    if answers:
        a.receive("h", honest("h", 1), inbox=False)
        until_asked(a, "h", 5)
        (pull,) = a.take(Pull)
        assert isinstance(pull, Pull)
        a.receive("h", Repair([frame(Actor("h", 7))], 1, True, 2, pull.number))
    strangers(a, count)
    a.wait(5)
    a.receive("h", honest("h", 2), inbox=False)
    return a


def test_who_only_claims_to_have_more_holds_up_nobody_who_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    # With so many here a question waits for up to patience * crowd, whoever asks; and there is one stranger before it.
    at_most = 0.05 * 500 / 20 + 1.0
    assert until_asked(acquainted(500, answers=True), "h", at_most) <= at_most
    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "rank", lambda *_: STRANGER)
        assert until_asked(acquainted(500, answers=True), "h", 500) > 10 * at_most


def test_where_nobody_has_answered_yet_strangers_are_asked_quickly() -> None:
    assert until_asked(acquainted(200, answers=False), "h", 1000) < 200 * 0.35 + 15


def given_up_often(count: int, answers: bool) -> Desk:
    """One that has asked so many strangers for minutes, beside an honest peer, which `answers`."""
    a = acquainted(0, answers)
    for n in range(40):
        strangers(a, count)
        a.wait(5)
        if answers:
            peer = a.replica.peers.by_name["h"]
            a.receive("h", Repair([frame(Actor("h", 7), n + 2, n + 2, n + 2)], 1, True, n + 3, peer.asked))
            a.receive("h", honest("h", n + 2), inbox=False)
    strangers(a, count)
    a.wait(0.4)
    a.sent.clear()
    return a


@pytest.mark.parametrize("count", [1, 4, 20])
def test_who_never_answers_holds_up_nobody_longer_for_being_asked_often(count: int) -> None:
    a = given_up_often(count, answers=True)
    assert any(peer.vain > 5 for peer in a.replica.peers.by_name.values())
    a.receive("h", honest("h", 60), inbox=False)
    assert until_asked(a, "h", 10) < 1


def test_a_crowd_that_never_answers_holds_up_a_stranger_no_longer_for_being_asked_often() -> None:
    a = given_up_often(100, answers=False)
    a.receive("h", honest("h", 60), inbox=False)
    assert until_asked(a, "h", 1000) < 100 * 0.35 + 15


def test_a_stranger_that_answers_late_is_one_no_more() -> None:
    a = acquainted(200, answers=False)
    until_asked(a, "h", 1000)
    (pull,) = (message for _, to, message in a.sent if to == "h")
    assert isinstance(pull, Pull)
    a.take()
    while a.replica.recovery.asking is None or a.replica.recovery.asking.peer == "h":
        a.wait(0.05)  # it was not waited for
    a.receive("h", Repair([frame(Actor("h", 7))], 1, False, 2, pull.number + 50))
    assert not a.replica.peers.by_name["h"].answers
    a.receive("h", Repair([frame(Actor("h", 7))], 1, False, 2, pull.number))
    assert a.replica.peers.by_name["h"].answers
    assert until_asked(a, "h", 5) < 5


NOTHING_NEW: dict[str, Callable[[int, int], Message]] = {
    "an answer without an end": lambda n, number: Repair([], 0, False, 1 << 40, number),
    "the same frame": lambda n, number: Repair([frame(B)], 0, False, 1 << 40, number),
    "the same piece": lambda n, number: Piece(0, B, 30, 0, 100, b"x"),
    "the list of one snapshot after the other": lambda n, number: Piece(RESERVED + n, B, 0, 0, 3, b"x"),
}


def until_another_is_asked(message: Callable[[int, int], Message]) -> float:
    """Seconds that a peer holds up repair which answers with this all the time, four times a second."""
    a = victim()
    strangers(a, 1)
    until_asked(a, "x0", 5)
    number = next(m.number for _, to, m in a.sent if to == "x0" and isinstance(m, Pull))
    a.receive("h", honest("h", 2), inbox=False)
    a.sent.clear()
    for n in range(1_000):
        a.receive("x0", message(n, number))
        a.wait(0.25)
        for _, to, pull in a.sent:
            if isinstance(pull, Pull):
                if to == "h":
                    return n / 4
                number = pull.number
        a.sent.clear()
    return 250.0


@pytest.mark.parametrize("what", NOTHING_NEW)
def test_who_answers_and_brings_nothing_new_holds_up_others_for_a_minute(what: str) -> None:
    assert until_another_is_asked(NOTHING_NEW[what]) < 65


def test_that_something_new_has_to_come_is_what_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdt.replica.recovery.TURN", 1000)
    assert until_another_is_asked(NOTHING_NEW["an answer without an end"]) == 250.0


def until_asked_beside_pieces(rate: int, most: float) -> float:
    """Seconds until one that has answered before is asked, while another sends so many bytes a second of a frame that
    never ends.
    """
    a = victim()
    a.receive("h", honest("h", 1), inbox=False)
    until_asked(a, "h", 5)
    (pull,) = a.take(Pull)
    assert isinstance(pull, Pull)
    a.receive("h", Repair([frame(Actor("h", 7))], 1, True, 2, pull.number))
    strangers(a, 1)
    until_asked(a, "x0", 30)
    a.sent.clear()
    began, n = a.now, 0
    while a.now < began + most and not any(to == "h" and isinstance(pull, Pull) for _, to, pull in a.sent):
        a.sent.clear()
        if n % 5 == 0:
            a.receive("h", honest("h", 2), inbox=False)
        a.receive("x0", Piece(0, B, 30, n, 60_000, b"x" * rate))
        a.wait(1.0)
        n += 1
    return a.now - began


def test_pieces_of_what_never_ends_hold_up_who_has_answered_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = LARGE * 3.0 + 65
    assert until_asked_beside_pieces(1_200, 2 * most) < most
    monkeypatch.setattr("crdt.replica.recovery.LARGE", 10 * LARGE)
    assert until_asked_beside_pieces(1_200, 2 * most) >= 2 * most


def test_answers_to_old_questions_keep_nobody_waiting() -> None:
    a = victim()
    a.replica.recovery.questions.last = 1_000
    strangers(a, 1)
    until_asked(a, "x0", 5)
    a.receive("h", honest("h", 2), inbox=False)
    a.sent.clear()
    for number in range(200):
        a.receive("x0", Repair([], 0, False, 0, 0), Repair([], 1, False, 0, 0), Repair([], 1, False, 0, number))
        a.wait(0.25)
    assert any(to == "h" and isinstance(message, Pull) for _, to, message in a.sent)


def test_an_answer_after_hours_says_nothing_of_the_link() -> None:
    a = acquainted(1, answers=True)
    until_asked(a, "x0", 30)
    a.wait(120)
    peer = a.replica.peers.by_name["x0"]
    a.receive("x0", Repair([], 1, False, 1 << 40, peer.asked))
    assert 0 < peer.rtt <= a.replica.tuning.pull_timeout


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


def test_whoever_answered_is_not_forgotten_for_strangers() -> None:
    a = acquainted(0, answers=True)
    a.replica.peers.limit = 100
    a.now += 1.0
    strangers(a, 1000)
    assert "h" in a.replica.peers.by_name and len(a.replica.peers.by_name) <= 100


def test_strangers_that_claim_other_rows_hold_up_no_healing(monkeypatch: pytest.MonkeyPatch) -> None:
    def until_compared(strangers: int) -> float:
        a = acquainted(0, answers=True)
        a.receive("h", Delta([frame(Actor("h", 7), 2, 2, 2)]), inbox=False)
        a.commit()
        view = a.replica.view
        differs = Hello(Actor("h", 7), 7, 2, view.vector_hash, view.vector_sum, 1, 1000, 5000)
        for i in range(strangers):
            a.receive(f"x{i}", replace(differs, actor=Actor(f"x{i}", 1), seq=0), inbox=False)
        a.wait(3)
        a.take()
        a.receive("h", differs, inbox=False)
        began = a.now
        while not any(to == "h" and isinstance(message, Compare) for _, to, message in a.sent):
            assert a.now < began + 1000
            a.wait(0.05)
        return a.now - began

    assert until_compared(100) < 3
    monkeypatch.setattr(Recovery, "rank", lambda *_: STRANGER)
    assert until_compared(100) > 30


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


def many(n: int, first: int = 1) -> list[bytes]:
    return [frame(first=k, last=k, seq=k, hlc=k << 26) for k in range(first, first + n)]


def test_a_message_of_many_frames_is_taken_in_by_slices_and_in_order() -> None:
    a, n = victim(), 5 * intake.SLICE_FRAMES + 1
    a.receive("b", Delta(many(n)), inbox=False)
    for slices in range(1, 6):
        assert a.state.applied(B) == slices * intake.SLICE_FRAMES and a.replica.busy and a.replica.deadline <= a.now
        strings.put(a.state, b"own", b"%d" % slices)  # a client's turn, and a commit of all up to here
        a.commit()
        a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == n and not a.replica.busy and a.state.me.applied == 6
    a.commit()
    stored = a.disk.missing({}, 1 << 30)[0]
    twin = Desk("c", 3)
    for data in stored:
        twin.receive("b", Repair([data], 1, True, 0))
    assert twin.state.hash == a.state.hash, "the log is closed at every prefix, whatever stood between the slices"


def test_large_frames_are_slices_of_their_own() -> None:
    a = victim()
    large = [
        encode_frame(Frame(B, k, k, {}, [Group(1, None, [b"t"], [bytes(intake.SLICE_BYTES)], [k], [(1, k << 26)])]))
        for k in (1, 2, 3)
    ]
    a.receive("b", Delta(large), inbox=False)
    assert a.state.applied(B) == 1
    a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == 2 and a.replica.busy


def test_the_next_message_finishes_the_one_before_first() -> None:
    a, n = victim(), 3 * intake.SLICE_FRAMES
    a.receive("b", Delta(many(n)), Delta(many(1, n + 1)), inbox=False)
    assert a.state.applied(B) == n + 1 and not a.replica.busy and not len(a.replica.held)


def test_a_message_of_a_great_many_tiny_frames_is_over_after_a_few_turns() -> None:
    a = victim()
    a.receive("b", Delta([b"xx"] * 3_000), inbox=False)
    for _ in range(intake.MOST_SLICES):
        if a.replica.busy:
            a.run(a.replica.handle(Tick(), a.now))
    assert not a.replica.busy and a.replica.drops == {"malformed": 3_000}
    goes_on(a)


def test_while_a_message_is_taken_in_what_is_stored_leaves_and_hello_is_said_and_nothing_is_asked() -> None:
    a = victim(Tuning(interval=1.0))
    a.wait(3)
    a.receive("c", Hello(Actor("c", 3), 9, 5, 5, 5, 1, 1, 60_000), inbox=False)
    strings.put(a.state, b"own", b"1")
    a.commit()
    a.receive("b", Delta(many(20 * intake.SLICE_FRAMES)), inbox=False)
    a.take()
    a.now += 30  # a slow machine
    a.run(a.replica.handle(Tick(), a.now))
    assert a.replica.busy and [type(message) for message in a.take()] == [Delta, Hello]
    a.wait(0.0)
    assert not a.replica.busy and a.take(Pull)


def test_what_one_frame_releases_is_taken_in_by_slices_too() -> None:
    a, n = victim(), 4 * intake.SLICE_FRAMES
    for k in range(2, n + 1, 50):
        a.receive("b", Delta(many(min(50, n + 1 - k), k)), inbox=False)
    a.receive("b", Delta([*many(1), *many(1, n + 1)]), inbox=False)
    for slices in range(1, 5):
        assert a.state.applied(B) == slices * intake.SLICE_FRAMES and a.replica.busy
        strings.put(a.state, b"own", b"%d" % slices)  # a client's turn, and a commit of all up to here
        a.commit()
        a.run(a.replica.handle(Tick(), a.now))
    assert a.state.applied(B) == n + 1 and not a.replica.busy and not len(a.replica.held)
    a.commit()
    assert [frame.first for _, frame in a.disk.image.log if frame.actor == B] == list(range(1, n + 2))


def test_what_only_waits_for_something_else_from_then_on_is_looked_at_by_slices_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, n = victim(), 5_000
    group = Group(1, None, [b"t"], [b""], [1], [(1, 1 << 26)])
    waiting = [encode_frame(Frame(Actor("w", i), 1, 1, {B: 1, Actor("z", 1): 1}, [group])) for i in range(n)]
    a.receive("c", Repair(waiting, 0, False, 0, 0))
    a.wait(0.0)
    looks, watch = 0, Held._watch

    def look(self: Held, state: State, frame: Frame, name: Name) -> None:
        nonlocal looks
        looks += 1
        watch(self, state, frame, name)

    monkeypatch.setattr(Held, "_watch", look)
    a.receive("b", Delta(many(1)), inbox=False)
    assert a.replica.busy and 0 < looks <= intake.SLICE_FRAMES * LOOKS
    a.wait(0.0)
    assert looks == n == len(a.replica.held) and not a.replica.busy
    a.receive("z", Delta([encode_frame(Frame(Actor("z", 1), 1, 1, {}, [group]))]), inbox=False)
    a.wait(0.0)
    assert not len(a.replica.held) and not a.replica.busy


def test_an_answer_is_over_when_its_last_frame_is_taken_in() -> None:
    a, n = victim(), 2 * intake.SLICE_FRAMES
    a.receive("b", Hello(B, 9, n, 5, n, 1, 1, 60_000), inbox=False)
    until_asked(a, "b", 5)
    (pull,) = a.take(Pull)
    assert isinstance(pull, Pull)
    a.receive("b", Repair(many(n), 1, True, n + 1, pull.number))
    assert a.replica.busy and a.replica.recovery.asking is not None
    a.wait(0.0)
    assert not a.replica.busy and a.replica.recovery.asking is None and a.state.applied(B) == n


def test_pieces_of_what_never_comes_are_bounded() -> None:
    a = victim(Tuning(interval=0.0, held_bytes=20_000, frame_bytes=0))
    for i in range(500):
        a.receive(
            "b", Piece(0, B, i + 1, 0, 65_536, b"x" * 100), Piece(0, B, i + 1, 1 << 40, 1 << 50, b"x"), inbox=False
        )
    assert a.replica.pieces.bytes <= 20_000 + 1_000, "the largest is not counted"
    goes_on(a)


if __name__ == "__main__":
    for limit in (1000, 100_000):
        desk = victim(Tuning(interval=0.0, actors=limit))
        began = time.process_time()
        flood(desk, 1_000_000)
        dropped, seconds = desk.replica.drops["actors"], time.process_time() - began
        print(f"limits.actors {limit:,}: {dropped:,} of 1,000,000 dropped, {seconds:.1f} s of CPU")


def test_a_clock_that_no_clock_shows_makes_no_lifetimes_that_peers_refuse() -> None:
    """A lifetime is reckoned with the median of all clocks; one beyond all bounds would stop our stream at peers."""
    a, b = Desk("a"), Desk("b", 2)
    for session, name in enumerate("xyz", 7):
        a.receive(name, Hello(Actor(name, 1), session, 0, 0, 0, 0, (1 << 64) - 1, 1000), inbox=False)
    assert a.replica.drops == {"malformed": 3}
    for session, name in enumerate("xyz", 7):
        a.receive(name, Hello(Actor(name, 1), session, 0, 0, 0, 0, (1 << 48) - 1, 1000), inbox=False)
    assert a.replica.reaper.off
    a.state.begin(1000)
    strings.put(a.state, b"k", b"v")
    expiry.expire(a.state, b"k", a.state.time_ms + 1000)
    a.commit()
    exchange(a, b)
    assert a.state.hash == b.state.hash


def test_pieces_that_others_send_meanwhile_do_not_make_an_answer_in_pieces_bring_nothing_new() -> None:
    a = victim(Tuning(interval=0.0, held_bytes=20_000, frame_bytes=10_000_000))
    strangers(a, 1)
    for i in range(300):
        a.receive("y", Piece(0, Actor("y", 1), 1, i, 1_000, b"y" * 1000), inbox=False)  # the largest
    until_asked(a, "x0", 5)
    for i in range(150):
        for j in range(20):
            a.receive("y", Piece(0, Actor("y", 1), 2 + 20 * i + j, 0, 2, b"y" * 2000), inbox=False)
        a.receive("x0", Piece(0, B, 30, i, 1_000, b"x" * 1500))
        a.wait(1.0)
        asking = a.replica.recovery.asking
        assert asking is not None and asking.peer == "x0", f"given up after {i} s"
