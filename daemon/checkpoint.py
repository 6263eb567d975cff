"""Writing the live rows of a space to its store, a chunk at a time, while the space goes on changing.

Knows: which chunks of the state are on disk as they are now (`Chunk.saved`), and which segments on disk nobody needs
any more. Promises: no step takes longer than gathering PART rows or packing a segment: one chunk (about 2,000 rows), or
about SEGMENT bytes of it, or a single larger row; unchanged chunks are not written again; what is finished is a valid
checkpoint at the vector at which it was begun (fuzzy: see store.py).
Must not know: when a checkpoint is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from crdt.codec import encode_rows
from crdt.dots import SEQ_MASK, Actor
from crdt.frame import Group
from crdt.joining import Joining
from crdt.replica.effects import LogFrame
from crdt.rows import ActorRows, Chunk
from crdt.state import State
from crdt.types.streams import pack_latecomers
from daemon.store import Store, StoreError

PART = 512  # rows gathered in one step: out of sets and hashes a microsecond each
SEGMENT = 1 << 20  # bytes of values and fields that share a segment: the loop packs and stores it in one step
LATECOMERS = "latecomers"  # in the meta of a checkpoint: crdt/types/streams.py


class Checkpointer:
    """One space's checkpoints. `on_disk`: the segments of the valid checkpoint, as the start found them."""

    def __init__(self, state: State, store: Store, on_disk: Iterable[tuple[Actor, int]] = ()) -> None:
        self._state = state
        self._store = store
        self._on_disk = set(on_disk)
        self._visited: set[tuple[Actor, int]] = set()
        self._walk: Iterator[None] | None = None
        self._joining: Joining | None = None
        self._author = state.actor
        self.written = 0  # segments written since the start

    @property
    def running(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._walk is not None

    def begin(self) -> None:
        """Begin a checkpoint at the present vector, which must be a frame boundary."""
        assert self._walk is None and self._state.dot == self._state.cut_dot
        self._author = self._state.actor
        self._store.begin_checkpoint(self._state.vector())
        self._walk = self._steps(self._state)

    @property
    def stale(self) -> bool:
        """Whether the state goes on as another actor since `begin`: removals that were pending then may have been
        undone (crdt/moving.py), and a segment may lack what is live. Then abandon it.
        """
        return self._state.actor != self._author

    def begin_join(self, joining: Joining) -> None:
        """Begin a join and the checkpoint of what comes of it; at a frame boundary. Each `step` is one of either."""
        assert self._walk is None and self._state.dot == self._state.cut_dot
        joining.begin()
        self._store.begin_checkpoint(joining.vector)
        self._joining = joining
        self._walk = self._join_steps(joining)

    def step(self) -> bool:
        """Gather some rows, or write those of a chunk; True while there are more."""
        assert self._walk is not None
        return next(self._walk, True) is None

    def finish(
        self, frames: Sequence[LogFrame] = (), floors: Mapping[Actor, int] = MappingProxyType[Actor, int]({})
    ) -> None:
        """Make it the valid checkpoint, in one transaction with these frames and floors; every other frame covered by
        its vector must be committed, and what was joined have taken the place of the state. Raises StoreFailed.
        """
        self._store.finish_checkpoint(frames, {LATECOMERS: pack_latecomers(self._state)}, floors)
        self._on_disk = self._visited
        self._walk = self._joining = None
        self._state.chunks_held = False

    def abandon(self) -> None:
        """Give up the checkpoint being written, if any; the valid one stays. Raises nothing."""
        if self._walk is None:
            return
        self._walk = None
        if self._joining is not None:
            self._joining.abandon()  # the chunks of the state have not been touched
            self._joining = None
        else:
            self._state.chunks_held = False
            for rows in self._state.actors.values():
                for chunk in rows.chunks:
                    chunk.saved = None  # what was staged is gone: every chunk has to be written again
        with suppress(StoreError):
            self._store.abandon_checkpoint()  # where it fails, the next `begin` does it again

    def _steps(self, state: State) -> Iterator[None]:
        state.chunks_held = True
        self._visited = set()
        for rows in list(state.actors.values()):
            for chunk in list(rows.chunks):
                yield from self._save(state, rows, chunk)
        for actor, start in sorted(self._on_disk - self._visited):
            self._store.drop_segment(actor, start)
            yield None

    def _join_steps(self, joining: Joining) -> Iterator[None]:
        while joining.step():
            yield None
        if joining.failed or joining.abandoned:
            return
        for _ in self._steps(joining.next):
            yield None
            joining.step()  # frames have followed
            if joining.abandoned:
                return
        while joining.step():
            yield None

    def _save(self, state: State, rows: ActorRows, chunk: Chunk) -> Iterator[None]:
        """Put a chunk that changed since it was last written.

        What of it is removed between two steps may stand in the segment: the log has those removals, as it has those of
        rows that are removed afterwards. Either makes the chunk one that has changed.
        """
        if chunk.saved is not None:
            self._visited.update((rows.actor, start) for start in chunk.saved)
            return
        chunk.saved = ()  # None again if it changes from now on
        starts: list[int] = []
        for start, groups in self._segments(state, chunk):
            if groups:
                self._store.put_segment(rows.actor, start, encode_rows(groups))
                self._visited.add((rows.actor, start))
                self.written += 1
                starts.append(start)
            yield None
        if chunk.saved is not None:
            chunk.saved = tuple(starts) or None

    @staticmethod
    def _segments(state: State, chunk: Chunk) -> Iterator[tuple[int, list[Group]]]:
        """What shares a segment, and its first seq; no groups where more has to be gathered."""
        gathered: list[Group] = []
        size, held, first, at, count = len(chunk), 0, 0, 0, PART
        while at < size:
            stop = min(at + count, size)
            groups = state.groups(chunk, at, stop)
            weight = sum(map(_weight, groups))
            if weight > SEGMENT and stop - at > 1:
                count = (stop - at) // 2  # and more again where they are smaller
                continue
            if gathered and held + weight > SEGMENT:
                yield chunk.dots[first] & SEQ_MASK, gathered
                gathered, held, first = [], 0, at
            gathered += groups
            held += weight
            at, count = stop, min(2 * count, PART)
            if groups:
                yield 0, []
        if gathered:
            yield chunk.dots[first] & SEQ_MASK, gathered


def _weight(group: Group) -> int:
    """Bytes of what may be large in it."""
    payloads = group.payloads or ()
    weight = len(group.key or b"") + sum(map(len, group.fields))
    return weight + sum(len(each) for each in payloads if isinstance(each, bytes | str))
