"""The answering side of repair: frames from the log, or a snapshot where the log no longer reaches back.

Promises: every answer makes progress, whatever the budget; a snapshot leaves only when everything in it is stored; a
bounded number of snapshots at a time. Must not know: what this replica lacks itself (recovery.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crdt.dots import Actor, dominates
from crdt.replica.effects import Lane
from crdt.replica.messages import More, Piece, Pull, Repair
from crdt.replica.outbox import packed, span
from crdt.replica.pieces import cut_up
from crdt.replica.snapshot import encode_snapshot

if TYPE_CHECKING:
    from crdt.replica.replica import Replica

NEVER: Final = float("inf")
RESERVED: Final = 2  # streams below are FRAME and LETTER


@dataclass(slots=True)
class Transfer:
    """A snapshot on its way to a peer that was at `base`; it may leave once `batch` is stored."""

    peer: str
    base: dict[Actor, int]
    batch: int
    pieces: list[Piece]
    index: int  # the asker has everything below
    sent: int
    deadline: float


class Serving:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._transfers: dict[int, Transfer] = {}
        self._asked = ("", 0.0)  # who last asked for own operations, and when
        self._again_at = NEVER  # when own operations above `_again_from` are published once more
        self._again_from = 0

    def __contains__(self, stream: int) -> bool:
        return stream in self._transfers

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        return min([self._again_at, *(transfer.deadline for transfer in self._transfers.values())])

    def tick(self, now: float) -> None:
        """Give up transfers whose asker is gone; publish again what several have asked for."""
        if now >= self._again_at:
            self._again(now)
        for stream in [s for s, t in self._transfers.items() if t.deadline <= now]:
            del self._transfers[stream]

    def clear(self) -> None:
        """Nobody can be reached."""
        self._transfers.clear()
        self._again_at = NEVER

    def answer(self, to: str, pull: Pull, now: float) -> None:
        """Send what the asker lacks."""
        replica, have, floor = self._replica, pull.vector, self._replica.log.floor()
        if not pull.whole:
            if any(n < floor.get(actor, 0) for actor, n in have.items()):
                replica.out.send(Lane.INBOX, to, Repair([], 1, False, replica.view.vector_sum))
                return  # it will ask with its whole vector, which a snapshot needs
            have = replica.state.vector() | have
        elif not dominates(have, floor):
            self._offer_snapshot(to, have, now)
            return
        if self._publish_again(to, have, now):
            have = have | {replica.state.actor: replica.own_stored}
        frames, complete = replica.log.missing(have, min(pull.budget, replica.tuning.repair_budget))
        replica.counts["repairs"] += 1
        replica.counts["frames_out"] += len(frames)
        if pull.held:
            frames = [data for data in frames if not _held(data, pull.held)]
        if frames and have.get(replica.state.actor, 0) < replica.own_stored:
            replica.witness(replica.own_stored)
        parts = {(actor, last): (total, bits) for actor, last, total, bits in pull.parts}
        items = packed(frames, replica.out.room, parts)
        if not items or isinstance(items[-1], Piece):
            items.append([])
        for number, item in enumerate(items, 1):
            if isinstance(item, Piece):
                replica.out.send(Lane.INBOX, to, item)
            else:
                total = number if number == len(items) else 0
                replica.out.send(Lane.INBOX, to, Repair(item, total, complete, replica.view.vector_sum))

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
        if self._again_at == NEVER:
            if asked[0] in ("", to) or now - asked[1] > replica.patience:
                return False
            if not replica.log.missing(replica.state.vector() | {own: n}, replica.out.room)[1]:
                return False
            self._again_at = now + replica.patience
            self._again_from = n
        return n >= self._again_from

    def _again(self, now: float) -> None:
        replica = self._replica
        self._again_at = NEVER
        have = replica.state.vector() | {replica.state.actor: self._again_from}
        frames, _ = replica.log.missing(have, replica.out.room)
        if frames:
            replica.witness(replica.own_stored)
            replica.counts["frames_out"] += len(frames)
            replica.out.publish(frames)
            replica.greeting.soon(now)

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _offer_snapshot(self, to: str, base: dict[Actor, int], now: float) -> None:
        replica = self._replica
        for stream, transfer in list(self._transfers.items()):
            if transfer.peer == to:
                if transfer.base == base:  # the question was repeated: the beginning was lost
                    transfer.sent = transfer.index
                    self._advance(stream, transfer.index, now)
                    return
                del self._transfers[stream]  # asking anew, it has given that one up
        if len(self._transfers) >= replica.tuning.transfers:
            return  # the asker will ask again, or ask another
        replica.flush()
        replica.counts["snapshots"] += 1
        data = encode_snapshot(replica.state, base)
        stream = replica.rng.getrandbits(63) + RESERVED
        pieces = cut_up(data, replica.out.room, stream, replica.state.actor, replica.state.me.applied)
        self._transfers[stream] = Transfer(to, base, replica.batch, pieces, 0, 0, now + 2 * replica.tuning.pull_timeout)
        self._advance(stream, 0, now)

    def persisted(self, now: float) -> None:
        """More is stored: snapshots that waited for it may leave."""
        for stream, transfer in list(self._transfers.items()):
            if not transfer.sent:
                self._advance(stream, 0, now)

    def _advance(self, stream: int, index: int, now: float) -> None:
        """The asker has everything below `index`: keep a window of pieces in flight."""
        replica, transfer = self._replica, self._transfers[stream]
        if replica.stored < transfer.batch:
            return
        if index >= len(transfer.pieces):
            del self._transfers[stream]
            return
        transfer.index = max(transfer.index, index)
        transfer.deadline = now + 2 * replica.tuning.pull_timeout
        if not transfer.sent:
            replica.witness(replica.own_stored)
        end = min(transfer.index + replica.tuning.window, len(transfer.pieces))
        for piece in transfer.pieces[max(transfer.index, transfer.sent) : end]:
            replica.out.send(Lane.INBOX, transfer.peer, piece)
        transfer.sent = max(transfer.sent, end)

    def on_more(self, sender: str, message: More, now: float) -> None:
        """The asker got pieces, and wants others."""
        replica, transfer = self._replica, self._transfers.get(message.stream)
        if transfer is None or transfer.peer != sender:
            gone = Piece(message.stream, replica.state.actor, 0, 0, 0, b"")
            replica.out.send(Lane.INBOX, sender, gone)
            return
        if not transfer.sent:
            return
        for index in message.lost:
            if index < transfer.sent:
                replica.out.send(Lane.INBOX, sender, transfer.pieces[index])
        self._advance(message.stream, message.index, now)


def _held(data: bytes, held: list[tuple[Actor, int, int]]) -> bool:
    """Whether the asker has this frame, and only waits for others."""
    actor, first, last = span(data)
    return any(actor == name and low <= first and last <= high for name, low, high in held)
