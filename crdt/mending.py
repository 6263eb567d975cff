"""Rows that replicas have come to hold differently although they applied the same operations: writing them anew.

Knows: where a row lies in a State, how a sum of row hashes over a part of an actor's rows is made. Promises: a row
written anew keeps its cell, its payload and its timestamp, so that nothing changes for readers who had it and nobody
wins who did not win before; a count stays the same count (number.py, `foster`), so that it is never counted twice,
however many replicas write it anew; what only this replica holds is not lost to a healing of others (`preserve`).
Must not know: messages, peers, who decides that something has to be healed (crdt/replica/healing.py).

Such rows are a defect: of memory, of a disk, of this program, or of a machine that was cloned with its memory and has
spent dots twice. A dot cannot be repaired, because removals name dots and cannot say which content they mean: each
content that somebody holds gets a new dot, and the old one is removed. The frame says which contents its new rows stand
for (`heals`); whoever holds a third one writes that anew before it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from crdt.dots import MASK_64, MASK_128, SEQ_MASK
from crdt.entry import GONE
from crdt.frame import Frame, Group
from crdt.hashing import group_hash
from crdt.rows import ActorRows
from crdt.state import State
from crdt.types import expiry

RECOUNTED = 65_536  # rows of one actor that are hashed in one go to see whether the books are right


def row_at(state: State, owner: ActorRows, seq: int) -> Group | None:
    """The live committed row of this dot, as a group of one; None if there is none. Pending removals count."""
    found = owner.locate(owner.base + seq)
    groups = state.groups(found[0], found[1], found[1] + 1) if found is not None else []
    return groups[0] if groups else None


def rows_of(group: Group) -> Iterator[Group]:
    """Each row of a group as a group of one."""
    payloads: Iterable[Any] = repeat(None) if group.payloads is None else group.payloads
    for field, payload, seq, hlc in zip(group.fields, payloads, group.seqs, group.hlcs(), strict=False):
        yield Group(group.code, group.key, [field], None if payload is None else [payload], [seq], [(1, hlc)])


def short(hashed: int) -> int:
    """64 bits of a sum of row hashes. Of both halves: the low ones alone are equal for some neighbours in a set."""
    return (hashed ^ hashed >> 64) & MASK_64


def content(owner: ActorRows, row: Group) -> int:
    """64 bits that tell apart what may stand under one dot."""
    return short(group_hash(owner.seed, row))


def sum_between(state: State, owner: ActorRows, first: int, last: int) -> int:
    """`short` sum over the live rows in first..last. O(rows); the state stands at a frame boundary."""
    spans = owner.between(owner.base + first, owner.base + last + 1)
    groups = (group for chunk, i, j in spans for group in state.groups(chunk, i, j))
    return short(sum(group_hash(owner.seed, group) for group in groups) & MASK_128)


def live_between(owner: ActorRows, first: int, last: int) -> list[int]:
    """The seqs of the live rows in first..last. The state stands at a frame boundary."""
    spans = owner.between(owner.base + first, owner.base + last + 1)
    return [chunk.dots[k] & SEQ_MASK for chunk, i, j in spans for k in range(i, j) if chunk.entries[k] is not None]


def recount(state: State, owner: ActorRows) -> bool:
    """Put an actor's hash right if it is not that of its rows; whether it was wrong. At a frame boundary."""
    if sum(map(len, owner.chunks)) > RECOUNTED:
        return False
    state.hash_all()
    groups = (group for chunk in owner.chunks for group in state.groups(chunk))
    actual = sum(group_hash(owner.seed, group) for group in groups) & MASK_128
    wrong = actual != owner.hash
    state.add_hash(owner, actual - owner.hash)
    return wrong


def reissue(state: State, owner: ActorRows, seq: int, contents: Sequence[Group]) -> None:
    """Remove the live row of this dot, and write each of these contents (groups of one row) under a new own dot.

    The caller cuts before anything else is written.
    """
    dot = owner.base + seq
    found = owner.locate(dot)
    assert found is not None, "the caller has seen the row"
    entry, field = found[0].cell(found[1])
    assert entry is not None, "the caller has seen the row"
    raw = entry.discard(state, field, dot)
    assert raw is not GONE, "the caller has seen the row"
    state.retire(dot, entry, field, raw)
    state.heals += [(owner.actor, seq, content(owner, row)) for row in contents]
    new = [_write(state, owner, seq, row) for row in contents]
    state.place(entry)
    state.stamp(state.clock.now)
    state.name_pending()  # an overwritten row would keep its timestamp
    expiry.name_instead(state, entry.key, dot, new)
    state.reassess(entry.key)


def _write(state: State, owner: ActorRows, seq: int, row: Group) -> int:
    key, field = (row.fields[0], None) if row.key is None else (row.key, row.fields[0])
    entry = state.entry(row.code, key)
    state.stamp(row.stamps[0][1])
    payload = entry.foster(None if row.payloads is None else row.payloads[0], owner.actor, seq)
    dot = state.add(entry, field)
    entry.insert(state, field, payload, dot)
    state.place(entry)
    return dot


def spent_twice(state: State, frame: Frame) -> bool:
    """Whether a frame that heals names another content for an own dot: somebody else writes under our name."""
    me = state.me
    ours = [(row_at(state, me, seq), hashed) for actor, seq, hashed in frame.heals if actor == me.actor]
    return any(row is not None and content(me, row) != hashed for row, hashed in ours)


def unlike(state: State, frame: Frame) -> list[tuple[ActorRows, int, Group]]:
    """The rows that a frame which heals would remove and does not bring back: (whose, seq, row)."""
    known: dict[tuple[int, int], set[int]] = {}
    for actor, seq, hashed in frame.heals:
        index = state.indexes.get(actor)
        if index is not None:
            known.setdefault((index, seq), set()).add(hashed)
    out: list[tuple[ActorRows, int, Group]] = []
    for (index, seq), contents in known.items():
        owner = state.actors[index]
        mine = row_at(state, owner, seq)
        if mine is not None and content(owner, mine) not in contents:
            out.append((owner, seq, mine))
    return out


def preserve(state: State, rows: Iterable[tuple[ActorRows, int, Group]]) -> None:
    """Before such a frame is applied: what is `unlike` stands on as own rows."""
    for owner, seq, mine in rows:
        reissue(state, owner, seq, [mine])
