"""A cell that is set, counted and deleted: the value of a string key, of a hash field, of a grow-only counter.

    rows                  written by                                       removed by
    set    value, bases   SET; `bases` = what the counts had when SET saw  a later SET or DEL that saw it
                          them: {lineage: (n, total)}
    count  lineage, total INCR; one per actor, total = all it ever added   its owner's next INCR, a DEL that saw it
                          since the lineage began
    base   lineage, n, total   DEL of a foreign count (its dot n, total)   the owner, when the lineage is dead
    foster lineage, n, total   a replica that heals (crdt/mending.py):     a DEL that saw it
                          the count `total` at `n`, in its owner's place

    shown = value of the winning set (or 0) + sum over counted lineages of (total - b.total if b.n < n else 0)
    with b = the larger of what the winning set and the base rows say of the lineage

A lineage counts once, however many rows speak of it: its latest one stands (the highest n; of two totals at one n the
larger). So a count that several replicas have written anew, or that its owner goes on with meanwhile, is never counted
twice. Two totals under one dot, from a machine that was cloned with its memory, share a history whose length nobody
knows any more: the larger one stands, and what the other clone alone had counted up to then is lost.

Truth table (A and B concurrent, then exchanged; the key held 5 before, both had seen it):

    A             B             shown
    INCRBY 2      INCRBY 3      10       every increment counts
    SET 7         INCRBY 3      10       SET took what it saw: the 3 it had not seen stays
    SET 7         SET 9         the later by clock, both in MV.GET
    DEL           INCRBY 3      3        the deletion takes exactly what it observed
    SET 7         DEL           7

Promises: exact; a reset takes exactly the increments that it observed (invariant I8); floats are summed as
decimals, so the sum does not depend on the order of arrival; what one replica alone does with floats reads as in Redis
(longdouble.py), because an INCRBYFLOAT counts the difference between the text before and the text after.
Must not know: which entry it is part of.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crdt import longdouble
from crdt.dots import FIRST_OWN, SEQ_BITS, SEQ_MASK, Actor, Dot
from crdt.entry import GONE, Entry, Gone, Raw, Wire
from crdt.errors import NotANumberError, OverflowedError
from crdt.types.amounts import INT_MAX, INT_MIN, Amount, minus, parse, parse_int, plus, render
from crdt.types.numberwire import BASE, COUNT, FOSTER, SET, Bases, decode, encode

if TYPE_CHECKING:
    from crdt.state import State

NOT_FINITE: Final = "ERR increment would produce NaN or Infinity"
UNKNOWN: Final = object()
NEAR: Final = 1 << 61  # the sum of two below needs no look at its range; compiled, these are words, larger ones objects

Lone = tuple[int, int, Amount]  # COUNT, seq of the lineage, total
Seen = tuple[dict[Actor, int], Bases]  # what a reader had seen: the vector, and how far each count had come
Count = Lone | tuple[int, int, Amount, int]  # ... or FOSTER, lineage, total, n


class Number:
    """The rows of one cell, of which there may be a first one. `mine` is the own live count's dot, or 0."""

    __slots__ = ("_shown", "bases", "counts", "mine", "sets")

    def __init__(self, dot: int = -1, row: bytes | Lone | Number | None = None) -> None:
        self.sets: dict[int, bytes | tuple[int, bytes, Bases]] = {}
        self.counts: dict[int, Count] = {}
        self.bases: dict[int, tuple[int, int, int, Amount]] = {}
        self.mine = 0
        self._shown: Any = UNKNOWN
        if isinstance(row, bytes):
            self.sets[dot] = row
        elif isinstance(row, tuple):
            self.counts[dot] = row
            if dot >> SEQ_BITS >= FIRST_OWN:
                self.mine = dot

    # -- rows -------------------------------------------------------------------------------------------------------

    def visible(self) -> bool:
        return bool(self.sets or self.counts)

    def empty(self) -> bool:
        return not (self.sets or self.counts or self.bases)

    def merged(self) -> bool:
        """Whether more than one actor has written here."""
        return len({dot >> SEQ_BITS for held in (self.sets, self.counts, self.bases) for dot in held}) > 1

    def row(self, dot: int) -> Raw | Gone:
        for held in (self.sets, self.counts, self.bases):
            if dot in held:
                return held[dot]
        return GONE

    def rows(self) -> Iterator[tuple[int, Raw]]:
        yield from self.sets.items()
        yield from self.counts.items()
        yield from self.bases.items()

    def insert(self, state: State, entry: Entry, field: bytes | None, payload: Wire, dot: int) -> None:
        """A row that a peer wrote."""
        self._shown = UNKNOWN
        if type(payload) is bytes:
            self.sets[dot] = payload
        else:
            raw = decode(state, payload)
            if raw[0] == SET:
                self.sets[dot] = raw
            elif raw[0] == FOSTER:
                self.counts[dot] = raw
            elif raw[0] == COUNT:
                self.counts[dot] = raw
                if dot >> SEQ_BITS == state.me.index:
                    self.mine = dot
            else:
                self.bases[dot] = raw
                if raw[1] >> SEQ_BITS == state.me.index:
                    state.orphans.append((entry, field))
        if self.contested():
            state.contest(entry, field)

    def discard(self, state: State, entry: Entry, field: bytes | None, dot: int) -> Raw | Gone:
        """Drop a row that a peer removed."""
        self._shown = UNKNOWN
        for held in (self.sets, self.counts, self.bases):
            if dot in held:
                if dot == self.mine:
                    self.mine = 0
                    if self.bases:
                        state.orphans.append((entry, field))
                return held.pop(dot)
        return GONE

    def prune(self, state: State, entry: Entry, field: bytes | None) -> None:
        """Remove the baselines of own lineages that are dead: nobody can count on them any more."""
        alive = {_lineage(dot, count) for dot, count in self.counts.items()}
        own = [(dot, base[1]) for dot, base in self.bases.items() if base[1] >> SEQ_BITS == state.me.index]
        dead = [dot for dot, lineage in own if lineage not in alive]
        if dead:
            self._retire(state, entry, field, dead)
            state.gap()

    def _retire(self, state: State, entry: Entry, field: bytes | None, dots: list[int]) -> bool:
        """Take rows out; whether any of them was already part of a frame."""
        committed = False
        for dot in dots:
            for held in (self.sets, self.counts, self.bases):
                if dot in held:
                    committed |= state.retire(dot, entry, field, held.pop(dot))
        return committed

    # -- reads ------------------------------------------------------------------------------------------------------

    def winner(self, state: State) -> int:
        """The dot of the shown set row, 0 if there is none: highest timestamp, ties by actor and sequence."""
        if len(self.sets) < 2:
            return next(iter(self.sets), 0)
        return max(self.sets, key=lambda dot: (state.hlc(dot), state.name(dot)))

    def contested(self) -> bool:
        """Whether several values stand side by side: set ones, or one that is no number and counts it had not seen."""
        return len(self.sets) > 1 or self.counts_beside()

    def counts_beside(self) -> bool:
        """Whether counts go on that no set value can be added to or has taken."""
        if not self.counts or not self.sets:
            return False
        return all(parse(self.text_in(dot)) is None and self._beyond(dot) is not None for dot in self.sets)

    def known(self, state: State) -> Bases:
        """Per lineage, how much of it the winning SET and the deletions have taken."""
        return self._taken(self.winner(state))

    def _taken(self, winner: int) -> Bases:
        best: Bases = {}
        raw = self.sets.get(winner)
        sources = list(raw[2].items()) if type(raw) is tuple else []
        sources += [(lineage, (n, total)) for _, lineage, n, total in self.bases.values()]
        for lineage, at in sources:
            if at[0] > best.get(lineage, (0, 0))[0]:
                best[lineage] = at
        return best

    def shown(self, state: State) -> bytes | Amount | None:
        """What a reader sees: a number, bytes that are no number, or None."""
        if self._shown is UNKNOWN:
            self._shown = self._compute(state)
        return self._shown  # type: ignore[no-any-return]

    def _compute(self, state: State) -> bytes | Amount | None:
        if not self.visible():
            return None
        added = self.added(state)
        if not self.sets:
            return added or 0
        text = self.text_in(self.winner(state))
        if added is None:
            return text
        value = parse(text)
        return text if value is None else plus(value, added)

    def added(self, state: State) -> Amount | None:
        """What the counts add to the winning value; None if none of them has gone on since that was set."""
        return self._beyond(self.winner(state))

    def _beyond(self, winner: int) -> Amount | None:
        base = self._taken(winner) if self.bases or self.sets else {}
        total: Amount | None = None
        for lineage, (n, counted) in self._latest().items():
            before, taken = base.get(lineage, (0, 0))
            if before < n:
                total = plus(total or 0, minus(counted, taken))
        return total

    def text_in(self, dot: int) -> bytes:
        """The value of a live set row."""
        return text_of(self.sets[dot])

    def _latest(self) -> Bases:
        """The row that stands of each lineage: its n and its total."""
        out: Bases = {}
        for dot, count in self.counts.items():
            at, lineage = _place(dot, count), _lineage(dot, count)
            if lineage not in out or at > out[lineage]:
                out[lineage] = at
        return out

    def text(self, state: State) -> bytes | None:
        """The shown value as bytes."""
        shown = self.shown(state)
        return shown if shown is None or type(shown) is bytes else render(shown)  # type: ignore[arg-type]

    # -- local writes -----------------------------------------------------------------------------------------------

    def increase(self, state: State, entry: Entry, field: bytes | None, by: Amount, after: Amount) -> None:
        """Count `by`; `after` is what will be shown, which the caller has worked out and checked."""
        mine = self.mine
        if mine > state.mark:
            count = self.counts[mine]
            self.counts[mine] = (COUNT, count[1], plus(count[2], by))
        else:
            new = state.add(entry, field)
            if mine >> SEQ_BITS == state.me.index:
                old = self.counts.pop(mine)
                state.retire(mine, entry, field, old)
                self.counts[new] = (COUNT, old[1], plus(old[2], by))
            else:
                self.counts[new] = (COUNT, new & SEQ_MASK, by)
            self.mine = new
        self._shown = after

    def assign(self, state: State, entry: Entry, field: bytes | None, value: bytes) -> int:
        """SET: replace the observed values, take what the counts hold without removing them. Returns the new dot."""
        bases = self._observed(state)
        if bases:
            state.name_pending()
        self._retire(state, entry, field, list(self.sets))
        dot = state.add(entry, field)
        self.sets[dot] = (SET, value, bases) if bases else value
        self._shown = UNKNOWN
        return dot

    def replace(self, state: State, entry: Entry, field: bytes | None, value: bytes, seen: Seen) -> int:
        """MV.SET with a context: replace the values and take the counts that `seen` covers, leave what came later.

        A count that the vector covers and the bases do not name was deleted where the context was read.
        """
        vector, bases = seen
        covered = [dot for dot in self.sets if _covers(vector, state.name(dot))]
        counts = [(dot, count, _lineage(dot, count)) for dot, count in self.counts.items()]
        gone = {
            lineage: _place(dot, count)
            for dot, count, lineage in counts
            if lineage not in bases and _covers(vector, state.name(dot))
        }
        bases = {**bases, **gone}
        if bases:
            state.name_pending()
        self._retire(state, entry, field, covered)
        dot = state.add(entry, field)
        self.sets[dot] = (SET, value, bases) if bases else value
        self._shown = UNKNOWN
        if self.contested():
            state.contest(entry, field)
        return dot

    def counted(self, state: State) -> bytes:
        """How far every count has come, for a context; empty if nobody counts."""
        bases = {**self.known(state), **self._observed(state)}
        return encode(state, (SET, b"", bases)).data if bases else b""

    def _observed(self, state: State) -> Bases:
        if not self.counts:
            return {}
        known = self.known(state)
        out: Bases = {}
        for lineage, at in self._latest().items():
            out[lineage] = max(at, known.get(lineage, (0, 0)), key=lambda pair: pair[0])
        return out

    def erase(self, state: State, entry: Entry, field: bytes | None) -> None:
        """DEL: remove values and counts; for counts of others leave a baseline of exactly what was observed."""
        taken = self._observed(state)
        foreign = [lineage for lineage in taken if lineage >> SEQ_BITS != state.me.index]
        gone = [*self.sets, *self.counts]
        gone += [dot for dot, (_, lineage, *_) in self.bases.items() if lineage in taken]
        committed = self._retire(state, entry, field, gone)
        for lineage in foreign:
            n, total = taken[lineage]
            dot = state.add(entry, field)
            self.bases[dot] = (BASE, lineage, n, total)
        if foreign:
            state.name_pending()
        elif committed:
            state.gap()
        self.mine = 0
        self._shown = UNKNOWN

    def lone(self) -> tuple[int, bytes | Lone] | None:
        """The only row and its dot, if it is a plain value or a count: the holder may then drop this object."""
        if self.bases or len(self.sets) + len(self.counts) != 1:
            return None
        for dot, raw in self.sets.items():
            return (dot, raw) if isinstance(raw, bytes) else None
        for dot, count in self.counts.items():
            return (dot, (COUNT, count[1], count[2])) if count[0] == COUNT else None
        return None

    def plain(self) -> bytes | None:
        """The value, if one plain set row is all there is: the holder may then drop this object."""
        if self.counts or self.bases or len(self.sets) != 1:
            return None
        raw = next(iter(self.sets.values()))
        return raw if type(raw) is bytes else None


