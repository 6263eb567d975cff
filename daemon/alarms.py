"""What of a space is told to who looks after it, and how often.

Knows: how many alarms of each kind there were, and which reasons of drops were told. Promises: every alarm counts; no
peer may fill the disk with lines: of one kind a few are told as they come, and then one a minute; of a reason why
messages are dropped, the first. Must not know: what an alarm means, what follows from it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from crdt.replica.effects import Alarm
from daemon.logs import get_logger

log = get_logger("space")

ALARMS: Final = 20  # of one kind that are told as they come
ALARM_AGAIN: Final = 60.0  # seconds between two of the others


class Alarms:
    """See the module. `counts`: alarms since the start, by code."""

    def __init__(self, space: str) -> None:
        self.counts: dict[str, int] = {}
        self._space = space
        self._told_at: dict[str, float] = {}  # when one of that kind was last told
        self._reasons = 0  # of drops that were told, or need not be

    def tell(self, alarm: Alarm, now: float, trace: bool = False) -> None:
        """Count it, and tell it if it is its turn. `trace`: with the exception that is being handled."""
        number = self.counts[alarm.code] = self.counts.get(alarm.code, 0) + 1
        if number <= ALARMS or now - self._told_at.get(alarm.code, 0.0) >= ALARM_AGAIN:
            self._told_at[alarm.code] = now
            log.error(alarm.code, space=self._space, what=alarm.text, number=number, exc_info=trace)

    def tell_dropped(self, reasons: Collection[str], sender: str) -> None:
        """Tell which reasons of drops are new; the metrics count the rest. `reasons`: all since the start, in order."""
        if len(reasons) == self._reasons:
            return
        what = "a message from the broker was dropped, nothing changed; who else publishes below mqtt.prefix?"
        for reason in list(reasons)[self._reasons :]:
            if reason != "held_time":  # what waited too long is nobody's fault
                log.warning("dropped", space=self._space, sender=sender, reason=reason, what=what)
        self._reasons = len(reasons)

    def pass_over(self, reasons: Collection[str]) -> None:
        """No sender is to blame for the reasons that are new: never tell them."""
        self._reasons = len(reasons)
