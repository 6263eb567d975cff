"""An entry: the live rows of one key and one type.

Promises the few verbs that `state.py` needs of every type, so that join, diff, hash, snapshot and garbage collection
are written once. A row is (dot, entry, field, payload); `field` is None in types that have a single cell.
Must not know: frames, other keys.

Payloads have two forms. *Raw* is what an entry holds: None (the dot alone matters), bytes (a plain value), or a tuple
(a number's count, baseline or value with baselines; it may hold packed dots). *Wire* is what is hashed, sent and
stored: None, bytes, a count as it is held, if it is a `Counted`, or `msgpack.ExtType(1, canonical bytes)`, which names
actors in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgpack

from crdt.dots import SEQ_MASK

if TYPE_CHECKING:
    from crdt.dots import Actor
    from crdt.state import State

Raw = Any  # None | bytes | tuple: see above
Counted = tuple[int, int, int]  # COUNTED, the seq with which it began, how much it has come to (at most LARGEST)
Wire = Any  # None | bytes | Counted | msgpack.ExtType
STRUCTURED: Final = 1  # the code of an ExtType
COUNTED: Final = 1  # what a count begins with
LARGEST: Final = (1 << 62) - 1  # what is a word for compiled code; others travel as an ExtType
LIFETIME: Final = 7  # the type code of expire rows, which say something of the key and are not part of its value


class Gone:
    """The answer to a row that is not live (None is a payload)."""


GONE: Final = Gone()


class Leaving:
    """Rows that leave with a frame, out of the books already: by packed dot, where each stands in `raws`.

    `raws` has the raw payload of those that their entries have replaced, GONE for the others.
    """

    __slots__ = ("places", "raws")

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.raws: list[Raw | Gone] = []

    def extend(self, dots: list[Any]) -> int:
        """These leave as well; where the first of them stands."""
        places, start = self.places, len(self.raws)
        place = start
        for dot in dots:
            places[dot] = place
            place += 1
        self.raws += repeat(GONE, len(dots))
        return start

    def replaced(self, dot: Any, raw: Raw) -> bool:
        """Whether this row leaves: then the caller puts another into its place, and this was its payload."""
        place = self.places.get(dot)
        if place is None:
            return False
        self.raws[place] = raw
        return True


def is_counted(payload: tuple[Any, ...]) -> bool:
    """Whether what came as an array is a count."""
    if len(payload) != 3:
        return False
    kind, lineage, total = payload
    if type(kind) is not int or type(lineage) is not int or type(total) is not int:
        return False
    return kind == COUNTED and 0 < lineage <= SEQ_MASK and -LARGEST <= total <= LARGEST


class Entry:
    """Base of every type's entry. Class attributes announce the type; `crdt/types/catalog.py` lists them all."""

    __slots__ = ("key",)

    CODE: ClassVar[int]  # on the wire, for ever
    NAME: ClassVar[str]  # what TYPE answers
    RANK: ClassVar[int]  # which type is shown when several were made at once under one key: the lowest
    SINGLE: ClassVar[bool]  # one cell per key: frames put the keys into one column
    STRICT: ClassVar[bool] = False  # each row from outside is checked, even if its payload is plain bytes
    ADDED: ClassVar[str]  # keyspace event of a row that a peer added
    REMOVED: ClassVar[str]  # ... and of one that a peer removed
    NOTED: ClassVar[str] = ""  # ... and of what notes what was removed; not told beside REMOVED
    COUNTS: ClassVar[bool] = True  # structured payloads are counts, or speak of others' (crdt/types/numberwire.py)
    NESTED: ClassVar[bool] = False  # fields are paths: frames say them in short (crdt/fronts.py)
    PLACED: ClassVar[bool] = False  # fields end with a place (crdt/places.py): frames say runs of them in short
    POINTS: ClassVar[bool] = False  # payloads are single code points: frames say them as one text

    def __init__(self, key: bytes) -> None:
        self.key = key

    def holds(self, field: bytes | None, dot: int) -> bool:
        """Whether the row is live."""
        return self.row(field, dot) is not GONE

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        """The raw payload of a live row, else GONE."""
        raise NotImplementedError

    def raws(self, fields: list[bytes], dots: Sequence[int]) -> list[Raw | Gone]:
        """`row` of many."""
        return [self.row(field, dot) for field, dot in zip(fields, dots, strict=True)]

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        """Take in a row that a peer wrote. The payload has been checked by `check`."""
        raise NotImplementedError

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        """Take in many rows at once; `payloads` None means that each is None."""
        for field, payload, dot in zip(fields, payloads or repeat(None), dots, strict=False):
            self.insert(state, field, payload, dot)

    def swap(self, state: State, field: bytes | None, payload: Wire, dot: int, leaving: Leaving) -> bool:
        """`insert`, of a row whose frame also removes the rows `leaving`, some of which it nearly always replaces.

        They are discarded afterwards, so an entry must bear both for a moment. An override may let the new row take the
        place of one, and then says so (`leaving.replaced`): nothing more is done for the old one. True if it did: then
        the entry is shown or hidden as before.
        """
        self.insert(state, field, payload, dot)
        return False

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        """`insert_all`, as `swap` is `insert`."""
        self.insert_all(state, fields, payloads, dots)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        """Drop a row; the raw payload it had, or GONE if it was not live."""
        raise NotImplementedError

    def discard_all(self, state: State, fields: list[bytes], dots: Sequence[int]) -> list[Raw | Gone]:
        """`discard` of many."""
        return [self.discard(state, field, dot) for field, dot in zip(fields, dots, strict=True)]

    @classmethod
    def event(cls, payload: Wire) -> str:
        """Keyspace event of a row that a peer added and whose payload is structured."""
        return cls.ADDED

    def told(self, fields: list[bytes]) -> str:
        """Keyspace event of rows that a peer added to these fields."""
        return self.ADDED

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        """All live rows, committed or pending, as (field, dot, raw payload)."""
        raise NotImplementedError

    def visible(self) -> bool:
        """Whether a reader sees a key here; baselines alone are not seen."""
        raise NotImplementedError

    def contested(self, field: bytes | None) -> bool:
        """Whether several values stand side by side in a cell."""
        return False

    def empty(self) -> bool:
        """No live row is left."""
        return next(iter(self.rows()), None) is None

    def erase(self, state: State) -> None:
        """DEL: remove what is observed here. `state.sweep` has taken the plain rows; what needs more says so here."""
        raise NotImplementedError

    @classmethod
    def foster(cls, payload: Wire, owner: Actor, seq: int) -> Wire:
        """The payload of `owner`'s row `seq`, as it has to be under a dot of somebody else (crdt/mending.py).

        In every type a structured payload of kind 1 is a count, which does not name its owner.
        """
        from crdt.types import numberwire  # which imports this module

        return numberwire.foster(payload, owner, seq)

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        """Whether a row from outside is well formed for this type."""
        raise NotImplementedError

    @classmethod
    def renamed(cls, field: bytes, old: int, new: int, cut: int) -> bytes:
        """The field of a pending row that goes on as another actor's (crdt/moving.py), where fields name actors.

        `old` and `new` are the actors' seeds; operations of the old one above `cut` become the new one's from 1 on.
        """
        return field


