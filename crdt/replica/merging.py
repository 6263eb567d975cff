"""From the last row of a snapshot to its being joined: what is staged, and the one join that is under way.

Knows: where the parts of a join lie, what has to follow into it. Promises: rows, vector and floors of a joined snapshot
are stored in one transaction, before any own frame that is cut after it; a join that cannot be finished leaves
everything as it was, and what is staged stays for the next attempt; a disk that cannot take it is not tried all the
time.
Must not know: how rows come (fetching.py), how a join is made (crdt/joining.py).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from crdt.codec import rows_within
from crdt.dots import FIRST_OWN, Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Frame, Group
from crdt.joining import Joining, Part
from crdt.replica.effects import Join, Resync, Unstage
from crdt.replica.events import Merged
from crdt.replica.staged import Staged

if TYPE_CHECKING:
    from crdt.replica.replica import Replica


class Merging:
    """See the module. `joining` is the join under way, if there is one."""

    def __init__(self, replica: Replica) -> None:
        self.staged = Staged()
        self.joining: Joining | None = None
        self._replica = replica
        self._from = ""  # the peer that gave the list
        self._strangers = 0
        self._unreadable: list[int] = []

    @property
    def strangers(self) -> int:
        """How many actors the join under way brings that were not known here: they need numbers too."""
        return 0 if self.joining is None else self._strangers

    def begin(self, peer: str, vector: dict[Actor, int], live: dict[Actor, Runs]) -> None:
        """Every row of a snapshot is staged: order it to be joined, if it teaches anything."""
        indexes = self._replica.state.indexes
        self._strangers = sum(actor not in indexes for actor in vector)
        if len(indexes) + self._strangers > FIRST_OWN:
            self._replica.drop("actors")
            self.tidy()
        elif any(n > self._replica.state.applied(actor) for actor, n in vector.items()):
            self.joining = Joining(self._replica.state, vector, live, self._parts)
            self._from = peer
            self._replica.out.order(Join(self.joining))
        else:
            self.tidy()

    def follow(self, frame: Frame) -> None:
        """The state has cut this frame, or applied it."""
        if self.joining is not None:
            self.joining.follow(frame)

    def abandon(self) -> None:
        """We are no longer who began it."""
        if self.joining is not None:
            self.joining.abandon()
            self.joining = None

    def on_merged(self, event: Merged, now: float) -> None:
        """The join is built: let it take the place of the state, stored together with what it releases."""
        replica, joining = self._replica, event.joining
        if joining is not self.joining:
            return
        replica.flush()  # what this cuts follows into the join
        self.joining = None
        if joining.failed or not event.whole:
            joining.abandon()
            self._drop(tuple(self._unreadable))
            pause = replica.transit if event.whole else replica.hello_period
            replica.recovery.suspect(self._from, now + pause, sure=True)
            return
        taught = {actor: n for actor, n in joining.vector.items() if n > replica.state.applied(actor)}
        replica.serving.thaw()
        replica.healing.clear()
        joining.finish()
        replica.out.order(Resync(joining))
        replica.intake.release(now)
        replica.flush(taught)
        self.tidy()
        replica.acks.answer()
        replica.recovery.suspect(self._from, now + replica.transit)

    def tidy(self) -> None:
        """What is covered by what was applied need not lie there any more, unless a join is just reading it."""
        if self.joining is not None:
            return
        self._drop(self.staged.covered(self._replica.state.applied))

    def outlived(self, vector: dict[Actor, int], live: dict[Actor, Runs]) -> None:
        """A list has come: rows of an earlier attempt that have died since would lie there for as long as none ends."""
        self._drop(self.staged.dead(vector, live))

    def _drop(self, numbers: tuple[int, ...]) -> None:
        self._unreadable.clear()
        if numbers:
            self.staged.drop(numbers)
            self._replica.out.order(Unstage(numbers))

    def _parts(self, actor: Actor) -> list[Part]:
        items = ((number, self.staged.items[number]) for number in self.staged.of(actor))
        return [(item.first, item.last, partial(self._rows, number)) for number, item in items]

    def _rows(self, number: int) -> list[Group]:
        """Staged rows, if they can be read and speak of nobody but whom the join knows. Raises PeerError."""
        data, joining = self._replica.log.staged(number), self.joining
        assert joining is not None, "only a join that is under way reads"
        try:
            groups = rows_within(data, joining.vector) if data is not None else []
        except PeerError:
            groups = []
        if not groups:
            self._unreadable.append(number)
            raise PeerError("malformed", "staged rows that are damaged, or name whom their snapshot does not")
        return groups
