"""Frames and groups of rows to bytes and back.

Promises: `decode_*` either returns something whose every part was checked, or raises PeerError; bytes never reach state
unchecked (invariant I15). Encoding is self-contained: it names its actors, so a frame can be stored, forwarded
and read by anyone, whole and alone.
Must not know: state, who sends what to whom (crdt/replica/messages.py).

A frame says its author, what it claims and a row that is alone in it as crdt/heads.py spells them out. Behind that, if
there is more, stands a MessagePack array, cut off behind the last part that is not empty (0 or []); numbers that repeat
are coded as differences:

    [ms, groups, actors, deps, removes, ranges, heals]
    ms       Unix milliseconds that timestamps are counted from
    actors   [name, nonce, name, nonce ...]: numbers 1, 2 ...; the author is number 0
    deps     [actor number, n ...]
    groups   [code, key or nil, seqs, stamps, fields, payloads or nil] each
             seqs: offset from `first` if contiguous, else [offset, step, step ...]
             stamps: [ms, counter] for all rows, or [count, ms, counter ...], each ms from the one before
             fields: bytes each, or [head, number, count] for places in a row (crdt/places.py), count < 0 leftwards, or
             [shared, rest, shared, rest ...]: how many bytes of the field before stand before the rest (crdt/fronts.py)
             payloads: or a text, one code point for each row; counts as arrays [1, lineage, total]
    removes  [actor number, [gap, length, gap, length ...]] each; but not what the head says (BACK)
    ranges   [[key] or [key, type code], [actor number, n ...]] each
    heals    [actor number, seq, hash, actor number, seq, hash ...]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain, pairwise
from operator import sub
from typing import Any, Final

import msgpack

from crdt import fronts, heads, places
from crdt.clock import COUNTER_BITS
from crdt.dots import MASK_64, SEQ_MASK, Actor, Runs, is_actor
from crdt.entry import Opaque, is_counted
from crdt.errors import PeerError
from crdt.frame import Frame, Group, Stamps
from crdt.heads import Head, Lone
from crdt.types import numberwire
from crdt.types.catalog import entry_class

_COUNTER_MASK: Final = (1 << COUNTER_BITS) - 1
_NOTHING: Final[list[Any]] = [0, [], [], [], [], [], []]  # the parts of a frame that does nothing
_DECODING: Final = (
    ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError,
    msgpack.UnpackException, msgpack.ExtraData,
)  # fmt: skip

pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


class _Actors:
    """Numbers for the actors that one encoding names."""

    def __init__(self, first: Actor) -> None:
        self.flat: list[str | int] = []  # all but the first, which everybody knows
        self.numbers: dict[Actor, int] = {first: 0}

    def number(self, actor: Actor) -> int:
        number = self.numbers.get(actor)
        if number is None:
            number = self.numbers[actor] = len(self.numbers)
            self.flat += actor
        return number

    def vector(self, vector: Iterable[tuple[Actor, int]]) -> list[int]:
        return [x for actor, n in vector for x in (self.number(actor), n)]


# -- encoding ---------------------------------------------------------------------------------------------------------


def encode_frame(frame: Frame) -> bytes:
    """A whole frame."""
    actors = _Actors(frame.actor)
    back = _back(frame)
    lone = _lone(frame)
    ms, groups = 0, []
    if lone is None and frame.groups:
        ms = min(hlc for group in frame.groups for _, hlc in group.stamps) >> COUNTER_BITS
        groups = [_encode_group(group, frame.first, ms) for group in frame.groups]
    deps = actors.vector(sorted(frame.deps.items()))
    removed = sorted(frame.removes.items())
    removes = [[actors.number(a), _encode_runs(runs)] for a, runs in removed if not back or a != frame.actor]
    ranges = [[list(path), actors.vector(sorted(vector.items()))] for path, vector in frame.ranges]
    heals = [x for actor, seq, content in frame.heals for x in (actors.number(actor), seq, content)]
    parts = [ms, groups, actors.flat, deps, removes, ranges, heals]
    while parts and not parts[-1]:
        parts.pop()
    tail = pack(parts) if parts else b""
    return heads.author(frame.actor) + heads.body(frame.first, frame.last - frame.first + 1, back, lone, tail)


def _back(frame: Frame) -> int:
    """The one earlier operation of its author that the frame removes; 0 if that is not what it does."""
    own = frame.removes.get(frame.actor)
    if own is None or len(own.starts) != 1 or own.stops[0] - own.starts[0] != 1 or own.starts[0] >= frame.first:
        return 0
    return own.starts[0]


def _lone(frame: Frame) -> Lone | None:
    """The row of a frame that has no other, if it can be said so."""
    if len(frame.groups) != 1 or len(frame.groups[0]) != 1:
        return None
    (group,) = frame.groups
    payload = None
    if group.payloads is not None:
        payload = group.payloads[0]
        if payload is None or not heads.is_lone(payload):
            return None
    hlc = group.stamps[0][1]
    before = frame.last - group.seqs[0]
    assert 0 <= before <= frame.last - frame.first, "a row outside of what its frame claims"
    return group.code, before, hlc >> COUNTER_BITS, hlc & _COUNTER_MASK, group.key, group.fields[0], payload


def encode_rows(groups: list[Group]) -> bytes:
    """Rows of one actor without a frame, for checkpoint segments and snapshots."""
    ms = min((hlc for g in groups for _, hlc in g.stamps), default=0) >> COUNTER_BITS
    return pack([ms, [_encode_group(group, 1, ms) for group in groups]])  # type: ignore[no-any-return]


def _encode_group(group: Group, first: int, ms: int) -> list[Any]:
    seqs = group.seqs
    coded: int | list[int]
    if seqs[-1] - seqs[0] + 1 == len(seqs):
        coded = seqs[0] - first
    else:
        coded = [seqs[0] - first, *(b - a for a, b in pairwise(seqs))]
    fields: list[Any] = group.fields
    payloads: Any = group.payloads
    cls = entry_class(group.code)
    if cls is not None and cls.PLACED and payloads is not None:
        fields = places.runs(fields)
        if cls.POINTS:
            payloads = b"".join(payloads).decode()
    elif cls is not None and cls.NESTED:
        fields = fronts.short(fields)
    return [group.code, group.key, coded, _encode_stamps(group.stamps, ms), fields, payloads]


def _encode_stamps(stamps: Stamps, ms: int) -> list[int]:
    if len(stamps) == 1:
        return [(stamps[0][1] >> COUNTER_BITS) - ms, stamps[0][1] & _COUNTER_MASK]
    flat: list[int] = []
    for count, hlc in stamps:
        flat += (count, (hlc >> COUNTER_BITS) - ms, hlc & _COUNTER_MASK)
        ms = hlc >> COUNTER_BITS
    return flat


# -- decoding ---------------------------------------------------------------------------------------------------------


def decode_frame(data: bytes) -> Frame:
    """Inverse of `encode_frame`. Raises PeerError on anything that is not a whole, sane frame."""
    named: dict[Actor, None] = {}
    try:
        head = Head(data)
        first, last = head.first, head.first + head.count - 1
        _require(1 <= first <= last <= SEQ_MASK, "range of a frame")
        frame = Frame(head.actor, first, last)
        lone, tail = head.lone(), head.tail()
        if head.back:
            frame.removes[frame.actor] = Runs([head.back])
        if lone is not None:
            code, before, ms, counter, key, field, payload = lone
            payloads = None if payload is None else (payload,)
            group = (code, key, last - before - first, (ms, counter), (field,), payloads)
            frame.groups = [_decode_group(group, first, last, 0, named)]
        if tail is not None:
            _decode_tail(tail, frame, named)
        if named:
            frame.named = tuple(actor for actor in named if actor != frame.actor)
    except _DECODING as error:
        raise PeerError("malformed", f"frame: {error}") from None
    return frame


def _decode_tail(tail: bytes, frame: Frame, named: dict[Actor, None]) -> None:
    """What stands behind the head."""
    parts: tuple[Any, ...] = _unpack(tail)
    _require(type(parts) is tuple and 0 < len(parts) <= len(_NOTHING), "parts of a frame")
    ms, groups, table, deps, removes, ranges, heals = (*parts, *_NOTHING[len(parts) :])
    actors = [frame.actor, *_decode_actors(table)]
    first, last = frame.first, frame.last
    frame.deps = _decode_vector(deps, actors)
    _require(frame.actor not in frame.deps, "a frame that depends on its own author")
    _require(not (frame.groups and groups), "a row that stands alone beside others")
    frame.groups += [_decode_group(group, first, last, natural(ms), named) for group in groups]
    _require_distinct(frame.groups)
    for number, flat in removes:
        _require(actors[natural(number)] not in frame.removes, "one list of removals per actor")
        frame.removes[actors[number]] = _decode_runs(flat)
    own = frame.removes.get(frame.actor)
    _require(own is None or own.stops[-1] <= last + 1, "removal of a future dot")
    frame.ranges = [(_decode_path(path), _decode_vector(vector, actors)) for path, vector in ranges]
    _require(all(vector.get(frame.actor, 0) <= last for _, vector in frame.ranges), "range over future dots")
    frame.heals = [
        (actors[natural(number)], natural(seq), natural(content))
        for number, seq, content in zip(heals[::3], heals[1::3], heals[2::3], strict=True)
    ]
    _require(all(s in frame.removes[a] for a, s, _ in frame.heals), "a healing that removes nothing")


def head_of(data: bytes) -> Head:
    """Author, first and count of a frame, without reading the rest. Raises PeerError."""
    try:
        return Head(data)
    except _DECODING as error:
        raise PeerError("malformed", f"frame: {error}") from None


def decode_rows(data: bytes, named: dict[Actor, None] | None = None) -> list[Group]:
    """Inverse of `encode_rows`. Raises PeerError. `named` gets the actors that their payloads speak of."""
    try:
        ms, groups = _unpack(data)
        rows = [_decode_group(group, 1, SEQ_MASK, natural(ms), named) for group in groups]
        _require_distinct(rows)
    except _DECODING as error:
        raise PeerError("malformed", f"rows: {error}") from None
    return rows


def rows_within(data: bytes, vector: Mapping[Actor, int]) -> list[Group]:
    """`decode_rows` of what came with this vector, and may speak of those alone whom it names. Raises PeerError."""
    named: dict[Actor, None] = {}
    rows = decode_rows(data, named)
    if not all(map(vector.get, named)):
        raise PeerError("malformed", "rows that speak of whom the vector beside them does not name")
    return rows


def _unpack(data: bytes) -> Any:
    """Arrays come as tuples, as counts are held."""
    return msgpack.unpackb(data, use_list=False, strict_map_key=False, ext_hook=numberwire.structured)


def _decode_actors(table: Any) -> list[Actor]:
    return [decode_actor(name, nonce) for name, nonce in zip(table[::2], table[1::2], strict=True)]


def decode_actor(name: Any, nonce: Any) -> Actor:
    """An actor from outside. Raises ValueError."""
    _require(is_actor(name, nonce), "name of an actor")
    return Actor(name, nonce)


def natural(value: object) -> int:
    """An int between 0 and 2^64 - 1. Raises ValueError."""
    if type(value) is not int or not 0 <= value <= MASK_64:
        raise ValueError("not a natural number")
    return value


def _decode_vector(flat: Any, actors: list[Actor]) -> dict[Actor, int]:
    return {actors[natural(number)]: natural(n) for number, n in zip(flat[::2], flat[1::2], strict=True)}


def _decode_path(path: Any) -> tuple[bytes, ...]:
    _require(type(path) is tuple and set(map(type, path)) == {bytes} and len(path) <= 2, "path of a range")
    return path  # type: ignore[no-any-return]


def _decode_group(group: Any, first: int, last: int, ms: int, named: dict[Actor, None] | None) -> Group:
    code, key, coded, stamps, fields, payloads = group
    _require(type(fields) is tuple and (key is None or type(key) is bytes), "group")
    fields = list(fields)
    points = type(payloads) is str
    if points:
        payloads = [point.encode() for point in payloads]
    elif payloads is not None:
        _require(type(payloads) is tuple, "payloads")
        payloads = list(payloads)
    column = fields
    if fields and type(fields[0]) is int:
        fields = column = fronts.spelled(fields)
    elif set(map(type, column)) != {bytes}:
        fields = places.spelled(column, len(payloads))
    count = len(fields)
    _require(count > 0, "group")
    _require(payloads is None or len(payloads) == count, "payloads")
    if type(coded) is int:
        seqs = list(range(first + coded, first + coded + count))
    else:
        steps = [first + coded[0], *coded[1:]]
        _require(len(steps) == count and all(type(step) is int and step > 0 for step in steps), "sequence numbers")
        seqs = list(accumulate(steps))
    _require(first <= seqs[0] and seqs[-1] <= last, "rows outside of what the frame claims")
    naming = _check_rows(natural(code), key, column, fields, payloads, points)
    if naming and named is not None:
        for payload in payloads:
            for actor in numberwire.named(payload):
                named[actor] = None
    return Group(code, key, fields, payloads, seqs, _decode_stamps(stamps, count, ms))


def _check_rows(
    code: int, key: bytes | None, column: list[Any], fields: list[Any], payloads: list[Any] | None, points: bool
) -> bool:
    """Whether payloads may name actors. Raises ValueError.

    `column`: the fields as they came, `fields`: spelled out; `points`: the payloads came as a text.
    """
    cls = entry_class(code) or Opaque
    _require(code < 256 and (cls is Opaque or cls.SINGLE == (key is None)), "a type with another kind of key")
    _require(set(map(type, fields)) == {bytes}, "keys or fields")
    field = None if key is None else fields[0]
    kinds = set(map(type, payloads or ()))
    structured = msgpack.ExtType in kinds
    if tuple in kinds:
        for payload in payloads or ():
            _require(type(payload) is not tuple or is_counted(payload), "a count")
    if cls.STRICT:
        _require(all(map(cls.check, fields, payloads or [None] * len(fields))), "rows that their type does not have")
        return structured and cls.COUNTS
    if payloads is None:
        payloads = [None]
    elif cls.PLACED:
        probes = range(len(fields)) if cls.POINTS and not points else _probes(column)
        _require(all(cls.check(fields[i], payloads[i]) for i in probes), "places")
    if len(kinds) == 1 and not structured:
        payloads = payloads[:1]  # only what is structured has to be looked into
    for payload in payloads:
        _require(cls.check(field, payload), "rows that their type does not have")
    return structured and cls.COUNTS


def _probes(column: list[Any]) -> Iterator[int]:
    """The positions of the fields that have to be looked at: of a run of places, both ends vouch for the rest."""
    at = 0
    for item in column:
        yield at
        at += 1 if type(item) is bytes else abs(item[2])
        yield at - 1


def _require_distinct(groups: list[Group]) -> None:
    """No dot may carry two rows."""
    if len(groups) > 1:
        _require(len({seq for group in groups for seq in group.seqs}) == sum(map(len, groups)), "a dot with two rows")


def _decode_stamps(flat: Any, count: int, ms: int) -> Stamps:
    if len(flat) == 2:
        flat = [count, *flat]
    out: Stamps = []
    for n, step, counter in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        ms = natural(ms + step)
        _require(natural(n) > 0 and natural(counter) <= _COUNTER_MASK and ms < 1 << 48, "timestamps")
        out.append((n, ms << COUNTER_BITS | counter))
    _require(sum(n for n, _ in out) == count, "number of timestamps")
    return out


def _encode_runs(runs: Runs) -> list[int]:
    """[gap, length, gap, length ...]; a gap is counted from the end of the run before."""
    flat = [0] * (2 * len(runs.starts))
    flat[::2] = map(sub, runs.starts, chain((0,), runs.stops))
    flat[1::2] = map(sub, runs.stops, runs.starts)
    return flat


def _decode_runs(flat: Any) -> Runs:
    """Inverse of `_encode_runs`; at least one run. Raises ValueError, TypeError."""
    _require(type(flat) in (tuple, list) and len(flat) > 0 and len(flat) % 2 == 0, "runs of dots")
    _require(set(map(type, flat)) == {int} and min(flat) > 0, "runs of dots")
    bounds = list(accumulate(flat))
    _require(bounds[-1] <= SEQ_MASK + 1, "runs of dots")
    runs = Runs()
    runs.starts, runs.stops = bounds[::2], bounds[1::2]
    return runs


def encode_live(live: Runs) -> list[int]:
    """Live seqs of one actor, as differences of runs."""
    return _encode_runs(live)


def decode_live(flat: Any) -> Runs:
    """Inverse of `encode_live`. Raises ValueError, TypeError."""
    return _decode_runs(flat) if flat else Runs()


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
