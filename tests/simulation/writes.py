"""The operations of simulated clients, and what the oracle has to know of them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from crdt.dots import SEQ_MASK
from crdt.errors import UsageError
from crdt.state import State
from crdt.types import counters, documents, flags, hashes, keyspace, sets, streams, strings, zsets
from crdt.types.strings import StringEntry
from tests.simulation import ordered
from tests.simulation.oracle import Counted, Oracle, Violation

if TYPE_CHECKING:
    from tests.simulation.node import Node

Note = Counted
CAUSES: dict[bytes, frozenset[bytes]] = {}
"""What the writer of a link had seen when it wrote it. Links have names of their own in every history."""


def documents_in(seed: int, nodes: int, duration: float) -> list[tuple[Any, ...]]:
    """Writes to two JSON documents, by dice of their own: the rest of the history is drawn as ever."""
    rng = Random(f"documents {seed}")
    kinds = ("jset", "jset", "jnum", "jarr", "jarr", "jpop", "jdel", "jroot")
    out: list[tuple[Any, ...]] = []
    for _ in range(rng.randrange(8, 25)):
        what = rng.choice(kinds), rng.randrange(2), rng.randrange(4), rng.randrange(-3, 9)
        out.append((rng.uniform(0, duration), "write", rng.randrange(nodes), *what))
    return out


def streams_in(seed: int, nodes: int, duration: float) -> list[tuple[Any, ...]]:
    """Writes to two streams, by dice of their own as well."""
    rng = Random(f"streams {seed}")
    out: list[tuple[Any, ...]] = []
    for _ in range(rng.randrange(8, 25)):
        what = rng.choice(("xadd", "xadd", "xtrim")), rng.randrange(2), rng.randrange(20), 1
        out.append((rng.uniform(0, duration), "write", rng.randrange(nodes), *what))
    return out


def _document(state: State, kind: str, key: bytes, member: int, amount: int) -> None:
    """A write to some place of a document that has objects, numbers and arrays."""
    doc = documents.document(state, key)
    if doc is None or kind == "jroot":
        documents.put(state, key, {"n0": 1, "l1": [amount], "o2": {"x": amount}})
        return
    name = (b"n0", b"l1", b"o2", b"t3")[member]
    node = documents.member(doc.root, name) if doc.root.is_object() else None
    if node is None:
        if doc.root.is_object():
            documents.add(state, doc, doc.root, name, [amount] if member == 1 else amount)
    elif kind == "jdel":
        documents.remove(state, doc, node)
    elif kind == "jnum" and documents.amount(state, node) is not None:
        documents.increase(state, doc, node, amount + 0.5 * (member == 3))
    elif kind in ("jarr", "jpop") and documents.kind(state, node) == "array":
        if kind == "jarr":
            documents.insert(state, doc, node, min(abs(amount), documents.size(node)), [amount, {"y": amount}])
        else:
            documents.take(state, doc, documents.elements(node, 0, 1))
    elif kind == "jset":
        documents.assign(state, doc, node, amount if member else [amount, {"z": []}])


def perform(oracle: Oracle, node: Node, state: State, args: list[Any]) -> None:
    """One operation, or one transaction of several."""
    if args[0] == ordered.FEATURE:
        ordered.perform(state, *args[1:])
        return
    kind, key, member, amount = args
    if kind in ("incr", "number", "del"):
        _count(oracle, node, state, kind, b"n%d" % key, amount)
    elif kind == "link":
        _link(node, state)
    elif kind == "burst":
        sets.add(state, b"s%d" % key, [b"%d" % (member + i) for i in range(amount)])
    elif kind == "pair":
        sets.add(state, b"left", [b"%d" % member])
        strings.put(state, b"between", b"%d" % amount)
        sets.add(state, b"right", [b"%d" % member])
    elif kind == "unpair":
        sets.remove(state, b"left", [b"%d" % member])
        sets.remove(state, b"right", [b"%d" % member])
    else:
        _PLAIN[kind](state, key, member, amount)


def _set(state: State, key: bytes, value: bytes) -> None:
    strings.put(state, key, value)
    if strings.get(state, key) != value:
        raise Violation(f"a SET of {key.decode()} is not what its writer reads next")


def _hincr(state: State, key: int, member: int, amount: int) -> None:
    try:
        hashes.incr(state, b"h%d" % key, b"f%d" % member, amount)
    except UsageError:
        pass


def _xtrim(state: State, key: int, member: int, amount: int) -> None:
    entry = streams.find(state, b"y%d" % key)
    streams.remove(state, b"y%d" % key, list(entry.ids[: member % 5]) if entry else [], trimmed=True)


_PLAIN: dict[str, Any] = {
    "sadd": lambda s, k, m, n: sets.add(s, b"s%d" % k, [b"%d" % m, b"%d" % (m + 1)]),
    "srem": lambda s, k, m, n: sets.remove(s, b"s%d" % k, [b"%d" % m]),
    "delset": lambda s, k, m, n: keyspace.delete(s, b"s%d" % k),
    "set": lambda s, k, m, n: _set(s, b"t%d" % k, b"%d" % m),
    "blob": lambda s, k, m, n: _set(s, b"v%d" % k, b"%d" % m * n),
    "hset": lambda s, k, m, n: hashes.put(s, b"h%d" % k, [(b"f%d" % m, b"%d" % n)]),
    "hincr": _hincr,
    "hdel": lambda s, k, m, n: hashes.remove(s, b"h%d" % k, [b"f%d" % m]),
    "flag": lambda s, k, m, n: flags.enable(s, b"b%d" % k),
    "unflag": lambda s, k, m, n: flags.disable(s, b"b%d" % k),
    "zadd": lambda s, k, m, n: zsets.put(s, b"z%d" % k, [(b"%d" % m, float(n))]),
    "zincr": lambda s, k, m, n: zsets.increase(s, b"z%d" % k, b"%d" % m, float(n)),
    "zrem": lambda s, k, m, n: zsets.remove(s, b"z%d" % k, [b"%d" % m]),
    **{
        kind: lambda s, k, m, n, kind=kind: _document(s, kind, b"j%d" % k, m, n)
        for kind in ("jset", "jnum", "jarr", "jpop", "jdel", "jroot")
    },
    "xadd": lambda s, k, m, n: streams.add(s, b"y%d" % k, streams.next_id(s, b"y%d" % k), [b"f", b"%d" % m]),
    "xtrim": _xtrim,
    "grow": lambda s, k, m, n: counters.grow(s, b"g%d" % k, abs(n)),
}


def _count(oracle: Oracle, node: Node, state: State, kind: str, key: bytes, amount: int) -> None:
    note = Counted(state.actor, node.order, kind, key, amount, state.vector())
    if kind == "incr":
        counters.incr(state, key, amount)
    elif kind == "number":
        strings.put(state, key, b"%d" % amount)
        oracle.setters[state.actor, _dot_of_set(state, key)] = note
    elif not keyspace.delete(state, key):
        return
    note.seq = state.seq
    node.pending.append(note)
    oracle.counted.append(note)


def _dot_of_set(state: State, key: bytes) -> int:
    """The own dot under which the value that was just set stands."""
    entry = state.keys[key]
    assert isinstance(entry, StringEntry)
    held = [entry.dot] if isinstance(entry.value, bytes) else list(entry.value.sets)  # type: ignore[union-attr]
    return max(held) & SEQ_MASK


def _link(node: Node, state: State) -> None:
    seen = frozenset(sets.members(state, b"links", sets.GROW))
    name = b"%d.%d.%d" % (node.index, node.life, node.order)
    CAUSES[name] = seen
    sets.add(state, b"links", [name], sets.GROW)
