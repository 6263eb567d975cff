"""Counters start at zero for everything that can be counted, and only grow."""

from __future__ import annotations

from transport.interface import LANES
from transport.traffic import KINDS, Counters


def test_every_lane_has_a_name_and_a_zero() -> None:
    counters = Counters()
    for lane in (*LANES, "probe"):
        assert KINDS[lane]
        assert counters.sent_messages[lane] == counters.received_bytes[lane] == 0


def test_counting() -> None:
    counters = Counters()
    counters.sent("d", 10)
    counters.sent("d", 5)
    counters.received("i", 7)
    assert (counters.sent_messages["d"], counters.sent_bytes["d"]) == (2, 15)
    assert (counters.received_messages["i"], counters.received_bytes["i"]) == (1, 7)
    assert counters.dropped["whatever"] == 0
