"""Whether to look at the sockets again instead of falling asleep, for a client that asks anew once it has its reply.

To fall asleep and to be woken takes longer than such a client needs: the next request of one that is quick (not of a
Python program) is there a few looks later. So the loop goes on for `LOOKS` of them; where nothing came within those,
the next `REST` reads are followed by sleep. An idle daemon sleeps, one that is asked now and then loses a thousandth.

Knows how many looks are left. Promises to give up. Must not know what is read, nor by whom.
"""

from __future__ import annotations

from typing import Final

LOOKS: Final = 12
"""Looks, of about a microsecond and a half each, until it is given up."""
REST: Final = 64
"""Reads that are followed by sleep before it is tried again."""


class Patience:
    """Counts, and says so."""

    __slots__ = ("_left", "_rest")

    def __init__(self) -> None:
        self._left = 0  # looks; 0: the loop may sleep
        self._rest = 0  # reads

    def begins(self) -> bool:
        """A read was answered. True: look again from now on, and ask `lasts` each time."""
        if self._left:  # it pays: this read was found by looking
            self._left = LOOKS
            return False
        if self._rest:
            self._rest -= 1
            return False
        self._left = LOOKS
        return True

    def lasts(self) -> bool:
        """A look is over. False: enough, the loop may sleep."""
        self._left -= 1
        if not self._left:
            self._rest = REST
        return self._left > 0
