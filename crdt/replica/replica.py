"""The replica engine: what one daemon says to its peers, and what it makes of what they say.

Knows: one State, its peers, the messages. Promises: given the same events it orders the same effects; every queue is
bounded; nothing a peer sends can change state without being checked, or stop the stream.
Must not know: sockets, disks, clocks, dice (time is an argument, the generator is injected).

The protocol, as a story. A daemon cuts its pending operations into a frame at each commit, stores it, and once per
interval publishes what is new and stored as DELTA. Peers apply a frame as soon as they have what its author had; one
that comes too early is held (intake.py). DELTA may get lost, so every daemon says HELLO now and then: how far its own
operations go, a hash and the sum of its vector, a hash of its state. Whoever learns that a peer has more (hearing.py)
waits a moment (the missing frames may be under way), then asks that one peer: PULL with its own vector (recovery.py).
The answer is REPAIR, the frames it lacks in the answerer's log order, or a snapshot in pieces where the log no longer
reaches back (serving.py). From the vector in the PULL the answerer learns what it lacks itself, and pulls back. Nothing
here is needed for correctness in any order or number: frames are idempotent, and whatever is lost is asked for again.
Peers with equal vectors and different states compare their rows and write anew what differs (healing.py).

Effects are returned in the order in which they must be carried out (see effects.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica import messages
from crdt.replica.acks import Acks
from crdt.replica.attendance import Attendance
from crdt.replica.effects import Effect, Lane, LogFrame, Persist, Witness
from crdt.replica.events import Connected, Disconnected, Event, Merged, Persisted, Received, Tick
from crdt.replica.greeting import Greeting
from crdt.replica.healing import Healing
from crdt.replica.hearing import Hearing
from crdt.replica.intake import Intake
from crdt.replica.lives import Lives
from crdt.replica.merging import Merging
from crdt.replica.messages import (
    Ack,
    Compare,
    Delta,
    Differ,
    Hello,
    More,
    Piece,
    Presence,
    Probe,
    Pull,
    Repair,
    Rows,
    Taken,
    Want,
)  # fmt: skip
from crdt.replica.outbox import Outbox, Unsent, Written, line_up
from crdt.replica.peers import Peer, Peers
from crdt.replica.pieces import Pieces
from crdt.replica.ports import LogReader
from crdt.replica.reaper import Reaper
from crdt.replica.recovery import Recovery
from crdt.replica.serving import Serving
from crdt.replica.standing import Moments, Vectors
from crdt.replica.tuning import Tuning
from crdt.state import State

if TYPE_CHECKING:
    from random import Random

NOW: Final = 0.0
HASHED: Final = 4096  # rows that commits may hash in a second, so that HELLOs can tell the state's hash
HASH_SLICE: Final = 1024  # rows that are hashed in one step otherwise, also for clients: a millisecond or two
HASH_PAUSE: Final = 5.0  # seconds between two rounds that hash what commits have left
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class View:
    """Where the replica stood at a commit: the only thing it ever says of itself. `seq` is that of `actor`."""

    seq: int
    vector_hash: int
    vector_sum: int
    state_hash: int | None  # None: what was written since it was last known is too much to hash at each commit
    actor: Actor


class Replica:
    """See the module. `log` is what was persisted, `session` names this connection of this daemon."""

    def __init__(
        self, state: State, log: LogReader, rng: Random, tuning: Tuning | None = None, session: int | None = None
    ) -> None:
        self.state = state
        self.log = log
        self.rng = rng
        self.tuning = tuning or Tuning()
        self.session = rng.getrandbits(63) if session is None else session
        self.peers = Peers()
        self.merging = Merging(self)
        self.pieces = Pieces(self.tuning.held_bytes, self.tuning.frame_bytes)
        self.out = Outbox(state.actor.name, self.tuning.max_message)
        self.intake = Intake(self)
        self.held = self.intake.held
        self.lives = Lives(self)
        self.hearing: Hearing = Hearing(self)
        self.acks = Acks(self)
        self.recovery = Recovery(self)
        self.serving = Serving(self)
        self.reaper = Reaper(self)
        self.greeting = Greeting(self)
        self.attendance: Attendance = Attendance(self)
        self.vectors = Vectors()
        self.moments = Moments()
        self.healing: Healing = Healing(self)
        self.connected = False
        self.acknowledged = False  # a client was promised a write since the start
        self.batch = self.stored = 0  # last ordered and last confirmed Persist
        self.hashed, self.hash_slice = HASHED, HASH_SLICE
        self._hashable: float = self.hashed
        self._hashable_at = 0.0  # when that was so
        self._hash_at = NEVER  # when the next slice of a round is hashed, or the next round may begin
        self._hash_left = 0  # rows that the round under way has still to look at
        self._hash_pause = NOW  # until then there is no other round
        self._stand(self._standing())
        self.drops: dict[str, int] = {}
        self.counts = dict.fromkeys(
            ("frames_in", "frames_out", "records", "repairs", "snapshots", "divergences", "healed", "duplicates"), 0
        )
        self._fresh: list[Written] = []  # own frames of the commit that is being put together
        self._views: dict[int, tuple[View, list[Written]]] = {}
        self._unsent = Unsent(self.out.room)
        self._addressed = False  # whether the message at hand came to the inbox
        self._publish_at = NEVER
        self._published = -NEVER

    # -- the door ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The replica's name in the space."""
        return self.state.actor.name

    @property
    def dirty(self) -> bool:
        """Whether a commit would have something to store."""
        state = self.state
        return state.dot != state.cut_dot or bool(self.intake.unsaved or state.orphans or state.strays)

    @property
    def unstored(self) -> bool:
        """Whether own operations wait for a commit: pending ones, or those of frames that were cut ahead of it."""
        return self.state.dot != self.state.cut_dot or bool(self._fresh)

    @property
    def own_stored(self) -> int:
        """How many own operations are stored: more than that nobody is told of."""
        return self.view.seq if self.view.actor == self.state.actor else 0

    @property
    def deadline(self) -> float:
        """When the shell should send the next Tick, in its own seconds; infinity if nothing is due."""
        if self.busy:
            return NOW
        parts = self.recovery.deadline, self.serving.deadline, self.healing.deadline, self.reaper.deadline
        return min(self._publish_at, self._hash_at, self.greeting.deadline, self.acks.at, *parts)

    @property
    def patience(self) -> float:
        """How long a frame that a peer has may be under way, or wait there to be published, until it counts as lost."""
        return max(2 * self.tuning.interval, 0.05)

    @property
    def transit(self) -> float:
        """The same for one that was published: with an interval of an hour what is proven to be lost waits for none."""
        return min(self.patience, self.hello_period)

    @property
    def crowd(self) -> float:
        """By how much to stretch what everybody would do at once, at least 1."""
        return max(1.0, self.peers.here / self.tuning.crowd)

    @property
    def hello_period(self) -> float:
        """Seconds between two regular HELLOs."""
        return self.tuning.hello_period(self.peers.here)

    @property
    def busy(self) -> bool:
        """Whether a message is being taken in. It is finished in one go if another one comes: better wait with that."""
        return self.intake.unfinished is not None

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What to do about something that happened. `now` is monotonic, in seconds.

        What it raises is a defect. Should the rest of a message show one, the event is handled all the same, because it
        is told once only; what it orders comes with the next call.
        """
        self.reaper.look(now)
        try:
            if self.busy and not isinstance(event, Persisted):
                self.intake.go_on(now, whole=not isinstance(event, Tick))
        finally:
            self._on_event(event, now)
        return self.out.take()

    def _on_event(self, event: Event, now: float) -> None:
        match event:
            case Received():
                self._on_received(event, now)
            case Tick():
                self._on_tick(now)
            case Persisted():
                self._on_persisted(event.batch, now)
            case Merged():
                self.merging.on_merged(event, now)
            case Connected():
                self._on_connected(now)
            case Disconnected():
                self._on_disconnected(event.session)

    def retune(self, tuning: Tuning) -> None:
        """Settings have changed while running."""
        self.tuning = tuning
        self.held.limit = tuning.held_bytes
        self.pieces.bound(tuning.held_bytes, tuning.frame_bytes)

    def loaded(self, now: float) -> None:
        """The state was filled from the disk: what it holds is what is stored."""
        self._stand(self._standing())
        self.lives.heard()
        self.moments.note(self.view.vector_sum, now)

    def commit(self, now: float) -> list[Effect]:
        """Cut what is pending and order everything new to be stored."""
        self.reaper.look(now)
        self._hashable = min(self.hashed, self._hashable + self.hashed * max(0.0, now - self._hashable_at))
        self._hashable_at = now
        self.flush()
        return self.out.take()

    def ask(self, seq: int, now: float) -> list[Effect]:
        """Publish, and ask the peers who has applied own operation `seq`; commit first. See `acked`."""
        self.acks.want(self.lives.current(seq), now)
        return self.out.take()

    def acked(self, seq: int, now: float) -> int:
        """How many peers are known to have applied own operation `seq`, of those that are online."""
        seq = self.lives.current(seq)
        return sum(peer.acked >= seq and peer.state(now) == "online" for peer in self.peers.by_name.values())

    def sync(self, now: float) -> list[Effect]:
        """Publish what is stored and say HELLO now."""
        self.publish(now)
        self.greeting.say(now)
        return self.out.take()

    def presence(self, online: bool, everywhere: bool = False) -> bytes:
        """The retained message that says we are here, or (at the end) gone; of this space, or of all (a last will)."""
        return messages.encode(Presence(self.session, online, everywhere))

    def farewell(self) -> list[Effect]:
        """Publish what is stored, and say goodbye."""
        self.publish(0.0)
        self.out.send(Lane.PRESENCE, None, Presence(self.session, False))
        return self.out.take()

    def converged(self, now: float) -> bool:
        """Nothing pending or held, and no online peer's last HELLO differs."""
        if self.dirty or len(self.held) or self.stored < self.batch:
            return False
        return all(
            p.heard and p.vector_hash == self.view.vector_hash and not p.diverged for p in self.peers.online(now)
        )

    # -- commits ----------------------------------------------------------------------------------------------------

    def _standing(self) -> View:
        state = self.state
        known = state.backlog <= self._hashable
        if known:
            self._hashable -= state.backlog
        return View(state.me.applied, state.vector_hash, state.vector_sum, state.hash if known else None, state.actor)

    def _stand(self, view: View) -> None:
        """This is where the replica stands; if its hash is unknown, the next round finds it."""
        self.view = view
        if view.state_hash is None and self._hash_at == NEVER:
            self._hash_at = self._hash_pause

    def _catch_up(self, now: float) -> None:
        """Hash a slice of what commits have left. A round hashes as much as there was when it began, so that who writes
        without end does not keep it going; it tells the hash of where the replica stands, or leaves so little that the
        next commit does.
        """
        view, state = self.view, self.state
        self._hash_at = self._hash_pause = now + HASH_PAUSE  # also if what follows shows a defect
        self._hash_left = (self._hash_left or state.unhashed()) - self.hash_slice
        if state.hash_some(self.hash_slice) and state.vector_hash == view.vector_hash and state.dot == state.cut_dot:
            view = replace(view, state_hash=state.hash)
        if self._hash_left > 0 and state.backlog:
            self._hash_at = now
            return
        self._hash_left, self._hash_at = 0, NEVER
        self._stand(view)

    def restate(self) -> None:
        """The hash of the state was put right: say so from now on, also where commits that are under way stand."""
        self._views = {n: (replace(view, state_hash=None), fresh) for n, (view, fresh) in self._views.items()}
        if self.stored == self.batch:
            self._stand(self._standing())

    def cut(self) -> int:
        """Make a frame of what is pending, for the next commit to store. Bytes of it; 0 if there was nothing."""
        frame = self.state.cut()
        if frame is None:
            return 0
        self.merging.follow(frame)
        data = encode_frame(frame)
        self.intake.unsaved.append(LogFrame(frame.actor, frame.first, frame.last, data))
        line_up(self._fresh, frame, data)
        return len(data)

    def flush(self, floors: dict[Actor, int] | None = None) -> None:
        """Cut, and order everything new to be stored. `floors`: what a snapshot that was just joined has taught."""
        self.cut()
        if not self.intake.unsaved and floors is None:
            return
        self.batch += 1
        self._views[self.batch] = (self._standing(), self._fresh)
        frames, self.intake.unsaved, self._fresh = tuple(self.intake.unsaved), [], []
        self.out.order(Persist(self.batch, frames, tuple(sorted((floors or {}).items())), floors is not None))

    def _on_persisted(self, batch: int, now: float) -> None:
        self.stored, before = max(self.stored, batch), self.view.vector_sum
        for number in [n for n in sorted(self._views) if n <= batch]:
            view, fresh = self._views.pop(number)
            self._stand(view)
            if self.connected:
                self._unsent.add(fresh)
        if self.tuning.bridges and self.view.vector_sum > before and self.connected:
            self.greeting.soon(now)  # what came through one broker may be news to those behind another
        self.moments.note(self.view.vector_sum, now)
        if not self.connected:
            self._unsent.clear()  # the log has them: whoever lacks them will ask
        elif self._unsent and self.tuning.interval == 0:
            self.publish(now)
        elif self._unsent:
            # The first write after a pause leaves at once, what follows waits for the interval to be over.
            self._publish_at = min(self._publish_at, max(now, self._published + self.tuning.interval))
        if self.acks.at == NEVER:
            self.acks.ask(now)
        self.acks.answer()
        self.serving.persisted(now)
        self.healing.persisted()

    def witness(self, seq: int) -> None:
        """Own operations up to `seq` are about to leave."""
        if seq:
            self.out.order(Witness(seq))

    # -- publishing -------------------------------------------------------------------------------------------------

    def publish(self, now: float) -> None:
        """Send what is stored and was not sent yet to everybody."""
        while self._publish_some(now):
            pass

    def _publish_some(self, now: float) -> bool:
        """Send as many frames as go into one message, or the pieces of one. True if there is more to send: a Tick is
        due at once for the rest of them, an interval later for what was stored since the first of them left.
        """
        self._publish_at = NEVER
        if not self._unsent or not self.connected:
            self._unsent.clear()
            return False
        self.witness(self._unsent.last(self.state.actor))
        if not self._unsent.leaving:
            self._published = now
        frames = self._unsent.take()
        self.intake.expect(frames)
        self.counts["frames_out"] += len(frames)
        self.out.publish(frames)
        if self._unsent.leaving:
            self._publish_at = now
        else:
            self.greeting.soon(now)
            if self._unsent:
                self._publish_at = self._published + self.tuning.interval
        return bool(self._unsent)

    def send_hello(self, to: str | None, asked: tuple[str, ...]) -> None:
        """Tell everybody, or one peer, where we stand, and ask some who has applied what."""
        view = self.view
        hello = Hello(
            view.actor, self.session, view.seq, view.vector_hash, view.vector_sum, view.state_hash,
            self.state.clock.wall_ms, int(self.hello_period * 1000), self.acks.seq if asked else 0, asked,
        )  # fmt: skip
        self.out.send(Lane.HELLO if to is None else Lane.INBOX, to, hello)

    # -- time -------------------------------------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        self.connected = True
        self.lives.connected()
        self.out.send(Lane.PRESENCE, None, Presence(self.session, True))
        self.out.send(Lane.INBOX, self.name, Probe(self.session))
        self.greeting.connected(now)
        if self._unsent:
            self._publish_at = now
        self.acks.ask(now)

    def _on_disconnected(self, session: int) -> None:
        self.connected = False
        self.session = session or self.rng.getrandbits(63)
        self._publish_at = self.acks.at = NEVER
        self.greeting.disconnected()
        self.recovery.clear()
        self.serving.clear()
        self.healing.clear()

    def _on_tick(self, now: float) -> None:
        if now >= self._publish_at:
            self._publish_some(now)
        if now >= self.acks.at:
            self.acks.ask(now)
        if self.greeting.tick(now):
            for _ in range(self.held.expire(now - self.tuning.held_time)):
                self.drop("held_time")
            asking = self.recovery.asking
            self.pieces.expire(now - self.tuning.held_time, asking.peer if asking is not None else "")
            self.merging.tidy()
        if self.busy:
            return  # what we would ask for may be among what is being taken in
        self.recovery.tick(now)
        self.serving.tick(now)
        self.healing.tick(now)
        self.reaper.tick(now)
        if now >= self._hash_at:
            self._catch_up(now)

    # -- what peers say -----------------------------------------------------------------------------------------------

    def _on_received(self, event: Received, now: float) -> None:
        self._addressed = event.inbox
        self.lives.heard()
        try:
            message = messages.decode(event.data, event.sender)
            _HANDLERS[type(message)](self, event.sender, message, now)
        except PeerError as error:
            self.drop(error.reason)

    def heard(self, sender: str, now: float) -> Peer:
        """Anything came from this peer: it is here."""
        peer = self.peers.get(sender, now)
        if peer.state(now) != "online":
            peer.here_since = now
            self.peers.here += 1
        peer.last_seen, peer.offline = now, False
        return peer

    def drop(self, reason: str) -> None:
        """A peer's message, or a part of it, is worth nothing: count it."""
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def _on_delta(self, sender: str, message: Delta, now: float) -> None:
        if sender != self.name:
            self.heard(sender, now)
        self.intake.take_in(sender, message, now)

    def _on_ack(self, sender: str, message: Ack, now: float) -> None:
        peer = self.heard(sender, now)
        peer.vector_sum = max(peer.vector_sum, message.vector_sum)
        self.acks.heard(peer, message)

    def _on_pull(self, sender: str, message: Pull, now: float) -> None:
        have, state = message.vector, self.state
        if sender == self.name and self.recovery.questions.is_own(message):
            return
        peer = self.heard(sender, now)
        if have.get(state.actor, 0) > state.me.applied:
            self.lives.claimed(now)
        ahead = [actor for actor, n in have.items() if n > state.applied(actor)]
        if ahead:
            own = all(actor == peer.actor for actor in ahead)  # which it may not have published yet
            self.recovery.suspect(sender, now + (self.patience if own else self.transit), sure=True)
        elif message.whole:
            peer.differs_since = None  # it differs because it lacks, and has asked
        if message.whole:
            peer.vector_sum = max(peer.vector_sum, sum(have.values()))
            self.vectors.learn(sender, have)
        self.serving.answer(sender, message, now)

    def _on_repair(self, sender: str, message: Repair, now: float) -> None:
        peer = self.heard(sender, now)
        peer.vector_sum = max(peer.vector_sum, message.vector_sum)
        self.intake.take_in(sender, message, now)

    def _on_piece(self, sender: str, message: Piece, now: float) -> None:
        self.heard(sender, now)
        if message.stream in self.serving:
            return  # for a second daemon under our name
        if message.stream >= messages.RESERVED:
            self.recovery.on_list_part(sender, message, now)
            return
        known = message.stream == messages.FRAME and message.seq <= self.state.applied(message.actor)
        before = self.pieces.taken
        data = None if known else self.pieces.add(sender, message, now)
        if self._addressed and self.pieces.taken > before:
            self.recovery.brought(sender, len(message.data), now, part=True)
        if message.stream == messages.FRAME:
            if data is not None:
                self.intake.offer(sender, data, now, first_hand=not self._addressed)
                self.acks.answer()
            if self._addressed:
                self.recovery.on_frame_piece(sender, now)
        elif message.stream == messages.ROW:
            self.recovery.on_row_piece(sender, message, data, now)
        elif data is not None:
            letter = messages.decode(data)
            if isinstance(letter, Pull | Want | Differ):
                _HANDLERS[type(letter)](self, sender, letter, now)

    def _on_more(self, sender: str, message: More, now: float) -> None:
        self.heard(sender, now)
        self.serving.on_more(sender, message, now)

    def _on_want(self, sender: str, message: Want, now: float) -> None:
        self.heard(sender, now)
        self.serving.on_want(sender, message, now)

    def _on_rows(self, sender: str, message: Rows, now: float) -> None:
        self.heard(sender, now)
        self.recovery.on_rows(sender, message, now)


_HANDLERS: Final[dict[type[Any], Callable[[Replica, str, Any, float], None]]] = {
    Delta: Replica._on_delta,
    Ack: Replica._on_ack,
    Pull: Replica._on_pull,
    Repair: Replica._on_repair,
    Piece: Replica._on_piece,
    More: Replica._on_more,
    Want: Replica._on_want,
    Rows: Replica._on_rows,
    Hello: lambda replica, sender, message, now: replica.hearing.on_hello(sender, message, now),
    Presence: lambda replica, sender, message, now: replica.attendance.on_presence(sender, message, now),
    Probe: lambda replica, sender, message, now: replica.attendance.on_probe(sender, message, now),
    Taken: lambda replica, sender, message, now: replica.attendance.on_taken(sender, message, now),
    Compare: lambda replica, sender, message, now: replica.healing.on_compare(sender, message, now),
    Differ: lambda replica, sender, message, now: replica.healing.on_differ(sender, message, now),
}
