"""When a replica says HELLO, and to whom: the control traffic of a whole space stays bounded.

A HELLO that is broadcast reaches everybody, so n replicas that say it at a fixed rate cost each of them n messages a
period. Everything here is therefore stretched by `crowd = max(1, peers that are online / 20)`:

- the regular HELLO comes every `heartbeat * crowd`, so that the space says 20 / heartbeat of them a second, however
  many replicas there are (`Tuning.hello_period`);
- after something new was published it comes sooner, `2 * patience * crowd` later and then three times as long apart,
  because the last message of a burst may be lost and nothing but a HELLO tells;
- after a connection, which all replicas make at once when a broker restarts, at a random moment within
  `interval * crowd`, and for a newcomer, whom all replicas hear at once, within `patience * crowd`. In a crowd the
  newcomer gets it in its inbox: one message for each who knows it, not one to everybody from each.

Knows: the peers' number, the clock it is told. Must not know: what is in a HELLO, what follows from one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crdt.replica.peers import Peer
    from crdt.replica.replica import Replica

SHORTEST: Final = 0.05  # seconds between two HELLOs
NEVER: Final = float("inf")


class Greeting:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._at = NEVER
        self._gap = 0.0  # to the next but one
        self._newcomers: dict[str, None] = {}  # in a crowd: who is to get a HELLO of its own
        self._greet_at = NEVER
        self._said = -NEVER

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._at, self._greet_at)

    def connected(self, now: float) -> None:
        """A way to the peers opened, for many of them at once perhaps."""
        replica = self._replica
        spread = max(replica.tuning.interval, SHORTEST) * replica.crowd
        self._at = now + replica.rng.uniform(0, min(replica.hello_period, spread))
        self._gap = 2 * replica.patience * replica.crowd

    def disconnected(self) -> None:
        """Nobody can be reached."""
        self._at = self._greet_at = NEVER
        self._newcomers.clear()

    def soon(self, now: float) -> None:
        """There is something new that somebody may have missed."""
        replica = self._replica
        self._gap = 2 * replica.patience * replica.crowd
        self._at = min(self._at, now + self._gap)

    def met(self, peer: Peer, now: float) -> None:
        """This peer came (again): it does not know where we stand, unless it was here when we last said so."""
        replica = self._replica
        at = now + replica.rng.uniform(0, min(replica.hello_period, replica.patience * replica.crowd))
        if replica.crowd == 1.0:
            self._at = min(self._at, at)
        elif peer.here_since > self._said:
            self._newcomers[peer.name] = None
            if self._greet_at == NEVER:  # of many the earliest would be at once, and then again: a stampede
                self._greet_at = at

    def say(self, now: float) -> None:
        """Tell everybody where we stand."""
        replica = self._replica
        replica.peers.count(now)
        period = replica.hello_period
        replica.send_hello(None, replica.acks.names(now))
        self._at = now + min(period, max(self._gap, SHORTEST)) * replica.rng.uniform(0.75, 1.25)
        self._gap = min(period, 3 * self._gap)
        self._said = now
        self._greet_at = NEVER
        self._newcomers.clear()

    def tick(self, now: float) -> bool:
        """Say what is due; True if it was said to everybody."""
        due = now >= self._at
        if due or (now >= self._greet_at and len(self._newcomers) > self._replica.tuning.crowd):
            self.say(now)
            return due
        if now >= self._greet_at:
            self._greet_at = NEVER
            names, self._newcomers = self._newcomers, {}
            for name in names:
                self._replica.send_hello(name, ())
        return False
