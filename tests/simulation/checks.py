"""What must be true of one replica at every moment, and of what it shows to readers."""

from __future__ import annotations

from collections.abc import Iterable

from crdt.dots import FIRST_OWN
from crdt.replica import messages
from crdt.replica.effects import Lane, Notify, Send
from crdt.replica.replica import Replica
from crdt.types import sets
from tests.simulation.node import Node
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.writes import CAUSES


def message(node: Node, effect: Send) -> None:
    """No message is too large, and none tells what a crash could take back."""
    if len(effect.data) > node.tuning.max_message:
        raise Violation(f"{node} sends {len(effect.data)} bytes, more than {node.tuning.max_message}")
    if effect.lane is Lane.HELLO:
        hello = messages.decode(effect.data)
        assert isinstance(hello, messages.Hello)
        if hello.seq > node.durable.get(hello.actor, 0):
            raise Violation(f"{node} says HELLO of operation {hello.seq}, which a crash could still take back")


def bounds(node: Node, replica: Replica, oracle: Oracle) -> None:
    """Equal vectors have equal hashes, the vector never shrinks and names all who are known, what waits is bounded."""
    view, state = replica.view, replica.state
    oracle.viewed(view.vector_hash, view.vector_sum, view.state_hash, str(node))
    if state.vector_sum < node.sum_seen:
        raise Violation(f"the vector of {node} shrank")
    node.sum_seen = state.vector_sum
    if not all(owner.applied or owner.index >= FIRST_OWN for owner in state.actors.values()):
        raise Violation(f"{node} knows somebody of whom it has applied nothing")
    limit = node.tuning.held_bytes
    if replica.held.bytes > limit or replica.pieces.bytes > replica.pieces.limit + replica.pieces.alone:
        raise Violation(f"{node} holds more than its bound")


def acknowledgements(node: Node, replica: Replica, others: Iterable[Node]) -> None:
    """Who is counted as having applied something has stored it."""
    for other in others:
        peer = replica.peers.by_name.get(other.name)
        if peer is not None and other is not node and peer.acked > other.reached.get(replica.state.actor, 0):
            raise Violation(f"{node} counts {peer.acked} as acknowledged by {other}, who could still lose them")


def reading(node: Node, replica: Replica, effect: Notify) -> None:
    """A reader looks at what has changed: no effect without its cause, no transaction by half."""
    state, keys = replica.state, {key for key, _ in effect.changes}
    if b"links" in keys:
        seen = set(sets.members(state, b"links", sets.GROW))
        for link in seen:
            if not CAUSES[link] <= seen:
                raise Violation(
                    f"{node} shows link {link!r} without {sorted(CAUSES[link] - seen)}, which its writer saw"
                )
    if b"left" in keys or b"right" in keys:
        left, right = set(sets.members(state, b"left")), set(sets.members(state, b"right"))
        if left != right:
            raise Violation(f"{node} shows half of a transaction: {sorted(left ^ right)}")
