"""What the seed decides."""

from __future__ import annotations

import pytest

from daemon.demo.link import Cut
from daemon.demo.plan import Phase, make_plan


def test_the_same_seed_makes_the_same_plan() -> None:
    assert make_plan(30, 3, 7) == make_plan(30, 3, 7)
    assert len({str(make_plan(30, 3, seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize("replicas", range(2, 9))
@pytest.mark.parametrize("seed", range(20))
def test_every_plan_is_sound(replicas: int, seed: int) -> None:
    plan = make_plan(30, replicas, seed)
    assert len(plan.replicas) == replicas
    assert set(plan.agents.values()) == set(plan.replicas)
    assert plan.victim in plan.cuts
    assert plan.near
    assert set(plan.near) | set(plan.cuts) == set(plan.replicas)
    assert len({*plan.moods, plan.verdict}) == 3
    assert plan.agents[plan.agent_of(plan.victim)] == plan.victim


def test_both_kinds_of_cut_occur() -> None:
    assert {how for seed in range(20) for how in make_plan(30, 3, seed).cuts.values()} == set(Cut)


def test_the_phases_leave_time_to_begin_and_to_end() -> None:
    assert 0.9 <= sum(phase.share for phase in Phase) <= 1.0
    assert next(phase.word for phase in Phase) == "start"
