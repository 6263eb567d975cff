"""The filter on what has expired, in any order of what happens: against a plain comparison with the clock."""

from __future__ import annotations

from random import Random

import pytest

from crdt.dots import Actor
from crdt.expiries import NEVER, Expiries
from crdt.state import State
from crdt.types import expiry, keyspace, sets

KEYS = [b"k%d" % i for i in range(6)]


def faults(seed: int) -> bool:
    """Whether a key was ever shown too long or too short in a random history of one replica."""
    rng, state = Random(seed), State(Actor("a", 1))
    ends: dict[bytes, int] = {}
    now = 1000
    state.begin(now)
    for _ in range(200):
        key, choice = rng.choice(KEYS), rng.random()
        visible = key in ends and ends[key] > now
        if choice < 0.3:
            now = max(1, now + rng.choice([1, 5, 40, -20]))
            state.begin(now)
        elif choice < 0.5:
            sets.add(state, key, [b"x"])
            ends[key] = ends[key] if visible else NEVER
        elif choice < 0.8 and visible:
            ends[key] = now + rng.choice([1, 7, 50])
            expiry.expire(state, key, ends[key])
        elif choice < 0.85:
            if expiry.persist(state, key):
                ends[key] = NEVER
        elif choice < 0.95:
            keyspace.delete(state, key)
            ends.pop(key, None)
        else:
            state.cut()
        if set(state.keys) != {key for key, end in ends.items() if end > now}:
            return True
    return False


@pytest.mark.parametrize("decade", range(5))
def test_a_key_is_seen_until_its_end(decade: int) -> None:
    assert not any(faults(seed) for seed in range(decade * 40, decade * 40 + 40))


@pytest.mark.parametrize("method", ["_expire", "_revive", "plan"])
def test_mistakes_are_caught(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expiries, method, lambda *_: None)
    assert any(faults(seed) for seed in range(50))


def test_the_correction_of_the_clock() -> None:
    state = State(Actor("a", 1))
    state.begin(1000)
    sets.add(state, b"k", [b"x"])
    expiry.expire(state, b"k", 5000)
    state.offset_ms = 4000
    assert b"k" in state.keys
    state.begin(1000)
    assert b"k" not in state.keys
    assert state.clock.wall_ms == 1000
    state.offset_ms = 0
    state.begin(1001)
    assert b"k" in state.keys


def test_what_ends_at_the_same_moment_is_announced_in_order_and_once() -> None:
    state = State(Actor("a", 1))
    state.begin(1000)
    for key in KEYS:
        sets.add(state, key, [b"x"])
        expiry.expire(state, key, 2000)
    state.begin(2000)
    state.begin(2001)
    assert list(state.take_lapsed()) == KEYS
    assert list(state.graves) == KEYS
    assert state.next_deadline == NEVER
