"""The hybrid clock: forwards, and not dragged along."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crdt.clock import HybridClock, milliseconds
from tests.strategies import steady


def test_it_follows_the_wall_forwards_only() -> None:
    clock = HybridClock()
    clock.tick(1000)
    assert milliseconds(clock.now) == 1000
    clock.tick(900)
    assert milliseconds(clock.now) == 1000
    assert clock.wall_ms == 900
    clock.tick(1001)
    assert milliseconds(clock.now) == 1001


def test_what_was_seen_is_sorted_before_what_is_written_next() -> None:
    clock = HybridClock()
    clock.tick(1000)
    assert clock.absorb(5000 << 16)
    assert clock.now == (5000 << 16) + 1
    assert clock.absorb(clock.now)
    assert clock.now == (5000 << 16) + 2


def test_the_past_changes_nothing() -> None:
    clock = HybridClock(now=1000 << 16)
    assert clock.absorb(999 << 16)
    assert clock.now == 1000 << 16


def test_a_far_future_is_refused_and_counted() -> None:
    clock = HybridClock(max_drift_ms=60_000)
    clock.tick(1_000_000)
    before = clock.now
    assert not clock.absorb(1_060_001 << 16)
    assert (clock.now, clock.refused) == (before, 1)
    assert clock.absorb(1_060_000 << 16)


@steady
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**9))))
def test_it_never_runs_backwards(events: list[tuple[bool, int]]) -> None:
    clock = HybridClock()
    for tick, ms in events:
        before = clock.now
        if tick:
            clock.tick(ms)
        else:
            clock.absorb(ms << 16)
        assert clock.now >= before