class Opaque(Entry):
    """Rows of a type that this version does not know: kept, hashed and passed on, never shown."""

    __slots__ = ("code", "held")

    NAME = "unknown"
    RANK = 1000
    SINGLE = False
    COUNTS = False
    ADDED = "unknown"
    REMOVED = "unknown"

    def __init__(self, key: bytes, code: int) -> None:
        super().__init__(key)
        self.code = code
        self.held: dict[int, tuple[bytes | None, Wire]] = {}

    @property
    def CODE(self) -> int:  # type: ignore[override]
        return self.code

    def row(self, field: bytes | None, dot: int) -> Raw | Gone:
        held = self.held.get(dot)
        return GONE if held is None else held[1]

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        self.held[dot] = (field, payload)

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        held = self.held.pop(dot, None)
        return GONE if held is None else held[1]

    def rows(self) -> Iterator[tuple[bytes | None, int, Raw]]:
        return ((field, dot, payload) for dot, (field, payload) in self.held.items())

    def visible(self) -> bool:
        return False

    def erase(self, state: State) -> None:
        for dot, (field, payload) in self.held.items():
            state.retire(dot, self, field, payload)
        self.held.clear()

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return (field is None or type(field) is bytes) and (
            payload is None or type(payload) in (bytes, tuple, msgpack.ExtType)
        )
