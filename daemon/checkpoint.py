"""Writing the live rows of a space to its store, a chunk at a time, while the space goes on changing.

Knows: which chunks of the state are on disk as they are now (`Chunk.saved`), and which segments on disk nobody needs
any more. Promises: no step takes longer than packing one chunk (about 2,000 rows); unchanged chunks are not written
again; what is finished is a valid checkpoint at the vector at which it was begun (fuzzy: see store.py).
Must not know: when a checkpoint is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from crdt.codec import encode_rows
from crdt.dots import SEQ_MASK, Actor
from crdt.replica.effects import LogFrame
from crdt.rows import ActorRows, Chunk
from crdt.state import State
from daemon.store import Store, StoreError


class Checkpointer:
    """One space's checkpoints. `on_disk`: the segments of the valid checkpoint, as the start found them."""

    def __init__(self, state: State, store: Store, on_disk: Iterable[tuple[Actor, int]] = ()) -> None:
        self._state = state
        self._store = store
        self._on_disk = set(on_disk)
        self._visited: set[tuple[Actor, int]] = set()
        self._walk: Iterator[None] | None = None
        self.written = 0  # segments written since the start

    @property
    def running(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._walk is not None

    def begin(self) -> None:
        """Begin a checkpoint at the present vector, which must be a frame boundary."""
        assert self._walk is None and self._state.dot == self._state.cut_dot
        self._store.begin_checkpoint(self._state.vector())
        self._state.chunks_held = True
        self._visited = set()
        self._walk = self._steps()

    def step(self) -> bool:
        """Write one chunk; True while there are more."""
        assert self._walk is not None
        return next(self._walk, True) is None

    def finish(self) -> None:
        """Make it the valid checkpoint; every frame covered by its vector must be committed. Raises StoreFailed."""
        self._finish((), {}, {})

    def write(self, frames: tuple[LogFrame, ...], meta: Mapping[str, bytes], floors: Mapping[Actor, int]) -> None:
        """A whole checkpoint with frames and floors in one transaction, for a joined snapshot. Raises StoreFailed."""
        self.abandon()
        self.begin()
        while self.step():
            pass
        self._finish(frames, meta, floors)

    def abandon(self) -> None:
        """Give up the checkpoint being written, if any; the valid one stays. Raises nothing."""
        if self._walk is None:
            return
        self._walk = None
        self._state.chunks_held = False
        for rows in self._state.actors.values():
            for chunk in rows.chunks:
                chunk.saved = None  # what was staged is gone: every chunk has to be written again
        with suppress(StoreError):
            self._store.abandon_checkpoint()  # where it fails, the next `begin` does it again

    def _steps(self) -> Iterator[None]:
        for rows in list(self._state.actors.values()):
            for chunk in list(rows.chunks):
                if self._save(rows, chunk):
                    yield None

    def _save(self, rows: ActorRows, chunk: Chunk) -> bool:
        """Put a chunk that changed since it was last written; whether there was anything to do."""
        if chunk.saved is not None:
            self._visited.add((rows.actor, chunk.saved))
            return False
        groups = self._state.groups(chunk)
        if not groups:
            return False
        start = chunk.dots[0] & SEQ_MASK
        self._store.put_segment(rows.actor, start, encode_rows(groups))
        self._visited.add((rows.actor, start))
        chunk.saved = start
        self.written += 1
        return True

    def _finish(self, frames: tuple[LogFrame, ...], meta: Mapping[str, bytes], floors: Mapping[Actor, int]) -> None:
        for actor, start in sorted(self._on_disk - self._visited):
            self._store.drop_segment(actor, start)
        self._store.finish_checkpoint(frames, meta, floors)
        self._on_disk = self._visited
        self._walk = None
        self._state.chunks_held = False
