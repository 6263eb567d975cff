"""A broker made of memory, with a virtual clock and as many faults as a test asks for.

It behaves as an MQTT 5 broker does to us: filters, no local, retained messages, wills; it also loses, repeats, delays
and reorders, separates replicas (in one direction if wanted), goes down, refuses, and goes mute. The dice are given to
it, its clock is an integer, and it delivers only when told to: the same seed and the same calls give the same run.
Knows: topics as strings, bytes. Promises: no callback runs inside `publish`; every callback runs inside `step` or
`advance`, in the order of (tick, arrival). Must not know: asyncio (whoever has a loop passes its `call_soon`).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from transport.topics import matches


@dataclass(frozen=True, slots=True)
class Faults:
    """What may happen to one delivery (a message on its way to one receiver)."""

    loss: float = 0.0
    """Probability 0 to 1 that it never arrives."""
    duplication: float = 0.0
    """Probability 0 to 1 that it arrives twice, each with a delay of its own."""
    min_delay: int = 0
    """Ticks."""
    max_delay: int = 0
    """Ticks; drawn evenly between the two, so that a range reorders."""
    ordered: bool = False
    """True: what one connection sends to another arrives in the order sent, as TCP and one broker would have it."""


class Connection:
    """One client of the hub, from its CONNECT to its end."""

    def __init__(
        self,
        hub: Hub,
        replica: str,
        filters: tuple[tuple[str, bool], ...],
        will: tuple[str, bytes] | None,
        on_message: Callable[[str, bytes], None],
    ) -> None:
        """`filters`: what it subscribes to, each with MQTT 5's "no local" flag."""
        self.hub = hub
        self.replica = replica
        self.will = will
        self.on_message = on_message
        self.is_open = True
        self._filters = filters
        self._wanted: dict[str, tuple[bool, bool]] = {}
        self.last_due: dict[Connection, int] = {}

    def wants(self, topic: str, own: bool) -> bool:
        """Whether one of the filters covers `topic`; `own`: the message is this connection's, and "no local" counts."""
        wanted = self._wanted.get(topic)
        if wanted is None:
            covering = [no_local for pattern, no_local in self._filters if matches(pattern, topic)]
            wanted = self._wanted[topic] = (bool(covering), False in covering)
        return wanted[own]

    def publish(self, topic: str, data: bytes, retain: bool) -> None:
        """Hands a message to the hub. A closed connection drops it."""
        if self.is_open:
            self.hub.route(self, topic, data, retain)

    def close(self, clean: bool) -> None:
        """Ends it; the will is published unless `clean`."""
        if self.is_open:
            self.is_open = False
            self.hub.forget(self)
            if self.will is not None and not clean:
                self.hub.route(self, *self.will, retain=True)


class Client:
    """What the hub expects of whoever uses it: to be told when to connect and when all is lost."""

    replica: str

    def can_connect(self) -> None:
        """The hub is there: connect, if not connected."""
        raise NotImplementedError

    def connection_lost(self, reason: str) -> None:
        """The hub ended the connection, or refuses it."""
        raise NotImplementedError

    def muted(self) -> None:
        """The hub began, or stopped, to drop what this client publishes."""
        raise NotImplementedError


