"""What must be true of every history, told by somebody who sees all of it.

Knows every frame that any disk took, every view that any replica had, every counted operation. Promises to raise
`Violation` when a dot carries two contents, when equal vectors have different hashes, or when a state is not

    union of adds - union of removes - what ranges cover
    number = the winning SET's value + the increments that neither it nor a visible deletion had observed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from crdt.codec import decode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.state import State
from crdt.types import strings

Row = tuple[int, bytes, bytes | None, Any, int]  # code, key, field, payload, hlc
Rows = dict[tuple[Actor, int], Row]


class Violation(Exception):
    """An invariant does not hold."""


@dataclass(slots=True)
class Counted:
    """One INCR, SET or DEL of a number. `last` names its frame once that is cut; `seen` is what it had observed."""

    actor: Actor
    order: int  # among all operations of its node
    kind: str
    key: bytes
    amount: int
    seen: dict[Actor, int]
    seq: int = 0  # the own operations there were after it
    last: int = 0

    def saw(self, other: Counted) -> bool:
        """Whether this one had observed the other."""
        if self.actor == other.actor:
            return other.order < self.order
        return 0 < other.last <= self.seen.get(other.actor, 0)


class Oracle:
    """See the module."""

    def __init__(self) -> None:
        self.lenient = False  # from the moment on when replicas are damaged on purpose
        self.adds: Rows = {}
        self.frames: dict[tuple[Actor, int], Frame] = {}
        self.counted: list[Counted] = []
        self.setters: dict[tuple[Actor, int], Counted] = {}
        self._known: set[bytes] = set()
        self._hashes: dict[tuple[int, int], int] = {}

    def stored(self, data: bytes, author: bool) -> None:
        """A disk took this frame; the author's disk, if `author`."""
        if self.lenient or (data in self._known and not author):
            return
        self._known.add(data)
        frame = decode_frame(data)
        for dot, row in rows_of_groups(frame.actor, frame.groups):
            if self.adds.setdefault(dot, row) != row:
                raise Violation(f"dot {dot[0]}:{dot[1]} carries two contents: {self.adds[dot]} and {row}")
        if author:
            self.frames[frame.actor, frame.last] = frame

    def viewed(self, vector_hash: int, vector_sum: int, state_hash: int | None, who: str) -> None:
        """A replica stood at this vector with this state; None: it could not tell."""
        if self.lenient or state_hash is None:
            return
        if self._hashes.setdefault((vector_hash, vector_sum), state_hash) != state_hash:
            raise Violation(f"{who} has the vector of another replica (sum {vector_sum}) and another state")

    # -- the record algebra -------------------------------------------------------------------------------------------

    def expected(self, vector: Mapping[Actor, int]) -> Rows:
        """The live rows of a replica that has applied `vector`."""
        rows = {dot: row for dot, row in self.adds.items() if dot[1] <= vector.get(dot[0], 0)}
        for (actor, last), frame in self.frames.items():
            if last > vector.get(actor, 0):
                continue
            for owner, seqs in frame.removes.items():
                for seq in seqs:
                    rows.pop((owner, seq), None)
            for path, limit in frame.ranges:
                doomed = [dot for dot, row in rows.items() if dot[1] <= limit.get(dot[0], 0) and _in_range(path, row)]
                for dot in doomed:
                    del rows[dot]
        return rows

    def check(self, state: State, who: str) -> None:
        """A state at a frame boundary holds exactly what it should."""
        vector = state.vector()
        expected, actual = self.expected(vector), dict(rows_of_state(state))
        if expected != actual:
            lost = {dot: row for dot, row in expected.items() if actual.get(dot) != row}
            extra = {dot: row for dot, row in actual.items() if expected.get(dot) != row}
            raise Violation(f"{who} differs from the record algebra: lacks {_few(lost)}, has {_few(extra)}")
        for key in sorted({op.key for op in self.counted}):
            self._check_number(state, key, vector, expected, who)

    def _check_number(self, state: State, key: bytes, vector: Mapping[Actor, int], rows: Rows, who: str) -> None:
        visible = [op for op in self.counted if op.key == key and 0 < op.last <= vector.get(op.actor, 0)]
        sets = [(row[4], dot) for dot, row in rows.items() if row[1] == key and dot in self.setters and _is_set(row[3])]
        total, judges = 0, [op for op in visible if op.kind == "del"]
        if sets:
            winner = self.setters[max(sets)[1]]
            total += winner.amount
            judges.append(winner)
        for op in visible:
            if op.kind == "incr" and not any(judge.saw(op) for judge in judges):
                total += op.amount
        shown = int(strings.get(state, key) or 0)
        if shown != total:
            raise Violation(f"{who} shows {key.decode()} = {shown}, the operations it has applied make {total}")


def rows_of_groups(actor: Actor, groups: list[Group]) -> Iterator[tuple[tuple[Actor, int], Row]]:
    """Groups of one actor as single rows."""
    for group in groups:
        for i, (seq, hlc) in enumerate(zip(group.seqs, group.hlcs(), strict=True)):
            payload = None if group.payloads is None else group.payloads[i]
            key, field = (group.fields[i], None) if group.key is None else (group.key, group.fields[i])
            yield (actor, seq), (group.code, key, field, payload, hlc)


def rows_of_state(state: State) -> Iterator[tuple[tuple[Actor, int], Row]]:
    """All live rows of a state that has been cut."""
    for owner in state.actors.values():
        for chunk in owner.chunks:
            yield from rows_of_groups(owner.actor, state.groups(chunk))


def structure(payload: Any) -> Any:
    """What a structured payload says."""
    return msgpack.unpackb(payload.data) if isinstance(payload, msgpack.ExtType) else payload


def _structure(payload: Any) -> int:
    """0 for a SET, 1 for a count, 2 for a baseline."""
    return int(structure(payload)[0]) if isinstance(payload, tuple) else 0  # an ExtType is one, too


def _is_set(payload: Any) -> bool:
    return payload is not None and _structure(payload) == 0


def _in_range(path: tuple[bytes, ...], row: Row) -> bool:
    code, key, _, payload, _ = row
    return _structure(payload) == 0 and (key, bytes([code]))[: len(path)] == path


def _few(rows: Rows) -> str:
    return ", ".join(f"{dot[0]}:{dot[1]} {row[:4]}" for dot, row in sorted(rows.items())[:4]) or "nothing"
