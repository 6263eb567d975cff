"""Who has applied what: the questions of WAIT, and the answers to those of peers.

Promises: an ACK is given only for what is applied and (where `durable`) stored; at most ASKED_AT_ONCE peers are asked
at a time, the most recently seen first, until none that is online is left; one that never answers is asked less and
less often, because whoever waited may have gone. Must not know: clients, how many answers they wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.messages import Ack
from crdt.replica.peers import Peer

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

ASKED_AT_ONCE: Final = 16
OWED: Final = 256  # answers that are owed at most: each message that comes in looks at all of them
UNKNOWN: Final = -1
NEVER: Final = float("inf")
SOONEST: Final = 0.25  # seconds before a question is repeated, at first


class Acks:
    """See the module. `seq` is what is being asked for (0: nothing), `at` when to ask again."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.seq = 0
        self.at = NEVER
        self._gap = 0.0  # before the question is repeated; every HELLO repeats it anyway
        self._owed: dict[str, tuple[Actor, int, int]] = {}  # who asked -> its operation, and the batch that stores it

    # -- asking -----------------------------------------------------------------------------------------------------

    def names(self, now: float) -> tuple[str, ...]:
        """The peers to ask now."""
        replica = self._replica
        if not 0 < self.seq <= replica.own_stored:
            return ()
        waiting = [peer for peer in replica.peers.online(now) if peer.acked < self.seq]
        waiting.sort(key=lambda peer: (-peer.last_seen, peer.name))
        return tuple(peer.name for peer in waiting[: min(ASKED_AT_ONCE, max(1, replica.out.room // 512))])

    def want(self, seq: int, now: float) -> None:
        """Somebody waits for this operation."""
        self.seq = max(self.seq, seq)
        self._gap = max(SOONEST, self._replica.transit)
        self.ask(now)

    def ask(self, now: float) -> None:
        """Publish and ask. Persisted and Connected come back to it where it is too early."""
        replica = self._replica
        self.at = NEVER
        if not self.seq or not replica.connected or self.seq > replica.own_stored:
            return
        replica.publish(now)
        names = self.names(now)
        if names:
            if replica.crowd == 1.0:
                replica.greeting.say(now)
            else:  # all the others would have to hear it for nothing
                for name in names:
                    replica.send_hello(name, (name,))
            self.at = now + self._gap
            self._gap = max(self._gap, min(2 * self._gap, replica.hello_period))
        else:
            self.seq = 0

    def heard(self, peer: Peer, message: Ack) -> None:
        """A peer answered."""
        if message.actor == self._replica.state.actor:
            peer.acked = max(peer.acked, min(message.seq, self._replica.own_stored))

    # -- answering --------------------------------------------------------------------------------------------------

    def owe(self, sender: str, actor: Actor, seq: int) -> None:
        """A peer asked: answer it when its operation `seq` has been applied."""
        self._owed.pop(sender, None)
        if len(self._owed) == OWED:
            del self._owed[next(iter(self._owed))]  # it asks again, if it still waits
        self._owed[sender] = (actor, seq, UNKNOWN)
        self.answer()

    def answer(self) -> None:
        """ACK to those whose operation is here by now (and stored, where we promise so)."""
        replica = self._replica
        for sender, (actor, seq, batch) in list(self._owed.items()):
            if replica.state.applied(actor) < seq:
                continue
            if batch == UNKNOWN:
                batch = replica.batch + bool(replica.intake.unsaved) if replica.tuning.durable else 0
                self._owed[sender] = (actor, seq, batch)
            if replica.stored >= batch:
                del self._owed[sender]
                replica.out.send(Lane.INBOX, sender, Ack(actor, seq, replica.view.vector_sum))
