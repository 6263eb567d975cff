"""A store that cannot be read: moved aside, and what its log still holds taken into a new one. So is, into the store it
stands in, what stood behind a damaged frame of the log. Both lie in `Store.rest` until that is done.

Knows: that frames are whole, checked and immutable wherever they come from, and when one can be applied. Promises: the
damaged files are renamed, never changed or deleted; a frame is taken in only when everything its author had seen is
here, as from a peer, under the name of its author; so what comes of it is what peers would have brought, plus what no
peer had; what a start that is killed has not taken in, the next one does.
Must not know: how to read damaged files (store.py).

The rows of the damaged checkpoint are not used: without all of it nobody can say which of them had been removed. They
come from peers. Frames that build on them wait until they have come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Final

from crdt.codec import decode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica.effects import LogFrame
from crdt.replica.replica import Replica
from daemon.store import Durability, Store, StoreCorrupt, StoreForeign

AT_ONCE: Final = 50  # frames taken in between two turns of the loop


@dataclass(frozen=True, slots=True)
class Damage:
    """What happened to a store: the reason, where its files are now, and how many frames could be read."""

    reason: str
    aside: Path
    readable: int


def open_or_replace(directory: Path, space: str, durability: Durability) -> tuple[Store, Damage | None]:
    """Open a store, or where it is damaged an empty one in its place. Raises StoreError for anything else."""
    try:
        store = Store.open(directory, space, durability)
        rmtree(_made_in(directory, space), ignore_errors=True)  # a start was killed
        return store, None
    except StoreForeign:
        raise
    except StoreCorrupt as error:
        aside = Store.set_aside(directory, space)
        return Store.open(directory, space, durability), Damage(str(error), aside, 0)


def replace(store: Store, space: str, durability: Durability, reason: str) -> tuple[Store, Damage]:
    """An open store turned out to be damaged: open one in its place that keeps what can be read of it."""
    frames = list(store.salvage())
    directory = store.path.parent
    made_in = _made_in(directory, space)
    rmtree(made_in, ignore_errors=True)
    successor = Store.open(made_in, space, "always")
    successor.keep_rest(frames)
    successor.close()
    store.close()
    aside = Store.set_aside(directory, space, successor.path)
    rmtree(made_in, ignore_errors=True)
    return Store.open(directory, space, durability), Damage(reason, aside, len(frames))


def _made_in(directory: Path, space: str) -> Path:
    return directory / f"{space}.salvage"


class Salvage:
    """Frames of a damaged log that wait until they can be taken in."""

    def __init__(self, frames: Iterable[LogFrame] = ()) -> None:
        self._waiting: dict[Actor, deque[LogFrame]] = {}
        self._stood = -1  # the vector's sum when nothing could be taken in any more
        for frame in frames:
            self._waiting.setdefault(frame.actor, deque()).append(frame)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def feed(self, replica: Replica, now: float) -> bool:
        """Take in some of those that can be applied; True if there may be more. Effects are left in `replica.out`."""
        if not self._waiting or replica.state.vector_sum == self._stood:
            return False
        before = len(self)
        taken = 0
        for actor, frames in list(self._waiting.items()):
            while frames and taken < AT_ONCE and self._take(replica, frames[0], now):
                frames.popleft()
                taken += 1
            if not frames:
                del self._waiting[actor]
        if len(self) < before:
            return True
        self._stood = replica.state.vector_sum
        return False

    @staticmethod
    def _take(replica: Replica, logged: LogFrame, now: float) -> bool:
        """Whether the frame need not wait any longer."""
        state = replica.state
        if logged.last <= state.applied(logged.actor):
            return True
        if logged.first - 1 > state.applied(logged.actor):
            return False
        try:
            ready = state.ready(decode_frame(logged.data))
        except PeerError:
            return True
        if ready:
            replica.intake.offer(logged.actor.name, logged.data, now, first_hand=False, vouched=True)
        return ready
