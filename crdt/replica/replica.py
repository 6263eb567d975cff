"""The replica engine: what one daemon says to its peers, and what it makes of what they say.

Knows: one State, its peers, the messages. Promises: given the same events it orders the same effects; every queue is
bounded; nothing a peer sends can change state without being checked, or stop the stream.
Must not know: sockets, disks, clocks, dice (time is an argument, the generator is injected).

The protocol, as a story. A daemon cuts its pending operations into a frame at each commit, stores it, and once per
interval publishes what is new and stored as DELTA. Peers apply a frame as soon as they have what its author had; one
that comes too early is held. DELTA may get lost, so every daemon says HELLO now and then: how far its own operations
go, a hash and the sum of its vector, a hash of its state. Whoever learns that a peer has more waits a moment (the
missing frames may be under way), then asks that one peer: PULL with its own vector. The answer is REPAIR, the frames it
lacks in the answerer's log order, or a snapshot in pieces where the log no longer reaches back. From the vector in the
PULL the answerer learns what it lacks itself, and pulls back. Nothing here is needed for correctness in any order or
number: frames are idempotent, and whatever is lost is asked for again.

Effects are returned in the order in which they must be carried out (see effects.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from crdt.codec import decode_frame, encode_frame
from crdt.dots import MASK_64, Actor, dominates
from crdt.errors import PeerError
from crdt.frame import Frame, merge
from crdt.replica import messages
from crdt.replica.effects import Alarm, Effect, Lane, LogFrame, Notify, Persist, Send, Witness
from crdt.replica.events import Connected, Disconnected, Event, Persisted, Received, Tick
from crdt.replica.held import Held
from crdt.replica.messages import Ack, Delta, Hello, Message, More, Piece, Presence, Probe, Pull, Repair, Taken
from crdt.replica.peers import Peer, Peers
from crdt.replica.pieces import Assembly, Pieces, cut_up
from crdt.replica.ports import LogReader
from crdt.replica.snapshot import decode_snapshot, encode_snapshot
from crdt.replica.tuning import Tuning
from crdt.state import State

HEADROOM: Final = 256  # of a message, for its own fields
ASKED_AT_ONCE: Final = 16
MAX_RETRIES: Final = 10  # of silent pieces, before another peer is asked
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class View:
    """Where the replica stood at a commit: the only thing it ever says of itself."""

    seq: int
    vector_hash: int
    vector_sum: int
    state_hash: int


@dataclass(slots=True)
class Asking:
    """The PULL that is under way, and the snapshot that answers it, if one does."""

    peer: str
    deadline: float
    stream: int = 0
    assembly: Assembly | None = None
    retries: int = 0


@dataclass(slots=True)
class Transfer:
    """A snapshot on its way to a peer; it may leave once `batch` is stored."""

    peer: str
    batch: int
    pieces: list[Piece]
    sent: int
    deadline: float


class Replica:
    """See the module. `log` is what was persisted, `session` names this run of the daemon."""

    def __init__(self, state: State, log: LogReader, rng: Random, tuning: Tuning | None = None) -> None:
        self.state = state
        self.log = log
        self.rng = rng
        self.tuning = tuning or Tuning()
        self.session = rng.getrandbits(63)
        self.peers = Peers()
        self.held = Held(self.tuning.held_bytes)
        self.pieces = Pieces(self.tuning.held_bytes)
        self.connected = False
        self.acknowledged = False  # a client was promised a write since the start
        self.batch = self.stored = 0  # last ordered and last confirmed Persist
        self.view = self._view()
        self.drops: dict[str, int] = {}
        self.counts = {
            "frames_in": 0,
            "frames_out": 0,
            "records": 0,
            "repairs": 0,
            "snapshots": 0,
            "divergences": 0,
            "duplicates": 0,
        }
        self._unsaved: list[LogFrame] = []
        self._floors: dict[Actor, int] = {}
        self._joined = False
        self._fresh: list[tuple[Frame, bytes]] = []  # own frames of the commit that is being put together
        self._views: dict[int, tuple[View, list[tuple[Frame, bytes]]]] = {}
        self._unsent: list[tuple[Frame, bytes]] = []
        self._asking: Asking | None = None
        self._transfers: dict[int, Transfer] = {}
        self._pull_at: dict[str, float] = {}
        self._owed: dict[str, tuple[Actor, int]] = {}  # peers that asked how far we are with them
        self._ask_seq = 0
        self._publish_at = self._hello_at = self._ask_at = NEVER
        self._out: list[Effect] = []

    # -- the door ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The replica's name in the space."""
        return self.state.actor.name

    @property
    def dirty(self) -> bool:
        """Whether a commit would have something to store."""
        return self.state.dot != self.state.cut_dot or bool(self._unsaved) or bool(self.state.orphans)

    @property
    def deadline(self) -> float:
        """When the shell should send the next Tick, in its own seconds; infinity if nothing is due."""
        pulls = min(self._pull_at.values(), default=NEVER) if self._asking is None else self._asking.deadline
        transfers = min((t.deadline for t in self._transfers.values()), default=NEVER)
        return min(self._publish_at, self._hello_at, self._ask_at, pulls, transfers)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What to do about something that happened. `now` is monotonic, in seconds."""
        match event:
            case Received():
                self._on_received(event, now)
            case Tick():
                self._on_tick(now)
            case Persisted():
                self._on_persisted(event.batch, now)
            case Connected():
                self._on_connected(now)
            case Disconnected():
                self.connected = False
                self._publish_at = self._hello_at = self._ask_at = NEVER
        return self._take()

    def commit(self, now: float) -> list[Effect]:
        """Cut what is pending and order everything new to be stored."""
        self._commit()
        if self.connected and self._publish_at == NEVER and self._views and self.tuning.interval:
            self._publish_at = now + self.tuning.interval
        return self._take()

    def ask(self, seq: int, now: float) -> list[Effect]:
        """Publish, and ask the peers who has applied own operation `seq`; commit first. See `acked`."""
        self._ask_seq = max(self._ask_seq, seq)
        self._ask_at = now
        if self.view.seq >= seq:
            self._on_tick(now)
        return self._take()

    def acked(self, seq: int) -> int:
        """How many peers are known to have applied own operation `seq`."""
        return sum(peer.acked >= seq for peer in self.peers.by_name.values())

    def sync(self, now: float) -> list[Effect]:
        """Publish what is stored and say HELLO now."""
        self._publish()
        self._hello(now)
        return self._take()

    def presence(self, online: bool) -> bytes:
        """The retained message that says we are here, or (as the last will, and at the end) gone."""
        return messages.encode(Presence(self.session, online))

    def farewell(self) -> list[Effect]:
        """Publish what is stored, and say goodbye."""
        self._publish()
        self._send(Lane.PRESENCE, None, Presence(self.session, False))
        return self._take()

    def converged(self, now: float) -> bool:
        """Nothing pending or held, and no online peer's last HELLO differs."""
        if self.dirty or len(self.held) or self.stored < self.batch:
            return False
        return all(
            p.heard and p.vector_hash == self.view.vector_hash and not p.diverged for p in self.peers.online(now)
        )

    def _take(self) -> list[Effect]:
        out, self._out = self._out, []
        return out

    # -- commits ----------------------------------------------------------------------------------------------------

    def _view(self) -> View:
        state = self.state
        return View(state.me.applied, state.vector_hash, state.vector_sum, state.hash)

    def _commit(self) -> None:
        frame = self.state.cut()
        if frame is not None:
            data = encode_frame(frame)
            self._unsaved.append(LogFrame(frame.actor, frame.first, frame.last, data))
            self._fresh.append((frame, data))
        if not self._unsaved and not self._joined:
            return
        self.batch += 1
        self._views[self.batch] = (self._view(), self._fresh)
        self._out.append(Persist(self.batch, tuple(self._unsaved), tuple(sorted(self._floors.items())), self._joined))
        self._unsaved, self._fresh, self._floors, self._joined = [], [], {}, False

    def _on_persisted(self, batch: int, now: float) -> None:
        self.stored = max(self.stored, batch)
        for number in [n for n in sorted(self._views) if n <= batch]:
            self.view, fresh = self._views.pop(number)
            self._unsent += fresh
        if self._unsent and self.connected:
            if self.tuning.interval == 0:
                self._publish()
            elif self._publish_at == NEVER:
                self._publish_at = now + self.tuning.interval
        elif not self.connected:
            self._unsent.clear()  # the log has them: whoever lacks them will ask
        if 0 < self._ask_seq <= self.view.seq and self._ask_at <= now:
            self._on_tick(now)
        self._answer_owed()
        for stream, transfer in list(self._transfers.items()):
            if transfer.batch <= batch and transfer.sent == 0:
                self._advance_transfer(stream, 0, now)

    # -- publishing -------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        self._publish_at = NEVER
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, []
        if not self.connected:
            return
        self._out.append(Witness(unsent[-1][0].last))
        room = self.tuning.max_message - HEADROOM
        self._send_frames(Lane.DELTA, None, self._merged(unsent, room), Delta)

    def _merged(self, frames: list[tuple[Frame, bytes]], room: int) -> list[tuple[Frame, bytes]]:
        """Adjacent frames of which the later saw nothing new, as one, while the message has room for it."""
        out: list[tuple[Frame, bytes]] = []
        run: list[tuple[Frame, bytes]] = []
        size = 0
        for frame, data in frames:
            if run and (frame.deps or size + len(data) > room):
                out.append(_one(run))
                run, size = [], 0
            run.append((frame, data))
            size += len(data)
        out.append(_one(run))
        return out

    def _send_frames(
        self, lane: Lane, to: str | None, frames: list[tuple[Frame, bytes]], make: Callable[[list[bytes]], Message]
    ) -> None:
        """Frames in as few messages as fit, those that are too large in pieces, all in order."""
        room = self.tuning.max_message - HEADROOM
        batch: list[bytes] = []
        size = 0
        for frame, data in frames:
            self.counts["frames_out"] += 1
            if batch and size + len(data) + 5 > room:
                self._send(lane, to, make(batch))
                batch, size = [], 0
            if len(data) + 5 > room:
                for piece in cut_up(data, room, 0, frame.actor, frame.last):
                    self._send(lane, to, piece)
            else:
                batch.append(data)
                size += len(data) + 5
        if batch:
            self._send(lane, to, make(batch))

    def _send(self, lane: Lane, to: str | None, message: Message) -> None:
        self._out.append(Send(lane, to, messages.encode(message)))

    def _hello(self, now: float) -> None:
        view, period = self.view, self.tuning.hello_period(len(self.peers.by_name))
        asked: tuple[str, ...] = ()
        if 0 < self._ask_seq <= view.seq:
            waiting = [p for p in self.peers.online(now) if p.acked < self._ask_seq]
            waiting.sort(key=lambda p: (-p.last_seen, p.name))
            asked = tuple(p.name for p in waiting[:ASKED_AT_ONCE])
        self._send(
            Lane.HELLO,
            None,
            Hello(
                self.state.actor, self.session, view.seq, view.vector_hash, view.vector_sum, view.state_hash,
                self.state.clock.wall_ms, int(period * 1000), self._ask_seq if asked else 0, asked,
            ),
        )  # fmt: skip
        self._hello_at = now + period * self.rng.uniform(0.75, 1.25)

    # -- time -------------------------------------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        self.connected = True
        self._send(Lane.PRESENCE, None, Presence(self.session, True))
        self._send(Lane.INBOX, self.name, Probe(self.session))
        spread = max(self.tuning.interval, 0.05) * max(1.0, len(self.peers.by_name) / self.tuning.crowd)
        self._hello_at = now + self.rng.uniform(0, spread)  # no stampede after a broker's restart
        if self._unsent:
            self._publish_at = now

    def _on_tick(self, now: float) -> None:
        if now >= self._publish_at or (self._ask_at <= now and self._unsent):
            self._publish()
            if self._hello_at > now + 2 * self._patience():
                self._hello_at = (
                    now + 2 * self._patience()
                )  # tell the end of a burst soon: its last message may be lost
        if self._ask_at <= now and self.connected:
            self._ask_again(now)
        if now >= self._hello_at:
            self.held.expire(now - self.tuning.held_time)
            self.pieces.expire(now - self.tuning.held_time)
            self._hello(now)
        self._pull(now)
        for stream in [s for s, t in self._transfers.items() if t.deadline <= now]:
            del self._transfers[stream]

    def _ask_again(self, now: float) -> None:
        waiting = any(peer.acked < self._ask_seq for peer in self.peers.online(now))
        if self._ask_seq > self.view.seq:
            return  # Persisted will come back to it
        self._ask_at = NEVER
        if waiting:
            self._hello(now)
            self._ask_at = now + max(0.25, self._patience())
        else:
            self._ask_seq = 0

    def _patience(self) -> float:
        """How long a frame may be under way before it counts as lost."""
        return max(2 * self.tuning.interval, 0.05)

    # -- what peers say ---------------------------------------------------------------------------------------------

    def _on_received(self, event: Received, now: float) -> None:
        try:
            message = messages.decode(event.data)
            if event.sender == self.name and not isinstance(message, Probe | Taken | Presence):
                return  # a second daemon under our name, or an echo of our own: the probe tells which
            _HANDLERS[type(message)](self, event.sender, message, now)
        except PeerError as error:
            self._drop(error.reason)

    def _drop(self, reason: str) -> None:
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def _on_delta(self, sender: str, message: Delta, now: float) -> None:
        for data in message.frames:
            self._offer(sender, data, now, first_hand=True)
        self._answer_owed()

    def _offer(self, sender: str, data: bytes, now: float, first_hand: bool) -> None:
        """A frame came: apply it, hold it, or drop it. A malformed one does not stop those after it."""
        try:
            frame = decode_frame(data)
            if first_hand:
                self._check_origin(sender, frame)
        except PeerError as error:
            self._drop(error.reason)
            return
        self.counts["frames_in"] += 1
        if frame.actor == self.state.actor:
            if frame.last > self.state.seq:
                self._fork()
            return
        if frame.last <= self.state.applied(frame.actor):
            self.counts["duplicates"] += 1
        elif self.state.ready(frame):
            self._apply(frame, data)
            self._release()
        else:
            if not self.held.add(frame, data, now):
                self._drop("held_full")
            self._suspect(sender, now + self._patience())

    def _check_origin(self, sender: str, frame: Frame) -> None:
        if frame.actor.name != sender:
            raise PeerError("forged", f"frame of {frame.actor.name} on the topic of {sender}")
        known = frame.actor in self.state.indexes
        if not known and len(self.state.indexes) >= self.tuning.actors:
            raise PeerError("actors", "limits.actors reached")

    def _apply(self, frame: Frame, data: bytes) -> None:
        refused = self.state.clock.refused
        changes = self.state.apply(frame)
        assert changes is not None
        self.counts["records"] += frame.adds()
        if self.state.clock.refused > refused:
            self._out.append(
                Alarm("clock", f"{frame.actor.name}'s clock is far ahead of ours; check the time on both hosts")
            )
        self._unsaved.append(LogFrame(frame.actor, frame.first, frame.last, data))
        if changes:
            self._out.append(Notify(tuple(changes)))

    def _release(self) -> None:
        """Apply what was waiting for the frame just applied, and what waited for that."""
        progress = bool(len(self.held))
        while progress:
            progress = False
            for held in self.held:
                if held.frame.last <= self.state.applied(held.frame.actor):
                    self.held.remove(held)
                elif self.state.ready(held.frame):
                    self.held.remove(held)
                    self._apply(held.frame, held.data)
                    progress = True

    def _fork(self) -> None:
        """A peer knows more of us than we do: our disk is not what it was. Go on as a new actor, and say so."""
        self._commit()
        old = self.state.actor
        self.state.become(Actor(old.name, self.rng.getrandbits(64) & MASK_64))
        text = f"peers know operations of {old} that this disk does not hold; going on as {self.state.actor}"
        self._out.append(Alarm("fork", text))

    def _on_hello(self, sender: str, message: Hello, now: float) -> None:
        if message.actor.name != sender:
            raise PeerError("forged", f"HELLO of {message.actor.name} on the topic of {sender}")
        peer = self.peers.get(sender, now)
        met = peer.session != message.session or not peer.heard or peer.state(now) != "online"
        if peer.session != message.session:
            peer.acked = 0
        peer.actor, peer.session, peer.heard, peer.offline, peer.last_seen = (
            message.actor,
            message.session,
            True,
            False,
            now,
        )
        peer.period = min(max(message.period_ms / 1000, 0.05), 3600.0)
        peer.seq, peer.vector_hash, peer.vector_sum = message.seq, message.vector_hash, message.vector_sum
        peer.state_hash, peer.skew_ms = message.state_hash, message.wall_ms - self.state.clock.wall_ms
        self._compare(peer, met, now)
        if self.name in message.asked:
            self._owed[sender] = (message.actor, message.ask)
            self._answer_owed()

    def _compare(self, peer: Peer, met: bool, now: float) -> None:
        view, state = self.view, self.state
        if peer.vector_hash == view.vector_hash:
            self._pull_at.pop(peer.name, None)
            peer.ahead_since = peer.lag_since = None
            peer.acked = max(peer.acked, view.seq)
            self._check_divergence(peer)
            return
        if peer.vector_hash != state.vector_hash and peer.actor is not None:
            lacks = peer.seq > state.applied(peer.actor)
            if lacks or met or peer.vector_sum >= view.vector_sum:
                peer.ahead_since = peer.ahead_since or now
                self._suspect(peer.name, now + (self._patience() if lacks or met else peer.period))
        if peer.vector_sum < view.vector_sum:
            peer.lag_since = peer.lag_since or now

    def _check_divergence(self, peer: Peer) -> None:
        diverged = peer.state_hash != self.view.state_hash
        if diverged and not peer.diverged:
            self.counts["divergences"] += 1
            text = f"{peer.name} has applied the same operations but holds other rows: a defect, please report it"
            self._out.append(Alarm("divergence", text))
        peer.diverged = diverged

    def _answer_owed(self) -> None:
        """ACK to those who asked, as far as we are (and have stored it, where we promise so)."""
        ready = not self.dirty and self.stored == self.batch if self.tuning.durable else True
        for sender, (actor, seq) in list(self._owed.items()):
            applied = self.state.applied(actor)
            if applied >= seq and ready:
                del self._owed[sender]
                self._send(Lane.INBOX, sender, Ack(actor, applied, self.view.vector_sum))

    def _on_ack(self, sender: str, message: Ack, now: float) -> None:
        peer = self._heard(sender, now)
        peer.vector_sum = max(peer.vector_sum, message.vector_sum)
        if message.actor == self.state.actor:
            peer.acked = max(peer.acked, message.seq)

    def _heard(self, sender: str, now: float) -> Peer:
        peer = self.peers.get(sender, now)
        peer.last_seen, peer.offline = now, False
        return peer

    def _on_presence(self, sender: str, message: Presence, now: float) -> None:
        if sender == self.name:
            if message.session != self.session and not message.online and self.connected:
                self._send(Lane.PRESENCE, None, Presence(self.session, True))  # the late will of a session before ours
            return
        peer = self.peers.by_name.get(sender)
        if message.online:
            self._heard(sender, now)
        elif peer is not None and peer.session in (0, message.session):
            peer.offline = True
            self._pull_at.pop(sender, None)

    def _on_probe(self, sender: str, message: Probe, now: float) -> None:
        if sender == self.name and message.session != self.session:
            self._send(Lane.INBOX, self.name, Taken(message.session, self.session, self.acknowledged))
            self._out.append(
                Alarm(
                    "name_shared",
                    f"another daemon named {self.name!r} started in this space; give it a name of its own",
                )
            )

    def _on_taken(self, sender: str, message: Taken, now: float) -> None:
        if sender == self.name and message.probed == self.session and message.session != self.session:
            code = "name_shared" if self.acknowledged else "name_taken"
            self._out.append(
                Alarm(code, f"a live daemon named {self.name!r} is in this space already; choose another --name")
            )

    # -- repair -----------------------------------------------------------------------------------------------------

    def _suspect(self, name: str, at: float) -> None:
        """This peer seems to have what we lack: ask it at that time, unless it has come by then."""
        crowd = max(1.0, len(self.peers.by_name) / self.tuning.crowd)
        at += self.rng.uniform(0, self._patience() * crowd)
        self._pull_at[name] = min(at, self._pull_at.get(name, NEVER))

    def _pull(self, now: float) -> None:
        asking = self._asking
        if asking is not None:
            if now < asking.deadline:
                return
            if asking.assembly is not None and asking.retries < MAX_RETRIES:
                asking.retries += 1
                self._ask_pieces(asking, asking.assembly, now)
                return
            self._asking = None
            self._suspect(asking.peer, now + self.tuning.pull_timeout)
        if not self.connected:
            self._pull_at.clear()
            return
        due = sorted((at, name) for name, at in self._pull_at.items() if at <= now)
        for _, name in due:
            del self._pull_at[name]
            peer = self.peers.by_name.get(name)
            if peer is None or peer.offline or (peer.heard and peer.vector_hash == self.state.vector_hash):
                continue
            self._ask_peer(name, now)
            break

    def _ask_pieces(self, asking: Asking, assembly: Assembly, now: float) -> None:
        """No piece has come for a while: name those of the window that are missing."""
        asking.deadline = now + max(0.5, self._patience()) * min(asking.retries, 4)
        index = assembly.next_missing()
        window = range(index, min(index + self.tuning.window, assembly.total))
        lost = [i for i in window if i not in assembly.parts]
        self._send(Lane.INBOX, asking.peer, More(asking.stream, index, lost))

    def _ask_peer(self, name: str, now: float) -> None:
        self._asking = Asking(name, now + self.tuning.pull_timeout)
        self._send(Lane.INBOX, name, Pull(self.state.vector(), self.tuning.repair_budget))

    def _on_pull(self, sender: str, message: Pull, now: float) -> None:
        peer = self._heard(sender, now)
        have = message.vector
        peer.acked = max(peer.acked, have.get(self.state.actor, 0))
        peer.vector_sum = max(peer.vector_sum, sum(have.values()))
        if have.get(self.state.actor, 0) > self.state.seq:
            self._fork()
        if any(n > self.state.applied(actor) for actor, n in have.items()):
            self._suspect(sender, now + self._patience())
        if not dominates(have, self.log.floor()):
            self._offer_snapshot(sender, have, now)
            return
        frames, complete = self.log.missing(have, min(message.budget, self.tuning.repair_budget))
        self.counts["repairs"] += 1
        if have.get(self.state.actor, 0) < self.view.seq:
            self._out.append(Witness(self.view.seq))
        self._send_repair(sender, frames, complete)

    def _send_repair(self, to: str, frames: list[bytes], complete: bool) -> None:
        room = self.tuning.max_message - HEADROOM
        batch: list[bytes] = []
        size = 0
        for data in frames:
            if len(data) + 5 > room:
                frame = decode_frame(data)
                for piece in cut_up(data, room, 0, frame.actor, frame.last):
                    self._send(Lane.INBOX, to, piece)
                continue
            if size + len(data) + 5 > room:
                self._send(Lane.INBOX, to, Repair(batch, False, False, self.view.vector_sum))
                batch, size = [], 0
            batch.append(data)
            size += len(data) + 5
        self._send(Lane.INBOX, to, Repair(batch, True, complete, self.view.vector_sum))

    def _on_repair(self, sender: str, message: Repair, now: float) -> None:
        peer = self._heard(sender, now)
        peer.vector_sum = max(peer.vector_sum, message.vector_sum)
        for data in message.frames:
            self._offer(sender, data, now, first_hand=False)
        self._answer_owed()
        asking = self._asking
        if asking is None or asking.peer != sender:
            return
        asking.deadline = now + self.tuning.pull_timeout
        if message.last:
            self._asking = None
            if message.complete:
                self._pull_at.pop(sender, None)
                peer.ahead_since = None
            else:
                self._ask_peer(sender, now)

    def _on_piece(self, sender: str, message: Piece, now: float) -> None:
        self._heard(sender, now)
        if message.stream == 0:
            data = self.pieces.add(sender, message, now)
            if data is not None:
                self._offer(sender, data, now, first_hand=message.actor.name == sender)
            if self._asking is not None and self._asking.peer == sender:
                self._asking.deadline = now + self.tuning.pull_timeout
            return
        self._on_snapshot_piece(sender, message, now)

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _offer_snapshot(self, to: str, base: dict[Actor, int], now: float) -> None:
        for stream in [stream for stream, transfer in self._transfers.items() if transfer.peer == to]:
            del self._transfers[stream]  # asking again, it has given that one up
        if len(self._transfers) >= self.tuning.transfers:
            return  # the asker will ask again, or ask another
        self._commit()
        self.counts["snapshots"] += 1
        data = encode_snapshot(self.state, base)
        stream = self.rng.getrandbits(63) | 1
        pieces = cut_up(data, self.tuning.max_message - HEADROOM, stream, self.state.actor, self.state.me.applied)
        self._transfers[stream] = Transfer(to, self.batch, pieces, 0, now + 10 * self.tuning.pull_timeout)
        if self.stored >= self.batch:
            self._advance_transfer(stream, 0, now)

    def _advance_transfer(self, stream: int, index: int, now: float) -> None:
        """The asker has everything below `index`: keep a window of pieces in flight."""
        transfer = self._transfers[stream]
        if index >= len(transfer.pieces):
            del self._transfers[stream]
            return
        transfer.deadline = now + 10 * self.tuning.pull_timeout
        if index == 0:
            self._out.append(Witness(self.state.me.applied))
        end = min(index + self.tuning.window, len(transfer.pieces))
        for piece in transfer.pieces[max(index, transfer.sent) : end]:
            self._send(Lane.INBOX, transfer.peer, piece)
        transfer.sent = max(transfer.sent, end)

    def _on_more(self, sender: str, message: More, now: float) -> None:
        transfer = self._transfers.get(message.stream)
        if transfer is not None and transfer.peer == sender and transfer.sent:
            for index in message.lost:
                if index < transfer.sent:
                    self._send(Lane.INBOX, sender, transfer.pieces[index])
            self._advance_transfer(message.stream, message.index, now)

    def _on_snapshot_piece(self, sender: str, message: Piece, now: float) -> None:
        asking = self._asking
        if asking is None or asking.peer != sender:
            return
        if asking.stream != message.stream or asking.assembly is None:
            if asking.stream and asking.assembly is not None and asking.assembly.parts and message.index:
                return  # of an earlier attempt
            asking.stream, asking.assembly = message.stream, Assembly(message.total, now)
        asking.assembly.add(message)
        asking.deadline, asking.retries = now + max(0.5, self._patience()), 0
        if asking.assembly.complete():
            self._send(Lane.INBOX, sender, More(message.stream, message.total, []))
            self._asking = None
            self._join(sender, asking.assembly.whole(), now)
        elif len(asking.assembly.parts) % max(1, self.tuning.window // 2) == 0:
            self._send(Lane.INBOX, sender, More(message.stream, asking.assembly.next_missing(), []))

    def _join(self, sender: str, data: bytes, now: float) -> None:
        snapshot = decode_snapshot(data)
        self._commit()
        state = self.state
        if snapshot.vector.get(state.actor, 0) > state.seq:
            self._fork()
        if not dominates(state.vector(), snapshot.base):
            self._suspect(sender, now)
            return
        taught = {actor: n for actor, n in snapshot.vector.items() if n > state.applied(actor)}
        changes = state.join(snapshot.vector, snapshot.live, snapshot.rows)
        if not taught:
            return
        self._floors.update(taught)
        self._joined = True
        self._commit()
        self._out.append(Notify(tuple(changes)))
        self._release()
        self._suspect(sender, now + self._patience())


def _one(run: list[tuple[Frame, bytes]]) -> tuple[Frame, bytes]:
    if len(run) == 1:
        return run[0]
    frame = merge(frame for frame, _ in run)
    return frame, encode_frame(frame)


_HANDLERS: Final[dict[type[Any], Callable[[Replica, str, Any, float], None]]] = {
    Delta: Replica._on_delta,
    Hello: Replica._on_hello,
    Ack: Replica._on_ack,
    Presence: Replica._on_presence,
    Pull: Replica._on_pull,
    Repair: Replica._on_repair,
    Piece: Replica._on_piece,
    More: Replica._on_more,
    Probe: Replica._on_probe,
    Taken: Replica._on_taken,
}
