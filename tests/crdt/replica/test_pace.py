"""How much is written anew for what peers say."""

from __future__ import annotations

from crdt.replica.pace import LEAST, SHARES, WINDOW, Pace

LIVE = 5 * LEAST


def test_all_there_is_once_in_a_window() -> None:
    pace = Pace()
    assert pace.allows("x", LIVE - 1, LIVE, 0.0) and pace.allows("x", 1, LIVE, 1.0)
    assert not pace.allows("x", 1, 2 * LIVE, WINDOW - 1), "what is written meanwhile does not count"
    assert pace.until("x") == WINDOW and pace.until("y") < 0
    assert pace.allows("x", LIVE, LIVE, WINDOW) and pace.until("x") < 0


def test_one_leaves_room_for_others() -> None:
    pace = Pace()
    assert [pace.allows(f"x{i}", LIVE, LIVE, 0.0) for i in range(SHARES + 2)] == [True] * SHARES + [False] * 2


def test_little_is_never_refused() -> None:
    assert Pace().allows("x", LEAST, 1, 0.0)
