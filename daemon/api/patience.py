"""Whether to look at the sockets again instead of falling asleep, for a client that asks anew once it has its reply.

To fall asleep and to be woken takes longer than such a client needs, if it has a core of its own: the next request of
one that is quick (not of a Python program) is there some looks later. So the loop goes on for `LOOKS` of them. It is
given up where nothing came within those, or where what came was always there at once, so that the loop would not have
slept anyway (a client on our own core runs as soon as it is answered). Then some reads are followed by sleep, more each
time that trying was in vain. An idle daemon sleeps.

Knows how many looks are left. Promises to give up. Must not know what is read, nor by whom.
"""

from __future__ import annotations

from typing import Final

LOOKS: Final = 12
"""Looks, of about a microsecond each, until it is given up."""
TRUST: Final = 4
"""Reads that may be there at once, more than those that were found by looking, until it is given up."""
SHORTEST: Final = 16
"""Reads that are followed by sleep before it is tried again, where it has paid."""
LONGEST: Final = 1024
"""... where it never does."""


class Patience:
    """Counts, and says so."""

    __slots__ = ("_left", "_paid", "_pause", "_rest", "_trust")

    def __init__(self) -> None:
        self._left = 0  # looks; 0: the loop may sleep
        self._trust = 0
        self._paid = False  # something was found by looking
        self._pause = SHORTEST  # the last one
        self._rest = 0  # reads that it still takes

    def begins(self) -> bool:
        """A read was answered. True: look again from now on, and ask `lasts` each time."""
        if self._left:
            if self._trust:  # else the next look is the last
                self._found()
            return False
        if self._rest:
            self._rest -= 1
            return False
        self._left, self._trust, self._paid = LOOKS, TRUST, False
        return True

    def _found(self) -> None:
        if self._left >= LOOKS - 1:
            self._trust -= 1
        else:
            self._paid = True
            self._trust = min(self._trust + 1, TRUST)
        self._left = LOOKS if self._trust else 1

    def lasts(self) -> bool:
        """A look is over. False: enough, the loop may sleep."""
        self._left -= 1
        if not self._left:
            self._pause = SHORTEST if self._paid and self._trust else min(2 * self._pause, LONGEST)
            self._rest = self._pause
        return self._left > 0
