"""The rows that the algebra of records leaves: union of adds - removes - what ranges cover. An oracle for states.

Knows: frames, groups, how a state can be read row by row. Promises: written without the code under test (`live_rows`);
`check_books` says what of a state's own bookkeeping is not what its rows make it. Must not know: types, answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgpack

from crdt.dots import FIRST_OWN, Actor, vector_hash
from crdt.entry import Wire
from crdt.expiries import NEVER
from crdt.frame import Frame, Group
from crdt.hashing import row_hash
from crdt.state import State

Row = tuple[int, bytes, bytes | None, Wire, int]  # code, key, field, payload, timestamp
Name = tuple[Actor, int]


def rows_of(groups: Iterable[Group], actor: Actor) -> Iterator[tuple[Name, Row]]:
    """Every row of some groups, spelled out."""
    for group in groups:
        hlcs = [hlc for count, hlc in group.stamps for _ in range(count)]
        for i, seq in enumerate(group.seqs):
            payload = None if group.payloads is None else group.payloads[i]
            key, name = (group.fields[i], None) if group.key is None else (group.key, group.fields[i])
            yield (actor, seq), (group.code, key, name, payload, hlcs[i])


def in_range(path: tuple[bytes, ...], vector: dict[Actor, int], name: Name, row: Row) -> bool:
    """Whether a range removes a row."""
    code, key, _, payload, _ = row
    if name[1] > vector.get(name[0], 0) or (path[:1] and path[0] != key) or (path[1:] and path[1] != bytes([code])):
        return False
    return type(payload) is not tuple and not (
        type(payload) is msgpack.ExtType and msgpack.unpackb(payload.data)[0] in (1, 2)
    )


def live_rows(frames: Iterable[Frame], known: dict[Actor, int]) -> dict[Name, Row]:
    """What the frames below a vector leave live."""
    rows: dict[Name, Row] = {}
    dead: set[Name] = set()
    ranges = []
    for one in frames:
        if one.last <= known.get(one.actor, 0):
            rows.update(rows_of(one.groups, one.actor))
            dead.update((actor, seq) for actor, seqs in one.removes.items() for seq in seqs)
            ranges += one.ranges
    return {n: r for n, r in rows.items() if n not in dead and not any(in_range(p, v, n, r) for p, v in ranges)}


def rows_held(state: State) -> dict[Name, Row]:
    """All rows that the entries of a state hold, spelled out as they would travel. Cut first."""
    out: dict[Name, Row] = {}
    for key in {*state.keys, *state.hidden, *state.lifetimes}:
        assert key not in state.keys or key not in state.expired, "an expired key is shown"
        for entry in state.all_of(key):
            assert entry.key == key
            assert entry.visible() or state.keys.get(key) is not entry, "a hidden entry is shown"
            for name, dot, raw in entry.rows():
                actor, seq = state.name(dot)
                assert (actor, seq) not in out, "one dot in two places"
                assert entry.holds(name, dot), "a row that its entry denies"
                out[actor, seq] = (entry.CODE, key, name, state.wire(raw), state.hlc(dot))
    return out


def check_books(state: State) -> list[str]:
    """What a state says of itself against what it holds: indexes, counts, hashes. Cut first."""
    rows = rows_held(state)
    indexed: list[Name] = []
    for owner in state.actors.values():
        assert owner.firsts == [chunk.dots[0] for chunk in owner.chunks]
        dots = [dot for chunk in owner.chunks for dot in chunk.dots]
        assert dots == sorted(set(dots)), "the rows of an actor ascend"
        for chunk in owner.chunks:
            columns = zip(*chunk.columns(0, len(chunk))[:3], strict=True)
            live = [i for i, (dot, e, field) in enumerate(columns) if e is not None and e.holds(field, dot)]
            assert live == list(chunk.live()), "a row is dead in the books and not in its entry, or the other way round"
            assert chunk.dead == len(chunk) - len(live), "dead rows miscounted"
            indexed += [(owner.actor, chunk.dots[i] - owner.base) for i in live]
    total = sum(
        row_hash(actor.seed(), code, key, name, payload, seq, hlc)
        for (actor, seq), (code, key, name, payload, hlc) in rows.items()
    )
    vector = state.vector()
    mortal = [e.deadline for key, e in state.lifetimes.items() if key in state.keys and e.deadline < NEVER]
    checks = {
        "deadlines miscounted": (state.mortal, state.deadline_sum) != (len(mortal), sum(mortal)),
        "index incomplete": sorted(indexed) != sorted(rows),
        "live rows miscounted": state.live != len(rows),
        "hash wrong": state.hash != total % (1 << 128),
        "hash by actor wrong": state.hash != sum(owner.hash for owner in state.actors.values()) % (1 << 128),
        "vector hash wrong": state.vector_hash != vector_hash(vector),
        "vector sum wrong": state.vector_sum != sum(vector.values()),
        "known from hearsay": not all(owner.applied or owner.index >= FIRST_OWN for owner in state.actors.values()),
    }
    return [name for name, failed in checks.items() if failed]
