"""What becomes of a frame that came: applied, held until what it saw is here, or dropped.

Promises: causal order (DESIGN invariant I16); a frame is taken from its author's topic only under the author's name;
one malformed frame stops none of the others. Must not know: which message brought the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.codec import decode_frame
from crdt.errors import PeerError
from crdt.frame import Frame
from crdt.replica.effects import Alarm, LogFrame, Notify
from crdt.replica.held import Held
from crdt.replica.outbox import span

if TYPE_CHECKING:
    from crdt.replica.replica import Replica


class Intake:
    """See the module. `unsaved`: what was applied since the last commit, in that order."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.held = Held(replica.tuning.held_bytes)
        self.unsaved: list[LogFrame] = []
        self._warned: set[str] = set()  # whose clock was reported

    def offer(self, sender: str, data: bytes, now: float, first_hand: bool) -> None:
        """A frame came: apply it, hold it, or drop it. A malformed one does not stop those after it."""
        try:
            if sender == self._replica.name and self._is_echo(data):
                return
            frame = decode_frame(data)
            if first_hand:
                self._check_origin(sender, frame)
        except PeerError as error:
            self._replica.drop(error.reason)
            return
        self._replica.counts["frames_in"] += 1
        if frame.actor == self._replica.state.actor and frame.last > self._replica.state.me.applied:
            self._replica.fork()
        if frame.last <= self._replica.state.applied(frame.actor):
            self._replica.counts["duplicates"] += 1
        elif self._replica.state.ready(frame):
            self.apply(frame, data)
            self.release()
        else:
            if not self.held.add(frame, data, now):
                self._replica.drop("held_full")
            self._replica.recovery.suspect(sender, now + self._replica.patience)

    def _is_echo(self, data: bytes) -> bool:
        """Our own frame came back to us; what a second daemon under our name writes did not."""
        try:
            actor, _, last = span(data)
        except ValueError as error:
            raise PeerError("malformed", str(error)) from None
        return actor == self._replica.state.actor and last <= self._replica.state.me.applied

    def _check_origin(self, sender: str, frame: Frame) -> None:
        if frame.actor.name != sender:
            raise PeerError("forged", f"frame of {frame.actor.name} on the topic of {sender}")
        known = frame.actor in self._replica.state.indexes
        if not known and len(self._replica.state.indexes) >= self._replica.tuning.actors:
            raise PeerError("actors", "limits.actors reached")

    def apply(self, frame: Frame, data: bytes) -> None:
        refused = self._replica.state.clock.refused
        changes = self._replica.state.apply(frame)
        assert changes is not None
        self._replica.counts["records"] += frame.adds()
        if self._replica.state.clock.refused > refused and frame.actor.name not in self._warned:
            self._warned.add(frame.actor.name)
            text = f"{frame.actor.name}'s clock is far ahead of ours; check the time on both hosts"
            self._replica.out.order(Alarm("clock", text))
        self.unsaved.append(LogFrame(frame.actor, frame.first, frame.last, data))
        if changes:
            self._replica.out.order(Notify(tuple(changes)))

    def release(self) -> None:
        """Apply what was waiting for the frame just applied, and what waited for that."""
        progress = bool(len(self.held))
        while progress:
            progress = False
            for held in self.held:
                if held.frame.last <= self._replica.state.applied(held.frame.actor):
                    self.held.remove(held)
                elif self._replica.state.ready(held.frame):
                    self.held.remove(held)
                    self.apply(held.frame, held.data)
                    progress = True
