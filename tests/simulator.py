"""A whole space in virtual time from one seed: the real engine, codec and state over a simulated network and disks.

Knows: who can reach whom, what every disk holds, which invariant is checked where. Promises: the same plan gives the
same history, bit for bit; `run` returns what it took, or raises Violation. Must not know: how the engine works inside.

A history is drawn by simulation/plan.py. While it runs, the world checks that

- nothing larger than `max_message` is sent, and nobody says of itself what a crash could still take back,
- equal vectors have equal hashes, no dot carries two contents, a replica's vector never shrinks while it runs,
- no start finds less on its disk than was confirmed, no ACK is given for what the giver could still lose,
- a link is never seen without those its writer had seen, a pair of a transaction never by half,
- what waits for other frames stays within its bounds.

Then the faults stop, and all replicas have to become equal within `BOUND` seconds, to the oracle as well. Where the
plan says so, what must never happen comes then (simulation/defects.py), and has to be healed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from crdt.dots import Actor
from crdt.joining import Joining
from crdt.replica.effects import Alarm, Effect, Join, Lane, Notify, Persist, Resync, Send, Stage, Unstage, Witness
from crdt.replica.events import Connected, Disconnected, Merged, Persisted, Tick
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from tests.simulation import checks, defects, mortal, slow, writes
from tests.simulation.disk import Disk, Image
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.plan import Action, Plan
from tests.simulation.words import describe

EPOCH_MS: Final = 1_700_000_000_000
BOUND: Final = 20.0  # virtual seconds from the last fault to convergence, with heartbeats of 1 s
MENDED: Final = 60.0  # the same for replicas that were damaged
HELD_BYTES: Final = 200_000


@dataclass(frozen=True)
class Outcome:
    """What a history took."""

    events: int
    settled_in: float
    counts: dict[str, int]


class World(Network):
    """See the module. `log` collects a line per event if it is given."""

    commits_before_checkpoint = True

    def __init__(self, plan: Plan, log: list[str] | None = None) -> None:
        super().__init__(plan, log)
        self.oracle = Oracle()
        self.backups: dict[str, Image] = {}
        self.counts: dict[str, int] = {}
        self.written: list[tuple[bytes, bytes]] = []  # what was written to damaged replicas
        self.sizes: dict[tuple[Actor, int], int] = {}  # of all frames that any disk took
        for index in range(plan.nodes):
            self.nodes.append(self._make(index, "abcdefgh"[index], Disk(not plan.has("unsynced"))))

    def _make(self, index: int, name: str, disk: Disk) -> Node:
        plan = self.plan
        tuning = Tuning(
            interval=0.0 if plan.has("interval") else 0.2,
            heartbeat=1.0,
            max_message=700 if plan.has("small") else 65_536,
            grace=0.5,
            repair_budget=self.rng.choice([500, 512 * 1024]),
            held_bytes=HELD_BYTES,
            short_vector=0 if plan.seed % 2 else 64,
            bridges=plan.seed % 3 == 0,
        )
        if plan.has(slow.FEATURE):
            tuning = replace(tuning, **slow.tuning(plan))
        return Node(index, name, tuning, disk)

    # -- time ----------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """The whole history. Raises Violation."""
        for node in self.nodes:
            self.start(node, node.life)
        for action in self.plan.actions:
            self.at(action[0], self._act, action)
        self.at(self.plan.duration, self._stop_faults)
        self._loop(self.plan.duration)
        self._until_equal(BOUND)
        if self.links is not None:
            self.links.check(self.sizes)
        for node in self._running():
            assert node.replica is not None
            self._settle(node)
            self.oracle.check(node.replica.state, str(node))
        settled = self.now - self.plan.duration
        if self.plan.has(mortal.FEATURE) and not self.plan.has("clock"):
            self._until_expired()
        if self.plan.has("defect") and not self.plan.has(mortal.FEATURE):
            self._be_damaged()
        return Outcome(self.events, settled, self.counts)

    def _until_expired(self) -> None:
        self._loop(max(self.now, self.plan.duration + mortal.PATIENCE))
        self._until_equal(BOUND)
        for node in self._running():
            assert node.replica is not None
            mortal.check_end(str(node), node.replica.state)
            self.oracle.check(node.replica.state, str(node))

    def _be_damaged(self) -> None:
        """Defects strike replicas that are equal; they have to become so again, and nothing live may be lost."""
        rng = Random(self.plan.seed)
        if self.links is not None:  # frames of a life that was lost with its disk may be under way to somebody
            self._loop(max(self.now, self.links.empty_at) + 1.0)
            self._until_equal(BOUND)
        self.oracle.lenient = True
        self._be_healed(defects.strike, rng, b"after")
        if defects.crowded(self):
            self._be_healed(defects.strike_a_namesake, rng, b"later")

    def _be_healed(self, strike: Callable[[World, Random], None], rng: Random, when: bytes) -> None:
        strike(self, rng)
        states = [node.replica.state for node in self.nodes if node.replica is not None]
        before = defects.contents(states)
        self.faulty = True
        for number in range(rng.randrange(6)):
            node, name = rng.choice(self.nodes), b"%s %d" % (when, number)
            self.at(self.now + rng.uniform(0, 3), defects.write, self, node, name, rng)
        self.at(self.now + 3, self._stop_faults)
        self._loop(self.now + 3)
        self._until_equal(MENDED)
        for node in self._running():
            self._settle(node)
        states = [node.replica.state for node in self.nodes if node.replica is not None]
        defects.check(states, before, self.written, "in the end")

    def _until_equal(self, bound: float) -> None:
        names = [node.name for node in self.nodes]
        bound += self.links.patience(names) if self.links is not None else 0.0
        limit = self.now + bound
        while self.now < limit:
            self._loop(min(limit, self.now + 0.1))
            if self._equal():
                return
        where = [(str(n), n.replica.view, len(n.replica.held)) for n in self._running() if n.replica]
        raise Violation(f"not equal {bound:.0f} s after the last fault: {where}")

    def _equal(self) -> bool:
        replicas = [node.replica for node in self.nodes if not node.gone]
        first = replicas[0]
        return first is not None and all(
            r is not None
            and not r.dirty
            and r.stored == r.batch
            and r.view.vector_hash == first.view.vector_hash
            and r.view.state_hash == first.view.state_hash is not None
            for r in replicas
        )

    def _running(self) -> list[Node]:
        return [node for node in self.nodes if node.replica is not None]

    # -- actions -------------------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        _, what, index, *args = action
        node = self.nodes[index]
        if self.log is not None:
            self._say(f"-- {what} {node} {args}")
        if what == "write":
            self._write(node, args)
        elif what == mortal.FEATURE:
            self._write_mortal(node, args)
        elif what in ("crash", "power"):
            if node.replica is not None:
                node.crash_in, node.crash = args[0], action
        elif what == "partition":
            self.blocked.append(args[0])
            self.at(self.now + args[1], self._heal, args[0])
        elif what == "broker":
            self._break_broker(args[0])
        elif what == "pause":
            node.paused_until = self.now + args[0]
            self.at(node.paused_until, self._resume, node)
        elif what == "clock":
            node.skew_ms += args[0]
        elif what == "sync":
            node.disk.sync()
        elif what == "prune":
            node.disk.prune(args[0])
        elif what == "checkpoint":
            self._checkpoint(node, args[0])
        elif what == "backup":
            self.backups[node.name] = node.disk.image
        elif what == "wait":
            self._wait(node)
        elif what == "restore":
            self._replace_disk(node, self.backups.get(node.name), args[0])
        elif what == "copy":
            source = self.nodes[args[0]]
            if source is not node:
                self._replace_disk(node, source.disk.image, args[1])
        elif what == "twin":
            self._start_twin(self.nodes[args[0]])

    def _write(self, node: Node, args: list[Any]) -> None:
        replica = node.replica
        if replica is None or node.paused_until > self.now:
            return
        replica.state.begin(self._wall(node))
        node.order += 1
        writes.perform(self.oracle, node, replica.state, args)
        self._settle_later(node)

    def _write_mortal(self, node: Node, args: list[Any]) -> None:
        replica = node.replica
        if replica is not None and node.paused_until <= self.now and self.plan.has(mortal.FEATURE):
            replica.state.begin(self._wall(node))
            mortal.perform(replica.state, *args)
            self._settle_later(node)

    def _wait(self, node: Node) -> None:
        replica = node.replica
        if replica is not None:
            self._run(node, replica.commit(self.now))
        if replica is not None and replica is node.replica:
            self._run(node, replica.ask(replica.state.me.applied, self.now))

    def _checkpoint(self, node: Node, length: float) -> None:
        if node.replica is None or node.checkpoint is not None:
            return
        self._settle(node)
        if node.replica is not None:
            node.checkpoint = node.disk.begin_checkpoint(node.replica.state.vector())
            node.replica.state.chunks_held = True
            self.at(self.now + length / 10, self._finish_checkpoint, node, node.life, node.checkpoint)

    def _finish_checkpoint(self, node: Node, life: int, begun: Any) -> None:
        if node.life != life or node.checkpoint is not begun:
            return
        if self.commits_before_checkpoint:
            self._settle(node)  # what the segments no longer hold has to be in the log
        if node.life == life and node.replica is not None and self._drain(node):
            node.disk.finish_checkpoint(node.replica.state, begun)
            node.replica.state.chunks_held = False
            node.checkpoint = None

    def _replace_disk(self, node: Node, image: Image | None, length: float) -> None:
        if image is not None:
            self._kill(node)
            node.disk = Disk(node.disk.synced_at_once, image)
            node.durable = {}
            self.at(self.now + length, self.start, node, node.life)

    def _start_twin(self, source: Node) -> None:
        if sum(node.name == source.name for node in self.nodes) == 1:
            twin = self._make(len(self.nodes), source.name, Disk(source.disk.synced_at_once, source.disk.image))
            self.nodes.append(twin)
            self.start(twin, twin.life)

    def _break_broker(self, length: float) -> None:
        self.broker_up = False
        self.epoch += 1
        for node in self._running():
            if node.connected:
                node.connected = False
                self._handle(node, node.life, Disconnected())
        self.at(self.now + length, self._mend_broker)

    def _mend_broker(self) -> None:
        self.broker_up = True
        for node in self._running():
            self.at(self.now + self.rng.uniform(0, 0.1), self._connect, node, node.life)

    def _stop_faults(self) -> None:
        self.faulty = False
        self.blocked = []
        if not self.broker_up:
            self._mend_broker()
        for node in self.nodes:
            node.paused_until = 0.0
            node.crash_in = None
            self._resume(node)
            if node.replica is None and not node.gone:
                self.start(node, node.life)
        if self.links is not None:
            self.links.calm(self.nodes)

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self, node: Node, life: int) -> None:
        """A daemon starts on its disk."""
        if node.life != life or node.replica is not None or node.gone:
            return
        state = node.disk.load(self.identity(node))
        for actor, n in node.durable.items():
            if state.applied(actor) < n:
                raise Violation(f"{node} confirmed {actor} up to {n} and finds {state.applied(actor)} at its start")
        node.replica = Replica(state, node.disk, Random(self.rng.getrandbits(32)), node.tuning)
        if self.plan.seed % 3:  # there is too little in a history for the limits of a daemon
            node.replica.hashed, node.replica.hash_slice = self.plan.seed % 3 * 7 - 7, 1 + self.plan.seed % 5
        for number, stage in node.disk.image.staged.items():
            assert node.replica.merging.staged.found(number, stage.actor, stage.seqs)
        node.durable = state.vector()
        node.sum_seen = 0
        self._reach(node)
        if self.log is not None:
            self._say(f"   {node} starts as {state.actor} at {self._short(state.vector())}")
        self.at(self.now + self.rng.uniform(0, 0.05), self._connect, node, node.life)

    def identity(self, node: Node) -> Actor:
        """Who a start goes on as: the witness decides."""
        if node.witness is not None:
            serial, boot, nonce, seq = node.witness
            actor = Actor(node.name, nonce)
            if serial == node.disk.serial and boot == node.boot and seq <= node.disk.image.last(actor):
                return actor
        node.witness = None
        return Actor(node.name, self.rng.getrandbits(64))

    def _kill(self, node: Node) -> None:
        if node.replica is None:
            return
        will = node.replica.presence(False)
        node.replica, node.life, node.armed, node.crash_in = None, node.life + 1, float("inf"), None
        node.queue, node.pending, node.checkpoint, node.commit_due = [], [], None, False
        node.notes = {}
        if node.connected:
            node.connected = False
            if self.rng.random() < 0.7:
                self.at(self.now + 0.1, self._publish_will, node, will)

    def _publish_will(self, node: Node, will: bytes) -> None:
        if self.broker_up:
            self._spread(node, Lane.PRESENCE, None, will)

    def _die(self, node: Node) -> None:
        """The crash that was planned happens here, between two effects."""
        _, what, _, _, length, dice = node.crash
        if self.log is not None:
            self._say(f"   {node} dies ({what})")
        if node.queue and dice < 0.5:
            self._take(node, node.queue.pop(0))  # what was being written was written
        self._kill(node)
        if what == "power":
            node.boot += 1
            if not node.disk.synced_at_once:
                node.disk.lose_power(self.rng)
                node.durable = {}
        self.at(self.now + length, self.start, node, node.life)

    def _connect(self, node: Node, life: int) -> None:
        if node.life != life or node.replica is None or node.connected or not self.broker_up:
            return
        node.connected = True
        self._handle(node, life, Connected())
        for name, data in sorted(self.retained.items()):
            self._carry(node, name, False, data)

    # -- the engine's door ---------------------------------------------------------------------------------------------

    def _wall(self, node: Node) -> int:
        return max(1, EPOCH_MS + int(self.now * 1000) + node.skew_ms)

    def _handle(self, node: Node, life: int, event: Any) -> None:
        if node.life != life or node.replica is None:
            return
        if node.paused_until > self.now:
            node.backlog.append((life, event))
            return
        replica = node.replica
        replica.state.begin(self._wall(node))
        alone = isinstance(event, Tick) and not replica.busy  # taking in frames of peers may remove values too
        before = mortal.expired(replica.state) if alone else {}
        effects = replica.handle(event, self.now)
        mortal.check_tick(str(node), replica, before)
        self._run(node, effects)
        self._settle_later(node)

    def _resume(self, node: Node) -> None:
        """What came during a pause comes now, in order."""
        if node.paused_until <= self.now:
            backlog, node.backlog = node.backlog, []
            for life, event in backlog:
                self._handle(node, life, event)
            node.armed = float("inf")
            self._arm(node)

    def _tick(self, node: Node, life: int, armed: float) -> None:
        if node.life == life and node.armed == armed:
            node.armed = float("inf")
            self._handle(node, life, Tick())
            self._arm(node)

    def _arm(self, node: Node) -> None:
        replica = node.replica
        if replica is not None and replica.deadline < node.armed:
            node.armed = max(replica.deadline, self.now, node.paused_until)
            self.at(node.armed, self._tick, node, node.life, node.armed)

    def _settle_later(self, node: Node) -> None:
        """The daemon's commits: after each turn, or once per commit interval."""
        if node.replica is None or not node.replica.dirty or node.commit_due:
            return
        if self.plan.has("lazy"):
            node.commit_due = True
            self.at(self.now + self.rng.uniform(0, 0.3), self._settle_due, node, node.life)
        else:
            self._settle(node)

    def _settle_due(self, node: Node, life: int) -> None:
        if node.life == life:
            node.commit_due = False
            self._settle(node)

    def _settle(self, node: Node) -> None:
        if node.replica is not None and node.replica.dirty:
            self._run(node, node.replica.commit(self.now))

    def _run(self, node: Node, effects: list[Effect]) -> None:
        """Carry out orders one by one; the process may die before each of them, and after the last."""
        life = node.life
        for effect in effects:
            if not self._survives(node, life):
                return
            if isinstance(effect, Send):
                self._send(node, effect)
            elif isinstance(effect, Persist):
                self._persist(node, effect)
            elif isinstance(effect, Witness):
                assert node.replica is not None
                node.witness = (node.disk.serial, node.boot, node.replica.state.actor.nonce, effect.seq)
            elif isinstance(effect, Notify):
                self._read(node, effect.changes)
            elif isinstance(effect, Resync):
                self._read(node, effect.joining.changes())
                while effect.joining.discard():
                    pass
            elif isinstance(effect, Stage):
                node.disk.stage(effect)
            elif isinstance(effect, Unstage):
                node.disk.unstage(effect.numbers)
            elif isinstance(effect, Join):
                self._join_soon(node, node.life, effect.joining)
            else:
                self._alarm(node, effect)
        if self._survives(node, life):
            assert node.replica is not None
            checks.bounds(node, node.replica, self.oracle)
            if self.plan.has("wait") and not self.plan.has("twin") and not self.oracle.lenient:
                checks.acknowledgements(node, node.replica, self.nodes)
            self._arm(node)

    def _read(self, node: Node, changes: Iterable[tuple[bytes, str]]) -> None:
        assert node.replica is not None
        if not self.oracle.lenient:
            checks.reading(node, node.replica, Notify(tuple(changes)))

    def _survives(self, node: Node, life: int) -> bool:
        if node.life != life:
            return False
        if node.crash_in is not None:
            node.crash_in -= 1
            if node.crash_in < 0:
                self._die(node)
                return False
        return True

    def _alarm(self, node: Node, alarm: Alarm) -> None:
        self.counts[alarm.code] = self.counts.get(alarm.code, 0) + 1
        if alarm.code == "divergence" and not self.oracle.lenient:
            raise Violation(f"{node}: {alarm.text}")
        if alarm.code == "fork" and not self.plan.has("twin") and not self.oracle.lenient:
            raise Violation(f"{node}: {alarm.text}")
        if alarm.code == "name_taken":
            self._kill(node)
            node.gone = True

    # -- disks ---------------------------------------------------------------------------------------------------------

    def _persist(self, node: Node, order: Persist) -> None:
        replica = node.replica
        assert replica is not None
        for frame in order.frames:
            if frame.actor == replica.state.actor:
                notes = node.notes.setdefault(order.batch, [])
                notes += [(frame.last, note) for note in node.pending if note.seq <= frame.last]
                node.pending = [note for note in node.pending if note.seq > frame.last]
        if order.snapshot:
            if self._drain(node):
                node.disk.finish_checkpoint(replica.state, node.checkpoint, order.frames, dict(order.floors))
                node.checkpoint = None
                self._stored(node, order)
                self._persisted(node, order)
        elif self.plan.has("lazy"):
            node.queue.append(order)
            if len(node.queue) == 1:
                self.at(self.now + self.rng.choice([0.001, 0.05]), self._commit_done, node, node.life)
        else:
            self._take(node, order)
            self._persisted(node, order)

    # -- joins, in slices ---------------------------------------------------------------------------------------------

    def _join_soon(self, node: Node, life: int, joining: Joining) -> None:
        """Begin as soon as no other checkpoint is being written."""
        self.at(self.now + self.rng.choice([0.0, 0.001, 0.05]), self._begin_join, node, life, joining)

    def _begin_join(self, node: Node, life: int, joining: Joining) -> None:
        if node.life != life or joining.abandoned:
            return
        if node.checkpoint is not None or node.paused_until > self.now:
            self._join_soon(node, life, joining)
            return
        self._settle(node)
        if node.life == life and not joining.abandoned:
            joining.begin()
            node.checkpoint = node.disk.begin_checkpoint(joining.vector)
            self._step_join(node, life, joining)

    def _step_join(self, node: Node, life: int, joining: Joining) -> None:
        if node.life != life:
            return
        if joining.abandoned:
            node.checkpoint = None
        elif node.paused_until > self.now or any(joining.step() for _ in range(self.rng.choice([1, 1, 3]))):
            self.at(self.now + self.rng.choice([0.001, 0.02]), self._step_join, node, life, joining)
        else:
            if joining.failed:
                node.checkpoint = None
            self._handle(node, life, Merged(joining))

    def _take(self, node: Node, order: Persist) -> None:
        node.disk.commit(order.frames)
        self._stored(node, order)

    def _stored(self, node: Node, order: Persist) -> None:
        for frame in order.frames:
            self.oracle.stored(frame.data, frame.actor.name == node.name)
            self.sizes[frame.actor, frame.last] = len(frame.data)
        for last, note in node.notes.pop(order.batch, []):
            note.last = last

    def _persisted(self, node: Node, order: Persist) -> None:
        """The disk has confirmed."""
        if not self._survives(node, node.life):
            return
        for actor, n in [*((frame.actor, frame.last) for frame in order.frames), *order.floors]:
            node.durable[actor] = max(n, node.durable.get(actor, 0))
        self._reach(node)
        assert node.replica is not None
        node.replica.acknowledged = True
        self._handle_now(node, Persisted(order.batch))

    def _handle_now(self, node: Node, event: Any) -> None:
        assert node.replica is not None
        node.replica.state.begin(self._wall(node))
        self._run(node, node.replica.handle(event, self.now))

    def _commit_done(self, node: Node, life: int) -> None:
        if node.life == life and node.queue:
            order = node.queue.pop(0)
            self._take(node, order)
            if node.queue:
                self.at(self.now + self.rng.choice([0.001, 0.05]), self._commit_done, node, life)
            self._persisted(node, order)

    def _drain(self, node: Node) -> bool:
        """Write what is queued; False if the process died meanwhile."""
        life = node.life
        while node.queue:
            order = node.queue.pop(0)
            self._take(node, order)
            self._persisted(node, order)
            if node.life != life:
                return False
        return True

    def _reach(self, node: Node) -> None:
        for actor, n in node.durable.items():
            node.reached[actor] = max(n, node.reached.get(actor, 0))

    # -- the network ---------------------------------------------------------------------------------------------------

    def _send(self, node: Node, effect: Send) -> None:
        checks.message(node, effect)
        if self.log is not None:
            self._say(f"   {node} -> {effect.to or effect.lane.name}: {describe(effect.data, node.name)}")
        if node.connected:
            self._spread(node, effect.lane, effect.to, effect.data)
