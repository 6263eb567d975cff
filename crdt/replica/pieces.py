"""What is larger than a message, in pieces, and together again. Bounded in bytes and time.

A lost piece costs a PULL, which says which pieces are here already (`parts`), so that only the others come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from crdt.dots import Actor
from crdt.replica.messages import Piece

MAX_PIECES: Final = 1 << 16
OVERHEAD: Final = 200  # bytes that an assembly takes besides its content, counted so that empty ones are bounded


def cut_up(data: bytes, size: int, stream: int, actor: Actor, seq: int) -> list[Piece]:
    """`data` as pieces of at most `size` bytes of content."""
    total = max(1, -(-len(data) // size))
    return [Piece(stream, actor, seq, i, total, data[i * size : (i + 1) * size]) for i in range(total)]


@dataclass(slots=True)
class Assembly:
    """Pieces of one thing as they come in."""

    total: int
    since: float
    parts: dict[int, bytes] = field(default_factory=dict)

    def add(self, piece: Piece) -> int:
        """Take a piece in; how many bytes that adds."""
        if piece.total != self.total or piece.index >= self.total or piece.index in self.parts:
            return 0
        self.parts[piece.index] = piece.data
        return len(piece.data)

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
    """Assemblies by sender and name."""

    __slots__ = ("_open", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._open: dict[tuple[str, int, Actor, int], Assembly] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sender: str, piece: Piece, now: float) -> bytes | None:
        """The whole when this was its last missing piece. None also when there is no room."""
        name = (sender, piece.stream, piece.actor, piece.seq)
        if self.bytes + len(piece.data) + OVERHEAD > self.limit or not 0 < piece.total <= MAX_PIECES:
            return None
        assembly = self._open.get(name)
        if assembly is None or assembly.total != piece.total:
            self._drop(name)
            assembly = self._open[name] = Assembly(piece.total, now)
            self.bytes += OVERHEAD
        self.bytes += assembly.add(piece)
        if not assembly.complete():
            return None
        self._drop(name)
        return assembly.whole()

    def partial(self, sender: str, kind: int) -> Iterator[tuple[Actor, int, Assembly]]:
        """The frames, or rows (`kind`, see Piece), of which some pieces came from this sender."""
        for (name, stream, actor, seq), assembly in self._open.items():
            if name == sender and stream == kind:
                yield actor, seq, assembly

    def expire(self, before: float) -> None:
        """Give up what began before this time."""
        for name in [name for name, assembly in self._open.items() if assembly.since < before]:
            self._drop(name)

    def _drop(self, name: tuple[str, int, Actor, int]) -> None:
        assembly = self._open.pop(name, None)
        if assembly is not None:
            self.bytes -= OVERHEAD + sum(map(len, assembly.parts.values()))
