"""What is counted, in plain integers. The exporter (http.py) reads it; nothing here knows who asks."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Seconds, counted by upper bound as Prometheus wants them."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """`count` things took `seconds` each."""
        self.buckets[bisect_left(BOUNDS, seconds)] += count
        self.sum += seconds * count
