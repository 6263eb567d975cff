"""Actors, dots and version vectors: the names of operations and of what has been applied.

Knows: how an operation is named and how sets of operations are compared.
Promises: a packed dot is one int, and among the dots of one actor the greater int is the later operation.
Must not know: what an operation does, where it is stored, how it travels.

An *actor* is one life of one store, a replica name and a 64-bit nonce. A *dot* is (actor, sequence number); sequence
numbers begin at 1 and have no gaps. In memory an actor is interned to a small index and a dot is packed into one int,
`index << SEQ_BITS | seq`: 32 bytes, compared in 10 ns. Packed dots are local to one State: they are never hashed,
never compared across actors for a decision that replicas must agree on, and never leave the process unresolved.

Source of terms: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), sections 4 and 7.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple

import msgpack
from xxhash import xxh3_64_intdigest

SEQ_BITS: Final = 42
SEQ_MASK: Final = (1 << SEQ_BITS) - 1
# Indexes below FIRST_OWN are other actors, interned in order of arrival; the replica's own lives are counted from it,
# so an own dot is above every foreign one and "may this pending record be overwritten" is a single comparison.
# Own dots stay below 2^62: compiled, greater ints are objects.
FIRST_OWN: Final = 1 << 19
MAX_NAME: Final = 64  # letters of an actor's
MASK_64: Final = (1 << 64) - 1
MASK_128: Final = (1 << 128) - 1
WORD: Final = "L" if array("L").itemsize == 8 else "Q"  # arrays of 64 bits; CPython fills the first in half the time


class Actor(NamedTuple):
    """One life of one store: `name` of the replica, `nonce` of 64 random bits drawn when that life began."""

    name: str
    nonce: int

    def __str__(self) -> str:
        return f"{self.name}/{self.nonce:016x}"

    def seed(self) -> int:
        """64 bits that stand for this actor in hashes."""
        return xxh3_64_intdigest(self.name.encode(), self.nonce)


def is_actor(name: object, nonce: object) -> bool:
    """Whether what came from outside can name an actor."""
    return type(name) is str and 0 < len(name) <= MAX_NAME and type(nonce) is int and 0 <= nonce <= MASK_64


class Dot(NamedTuple):
    """One operation, named so that every replica understands it."""

    actor: Actor
    seq: int

    def __str__(self) -> str:
        return f"{self.actor}:{self.seq}"


VersionVector = Mapping[Actor, int]


def dominates(left: VersionVector, right: VersionVector) -> bool:
    """True if `left` has applied everything that `right` has."""
    return all(left.get(actor, 0) >= n for actor, n in right.items() if n)


def vector_term(actor_seed: int, n: int) -> int:
    """One entry's share of a vector's hash; the hash of a vector is the sum of its terms mod 2^64.

    A sum is independent of order and changes in O(1) when one entry advances.
    """
    return xxh3_64_intdigest(n.to_bytes(8, "big"), actor_seed)


def vector_hash(vector: VersionVector) -> int:
    """64-bit hash of a whole vector; entries of 0 do not count."""
    return sum(vector_term(actor.seed(), n) for actor, n in vector.items() if n) & MASK_64


def canonical_vector(vector: VersionVector) -> bytes:
    """The one byte string of a vector: equal vectors give equal bytes on every replica."""
    packed: bytes = msgpack.packb([[a.name, a.nonce, n] for a, n in sorted(vector.items()) if n])
    return packed


def parse_vector(data: bytes) -> dict[Actor, int]:
    """Inverse of `canonical_vector`. Raises ValueError on anything else."""
    try:
        rows = msgpack.unpackb(data)
        vector = {Actor(_name(name), _count(nonce)): _count(n) for name, nonce, n in rows}
    except (msgpack.UnpackException, msgpack.ExtraData, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not a version vector") from error
    return vector


def _name(value: object) -> str:
    if type(value) is not str:
        raise ValueError("not a name")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MASK_64:
        raise ValueError("not a count")
    return value


class Runs:
    """A set of sequence numbers as ascending runs: O(runs) in memory, however many numbers a peer claims.

    `starts` and `stops` (exclusive) are parallel; runs neither touch nor overlap.
    """

    __slots__ = ("starts", "stops")

    def __init__(self, ascending: Iterable[int] = ()) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []
        stop = -1
        for seq in ascending:
            if seq == stop:
                stop = self.stops[-1] = seq + 1
            else:
                stop = seq + 1
                self.starts.append(seq)
                self.stops.append(stop)

    def append(self, start: int, stop: int) -> None:
        """Add a run that begins no earlier than the last one does."""
        if self.stops and start <= self.stops[-1]:
            self.stops[-1] = max(stop, self.stops[-1])
        else:
            self.starts.append(start)
            self.stops.append(stop)

    def spans(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of each run."""
        return zip(self.starts, self.stops, strict=True)

    def within(self, first: int, stop: int) -> list[range]:
        """What of it lies between these, as ranges."""
        at, end = bisect_right(self.stops, first), bisect_left(self.starts, stop)
        spans = zip(self.starts[at:end], self.stops[at:end], strict=True)
        return [range(max(a, first), min(b, stop)) for a, b in spans]

    def count(self, first: int, last: int) -> int:
        """How many numbers of first..last are in it."""
        return sum(map(len, self.within(first, last + 1)))

    def __contains__(self, seq: object) -> bool:
        assert isinstance(seq, int)
        at = bisect_right(self.starts, seq) - 1
        return at >= 0 and seq < self.stops[at]

    def issuperset(self, seqs: Iterable[int]) -> bool:
        """Whether all of these are in it."""
        return all(seq in self for seq in seqs)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(range(start, stop) for start, stop in self.spans())

    def __len__(self) -> int:
        return sum(self.stops) - sum(self.starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and (self.starts, self.stops) == (other.starts, other.stops)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Runs({', '.join(f'{start}..{stop - 1}' for start, stop in self.spans())})"


def union(parts: Iterable[Runs]) -> Runs:
    """Everything that is in any of them."""
    out = Runs()
    for start, stop in sorted(span for part in parts for span in part.spans()):
        out.append(start, stop)
    return out
