"""Many replicas of one space in virtual time: the real engine, state and codec around brokers that only count.

Knows: what each broker carries to whom, when each replica is due, how many bytes that is. Promises: the same seed gives
the same history; disks are perfect and cost nothing, for what is measured here is the network; memory is O(replicas^2)
for what each remembers of each (about 0.4 KB). Must not know: how the engine works inside.

Bytes are topic and payload, as the daemon's own counters have them. What one replica sends arrives at all at the same
moment, 2 to 20 ms later, but for the share `loss` of the deliveries. A message is decoded once for all who get it:
decoding is pure, and a thousand receivers in one process would else do it a thousand times.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any, Final
from unittest import mock

from crdt.dots import Actor
from crdt.replica import messages
from crdt.replica.effects import Effect, Lane, LogFrame, Persist, Send
from crdt.replica.events import Connected, Disconnected, Event, Persisted, Received, Tick
from crdt.replica.messages import Hello
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from crdt.state import State
from crdt.types import sets

EPOCH_MS: Final = 1_700_000_000_000
TOPIC: Final = len("gs/v1/default/b//d")
RECONNECT: Final = 5.0  # seconds within which all find a broker that is back
DECODED: Final = 64  # messages that are remembered decoded: those under way to many


class Log:
    """What was persisted, in memory; never pruned."""

    def __init__(self) -> None:
        self.frames: list[LogFrame] = []

    def missing(self, have: Mapping[Actor, int], budget: int) -> tuple[list[bytes], bool]:
        """See crdt.replica.ports.LogReader."""
        found: list[bytes] = []
        size = 0
        for frame in self.frames:
            if frame.last > have.get(frame.actor, 0):
                size += len(frame.data)
                if found and size > budget:
                    return found, False
                found.append(frame.data)
        return found, True

    def floor(self) -> Mapping[Actor, int]:
        """See crdt.replica.ports.LogReader."""
        return {}


class Member:
    """One replica, the brokers of its settings, and how many bytes it has sent and received."""

    def __init__(self, name: str, rng: Random, tuning: Tuning, brokers: frozenset[int]) -> None:
        self.name = name
        self.brokers = brokers
        self.links: set[int] = set()  # the brokers it is connected to
        self.log = Log()
        self.replica = Replica(State(Actor(name, rng.getrandbits(64))), self.log, rng, tuning)
        self.side = 0
        self.armed = float("inf")
        self.received = self.sent = 0  # bytes


class Fleet:
    """See the module."""

    def __init__(
        self,
        number: int,
        seed: int = 1,
        tuning: Tuning | None = None,
        loss: float = 0.01,
        brokers: Callable[[int], frozenset[int]] = lambda i: frozenset((0,)),
    ) -> None:
        """`brokers(i)`: those of replica i."""
        self.rng = Random(seed)
        self.now = 0.0
        self.loss = 0.0
        self.epochs: dict[int, int] = {}  # of each broker: what was under way dies with it
        self.split = False
        self.events = 0
        self.hellos: dict[int, int] = {}  # second -> HELLOs that were broadcast in it
        self._loss = loss
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()
        self._retained: dict[tuple[int, str], bytes] = {}
        tuning = tuning or Tuning()
        self.members: list[Member] = []
        for i in range(number):
            mine = replace(tuning, bridges=len(brokers(i)) > 1)
            self.members.append(Member(f"node-{i:04}", Random(self.rng.getrandbits(64)), mine, brokers(i)))
            self.epochs |= dict.fromkeys(brokers(i), 0)
        self.by_name = {member.name: member for member in self.members}

    # -- time -----------------------------------------------------------------------------------------------------

    def at(self, time: float, what: Callable[..., None], *args: Any) -> None:
        """Call `what` at this time."""
        heapq.heappush(self._queue, (time, next(self._number), what, args))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._run_until(self.now + seconds)

    def _run_until(self, end: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, what, args = heapq.heappop(queue)
            what(*args)
        self.now = end

    def until_equal(self, limit: float) -> float:
        """Let time pass until all have applied the same; the seconds it took. AssertionError after `limit`."""
        began = self.now
        while not self.equal():
            assert self.now - began < limit, f"not equal after {limit} s: {len(self.standings())} standings"
            self._run_until(self.now + 0.05)
        return self.now - began

    def standings(self) -> set[int]:
        """The vectors that exist, by their hashes."""
        return {member.replica.view.vector_hash for member in self.members}

    def equal(self) -> bool:
        """Whether all have applied the same."""
        return len(self.standings()) == 1

    # -- what happens -----------------------------------------------------------------------------------------------

    def connect_all(self, broker: int = 0, within: float = RECONNECT) -> None:
        """All that have it in their settings find the broker, each at its own moment."""
        for member in self.members:
            if broker in member.brokers:
                self.at(self.now + self.rng.uniform(0, within), self._connect, member, broker, self.epochs[broker])

    def _connect(self, member: Member, broker: int, epoch: int) -> None:
        if broker not in member.links and epoch == self.epochs[broker]:
            member.links.add(broker)
            for (at, name), data in self._retained.items():
                if at == broker and name != member.name:
                    self._deliver(member, name, False, data, TOPIC + len(name))
            self._handle(member, Connected())

    def add_voices(self, number: int) -> None:
        """So many more that say HELLO as often as they should, and nothing else; they hear nothing."""
        period = self.members[0].replica.tuning.hello_period(len(self.members) + number - 1)
        for i in range(number):
            hello = Hello(Actor(f"voice-{i:04}", i), i + 1, 0, 0, 0, 0, EPOCH_MS, int(period * 1000))
            self.at(self.now + self.rng.uniform(0, period), self._speak, f"voice-{i:04}", hello, period)

    def _speak(self, name: str, hello: Hello, period: float) -> None:
        data = messages.encode(replace(hello, wall_ms=EPOCH_MS + int(self.now * 1000)))
        for member in self.members:
            self._deliver(member, name, False, data, TOPIC + len(name) + len(data))
        self.at(self.now + period * self.rng.uniform(0.75, 1.25), self._speak, name, hello, period)

    def stop_broker(self, broker: int = 0) -> None:
        """The broker is gone, with what it had; everybody notices."""
        self.epochs[broker] += 1
        self._retained = {at: data for at, data in self._retained.items() if at[0] != broker}
        for member in self.members:
            if broker in member.links:
                member.links.remove(broker)
                if not member.links:
                    self._handle(member, Disconnected())

    def divide(self) -> None:
        """Each half hears nothing of the other any more, and nobody is told."""
        for i, member in enumerate(self.members):
            member.side = i % 2
        self.split = True

    def heal(self) -> None:
        """All hear all."""
        self.split = False

    def write(self, writers: int, operations: int, over: float) -> None:
        """So many replicas write so many operations each, spread over the next seconds."""
        for member in self.rng.sample(self.members, writers):
            for _ in range(operations):
                self.at(self.now + self.rng.uniform(0, over), self._write, member)

    def _write(self, member: Member) -> None:
        replica = member.replica
        replica.state.begin(EPOCH_MS + int(self.now * 1000))
        sets.add(replica.state, b"events", [b"%s:%08d" % (member.name.encode(), replica.state.seq)])
        self.commit(member)

    def commit(self, member: Member) -> None:
        """What was written there is stored, and published when it is due."""
        self._carry_out(member, member.replica.commit(self.now))

    @contextmanager
    def lossy(self) -> Iterator[None]:
        """Some deliveries are lost meanwhile."""
        self.loss = self._loss
        yield
        self.loss = 0.0

    # -- the engine and the broker ------------------------------------------------------------------------------------

    def _handle(self, member: Member, event: Event) -> None:
        self.events += 1
        member.replica.state.begin(EPOCH_MS + int(self.now * 1000))
        self._carry_out(member, member.replica.handle(event, self.now))
        if member.replica.dirty:
            self._carry_out(member, member.replica.commit(self.now))
        self._arm(member)

    def _carry_out(self, member: Member, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(member, effect)
            elif isinstance(effect, Persist):
                assert not effect.snapshot, "logs are never pruned here"
                member.log.frames += effect.frames
                self._carry_out(member, member.replica.handle(Persisted(effect.batch), self.now))
        self._arm(member)

    def _arm(self, member: Member) -> None:
        deadline = member.replica.deadline
        if deadline < member.armed:
            member.armed = max(deadline, self.now)
            self.at(member.armed, self._tick, member, member.armed)

    def _tick(self, member: Member, armed: float) -> None:
        if member.armed == armed:
            member.armed = float("inf")
            self._handle(member, Tick())

    def _send(self, member: Member, effect: Send) -> None:
        size = TOPIC + len(member.name) + len(effect.data) + (len(effect.to) if effect.to else 0)
        if effect.lane is Lane.HELLO and member.links:
            self.hellos[int(self.now)] = self.hellos.get(int(self.now), 0) + 1
        for broker in sorted(member.links):
            member.sent += size
            if effect.lane is Lane.PRESENCE:
                self._retained[broker, member.name] = effect.data
            delay = self.rng.uniform(0.002, 0.02)
            self.at(self.now + delay, self._arrive, broker, self.epochs[broker], member, effect, size)

    def _arrive(self, broker: int, epoch: int, sender: Member, effect: Send, size: int) -> None:
        if epoch != self.epochs[broker]:
            return
        if effect.to is not None:
            if effect.to in self.by_name:  # else it is one that only speaks
                self._offer(broker, sender, self.by_name[effect.to], True, effect.data, size)
            return
        for member in self.members:
            if member is not sender:
                self._offer(broker, sender, member, False, effect.data, size)

    def _offer(self, broker: int, sender: Member, to: Member, inbox: bool, data: bytes, size: int) -> None:
        if broker not in to.links or (self.split and to.side != sender.side):
            return
        if self.loss and self.rng.random() < self.loss:
            return
        self._deliver(to, sender.name, inbox, data, size)

    def _deliver(self, to: Member, sender: str, inbox: bool, data: bytes, size: int) -> None:
        to.received += size
        self._handle(to, Received(sender, inbox, data))

    # -- figures --------------------------------------------------------------------------------------------------

    def bytes_received(self) -> int:
        """By all members since the start."""
        return sum(member.received for member in self.members)

    def bytes_sent(self) -> int:
        """By all members since the start."""
        return sum(member.sent for member in self.members)


@contextmanager
def decoded_once() -> Iterator[None]:
    """See the module."""
    known: dict[tuple[bytes, str], messages.Message] = {}
    decode = messages.decode

    def remembered(data: bytes, sender: str = "") -> messages.Message:
        message = known.get((data, sender))
        if message is None:
            if len(known) >= DECODED:
                del known[next(iter(known))]
            message = known[data, sender] = decode(data, sender)
        return message

    with mock.patch.object(messages, "decode", remembered):
        yield
