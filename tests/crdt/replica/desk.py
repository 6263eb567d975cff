"""One engine on a test's desk: a log in memory, and effects sorted by kind."""

from __future__ import annotations

from random import Random

from crdt.dots import Actor
from crdt.joining import Joining
from crdt.replica import messages
from crdt.replica.effects import Alarm, Effect, Join, Lane, Notify, Persist, Resync, Send, Stage, Unstage, Witness
from crdt.replica.events import Connected, Merged, Persisted, Received, Tick
from crdt.replica.messages import Hello, Message
from crdt.replica.replica import Replica
from crdt.replica.tuning import Tuning
from crdt.state import State
from tests.simulation.disk import Disk


class Desk:
    """`sent`: (lane, to, message) in order. `stores`: whether a Persist is carried out and confirmed at once;
    `merges`: whether a Join is.
    """

    def __init__(self, name: str, nonce: int = 1, tuning: Tuning | None = None, connect: bool = True) -> None:
        self.now = 0.0
        self.disk = Disk(True)
        self.replica = Replica(State(Actor(name, nonce)), self.disk, Random(nonce), tuning or Tuning(interval=0.0))
        self.stores = True
        self.merges = True
        self.joins: list[Joining] = []
        self.checkpoint: tuple[dict[Actor, int], int] = ({}, 0)
        self.waiting: list[Persist] = []
        self.sent: list[tuple[Lane, str | None, Message]] = []
        self.alarms: list[str] = []
        self.changes: list[tuple[bytes, str]] = []
        self.orders: list[Effect] = []
        self.state.begin(1000)
        if connect:
            self.run(self.replica.handle(Connected(), self.now))
            self.sent.clear()

    @property
    def state(self) -> State:
        return self.replica.state

    def run(self, effects: list[Effect]) -> None:
        """Carry out what was ordered."""
        for effect in effects:
            self.orders.append(effect)
            if isinstance(effect, Send):
                assert len(effect.data) <= self.replica.tuning.max_message
                self.sent.append((effect.lane, effect.to, messages.decode(effect.data, self.replica.name)))
            elif isinstance(effect, Persist):
                self.waiting.append(effect)
                if self.stores:
                    self.store()
            elif isinstance(effect, Alarm):
                self.alarms.append(effect.code)
            elif isinstance(effect, Notify):
                self.changes += effect.changes
            elif isinstance(effect, Resync):
                self.changes += effect.joining.changes()
            elif isinstance(effect, Stage):
                self.disk.stage(effect)
            elif isinstance(effect, Unstage):
                self.disk.unstage(effect.numbers)
            elif isinstance(effect, Join):
                self.joins.append(effect.joining)
            else:
                assert isinstance(effect, Witness)
        if self.merges:
            self.merge()

    def merge(self) -> None:
        """Carry out what was ordered to be joined."""
        while self.joins:
            joining = self.joins.pop(0)
            self.commit()
            joining.begin()
            self.checkpoint = self.disk.begin_checkpoint(joining.vector)
            while joining.step():
                pass
            self.run(self.replica.handle(Merged(joining), self.now))

    def store(self) -> None:
        """The disk does what it was told, and says so."""
        while self.waiting:
            order = self.waiting.pop(0)
            if order.snapshot:
                self.disk.finish_checkpoint(self.state, self.checkpoint, order.frames, dict(order.floors))
            else:
                self.disk.commit(order.frames)
            self.run(self.replica.handle(Persisted(order.batch), self.now))

    def commit(self) -> None:
        self.run(self.replica.commit(self.now))

    def receive(self, sender: str, *received: Message | bytes, inbox: bool = True) -> None:
        """Messages arrive."""
        for message in received:
            data = message if isinstance(message, bytes) else messages.encode(message)
            self.run(self.replica.handle(Received(sender, inbox, data), self.now))

    def wait(self, seconds: float) -> None:
        """Time passes, with a tick at every deadline."""
        end = self.now + seconds
        for _ in range(1000):
            if self.replica.deadline > end:
                break
            self.now = max(self.now, self.replica.deadline)
            self.run(self.replica.handle(Tick(), self.now))
        else:
            raise AssertionError("a deadline that is always due")
        self.now = end

    def take(self, kind: type[Message] | None = None) -> list[Message]:
        """What was sent since the last call, or those of one kind."""
        sent, self.sent = self.sent, []
        return [message for _, _, message in sent if kind is None or isinstance(message, kind)]

    def prune(self) -> None:
        """Write a checkpoint and drop the whole log."""
        self.disk.finish_checkpoint(self.state, self.disk.begin_checkpoint(self.state.vector()))
        self.disk.prune(1 << 30)


def hello(a: Desk) -> Hello:
    """What it says of itself; all else that it said is gone."""
    a.run(a.replica.sync(a.now))
    last = a.take()[-1]
    assert isinstance(last, Hello)
    return last


def exchange(a: Desk, b: Desk, seconds: float = 5.0) -> None:
    """Everything each sends arrives at the other, while time passes."""
    for _ in range(int(seconds / 0.05)):
        for source, target in ((a, b), (b, a)):
            sent, source.sent = source.sent, []
            for lane, to, message in sent:
                if to in (None, target.replica.name):
                    target.receive(source.replica.name, message, inbox=lane is Lane.INBOX)
        for desk in (a, b):
            if desk.replica.dirty:
                desk.commit()
            desk.wait(0.05)
