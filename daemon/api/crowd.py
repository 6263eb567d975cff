"""Whether so many clients are active at once that their reads should wait for each other.

What many clients have sent in one turn of the loop is best done for all of them side by side: read, run, write. Each of
the three stays in the processor's caches meanwhile, and a client that is woken by its reply does not fall asleep again
until the next is written. For a few clients it costs more to come back at the end of the turn than that saves.

Knows how many reads the turns have brought. Promises to notice a crowd within `PROBED` reads, and its end within some
turns. Must not know what is read.
"""

from __future__ import annotations

from typing import Final

CROWD: Final = 3.0
"""Reads in a turn from which on it pays."""
GUESS: Final = 6.0
"""Reads in a turn that are expected while none was counted: enough to count some turns before it is believed."""
RECENT: Final = 0.25
"""Weight of the last turn among those before it."""
PROBED: Final = 256
"""Reads after which those that did not wait for each other do so for some turns, to be counted."""


class Crowd:
    """Counts, and says so."""

    __slots__ = ("_company", "here")

    def __init__(self) -> None:
        self.here = False
        self._company = GUESS  # reads in a turn, of late

    def count(self, reads: int) -> None:
        """A turn has brought so many."""
        self._company += (reads - self._company) * RECENT
        self.here = self._company >= CROWD

    def passed(self, reads: int) -> None:
        """So many reads have not waited, since the start: now and then they had better be counted again."""
        if not reads % PROBED and not self.here:
            self.here = True
            self._company = GUESS
