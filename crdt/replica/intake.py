"""What becomes of a frame that came: applied, held until what it saw is here, or dropped.

Promises: causal order (invariant I16); a frame is taken from its author's topic only under the author's name; once
there are as many actors as may be, unknown ones come only from the peer that is being asked; what anybody can claim at
will is believed now and then; one malformed frame stops none of the others; a message of many frames, with what had
waited for them, holds the loop for a slice of them at a time, and is done after a number of slices that is bounded by
its bytes and theirs.
Must not know: what else a message says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_intdigest

from crdt.codec import decode_frame, head_of
from crdt.dots import FIRST_OWN, Actor
from crdt.errors import PeerError
from crdt.frame import Frame
from crdt.mending import content, preserve, row_at, rows_of, spent_twice, unlike
from crdt.replica.effects import Alarm, LogFrame, Notify
from crdt.replica.held import Held
from crdt.replica.messages import Delta, Repair

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

ECHOES: Final = 1024  # own frames that are known again when they come back
SLICE_FRAMES: Final = 64
MOST_ACTORS: Final = FIRST_OWN - 1024  # more than this no State can number; our own lives are among them
MOST_SLICES: Final = 32  # of a message of however many frames, where they are so small that SLICE_BYTES lets them
SLICE_BYTES: Final = 8 * 1024  # of frames, after which clients have a turn: a frame of 256 operations has about as many


@dataclass(slots=True)
class Unfinished:
    """A message, and the first of its frames that was not taken in yet. `vouched`: we had asked the sender."""

    sender: str
    message: Delta | Repair
    vouched: bool
    next: int = 0


class Intake:
    """See the module. `unsaved`: what was applied since the last commit, in that order."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.held = Held(replica.tuning.held_bytes)
        self.unsaved: list[LogFrame] = []
        self._warned: set[str] = set()  # whose clock was reported
        self._published: dict[int, None] = {}  # hashes of own frames, the latest last
        self.unfinished: Unfinished | None = None
        self._advanced: list[Actor] = []  # for whom something has waited, to be looked at before the next frame

    def take_in(self, sender: str, message: Delta | Repair, now: float) -> None:
        """The frames of a message, slice by slice: each is applied as a whole, and between two slices clients may read
        and write, and what was applied so far may be stored. The rest waits for `go_on`.
        """
        vouched = isinstance(message, Repair) and self._asked(sender, message.number)
        self.unfinished = Unfinished(sender, message, vouched)
        self.go_on(now)

    def _asked(self, sender: str, number: int) -> bool:
        """Whether what comes from there to our inbox answers a question: the one under way, or the last one to a peer
        that has not answered since, and which we do not wait for any longer. `number` 0: it does not say which.
        """
        replica = self._replica
        asking, peer = replica.recovery.asking, replica.peers.by_name.get(sender)
        if asking is not None and asking.peer == sender:
            return True
        return peer is not None and 0 < peer.asked == number

    def go_on(self, now: float, whole: bool = False) -> None:
        """The next slice of the unfinished message and of what it releases, or all that is left of both."""
        unfinished = self.unfinished
        assert unfinished is not None
        replica, sender, message = self._replica, unfinished.sender, unfinished.message
        frames, first_hand, count, size = message.frames, isinstance(message, Delta), 0, 0
        most = max(SLICE_FRAMES, len(frames) // MOST_SLICES)
        while whole or (count < most and size < SLICE_BYTES):
            data = self._release_one(now)
            if data is None:
                if unfinished.next == len(frames):
                    break
                data = frames[unfinished.next]
                unfinished.next += 1
                self._take(sender, data, now, first_hand, unfinished.vouched)
            count += 1
            size += len(data)
        if unfinished.next < len(frames) or self._advanced:
            return
        self.unfinished = None
        replica.acks.answer()
        if isinstance(message, Repair):
            replica.recovery.on_repair(replica.peers.get(sender, now), message, now)

    def offer(self, sender: str, data: bytes, now: float, first_hand: bool, vouched: bool = False) -> None:
        """A frame came, and is taken in with all that it releases. `first_hand`: on its author's own topic, or so it
        should be; `vouched`: from our own disk.
        """
        self._take(sender, data, now, first_hand, vouched or (not first_hand and self._asked(sender, 0)))
        self._release_all(now)

    def _take(self, sender: str, data: bytes, now: float, first_hand: bool, vouched: bool) -> None:
        replica, state = self._replica, self._replica.state
        try:
            if sender == replica.name and xxh3_64_intdigest(data) in self._published:
                return  # our own frame came back to us
            self._check_room(data, vouched)
            frame = decode_frame(data)
            if first_hand and frame.actor.name != sender:
                raise PeerError("forged", f"frame of {frame.actor.name} on the topic of {sender}")
        except PeerError as error:
            replica.drop(error.reason)
            return
        replica.counts["frames_in"] += 1
        ours = frame.actor == state.actor and (frame.last > state.me.applied or self._spends_twice(frame))
        if ours and not replica.lives.claimed(now, frame.first <= state.me.applied):
            return
        if frame.last <= state.applied(frame.actor):
            replica.counts["duplicates"] += 1
        elif state.ready(frame):
            if self._apply(frame, data, now) and not first_hand:
                replica.recovery.brought(sender, len(data), now)
        else:
            waiting = len(self.held)
            if not self.held.add(state, frame, data, now, vouched):
                replica.drop("held_full")
            if len(self.held) > waiting and not first_hand:
                replica.recovery.brought(sender, len(data), now, part=True)
            replica.recovery.suspect(sender, now + replica.transit, gap=True)

    def expect(self, frames: list[bytes]) -> None:
        """Own frames are being published: some brokers send them back."""
        published = self._published
        for data in frames:
            published[xxh3_64_intdigest(data)] = None
        while len(published) > ECHOES:
            del published[next(iter(published))]

    def _spends_twice(self, frame: Frame) -> bool:
        """Whether a frame under our name holds another content than we do for a dot of ours."""
        state, me = self._replica.state, self._replica.state.me
        for group in frame.groups:
            for row in rows_of(group):
                mine = row_at(state, me, row.seqs[0])
                if mine is not None and content(me, mine) != content(me, row):
                    return True
        return False

    def _check_room(self, data: bytes, vouched: bool) -> None:
        """Once there are as many actors as may be, frames of others cost no more than a look at their author."""
        if self._full(vouched) and head_of(data).actor not in self._replica.state.indexes:
            raise PeerError("actors", "limits.actors reached")

    def _full(self, vouched: bool) -> bool:
        replica = self._replica
        known = len(replica.state.indexes)
        limit = MOST_ACTORS if vouched else replica.tuning.actors
        return known >= limit or known + replica.merging.strangers >= MOST_ACTORS

    def _apply(self, frame: Frame, data: bytes, now: float) -> bool:
        """False if what the frame claims is not believed now: then it is as if it had been lost."""
        replica, clock = self._replica, self._replica.state.clock
        refused, name = clock.refused, frame.actor.name
        if frame.heals and not self._make_way(frame, now):
            return False
        streamed = replica.state.streamed
        if streamed and any(group.key in streamed for group in frame.groups):
            replica.cut()  # what readers have seen before, stands before it in the log
        changes = replica.state.apply(frame)
        assert changes is not None
        replica.merging.follow(frame)
        replica.counts["records"] += frame.adds()
        if clock.refused > refused and name not in self._warned:
            self._warned.add(name)
            replica.out.order(Alarm("clock", f"{name}'s clock is far ahead of ours; check the time on both hosts"))
        self.unsaved.append(LogFrame(frame.actor, frame.first, frame.last, data))
        if changes:
            replica.out.order(Notify(tuple(changes)))
        if self.held.due(replica.state, frame.actor):
            self._advanced.append(frame.actor)
        return True

    def _make_way(self, frame: Frame, now: float) -> bool:
        """Before a frame that heals is applied: write anew what it takes and does not bring back, and be somebody else
        if it names another content for an own dot. False if too much of that was claimed lately.
        """
        replica = self._replica
        if spent_twice(replica.state, frame) and not replica.lives.claimed(now, True):
            return False
        rows = unlike(replica.state, frame)
        if rows and not replica.healing.believes(frame.actor.name, len(rows), now):
            return False
        preserve(replica.state, rows)
        replica.healing.mended()
        return True

    def release(self, now: float) -> None:
        """Many actors have advanced at once: apply what was waiting for them, and what waited for that."""
        self._advanced = self.held.awaited()
        self._release_all(now)

    def _release_all(self, now: float) -> None:
        while self._release_one(now) is not None:
            pass

    def _release_one(self, now: float) -> bytes | None:
        """Apply a frame that nothing holds any longer; its bytes, empty if none is found yet, None if there is none."""
        state = self._replica.state
        while self._advanced:
            held = self.held.pop(state, self._advanced[-1])
            if held is not None:
                if self._full(held.vouched) and held.frame.actor not in state.indexes:
                    self._replica.drop("actors")
                else:
                    self._apply(held.frame, held.data, now)
                return held.data
            if self.held.due(state, self._advanced[-1]):
                return b""
            self._advanced.pop()
        return None
