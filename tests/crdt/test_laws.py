"""The laws of the core over every type at once: random histories against the oracles of histories.py.

Each law has a negative control: a deliberate mistake that these histories must catch (mistakes.py). A law whose control
is not caught tests nothing.
"""

from __future__ import annotations

import traceback
from itertools import permutations
from typing import Any

import pytest

from crdt import codec, frame, joining, rows
from crdt.dots import Actor
from crdt.state import State
from crdt.types import hashes, jsontree, lists, sets
from crdt.types.catalog import CATALOG
from tests.crdt import json_model, mistakes
from tests.crdt.acts import ACTS
from tests.crdt.algebra import rows_held, rows_of
from tests.crdt.answers import KEYS
from tests.crdt.histories import STRANGE, World

STEPS = 150
PATIENCE = 400  # seeds until a mistake must have shown; most show within ten


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so low that short histories cross them."""
    monkeypatch.setattr(rows, "CHUNK", 8)
    monkeypatch.setattr(joining, "PORTION", 3)
    monkeypatch.setattr(sets, "RANGE_FROM", 3)
    monkeypatch.setattr(hashes, "RANGE_FROM", 3)
    monkeypatch.setattr(jsontree, "RANGE_FROM", 3)
    monkeypatch.setattr(lists, "RANGE_FROM", 3)


@pytest.mark.parametrize("decade", range(15))
def test_histories(decade: int) -> None:
    """Any order, loss, duplication, merging, snapshots, crashes: the rows and the answers that the records ask for."""
    for seed in range(decade * 20, decade * 20 + 20):
        assert World(seed).run(STEPS) == [], f"seed {seed}"


@pytest.mark.parametrize("decade", range(4))
def test_histories_of_documents_alone(decade: int) -> None:
    """Several do to one place what they would hardly meet at among all types."""
    for seed in range(decade * 20, decade * 20 + 20):
        assert World(seed, sites=2 + seed % 3, acts=json_model.ACTS).run(100) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_long_histories(seed: int) -> None:
    assert World(1000 + seed, sites=6).run(1500) == []


def test_histories_with_the_real_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for seed in range(20):
        assert World(seed).run(STEPS) == [], f"seed {seed}"


def test_histories_reach_every_type() -> None:
    seen = set()
    for seed in range(10):
        world = World(seed)
        world.run(STEPS)
        seen |= {group.code for one in world.frames for group in one.groups}
    assert seen == {*CATALOG, STRANGE}


# -- frames as deltas -------------------------------------------------------------------------------------------------


def concurrent_frames(seed: int) -> tuple[list[bytes], list[list[bytes]]]:
    """Frames that everybody has, and after them two of each of three authors that had seen nothing of each other."""
    world = World(seed, sites=3)
    for _ in range(15):
        world.act(world.sites[0])
    world.sync()
    common = [codec.encode_frame(one) for one in world.frames]
    for site in world.sites:
        site.log.clear()
        for _ in range(2):
            for _ in range(10):
                world.act(site)
            site.cut()
    return common, [site.log for site in world.sites]


def applied(frames: list[bytes]) -> State:
    """A bystander that has applied these."""
    one = State(Actor("bystander", 1))
    for data in frames:
        one.apply(codec.decode_frame(data))
    return one


@pytest.mark.parametrize("seed", range(20))
def test_frames_commute(seed: int) -> None:
    common, (a, b, c) = concurrent_frames(seed)
    results = [applied([*common, *x, *y, *z]) for x, y, z in permutations((a, b, c))]
    interleaved = applied([*common, *(data for pair in zip(a, b, c, strict=False) for data in pair)])
    for other in (*results[1:], interleaved) if len(a) == len(b) == len(c) else results[1:]:
        assert rows_held(other) == rows_held(results[0])
        assert other.hash == results[0].hash


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_idempotent(seed: int) -> None:
    common, (a, b, c) = concurrent_frames(seed)
    one = applied([*common, *a, *b, *c])
    before, total = rows_held(one), one.hash
    for data in (*common, *a, *b, *c):
        assert one.apply(codec.decode_frame(data)) is None
    assert rows_held(one) == before
    assert one.hash == total


@pytest.mark.parametrize("seed", range(20))
def test_frames_associate(seed: int) -> None:
    """Merging first or applying one by one is the same, also for somebody who has a part already."""
    common, groups = concurrent_frames(seed)
    apart = applied([*common, *(data for group in groups for data in group)])
    together = applied(common)
    partly = applied(common)
    for group in groups:
        if not group:
            continue
        partly.apply(codec.decode_frame(group[0]))
        one = frame.merge([codec.decode_frame(data) for data in group])
        together.apply(codec.decode_frame(codec.encode_frame(one)))
        partly.apply(one)
    assert rows_held(together) == rows_held(partly) == rows_held(apart)
    assert together.hash == partly.hash == apart.hash


@pytest.mark.parametrize("seed", range(20))
def test_a_delta_and_the_state_before_make_the_state_after(seed: int) -> None:
    """One operation at a time, on a state that has seen others."""
    common, (a, b, _) = concurrent_frames(seed)
    world = World(100 + seed, sites=1)
    site = world.sites[0]
    shadow = State(Actor("shadow", 1))
    for data in (*common, *a, *b):
        site.state.apply(codec.decode_frame(data))
        shadow.apply(codec.decode_frame(data))
    for _ in range(30):
        world.act(site)
        delta = site.state.cut()
        if delta is not None:
            shadow.apply(codec.decode_frame(codec.encode_frame(delta)))
        assert rows_held(shadow) == rows_held(site.state)
        assert shadow.hash == site.state.hash


@pytest.mark.parametrize("seed", range(10))
def test_chunks_carry_every_row_once(seed: int) -> None:
    world = World(seed)
    world.run(STEPS)
    for site in world.sites:
        carried: dict[Any, Any] = {}
        for owner in site.state.actors.values():
            for chunk in owner.chunks:
                data = codec.encode_rows(groups) if (groups := site.state.groups(chunk)) else None
                for name, row in rows_of(codec.decode_rows(data) if data else [], owner.actor):
                    assert name not in carried
                    carried[name] = row
        assert carried == rows_held(site.state)


# -- one replica against plain Python ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_one_replica_is_plain_data(seed: int) -> None:
    """Alone, with cuts and restarts anywhere, every type is the dict, set or number that it looks like."""
    world = World(seed, sites=1)
    site = world.sites[0]
    for _ in range(STEPS):
        x = world.rng.random()
        if x < 0.8:
            world.act(site)
        elif x < 0.95:
            site.cut()
        else:
            site.restart(crash=False)
    site.cut()
    assert world.faults(site) == []


# -- what the histories are good for -----------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", mistakes.MISTAKES)
def test_mistakes_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, world = mistakes.MISTAKES[name]
    wrong(monkeypatch)
    for seed in range(PATIENCE):
        try:
            faults = World(seed, **world).run(STEPS)
        except Exception as error:  # a wrong variant that crashes the core is caught as well
            last = traceback.extract_tb(error.__traceback__)[-1]
            own = last.filename in (mistakes.__file__, __file__)
            assert not own, f"{name} stumbles over its own line {last.lineno}: that proves nothing"
            faults = [type(error).__name__]
        if faults:
            return
    pytest.fail(f"{name} went unnoticed through {PATIENCE} histories")


def test_acts_cover_the_keys() -> None:
    """The histories write where the oracle looks."""
    world = World(7, sites=1)
    for _ in range(300):
        world.act(world.sites[0])
    assert set(world.sites[0].state.keys) <= set(KEYS)
    assert len(ACTS) > len(CATALOG)
