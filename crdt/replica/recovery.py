"""The asking side of repair: which peer seems to have what this replica lacks, and the one question under way.

Knows: whom to ask and when, what the answer has brought so far, how long answers take.
Promises: one question at a time; retries are bounded, paced by measured round trips, slower and slower while nothing
comes, and small, because over a slow link the answer is under way; what has come already is not asked for again; who
only claims to have more, and never answered, holds up nobody who did (suspects.py), and who answers without bringing
anything new not for long, nor who brings parts of what is never whole. What comes after it was given up counts: over a
slow link one message may take longer than any time-out. Must not know: how answers are made (serving.py).

A repair in short: somebody `suspect`s a peer; after a moment, unless the gap has closed by itself, PULL with the own
vector (or, where that is large and they are known, only the entries in question), and with what is held above it. The
answer is REPAIR messages (the last one says how many there were, so a lost one is noticed), or a snapshot
(fetching.py), which is joined when all of it has come. Meanwhile nothing else is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from crdt.errors import PeerError
from crdt.replica.fetching import Fetch
from crdt.replica.messages import Piece, Repair, Rows
from crdt.replica.peers import LONGEST, Peer
from crdt.replica.pieces import MAX_PIECES
from crdt.replica.questions import Questions
from crdt.replica.suspects import ANSWERED, STRANGER, WROTE, Suspects

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

NOW: Final = 0.0
PATIENCE: Final = 5  # silent timeouts before another peer is asked
FEW: Final = 4  # up to so many, asked in vain or still to be asked, each is given that much time
LOOKS: Final = 256  # suspects that are looked at in one step
DOUBT: Final = 2  # silent timeouts in which a snapshot that is said to be no more may come from a second daemon
TURN: Final = 20  # pull time-outs in which something new has to come
DRIP: Final = 1000  # bytes a second of what is new, at least
LARGE: Final = 200  # pull time-outs that parts of what is not whole keep waiting who has answered before
RECENT: Final = 16  # questions before the one under way to which an answer may still be coming
NEVER: Final = float("inf")


@dataclass(slots=True)
class Asking:
    """The question under way. `got` of `total` messages of a REPAIR have come, or `fetch` is a snapshot. `last`: when
    something last came, or it was asked for the first time, which was question `first`.
    """

    number: int
    first: int
    peer: str
    rank: int
    since: float
    last: float
    deadline: float
    whole: bool = True  # whether the question had the whole vector
    silent: int = 0
    got: int = 0
    total: int = 0
    complete: bool = False
    fetch: Fetch | None = None
    gone: bool = False  # the snapshot is no more, says the peer, or a second daemon under its name
    stood: tuple[int, int, int] = (0, 0, 0)  # where we were when we asked
    late: set[int] = field(default_factory=set)  # earlier questions of which the end of the answer has come
    sum: int = 0  # what the peer had then: a second daemon under its name may answer that it has less
    until: float = 0.0  # so long it may go on, and longer with each byte that is new
    most: float = NEVER  # parts of what is not whole make that no later; until they are, somebody else waits
    told: float = 0.0  # when we last said that the list of the snapshot is being read


class Recovery:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.asking: Asking | None = None
        self._left: Asking | None = None  # the last one that was given up for silence: an answer may be under way
        self.questions = Questions(replica)
        self._suspects = Suspects(replica.peers.limit)
        self._sure: set[str] = set()
        self._gaps: set[str] = set()
        self._vain: set[str] = set()  # strangers that were asked, one after the other, and did not answer

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        if self._replica.merging.joining is not None:
            return NEVER
        if self.asking is None:
            return self._suspects.next()
        reading = self.asking.fetch is not None and self.asking.fetch.reading
        return NOW if reading else min(self.asking.deadline, self.asking.until)

    def suspect(self, name: str, at: float, sure: bool = False, gap: bool = False) -> None:
        """This peer seems to have what we lack: ask it a little after that time, unless it has come by then.

        `sure`: its vector showed it. `gap`: it sent something that has to be held.
        """
        replica, rank, asking = self._replica, self.rank(name), self.asking
        at += replica.rng.uniform(0, min(replica.hello_period, replica.patience * replica.crowd))
        if not self._suspects.add(name, at, rank):
            return
        if asking is not None and rank == ANSWERED and name != asking.peer:
            asking.most = min(asking.most, at + self._large)
        if asking is not None and rank < asking.rank and asking.fetch is None and (asking.silent or not asking.got):
            asking.deadline = min(asking.deadline, max(at, self._least(asking)))
        if sure:
            self._sure.add(name)
        if gap:
            self._gaps.add(name)

    def fetches(self, stream: int) -> bool:
        """Whether this snapshot is coming in."""
        asking = self.asking
        return asking is not None and asking.fetch is not None and asking.fetch.stream == stream

    def cancel(self, name: str) -> None:
        """It has nothing that we lack, or is gone."""
        self._suspects.drop(name)
        self._sure.discard(name)
        self._gaps.discard(name)

    def clear(self) -> None:
        """Nobody can be reached."""
        self.asking = self._left = None
        self._suspects.clear()
        self._sure.clear()
        self._gaps.clear()

    def rank(self, name: str) -> int:
        """How far this peer is trusted to answer."""
        replica, peer = self._replica, self._replica.peers.by_name.get(name)
        if peer is not None and peer.answers:
            return ANSWERED
        return WROTE if peer is not None and peer.actor in replica.state.indexes else STRANGER

    def tick(self, now: float) -> None:
        """Read on, ask again what was not answered, or ask the next peer."""
        if self._replica.merging.joining is not None:
            return  # what comes of it has to be seen first
        if self.asking is not None:
            if self.asking.fetch is not None and self.asking.fetch.reading:
                self._read_list(self.asking.fetch, now)
                return
            if now >= self.asking.until:
                self._give_up(self.asking, now)
            elif now < self.asking.deadline:
                return
            else:
                self._overdue(self.asking, now)
        for _ in range(LOOKS):
            name = self._suspects.take(now) if self.asking is None else None
            if name is None:
                return
            worth, sure = self._worth_asking(name, now), name in self._sure
            self.cancel(name)
            if worth:
                self._ask(name, now, whole=sure)

    def _least(self, asking: Asking) -> float:
        """Until when an answer is waited for though somebody who is trusted more could be asked."""
        if asking.silent:
            return NOW
        return asking.since + self._timeout(self._replica.peers.get(asking.peer, asking.since))

    def _worth_asking(self, name: str, now: float) -> bool:
        replica, peer = self._replica, self._replica.peers.by_name.get(name)
        if peer is None or peer.offline:
            return False
        if name in self._sure or (name in self._gaps and len(replica.held)):
            return True
        if peer.heard and peer.vector_hash == replica.state.vector_hash and not peer.shared(now):
            return False
        return (
            len(replica.held) > 0
            or len(replica.pieces) > 0
            or peer.vector_sum >= replica.state.vector_sum
            or (peer.actor is not None and peer.seq > replica.state.applied(peer.actor))
        )

    def _ask(self, name: str, now: float, whole: bool = False, after: Asking | None = None) -> None:
        """A new question, perhaps `after` one that brought something, and that there is more."""
        peer = self._replica.peers.get(name, now)
        until = self._turn(peer, now) if after is None else after.until
        self.asking = self._pose(peer, now, 0, whole, until)
        if after is not None:
            self.asking.most = after.most
        elif self._suspects.next(WROTE) < NEVER:
            self.asking.most = now + self._large

    def _ask_again(self, before: Asking, now: float) -> None:
        """The same question, in other words: for one message. What answers the earlier one may be under way."""
        peer = self._replica.peers.get(before.peer, now)
        self.asking = asking = self._pose(peer, now, before.silent, before.whole, before.until, again=True)
        asking.first, asking.last, asking.late = before.first, before.last, before.late
        asking.fetch, asking.gone, asking.most = before.fetch, before.gone, before.most

    def _pose(self, peer: Peer, now: float, silent: int, whole: bool, until: float, again: bool = False) -> Asking:
        rank = self.rank(peer.name)
        whole = self.questions.put(peer, whole, small=again or (len(self._vain) > 0 and rank > ANSWERED))
        number = self.questions.last
        patient = not self._crowd() and self._suspects.next(WROTE) == NEVER  # nobody waits who had better be asked
        timeout = self._timeout(peer, silent + peer.vain if patient else silent)
        peer.asked, peer.asked_at = number, now
        return Asking(
            number, number, peer.name, rank, now, now, now + timeout, whole, silent,
            stood=self._standing(), sum=peer.vector_sum, until=until,
        )  # fmt: skip

    def _timeout(self, peer: Peer, silent: int = 0) -> float:
        """How long to wait for something from it, after so many such waits in vain."""
        return peer.timeout(silent, self._replica.tuning.pull_timeout)

    def _overdue(self, asking: Asking, now: float) -> None:
        if not asking.got:
            asking.silent += 1
        peer = self._replica.peers.get(asking.peer, now)
        given_up = asking.silent > self._patience(asking, now) or peer.silent(now)
        if asking.rank == ANSWERED or asking.fetch is not None:
            given_up &= now - asking.last >= 2 * self._replica.tuning.pull_timeout  # its answer may be a large message
        if given_up or peer.offline:
            self._give_up(asking, now)
        elif asking.fetch is None or (asking.gone and asking.silent > DOUBT):
            self._ask_again(asking, now)
        else:
            asking.got, asking.deadline = 0, now + self._timeout(peer, asking.silent)
            asking.fetch.again()
            self._finish_fetch(asking.fetch, now)

    def _give_up(self, asking: Asking, now: float) -> None:
        """It is silent, or brings nothing new; its next HELLO brings it back."""
        peer = self._replica.peers.get(asking.peer, now)
        self.asking = None
        self._left = asking if now < asking.until else None
        self.cancel(asking.peer)
        peer.answers = False
        peer.vain += 1
        if asking.rank > ANSWERED and len(self._vain) <= FEW:
            self._vain.add(asking.peer)
        self._ask_elsewhere(asking.peer, now)

    def _turn(self, peer: Peer, now: float) -> float:
        """Until when it may be asked, and asked again, without bringing anything new."""
        return now + max(TURN * self._replica.tuning.pull_timeout, (PATIENCE + 1) * self._timeout(peer))

    @property
    def _large(self) -> float:
        return LARGE * self._replica.tuning.pull_timeout

    def brought(self, sender: str, size: int, now: float, part: bool = False) -> None:
        """So many bytes came from this peer, to us alone, that are new: if it is asked it may go on for longer. Other
        answers, and those that repeat what is here, are no reason to ask nobody else; nor, for ever, is a `part` of
        what may never be whole.
        """
        asking = self.asking
        if asking is None or asking.peer != sender:
            return
        until = min(self._turn(self._replica.peers.get(sender, now), now), asking.until + size / DRIP)
        if not part:
            asking.most += size / DRIP
        elif until > asking.most:
            return
        asking.until = until

    def _patience(self, asking: Asking, now: float) -> int:
        """How many timeouts may go by in silence: one while somebody who has answered could be asked. In a crowd the
        fewer, the more strangers did not answer before this one; should its answer come late, it is a stranger no more.
        Of a few, each may be behind a slow link, and all their answers would have to come through it.
        """
        if asking.rank == ANSWERED or asking.fetch is not None:
            return PATIENCE
        crowd = self._crowd()
        if self._suspects.next(asking.rank if crowd else WROTE) <= now:
            return 1
        return PATIENCE >> len(self._vain) if crowd else PATIENCE

    def _crowd(self) -> bool:
        """Whether so many strangers are asked by turns that none can be given much time."""
        return len(self._suspects) + len(self._vain) > FEW

    def _ask_elsewhere(self, tried: str, now: float) -> None:
        """The asked one is silent, or does not help: somebody else who is ahead."""
        if len(self._suspects):
            return
        others = [p for p in self._replica.peers.online(now) if p.name != tried and self._worth_asking(p.name, now)]
        others = [p for p in others if p.answers] or others
        if others:
            self.suspect(self._replica.rng.choice(others).name, now)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _progress(self, sender: str, now: float, numbered: bool = False) -> Asking | None:
        """A part of an answer came, to the last question if it is `numbered`; None if that one was not asked."""
        asking = self.asking
        if asking is None or asking.peer != sender:
            return None
        peer = self._replica.peers.get(sender, now)
        self._trust(peer, asking.rank)
        if asking.got:
            self._still_coming(asking, now)
        elif asking.fetch is None and (numbered or not asking.silent or not peer.rtt):
            peer.answered(now - asking.since)
        asking.last = now
        asking.got += 1
        asking.silent = 0
        asking.deadline = now + self._timeout(peer)
        return asking

    def _trust(self, peer: Peer, rank: int) -> None:
        """It has answered."""
        peer.answers, peer.asked, peer.vain = True, 0, 0
        if rank > ANSWERED:
            self._vain.clear()

    def _answered_late(self, peer: Peer, now: float) -> None:
        """A stranger that we did not wait for any longer: from now on it is asked before others."""
        if peer.asked and not peer.answers:
            peer.answered(min(now - peer.asked_at, self._replica.tuning.pull_timeout))
            self._trust(peer, STRANGER)
            self.suspect(peer.name, now)

    def on_repair(self, peer: Peer, message: Repair, now: float) -> None:
        """The frames in it have been offered already."""
        brought = message.frames or message.total > 1  # else a second daemon under its name may have nothing for us
        if message.total and brought and message.number <= self.questions.last:
            peer.ended = max(peer.ended, message.number)
        asking = self.asking
        if brought and message.number <= self.questions.last:
            asking = self._resume(peer.name, now, 0)
        if asking is None or asking.peer != peer.name:
            if message.number == peer.asked:
                self._answered_late(peer, now)
            return
        if message.number != asking.number:
            self._late(asking, peer, message, now)
        elif (asking.fetch is None or asking.gone) and message.vector_sum >= asking.sum:  # else from a second daemon
            asking.fetch = None
            self._progress(peer.name, now, numbered=True)
            if message.total:
                asking.total, asking.complete = message.total, message.complete
            self._finish_repair(asking, now)

    def _late(self, asking: Asking, peer: Peer, message: Repair, now: float) -> None:
        """The answer to an earlier question: this one's comes behind it, if it was answered at all."""
        known = max(1, asking.first - RECENT) <= message.number <= asking.number
        if not known or message.number in asking.late or (message.number < asking.first and not message.total):
            return  # whoever answers all that was ever asked holds up nobody
        if message.total:
            asking.late.add(message.number)
        self._trust(peer, asking.rank)
        self._still_coming(asking, now)
        asking.silent = min(asking.silent, 1)
        asking.deadline = now + self._timeout(peer, asking.silent)
        if message.total and message.number >= asking.first and not len(self._replica.held) + len(self._replica.pieces):
            asking.got = asking.total = message.total
            asking.complete = message.complete
            self._finish_repair(asking, now)

    def _still_coming(self, asking: Asking, now: float) -> None:
        """The link is slow, if it is long since something came, and must not be filled with questions."""
        peer = self._replica.peers.get(asking.peer, now)
        waited, asking.last = now - asking.last, now
        if waited > peer.rtt:
            peer.answered(min(waited, LONGEST * self._replica.tuning.pull_timeout))

    def on_frame_piece(self, sender: str, now: float) -> None:
        """A piece of a frame came."""
        self._resume(sender, now)
        asking = self._piece(sender, now)
        if asking is not None:
            self._finish_repair(asking, now)

    def _piece(self, sender: str, now: float) -> Asking | None:
        """A piece of an answer came, which does not say of which: perhaps of one that was given up."""
        asking = self.asking
        if asking is not None and asking.peer == sender and not asking.got and asking.silent:
            self._still_coming(asking, now)
        return self._progress(sender, now)

    def _finish_repair(self, asking: Asking, now: float) -> None:
        if not asking.total or asking.got < asking.total:
            return
        self.asking = None
        if asking.complete:
            self._left = None
            self.cancel(asking.peer)
            if asking.whole:
                self._replica.peers.get(asking.peer, now).differs_since = None
        elif not asking.whole or asking.stood != self._standing():
            self._ask(asking.peer, now, whole=True, after=asking)
        else:
            self._ask_elsewhere(asking.peer, now)  # there is more, it says, and sends what does not help

    def _standing(self) -> tuple[int, int, int]:
        """Changes with everything that an answer may bring, and not with what is written here."""
        replica = self._replica
        others = replica.state.vector_sum - replica.state.me.applied
        return others, len(replica.held), replica.pieces.bytes

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _resume(self, sender: str, now: float, stream: int | None = None) -> Asking | None:
        """The question that something of an answer belongs to, of this snapshot if it says which (0: of none). Over a
        slow link it may come when that was given up for silence, and shows how long a message takes: then that one goes
        on, unless another is answered, or was put to somebody who is trusted more.
        """
        left, asking = self._left, self.asking
        if left is None or left.peer != sender or now - left.last > self._large:
            return asking
        if stream is not None and stream != (left.fetch.stream if left.fetch is not None else 0):
            return asking
        if asking is not None and (asking.got or asking.fetch is not None or asking.rank < left.rank):
            return asking
        if self._replica.merging.joining is not None:
            return asking
        self.asking, self._left = left, None
        self._still_coming(left, now)
        left.got, left.silent = 0, min(left.silent, 1)
        left.deadline = now + self._timeout(self._replica.peers.get(sender, now), left.silent)
        return left

    def on_list_part(self, sender: str, piece: Piece, now: float) -> None:
        """A part of the list of a snapshot came. Raises PeerError."""
        asking = self._resume(sender, now, piece.stream) if piece.total else self.asking
        if asking is None or asking.peer != sender:
            self._answered_late(self._replica.peers.get(sender, now), now)
            return
        if piece.total > MAX_PIECES:
            return
        fetch = asking.fetch
        if not piece.total:
            if fetch is not None and fetch.stream == piece.stream:  # it has given that one up, or was restarted
                asking.gone = True
            return
        if fetch is None or fetch.stream != piece.stream:
            if fetch is not None and (piece.index or not (asking.gone or asking.silent)):
                return  # of an earlier attempt, or of a second daemon under that name
            self._progress(sender, now)
            self._left = None
            fetch = asking.fetch = Fetch(self._replica, sender, piece.stream, piece.total, now)
        if not fetch.listed and self._checked(fetch.on_part, piece, now):
            self._fetched(asking, len(piece.data), now, part=True)
            asking.told = now

    def _fetched(self, asking: Asking, size: int, now: float, part: bool = False) -> None:
        """So many bytes of the snapshot came that are new."""
        self._progress(asking.peer, now)
        self.brought(asking.peer, size, now, part)
        asking.gone = False

    def on_rows(self, sender: str, message: Rows, now: float) -> None:
        """Rows of a snapshot came. Raises PeerError."""
        asking = self._resume(sender, now, message.stream)
        if asking is not None and asking.peer == sender and asking.fetch is not None:
            if asking.fetch.late(message):
                self._still_coming(asking, now)
            if self._checked(asking.fetch.on_rows, message, now):
                self._fetched(asking, sum(len(item[3]) for item in message.items), now)
                asking.fetch.request()
            self._finish_fetch(asking.fetch, now)

    def on_row_piece(self, sender: str, piece: Piece, whole: bytes | None, now: float) -> None:
        """A piece of a row came, perhaps the last one. Raises PeerError."""
        asking = self._resume(sender, now)
        if asking is not None and asking.peer == sender and asking.fetch is not None:
            self._piece(sender, now)
            asking.gone = False
            if whole is not None:
                fetch = asking.fetch
                if self._checked(lambda data: fetch.on_row(piece.actor, piece.seq, data), whole, now):
                    self.brought(sender, len(whole), now)
                    fetch.request()
                self._finish_fetch(fetch, now)

    def _read_list(self, fetch: Fetch, now: float) -> None:
        """One more part of the list; behind the last, ask for the first rows. How long we take is not held against
        the peer, which hears now and then that we are here: it gives up a snapshot of which nothing is asked.
        """
        asking = self.asking
        assert asking is not None
        asking.until += now - asking.last
        asking.last = now
        if now - asking.told >= self._replica.tuning.pull_timeout / 2:
            asking.told = now
            fetch.still_reading()
        asking.deadline = now + self._timeout(self._replica.peers.get(fetch.peer, now))
        try:
            self._checked(lambda _: fetch.read_part(), None, now)
        except PeerError as error:
            self._replica.drop(error.reason)
            return
        if not fetch.reading:
            state = self._replica.state
            if fetch.vector.get(state.actor, 0) > state.me.applied and not self._replica.lives.claimed(now):
                self.asking = None  # not believed: then it must not be joined either
                self._ask_elsewhere(fetch.peer, now)
                return
            fetch.request()
            self._finish_fetch(fetch, now)

    def _checked(self, take: Callable[[Any], Any], what: Any, now: float) -> Any:
        """What it answers; a snapshot that contradicts itself is given up, and somebody else is asked."""
        try:
            return take(what)
        except PeerError:
            peer = self.asking.peer if self.asking is not None else ""
            self.asking = None
            self._ask_elsewhere(peer, now)
            raise

    def _finish_fetch(self, fetch: Fetch, now: float) -> None:
        if fetch.complete:
            self.asking = None
            self._replica.merging.begin(fetch.peer, fetch.vector, fetch.live)
