"""What follows from the settings."""

from __future__ import annotations

from crdt.replica.tuning import Tuning


def test_control_traffic_of_a_space_is_bounded() -> None:
    tuning = Tuning(heartbeat=5.0, crowd=20)
    assert tuning.hello_period(3) == 5.0
    for peers in (20, 200, 5000):
        assert peers / tuning.hello_period(peers) <= 20 / 5.0


def test_a_window_of_pieces_fits_the_size_of_messages() -> None:
    assert Tuning(max_message=700).window == 256
    assert Tuning(max_message=64 * 1024).window == 16
    assert Tuning(max_message=16 << 20).window == 4
