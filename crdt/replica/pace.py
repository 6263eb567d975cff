"""How many rows are written anew because of what peers say: all there are, once a minute.

A peer that claims our vector, another hash and no rows, or heals what nobody holds otherwise, would have us write and
publish everything again and again. Each row that differs has to be written once; nobody honest needs more than that.
Knows: how many rows were written for whom lately. Promises: the first claim is believed at once; one who claims too
much leaves room for others. Must not know: rows, messages.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 60.0  # seconds
LEAST: Final = 1_000  # rows: what costs nothing is never refused
SHARES: Final = 4  # of all who claim, together: so many times what one may


class Pace:
    """A window of time begins with the first rows that are written after the last one."""

    __slots__ = ("_ends", "_most", "_refused", "_rows", "_total")

    def __init__(self) -> None:
        self._ends = -float("inf")
        self._most = 0
        self._total = 0
        self._rows: dict[str, int] = {}
        self._refused: set[str] = set()

    def allows(self, name: str, rows: int, live: int, now: float) -> bool:
        """Whether `rows` more are written for this peer, of `live` that there are; if so they count."""
        if now >= self._ends:
            self._ends = now + WINDOW
            self._most = max(LEAST, live)
            self._total = 0
            self._rows.clear()
            self._refused.clear()
        mine = self._rows.get(name, 0) + rows
        if mine > self._most or self._total + rows > SHARES * self._most:
            self._refused.add(name)
            return False
        self._rows[name] = mine
        self._total += rows
        return True

    def until(self, name: str) -> float:
        """Until when this peer need not be asked what differs; long ago if it may be."""
        return self._ends if name in self._refused else -float("inf")
