"""Going on as another actor with what is pending, for a replica that finds its own dots spent by somebody else.

Knows: how pending operations lie in a State and in the entries. Promises: what is pending becomes the new actor's first
operations, with the same effect; nothing of it is spent under the old name. Must not know: why.

That happens to a machine that was cloned together with its memory: both go on as one actor until one learns that its
peers know more of it than it does itself. A count that continued a lineage of the old actor is split: the old count
stands as it was last committed (unless a peer has removed it), because the other one may go on with it, and what was
added since begins a new lineage. For the same reason a count whose deletion is pending leaves a baseline, as one of a
foreign actor does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from crdt.columns import Dead
from crdt.dots import FIRST_OWN, SEQ_BITS, SEQ_MASK, Actor
from crdt.entry import GONE, LIFETIME, Entry, Raw
from crdt.state import State
from crdt.types import amounts, expiry, numberwire

Pending = list[tuple[int, Entry, bytes | None, Raw]]  # old dot, where, payload
Moved = dict[int, tuple[int, int, amounts.Amount]]  # old lineage -> new one, seq and total of its committed count


def go_on_as(state: State, actor: Actor) -> None:
    """`state.become`, but with pending operations, which move to the new actor."""
    old, cut, last = state.me, state.cut_dot, state.dot
    assert old.index >= FIRST_OWN
    taken = _take_out(state)
    pending = (state.entries, state.fields, state.stamp_starts, state.stamp_hlcs, state.removed, state.removed_twice)
    ranges, swept, mark, heals = state.ranges, state.swept, state.mark, state.heals
    state.become(actor)
    offset = state.cut_dot - cut
    state.entries, state.fields, state.stamp_starts, state.stamp_hlcs, state.removed, state.removed_twice = pending
    state.dot, state.mark, state.heals = last + offset, mark + offset, heals
    state.ranges = [(path, _split(vector, old.actor, actor, cut & SEQ_MASK)) for path, vector in ranges]
    state.swept = [(entry, _committed(plain, cut, last)) for entry, plain in swept]
    for i, entry in enumerate(state.entries):
        field = state.fields[i]
        if entry is not None and field is not None:
            state.fields[i] = entry.renamed(field, old.seed, state.me.seed, cut & SEQ_MASK)
    _put_back(state, taken, old.actor, cut, offset)
    _leave_bases(state, old.index, {raw[1] for *_, raw in taken if _is(raw, numberwire.FOSTER)})
    for key in list(state.lifetimes):
        state.reassess(key)


def _take_out(state: State) -> Pending:
    """The live pending rows leave their entries."""
    out: Pending = []
    for i, entry in enumerate(state.entries):
        if entry is not None:
            dot, field = state.cut_dot + 1 + i, state.fields[i]
            raw = entry.discard(state, field, dot)
            if raw is not GONE:
                out.append((dot, entry, field, raw))
    # What was committed of the own counts stays the old actor's; the cut becomes possible without the rest.
    state.dot = state.cut_dot
    return out


def _put_back(state: State, taken: Pending, old: Actor, cut: int, offset: int) -> None:
    """The rows come back under the new actor's dots: counts first, because values may name their lineages."""
    moved: Moved = {}
    for dot, entry, field, raw in sorted(taken, key=lambda row: not _is(row[3], numberwire.COUNT)):
        if _is(raw, numberwire.COUNT):
            raw = _count(state, entry, field, raw, dot, cut, offset, moved)
        elif _is(raw, numberwire.SET):
            bases = _bases(state, entry, field, raw[2], cut, offset, moved)
            raw = (numberwire.SET, raw[1], bases) if bases else raw[1]
        elif entry.CODE == LIFETIME:
            raw = expiry.renamed(raw, old, cut & SEQ_MASK)
        if field is not None:
            field = entry.renamed(field, old.seed(), state.me.seed, cut & SEQ_MASK)
        entry.insert(state, field, state.wire(raw), dot + offset)


