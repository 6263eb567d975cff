"""How fast a link may send and how soon it may try again: arithmetic over a clock that others read.

Knows: a token bucket, full-jitter backoff. Promises: nothing sleeps, nothing draws dice of its own.
Must not know: what is sent, or to whom.
"""

from __future__ import annotations

import random

MAX_DOUBLINGS = 16
STABLE = 5.0  # seconds: a broker that throws us out at once does so sooner


class Bucket:
    """Tokens that refill at `rate` per second up to `burst`; a rate of 0 means no limit."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._at = now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` (at most the burst) could be taken; 0.0 = now."""
        if self._rate <= 0:
            return 0.0
        self._refill(now)
        return max(0.0, (min(amount, self._burst) - self._tokens) / self._rate)

    def take(self, amount: float, now: float) -> None:
        """Takes `amount`, going into debt if there is less: ask `wait` before. Only our own probes do not ask."""
        if self._rate > 0:
            self._refill(now)
            self._tokens -= amount

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now


class RateLimit:
    """Messages and bytes a second, both of which must allow a message."""

    def __init__(self, messages_per_second: float, bytes_per_second: float, full_message: int, now: float) -> None:
        self.unlimited = messages_per_second <= 0 and bytes_per_second <= 0
        self._messages = Bucket(messages_per_second, messages_per_second, now)
        self._bytes = Bucket(bytes_per_second, max(bytes_per_second, float(full_message)), now)

    def wait(self, size: int, now: float) -> float:
        """Seconds until a message of `size` bytes may be sent; 0.0 = now."""
        return max(self._messages.wait(1.0, now), self._bytes.wait(size, now))

    def take(self, size: int, now: float) -> None:
        """Accounts for one message of `size` bytes."""
        self._messages.take(1.0, now)
        self._bytes.take(size, now)

    def allow(self, size: int, now: float) -> bool:
        """Takes one message of `size` bytes if it may be sent now."""
        if self.unlimited:
            return True
        if self.wait(size, now) > 0:
            return False
        self.take(size, now)
        return True


class Backoff:
    """Full jitter: a random part of a ceiling that doubles, so that a broker's restart does not end in a stampede."""

    def __init__(self, base: float, ceiling: float, rng: random.Random) -> None:
        self._base = base
        self._ceiling = ceiling
        self._rng = rng
        self._failures = 0

    def next(self, lasted: float) -> float:
        """Seconds to wait after a session that lasted `lasted` seconds (0 = none came about).

        Only a session that was stable starts the series anew: a broker that lets us in and throws us out at once would
        otherwise be asked twice a second for ever.
        """
        if lasted > STABLE:
            self._failures = 0
        limit = min(self._ceiling, self._base * 2.0 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        return self._rng.uniform(0.0, limit)

    def refused(self, period: float) -> float:
        """Seconds to wait after a refusal: around `period`, so that a fleet does not ask in step."""
        return period * self._rng.uniform(0.75, 1.25)
