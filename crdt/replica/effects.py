"""What a replica orders its shell to do, as values.

The order of a list of effects is a contract. The shell carries them out one after the other; `Witness` before the
`Send` it covers; and nothing that a `Persist` holds may leave before `Persisted` has come back (the replica sees to
that by not ordering the `Send` until then).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from crdt.dots import Actor
from crdt.joining import Joining


class Lane(Enum):
    """Where a message goes: three broadcasts of the sender, and the inbox of one receiver."""

    DELTA = "d"
    HELLO = "h"
    PRESENCE = "p"
    INBOX = "i"


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One frame as the log holds it: `data` is self-contained and opaque to the store."""

    actor: Actor
    first: int
    last: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these frames, in this order, in one transaction; then report `Persisted(batch)`.

    Several that follow each other may share both.

    `floors`: per actor, what a joined snapshot taught without frames: the log must not claim to reach below it.
    `snapshot`: true if the live rows changed by a join: the checkpoint that `Join` began becomes the valid one in the
    same transaction.
    """

    batch: int
    frames: tuple[LogFrame, ...]
    floors: tuple[tuple[Actor, int], ...] = ()
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Witness:
    """Remember, outside the data directory, that own operations up to `seq` may be known to others from now on."""

    seq: int


@dataclass(frozen=True, slots=True)
class Send:
    """Hand `data` to the transport. `to` names the receiver for the inbox lane and is None for broadcasts."""

    lane: Lane
    to: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """Peers changed these keys: (key, event name) pairs in order, each pair once per frame."""

    changes: tuple[tuple[bytes, str], ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """A snapshot was joined, and any key may have changed. Give `joining.changes` to those who listen, in slices, then
    call `joining.discard` until it returns False.
    """

    joining: Joining


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator should know. `code` is stable and counted, `text` says what happened and what to do."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Keep these rows of one actor until `Unstage` names their `number`; losing them costs time only.

    `data` is what `LogReader.staged` gives back, `seqs` (see `crdt.replica.staged`) what a start is told of it.
    """

    number: int
    actor: Actor
    first: int
    last: int
    seqs: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Unstage:
    """What was staged under these numbers is not needed any more."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """All rows of a snapshot have come. In slices, while everything else goes on: commit, `joining.begin()`, begin a
    checkpoint at `joining.vector`, `joining.step()` to the end, write the chunks of `joining.next`; then report
    `Merged`. One at a time, and no other checkpoint meanwhile. If `joining.abandoned`, give the checkpoint up.
    """

    joining: Joining


Effect = Persist | Witness | Send | Notify | Alarm | Stage | Unstage | Join | Resync
