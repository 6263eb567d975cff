"""What a space does in the background: checkpoints, folding the WAL, pruning the log, what was saved of a damaged one,
giving back what dead rows held.

Knows: when a checkpoint is due; how much log may stay; whether the file of the store is still where it was.
Promises: everything goes in slices between other work; what fails is tried again, and an alarm says so; a checkpoint is
finished only after the removals that its segments lack are in the log.
Must not know: how rows are packed (checkpoint.py), what stands in one transaction (store.py), joins (space.py).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from crdt.replica.effects import Alarm, LogFrame
from daemon.commits import FOLD_AT
from daemon.logs import get_logger
from daemon.salvage import Damage, Salvage
from daemon.store import StoreError

if TYPE_CHECKING:
    from daemon.space import Space

log = get_logger("space")

COMPACTED: Final = 32  # steps of compacting in a turn
CHECKPOINT_AFTER: Final = 16 << 20  # bytes of log since the last checkpoint; more where there are many rows to write


class Housekeeping:
    """See the module. `log_budget`: bytes of log that may stay."""

    def __init__(self, space: Space, log_budget: int) -> None:
        self.log_budget = log_budget
        self.task: asyncio.Task[None] | None = None  # the last turn, which may not be over
        self._space = space
        self._salvage = Salvage()
        self._kept = False  # the store holds frames that stood behind a damaged one
        self._displaced = False

    def turn(self) -> None:
        """A few times a second: fold the WAL, prune the log, compact, write a checkpoint when one is due."""
        self._look_for_file()
        if len(self._salvage):
            self._feed()
            if not len(self._salvage):
                text = "everything readable of the damaged log was taken in"
                log.info("salvaged", space=self._space.name, what=text)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._keep_house())

    async def pause(self, seconds: float = 0.0) -> None:
        """Between two slices of what writes much: others get their turn, and the WAL is folded by the worker."""
        if self._space.store.unfolded > FOLD_AT:
            with suppress(StoreError):  # the next turn tells, if it goes on
                await self._space.commits.aside(self._space.store.fold)
        else:
            await asyncio.sleep(seconds)

    # -- the files ----------------------------------------------------------------------------------------------------

    def _look_for_file(self) -> None:
        space = self._space
        before, self._displaced = self._displaced, not space.store.in_place
        if self._displaced and not before:
            text = (
                f"{space.store.path} was removed or replaced under the running daemon: what it stores from now on is"
                " lost when it ends. Let peers get everything ('gossamer wait'), then restart it"
            )
            space.alarms.tell(Alarm("store_gone", text), space.now())

    def tell(self, damage: Damage) -> None:
        """After a damaged store was replaced and what could be read of its log taken in: say so."""
        text = (
            f"{damage.what}. Its files were moved to {damage.aside}, and we go on as a new actor:"
            f" {damage.readable} frames of the log were readable, {damage.readable - len(self._salvage)} are taken in,"
            " the others wait for what peers have. Check the disk; keep the files until the peers have converged"
        )
        self._space.alarms.tell(Alarm("damaged_store", text), self._space.now())

    async def take_back(self, damaged: bool) -> None:
        """After a start: take in what stood behind a damaged frame, or in a damaged store, found now or earlier."""
        frames = self._space.store.rest()
        if not frames and not damaged:
            return
        self._kept = len(frames) > 0
        await self._begin_salvage(frames)
        text = f"{len(frames) - len(self._salvage)} of {len(frames)} intact frames of a damaged log are taken in"
        if len(self._salvage):
            text += "; the others are kept until peers have brought what they build on"
        if damaged:
            text = f"a stored frame is unreadable: it is pulled from peers, and we go on as a new actor. {text}"
            self._space.alarms.tell(Alarm("damaged_log", f"{text}. Check the disk"), self._space.now())
        else:
            log.info("salvaging", space=self._space.name, what=text)

    async def _begin_salvage(self, frames: list[LogFrame]) -> None:
        self._salvage = Salvage(frames)
        while self._feed():  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _feed(self) -> bool:
        space = self._space
        space.begin()
        more = self._salvage.feed(space.replica, space.now())
        space.run(space.replica.out.take())
        space.commit()
        return more

    # -- checkpoints and the log --------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """What fails here is tried again: commits that fail in the same way end the daemon anyway."""
        space = self._space
        try:
            if self._checkpoint_due() and space.replica.merging.joining is None and not space.checkpointer.running:
                await self._checkpoint()
            else:
                await space.commits.aside(self._tidy)
                await self._compact()
        except StoreError as error:
            space.checkpointer.abandon()
            space.alarms.tell(Alarm("housekeeping_failed", f"{error}; tried again until it works"), space.now())

    async def _compact(self) -> None:
        """Cuts give back what dead rows held, if there are any."""
        for _ in range(COMPACTED):
            if not self._space.state.compact():
                return
            await asyncio.sleep(0.001)

    def _tidy(self) -> None:
        store, commits = self._space.store, self._space.commits
        while store.sweep() and not commits.closing:
            pass
        while store.prune(self.log_budget).more and not commits.closing:
            pass
        if self._kept and not len(self._salvage):
            self._kept = not store.forget_rest()
        store.fold()  # at last, since it may fail for long where all else works

    def _checkpoint_due(self) -> bool:
        space = self._space
        after = max(CHECKPOINT_AFTER, 48 * space.state.live)
        # The log can only be pruned up to the last checkpoint.
        return space.commits.logged > min(after, self.log_budget) or space.store.wants_checkpoint

    async def _checkpoint(self) -> None:
        """Write a checkpoint in slices between other work."""
        space = self._space
        space.commit()
        space.checkpointer.begin()
        begun = space.commits.logged
        while space.checkpointer.step():
            await self.pause(0.001)
        space.commit()  # the segments lack what was removed meanwhile: those removals have to be in the log
        await space.commits.stored()
        if space.checkpointer.stale:
            space.checkpointer.abandon()  # the next turn begins another
            return
        space.checkpointer.finish()
        space.commits.logged -= begun
