"""The way of what the engine orders to be stored, to the disk and back: in order, what has gathered in one go.

Knows: which of them a worker thread writes beside the loop, which the loop waits for, and which need not wait for the
disk to be synced; that what nobody waits for (rows of a snapshot on its way, folding, pruning) has a thread of its own,
so that no commit stands behind it.
Promises: no batch is reported to the engine before it and all before it are stored (and synced, where the durability
asks for it); one that cannot be ends the daemon: nothing unsaved is promised.
Must not know: when to commit, what a batch holds, what the engine orders next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from crdt.replica.effects import LogFrame, Persist, Stage
from crdt.replica.events import Persisted
from daemon.metrics import Histogram
from daemon.store import StoreError

if TYPE_CHECKING:
    from daemon.space import Space

TOGETHER: Final = 1 << 20
"""Bytes, about, that a worker writes in one transaction: while it does, nobody else can write to the file."""
FOLD_AT: Final = 4 << 20
"""Bytes of WAL from which on who writes much in the background waits for it to be folded."""
HELD: Final = 16 << 20
"""Bytes of frames that wait for the worker before the loop waits for it, or of a snapshot before the loop helps."""


class Commits:
    """See the module. `fail(exit code, text)`: what happened leaves no way to go on."""

    def __init__(self, space: Space, fail: Callable[[int, str], None]) -> None:
        self.seconds = Histogram()
        self.logged = 0  # bytes of log that a start would have to replay
        self._space = space
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._staging = False  # what was staged is going to be written
        self._unsynced = False  # something was stored and may not have reached the disk yet
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"store-{space.name}")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=f"aside-{space.name}")
        self.closing = False  # what is done aside should come to an end
        self._queue: deque[Persist] = deque()  # ordered and not begun
        self._held = 0  # bytes of frames in it
        self.underway: tuple[Sequence[Persist], Future[None]] | None = None  # what the worker has

    def put(self, effect: Persist) -> None:
        """Store it: in the worker, or before this returns if somebody waits for it."""
        self._queue.append(effect)
        self._held += _size(effect)
        space = self._space
        # Replies wait for what was written here, and nobody for what peers wrote: their own disks hold it.
        awaited = space.inline and any(frame.actor.name == space.replica.name for frame in effect.frames)
        if effect.snapshot or awaited or self._held > HELD:
            self.drain()
        elif self.underway is None:
            self._next()

    def drain(self) -> None:
        """Wait for the worker, and store what it had not begun; `Space.run` something afterwards."""
        space = self._space
        while self.underway is not None or self._queue:
            if self.underway is not None:
                group, future = self.underway
                future.result()
                self.underway = None
            else:
                group = self._take()
                self._store(group)
            space.promise()
            space.carry_out(space.replica.handle(Persisted(group[-1].batch), self._loop.time()))

    def stage(self, order: Stage) -> None:
        """Keep rows of a snapshot that is on its way; they are written aside, or here if they come faster than that."""
        store = self._space.store
        store.stage(order)
        if not self._staging:
            self._staging = True
            self._aside.submit(self._write_staged)
        if store.unwritten > HELD:
            with self._vital():
                store.write_staged(TOGETHER)

    def sync(self) -> None:
        """A commit interval is over: have the worker bring to the disk what was stored meanwhile without a sync."""
        if self._unsynced:
            self._unsynced = False
            self._worker.submit(self._sync)

    async def stored(self) -> None:
        """Once all that has been ordered by now is stored; unlike `drain`, the loop goes on meanwhile."""
        replica = self._space.replica
        batch = replica.batch
        while replica.stored < batch and self.underway is not None:
            await asyncio.shield(asyncio.wrap_future(self.underway[1]))  # whoever waits may be cancelled, the work not

    def synced(self) -> asyncio.Future[None]:
        """Once all that the store was told by now is on the disk; the worker sees to it."""
        return self._loop.run_in_executor(self._worker, self._sync)

    def aside(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Have something done beside commits, in turn with others of its kind. May be cancelled by `close`."""
        return self._loop.run_in_executor(self._aside, work)

    def close(self) -> None:
        """Let the workers end: what was ordered is stored and synced, what is done aside left where it is."""
        self.closing = True
        self._aside.shutdown(wait=False, cancel_futures=True)
        self.sync()
        self._worker.shutdown()
        self._aside.shutdown()

    def _take(self) -> list[Persist]:
        """Out of the queue what shares the next sync: a snapshot, or all up to one."""
        group = [self._queue.popleft()]
        while self._queue and not group[0].snapshot and not self._queue[0].snapshot:
            group.append(self._queue.popleft())
        self._held -= sum(map(_size, group))
        return group

    def _store(self, group: Sequence[Persist]) -> None:
        """Write what is stored in one go; on any thread."""
        began = time.perf_counter()
        space = self._space
        snapshot = group[0].snapshot
        with self._vital():
            if snapshot:
                self.logged = 0
                space.checkpointer.finish(group[0].frames, dict(group[0].floors))
            else:
                self._commit(group)
            # At interval 0 without `always` a commit comes with each turn, for it to be published: no reply waits.
            if snapshot or space.replica.tuning.durable or not space.inline:
                space.store.sync()
            else:
                self._unsynced = True
        self.logged += sum(map(_size, group))
        self.seconds.observe(time.perf_counter() - began)

    def _commit(self, group: Sequence[Persist]) -> None:
        frames: list[LogFrame] = []
        size = 0
        for effect in group:
            frames += effect.frames
            size += _size(effect)
            if size >= TOGETHER or effect is group[-1]:
                self._space.store.commit(frames)
                frames, size = [], 0

    def _write_staged(self) -> None:
        self._staging = False  # what comes from now on may come too late for this
        store = self._space.store
        more = True
        while more and not self.closing:
            with self._vital():
                more = store.write_staged(TOGETHER)
            if store.unfolded > FOLD_AT:
                with suppress(StoreError):  # housekeeping tells if it goes on
                    store.fold()

    def _sync(self) -> None:
        with self._vital():
            self._space.store.sync()

    @contextmanager
    def _vital(self) -> Iterator[None]:
        """What fails in here ends the daemon: it has left the queue, and after a failed sync none can be believed."""
        try:
            yield
        except Exception as error:
            self._fail(1, str(error))
            raise

    def _next(self) -> None:
        group = self._take()
        future = self._worker.submit(self._store, group)
        self.underway = group, future
        # Without the future itself in it: that would be a cycle, and nobody collects those while much is written.
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._on_stored, group, done))

    def _on_stored(self, group: Sequence[Persist], future: Future[None]) -> None:
        if self.underway is None or self.underway[0] is not group or future.exception() is not None:
            return  # `drain` was here, or the daemon is ending
        self.underway = None
        if self._queue:
            self._next()
        self._space.handle(Persisted(group[-1].batch))
        if self._space.inline:
            self._space.commit()  # what came while the worker was busy, in one go


def _size(effect: Persist) -> int:
    return sum(len(frame.data) for frame in effect.frames)
