"""The way of what the engine orders to be stored, to the disk and back: a batch at a time, in order.

Knows: which of them the worker thread writes beside the loop, which the loop waits for, and which need not wait for the
disk to be synced.
Promises: no batch is reported to the engine before it and all before it are stored; one that cannot be stored ends the
daemon: nothing unsaved is promised. Must not know: when to commit, what a batch holds, what the engine orders next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from crdt.replica.effects import Persist
from crdt.replica.events import Persisted
from daemon.metrics import Histogram

if TYPE_CHECKING:
    from daemon.space import Space

QUEUE: Final = 64  # commits under way in the worker before the loop waits for the disk


class Commits:
    """See the module. `fail(exit code, text)`: what happened leaves no way to go on."""

    def __init__(self, space: Space, fail: Callable[[int, str], None]) -> None:
        self.seconds = Histogram()
        self.logged = 0  # bytes of log that a start would have to replay
        self._space = space
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._unsynced = False  # something was stored and may not have reached the disk yet
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"store-{space.name}")
        self._queue: deque[Persist] = deque()  # ordered and not confirmed; the head may be under way
        self.underway: tuple[Persist, Future[None]] | None = None  # what the worker has

    def put(self, effect: Persist) -> None:
        """Store it: in the worker, or before this returns if somebody waits for it."""
        self._queue.append(effect)
        space = self._space
        # Replies wait for what was written here, and nobody for what peers wrote: their own disks hold it.
        awaited = space.inline and any(frame.actor.name == space.replica.name for frame in effect.frames)
        if effect.snapshot or awaited or len(self._queue) > QUEUE:
            self.drain()
        elif self.underway is None:
            self._next()

    def drain(self) -> None:
        """Wait for the worker, and store what it had not begun; `Space.run` something afterwards."""
        space = self._space
        while self._queue:
            effect = self._queue[0]
            if self.underway is None:
                self._store(effect)
            else:
                self.underway[1].result()
                self.underway = None
            self._queue.popleft()
            space.promise()
            space.carry_out(space.replica.handle(Persisted(effect.batch), self._loop.time()))

    def sync(self) -> None:
        """A commit interval is over: have the worker bring to the disk what was stored meanwhile without a sync."""
        if self._unsynced:
            self._unsynced = False
            self._worker.submit(self._sync)

    def between(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Have the worker do something else between two batches."""
        return self._loop.run_in_executor(self._worker, work)

    def close(self) -> None:
        """Let the worker end; what it has begun it finishes, and what it has to sync."""
        self.sync()
        self._worker.shutdown()

    def _store(self, effect: Persist) -> None:
        """Write one batch; on any thread."""
        began = time.perf_counter()
        space = self._space
        # Where each turn commits although no reply waits for that, it is what peers read that waits: not for a sync.
        sync = space.replica.tuning.durable or not space.inline
        with self._vital():
            if effect.snapshot:
                space.checkpointer.finish(effect.frames, dict(effect.floors))
            else:
                space.store.commit(effect.frames, floors=dict(effect.floors), sync=sync)
        if effect.snapshot:
            self.logged = 0
        elif not sync:
            self._unsynced = True
        self.logged += sum(len(frame.data) for frame in effect.frames)
        self.seconds.observe(time.perf_counter() - began)

    def _sync(self) -> None:
        with self._vital():
            self._space.store.sync()

    @contextmanager
    def _vital(self) -> Iterator[None]:
        """What fails in here ends the daemon."""
        try:
            yield
        except Exception as error:
            self._fail(1, str(error))
            raise

    def _next(self) -> None:
        effect = self._queue[0]
        future = self._worker.submit(self._store, effect)
        self.underway = effect, future
        # Without the future itself in it: that would be a cycle, and nobody collects those while much is written.
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._on_stored, effect, done))

    def _on_stored(self, effect: Persist, future: Future[None]) -> None:
        if self.underway is None or self.underway[0] is not effect or future.exception() is not None:
            return  # `drain` was here, or the daemon is ending
        self.underway = None
        self._queue.popleft()
        if self._queue:
            self._next()
        self._space.handle(Persisted(effect.batch))
        if self._space.inline:
            self._space.commit()  # what came while the worker was busy, in one go
