"""One space of a running daemon: its state, engine, store and witness, and the carrying out of the engine's orders.

Knows: the order of effects; when to commit under which durability; where a start continues and where it begins anew.
Promises: nothing leaves before it is stored; a reply held for `always` is released by `settle` only after the commit;
what cannot be stored ends the daemon rather than being acknowledged.
Must not know: sockets, MQTT, commands.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Protocol

from crdt.codec import decode_frame, decode_rows
from crdt.dots import Actor
from crdt.frame import Group
from crdt.joining import Joining
from crdt.replica.effects import Alarm, Effect, Join, Notify, Persist, Resync, Send, Stage, Unstage, Witness
from crdt.replica.events import Connected, Disconnected, Event, Merged, Persisted, Received, Tick
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types.streams import unpack_latecomers
from daemon.api.database import Database
from daemon.checkpoint import LATECOMERS, Checkpointer
from daemon.logs import get_logger
from daemon.metrics import Histogram
from daemon.salvage import Damage, Salvage
from daemon.store import Store, StoreError
from daemon.waiters import Waiters
from daemon.witness import Witness as WitnessFile

log = get_logger("space")

CUT_AT = 256  # pending operations that are cut at once: the loop is held for less than a millisecond
COMMIT_AT = 1 << 20  # bytes of own frames that are stored before the commit interval is over
QUEUE = 64  # commits under way in the worker before the loop waits for the disk
CHECKPOINT_AFTER = 16 << 20  # bytes of log since the last checkpoint; more where there are many rows to write
ALARMS = 20  # of one kind that are told as they come
ALARM_AGAIN = 60.0  # seconds between two of the others
RESYNC_SLICE = 500  # events of a joined snapshot between two turns of the loop
LOAD_SLICE = 0.005  # seconds of loading between two turns of the loop
AFTER_DEFECT = 0.1  # seconds until the engine is called again that has just failed: a defect shall not fill the log


class Carrier(Protocol):
    """What a space needs to send."""

    def publish(self, space: str, lane: str, to: str | None, data: bytes) -> bool:
        """See transport.interface."""
        ...


class Space:
    """See the module. Make it, `await load()`, then feed it."""

    def __init__(
        self,
        index: int,
        name: str,
        store: Store,
        witness: WitnessFile,
        replica_name: str,
        tuning: Tuning,
        carrier: Carrier,
        rng: Random,
        session: int,
        fail: Callable[[int, str], None],
        inline: bool,
        log_budget: int,
    ) -> None:
        """`session` names the connection of this daemon, the same in all its spaces (63 bits).

        `inline`: commit on the loop's thread at the end of each turn; else in a worker, every commit interval.
        `fail(exit code, text)`: what happened leaves no way to go on.
        """
        self.name = name
        self.waiters = Waiters()
        self.on_promise: Callable[[], None] = lambda: None  # called when the first write counts as acknowledged
        self.inline = inline
        self.alarms: dict[str, int] = {}
        self._alarmed: dict[str, float] = {}  # when one of that kind was last told
        self.commits = Histogram()
        self.recovery_seconds = 0.0
        self._carrier = carrier
        self._rng = rng
        self._fail = fail
        self._log_budget = log_budget
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"store-{name}")
        self._queue: deque[Persist] = deque()  # ordered and not confirmed; the head may be under way
        self._underway: tuple[Persist, Future[None]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._settling = False
        self._closed = False
        self._dropped = 0  # reasons of drops that were told
        self._uncommitted = 0  # bytes of own frames that were cut since the last commit
        self._logged = 0  # bytes of log that a start would have to replay
        self._maintenance: asyncio.Task[None] | None = None
        self._joining: asyncio.Task[None] | None = None
        self._join_at = 0.0  # not before this, by the loop's time: the last one failed
        self._resyncing: asyncio.Task[None] | None = None
        self._tidiness_failed = False
        self._displaced = False
        self._loop = asyncio.get_running_loop()
        self.salvage = Salvage()
        self._start_on(store, witness, replica_name, tuning, session)
        self.database = Database(index, name, self.state, self._shown)

    def _start_on(self, store: Store, witness: WitnessFile, replica_name: str, tuning: Tuning, session: int) -> None:
        nonce = witness.claim(lambda nonce: store.last(Actor(replica_name, nonce)))
        self.store = store
        self._witness = witness
        self.continued = nonce is not None
        self.state = State(Actor(replica_name, nonce if nonce is not None else self._rng.getrandbits(64)))
        witness.record(self.state.actor.nonce, store.last(self.state.actor))
        self.state.clock.max_drift_ms = tuning.max_drift_ms
        self.replica = Replica(self.state, store, self._rng, tuning, session)
        self.checkpointer = Checkpointer(self.state, store)

    def start_anew(self, store: Store, witness: WitnessFile) -> None:
        """The store could not be read: go on with this one, which is empty, as a new actor. `load` it."""
        self._witness.close()
        self._logged = 0
        replica = self.replica
        self._start_on(store, witness, replica.name, replica.tuning, replica.session)
        self.database.state = self.state

    # -- start --------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Checkpoint, then the log above it, in slices. Raises StoreError."""
        began = time.monotonic()
        self.begin()
        self.state.starting = True
        loaded = self.store.load()
        unpack_latecomers(self.state, loaded.meta.get(LATECOMERS, b"\x90"))
        on_disk: list[tuple[Actor, int]] = []
        async for _ in self._sliced():
            segment = next(loaded.segments, None)
            if segment is None:
                break
            actor, start, data = segment
            on_disk.append((actor, start))
            groups = decode_rows(data)
            self.state.load(actor, start, groups, loaded.checkpoint_vv.get(actor, 0))
            self._own_time(actor, groups)
        self.state.loaded(loaded.checkpoint_vv)
        async for _ in self._sliced():
            logged = next(loaded.log, None)
            if logged is None:
                break
            self._logged += len(logged.data)
            frame = decode_frame(logged.data)
            self.state.replay(frame)
            self._own_time(frame.actor, frame.groups)
        if loaded.damaged:
            log.error(
                "damaged_log",
                space=self.name,
                what="a stored frame is unreadable; what follows it is pulled from peers",
            )
            self.state.become(Actor(self.replica.name, self._rng.getrandbits(64)))
            self._witness.record(self.state.actor.nonce, 0)
        self.state.starting = False
        self.checkpointer = Checkpointer(self.state, self.store, on_disk)
        staged = self.replica.merging.staged
        self.store.unstage([n for n, actor, seqs in self.store.staged_index() if not staged.found(n, actor, seqs)])
        self.replica.loaded(self.now())
        self.recovery_seconds = time.monotonic() - began

    async def take_in(self, damage: Damage) -> None:
        """After a damaged store was replaced: say so, and take in what could be read of its log."""
        found = len(damage.frames)
        self.salvage = Salvage(damage.frames)
        while self._feed():  # noqa: ASYNC110
            await asyncio.sleep(0)
        text = (
            f"{damage.reason.split('; ')[0]}. Its files were moved to {damage.aside}, and we go on as a new actor:"
            f" {found} frames of the log were readable, {found - len(self.salvage)} are taken in, the others wait for"
            " what peers have. Check the disk; keep the files until the peers have converged"
        )
        self._alarm(Alarm("damaged_store", text))

    def _feed(self) -> bool:
        self.begin()
        more = self.salvage.feed(self.replica, self.now())
        self._run(self.replica.out.take())
        self.commit()
        return more

    async def _sliced(self) -> AsyncIterator[None]:
        until = time.monotonic() + LOAD_SLICE
        while True:
            yield None
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + LOAD_SLICE

    def _own_time(self, actor: Actor, groups: list[Group]) -> None:
        """The clock never runs behind what this replica has written, in whichever of its lives."""
        if actor.name == self.replica.name and groups:
            clock = self.state.clock
            clock.now = max(clock.now, max(hlc for group in groups for _, hlc in group.stamps))

    # -- what happens -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Local operations or a message follow: set the clock."""
        self.database.begin(time.time_ns() // 1_000_000)

    def receive(self, sender: str, inbox: bool, data: bytes) -> None:
        """A message arrived; after `close` it comes too late."""
        if self._closed:
            return
        self._handle(Received(sender, inbox, data))
        self._tell_dropped(sender)
        self._absorbed()

    def _absorbed(self) -> None:
        """Frames of peers may have been applied."""
        self.state.begin(self.state.clock.wall_ms)  # what is written from now on sorts after what was absorbed
        if self.inline and not self._settling and self.replica.dirty:
            self._settling = True
            self._loop.call_soon(self._store_received)

    @property
    def busy(self) -> bool:
        """Whether a message is being taken in, in slices: another one would have to wait for all of them."""
        return self.replica.busy and not self._closed

    def _tell_dropped(self, sender: str) -> None:
        """Something was dropped for a reason that is new since the start: one line; the metrics count the rest."""
        if len(self.replica.drops) == self._dropped:
            return
        what = "a message from the broker was dropped, nothing changed; who else publishes below mqtt.prefix?"
        for reason in list(self.replica.drops)[self._dropped :]:
            if reason != "held_time":  # what waited too long is nobody's fault
                log.warning("dropped", space=self.name, sender=sender, reason=reason, what=what)
        self._dropped = len(self.replica.drops)

    def _store_received(self) -> None:
        self._settling = False
        if self._underway is None and not self._closed:
            self.commit()  # else when the worker is done with those before: `_on_stored`

    def now(self) -> float:
        """The loop's time, which is the engine's."""
        return self._loop.time()

    def retune(self, tuning: Tuning, log_budget: int, inline: bool) -> None:
        """Settings changed while running."""
        self.replica.retune(tuning)
        self.inline = inline
        self.state.clock.max_drift_ms = tuning.max_drift_ms
        self._log_budget = log_budget

    def connected(self) -> None:
        """A broker became reachable."""
        if not self._closed:
            self._handle(Connected())

    def disconnected(self, session: int) -> None:
        """No broker is left; `session` names the next connection."""
        if not self._closed:
            self._handle(Disconnected(session))

    def settle(self, much: bool = False) -> None:
        """The turn that wrote is over: commit if this durability asks for it, cut if much is pending.

        `much`: whether what clients have sent since the last time is large, however few operations it is.
        """
        if self.inline:
            if self.state.dot != self.state.cut_dot:
                self.commit()
            return
        self._promise()
        if much or self.state.dot - self.state.cut_dot >= CUT_AT:
            self._uncommitted += self.replica.cut()
            if self._uncommitted >= COMMIT_AT:
                self.commit()

    def commit(self) -> None:
        """Cut and store what is new, if anything is."""
        self._promise()
        self._uncommitted = 0
        if self.replica.dirty:
            self._run(self.replica.commit(self._loop.time()))

    def _promise(self) -> None:
        """What a client wrote counts as acknowledged: from then on this daemon does not make room for a namesake."""
        if self.state.dot != self.state.cut_dot and not self.replica.acknowledged:
            self.replica.acknowledged = True
            self.on_promise()

    def _shown(self, seq: int) -> None:
        """A client learns of own operations that may not be stored yet: a start that lacks them must not spend them."""
        self._witness.record(self.state.actor.nonce, seq)

    def ask(self, seq: int) -> None:
        """Find out which peers have applied own operation `seq`, at once."""
        self.commit()
        self._run(self.replica.ask(seq, self._loop.time()))

    def sync(self) -> None:
        """Cut, commit, publish, say HELLO. A WAIT can then ask for everything that was ever acknowledged here."""
        self.commit()
        if self.replica.lives.sign():
            self._run(self.replica.commit(self._loop.time()))
        self._drain()
        self._run(self.replica.sync(self._loop.time()))

    def _handle(self, event: Event) -> None:
        self.begin()  # the engine compares both clocks
        self._promise()  # the engine may cut what clients wrote in this turn
        self.state.told = self.database.observed
        try:
            self._run(self.replica.handle(event, self._loop.time()))
        except Exception:
            if self._timer is None or self.busy:  # the rest of a message has to be taken in, or no other is read
                self._arm(self.now() + AFTER_DEFECT)
            raise

    def _tick(self) -> None:
        self._timer = None
        self._armed_for = float("inf")
        unfinished = self.replica.intake.unfinished
        self._handle(Tick())
        if unfinished is not None:
            self._tell_dropped(unfinished.sender)
            self._absorbed()
        self._dropped = len(self.replica.drops)

    def _arm(self, earliest: float = 0.0) -> None:
        deadline = max(self.replica.deadline, earliest)
        if deadline == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = deadline
        if deadline != float("inf"):
            self._timer = self._loop.call_at(deadline, self._tick)

    # -- effects ------------------------------------------------------------------------------------------------------

    def _run(self, effects: list[Effect]) -> None:
        """Carry the orders out; then see who was waiting for what they did, and when to come back."""
        self._carry_out(effects)
        if len(self.waiters):
            self.waiters.check()
        self.database.serve()
        self._arm()

    def _carry_out(self, effects: list[Effect]) -> None:
        """One after the other."""
        for effect in effects:
            if isinstance(effect, Send):
                self._carrier.publish(self.name, effect.lane.value, effect.to, effect.data)
            elif isinstance(effect, Persist):
                self._persist(effect)
            elif isinstance(effect, Witness):
                self._witness.record(self.state.actor.nonce, effect.seq)
            elif isinstance(effect, Notify):
                self._notify(effect)
            elif isinstance(effect, Resync):
                self._resync(effect.joining)
            elif isinstance(effect, Alarm):
                self._alarm(effect)
            else:
                self._keep(effect)

    def _notify(self, effect: Notify) -> None:
        if self.database.observed:
            for key, event in effect.changes:
                self.database.touch(key, event)

    def _keep(self, effect: Stage | Unstage | Join) -> None:
        """What a snapshot on its way needs."""
        try:
            if isinstance(effect, Stage):
                self.store.stage(effect)
            elif isinstance(effect, Unstage):
                self.store.unstage(effect.numbers)
            else:
                self._joining = self._loop.create_task(self._join(effect.joining, self._maintenance))
        except StoreError as error:
            self._fail(1, str(error))
            raise

    async def _join(self, joining: Joining, before: asyncio.Task[None] | None) -> None:
        """Build the join of a snapshot and write its checkpoint, in slices between other work."""
        if before is not None:
            await asyncio.wait((before,))
        if self.now() < self._join_at:  # another peer's HELLO has brought the next attempt sooner
            await asyncio.sleep(self._join_at - self.now())
        whole = True
        try:
            self.commit()
            self.checkpointer.begin_join(joining)
            while self.checkpointer.running and self.checkpointer.step():  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # others get their turn between two slices
        except StoreError as error:
            self._alarm(Alarm("join_failed", f"{error}; what peers sent is kept and joined later"))
            whole = False
        except Exception:  # nothing of it is seen before the end; repair must not wait for ever
            self._alarm(Alarm("join_failed", "a defect: please report it; it is tried again"), trace=True)
            whole = False
        if joining.failed or joining.abandoned or not whole:
            self.checkpointer.abandon()
        if not whole:
            self._join_at = self.now() + self.replica.hello_period
        self._handle(Merged(joining, whole))

    def _resync(self, joining: Joining) -> None:
        """Any key may have changed: watched ones count as changed at once, events follow in slices."""
        for key in self.database.watched():
            self.database.changed(key)
        self._resyncing = self._loop.create_task(self._tell_joined(joining))

    async def _tell_joined(self, joining: Joining) -> None:
        if self.database.observed:
            for number, (key, event) in enumerate(joining.changes(), 1):
                self.database.touch(key, event)
                if not number % RESYNC_SLICE:
                    await asyncio.sleep(0.001)
        while joining.discard():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def _alarm(self, effect: Alarm, trace: bool = False) -> None:
        """Count it; of the same kind a few are told, and then one a minute: no peer may fill the disk with lines.

        `trace`: with the exception that is being handled.
        """
        number = self.alarms[effect.code] = self.alarms.get(effect.code, 0) + 1
        now = self.now()
        if number <= ALARMS or now - self._alarmed.get(effect.code, 0.0) >= ALARM_AGAIN:
            self._alarmed[effect.code] = now
            log.error(effect.code, space=self.name, what=effect.text, number=number, exc_info=trace)
        if effect.code == "name_taken":
            self._fail(7, effect.text)

    def _persist(self, effect: Persist) -> None:
        self._queue.append(effect)
        # Replies wait for what was written here, and nobody for what peers wrote: their own disks hold it.
        awaited = self.inline and any(frame.actor.name == self.replica.name for frame in effect.frames)
        if effect.snapshot or awaited or len(self._queue) > QUEUE:
            self._drain()
        elif self._underway is None:
            self._commit_next()

    def _store(self, effect: Persist) -> None:
        """Write one batch; on any thread. A disk that cannot take it ends the daemon: nothing unsaved is promised."""
        began = time.perf_counter()
        try:
            if effect.snapshot:
                self.checkpointer.finish(effect.frames, dict(effect.floors))
            else:
                self.store.commit(effect.frames, floors=dict(effect.floors))
        except Exception as error:
            self._fail(1, str(error))
            raise
        if effect.snapshot:
            self._logged = 0
        self._logged += sum(len(frame.data) for frame in effect.frames)
        self.commits.observe(time.perf_counter() - began)

    def _commit_next(self) -> None:
        effect = self._queue[0]
        future = self._worker.submit(self._store, effect)
        self._underway = effect, future
        # Without the future itself in it: that would be a cycle, and nobody collects those while much is written.
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._on_stored, effect, done))

    def _on_stored(self, effect: Persist, future: Future[None]) -> None:
        if self._underway is None or self._underway[0] is not effect or future.exception() is not None:
            return  # `_drain` was here, or the daemon is ending
        self._underway = None
        self._queue.popleft()
        if self._queue:
            self._commit_next()
        self._handle(Persisted(effect.batch))
        if self.inline:
            self.commit()  # what came while the worker was busy, in one go

    def _drain(self) -> None:
        """Wait for the worker, and store what it had not begun; `_run` something afterwards."""
        while self._queue:
            effect = self._queue[0]
            if self._underway is None:
                self._store(effect)
            else:
                self._underway[1].result()
                self._underway = None
            self._queue.popleft()
            self._promise()
            self._carry_out(self.replica.handle(Persisted(effect.batch), self._loop.time()))

    # -- housekeeping -------------------------------------------------------------------------------------------------

    def housekeep(self) -> None:
        """A few times a second: fold the WAL, prune the log, write a checkpoint when one is due."""
        self._look_for_file()
        if len(self.salvage):
            self._feed()
            if not len(self.salvage):
                log.info("salvaged", space=self.name, what="everything readable of the damaged log was taken in")
        if self._maintenance is None or self._maintenance.done():
            self._maintenance = self._loop.create_task(self._keep_house())

    def _look_for_file(self) -> None:
        before, self._displaced = self._displaced, not self.store.in_place
        if self._displaced and not before:
            text = (
                f"{self.store.path} was removed or replaced under the running daemon: what it stores from now on is"
                " lost when it ends. Let peers get everything ('gossamer wait'), then restart it"
            )
            self._alarm(Alarm("store_gone", text))

    async def _keep_house(self) -> None:
        """What fails here is tried again: commits that fail in the same way end the daemon anyway."""
        try:
            if self._checkpoint_due() and self.replica.merging.joining is None:
                await self._checkpoint()
            else:
                await self._loop.run_in_executor(self._worker, self._tidy)
        except StoreError as error:
            self.checkpointer.abandon()
            if not self._tidiness_failed:
                log.error("housekeeping_failed", space=self.name, what=f"{error}; tried again until it works")
            self._tidiness_failed = True
        else:
            self._tidiness_failed = False

    def _tidy(self) -> None:
        self.store.fold()
        while self.store.sweep():
            pass
        while self.store.prune(self._log_budget).more:
            pass

    def _checkpoint_due(self) -> bool:
        after = max(CHECKPOINT_AFTER, 48 * self.state.live)
        # The log can only be pruned up to the last checkpoint.
        return self._logged > min(after, self._log_budget) or self.store.wants_checkpoint

    async def _checkpoint(self) -> None:
        """Write a checkpoint in slices between other work."""
        self.commit()
        self.checkpointer.begin()
        begun = self._logged
        while self.checkpointer.step():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # others get their turn between two slices
        self.commit()  # the segments lack what was removed meanwhile: those removals have to be in the log
        self._drain()
        self._run([])
        self.checkpointer.finish()
        self._logged -= begun

    def close(self) -> None:
        """Store and publish what is pending, say goodbye, let go of the files."""
        for task in (self._maintenance, self._joining, self._resyncing):
            if task is not None:
                task.cancel()
        self.begin()
        self.commit()
        self._drain()
        self._run(self.replica.farewell())
        if self._timer is not None:
            self._timer.cancel()
        self._worker.shutdown()
        self._closed = True  # the links go after the spaces: what they still bring is left to the next start
        self._witness.close()
        self.store.close()