def _leave_bases(state: State, old: int, fostered: set[int]) -> None:
    """Pending deletions say how much they took of the old actor's counts, but of what a pending row carries on."""
    removed = state.removed
    for at, dot in enumerate(removed.dots):
        raw: Any = removed.raws[at]
        if dot >> SEQ_BITS != old or not _is(raw, numberwire.COUNT) or dot in state.removed_twice:
            continue
        lineage = (dot & ~SEQ_MASK) + raw[1]
        if lineage not in fostered:
            entry, field = state.entry(removed.entries[at].CODE, removed.entries[at].key), removed.fields[at]
            base = state.wire((numberwire.BASE, lineage, dot & SEQ_MASK, raw[2]))
            entry.insert(state, field, base, state.add(entry, field))
            state.place(entry)
            state.name_pending()


def _is(raw: Raw, kind: int) -> bool:
    return type(raw) is tuple and raw[0] == kind


def _count(
    state: State,
    entry: Entry,
    field: bytes | None,
    raw: Any,
    dot: int,
    cut: int,
    offset: int,
    moved: Moved,
) -> Raw:
    """An own pending count as the new actor's."""
    _, seq, total = raw
    lineage = (dot & ~SEQ_MASK) + seq
    if lineage > cut:
        return (numberwire.COUNT, lineage + offset & SEQ_MASK, total)
    at = _committed_count(state.removed, entry, field, lineage)
    assert at is not None, "a count that continues a committed one has removed it"
    before, kept = state.removed.dots[at], state.removed.raws[at]
    if before not in state.removed_twice:  # peers still have it
        state.unretire(at)
        entry.insert(state, field, state.wire(kept), before)
    moved[lineage] = (dot + offset, before & SEQ_MASK, kept[2])
    return (numberwire.COUNT, dot + offset & SEQ_MASK, amounts.minus(total, kept[2]))


def _committed_count(removed: Dead, entry: Entry, field: bytes | None, lineage: int) -> int | None:
    """Where among the removed rows of a cell the last committed count of an own lineage is.

    A key that was deleted and written again has another entry since.
    """
    for at, where in enumerate(removed.entries):
        kept = removed.raws[at]
        if not _is(kept, numberwire.COUNT) or kept[1] != lineage & SEQ_MASK:
            continue
        cell = where.CODE == entry.CODE and where.key == entry.key and removed.fields[at] == field
        if cell and removed.dots[at] >> SEQ_BITS == lineage >> SEQ_BITS:
            return at
    return None


def _bases(
    state: State,
    entry: Entry,
    field: bytes | None,
    bases: numberwire.Bases,
    cut: int,
    offset: int,
    moved: Moved,
) -> numberwire.Bases:
    """What a pending SET has taken of the own counts, in the new names.

    A context may name a pending count that a deletion has taken back since: what was committed of it is left; or, where
    it was read of another cell, counts that are not of this one: nothing of those.
    """
    out: numberwire.Bases = {}
    for lineage, (n, total) in bases.items():
        if lineage >> SEQ_BITS != cut >> SEQ_BITS or n <= cut & SEQ_MASK:
            out[lineage] = (n, total)
        elif lineage > cut:
            out[lineage + offset] = (n - (cut & SEQ_MASK), total)
        elif lineage in moved:
            fresh, committed, before = moved[lineage]
            out[lineage] = (committed, before)
            out[fresh] = (n - (cut & SEQ_MASK), amounts.minus(total, before))
        else:
            at = _committed_count(state.removed, entry, field, lineage)
            if at is not None:
                out[lineage] = (state.removed.dots[at] & SEQ_MASK, state.removed.raws[at][2])
    return out


def _split(vector: dict[Actor, int], old: Actor, new: Actor, cut: int) -> dict[Actor, int]:
    """A range's vector that may name pending operations."""
    n = vector.get(old, 0)
    return {**vector, old: cut, new: n - cut} if n > cut else vector


def _committed(plain: Iterable[tuple[bytes | None, int, Raw]], cut: int, last: int) -> Iterator[Any]:
    """Swept rows without those that were pending: they were never counted."""
    return (row for row in plain if not cut < row[1] <= last)
