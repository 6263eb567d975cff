"""One snapshot as it comes in: the list of what is live, then the rows that are neither applied nor staged.

Knows: what is still to be asked for. Promises: a bounded number of requests under way; what has come is on disk and is
never asked for again, in this attempt or a later one, here or elsewhere; no step takes longer than reading one part of
the list, or one message of rows. Must not know: whom to ask, when to give up (recovery.py).

The list is read after all of it has come, a part at a time. From it follow the spans of rows to ask for, each of about
TICKET rows. A request (WANT) names such spans; its answer (ROWS, and PIECEs of rows that are larger than a message) may
cover a part of them only. Requests are answered in order, so an answer shows that earlier ones were lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from crdt.codec import rows_within
from crdt.dots import Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Group
from crdt.frozen import SLICE
from crdt.replica.effects import Lane
from crdt.replica.held import RUN_COST
from crdt.replica.intake import MOST_ACTORS
from crdt.replica.messages import ROW, More, Piece, Rows, Want
from crdt.replica.pieces import Assembly
from crdt.replica.snapshot import decode_part

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

TICKET: Final = SLICE  # rows asked for in one request
TICKETS: Final = 4  # requests under way
SPANS: Final = 128  # in one request
LISTED_COST: Final = 600  # bytes that an actor takes of whom the list was read
GIVEN_UP: Final = 0  # no request has that number

Span = tuple[Actor, int, int, int]  # actor, first seq, last seq, rows in it


class Fetch:
    """See the module. `vector` and `live` are whole once `read` is."""

    def __init__(self, replica: Replica, peer: str, stream: int, total: int, now: float) -> None:
        self.peer = peer
        self.stream = stream
        self.vector: dict[Actor, int] = {}
        self.live: dict[Actor, Runs] = {}
        self._replica = replica
        self._list = Assembly(total, now)
        self._size = 0  # bytes of the list: of what came, and of what was read what it takes decoded
        self._strangers = 0  # actors of it that are not known here
        self._acknowledged = 0
        self._read = 0
        self._todo: deque[Span] = deque()
        self._have: dict[Actor, Runs] = {}
        self._tickets: dict[int, list[Span]] = {}
        self._fruitful: set[int] = set()  # those of which something has come
        self._repeated: dict[int, int] = {}  # requests that were given up -> the one that repeats them
        self._number = 0

    @property
    def listed(self) -> bool:
        """The whole list has come."""
        return self._list.complete()

    @property
    def reading(self) -> bool:
        """There is a part of the list to be read: `read_part`."""
        return self.listed and self._read < self._list.total

    @property
    def complete(self) -> bool:
        """Every row that is needed is staged."""
        return self.listed and not self.reading and not self._todo and not self._tickets

    # -- the list -----------------------------------------------------------------------------------------------------

    def on_part(self, piece: Piece) -> bool:
        """A part of the list came; whether it is new. Raises PeerError."""
        added = self._list.add(piece)
        self._count(added)
        parts = len(self._list.parts)
        if self.listed or parts - self._acknowledged >= max(1, self._replica.tuning.window // 2):
            self._acknowledged = parts
            self._say(More(self.stream, self._list.next_missing(), []))
        return added > 0

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > max(self._replica.tuning.held_bytes, self._replica.tuning.frame_bytes):
            raise PeerError("held_full", "list of a snapshot")

    def read_part(self) -> None:
        """One part of the list, in order. Raises PeerError."""
        data = self._list.parts.pop(self._read)
        self._read += 1
        self._list.parts[self._read - 1] = b""
        self._count(-len(data))
        for actor, n, runs in decode_part(data):
            self._count((0 if actor in self.vector else LISTED_COST) + RUN_COST * len(runs.starts))
            self._meet(actor)
            live = self.live.get(actor)
            if self.vector.setdefault(actor, n) != n or (
                live and live.stops and runs.starts and runs.starts[0] < live.stops[-1]
            ):
                raise PeerError("malformed", "snapshot: a list in two minds")
            if live is None:
                self.live[actor] = runs
            else:
                for start, stop in runs.spans():
                    live.append(start, stop)
            if runs.starts:
                self._need(actor, runs)
        if not self.reading:
            self._have.clear()
            self._replica.merging.outlived(self.vector, self.live)

    def _meet(self, actor: Actor) -> None:
        known = self._replica.state.indexes
        if actor not in known and actor not in self.vector:
            self._strangers += 1
            if len(known) + self._strangers >= MOST_ACTORS:
                raise PeerError("actors", "more than can be numbered")

    def still_reading(self) -> None:
        """Tell the peer that rows will be asked for."""
        self._say(More(self.stream, self._list.total, []))

    def _need(self, actor: Actor, runs: Runs) -> None:
        """Add those rows to what has to be asked for that are neither applied nor staged."""
        applied = self._replica.state.applied(actor)
        if runs.stops[-1] <= applied + 1:
            return
        have = self._have.get(actor)
        if have is None:
            have = self._have[actor] = self._replica.merging.staged.seqs(actor)
        for part in runs.within(applied + 1, runs.stops[-1]):
            first = part.start
            for gone in have.within(part.start, part.stop):
                self._span(actor, first, gone.start - 1, have)
                first = gone.stop
            self._span(actor, first, part.stop - 1, have)

    def _span(self, actor: Actor, first: int, last: int, have: Runs) -> None:
        while first <= last:
            whose, start, before, count = self._todo[-1] if self._todo else (None, 0, 0, TICKET)
            # Dots that are dead may lie within a span; what is staged must not, because the answer would repeat it.
            if whose != actor or count >= TICKET or have.within(before, first):
                start, count = first, 0
            else:
                self._todo.pop()
            end = min(last, first + TICKET - count - 1)
            self._todo.append((actor, start, end, count + end - first + 1))
            first = end + 1

    # -- the rows -----------------------------------------------------------------------------------------------------

    def request(self) -> None:
        """Ask for rows, as far as there is room for requests under way."""
        while self._todo and len(self._tickets) < TICKETS:
            spans: list[Span] = []
            rows = 0
            most = max(1, min(SPANS, self._replica.out.room // 100))
            while self._todo and len(spans) < most and rows < TICKET:
                spans.append(self._todo.popleft())
                rows += spans[-1][3]
            self._number += 1
            self._tickets[self._number] = spans
            wanted = [(actor, first, last) for actor, first, last, _ in spans]
            self._say(Want(self.stream, self._number, wanted, self._partial(spans)))
        if self.complete:
            self._say(Want(self.stream, 0, []))

    def _partial(self, spans: list[Span]) -> list[tuple[Actor, int, int, bytes]]:
        """The pieces that are here of rows in these spans."""
        out: list[tuple[Actor, int, int, bytes]] = []
        for whose, seq, assembly in self._replica.pieces.partial(self.peer, ROW):
            if any(actor == whose and first <= seq <= last for actor, first, last, _ in spans):
                out.append((whose, seq, assembly.total, assembly.bits()))
        return out[:4]

    def on_rows(self, message: Rows) -> bool:
        """Rows came, or the end of an answer that brought some: whether that was progress. Raises PeerError if they are
        not what was asked for.
        """
        if message.stream != self.stream:
            return False
        late = self.late(message)
        numbers = list(self._tickets) if late else [message.number]
        news = False
        for actor, first, last, data in message.items:
            news |= any(self._take(number, actor, first, last, data) for number in numbers)
        if message.final:
            number = self._repeated.pop(message.number, 0) if late else message.number
            news |= number in self._fruitful
            if late:
                self._todo.extendleft(reversed(self._pop(number)))
            else:
                self._close(number)
        return news

    def late(self, message: Rows) -> bool:
        """Whether these answer a request that was given up, and repeated since: they are as good as others."""
        return message.stream == self.stream and message.number not in self._tickets

    def on_row(self, actor: Actor, seq: int, data: bytes) -> bool:
        """One large row is complete. Raises PeerError."""
        if any(self._take(number, actor, seq, seq, data) for number in list(self._tickets)):
            return True
        # Its request may have been given up: what comes by several ways comes in any order, the end of an answer too.
        at = next(
            (i for i, (whose, low, high, _) in enumerate(self._todo) if whose == actor and low <= seq <= high), -1
        )
        if at < 0:
            return False
        self._tickets[GIVEN_UP] = [self._todo[at]]
        del self._todo[at]
        took = self._take(GIVEN_UP, actor, seq, seq, data)
        self._todo.extendleft(reversed(self._pop(GIVEN_UP)))
        return took

    def again(self) -> None:
        """Nothing has come for a while: repeat the oldest request, or ask for missing parts of the list.

        If others were lost as well, its answer shows that; if the link is slow, no more than one is answered twice.
        """
        if self.listed:
            oldest, following = min(self._tickets, default=0), self._number + 1
            self._close(oldest)
            self.request()
            if oldest and following in self._tickets:
                for number, by in list(self._repeated.items()):
                    if by == oldest:
                        self._repeated[number] = following
                    elif by not in self._tickets:
                        del self._repeated[number]
                self._repeated[oldest] = following
            return
        index = self._list.next_missing()
        window = range(index, min(index + self._replica.tuning.window, self._list.total))
        self._say(More(self.stream, index, [i for i in window if i not in self._list.parts]))

    def _close(self, number: int) -> None:
        """No more will come for this request, nor for those before it: what they lack is asked for again."""
        for lost in [n for n in self._tickets if n <= number]:
            self._todo.extendleft(reversed(self._pop(lost)))

    def _pop(self, number: int) -> list[Span]:
        self._fruitful.discard(number)
        return self._tickets.pop(number, [])

    def _take(self, number: int, actor: Actor, first: int, last: int, data: bytes) -> bool:
        """Rows first..last: stage them and cross them off. False if they were not asked for there."""
        spans = self._tickets.get(number, [])
        at = next((i for i, (a, low, high, _) in enumerate(spans) if a == actor and low <= first and last <= high), -1)
        if at < 0 or first > last:
            return False
        _, low, high, _ = spans[at]
        live = self.live[actor]
        seqs = self._checked(rows_within(data, self.vector), live, first, last)
        rest = [(actor, a, b, live.count(a, b)) for a, b in ((low, first - 1), (last + 1, high)) if a <= b]
        spans[at : at + 1] = [span for span in rest if span[3]]
        self._fruitful.add(number)
        if not spans:
            self._pop(number)  # all of it has come, by whichever answers
        self._replica.out.order(self._replica.merging.staged.add(actor, seqs, data))
        return True

    @staticmethod
    def _checked(groups: list[Group], live: Runs, first: int, last: int) -> Runs:
        """The seqs of the rows, which are those that the list names. Raises PeerError."""
        seqs = groups[0].seqs if len(groups) == 1 else sorted(seq for group in groups for seq in group.seqs)
        runs = Runs(seqs)
        if not seqs or [(r.start, r.stop) for r in live.within(first, last + 1)] != list(runs.spans()):
            raise PeerError("malformed", "rows that the snapshot does not claim")
        return runs

    def _say(self, message: More | Want) -> None:
        self._replica.out.send(Lane.INBOX, self.peer, message, self._replica.state.actor)
