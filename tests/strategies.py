"""Hypothesis strategies for the values of the core, and the settings they run under: the same examples in every run."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from crdt import places
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.expiries import NEVER
from crdt.frame import Frame, Group, Stamps
from crdt.places import between
from crdt.types import expiry
from crdt.types.amounts import exact
from crdt.types.catalog import CATALOG
from crdt.types.counters import GrowCounterEntry
from crdt.types.expiry import ExpiryEntry
from crdt.types.flags import FlagEntry
from crdt.types.jsoncell import ELEMENT, MEMBER, component, ranked
from crdt.types.jsontext import dump
from crdt.types.jsontree import JsonEntry
from crdt.types.lists import ListEntry
from crdt.types.numberwire import BASE, COUNT, SET, _out, is_small
from crdt.types.sets import SetEntry
from crdt.types.streams import StreamEntry
from crdt.types.texts import TextEntry

steady = settings(
    derandomize=True, max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)

names = st.sampled_from([b"", b"a", b"ab", b"b", b"\x00\xff", b"x" * 40])
nonces = st.integers(0, 2**64 - 1)
actors = st.builds(Actor, st.sampled_from(["a", "b", "pump-3", "é"]), nonces)
seqs = st.integers(1, 300)
vectors = st.dictionaries(actors, st.integers(1, SEQ_MASK), max_size=4)
hlcs = st.builds(lambda ms, counter: ms << 16 | counter, st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1))
runs = st.sets(st.integers(1, 2000), min_size=1, max_size=40).map(lambda found: Runs(sorted(found)))
amounts = st.one_of(
    st.integers(-(2**70), 2**70),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=5).map(exact),
)

# Anything that MessagePack can say, for decoders to refuse.
junk: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary(max_size=8),
        st.text(max_size=4), st.builds(msgpack.ExtType, st.integers(0, 5), st.binary(max_size=8)),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _count(seq: int, total: Any) -> Any:
    return (COUNT, seq, total) if is_small(total) else _ext([COUNT, seq, _out(total)])


def _ext(row: list[Any]) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(row))


_texts = amounts.map(_out)
_counts = st.builds(_count, seqs, amounts)
_bases = st.builds(lambda seq, n, total, actor: _ext([BASE, seq, n, total, *actor]), seqs, seqs, _texts, actors)
_lineages = st.dictionaries(st.tuples(actors, seqs), st.tuples(seqs, _texts), min_size=1, max_size=3)


def _set(value: bytes, found: dict[Any, Any]) -> msgpack.ExtType:
    return _ext([SET, value, [[*actor, seq, *at] for (actor, seq), at in sorted(found.items())]])


def _sets_of(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[Any]:
    """Values with what was counted before them."""
    return st.builds(_set, values, _lineages)


_finite = st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _finite | st.text(max_size=5)
json_texts = st.builds(
    ranked, st.sampled_from([0, 1, 127, 128, 10**6]), st.sampled_from([b"{}", b"[]"]) | _scalars.map(dump)
)
_steps = st.text(max_size=3).map(lambda name: component(MEMBER, name.encode())) | st.builds(
    lambda seed, seq: component(ELEMENT, between(None, None, seed, seq)[0]), st.binary(min_size=8, max_size=8), seqs
)
json_fields = st.lists(_steps, max_size=4).map(b"".join)


def _step(rank: int, seed: int, first: int, code: int) -> bytes:
    return places.number(rank) + places.seed_bytes(seed) + places.number(first) + places.number(code)


_leading = st.builds(lambda offset, side: 3 * offset + side, st.integers(-100, 100), st.sampled_from([-1, 1]))
_turns = st.builds(_step, st.integers(-2, 2), st.sampled_from([1, 2**64 - 1]), st.integers(1, 300), _leading)
placed = st.builds(
    lambda path, offset: b"".join(path) + _step(0, 7, 5, 3 * offset), st.lists(_turns, max_size=2), st.integers(-70, 70)
)  # places, some of them neighbours


def fields_of(code: int) -> st.SearchStrategy[bytes]:
    """Fields that a type's rows may have."""
    if CATALOG[code].PLACED:
        return placed
    if code == StreamEntry.CODE:
        return st.sampled_from([b"", bytes(16), b"\xff" * 16, bytes(15) + b"\1"])
    return json_fields if code == JsonEntry.CODE else names


_spans = st.builds(
    lambda kind, deadline, own, others: _ext([kind, deadline, *own, *([*actor, seq] for actor, seq in others)]),
    st.sampled_from([expiry.SAID, expiry.KEPT]),
    st.none() | st.integers(0, NEVER - 1),
    st.lists(seqs, max_size=2),
    st.lists(st.tuples(actors, seqs), max_size=2),
)


def payloads(code: int) -> st.SearchStrategy[Any]:
    """Payloads that a type's rows may have; None where they have none."""
    cls = CATALOG[code]
    if issubclass(cls, SetEntry | FlagEntry):
        return st.none()
    if cls is GrowCounterEntry:
        return _counts | _bases
    if cls is ExpiryEntry:
        return _spans
    if cls is TextEntry:
        return st.characters(codec="utf-8").map(str.encode)
    if cls is ListEntry:
        return st.binary(max_size=12)
    if cls is JsonEntry:
        return json_texts | _counts | _bases | _sets_of(json_texts)
    return st.binary(max_size=12) | _counts | _bases | _sets_of(st.binary(max_size=8))


def stamps(count: int) -> st.SearchStrategy[Stamps]:
    """Timestamps of `count` rows, as runs."""

    def cut(values: list[int], lengths: list[int]) -> Stamps:
        out: Stamps = []
        left = count
        for hlc, length in zip(values, lengths, strict=True):
            if left and (not out or out[-1][1] != hlc):
                out.append((min(length, left), hlc))
                left -= out[-1][0]
        return out if not left else [*out[:-1], (out[-1][0] + left, out[-1][1])]

    sizes = st.lists(st.integers(1, count), min_size=3, max_size=3)
    return st.builds(cut, st.lists(hlcs, min_size=3, max_size=3), sizes)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Well-formed frames; what they say need not make sense together."""
    first = draw(st.integers(1, 1000))
    taken = draw(st.lists(st.integers(0, 60), min_size=0, max_size=12, unique=True))
    last = first + max([*taken, draw(st.integers(0, 60))])
    author = draw(actors)
    one = Frame(author, first, last)
    one.deps = {actor: n for actor, n in draw(vectors).items() if actor != author}
    while taken:
        size = draw(st.integers(1, len(taken)))
        part, taken = sorted(taken[:size]), taken[size:]
        code = draw(st.sampled_from(sorted(CATALOG)))
        values = draw(st.lists(payloads(code), min_size=size, max_size=size))
        fields = draw(st.lists(fields_of(code), min_size=size, max_size=size))
        one.groups.append(
            Group(
                code,
                None if CATALOG[code].SINGLE else draw(names),
                fields,
                None if all(value is None for value in values) else values,
                [first + offset for offset in part],
                draw(stamps(size)),
            )
        )
    one.removes = draw(st.dictionaries(actors.filter(lambda actor: actor != author), runs, max_size=2))
    for path in draw(st.lists(st.lists(names, min_size=1, max_size=2), max_size=2)):
        one.ranges.append((tuple(path), {**draw(vectors), **draw(st.sampled_from([{}, {author: first}]))}))
    return one
