"""What follows from the settings."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.replica.messages import FRAME, Delta, Piece
from crdt.replica.tuning import Tuning
from crdt.types import strings
from tests.crdt.replica.desk import Desk


def test_control_traffic_of_a_space_is_bounded() -> None:
    tuning = Tuning(heartbeat=5.0, crowd=20)
    assert tuning.hello_period(3) == 5.0
    for peers in (20, 200, 5000):
        assert peers / tuning.hello_period(peers) <= 20 / 5.0


def test_a_window_of_pieces_fits_the_size_of_messages() -> None:
    assert Tuning(max_message=700).window == 256
    assert Tuning(max_message=64 * 1024).window == 16
    assert Tuning(max_message=16 << 20).window == 4


def test_what_may_wait_can_be_changed_while_running() -> None:
    """As `held_full` tells the operator to do."""
    a, b = Desk("a", tuning=Tuning(interval=0.0, held_bytes=1000, frame_bytes=1000)), Desk("b", 2)
    for value in (b"1", b"2"):
        strings.put(b.state, b"k", value)
        b.commit()
    early = b.take(Delta)[1]
    large = Piece(FRAME, Actor("b", 2), 9, 0, 2, bytes(2000))
    a.receive("b", early, large, inbox=False)
    assert a.replica.drops == {"held_full": 2}
    a.replica.retune(Tuning(interval=0.0))
    a.receive("b", early, large, inbox=False)
    assert a.replica.drops == {"held_full": 2} and len(a.replica.held) == len(a.replica.pieces) == 1
