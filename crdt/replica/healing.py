"""Divergence: peers that applied the same operations and hold other rows. Finding those rows, and making them equal.

Knows: which peer seems to hold other rows, the one comparison under way. Promises: nothing that is live anywhere is
lost, and it ends with equal hashes, over any loss of messages; one comparison at a time, in bounded messages and slices
of work; one replica of those that hold the same begins, the others wait to see it done; who never answered holds up
nobody who did (suspects.py); who makes up what differs makes us write no more than all there is once a minute
(pace.py); of daemons that share a name each is reached. Must not know: how rows are written anew (crdt/mending.py).

The asker walks over its own rows alone. COMPARE names parts of them (an actor, from, to) with the sum of their hashes;
the answer, DIFFER, says which sums are others there. What differs is divided, down to single rows; for those the
answerer says what it holds under that dot, and at which vector. Once the asker has applied all of that vector it knows:
a row of its own that the vector covers and the answerer lacks was lost there (or should have been removed here: nobody
can tell), and one with another content was spent twice. It writes these contents anew under dots of its own, in a frame
that removes the old dot and names the contents. The other side does the same with its own rows. Whoever applies such a
frame and holds yet another content under that dot writes it anew as well.

Machines that were cloned share a name, and with it an inbox: all of them hear a question. Only the one answers that had
said it holds other rows (its session names it). Else those that hold what the asker holds would answer for it that
nothing differs, the sooner the more of them there are, and it would never be reached.

So something that was deleted may come back; nothing live is lost. Two contents under an own dot mean that somebody else
writes under our name, a machine that was cloned with its memory: we go on as a new actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crdt.codec import encode_rows, rows_within
from crdt.dots import SEQ_MASK, Actor, dominates
from crdt.errors import PeerError
from crdt.frame import Group
from crdt.mending import content, live_between, recount, reissue, row_at, short, sum_between
from crdt.replica.effects import Alarm, Lane
from crdt.replica.messages import ALL, MAX_LIST, Compare, Differ
from crdt.replica.pace import Pace
from crdt.replica.peers import SILENT, Peer
from crdt.replica.suspects import Suspects

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

SLICE: Final = 16_384  # rows that are hashed for one message
WAYS: Final = 16  # a part that differs is divided into so many
ATTEMPTS: Final = 8  # of one question, or of waiting for what the answerer had applied
TRIES: Final = 2  # of the first question to one that never answered, while others wait
ANSWERS: Final = 16  # that wait for a commit

Part = tuple[Actor, int, int, int]  # actor, first, last, how many live rows that are
Item = tuple[Actor, int, int, int]  # actor, first, last, sum


@dataclass(slots=True)
class Comparing:
    """The comparison under way: `asked` were the parts in the last question, `parts` are still to be asked for."""

    peer: str
    session: int
    number: int
    deadline: float
    parts: list[Part]
    asked: list[Part]
    question: Compare
    singles: list[tuple[Actor, int, Group | None]] | None = None  # answered: own rows, and what stands there instead
    vector: dict[Actor, int] = field(default_factory=dict)  # of that answer
    attempts: int = 0
    written: int = 0


class Healing:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.comparing: Comparing | None = None
        self._suspects = Suspects(replica.peers.limit)
        self._pace = Pace()
        self._answers: list[tuple[int, str, Differ]] = []  # batch that has to be stored first, to whom, what

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        return self._suspects.next() if self.comparing is None else self.comparing.deadline

    def hello(self, peer: Peer, now: float) -> None:
        """A peer says that its vector is ours, and what the hash of its state is."""
        replica = self._replica
        if peer.state_hash is None or replica.view.state_hash is None:
            return  # too much is being written to tell; a later HELLO will
        if peer.state_hash == replica.view.state_hash:
            self._agrees(peer, now)
            return
        if not peer.diverged:
            replica.counts["divergences"] += 1
            text = f"{peer.name} has applied the same operations but holds other rows: a defect, please report it"
            replica.out.order(Alarm("divergence", f"{text}; what differs is written anew"))
        peer.diverged, peer.diverged_at = peer.session, now
        self._suspect(peer, now)

    def _agrees(self, peer: Peer, now: float) -> None:
        """It holds our rows. What another daemon under its name said of itself stands as long as that one is here."""
        if peer.diverged == peer.session or now - peer.diverged_at > SILENT * peer.period:
            peer.diverged = 0
        if not peer.diverged:
            self._suspects.drop(peer.name)

    def _suspect(self, peer: Peer, now: float) -> None:
        """Of those that hold what we hold the first by name begins."""
        replica, view = self._replica, self._replica.view
        if peer.name in self._suspects or (self.comparing is not None and self.comparing.peer == peer.name):
            return
        peers = replica.peers.by_name.values()  # thousands perhaps, at each HELLO of thousands: the quickest test first
        alike = (p for p in peers if p.state_hash == view.state_hash and p.vector_hash == view.vector_hash)
        rank = sum(p.name < replica.name and p.state(now) == "online" for p in alike)
        rank += peer.actor is not None and peer.actor < view.actor
        at = max(now, self._pace.until(peer.name)) + replica.transit * (2 * rank + replica.rng.uniform(1, 2))
        self._suspects.add(peer.name, at, replica.recovery.rank(peer.name))

    def believes(self, name: str, rows: int, now: float) -> bool:
        """Whether so many rows are written anew for what this peer, or author, says of them."""
        if self._pace.allows(name, rows, self._replica.state.live, now):
            return True
        self._replica.drop("claimed")
        return False

    def mended(self) -> None:
        """Others have written rows anew: see first whether that was all, at the next HELLO."""
        self._suspects.clear()

    def clear(self) -> None:
        """Nobody can be reached."""
        self.comparing = None
        self._suspects.clear()
        self._answers.clear()

    def tick(self, now: float) -> None:
        """Ask again what was not answered, or begin with the next peer."""
        if self.comparing is not None:
            if now >= self.comparing.deadline:
                self._overdue(self.comparing, now)
            return
        name = self._suspects.take(now)
        if name is not None:
            peer = self._replica.peers.by_name.get(name)
            if peer is not None and peer.diverged and not peer.offline:
                self._begin(peer, now)

    # -- asking -----------------------------------------------------------------------------------------------------

    def _begin(self, peer: Peer, now: float) -> None:
        replica, state = self._replica, self._replica.state
        replica.flush()
        parts = [(o.actor, 1, ALL, sum(map(len, o.chunks))) for o in state.actors.values() if o.chunks]
        if parts:
            number = replica.rng.getrandbits(63)
            question = Compare(number, peer.diverged, [])
            self.comparing = Comparing(peer.name, peer.diverged, number, now, parts, [], question)
            self._ask(self.comparing, now)

    def _ask(self, comparing: Comparing, now: float) -> None:
        """The next question, as large as a message and a slice of work allow."""
        replica = self._replica
        room, rows = replica.out.room, SLICE
        items: list[Item] = []
        comparing.asked, comparing.singles, comparing.attempts = [], None, 0
        while comparing.parts and len(items) < MAX_LIST:
            actor, first, last, count = comparing.parts[-1]
            room -= 4 * len(actor.name) + 48
            rows -= count if last < ALL else 0
            if items and (room < 0 or rows < 0):
                break
            comparing.asked.append(comparing.parts.pop())
            items.append((actor, first, last, self._sum(actor, first, last)))
        if items:
            comparing.question = Compare(comparing.number, comparing.session, items)
            self._send(comparing, now)
        else:
            self._finish(comparing)

    def _sum(self, actor: Actor, first: int, last: int) -> int:
        state = self._replica.state
        index = state.indexes.get(actor)
        if index is None:
            return 0
        owner = state.actors[index]
        if last != ALL:
            return sum_between(state, owner, first, last)
        state.hash_all()
        return short(owner.hash)

    def _send(self, comparing: Comparing, now: float) -> None:
        replica = self._replica
        comparing.attempts += 1
        timeout = replica.peers.get(comparing.peer, now).timeout(comparing.attempts, replica.tuning.pull_timeout)
        comparing.deadline = now + max(timeout, replica.transit)
        replica.out.send(Lane.INBOX, comparing.peer, comparing.question)

    def _overdue(self, comparing: Comparing, now: float) -> None:
        peer = self._replica.peers.get(comparing.peer, now)
        known = comparing.singles is not None or peer.compared == comparing.session
        if comparing.attempts >= (ATTEMPTS if known or not len(self._suspects) else TRIES):
            self._finish(comparing)  # a HELLO that still differs begins anew
        elif comparing.singles is None:
            self._send(comparing, now)
        else:
            self._judge(comparing, comparing.singles, now)

    def _finish(self, comparing: Comparing) -> None:
        self.comparing = None
        if comparing.written:
            text = f"wrote {comparing.written} rows anew that {comparing.peer} did not hold, or held otherwise"
            self._replica.out.order(Alarm("healed", text))

    def on_differ(self, sender: str, message: Differ, now: float) -> None:
        """An answer came."""
        peer, comparing = self._replica.heard(sender, now), self.comparing
        if comparing is None or (comparing.peer, comparing.number) != (sender, message.number):
            return
        answers = _checked(comparing.asked, message)
        peer.answers, peer.compared = True, comparing.session
        comparing.parts += comparing.asked[message.answered :]
        comparing.number = self._replica.rng.getrandbits(63)  # what comes twice was answered
        comparing.attempts, comparing.vector, comparing.singles = 0, message.vector, []
        self._replica.flush()
        for (actor, first, last, _), theirs in answers:
            if first == last:
                comparing.singles.append((actor, first, theirs))
            else:
                comparing.parts += self._divided(actor, first, last)
        self._judge(comparing, comparing.singles, now)

    def _divided(self, actor: Actor, first: int, last: int) -> list[Part]:
        """Smaller parts of one that differs; the books of an actor are checked on the occasion."""
        state = self._replica.state
        owner = state.actors[state.indexes[actor]]
        if last == ALL:
            if recount(state, owner):
                self._replica.restate()
            spans = [(c.dots[0] & SEQ_MASK, c.dots[-1] & SEQ_MASK, len(c)) for c in owner.chunks if len(c)]
            return [(actor, *span) for span in spans]
        live = live_between(owner, first, last)
        size = max(1, -(-len(live) // WAYS))
        runs = [live[i : i + size] for i in range(0, len(live), size)]
        return [(actor, run[0], run[-1], len(run)) for run in runs]

    # -- judging ----------------------------------------------------------------------------------------------------

    def _judge(self, comparing: Comparing, singles: list[tuple[Actor, int, Group | None]], now: float) -> None:
        """Write anew what is held here and not there, once everything is here that was applied there."""
        replica, state = self._replica, self._replica.state
        if singles and not dominates(state.vector(), comparing.vector):
            comparing.attempts += 1
            comparing.deadline = now + replica.transit
            replica.recovery.suspect(comparing.peer, now, sure=True)
            return
        replica.flush()
        found: list[tuple[Actor, int, list[Group]]] = []
        for actor, seq, theirs in singles:
            contents = self._contents(actor, seq, theirs) if seq <= comparing.vector.get(actor, 0) else []
            if contents:
                found.append((actor, seq, contents))
        if found and not self.believes(comparing.peer, len(found), now):
            self._finish(comparing)
            return
        clone = any(actor == state.actor and len(contents) > 1 for actor, _, contents in found)
        if clone and not replica.lives.claimed(now, True, "somebody else writes under our name"):
            self._finish(comparing)
            return
        for actor, seq, contents in found:
            owner = state.actors[state.indexes[actor]]
            if row_at(state, owner, seq) is not None:  # else it has just been written anew with all we wrote
                reissue(state, owner, seq, contents)
        comparing.written += len(found)
        replica.counts["healed"] += len(found)
        replica.flush()
        self._ask(comparing, now)

    def _contents(self, actor: Actor, seq: int, theirs: Group | None) -> list[Group]:
        """Everything that stands under this dot, ours first; empty if there is nothing to do."""
        state = self._replica.state
        owner = state.actors[state.indexes[actor]]
        mine = row_at(state, owner, seq)
        if mine is None or theirs is None:
            return [] if mine is None else [mine]
        return [] if content(owner, theirs) == content(owner, mine) else [mine, theirs]

    # -- answering --------------------------------------------------------------------------------------------------

    def on_compare(self, sender: str, message: Compare, now: float) -> None:
        """Say which of these sums are others here. What is said holds for the last commit, and waits for it."""
        replica, state = self._replica, self._replica.state
        replica.heard(sender, now)
        if message.session != replica.session:
            return  # for another daemon under our name, or our own
        if len(self._answers) >= ANSWERS:
            return
        if state.backlog > 4 * SLICE and any(last == ALL for _, _, last, _ in message.items):
            return  # the replica hashes all that in slices first; whoever asks does so again
        replica.flush()
        room, rows, answered = replica.out.room, 4 * SLICE, 0
        different: list[int] = []
        held: list[bytes] = []
        single = False
        for index, (actor, first, last, hashed) in enumerate(message.items):
            row, differs, cost = self._look(actor, first, last, hashed, rows)
            room, rows = room - len(row) - 10, rows - cost
            if index and min(room, rows) < 0:
                break
            answered += 1
            if differs:
                single |= first == last
                different.append(index)
                held.append(row)
        answer = Differ(message.number, answered, different)
        if single:
            answer = Differ(message.number, answered, different, state.vector(), held)
        self._answers.append((replica.batch, sender, answer))
        self.persisted()

    def _look(self, actor: Actor, first: int, last: int, hashed: int, most: int) -> tuple[bytes, bool, int]:
        """(the row here if it was asked for one that is another, whether the sums differ, how many rows that took)."""
        state = self._replica.state
        index = state.indexes.get(actor)
        if index is None:
            return b"", True, 0
        owner = state.actors[index]
        if first == last:
            row = row_at(state, owner, first)
            if row is None:
                return b"", True, 1
            differs = content(owner, row) != hashed
            return encode_rows([row]) if differs else b"", differs, 1
        count = 0 if last == ALL else sum(j - i for _, i, j in owner.between(owner.base + first, owner.base + last + 1))
        return b"", count > most or self._sum(actor, first, last) != hashed, min(count, most)

    def persisted(self) -> None:
        """More is stored: answers that waited for it may leave."""
        replica = self._replica
        ready = [item for item in self._answers if item[0] <= replica.stored]
        if ready:
            replica.witness(replica.own_stored)
            self._answers = [item for item in self._answers if item[0] > replica.stored]
        for _, to, answer in ready:
            replica.out.send(Lane.INBOX, to, answer, replica.state.actor)


def _checked(asked: list[Part], message: Differ) -> list[tuple[Part, Group | None]]:
    """The parts that differ, single ones with the row that stands there. Raises PeerError."""
    if not 0 < message.answered <= len(asked) or any(i >= message.answered for i in message.different):
        raise PeerError("malformed", "an answer to another question")
    different = [asked[i] for i in sorted(set(message.different))]
    if len(different) != len(message.different):
        raise PeerError("malformed", "a part that differs twice")
    rows = message.rows or [b""] * len(different)
    if len(rows) != len(different) or (not message.rows and any(first == last for _, first, last, _ in different)):
        raise PeerError("malformed", "an answer without rows")
    return [
        (part, _row(part[1], data, message.vector) if part[1] == part[2] else None)
        for part, data in zip(different, rows, strict=True)
    ]


def _row(seq: int, data: bytes, vector: Mapping[Actor, int]) -> Group | None:
    groups = rows_within(data, vector) if data else []
    if groups and (len(groups) != 1 or groups[0].seqs != [seq]):
        raise PeerError("malformed", "a row under another dot")
    return groups[0] if groups else None
