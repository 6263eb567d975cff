"""Keys that expire in the simulator: what is written, and what must hold of their removal.

Every fourth history has them. Checks that a tick removes values only a grace after their end and by a clock that is
right, and (where no clock was touched) that in the end nothing is left that has expired, on any replica.
Must not know: who ought to remove.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from crdt.entry import LIFETIME
from crdt.replica.replica import Replica
from crdt.state import State
from crdt.types import expiry, sets, strings
from tests.simulation.oracle import Violation

FEATURE: Final = "mortal"
KEYS: Final = (b"m0", b"m1", b"m2")
SECONDS: Final = (0.1, 0.3, 1.0, 2.0)
PATIENCE: Final = 30.0  # virtual seconds until all is gone: the longest lifetime, and five graces of 3 heartbeats

Held = dict[bytes, tuple[int, set[int]]]


def drawn(seed: int) -> bool:
    """Whether a history has such keys."""
    return seed % 4 == 1


def actions(seed: int, nodes: int, duration: float) -> list[tuple[Any, ...]]:
    """Timed actions, by dice of their own: the rest of the history is drawn as ever."""
    rng = Random(f"{FEATURE} {seed}")
    verbs = ("add", "add", "expire", "expire", "set", "persist")
    found: list[tuple[Any, ...]] = []
    for _ in range(rng.randrange(6, 24)):
        what = rng.choice(verbs), rng.choice(KEYS), rng.choice(SECONDS)
        found.append((rng.uniform(0, duration), FEATURE, rng.randrange(nodes), *what))
    return found


def perform(state: State, verb: str, key: bytes, seconds: float) -> None:
    """A client writes. An expired key is left alone, so that only ticks remove."""
    if key in state.expired:
        return
    ends = state.time_ms + int(seconds * 1000)
    if verb == "set":
        strings.put(state, key, b"v")
        expiry.expire(state, key, ends)
    elif verb == "persist":
        expiry.persist(state, key)
    elif verb == "expire" and key in state.keys:
        expiry.expire(state, key, ends)
    elif verb == "add" and (key not in state.keys or isinstance(state.keys[key], sets.SetEntry)):
        sets.add(state, key, [b"%d" % ends])
        if state.lifetimes.get(key) is None:
            expiry.expire(state, key, ends)


def expired(state: State) -> Held:
    """The expired keys, and the dots of their values."""
    return {key: (state.expired[key], _values(state, key)) for key in KEYS if key in state.expired}


def _values(state: State, key: bytes) -> set[int]:
    entries = [entry for entry in state.all_of(key) if entry.CODE != LIFETIME]
    return {dot for entry in entries for _, dot, _ in entry.rows()}


def check_tick(who: str, replica: Replica, before: Held) -> None:
    """A tick may have removed values."""
    state = replica.state
    for key, (deadline, values) in before.items():
        if values - _values(state, key):
            grace = max(replica.tuning.grace, 3 * replica.hello_period) * 1000
            if state.time_ms < deadline + grace:
                raise Violation(f"{who} removes {key!r} {state.time_ms - deadline} ms after its end")
            if abs(state.offset_ms) > replica.tuning.max_drift_ms:
                raise Violation(f"{who} removes {key!r} with a clock that is off")


def check_end(who: str, state: State) -> None:
    """Long after the last write nothing is left that nobody will ever see."""
    left = [key for key in KEYS if key in state.expired or (key in state.lifetimes and key not in state.keys)]
    if left:
        raise Violation(f"{who} still holds rows of expired keys: {left}")