def _covers(vector: dict[Actor, int], dot: Dot) -> bool:
    return dot.seq <= vector.get(dot.actor, 0)


def _lineage(dot: int, count: Count) -> int:
    """Of which lineage it is, as a packed dot: a count's own actor began it."""
    return count[1] if len(count) == 4 else (dot & ~SEQ_MASK) + count[1]


def _place(dot: int, count: Count) -> tuple[int, Amount]:
    """How far a count had come: its n and its total."""
    return count[3] if len(count) == 4 else dot & SEQ_MASK, count[2]


# -- what a reader sees, and counts on --------------------------------------------------------------------------------


def shown_of(state: State, value: bytes | Lone | Number | None) -> bytes | Amount | None:
    """What a reader sees of a cell, in whichever form."""
    if isinstance(value, Number):
        return value.shown(state)
    return value[2] if isinstance(value, tuple) else value


def text_of(raw: bytes | tuple[int, bytes, Bases]) -> bytes:
    """The value of a set row."""
    return raw if isinstance(raw, bytes) else raw[1]


def as_integer(shown: bytes | Amount | None) -> int:
    """The shown value as what INCR may add to; merged ones may pass 64 bits. Raises NotANumberError."""
    if shown is None:
        return 0
    number = parse_int(shown) if type(shown) is bytes else shown
    if type(number) is not int:
        raise NotANumberError
    return number


