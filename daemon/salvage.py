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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Final

from crdt.codec import decode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica.effects import LogFrame
from crdt.replica.replica import Replica
from daemon.store import Durability, Store, StoreCorrupt, StoreError, StoreForeign, StoreUnwritable

AT_ONCE: Final = 50  # frames taken in between two turns of the loop


@dataclass(frozen=True, slots=True)
class Damage:
    """What happened to a store, where its files are now, and how many frames could be read."""

    what: str
    aside: Path
    readable: int


def open_or_replace(directory: Path, space: str, durability: Durability) -> tuple[Store, Damage | None]:
    """Open a store, or where it is damaged an empty one in its place. Raises StoreError for anything else."""
    try:
        store = Store.open(directory, space, durability)
    except StoreForeign:
        raise
    except StoreCorrupt as error:
        what = _what(error)
        with _successor(directory, space, what, ()) as successor:
            damage = Damage(what, Store.set_aside(directory, space, successor), 0)
        return Store.open(directory, space, durability), damage
    rmtree(_made_in(directory, space), ignore_errors=True)  # a start was killed
    if store.aside is None:
        return store, None
    what = f"{store.path} was damaged, and a start that was replacing it killed"
    return store, Damage(what, store.aside, len(store.rest()))


def replace(store: Store, space: str, durability: Durability, error: StoreCorrupt) -> tuple[Store, Damage]:
    """An open store turned out to be damaged: open one in its place that keeps what can be read of it. Raises
    StoreError: nothing was moved, or with the next start it will have been.
    """
    directory, what, frames = store.path.parent, _what(error), list(store.salvage())
    with _successor(directory, space, what, frames) as successor:
        damage = Damage(what, store.give_way(successor), len(frames))
    return Store.open(directory, space, durability), damage


@contextmanager
def _successor(directory: Path, space: str, what: str, frames: Sequence[LogFrame]) -> Iterator[Path]:
    """A closed database with these frames in its `rest`, to be moved from where it was made."""
    made_in = _made_in(directory, space)
    rmtree(made_in, ignore_errors=True)  # a start was killed
    try:
        try:
            store = Store.open(made_in, space, "always")
            with closing(store):
                store.keep_rest(frames)
        except StoreError as error:
            raise StoreUnwritable(f"{what}, and to keep what can be read of it failed: {error}") from error
        yield store.path
    finally:
        rmtree(made_in, ignore_errors=True)


def _made_in(directory: Path, space: str) -> Path:
    return directory / f"{space}.salvage"


def _what(error: StoreCorrupt) -> str:
    """What happened, without what to do."""
    return str(error).split("; ")[0]


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
