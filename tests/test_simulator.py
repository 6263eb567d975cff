"""Some hundred simulated histories, the ones that once broke something, and the mistakes that have to be caught.

`make simulate SEEDS=100000` runs more.
"""

from __future__ import annotations

import pytest

from tests.simulation import mistakes, wrong
from tests.simulation.plan import DEFECT, FAULTS, draw
from tests.simulation.shrink import failure, shrink, trace
from tests.simulator import World

HISTORIES = 600
PINNED = {
    1451: "a frame that was never written is spent anew",
    3114: "a checkpoint finished while a removal was pending",
    10575: "settles late",
    11211: "a pause over the restart of the broker",
    430: "each timeout had the whole answer sent again, so that the link got slower and slower",
    1382: "answers to repeated questions filled a slow link, and nothing else got through",
    1116: "one large message after small ones that had come at once was sent ten times",
    112990: "peers that had not answered were asked by turns, and each sent the whole answer over a slow link",
    3994455: "behind a slow link nothing was equal minutes after the last fault",
    301094: "who asked under its own name took the question of a second daemon there for its own, and did not answer",
    307324: "the last piece found no room, and the others were given up before it was asked for",
    11350: "questions that had waited for a sleeper made it publish the same large message nine times",
    1854: "who did not answer was asked again before others, for what it had sent before it fell silent",
    89645: "a DELTA brought the last frame of an answer that was under way, and the whole of it was sent again",
    2187: "two frames in pieces from one sender made room for each other, and neither was ever done",
    14479: "a frame in pieces that got no further kept the place of another from its sender",
    64053: "pieces of a frame kept the place of those of a row",
    23978: "frames in pieces that answered for a snapshot which was no more had it waited for again",
    76303: "hardly a frame found room to wait once decoded sizes counted, and each round of a slow link brought one",
    2993399: "who asked a second daemon under its own name told itself that there is no such snapshot",
}
DAMAGED = {
    39: "a clone removed a row by the number of another",
    10008: "a count of a clone, overwritten by number",
    10094: "neighbours in a set whose hashes are equal in their low halves",
    87418: "a second daemon under the asked one's name answered that it had nothing, or no such snapshot",
    20175: "three daemons of one name greeted each other without end",
}


@pytest.mark.parametrize("first", range(0, HISTORIES, 100))
def test_every_invariant_holds(first: int) -> None:
    for seed in range(first, first + 100):
        assert failure(draw(seed)) is None, f"python tests/simulate.py --seeds 1 --start {seed}"


@pytest.mark.parametrize("seed", PINNED)
def test_what_once_broke_holds(seed: int) -> None:
    assert failure(draw(seed)) is None, PINNED[seed]


@pytest.mark.parametrize("first", range(10_000, 10_200, 50))
def test_what_must_never_happen_is_healed(first: int) -> None:
    for seed in range(first, first + 50):
        assert failure(draw(seed, (DEFECT,))) is None, seed


@pytest.mark.parametrize("seed", DAMAGED)
def test_what_once_was_not_healed_is(seed: int) -> None:
    assert failure(draw(seed, (DEFECT,))) is None, DAMAGED[seed]


def test_a_seed_is_one_history() -> None:
    first: list[str] = []
    second: list[str] = []
    World(draw(7), first).run()
    World(draw(7), second).run()
    assert first == second and len(first) > 50


def test_every_fault_is_drawn_and_missing_somewhere() -> None:
    drawn = [draw(seed).faults for seed in range(50)]
    for fault in FAULTS:
        assert 0 < sum(fault in faults for faults in drawn) < 50, fault


def test_a_snapshot_that_comes_late_is_harmless() -> None:
    with mistakes.snapshot_comes_late():
        for seed in range(100):
            assert failure(draw(seed, wrong.WRONG["snapshot without base"].needs)) is None, seed


@pytest.mark.timeout(300)  # seconds on a quiet machine, however many histories a change makes it look at
@pytest.mark.parametrize("name", sorted(wrong.WRONG))
def test_a_deliberate_mistake_is_caught(name: str) -> None:
    assert wrong.caught(name, 2000)


def test_a_failing_history_is_made_short() -> None:
    with wrong.WRONG["transactions torn"].make():
        plan = next(plan for plan in map(draw, range(50)) if failure(plan) is not None)
        small = shrink(plan)
        assert len(small.actions) < len(plan.actions) / 2 and failure(small) is not None
        assert "Violation" in trace(small)[-1]
