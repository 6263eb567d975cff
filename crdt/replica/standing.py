"""What a peer lacks and what it has ahead, in operations and since when: as of the last that was heard of it.

A HELLO tells the sum of a peer's vector and how many of them are its own; the vector itself comes only with a PULL, and
both grow old at once. What follows from them:

- `lag - behind` is the difference of the sums: always exact, for what was heard.
- A vector tells both, for the moment it was sent. What the peer has applied since (its sum grew) counts as what it
  lacked, until there is nothing more of that: it asks for what it lacks before anything else.
- Without a vector: it has all its own operations, so what we lack of those is the least that we are behind.
- Its own operations are never among those it lacks, wherever we got them from: those of its present actor, or of every
  actor of its name where no HELLO has said yet which one that is.

Knows: vectors and sums. Promises: O(actors) for a peer whose vector is kept, O(1) for others; a bounded number of
vectors is kept. Must not know: what to do about it (recovery.py asks by its own rules).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from crdt.dots import Actor
from crdt.replica.peers import Peer
from crdt.state import State

MOMENTS: Final = 512


class Vectors:
    """The last whole vectors that peers have shown, at most `limit` entries of them together; the oldest go first."""

    __slots__ = ("_by_name", "_entries", "limit")

    def __init__(self, limit: int = 50_000) -> None:
        self.limit = limit
        self._entries = 0
        self._by_name: dict[str, dict[Actor, int]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> dict[Actor, int] | None:
        """What the peer had applied when it last said; None if that is not known."""
        return self._by_name.get(name)

    def learn(self, name: str, vector: dict[Actor, int]) -> None:
        """The peer has shown its vector."""
        self.forget(name)
        if len(vector) > self.limit:
            return
        self._by_name[name] = vector
        self._entries += len(vector)
        while self._entries > self.limit:
            self.forget(next(iter(self._by_name)))

    def forget(self, name: str) -> None:
        """It is equal to ours, or no longer that of the peer."""
        vector = self._by_name.pop(name, None)
        if vector is not None:
            self._entries -= len(vector)


class Moments:
    """When the own vector's sum passed which value: at most MOMENTS of them, the older ones further apart."""

    __slots__ = ("_sums", "_times")

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._times: list[float] = []

    def note(self, vector_sum: int, now: float) -> None:
        """The sum is this by now."""
        if self._sums and vector_sum <= self._sums[-1]:
            return
        if len(self._sums) == MOMENTS:
            del self._sums[1 : MOMENTS // 2 : 2]
            del self._times[1 : MOMENTS // 2 : 2]
        self._sums.append(vector_sum)
        self._times.append(now)

    def since(self, vector_sum: int) -> float | None:
        """When the first operation above this sum was applied, as far as that is remembered; None: never."""
        at = bisect_right(self._sums, vector_sum)
        return self._times[at] if at < len(self._sums) else None


def written(state: State) -> dict[str, int]:
    """How many operations are here of each name, of all its actors."""
    out: dict[str, int] = {}
    for rows in state.actors.values():
        out[rows.actor.name] = out.get(rows.actor.name, 0) + rows.applied
    return out


def gap(state: State, peer: Peer, vector: dict[Actor, int] | None, by_name: dict[str, int]) -> tuple[int, int]:
    """How many operations the peer lacks, and how many of its we lack. `by_name`: see `written`; it is looked at only
    for a peer of which no HELLO was heard.
    """
    if peer.actor is None:  # all that was heard are its frames, or an ACK
        own = by_name.get(peer.name, 0)
        behind = max(0, peer.vector_sum - state.vector_sum)
        return state.vector_sum + behind - max(peer.vector_sum, own), behind
    own = max(peer.seq, state.applied(peer.actor))
    total = peer.vector_sum + own - peer.seq
    difference = state.vector_sum - total
    if vector is None:
        behind = max(own - state.applied(peer.actor), -difference, 0)
        return difference + behind, behind
    lag = behind = known = 0
    for actor, n in vector.items():
        n = own if actor == peer.actor else n
        known += n
        behind += max(0, n - state.applied(actor))
    if peer.actor not in vector:
        known += own
        behind += own - state.applied(peer.actor)
    lag = state.vector_sum - known + behind
    newer = max(0, total - known)
    caught_up = min(newer, lag)
    return lag - caught_up, behind + newer - caught_up
