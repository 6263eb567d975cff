"""Lists and texts in the simulator: what is written, and that each write leaves what it would of a Python list.

Every fifth history has them. That replicas agree on the order follows from rows that are equal and places that are
bytes; the states compare those. Must not know: places.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from crdt.state import State
from crdt.types import keyspace, lists, texts
from tests.simulation.oracle import Violation

FEATURE: Final = "ordered"
VERBS: Final = ("rpush", "rpush", "lpush", "linsert", "linsert", "lset", "pop", "lmove", "type", "type", "erase", "del")


def drawn(seed: int) -> bool:
    """Whether a history has such keys."""
    return seed % 5 == 3


def actions(seed: int, nodes: int, duration: float) -> list[tuple[Any, ...]]:
    """Timed actions, by dice of their own: the rest of the history is drawn as ever."""
    rng = Random(f"{FEATURE} {seed}")
    found: list[tuple[Any, ...]] = []
    for _ in range(rng.randrange(4, 16)):
        what = rng.choice(VERBS), rng.randrange(2), rng.randrange(1000), rng.randrange(1, 6)
        found.append((rng.uniform(0, duration), "write", rng.randrange(nodes), FEATURE, *what))
    return found


def perform(state: State, verb: str, key: int, at: int, count: int) -> None:
    """One write. Raises Violation."""
    if verb in ("type", "erase"):
        _text(state, b"x%d" % key, verb, at, count)
        return
    name, other = b"l%d" % key, b"l%d" % (1 - key)
    held = lists.values(state, name)
    new = [b"%d.%d" % (at, i) for i in range(count)]
    index = at % len(held) if held else 0
    if verb in ("rpush", "lpush"):
        lists.push(state, name, new, verb == "lpush")
        held = [*new[::-1], *held] if verb == "lpush" else [*held, *new]
    elif verb == "del":
        keyspace.delete(state, name)
        held = []
    elif verb == "pop":
        lists.pop(state, name, count, at % 2 == 0)
        held = held[count:] if at % 2 == 0 else held[: max(0, len(held) - count)]
    elif verb == "lmove":
        if held:
            lists.push(state, other, [held[0]])
        lists.pop(state, name, 1, True)
        held = held[1:]
    elif held and verb == "lset":
        lists.put(state, name, index, new[0])
        held[index] = new[0]
    elif held:
        lists.insert(state, name, held[index], new[0], at % 2 == 0)
        held.insert(held.index(held[index]) + (at % 2 == 0), new[0])
    if lists.values(state, name) != held:
        raise Violation(f"a {verb} leaves {lists.values(state, name)}, not {held}")


def _text(state: State, key: bytes, verb: str, at: int, count: int) -> None:
    held = (texts.get(state, key) or b"").decode()
    index = at % (len(held) + 1)
    if verb == "type":
        new = "ab\u20ac\U0001f600c"[:count]
        texts.insert(state, key, index, new)
        held = held[:index] + new + held[index:]
    else:
        texts.delete(state, key, index, count)
        held = held[:index] + held[index + count :]
    if (texts.get(state, key) or b"").decode() != held:
        raise Violation(f"a text is not what its writer made of it: {held!r}")
