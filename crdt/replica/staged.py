"""What lies on disk of a snapshot that is on its way: which rows of which actor, by number.

Knows: the sequence numbers of what was staged, not its content. Promises: rows count for whatever snapshot names their
dots as live, whoever gave them, because a dot never has two contents; what is covered by the own vector, or dead by a
list, is dropped: so what lies there does not grow with the number of attempts.
Must not know: what is asked for (fetching.py), how it is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgpack

from crdt.codec import decode_live, encode_live, pack
from crdt.dots import Actor, Runs, union
from crdt.replica.effects import Stage


@dataclass(frozen=True, slots=True)
class Item:
    """One portion: rows of an actor."""

    actor: Actor
    first: int
    last: int
    seqs: Runs


class Staged:
    """See the module."""

    __slots__ = ("_actors", "_next", "items")

    def __init__(self) -> None:
        self.items: dict[int, Item] = {}
        self._actors: dict[Actor, dict[int, None]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self.items)

    def found(self, number: int, actor: Actor, seqs: bytes) -> bool:
        """A start has found this; False if that cannot be."""
        try:
            runs = decode_live(msgpack.unpackb(seqs))
        except (ValueError, TypeError, msgpack.UnpackException, msgpack.ExtraData):
            return False
        if not runs.starts:
            return False
        self._put(number, actor, runs)
        return True

    def add(self, actor: Actor, seqs: Runs, data: bytes) -> Stage:
        """More has come: the order to keep it."""
        number = self._next
        self._put(number, actor, seqs)
        return Stage(number, actor, seqs.starts[0], seqs.stops[-1] - 1, pack(encode_live(seqs)), data)

    def _put(self, number: int, actor: Actor, seqs: Runs) -> None:
        self.items[number] = Item(actor, seqs.starts[0], seqs.stops[-1] - 1, seqs)
        self._actors.setdefault(actor, {})[number] = None
        self._next = max(self._next, number + 1)

    def of(self, actor: Actor) -> list[int]:
        """The numbers of what lies there of an actor."""
        return list(self._actors.get(actor, ()))

    def seqs(self, actor: Actor) -> Runs:
        """All that lies there of an actor."""
        return union(self.items[number].seqs for number in self._actors.get(actor, ()))

    def drop(self, numbers: tuple[int, ...]) -> None:
        """Forget these."""
        for number in numbers:
            item = self.items.pop(number)
            left = self._actors[item.actor]
            del left[number]
            if not left:
                del self._actors[item.actor]

    def covered(self, applied: Callable[[Actor], int]) -> tuple[int, ...]:
        """The numbers of what nobody needs any more, because all of it was applied."""
        return tuple(number for number, item in self.items.items() if item.last <= applied(item.actor))

    def dead(self, vector: Mapping[Actor, int], live: Mapping[Actor, Runs]) -> tuple[int, ...]:
        """The numbers of what a list (its vector, its live dots) names no row of any more."""
        none = Runs()
        return tuple(
            number
            for number, item in self.items.items()
            if item.last <= vector.get(item.actor, 0) and not live.get(item.actor, none).count(item.first, item.last)
        )
