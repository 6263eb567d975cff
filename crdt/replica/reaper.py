"""The end of expired keys: when the filter hits, and who removes their rows, and when.

Knows: which keys of its state have expired, who gave them their lifetime, how far the own clock is off. Promises: a
tick is asked for when the next key expires; rows are removed by ordinary removals, never before deadline + grace, by
one replica where that is possible; a bounded number of keys a tick; a replica whose clock is off removes nothing.
Must not know: messages.

    deadline                          nobody sees the key any more; the rows are there as before
    + grace                           the author of the longest expire row removes the values
    + 2 graces + random               whoever still has them does: the author is away
    one grace after the values        the expire row; until then it hides what was written elsewhere meanwhile

The grace is what an extension has to arrive: `Tuning.grace`, at least 3 heartbeats. For as long nothing is removed
after a start, and after the own wall clock has jumped: peers have to be heard first, who may say that it is wrong.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from crdt.entry import LIFETIME
from crdt.expiries import NEVER
from crdt.types import expiry

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

KEYS: Final = 64  # expired keys that one tick removes
PLANS: Final = 1024  # expired keys that one tick takes note of
PAUSE: Final = 0.02  # seconds between two ticks that found something
HEED: Final = 0.02  # seconds between two looks at all peers' clocks, times the crowd; a small space looks at each HELLO


class Reaper:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.off = False  # the own clock is off by more than max_drift
        self._noted: list[bytes] = []  # expired keys, for which nothing is planned yet
        self._due: list[tuple[int, bytes, int]] = []  # heap of (corrected wall ms, key, the deadline that it had)
        self._shift = 0.0  # engine's time - corrected wall time, in seconds
        self._resume = 0.0  # not before this, by the engine's time
        self._heed_at = 0.0
        self._apart = float("inf")  # engine's time - own wall time, in seconds, when both were last read
        self._ask_again = 0.0  # when to see whether those who made it so are still here
        self._hold = 0.0  # nothing is removed before this, by the engine's time

    @property
    def deadline(self) -> float:
        """When to tick, in the engine's seconds."""
        state = self.replica.state
        at = min(state.next_deadline, state.time_ms if state.graves or self._noted else NEVER)
        due = self._due[0][0] if self._due and not self.off else NEVER
        at_work = max(min(self._at(at), max(self._at(due), self._hold)), self._resume)
        return min(at_work, self._ask_again) if self.off else at_work

    def _at(self, wall_ms: int) -> float:
        return float("inf") if wall_ms == NEVER else self._shift + wall_ms / 1000

    def look(self, now: float) -> None:
        """Both clocks have just been read."""
        replica = self.replica
        self._shift = now - replica.state.time_ms / 1000
        apart = now - replica.state.clock.wall_ms / 1000
        if abs(apart - self._apart) * 1000 > replica.tuning.max_drift_ms:
            self._hold = now + self._grace_ms() / 1000
        self._apart = apart

    def heed(self, now: float) -> None:
        """A peer has told its clock: correct the own by the median of all, if that is far from it."""
        replica = self.replica
        if now < self._heed_at:
            return
        if replica.crowd > 1.0:
            self._heed_at = now + HEED * replica.crowd
        peers = replica.peers.by_name.values()
        skews = sorted([0, *(peer.skew_ms for peer in peers if peer.heard and peer.state(now) == "online")])
        half = len(skews) // 2
        median = skews[half] if len(skews) % 2 else (skews[half - 1] + skews[half]) // 2
        self.off = abs(median) > replica.tuning.max_drift_ms
        replica.state.offset_ms = median if self.off else 0

    def tick(self, now: float) -> None:
        """Remove what is due."""
        state = self.replica.state
        if self.off and now >= self._ask_again:
            self._ask_again = now + self.replica.tuning.heartbeat
            self.heed(now)
        if state.graves:
            self._noted += state.graves
            state.graves = {}
        for key in self._noted[-PLANS:]:
            self._resume = now + PAUSE
            if key in state.expired:
                self._plan(key, state.expired[key])
        del self._noted[-PLANS:]
        if self.off or now < self._hold or not self._due or self._due[0][0] > state.time_ms:
            return
        for _ in range(KEYS):
            if not self._due or self._due[0][0] > state.time_ms:
                break
            _, key, deadline = heappop(self._due)
            if state.expired.get(key) == deadline:
                self._remove(key, deadline)
            elif key in state.expired:
                self._plan(key, state.expired[key])
        else:
            self._resume = now + PAUSE
        self.replica.flush()

    def _plan(self, key: bytes, deadline: int) -> None:
        replica, state = self.replica, self.replica.state
        grace, rng = self._grace_ms(), replica.rng
        author = state.name(expiry.longest(state, key)).actor.name
        wait = grace if author == replica.name else int(grace * (2 + rng.random()))
        if deadline + wait < state.time_ms:  # this replica was away, as others may have been
            wait = state.time_ms - deadline + int(grace * rng.random())
        heappush(self._due, (deadline + wait, key, deadline))

    def _remove(self, key: bytes, deadline: int) -> None:
        state = self.replica.state
        values = [entry for entry in state.all_of(key) if entry.CODE != LIFETIME and entry.visible()]
        grace = self._grace_ms()
        if not values or state.time_ms >= deadline + 3 * grace:
            state.bury(key)
            return
        for entry in values:
            entry.erase(state)
            state.place(entry)
        heappush(self._due, (state.time_ms + grace, key, deadline))

    def _grace_ms(self) -> int:
        return int(1000 * max(self.replica.tuning.grace, 3 * self.replica.hello_period))
