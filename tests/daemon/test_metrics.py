"""The histogram in plain integers."""

from __future__ import annotations

import pytest

from daemon.metrics import BOUNDS, Histogram


def test_bounds_ascend() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))


@pytest.mark.parametrize("index", range(len(BOUNDS)))
def test_a_bound_belongs_to_its_bucket(index: int) -> None:
    """Prometheus: less than or equal."""
    histogram = Histogram()
    histogram.observe(BOUNDS[index])
    histogram.observe(BOUNDS[index] * 1.0001)
    expected = [0] * (len(BOUNDS) + 1)
    expected[index] += 1
    expected[index + 1] += 1
    assert histogram.buckets == expected


def test_several_at_once() -> None:
    histogram = Histogram()
    histogram.observe(0.003, 5)
    histogram.observe(100.0)
    assert sum(histogram.buckets) == 6
    assert histogram.buckets[-1] == 1
    assert histogram.sum == pytest.approx(100.015)
