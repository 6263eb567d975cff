"""Broken and hostile peers, through the door and the real decoder: counted, the state untouched, life goes on.

As a program (`python -m tests.crdt.replica.test_hostile`) it floods an engine with a million made-up actors, and says
what that cost.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import msgpack
import pytest

from crdt import heads
from crdt.codec import encode_frame
from crdt.dots import Actor, Runs
from crdt.frame import Frame, Group
from crdt.replica import intake, messages
from crdt.replica.messages import Delta, Hello, Piece, Pull, Repair, envelope
from crdt.replica.tuning import Tuning
from crdt.types import expiry, numberwire, strings
from tests.crdt.replica.desk import Desk, exchange
from tests.crdt.replica.hostile import B, acquainted, frame, goes_on, honest, strangers, until_asked, victim


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


def flood(a: Desk, strangers: int, start: int = 0) -> None:
    for n in range(start, start + strangers, 500):
        a.receive("b", Delta(crowd(range(n, min(n + 500, start + strangers)))), inbox=False)
        a.wait(0.0)


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
    """As a program this file does it with a million."""
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


@pytest.mark.parametrize("looked", [True, False])
def test_counts_of_the_made_up_make_nobody_known(looked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not looked:
        monkeypatch.setattr(numberwire, "named", lambda payload: [])
    a = victim(Tuning(interval=0.0, held_time=5.0))
    goes_on(a)
    bases = [["made up", n, 1, 1, 5] for n in range(2000)]
    payload = msgpack.ExtType(1, msgpack.packb([numberwire.SET, b"w", bases]))
    lie = Frame(B, 2, 2, {}, [Group(1, None, [b"t"], [payload], [2], [(1, 1 << 27)])], {B: Runs([1])})
    a.receive("b", Delta([encode_frame(lie)]), inbox=False)
    assert len(a.state.indexes) == (2 if looked else 2002) and a.state.applied(B) == (1 if looked else 2)
    assert len(a.replica.held) == looked and a.replica.held.bytes >= looked * 2000 * 200
    a.wait(20)
    assert len(a.replica.held) == 0 and a.replica.drops == ({"held_time": 1} if looked else {})
    assert strings.get(a.state, b"t") == (b"v" if looked else b"w")


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


def test_a_sequence_number_beyond_all_bounds_is_asked_for_in_bounds() -> None:
    a = victim()
    for i in range(50):
        a.receive("b", Hello(B, 9, (1 << 64) - 1, i, (1 << 64) - 1, 1, 1, 1000), inbox=False)
        a.wait(0.1)
    a.wait(60)
    assert len(a.take(Pull)) < 60


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
