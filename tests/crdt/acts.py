"""What the replicas of a random history do: an act for each operation of each type, on a world, a site and a key.

Each writes through the type's own functions and notes what it meant, for the oracle (answers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from crdt.errors import UsageError
from crdt.state import State
from crdt.types import counters, expiry, flags, hashes, keyspace, lists, number, sets, streams, strings, texts, zsets
from tests.crdt import json_model
from tests.crdt.answers import KINDS, PLACED, Op, Past, standing
from tests.crdt.histories import KEYS, MEMBERS, Act, Site, World


def _noted(kind: str, verb: str, value: Callable[[World], Any], run: Callable[..., object], names: list[Any]) -> Act:
    """An act on one cell: run it, then note it."""

    def act(world: World, site: Site, key: bytes) -> None:
        name, amount = world.rng.choice(names), value(world)
        past = site.past()
        run(site.state, key, name, amount)
        if verb == "remove" and key in site.state.expired:
            return  # it found no key
        site.ops.append(Op(past.author, past.count, kind, key, name, verb, amount, past))

    return act


def _decimal(world: World) -> Decimal:
    return Decimal(world.rng.randrange(-30, 90)) / 10


def put_over(world: World, site: Site, key: bytes) -> None:
    """MV.SET with a context that somebody was given some time ago."""
    state = site.state
    if not world.contexts or world.rng.random() < 0.5:
        name = world.rng.choice([None, *MEMBERS])
        if keyspace.type_name(state, key) in (None, "string" if name is None else "hash"):
            token = strings.context(state, key) if name is None else hashes.context(state, key, name)
            world.contexts.append((token, site.past(), key, name))
        return
    token, over, key, name = world.rng.choice(world.contexts)
    value, past = world.text(), site.past()
    try:
        if name is None:
            strings.put_over(state, key, value, token)
        else:
            hashes.put_over(state, key, name, value, token)
    except UsageError:  # of another type by now, or it names increments that have not arrived here
        return
    kind = "string" if name is None else "hash"
    site.ops.append(Op(past.author, past.count, kind, key, name, "set", value, past, Both(over, past)))


class Both(Past):
    """What two pasts both saw: a context may cover what has not arrived here."""

    __slots__ = ("one", "two")

    def __init__(self, one: Past, two: Past) -> None:
        self.one, self.two = one, two

    def saw(self, other: Op) -> bool:
        return self.one.saw(other) and self.two.saw(other)


def put(world: World, site: Site, key: bytes) -> None:
    """SET: a deletion of every other type, then a write."""
    value = world.text()
    strings.put(site.state, key, value)
    for kind in KINDS[:-1]:
        site.note(kind, key, None, "remove")
    site.note("string", key, None, "set", value)


def delete(world: World, site: Site, key: bytes) -> None:
    keyspace.delete(site.state, key)
    site.note("", key, None, "remove")


def flush(world: World, site: Site, key: bytes) -> None:
    if world.rng.random() < 0.2:
        keyspace.flush(site.state)
        for name in KEYS:
            site.note("", name, None, "remove")


def fill(world: World, site: Site, key: bytes) -> None:
    """Enough to be removed by a range."""
    if world.rng.random() < 0.5:
        sets.add(site.state, key, MEMBERS)
        for name in MEMBERS:
            site.note("set", key, name, "add", True)
        return
    pairs = [(name, world.text()) for name in MEMBERS]
    hashes.put(site.state, key, pairs)
    for name, value in pairs:
        site.note("hash", key, name, "set", value)


def _ordered(kind: str, run: Callable[[World, State, bytes, list[bytes]], list[bytes] | None]) -> Act:
    """An act on a list or text: `run` does it, and says what a plain list would hold after it (None: nothing is said).

    With `Answers` this is the strong list specification: there is one order of everything that was ever inserted, and
    every replica at every moment shows what stands in that order.
    """

    def act(world: World, site: Site, key: bytes) -> None:
        before = {name: standing(site.state, kind, name) for name in KEYS}
        lists.of(site.state, key, PLACED[kind])
        expected = run(world, site.state, key, list(before[key].values()))
        after = {name: standing(site.state, kind, name) for name in KEYS}
        assert expected is None or list(after[key].values()) == expected, "not what a plain list would hold"
        for name in KEYS:
            for place in before[name].keys() - after[name].keys():
                site.note(kind, name, place, "remove")
            for place, value in after[name].items():
                if before[name].get(place) != value:
                    site.note(kind, name, place, "set", value)

    return act


def _push(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    new = [world.text() for _ in range(world.rng.choice((1, 1, 2, 5)))]
    leftwards = world.rng.random() < 0.5
    lists.push(state, key, new, leftwards)
    return [*new[::-1], *held] if leftwards else [*held, *new]


def _insert(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    pivot, new = world.rng.choice(held or [b""]), world.text()
    after = world.rng.random() < 0.5
    lists.insert(state, key, pivot, new, after)
    at = held.index(pivot) + after if held else 0
    return [*held[:at], *([new] if held else []), *held[at:]]


def _set_element(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index = world.rng.randrange(-len(held) - 1, len(held) + 1)
    world.unique += 1
    lists.put(state, key, index, b"%d" % world.unique)
    return [b"%d" % world.unique if i == index % len(held) else value for i, value in enumerate(held)]


def _remove_elements(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    size, x = len(held), world.rng.randrange(5)
    i, j = sorted((world.rng.randint(0, size), world.rng.randint(0, size)))
    if x == 0:
        lists.trim(state, key, i, j)
        return held[i:j]
    if x == 1 and held:
        value = held[i - 1]
        assert lists.remove(state, key, value) == held.count(value)
        return [other for other in held if other != value]
    left, count = x < 4, world.rng.choice((1, 1, 2))
    taken = lists.pop(state, key, count, left)
    assert taken == (held[:count] if left else held[::-1][:count])
    return held[count:] if left else held[: max(0, size - count)]


def _move(world: World, state: State, key: bytes, held: list[bytes]) -> None:
    other, ends = world.rng.choice(KEYS), (world.rng.random() < 0.5, world.rng.random() < 0.5)
    total = sum(len(standing(state, "list", name)) for name in KEYS)
    moved = lists.move(state, key, other, *ends)
    assert moved == ((held[0] if ends[0] else held[-1]) if held else None)
    assert sum(len(standing(state, "list", name)) for name in KEYS) == total, "a move duplicates or loses"


def _type(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index = world.rng.randint(0, len(held))
    text = "".join(world.rng.choice("aé€😀\x00") for _ in range(world.rng.choice((1, 2, 6))))
    assert texts.insert(state, key, index, text) == len(held) + len(text)
    return [*held[:index], *(point.encode() for point in text), *held[index:]]


def _erase(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index, count = world.rng.randint(0, len(held)), world.rng.randint(0, 4)
    assert texts.delete(state, key, index, count) == len(held[index : index + count])
    return held[:index] + held[index + count :]


def pop(world: World, site: Site, key: bytes) -> None:
    for member in sets.pop(site.state, key, 2, world.rng):
        site.note("set", key, member, "remove")


def expire(world: World, site: Site, key: bytes) -> None:
    """EXPIRE, mostly for so short that the history sees the end."""
    if key in site.state.keys:
        expiry.expire(site.state, key, site.state.time_ms + world.rng.choice([1, 4, 2000, 10**9]))


def persist(world: World, site: Site, key: bytes) -> None:
    expiry.persist(site.state, key)


def put_keeping(world: World, site: Site, key: bytes) -> None:
    """SET KEEPTTL."""
    value = world.text()
    expiry.put(site.state, key, value)
    for kind in KINDS[:-1]:
        site.note(kind, key, None, "remove")
    site.note("string", key, None, "set", value)


def store(world: World, site: Site, key: bytes) -> None:
    """SUNIONSTORE, or RENAME with a lifetime."""
    delete(world, site, key)
    name = world.rng.choice(MEMBERS)
    add = world.rng.choice([sets.SetEntry, sets.GROW])
    sets.add(site.state, key, [name], add)
    site.note("gset" if add is sets.GROW else "set", key, name, "add", True)
    expiry.renew(site.state, key, world.rng.choice([None, site.state.time_ms + 3]))


def append(world: World, site: Site, key: bytes) -> None:
    """XADD."""
    found = streams.next_id(site.state, key)
    streams.add(site.state, key, found, [b"f", world.text()])
    site.note("stream", key, found.field(), "add", True)


def trim(world: World, site: Site, key: bytes) -> None:
    """XDEL or XTRIM, which leave a note."""
    entry = streams.find(site.state, key)
    gone = [name for name in entry.ids if world.rng.random() < 0.6] if entry else []
    for name in gone:
        site.note("stream", key, name, "remove")
    if streams.remove(site.state, key, gone):
        site.note("stream", key, streams.META, "add", True)


def reap(world: World, site: Site, key: bytes) -> None:
    """The rows of an expired key are removed."""
    if key in site.state.expired:
        site.state.bury(key)


def _float(world: World, site: Site, key: bytes) -> None:
    """INCRBYFLOAT counts the difference between what was shown and what its arithmetic, which rounds, shows now."""
    entry, past = site.state.keys.get(key), site.past()
    before = _exact(getattr(entry, "value", None), site.state)
    after = Decimal(counters.incr_float(site.state, key, _decimal(world)).decode())
    site.ops.append(Op(past.author, past.count, "string", key, None, "incr", after - before, past))


def _hash_float(world: World, site: Site, key: bytes) -> None:
    entry, past, name = site.state.keys.get(key), site.past(), world.rng.choice(MEMBERS[:2])
    before = _exact(getattr(entry, "values", {}).get(name), site.state)
    after = Decimal(hashes.incr_float(site.state, key, name, _decimal(world)).decode())
    site.ops.append(Op(past.author, past.count, "hash", key, name, "incr", after - before, past))


def _exact(value: Any, state: State) -> Decimal:
    shown = number.shown_of(state, value)
    try:
        return Decimal(shown.decode() if isinstance(shown, bytes) else shown or 0)
    except ArithmeticError:
        return Decimal(0)


def _true(world: World) -> bool:
    return True


_ONE: list[Any] = [None]
add_member = _noted("set", "add", _true, lambda s, k, n, v: sets.add(s, k, [n]), MEMBERS)
remove_member = _noted("set", "remove", lambda w: None, lambda s, k, n, v: sets.remove(s, k, [n]), MEMBERS)
count = _noted("string", "incr", World.amount, lambda s, k, n, v: counters.incr(s, k, v), _ONE)
ON_LISTS = [_ordered("list", run) for run in (_push, _insert, _set_element, _remove_elements, _move)]
ACTS: list[Act] = [
    put,
    put,
    delete,
    flush,
    fill,
    pop,
    put_over,
    count,
    count,
    _float,
    _noted("hash", "set", World.text, lambda s, k, n, v: hashes.put(s, k, [(n, v)]), MEMBERS),
    _noted("hash", "incr", World.amount, hashes.incr, MEMBERS[:2]),
    _hash_float,
    _noted("hash", "remove", lambda w: None, lambda s, k, n, v: hashes.remove(s, k, [n]), MEMBERS),
    _noted("zset", "set", World.score, lambda s, k, n, v: zsets.put(s, k, [(n, float(v))]), MEMBERS),
    _noted("zset", "incr", World.amount, zsets.increase, MEMBERS[:2]),
    _noted("zset", "remove", lambda w: None, lambda s, k, n, v: zsets.remove(s, k, [n]), MEMBERS),
    add_member,
    remove_member,
    _noted("gset", "add", _true, lambda s, k, n, v: sets.add(s, k, [n], sets.GROW), MEMBERS),
    _noted("gcount", "incr", lambda w: abs(w.amount()), lambda s, k, n, v: counters.grow(s, k, v), _ONE),
    _noted("flag", "add", _true, lambda s, k, n, v: flags.enable(s, k), _ONE),
    _noted("flag", "remove", lambda w: None, lambda s, k, n, v: flags.disable(s, k), _ONE),
    expire,
    expire,
    persist,
    put_keeping,
    store,
    append,
    append,
    trim,
    reap,
    *json_model.ACTS,
    *ON_LISTS,
    _ordered("text", _type),
    _ordered("text", _erase),
]
