"""Broken and hostile peers, through the door and the real decoder: counted, the state untouched, life goes on."""

from __future__ import annotations

import msgpack

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import messages
from crdt.replica.messages import Delta, Hello, Piece, Pull, Repair, envelope
from crdt.replica.tuning import Tuning
from crdt.types import sets, strings
from tests.crdt.replica.desk import Desk

B = Actor("b", 2)


def frame(actor: Actor = B, first: int = 1, last: int = 1, seq: int = 1, hlc: int = 1 << 26) -> bytes:
    return encode_frame(Frame(actor, first, last, {}, [Group(1, None, [b"t"], [b"v"], [seq], [(1, hlc)])]))


def victim(tuning: Tuning | None = None) -> Desk:
    a = Desk("a", 1, tuning)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    a.take()
    return a


def goes_on(a: Desk) -> None:
    """What an honest peer says is still taken."""
    a.receive("b", Delta([frame()]), inbox=False)
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
        frame(seq=2),  # a row outside of what it claims
        frame(first=2, last=1, seq=1),
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
    a = victim(Tuning(interval=0.0, held_bytes=20_000))
    for i in range(500):
        a.receive(
            "b", Piece(0, B, i + 1, 0, 65_536, b"x" * 100), Piece(0, B, i + 1, 1 << 40, 1 << 50, b"x"), inbox=False
        )
    assert a.replica.pieces.bytes <= 20_000
    goes_on(a)
