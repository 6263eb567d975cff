"""Broken and hostile peers, through the door and the real decoder: counted, the state untouched, life goes on."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import msgpack
import pytest

from crdt import heads
from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import intake, messages
from crdt.replica.messages import Delta, Hello, Piece, Pull, Repair, envelope
from crdt.replica.tuning import Tuning
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
    # Whoever was known before is still heard, and strangers that a peer has applied come by REPAIR.
    goes_on(a, Actor("b", 1 << 63), 2)
    a.receive("c", Repair(crowd(range(5000, 5001)), 1, True, 0), inbox=True)
    assert a.state.applied(Actor("b", (1 << 63) + 5000)) == 1


def flood(a: Desk, strangers: int, start: int = 0) -> None:
    for n in range(start, start + strangers, 500):
        a.receive("b", Delta(crowd(range(n, min(n + 500, start + strangers)))), inbox=False)


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


def test_pieces_of_what_never_comes_are_bounded() -> None:
    a = victim(Tuning(interval=0.0, held_bytes=20_000, frame_bytes=0))
    for i in range(500):
        a.receive(
            "b", Piece(0, B, i + 1, 0, 65_536, b"x" * 100), Piece(0, B, i + 1, 1 << 40, 1 << 50, b"x"), inbox=False
        )
    assert a.replica.pieces.bytes <= 20_000
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
