"""The answering side of repair: frames from the log, or a snapshot where the log no longer reaches back or costs more.

Promises: every answer makes progress, whatever the budget, and is not sent again while it may be under way over a slow
link; a snapshot leaves only when everything in it is stored; a bounded number of snapshots at a time, one for each
peer, by turns where more ask; no step looks at more than about 2,000 rows, and of the rows only what one request asks
for is in memory. Must not know: what this replica lacks itself (recovery.py).

A snapshot is what was live at one frame boundary (crdt/frozen.py). The list of it is made in slices and sent in a
window that the asker moves (MORE); rows are sent when they are asked for (WANT), a bounded number of bytes for each
request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crdt.columns import Row
from crdt.dots import Actor, dominates
from crdt.frozen import SLICE, Frozen
from crdt.replica.effects import Lane
from crdt.replica.messages import MAX_LIST, RESERVED, ROW, More, Piece, Pull, Repair, Rows, Want
from crdt.replica.outbox import packed, span
from crdt.replica.pieces import cut_up
from crdt.replica.snapshot import list_parts, portions

if TYPE_CHECKING:
    from crdt.replica.replica import Replica
    from crdt.rows import ActorRows

NEVER: Final = float("inf")
NOW: Final = 0.0
WANTS: Final = 16  # requests of one asker that wait
CHEAPER: Final = 4  # operations missing for each live row from which on a snapshot is cheaper than frames
SMALL: Final = 10_000  # operations that are never worth a snapshot
SPAN: Final = 16  # what looking for a span costs, in rows
ITEM: Final = 40  # bytes of an item besides its rows and the name of its actor, at most
SLOWEST: Final = 10_000  # bytes a second of the slowest link to an asker that is reckoned with
TENURE: Final = 10  # pull time-outs in which no other asker takes the place of one
ANSWERS: Final = 1024  # askers of which it is known what they were answered last


@dataclass(slots=True)
class Request:
    """A WANT that is being answered."""

    number: int
    spans: deque[tuple[Actor, int, int]]
    parts: dict[tuple[Actor, int], tuple[int, int]]  # row -> number of pieces, bits of those not needed
    asked: tuple[tuple[Actor, int, int], ...]  # the spans as they came
    sent: int = 0
    end: Piece | None = None  # the last piece that was sent


@dataclass(slots=True)
class Transfer:
    """A snapshot on its way to a peer that was at `base`; it may leave once `batch` is stored."""

    peer: str
    session: int  # of the peer
    base: dict[Actor, int]
    batch: int
    frozen: Frozen
    making: Iterator[bytes | None] | None
    deadline: float
    since: float  # it has had a place
    parts: list[bytes] = field(default_factory=list)
    index: int = 0  # the asker has every part of the list below
    sent: int = 0
    wants: deque[Request] = field(default_factory=deque)
    until: float = 0.0  # the list, as far as it was sent, may be under way
    given: dict[tuple[tuple[Actor, int, int], ...], tuple[float, Piece | None]] = field(default_factory=dict)
    """Answers to the latest requests by their spans: until when they may be under way, and their last piece."""


@dataclass(slots=True)
class Answer:
    """The last answer to a peer of which these `sessions` were known (two daemons may have one name): to which
    question, its last frame, and until when it may be under way.
    """

    sessions: tuple[int, ...]
    number: int
    actor: Actor
    last: int
    until: float


class Serving:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._transfers: dict[int, Transfer] = {}
        self._asked = ("", 0.0)  # who last asked for own operations, and when
        self._again_at = NEVER  # when own operations above `_again_from` are published once more
        self._again_from = 0
        self._again_until = 0.0  # until then what was published again from there on may be under way
        self._answers: dict[str, Answer] = {}  # by peer, the latest at the end
        self._left: dict[str, tuple[float, float]] = {}  # who had a place for a snapshot: since when, until when

    def __contains__(self, stream: int) -> bool:
        return stream in self._transfers

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        if not self._transfers:
            return self._again_at
        transfers = self._transfers.values()
        if any(t.making is not None or t.wants for t in transfers):
            return NOW
        return min([self._again_at, *(transfer.deadline for transfer in transfers)])

    def tick(self, now: float) -> None:
        """One slice of work for each asker, unless it is gone, or too slow for what changes meanwhile; publish again
        what several have asked for.
        """
        if now >= self._again_at:
            self._again(now)
        for stream, transfer in list(self._transfers.items()):
            if transfer.deadline <= now or transfer.frozen.kept > self._replica.tuning.frozen_rows:
                self._leave(stream, transfer, now)
            elif transfer.making is not None:
                self._make(stream, transfer, now)
            elif transfer.wants:
                self._give(stream, transfer, transfer.wants[0], now)

    def clear(self) -> None:
        """Nobody can be reached."""
        self.thaw()
        self._again_at, self._again_until = NEVER, 0.0
        self._answers.clear()

    def thaw(self) -> None:
        """Give up every snapshot: nobody can be reached, or the rows have been put into other places."""
        for stream in list(self._transfers):
            self._end(stream)

    def _end(self, stream: int) -> None:
        frozen = self._transfers.pop(stream).frozen
        if frozen in self._replica.state.frozen:
            self._replica.state.frozen.remove(frozen)

    def answer(self, to: str, pull: Pull, now: float) -> None:
        """Send what the asker lacks."""
        replica, have, floor = self._replica, pull.vector, self._replica.log.floor()
        if not pull.whole:
            if any(n < floor.get(actor, 0) for actor, n in have.items()):
                replica.out.send(Lane.INBOX, to, Repair([], 1, False, replica.view.vector_sum, pull.number))
                return  # it will ask with its whole vector, which a snapshot needs
            have = replica.state.vector() | have
        elif not dominates(have, floor) or self._is_cheaper(have):
            self._offer_snapshot(to, have, now)
            return
        if self._under_way(to, pull, have, now):
            return
        if self._publish_again(to, have, now):
            have = have | {replica.state.actor: replica.own_stored}
        frames, complete = replica.log.missing(have, min(pull.budget, replica.tuning.repair_budget))
        replica.counts["repairs"] += 1
        if pull.held:
            frames = [data for data in frames if not _held(data, pull.held)]
        replica.counts["frames_out"] += len(frames)
        if frames and have.get(replica.state.actor, 0) < replica.own_stored:
            replica.witness(replica.own_stored)
        parts = {(actor, last): (total, bits) for actor, last, total, bits in pull.parts}
        items = packed(frames, replica.out.room, parts)
        if frames:
            size = sum(len(item.data) if isinstance(item, Piece) else sum(map(len, item)) for item in items)
            self._note(to, pull.number, frames[-1], size, now)
        if not items or isinstance(items[-1], Piece):
            items.append([])
        for number, item in enumerate(items, 1):
            if isinstance(item, Piece):
                replica.out.send(Lane.INBOX, to, item)
            else:
                total = number if number == len(items) else 0
                repair = Repair(item, total, complete, replica.view.vector_sum, pull.number)
                replica.out.send(Lane.INBOX, to, repair)

    def _note(self, to: str, number: int, last: bytes, size: int, now: float) -> None:
        """This is the answer to a question; it has so many bytes and ends with the frame `last`."""
        replica, (actor, _, seq) = self._replica, span(last)
        self._answers.pop(to, None)
        peer = replica.peers.get(to, now)
        self._answers[to] = Answer((*peer.sessions, peer.present), number, actor, seq, now + self._time_for(size))
        if len(self._answers) > ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _time_for(self, size: int) -> float:
        """How long so many bytes may be under way: no longer than one who has answered before is waited for."""
        return min(size / SLOWEST, 2 * self._replica.tuning.pull_timeout)

    def _under_way(self, to: str, pull: Pull, have: dict[Actor, int], now: float) -> bool:
        """Whether the end of the last answer may not have come yet, for all that this question says. What was in it may
        have come otherwise, as a DELTA.
        """
        answer = self._answers.get(to)
        if answer is None or now >= answer.until or pull.ended >= answer.number:
            return False
        if self._replica.peers.get(to, now).present not in answer.sessions:
            return False
        return have.get(answer.actor, 0) < answer.last

    def _is_cheaper(self, have: dict[Actor, int]) -> bool:
        """Whether the frames would outweigh the state: much was written, and little of it is left."""
        state = self._replica.state
        missing = state.vector_sum - sum(have.values())
        return missing > max(SMALL, CHEAPER * state.live)

    # -- what several ask for ---------------------------------------------------------------------------------------

    def _publish_again(self, to: str, have: dict[Actor, int], now: float) -> bool:
        """Whether own operations that this peer lacks go to everybody once more: another has asked for them just now.

        One DELTA for all who missed it instead of a REPAIR to each; who asked first has its answer already. No more
        than fits a message: those who do not lack it have to take it too.
        """
        replica, own = self._replica, self._replica.state.actor
        n = have.get(own, 0)
        if n >= replica.own_stored:
            return False
        asked, self._asked = self._asked, (to, now)
        if now < self._again_until and n >= self._again_from:
            return True
        if self._again_at == NEVER:
            if asked[0] in ("", to) or now - asked[1] > replica.transit:
                return False
            if not replica.log.missing(replica.state.vector() | {own: n}, replica.out.room)[1]:
                return False
            self._again_at = now + replica.transit
            self._again_from = n
        return n >= self._again_from

    def _again(self, now: float) -> None:
        replica = self._replica
        self._again_at = NEVER
        have = replica.state.vector() | {replica.state.actor: self._again_from}
        frames, _ = replica.log.missing(have, replica.out.room)
        if frames:
            self._again_until = now + self._time_for(sum(map(len, frames)))
            replica.witness(replica.own_stored)
            replica.counts["frames_out"] += len(frames)
            replica.out.publish(frames)
            replica.greeting.soon(now)

    # -- snapshots: the list ------------------------------------------------------------------------------------------

    def _offer_snapshot(self, to: str, base: dict[Actor, int], now: float) -> None:
        replica = self._replica
        for stream, transfer in list(self._transfers.items()):
            if transfer.peer == to:
                session = replica.peers.get(to, now).present
                early = not transfer.sent or now < transfer.until
                if early and transfer.session == session and dominates(base, transfer.base):
                    return  # the question was repeated, the beginning may be under way, or is being made
                if transfer.base == base:  # it was lost, or the asker restarted
                    transfer.session = session
                    transfer.given.clear()
                    transfer.index = transfer.sent = 0
                    transfer.wants.clear()
                    self._advance(stream, 0, now)
                    return
                self._leave(stream, transfer, now)  # asking anew, it has given that one up
        if replica.merging.joining is not None or not self._make_room(now):
            return  # the asker will ask again, or ask another
        replica.flush()
        replica.counts["snapshots"] += 1
        state = replica.state
        frozen = Frozen(state.actors.values(), base)
        state.frozen.append(frozen)
        stream = replica.rng.getrandbits(63) + RESERVED
        making = list_parts(frozen, replica.out.room)
        deadline = now + 2 * replica.tuning.pull_timeout
        session = replica.peers.get(to, now).present
        since, left = self._left.pop(to, (now, now))
        since = since if now < left + TENURE * replica.tuning.pull_timeout else now
        self._transfers[stream] = transfer = Transfer(to, session, base, replica.batch, frozen, making, deadline, since)
        self._make(stream, transfer, now)

    def _leave(self, stream: int, transfer: Transfer, now: float) -> None:
        """The asker has no use for its place any more. If it is back soon it is as if it had kept it."""
        self._end(stream)
        self._left[transfer.peer] = transfer.since, now
        if len(self._left) > ANSWERS:
            del self._left[next(iter(self._left))]

    def _make_room(self, now: float) -> bool:
        """Whether there is a place for one more snapshot: who has had one for long makes room, whatever it asks for,
        because a slow asker looks like one that only holds a place. What it got is staged there; it will ask anew.
        """
        if len(self._transfers) < self._replica.tuning.transfers:
            return True
        until, stream = min((self._tenure(transfer), stream) for stream, transfer in self._transfers.items())
        if now < until:
            return False
        self._end(stream)
        return True

    def _tenure(self, transfer: Transfer) -> float:
        """Until when its place is not another's: were that less than the list takes, nobody had it ever."""
        size = sum(map(len, transfer.parts))
        return transfer.since + TENURE * self._replica.tuning.pull_timeout + 2 * size / SLOWEST

    def _make(self, stream: int, transfer: Transfer, now: float) -> None:
        """One slice of the list; send its beginning when all of it is there."""
        assert transfer.making is not None
        transfer.deadline = now + 2 * self._replica.tuning.pull_timeout
        for part in transfer.making:
            if part is None:
                return
            transfer.parts.append(part)
        transfer.making = None
        self._advance(stream, 0, now)

    def persisted(self, now: float) -> None:
        """More is stored: snapshots that waited for it may leave."""
        for stream, transfer in list(self._transfers.items()):
            if not transfer.sent:
                self._advance(stream, 0, now)

    def _advance(self, stream: int, index: int, now: float) -> None:
        """The asker has every part of the list below `index`: keep a window of them in flight."""
        replica, transfer = self._replica, self._transfers[stream]
        if replica.stored < transfer.batch or transfer.making is not None:
            return
        transfer.index = max(transfer.index, index)
        if not transfer.sent:
            replica.witness(replica.own_stored)
        end = min(transfer.index + replica.tuning.window, len(transfer.parts))
        self._send_parts(stream, transfer, range(max(transfer.index, transfer.sent), end), now)
        transfer.sent = max(transfer.sent, end)
        transfer.deadline = self._patience(sum(map(len, transfer.parts[transfer.index : transfer.sent])), now)

    def _patience(self, size: int, now: float) -> float:
        """Until when the asker may be silent while so many bytes are under way to it."""
        return now + 2 * (self._replica.tuning.pull_timeout + size / SLOWEST)

    def _send_parts(self, stream: int, transfer: Transfer, indexes: Iterable[int], now: float) -> None:
        parts, size = transfer.parts, 0
        for index in indexes:
            piece = Piece(stream, self._replica.state.actor, 0, index, len(parts), parts[index])
            self._replica.out.send(Lane.INBOX, transfer.peer, piece)
            size += len(parts[index])
        if size:
            transfer.until = now + self._time_for(size)

    def on_more(self, sender: str, message: More, now: float) -> None:
        """The asker got parts of the list, and wants others."""
        transfer = self._transfer(sender, message.stream)
        if transfer is not None and transfer.sent:
            if now >= transfer.until:
                self._send_parts(message.stream, transfer, [i for i in message.lost if i < transfer.sent], now)
            self._advance(message.stream, message.index, now)

    def _transfer(self, sender: str, stream: int) -> Transfer | None:
        """The transfer that this peer speaks of; it is told if there is none."""
        transfer = self._transfers.get(stream)
        if transfer is not None and transfer.peer == sender:
            return transfer
        if self._replica.recovery.fetches(stream):
            return None  # our own words to a second daemon under our name, come back: it may have what we ask for
        gone = Piece(stream, self._replica.state.actor, 0, 0, 0, b"")
        self._replica.out.send(Lane.INBOX, sender, gone)
        return None

    # -- rows ---------------------------------------------------------------------------------------------------------

    def on_want(self, sender: str, message: Want, now: float) -> None:
        """The asker wants rows, or is done."""
        if not message.spans:
            if message.stream in self._transfers and self._transfers[message.stream].peer == sender:
                self._leave(message.stream, self._transfers[message.stream], now)
            return
        transfer = self._transfer(sender, message.stream)
        if transfer is None or not transfer.sent:
            return
        transfer.deadline = max(transfer.deadline, now + 2 * self._replica.tuning.pull_timeout)
        if len(transfer.wants) < WANTS and all(want.number != message.number for want in transfer.wants):
            parts = {(a, seq): (total, int.from_bytes(bits, "little")) for a, seq, total, bits in message.parts}
            asked = tuple(message.spans)
            if not self._given(transfer, asked, parts, now):
                transfer.wants.append(Request(message.number, deque(asked), parts, asked))

    def _given(
        self,
        transfer: Transfer,
        asked: tuple[tuple[Actor, int, int], ...],
        parts: dict[tuple[Actor, int], tuple[int, int]],
        now: float,
    ) -> bool:
        """Whether just these spans are being answered, and none of it may have come yet, or not the end of it."""
        if any(want.asked == asked for want in transfer.wants):
            return True
        until, end = transfer.given.get(asked, (0.0, None))
        came = end is not None and parts.get((end.actor, end.seq), (0, 0))[1] >> end.index & 1
        return now < until and not came

    def _give(self, stream: int, transfer: Transfer, want: Request, now: float) -> None:
        """One slice of the answer to a request."""
        replica, left = self._replica, SLICE
        budget = min(replica.tuning.window_bytes // 4, 64 * replica.out.room)
        batch = Batch(replica, transfer.peer, stream, want.number)
        while want.spans and left > 0 and want.sent < budget:
            actor, first, last = want.spans.popleft()
            index = replica.state.indexes.get(actor)
            if index is None or actor not in transfer.frozen.vector or not 0 < first <= last:
                continue
            rows, reached = self._slice(transfer.frozen, replica.state.actors[index], first, last, left)
            left -= len(rows) + SPAN
            if reached < last:
                want.spans.appendleft((actor, reached + 1, last))
            found = portions(rows, replica.state.wires, replica.out.room)
            for low, high, seq, data in _covering(first, reached, found):
                if len(data) > replica.out.room:
                    self._send_row(transfer.peer, want, actor, seq, data)
                else:
                    batch.put((actor, low, high, data))
                want.sent += len(data)
                if want.sent >= budget:
                    break
        if want.sent >= budget:
            want.spans.clear()  # the asker sees what did not come
        if not want.spans:
            transfer.wants.popleft()
            transfer.deadline = self._patience(want.sent, now)  # nothing is asked before
            transfer.given.pop(want.asked, None)
            transfer.given[want.asked] = now + self._time_for(want.sent), want.end
            if len(transfer.given) > WANTS:
                del transfer.given[next(iter(transfer.given))]
        batch.send(final=not want.spans)

    def _slice(self, frozen: Frozen, owner: ActorRows, first: int, last: int, limit: int) -> tuple[list[Row], int]:
        rows, reached, whole = frozen.slice(owner, first, last, limit)
        if not whole:
            self._replica.flush()  # a client is removing some of them: then they are in the books
            rows, reached, whole = frozen.slice(owner, first, last, limit)
            assert whole, "after a cut no row is hidden"
        return rows, reached

    def _send_row(self, to: str, want: Request, actor: Actor, seq: int, data: bytes) -> None:
        """A row that is larger than a message, without the pieces that are there."""
        pieces = cut_up(data, self._replica.out.room, ROW, actor, seq)
        total, bits = want.parts.get((actor, seq), (0, 0))
        for piece in pieces:
            if total != len(pieces) or not bits >> piece.index & 1:
                self._replica.out.send(Lane.INBOX, to, piece)
                want.end = piece


class Batch:
    """Items of one answer, put into as few messages as fit."""

    def __init__(self, replica: Replica, to: str, stream: int, number: int) -> None:
        self._replica = replica
        self._to = to
        self._stream = stream
        self._number = number
        self._items: list[tuple[Actor, int, int, bytes]] = []
        self._size = 0

    def put(self, item: tuple[Actor, int, int, bytes]) -> None:
        """One more; what is full leaves."""
        size = len(item[3]) + len(item[0].name.encode()) + ITEM
        if self._items and (self._size + size > self._replica.out.room or len(self._items) == MAX_LIST):
            self.send(final=False)
        self._items.append(item)
        self._size += size

    def send(self, final: bool) -> None:
        """Send what is there, or at the end that it is the end."""
        if self._items or final:
            items, self._items, self._size = self._items, [], 0
            self._replica.out.send(Lane.INBOX, self._to, Rows(self._stream, self._number, items, final))


def _covering(first: int, reached: int, found: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, int, int, bytes]]:
    """(first, last, seq of the last row, rows) of portions that together cover first..reached."""
    waiting: tuple[int, bytes] | None = None
    for last, data in found:
        if waiting is not None:
            yield first, waiting[0], *waiting
            first = waiting[0] + 1
        waiting = last, data
    if waiting is not None:
        yield first, reached, *waiting


def _held(data: bytes, held: list[tuple[Actor, int, int]]) -> bool:
    """Whether the asker has this frame, and only waits for others."""
    actor, first, last = span(data)
    return any(actor == name and low <= first and last <= high for name, low, high in held)
