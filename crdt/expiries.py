"""Which keys are over: the wall clock as a filter on what readers see.

A key with a lifetime (crdt/types/expiry.py) is *expired* when the wall clock has passed it. Its rows stay as they are,
and so do frames, hashes and vectors; it leaves `keys`, which is where readers look, so that no reader and no key
without a lifetime pays for it.

Promises: after `turn(t)` a key is in `keys` only if its lifetime ends after t, also when the clock was set back; each
key that a reader could see comes up once in `lapsed` when it expires. O(log n) a change of a lifetime, O(1) a turn in
which nothing ends. Must not know: how to read a clock, when rows of expired keys are removed (crdt/replica/reaper.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from crdt.directory import Directory

if TYPE_CHECKING:
    from crdt.types.expiry import ExpiryEntry

NEVER: Final = 1 << 63  # the deadline of a key without one, in ms; all others are below
_SLACK: Final = 64  # outdated deadlines that the schedule may hold besides one for each key


class Expiries(Directory):
    """See the module. A base of State: what it says of keys is part of what stands under them."""

    __slots__ = (
        "deadline_sum", "graves", "lapsed", "latest", "mortal", "next_deadline", "offset_ms", "schedule", "strays",
        "time_ms",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.time_ms = 0  # the corrected wall clock at the last turn
        self.offset_ms = 0  # what corrects it
        self.schedule: list[tuple[int, bytes]] = []  # heap; outdated pairs are passed over
        self.next_deadline = NEVER
        self.latest = 0  # no expired key has a later deadline
        self.lapsed: list[bytes] = []  # keys that readers have just lost
        self.graves: dict[bytes, None] = {}  # expired keys that nobody has taken note of to remove their rows
        self.strays: dict[bytes, None] = {}  # keys that are gone and may have left own expire rows behind
        self.mortal = 0  # visible keys with a deadline, and the sum of those
        self.deadline_sum = 0

    def turn(self, wall_ms: int) -> None:
        """The wall clock was read."""
        now = self.time_ms = wall_ms + self.offset_ms
        if now >= self.next_deadline:
            self._expire(now)
        elif now < self.latest:
            self._revive(now)

    def _expire(self, now: int) -> None:
        schedule = self.schedule
        while schedule and schedule[0][0] <= now:
            deadline, key = heappop(schedule)
            entry = self.lifetimes.get(key)
            if entry is not None and entry.deadline == deadline and key not in self.expired:
                self._hide(key, deadline)
        self.next_deadline = schedule[0][0] if schedule else NEVER

    def _revive(self, now: int) -> None:
        """The clock was set back: what ends later than that is to be seen again."""
        for key, deadline in list(self.expired.items()):
            if deadline > now:
                self._reveal(key)
                self.plan(key, deadline)
        self.latest = max(self.expired.values(), default=0)

    def _hide(self, key: bytes, deadline: int) -> None:
        self.expired[key] = deadline
        self.graves[key] = None
        if deadline > self.latest:
            self.latest = deadline
        shown = self.keys.pop(key, None)
        if shown is not None:
            self.hidden.setdefault(key, []).append(shown)
            self.lapsed.append(key)
            self._recount(key)

    def _reveal(self, key: bytes) -> None:
        del self.expired[key]
        self.graves.pop(key, None)
        for entry in self.all_of(key):
            self.place(entry)
        self._recount(key)

    def plan(self, key: bytes, deadline: int) -> None:
        """The key expires then, unless its lifetime changes."""
        schedule = self.schedule
        if len(schedule) > 2 * len(self.lifetimes) + _SLACK:
            self.schedule = schedule = [
                (entry.deadline, k)
                for k, entry in self.lifetimes.items()
                if entry.deadline < NEVER and k != key and k not in self.expired
            ]
            heapify(schedule)
        heappush(schedule, (deadline, key))
        self.next_deadline = schedule[0][0]

    def ends(self, entry: ExpiryEntry) -> int:
        """When the rows under the key end."""
        raise NotImplementedError

    def reassess(self, key: bytes) -> None:
        """Rows that the key's lifetime depends on may have come or gone."""
        entry = self.lifetimes.get(key)
        if entry is not None:
            self.limit(key, entry, self.ends(entry))

    def limit(self, key: bytes, entry: ExpiryEntry, deadline: int) -> None:
        """The key is to be seen until `deadline` from now on."""
        changed, entry.deadline = entry.deadline != deadline, deadline
        if deadline > self.time_ms:
            if key in self.expired:
                self._reveal(key)
            if changed and deadline < NEVER:
                self.plan(key, deadline)
        elif key not in self.expired:
            self._hide(key, deadline)
        else:
            self.expired[key] = deadline
            self.latest = max(self.latest, deadline)
        self._recount(key)

    def _recount(self, key: bytes) -> None:
        """Keep the figures of INFO."""
        entry = self.lifetimes.get(key)
        if entry is not None:
            counted = entry.deadline if entry.deadline < NEVER and key in self.keys else 0
            if counted != entry.counted:
                self._tally(entry.counted, counted)
                entry.counted = counted

    def _tally(self, before: int, after: int) -> None:
        """A visible key's deadline was `before`, and is `after`; 0 is none."""
        self.mortal += (after > 0) - (before > 0)
        self.deadline_sum += after - before

    def forget_lifetime(self, key: bytes) -> None:
        """The last expire row of the key is gone."""
        entry = self.lifetimes.pop(key, None)
        if entry is not None:
            self._tally(entry.counted, 0)
            entry.counted = 0
            entry.deadline = NEVER
        if key in self.expired:
            self._reveal(key)

    def take_lapsed(self) -> Iterable[bytes]:
        """The keys that readers have lost since the last call, each once, in the order of their deadlines."""
        if not self.lapsed:
            return ()
        lapsed, self.lapsed = self.lapsed, []
        return dict.fromkeys(lapsed)
