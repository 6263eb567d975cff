"""Who waits for peers to have something (WAIT), or for this replica to have something (CRDT.WAITFOR).

Knows: conditions and what to call when one holds. Must not know: connections, time-outs (a session parks and unparks
itself and calls `forget`).
"""

from __future__ import annotations

from collections.abc import Callable

Condition = Callable[[], bool]


class Waiters:
    """Conditions that are looked at again whenever something happened."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Condition, Callable[[], object]]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, condition: Condition, then: Callable[[], object]) -> int:
        """Call `then` once, as soon as `condition()` holds; a number for `forget`."""
        self._next += 1
        self._waiting[self._next] = (condition, then)
        return self._next

    def forget(self, number: int) -> None:
        """It is no longer waited for."""
        self._waiting.pop(number, None)

    def check(self) -> None:
        """Something happened: call those whose condition holds."""
        for number, (condition, then) in list(self._waiting.items()):
            if number in self._waiting and condition():
                self._waiting.pop(number, None)
                then()
