"""What the engine reads of the disk: the log, and rows of a snapshot that wait to be joined.

Everything it writes goes out as effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from crdt.dots import Actor


class LogReader(Protocol):
    """The frames that were persisted, in local apply order, and what was staged."""

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """Frames that `have` does not cover, in order, up to `budget` bytes (at least one); True if that was all."""
        ...

    def floor(self) -> Mapping[Actor, int]:
        """Per actor: what is at or below it is no longer in the log."""
        ...

    def staged(self, number: int) -> bytes | None:
        """The data of a `Stage`; None if it is damaged or gone."""
        ...
