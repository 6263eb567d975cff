"""Rates and retries: arithmetic, with a clock that only the test moves."""

from __future__ import annotations

import random

from transport.pacing import Backoff, Bucket, RateLimit


def test_no_rate_means_no_limit() -> None:
    limit = RateLimit(0, 0, 1000, 0.0)
    assert limit.unlimited
    assert all(limit.allow(10**9, 0.0) for _ in range(1000))


def test_a_burst_of_a_second_then_the_rate() -> None:
    limit = RateLimit(10, 0, 1000, 0.0)
    assert [limit.allow(1, 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert limit.wait(1, 0.0) == 0.1
    assert not limit.allow(1, 0.05)
    assert limit.allow(1, 0.1)
    assert [limit.allow(1, 100.0) for _ in range(11)] == [True] * 10 + [False]


def test_bytes_count_too_and_a_full_message_always_fits_in_the_end() -> None:
    limit = RateLimit(0, 100, 1000, 0.0)  # ten times less a second than one message has
    assert limit.allow(1000, 0.0)
    assert limit.wait(1000, 0.0) == 10.0
    assert not limit.allow(1000, 9.9)
    assert limit.allow(1000, 10.0)
    assert limit.wait(5000, 10.0) == 10.0, "what is larger than the burst waits for a full bucket, not for ever"


def test_both_must_allow_and_a_refused_message_costs_nothing() -> None:
    limit = RateLimit(10, 1000, 100, 0.0)
    assert limit.allow(1000, 0.0)
    assert not limit.allow(1000, 0.0)
    assert limit._messages.wait(9, 0.0) == 0.0


def test_taking_without_asking_goes_into_debt() -> None:
    bucket = Bucket(1, 1, 0.0)
    bucket.take(1, 0.0)
    bucket.take(2, 0.0)
    assert bucket.wait(1, 0.0) == 3.0


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = Bucket(1, 1, 10.0)
    bucket.take(1, 10.0)
    assert bucket.wait(1, 9.0) == 1.0


class Highest(random.Random):
    """Dice that always show the highest number."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_ceiling_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(0.5, 30, Highest())
    assert [backoff.next(0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert [backoff.next(0) for _ in range(5000)][-1] == 30


def test_a_session_that_ends_at_once_is_no_success() -> None:
    backoff = Backoff(0.5, 30, Highest())
    assert [backoff.next(1.0) for _ in range(4)] == [0.5, 1, 2, 4]
    assert backoff.next(31.0) == 0.5


def test_jitter_is_full() -> None:
    backoff = Backoff(8, 8, random.Random(1))
    waits = [backoff.next(0) for _ in range(500)]
    assert min(waits) < 0.5 and max(waits) > 7.5


def test_refusals_are_tried_again_around_a_period() -> None:
    backoff = Backoff(1, 2, random.Random(1))
    waits = [backoff.refused(180) for _ in range(100)]
    assert 135 <= min(waits) < max(waits) <= 225
