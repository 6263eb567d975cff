"""What follows from a HELLO: where a peer stands, beside where this replica stands.

Knows: what peers said last, what is stored here. Promises: a peer that has what we lack is suspected, after the moment
that what is under way may take; equal vectors end a suspicion, unless several daemons use the name, count as an
acknowledgement of all that is stored, and let the states be compared. Must not know: how a repair is asked for
(recovery.py), what becomes of two states that differ (healing.py), when a HELLO is said (greeting.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crdt.errors import PeerError
from crdt.replica.messages import Hello
from crdt.replica.peers import Peer

if TYPE_CHECKING:
    from crdt.replica.replica import Replica


SESSIONS: Final = 32  # of one name that are remembered: more daemons under it than this are met anew at each HELLO


class Hearing:
    """See the module."""

    __slots__ = ("_audit_at", "_replica")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._audit_at = -float("inf")

    def on_hello(self, sender: str, message: Hello, now: float) -> None:
        """Raises PeerError for one that speaks of somebody else."""
        replica = self._replica
        if message.actor.name != sender:
            raise PeerError("forged", f"HELLO of {message.actor.name} on the topic of {sender}")
        if message.session == replica.session:
            return  # our own, come back
        peer = replica.peers.get(sender, now)
        met = message.session not in peer.sessions or not peer.heard or peer.state(now) != "online"
        replica.heard(sender, now)
        self._note(peer, message, now)
        replica.reaper.heed(now)
        if met:  # it does not know where we stand
            replica.greeting.met(peer, now)
        self._compare(peer, now)
        if replica.name in message.asked:
            replica.acks.owe(sender, message.actor, message.ask)
            if message.ask > replica.state.applied(message.actor):  # it publishes before it asks
                replica.recovery.suspect(sender, now + replica.transit)

    def _note(self, peer: Peer, message: Hello, now: float) -> None:
        """Remember what it says of itself."""
        replica, session = self._replica, message.session
        if session != peer.session and session in peer.sessions:
            peer.shared_at = now
        if session not in peer.sessions:
            peer.sessions = (*peer.sessions[1 - SESSIONS :], session)
        peer.present = session
        if peer.session != session:
            peer.acked, peer.here_since = 0, now if peer.session else peer.here_since
            replica.vectors.forget(peer.name)
        if replica.peers.gone.get(peer.name) == session:
            del replica.peers.gone[peer.name]  # it has lost one broker of several, or was quick to come back
        peer.actor, peer.session, peer.heard = message.actor, session, True
        peer.period = min(max(message.period_ms / 1000, 0.05), 3600.0)
        peer.seq, peer.vector_hash, peer.vector_sum = message.seq, message.vector_hash, message.vector_sum
        peer.state_hash, peer.skew_ms = message.state_hash, message.wall_ms - replica.state.clock.wall_ms

    def _compare(self, peer: Peer, now: float) -> None:
        replica, view, state = self._replica, self._replica.view, self._replica.state
        if peer.vector_hash == view.vector_hash:
            if not peer.shared(now):
                replica.recovery.cancel(peer.name)
            replica.vectors.forget(peer.name)
            peer.differs_since = None
            peer.acked = max(peer.acked, replica.own_stored)
            replica.healing.hello(peer, now)
            return
        if peer.differs_since is None:
            peer.differs_since = now
        if peer.vector_hash == state.vector_hash:
            return  # what it has is not stored here yet
        lacks = peer.actor is not None and peer.seq > state.applied(peer.actor)
        if lacks or peer.vector_sum >= view.vector_sum:
            replica.recovery.suspect(peer.name, now + replica.patience)
        if now - peer.differs_since > 2 * peer.period and now >= self._audit_at:
            # Where others write all the time the sums tell nothing: look at the vectors, though not often.
            self._audit_at = now + replica.hello_period
            replica.recovery.suspect(peer.name, now + replica.patience, sure=True)