class Hub:
    """The broker. Replicas are named as in topics; the name decides about separation, refusal and muteness."""

    def __init__(self, rng: random.Random, faults: Faults | None = None, name: str = "hub") -> None:
        self.name = name
        self.faults = faults or Faults()
        self.now = 0
        self.is_up = True
        self.no_local = True
        """False: a connection hears its own broadcasts, as with MQTT 3.1.1."""
        self._rng = rng
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._arrivals = 0
        self._call_soon: Callable[[Callable[[], None]], object] | None = None
        self._pumping = False
        self._connections: list[Connection] = []
        self._clients: list[Client] = []
        self._retained: dict[str, tuple[str, bytes]] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._refused: dict[str, str] = {}
        self._severed: set[str] = set()
        self._mute: set[str] = set()

    # Time.

    @property
    def next_due(self) -> int | None:
        """The tick of the next delivery; None if nothing is on its way."""
        return self._queue[0][0] if self._queue else None

    def step(self) -> bool:
        """Goes to the next tick at which something is due and runs what is due then; False if nothing is on its way.

        What these callbacks cause without delay is left to the next step.
        """
        if not self._queue:
            return False
        self.now = max(self.now, self._queue[0][0])
        last = self._arrivals
        while self._queue and self._queue[0][0] <= self.now and self._queue[0][1] <= last:
            heapq.heappop(self._queue)[2]()
        return True

    def advance(self, tick: int) -> None:
        """Runs everything that is due up to `tick`, also what that causes, and stops there."""
        while self._queue and self._queue[0][0] <= tick:
            self.step()
        self.now = max(self.now, tick)

    def settle(self, steps: int = 100_000) -> None:
        """Steps until nothing is on its way; AssertionError if `steps` do not suffice."""
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError(f"messages are still on their way after {steps} steps")

    def later(self, delay: int, action: Callable[[], None]) -> int:
        """Runs `action` in `delay` ticks; returns the tick."""
        self._arrivals += 1
        due = self.now + delay
        heapq.heappush(self._queue, (due, self._arrivals, action))
        self._pump()
        return due

    def run_by(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """From now on the hub steps by itself, once per turn of the event loop whose `call_soon` this is."""
        self._call_soon = call_soon
        self._pumping = False
        if self._queue:
            self._pump()

    def _pump(self) -> None:
        if self._call_soon is not None and not self._pumping:
            self._pumping = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self._pumping = False
        self.step()
        if self._queue:
            self._pump()

    # What a test does to the world.

    def block(self, sender: str, receiver: str) -> None:
        """From now on nothing of `sender` reaches `receiver`; the other direction stays open."""
        self._blocked.add((sender, receiver))

    def partition(self, *groups: Iterable[str]) -> None:
        """Separates the groups from one another in both directions; within a group all hear each other."""
        sides = [list(group) for group in groups]
        for one in sides:
            for other in sides:
                if one is not other:
                    self._blocked.update((a, b) for a in one for b in other)

    def heal(self) -> None:
        """Ends every block and partition."""
        self._blocked.clear()

    def down(self) -> None:
        """The broker dies: connections end without wills, retained messages and what is on its way are lost."""
        self.is_up = False
        self._retained.clear()
        self._queue.clear()
        self._lose(list(self._connections), "the broker went away", with_wills=False)

    def up(self) -> None:
        """The broker is back, empty; every client is told so."""
        self.is_up = True
        self._invite()

    def sever(self, replica: str) -> None:
        """Cuts the cable of one replica: its will is published, and it cannot connect until `mend`."""
        self._severed.add(replica)
        self._lose([c for c in self._connections if c.replica == replica], "the connection was lost", with_wills=True)

    def mend(self, replica: str) -> None:
        """Ends `sever`."""
        self._severed.discard(replica)
        self._invite()

    def refuse(self, replica: str, reason: str) -> None:
        """Does not let `replica` in from now on (an existing connection stays)."""
        self._refused[replica] = reason

    def allow(self, replica: str) -> None:
        """Ends `refuse`."""
        self._refused.pop(replica, None)
        self._invite()

    def mute(self, replica: str, on: bool = True) -> None:
        """Drops everything `replica` publishes, and says OK to it."""
        if on:
            self._mute.add(replica)
        else:
            self._mute.discard(replica)
        for client in self._clients:
            if client.replica == replica:
                self.later(0, client.muted)

    def is_mute(self, replica: str) -> bool:
        """Whether `mute` holds for it."""
        return replica in self._mute

    # What a client does.

    def join(self, client: Client) -> None:
        """From now on `client` is told when it can connect."""
        self._clients.append(client)
        self.later(0, partial(self._invite_one, client))

    def leave(self, client: Client) -> None:
        """Ends `join`."""
        if client in self._clients:
            self._clients.remove(client)

    def open(self, connection: Connection) -> str | None:
        """Lets a connection in and sends it what is retained; returns why not, if not."""
        if not self.is_up or connection.replica in self._severed:
            return "not reachable"
        if connection.replica in self._refused:
            return self._refused[connection.replica]
        self._connections.append(connection)
        for topic, (sender, data) in self._retained.items():
            if connection.wants(topic, own=False):
                self._send(sender, None, connection, topic, data)
        return None

    def is_refused(self, replica: str) -> bool:
        """Whether `refuse` holds for it."""
        return replica in self._refused

    def forget(self, connection: Connection) -> None:
        """A connection ended."""
        if connection in self._connections:
            self._connections.remove(connection)

    def route(self, origin: Connection, topic: str, data: bytes, retain: bool) -> None:
        """One published message, to whoever wants it."""
        if not self.is_up or origin.replica in self._mute:
            return
        if retain:
            if data:
                self._retained[topic] = (origin.replica, data)
            else:
                self._retained.pop(topic, None)
        for connection in self._connections:
            if connection.wants(topic, own=connection is origin and self.no_local):
                self._send(origin.replica, origin, connection, topic, data)

    def _send(self, sender: str, origin: Connection | None, to: Connection, topic: str, data: bytes) -> None:
        faults = self.faults
        if faults.loss and self._rng.random() < faults.loss:
            return
        copies = 2 if faults.duplication and self._rng.random() < faults.duplication else 1
        for _ in range(copies):
            delay = faults.min_delay
            if faults.max_delay > delay:
                delay = self._rng.randint(delay, faults.max_delay)
            if faults.ordered and origin is not None:
                delay = max(delay, origin.last_due.get(to, 0) - self.now)
                origin.last_due[to] = self.now + delay
            self.later(delay, partial(self._deliver, sender, to, topic, data))

    def _deliver(self, sender: str, to: Connection, topic: str, data: bytes) -> None:
        # Judged on arrival: a partition also swallows what is on its way.
        if to.is_open and (sender, to.replica) not in self._blocked:
            to.on_message(topic, data)

    def _lose(self, connections: list[Connection], reason: str, with_wills: bool) -> None:
        lost = {connection.replica for connection in connections}
        for connection in connections:
            connection.close(clean=not with_wills)
        for client in self._clients:
            if client.replica in lost:
                self.later(0, partial(client.connection_lost, reason))

    def _invite(self) -> None:
        for client in self._clients:
            self.later(0, partial(self._invite_one, client))

    def _invite_one(self, client: Client) -> None:
        if client in self._clients:
            client.can_connect()


_hubs: WeakValueDictionary[str, Hub] = WeakValueDictionary()


def named(name: str, rng: random.Random | None = None, faults: Faults | None = None) -> Hub:
    """The hub of that name, as long as anybody holds it; made with these dice and faults if there is none."""
    hub = _hubs.get(name)
    if hub is None:
        hub = _hubs[name] = Hub(rng or random.Random(0), faults, name)
    return hub
