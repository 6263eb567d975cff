"""Which life the replica writes under, and when it has to begin a new one.

An actor is a name and the nonce of one life. Two who write as one actor (the disk was set back, a directory or a whole
machine copied) spend the same dots on different operations. Knows: since which own operation somebody else may have
written under our actor; which operation of this life depends on all of the lives before.
Promises: once that has shown, the replica goes on as a new actor, and all that may stand for something else elsewhere
is written anew under it, so nothing that was acknowledged here is lost by it; what comes from peers is believed once a
minute at most, because anybody can claim it, and forge a frame that shows it.
Must not know: how it shows (intake.py, recovery.py, healing.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crdt.dots import MASK_64, Actor
from crdt.mending import live_between, reissue, row_at
from crdt.moving import go_on_as
from crdt.replica.effects import Alarm, Witness

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

REISSUED: Final = 1_000  # rows that are written anew in one frame
BELIEVED: Final = 60.0  # seconds between two claims of peers that are believed
SET_BACK: Final = "peers know operations of ours that this disk does not hold"


class Lives:
    """See the module."""

    __slots__ = ("_alone", "_believe_at", "_heard", "_reborn", "_replica")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._alone = 0  # own operations up to here were written before this connection was made, so by nobody else
        self._heard = 0  # own operations when a message last came, or when this run began
        self._reborn = 0  # the own operation from which on this life holds all that was written before a fork; 0: none
        self._believe_at = -float("inf")

    def connected(self) -> None:
        """Whoever was cloned with its memory, or with disk and run directory, hears nothing any more until it connects:
        what it has written since then may be spent twice. Who was not hears of it here.
        """
        self._alone = self._heard

    def heard(self) -> None:
        """A message came, or the state was loaded."""
        self._heard = self._replica.state.me.applied

    def current(self, seq: int) -> int:
        """An own operation that nobody applies without `seq`, which may have been written before a fork.

        Frames of this life depend on all of those before, and its first operations are what was pending then.
        """
        return max(self._reborn, min(seq, self._replica.state.seq)) if self._reborn else seq

    def sign(self) -> bool:
        """Take an operation without effect where this life has written nothing and earlier ones have: who has applied
        it has all of theirs, which nobody could be asked for else. Commit it; False if there is no need.
        """
        state = self._replica.state
        earlier = any(rows.applied and rows.actor.name == state.actor.name for rows in state.actors.values())
        if earlier and not state.seq:
            state.gap()
            return True
        return False

    def claimed(self, now: float, twice: bool = False, why: str = SET_BACK) -> bool:
        """A peer says, or its frames seem to show, that we have written more than we know, or (`twice`) something else;
        whether it is believed. True or not: not again for a while, because all that we wrote is written anew. Of two
        machines that are one each believes the first that it hears, and is nobody's clone from then on.
        """
        if now < self._believe_at:
            self._replica.drop("claimed")
            return False
        self._believe_at = now + BELIEVED
        self.fork(twice, why)
        return True

    def fork(self, twice: bool = False, why: str = SET_BACK) -> None:
        """Somebody wrote as our actor what is not here: go on as a new one, and say so.

        What we wrote since we may have been cloned (`twice`: certainly were) may stand for something else elsewhere,
        and removals cannot say which they mean: so all of it is written anew, before any of them is applied.
        """
        replica, state = self._replica, self._replica.state
        rows, old = state.me, state.actor
        since = self._alone if twice or rows.applied > self._alone else rows.applied
        replica.merging.abandon()
        go_on_as(state, Actor(old.name, replica.rng.getrandbits(64) & MASK_64))
        for peer in replica.peers.by_name.values():
            peer.acked = 0
        self._alone = self._heard = 0
        for number, seq in enumerate(live_between(rows, since + 1, rows.applied), 1):
            mine = row_at(state, rows, seq)
            if mine is not None:
                reissue(state, rows, seq, [mine])
            if number % REISSUED == 0:
                replica.cut()
        self._reborn = max(1, state.seq)
        replica.acks.seq = min(replica.acks.seq, self._reborn)
        replica.flush()  # a start that goes on with this life must find what was written anew
        replica.out.order(Witness(0))  # a start goes on with this life, also if it has sent nothing by then
        replica.out.order(Alarm("fork", f"{why}; {old} goes on as {state.actor}"))
