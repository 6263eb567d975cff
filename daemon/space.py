"""One space of a running daemon: its state, engine, store and witness, and the carrying out of the engine's orders.

Knows: the order of effects; when to commit under which durability; where a start continues and where it begins anew.
Promises: nothing leaves before it is stored; a reply held for `always` is released by `settle` only after the commit;
what cannot be stored ends the daemon rather than being acknowledged.
Must not know: sockets, MQTT, commands.

Its parts: commits.py the way of what is stored to the disk and back, housekeeping.py what goes on in the background,
alarms.py what is told. `handle`, `run`, `carry_out` and `promise` are there for them alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from random import Random
from typing import Protocol

from crdt.codec import decode_frame, decode_rows
from crdt.dots import Actor
from crdt.frame import Group
from crdt.joining import Joining
from crdt.replica.effects import Alarm, Effect, Join, Notify, Persist, Resync, Send, Stage, Unstage, Witness
from crdt.replica.events import Connected, Disconnected, Event, Merged, Received, Tick
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types.streams import unpack_latecomers
from daemon.alarms import Alarms
from daemon.api.database import Database
from daemon.checkpoint import LATECOMERS, Checkpointer
from daemon.commits import Commits
from daemon.housekeeping import Housekeeping
from daemon.logs import get_logger
from daemon.store import Store, StoreError
from daemon.waiters import Waiters
from daemon.witness import Witness as WitnessFile

log = get_logger("space")

CUT_AT = 256  # pending operations that are cut at once: the loop is held for less than a millisecond
COMMIT_AT = 1 << 20  # bytes of own frames that are stored before the commit interval is over
STORE_RECEIVED = 0.002  # seconds from taking in frames of peers to storing them, where each turn ends with a commit
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

        `inline`: commit on the loop's thread at the end of each turn; else in a worker, every commit interval. Only
        where replies wait for it (`tuning.durable`) does such a commit wait for the disk to be synced.
        `fail(exit code, text)`: what happened leaves no way to go on.
        """
        self.name = name
        self.waiters = Waiters()
        self.on_promise: Callable[[], None] = lambda: None  # called when the first write counts as acknowledged
        self.inline = inline
        self.alarms = Alarms(name)
        self.commits = Commits(self, fail)
        self.housekeeping = Housekeeping(self, log_budget)
        self.recovery_seconds = 0.0
        self._carrier = carrier
        self._rng = rng
        self._fail = fail
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._settling = False
        self._closed = False
        self._uncommitted = 0  # bytes of own frames that were cut since the last commit
        self._joining: asyncio.Task[None] | None = None
        self._join_at = 0.0  # not before this, by the loop's time: the last one failed
        self._resyncing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
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
        self.commits.logged = 0
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
            self.commits.logged += len(logged.data)
            frame = decode_frame(logged.data)
            self.state.replay(frame)
            self._own_time(frame.actor, frame.groups)
        if loaded.damaged:
            self.state.become(Actor(self.replica.name, self._rng.getrandbits(64)))
            self._witness.record(self.state.actor.nonce, 0)
        self.state.started()
        self.checkpointer = Checkpointer(self.state, self.store, on_disk)
        staged = self.replica.merging.staged
        self.store.unstage([n for n, actor, seqs in self.store.staged_index() if not staged.found(n, actor, seqs)])
        self.replica.loaded(self.now())
        await self.housekeeping.take_back(loaded.damaged)
        self.recovery_seconds = time.monotonic() - began

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
        self.handle(Received(sender, inbox, data))
        self.alarms.tell_dropped(self.replica.drops, sender)
        self._absorbed()

    def _absorbed(self) -> None:
        """Frames of peers may have been applied."""
        self.state.begin(self.state.clock.wall_ms)  # what is written from now on sorts after what was absorbed
        if self.inline and not self._settling and self.replica.dirty:
            self._settling = True
            # Clients that wait for what was just absorbed are answered first; and what comes soon shares the commit.
            if self.replica.tuning.durable:  # peers may wait to hear that it is stored
                self._loop.call_soon(self._loop.call_soon, self._store_received)
            else:
                self._loop.call_later(STORE_RECEIVED, self._store_received)

    @property
    def busy(self) -> bool:
        """Whether a message is being taken in, in slices: another one would have to wait for all of them."""
        return self.replica.busy and not self._closed

    def _store_received(self) -> None:
        self._settling = False
        if self.commits.underway is None and not self._closed:
            self.commit()  # else when the worker is done with what it has

    def now(self) -> float:
        """The loop's time, which is the engine's."""
        return self._loop.time()

    def retune(self, tuning: Tuning, log_budget: int, inline: bool) -> None:
        """Settings changed while running."""
        self.replica.retune(tuning)
        self.inline = inline
        self.state.clock.max_drift_ms = tuning.max_drift_ms
        self.housekeeping.log_budget = log_budget

    def connected(self) -> None:
        """A broker became reachable."""
        if not self._closed:
            self.handle(Connected())

    def disconnected(self, session: int) -> None:
        """No broker is left; `session` names the next connection."""
        if not self._closed:
            self.handle(Disconnected(session))

    def settle(self, much: bool = False) -> None:
        """The turn that wrote is over: commit if this durability asks for it, cut if much is pending.

        `much`: whether what clients have sent since the last time is large, however few operations it is.
        """
        if self.inline:
            if self.replica.unstored:
                self.commit()
            return
        self.promise()
        if much or self.state.dot - self.state.cut_dot >= CUT_AT:
            self._uncommitted += self.replica.cut()
            if self._uncommitted >= COMMIT_AT:
                self.commit()

    def commit(self) -> None:
        """Cut and store what is new, if anything is."""
        self.promise()
        self._uncommitted = 0
        if self.replica.dirty:
            self.run(self.replica.commit(self._loop.time()))

    def promise(self) -> None:
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
        self.run(self.replica.ask(seq, self._loop.time()))

    def sync(self) -> None:
        """Cut, commit, publish, say HELLO. A WAIT can then ask for everything that was ever acknowledged here."""
        self.commit()
        if self.replica.lives.sign():
            self.run(self.replica.commit(self._loop.time()))
        self.commits.drain()
        self.run(self.replica.sync(self._loop.time()))

    def handle(self, event: Event) -> None:
        """Something happened: tell the engine, and do what it orders."""
        self.begin()  # the engine compares both clocks
        self.promise()  # the engine may cut what clients wrote in this turn
        self.state.told = self.database.observed
        try:
            self.run(self.replica.handle(event, self._loop.time()))
        except Exception:
            if self._timer is None or self.busy:  # the rest of a message has to be taken in, or no other is read
                self._arm(self.now() + AFTER_DEFECT)
            raise

    def _tick(self) -> None:
        self._timer = None
        self._armed_for = float("inf")
        unfinished = self.replica.intake.unfinished
        self.handle(Tick())
        if unfinished is not None:
            self.alarms.tell_dropped(self.replica.drops, unfinished.sender)
            self._absorbed()
        self.alarms.pass_over(self.replica.drops)
        if self.busy:
            os.sched_yield()  # between two slices: a neighbour on this core may have clients that wait

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

    def run(self, effects: list[Effect]) -> None:
        """Carry the orders out; then see who was waiting for what they did, and when to come back."""
        self.carry_out(effects)
        if len(self.waiters):
            self.waiters.check()
        self.database.serve()
        self._arm()

    def carry_out(self, effects: list[Effect]) -> None:
        """One after the other."""
        for effect in effects:
            if isinstance(effect, Send):
                self._carrier.publish(self.name, effect.lane.value, effect.to, effect.data)
            elif isinstance(effect, Persist):
                self.commits.put(effect)
            elif isinstance(effect, Witness):
                self._witness.record(self.state.actor.nonce, effect.seq)
            elif isinstance(effect, Notify):
                self._notify(effect)
            elif isinstance(effect, Resync):
                self._resync(effect.joining)
            elif isinstance(effect, Alarm):
                self.alarms.tell(effect, self.now())
                if effect.code == "name_taken":
                    self._fail(7, effect.text)
            else:
                self._keep(effect)

    def _notify(self, effect: Notify) -> None:
        if self.database.observed:
            for key, event in effect.changes:
                self.database.touch(key, event)

    def _keep(self, effect: Stage | Unstage | Join) -> None:
        """What a snapshot on its way needs."""
        if isinstance(effect, Stage):
            self.commits.stage(effect)
        elif isinstance(effect, Unstage):
            self.store.unstage(effect.numbers)
        else:
            self._joining = self._loop.create_task(self._join(effect.joining, self._joining))

    async def _join(self, joining: Joining, before: asyncio.Task[None] | None) -> None:
        """Build the join of a snapshot and write its checkpoint, in slices between other work."""
        if before is not None:
            with suppress(Exception):
                await before  # and who cancels this one cancels that
        if self.housekeeping.task is not None:
            await asyncio.wait((self.housekeeping.task,))
        if self.now() < self._join_at:  # another peer's HELLO has brought the next attempt sooner
            await asyncio.sleep(self._join_at - self.now())
        whole = True
        try:
            if joining.abandoned:
                return
            self.commit()
            self.checkpointer.begin_join(joining)
            while self.checkpointer.running and self.checkpointer.step():
                await self.housekeeping.pause()
            self.commit()
            await self.commits.stored()  # or the last step, on the loop, would have to wait for the disk to take it all
            await self.commits.synced()
            while joining.step():  # frames have followed
                await self.housekeeping.pause()
        except StoreError as error:
            self.alarms.tell(Alarm("join_failed", f"{error}; what peers sent is kept and joined later"), self.now())
            whole = False
        except Exception:  # nothing of it is seen before the end; repair must not wait for ever
            alarm = Alarm("join_failed", "a defect: please report it; it is tried again")
            self.alarms.tell(alarm, self.now(), trace=True)
            whole = False
        if joining.failed or joining.abandoned or not whole:
            self.checkpointer.abandon()
        if not whole:
            self._join_at = self.now() + self.replica.hello_period
        self.handle(Merged(joining, whole))

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

    def leave(self) -> None:
        """End while loading: what was ordered is stored, what is not loaded yet stays where it is."""
        if self._timer is not None:
            self._timer.cancel()
        self.commits.drain()
        self.commits.close()
        self._closed = True  # the links go after the spaces: what they still bring is left to the next start
        self._witness.close()
        self.store.close()

    def close(self) -> None:
        """Store and publish what is pending, say goodbye, let go of the files."""
        for task in (self.housekeeping.task, self._joining, self._resyncing):
            if task is not None:
                task.cancel()
        self.begin()
        self.commit()
        self.commits.drain()
        self.run(self.replica.farewell())
        self.leave()
