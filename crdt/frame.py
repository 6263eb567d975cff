"""Frames: consecutive operations of one actor, stored, sent and applied as a whole.

Promises: a frame claims exactly [first, last] with every effect of it (invariant I1): a receiver that has
applied it has applied all those operations, and nothing else. Must not know: bytes, state.

    adds     groups of rows that were written and were still live when the frame was cut
    removes  dots that the actor had observed and removed
    ranges   (path, vector): everything below the path that the vector covers is removed, number rows excepted; a path
             is a key, or a key and a type
    deps     what the actor had applied when it cut the frame, as far as that changed since its previous frame
    heals    removes of rows that replicas had come to hold differently: (actor, seq, hash of a content that stands on
             in the adds), once for each content; whoever holds another content writes that anew (crdt/mending.py)

`named` are the other actors that the payloads of the adds speak of, where they came as bytes: the author had seen them.

A group holds the rows of one key and type, as columns; for types with a single cell per key (`key` None) the fields
are the keys.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgpack

from crdt.dots import Actor, Runs, union

Stamps = list[tuple[int, int]]  # (count, hlc) runs


@dataclass(slots=True)
class Group:
    """Rows of one key and type (or, if `key` is None, of one type with a cell per key), ascending by seq."""

    code: int
    key: bytes | None
    fields: list[bytes]
    payloads: list[Any] | None  # None: all payloads are None
    seqs: list[int]
    stamps: Stamps

    def __len__(self) -> int:
        return len(self.seqs)

    def hlcs(self) -> list[int]:
        """The timestamp of each row."""
        out: list[int] = []
        for count, hlc in self.stamps:
            out += [hlc] * count
        return out

    def above(self, seq: int) -> Group:
        """The rows after this one."""
        return self.pick(list(range(bisect_right(self.seqs, seq), len(self.seqs))))

    def upto(self, seq: int) -> Group:
        """The rows up to this one."""
        return self.pick(list(range(bisect_right(self.seqs, seq))))

    def pick(self, keep: list[int]) -> Group:
        """The rows at these positions."""
        hlcs = self.hlcs()
        return Group(
            self.code,
            self.key,
            [self.fields[i] for i in keep],
            None if self.payloads is None else [self.payloads[i] for i in keep],
            [self.seqs[i] for i in keep],
            stamps_of([hlcs[i] for i in keep]),
        )


@dataclass(slots=True)
class Frame:
    """See the module. `ranges`: ((key,) or (key, type code), vector)."""

    actor: Actor
    first: int
    last: int
    deps: dict[Actor, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    removes: dict[Actor, Runs] = field(default_factory=dict)
    ranges: list[tuple[tuple[bytes, ...], dict[Actor, int]]] = field(default_factory=list)
    heals: list[tuple[Actor, int, int]] = field(default_factory=list)
    named: tuple[Actor, ...] = field(default=(), compare=False)

    def adds(self) -> int:
        """How many rows the frame adds."""
        return sum(len(group) for group in self.groups)

    def causes(self) -> list[tuple[Actor, int]]:
        """What the author had seen of others, as far as the frame says: of whom, up to which operation.

        It removes what it had applied, and counts name whom it had applied something of.
        """
        out = list(self.deps.items())
        out += [(actor, runs.stops[-1] - 1) for actor, runs in self.removes.items() if actor != self.actor]
        for _, vector in self.ranges:
            out += [(actor, n) for actor, n in vector.items() if actor != self.actor]
        out += [(actor, 1) for actor in self.named]
        return out


def stamps_of(hlcs: list[int]) -> Stamps:
    """Timestamps as (count, hlc) runs."""
    out: Stamps = []
    last, count = -1, 0
    for hlc in hlcs:
        if hlc != last:
            if count:
                out.append((count, last))
            last, count = hlc, 0
        count += 1
    if count:
        out.append((count, last))
    return out


def covered(path: tuple[bytes, ...], group: Group, name: bytes) -> bool:
    """Whether a range prefix may cover rows of the group with this key.

    A prefix is of components, not of bytes: `a` is no prefix of `ab`.
    """
    return path[0] == name and (len(path) == 1 or path[1] == bytes([group.code]))


def merge(frames: Iterable[Frame]) -> Frame:
    """Adjacent frames of one actor, the later ones with nothing new in `deps`, as one frame.

    Adds of an earlier frame that a later one removes or ranges over disappear; all removes and ranges stay, because
    somebody may have applied the earlier frame alone.
    """
    parts = list(frames)
    one = Frame(parts[0].actor, parts[0].first, parts[-1].last, parts[0].deps)
    gone: set[int] = set()  # of these very operations, so no larger than their number
    ranges: list[tuple[tuple[bytes, ...], int]] = []
    groups: list[list[Group]] = []
    for part in reversed(parts):
        kept = [_survivors(group, gone, ranges) for group in part.groups]
        groups.append([group for group in kept if len(group)])
        if one.actor in part.removes:
            gone.update(*part.removes[one.actor].within(one.first, one.last + 1))
        ranges += [(path, vector.get(one.actor, 0)) for path, vector in part.ranges]
    one.groups = _joined(chain.from_iterable(reversed(groups)))
    for part in parts:
        one.ranges += part.ranges
        one.heals += part.heals
    for actor in dict.fromkeys(chain.from_iterable(part.removes for part in parts)):
        one.removes[actor] = union(part.removes[actor] for part in parts if actor in part.removes)
    return one


def overlap(first: int, frame: Frame) -> int:
    """How many operations from `first` on the frame takes back: what merging it with those would save."""
    own = frame.removes.get(frame.actor)
    return 0 if own is None else sum(map(len, own.within(first, frame.first)))


def _survivors(group: Group, gone: set[int], ranges: list[tuple[tuple[bytes, ...], int]]) -> Group:
    if not gone and not ranges:
        return group
    keep = [i for i, seq in enumerate(group.seqs) if seq not in gone]
    for path, n in ranges:
        keep = [i for i in keep if group.seqs[i] > n or not _ranged(path, group, i)]
    return group if len(keep) == len(group) else group.pick(keep)


def _ranged(path: tuple[bytes, ...], group: Group, i: int) -> bool:
    payload = None if group.payloads is None else group.payloads[i]
    return covered(path, group, group.fields[i] if group.key is None else group.key) and plain(payload)


def plain(payload: object) -> bool:
    """Whether a range may take the row: a count or a baseline has to be removed by name.

    A tuple is a count; the bytes of an ExtType begin with the msgpack of an array whose first element is 1, 2 or 4
    (crdt/types/number.py); so it is for rows of types that this version does not know.
    """
    if type(payload) is tuple:
        return False
    return not isinstance(payload, msgpack.ExtType) or payload.data[1:2] not in (b"\1", b"\2", b"\4")


def _joined(groups: Iterable[Group]) -> list[Group]:
    """Groups of one key and type as one, so that a burst cut into many frames travels as one column."""
    out: dict[tuple[int, bytes | None], Group] = {}
    for group in groups:
        name = (group.code, group.key)
        one = out.get(name)
        if one is None:
            payloads = None if group.payloads is None else list(group.payloads)
            columns = (list(group.fields), payloads, list(group.seqs), list(group.stamps))
            out[name] = Group(group.code, group.key, *columns)
            continue
        if group.payloads is not None or one.payloads is not None:
            one.payloads = [*(one.payloads or [None] * len(one)), *(group.payloads or [None] * len(group))]
        one.fields += group.fields
        one.seqs += group.seqs
        one.stamps += group.stamps
    for one in out.values():
        one.stamps = _coalesced(one.stamps)
    return list(out.values())


def _coalesced(stamps: Stamps) -> Stamps:
    out: Stamps = []
    for count, hlc in stamps:
        if out and out[-1][1] == hlc:
            out[-1] = (out[-1][0] + count, hlc)
        else:
            out.append((count, hlc))
    return out
