"""A question of repair as it is put: PULL with its number, its vector, and what need not be sent.

Knows: which entries of the own vector matter to a peer, what is held or has come in pieces. Promises: nothing is said
of own operations that could still be lost; a question to the own name, for a second daemon under it, is known when it
comes back. Must not know: whom to ask and when, what the answer brings (recovery.py).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from crdt.dots import Actor
from crdt.replica.effects import Lane
from crdt.replica.messages import FRAME, Pull
from crdt.replica.peers import Peer

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

SPANS: Final = 64
ECHOES: Final = 16  # questions to the own name that may still come back


class Questions:
    """See the module. `last` is the number of the last one."""

    __slots__ = ("_echoes", "_replica", "last")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._echoes: deque[Pull] = deque(maxlen=ECHOES)
        self.last = 0

    def put(self, peer: Peer, whole: bool, small: bool) -> bool:
        """Ask it for what it has and we lack; for one message, if `small`. Whether the whole vector was named, which it
        is unless the few entries in question are known.
        """
        replica = self._replica
        vector = {} if whole else self._in_question(peer)
        whole = not vector
        if whole:
            vector = replica.state.vector()
        if replica.own_stored < vector.get(replica.state.actor, 0):
            vector[replica.state.actor] = replica.own_stored
        budget = min(replica.out.room, replica.tuning.repair_budget) if small else replica.tuning.repair_budget
        partial = replica.pieces.partial(peer.name, FRAME)
        parts = [(actor, seq, a.total, a.bits()) for actor, seq, a in partial if a.total <= 2048]
        self.last += 1
        pull = Pull(vector, budget, replica.held.spans(SPANS), parts[:4], whole, self.last, peer.ended)
        replica.out.send(Lane.INBOX, peer.name, pull, replica.state.actor)
        if peer.name == replica.name:
            self._echoes.append(pull)
        return whole

    def is_own(self, pull: Pull) -> bool:
        """A question to our own name came back to us."""
        return any(pull.number == own.number and pull.vector == own.vector for own in self._echoes)

    def _in_question(self, peer: Peer) -> dict[Actor, int]:
        """The entries of a large vector that matter, if they explain all that the peer seems to have more than we.

        Those are: of its own operations, which its HELLO counts, and of the actors whose later frames are held.
        """
        replica, state = self._replica, self._replica.state
        if len(state.actors) <= replica.tuning.short_vector or peer.actor is None or peer.name == replica.name:
            return {}
        out: dict[Actor, int] = {}
        ahead, own = peer.vector_sum - state.vector_sum, state.applied(peer.actor)
        if peer.seq > own:
            out[peer.actor] = own
            ahead -= peer.seq - own
        for held in replica.held.first(SPANS):
            if state.unseen(held.frame) is not None:
                return {}
            before = state.applied(held.frame.actor)
            if held.frame.actor not in out:
                out[held.frame.actor] = before
                ahead -= held.frame.last - before
        return out if ahead <= 0 else {}