def checked_sum(shown: int, by: int, cell: object = None) -> int:
    """Their sum, if both it and `shown` are signed 64-bit integers.

    Raises OverflowedError, or NotANumberError where Redis would.

    A cell that one replica alone wrote can only be out of range after INCRBYFLOAT: to Redis that is no integer.
    """
    if -NEAR < shown < NEAR and -NEAR < by < NEAR:
        return shown + by
    total = shown + by
    if INT_MIN <= total <= INT_MAX and INT_MIN <= shown <= INT_MAX:
        return total
    alone = type(cell) is tuple or (type(cell) is Number and not cell.merged())
    if alone and not INT_MIN <= shown <= INT_MAX:
        raise NotANumberError
    raise OverflowedError


def float_sum(shown: bytes | Amount | None, by: Decimal, error: str) -> tuple[bytes, Amount | None, Amount]:
    """INCRBYFLOAT on what is shown: (new text, amount before, amount to count).

    The amount before is None if the text is hexadecimal: then the new text has to be SET. `by` may be infinite. Raises
    NotANumberError, with `error` if what is shown is no float.
    """
    before = b"0" if shown is None else shown if isinstance(shown, bytes) else render(shown)
    value = longdouble.parse(before)
    if value is None:
        raise NotANumberError(error)
    text = longdouble.add(value, by)
    if text is None:
        raise NotANumberError(NOT_FINITE)
    # A merged sum may have more decimals than are shown; it is the sum that the count is added to.
    base: Amount | None = 0 if shown is None else parse(shown) if isinstance(shown, bytes) else shown
    if base is None:
        return text, None, 0
    after = parse(text)
    assert after is not None, "what was rendered can be read"
    return text, base, minus(after, base)
