"""What is larger than a message, in pieces, and together again. Bounded in bytes; what gets no further is given up.

A lost piece costs a PULL, which says which pieces are here already (`parts`), so that only the others come again.
Where there is no room, what has waited longest for its next piece makes some. One thing may always be as large as the
largest that an honest peer has to send, whatever else comes meanwhile, because a frame that can never be put together
would stop its author here for ever: the largest is not counted, and makes room last of all. So whoever sends pieces of
what never comes holds up nobody whose pieces do come, however slowly. Of two from one sender that do not both find
room the one that is needed first goes on, or has begun: if they made room for each other neither would be done. Unless
it gets no further while all of the other comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica.messages import Piece

MAX_PIECES: Final = 1 << 16
OVERHEAD: Final = 200  # bytes that an assembly takes besides its content, counted so that empty ones are bounded
EACH: Final = 128  # and that a piece takes: those of a few bytes must not fill memory

Name = tuple[str, int, Actor, int]  # sender, and of the Piece: stream, actor, seq


def cut_up(data: bytes, size: int, stream: int, actor: Actor, seq: int) -> list[Piece]:
    """`data` as pieces of at most `size` bytes of content."""
    total = max(1, -(-len(data) // size))
    return [Piece(stream, actor, seq, i, total, data[i * size : (i + 1) * size]) for i in range(total)]


@dataclass(slots=True)
class Assembly:
    """Pieces of one thing as they come in; the last new one came at `grown`."""

    total: int
    grown: float
    size: int = OVERHEAD
    parts: dict[int, bytes] = field(default_factory=dict)

    def add(self, piece: Piece) -> int:
        """Take a piece in; how many bytes of memory that adds, 0 if it is not new."""
        if piece.total != self.total or piece.index >= self.total or piece.index in self.parts:
            return 0
        self.parts[piece.index] = piece.data
        self.size += len(piece.data) + EACH
        return len(piece.data) + EACH

    def complete(self) -> bool:
        return len(self.parts) == self.total

    def whole(self) -> bytes:
        return b"".join(self.parts[i] for i in range(self.total))

    def bits(self) -> bytes:
        """One bit for each piece that has come, the first piece the lowest bit of the first byte."""
        return sum(1 << i for i in self.parts).to_bytes((self.total + 7) // 8, "little")

    def next_missing(self) -> int:
        """The lowest index that has not come."""
        return next((i for i in range(self.total) if i not in self.parts), self.total)


class Pieces:
    """Assemblies by sender and name, those that grew last at the end. `limit`: bytes of all but the largest; `alone`:
    of one. So at most both together are held.
    """

    __slots__ = ("_largest", "_open", "_refused", "alone", "bytes", "limit", "taken")

    def __init__(self, limit: int, alone: int = 0) -> None:
        self.bytes = 0
        self.taken = 0  # pieces that were new, whatever had to make room for them
        self._refused = 0  # pieces that had to wait since the largest has grown
        self._open: dict[Name, Assembly] = {}
        self._largest: Name | None = None  # of those that grew since the last such was gone
        self.bound(limit, alone)

    def bound(self, limit: int, alone: int) -> None:
        """From now on at most so much; what is there stays until there has to be room."""
        self.limit = limit
        self.alone = max(limit, alone)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sender: str, piece: Piece, now: float) -> bytes | None:
        """The whole when this was its last missing piece. Raises PeerError for what is larger than may be, or waits."""
        if not 0 <= piece.index < piece.total <= MAX_PIECES:
            return None
        name = (sender, piece.stream, piece.actor, piece.seq)
        known = self._open.get(name)
        assembly = known if known is not None and known.total == piece.total else Assembly(piece.total, now)
        if piece.index in assembly.parts:
            return None
        size = assembly.size + len(piece.data) + EACH
        if len(assembly.parts) + 1 < piece.total and self._must_wait(name, size, piece.total):
            raise PeerError("held_full", "another one from this sender goes on")
        if known is not None:
            self._drop(name)
        if size > self.alone:
            raise PeerError("held_full", "larger than what may wait")
        assembly.add(piece)
        assembly.grown = now
        self.taken += 1
        if assembly.complete():
            return assembly.whole()
        self._make_room(assembly.size)
        self._open[name] = assembly
        self.bytes += assembly.size
        if assembly.size > self._spared():
            self._largest, self._refused = name, 0
        return None

    def partial(self, sender: str, kind: int) -> Iterator[tuple[Actor, int, Assembly]]:
        """The frames, or rows (`kind`, see Piece), of which some pieces came from this sender."""
        for (name, stream, actor, seq), assembly in self._open.items():
            if name == sender and stream == kind:
                yield actor, seq, assembly

    def expire(self, before: float, asked: str = "") -> None:
        """Give up what has not grown since this time, but nothing of the peer that is `asked` for the rest of it."""
        for name in [name for name, a in self._open.items() if a.grown < before and name[0] != asked]:
            self._drop(name)

    def _must_wait(self, name: Name, size: int, total: int) -> bool:
        """Whether there is only room for this if the largest goes, which is of the same sender and stream and grows.
        After frames come rows, or rows after frames, when the question was another: what came before is not needed.
        """
        largest = self._largest
        if largest is None or largest == name or largest[:2] != name[:2] or min(size, self._spared()) <= self.limit:
            return False
        if largest[:3] == name[:3] and name[3] < largest[3]:
            return False
        self._refused += 1
        return self._refused <= total

    def _make_room(self, size: int) -> None:
        """For one more of this size."""
        while self._open and self.bytes + size - max(size, self._spared()) > self.limit:
            names = iter(self._open)
            name = next(names)
            self._drop(next(names, name) if name == self._largest else name)

    def _spared(self) -> int:
        """Bytes that are not counted."""
        return 0 if self._largest is None else self._open[self._largest].size

    def _drop(self, name: Name) -> None:
        if name == self._largest:
            self._largest = None
        self.bytes -= self._open.pop(name).size
