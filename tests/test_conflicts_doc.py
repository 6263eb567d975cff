"""docs/conflicts.md, executed: every row and every story, on two states that exchange encoded frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from crdt.types import catalog
from tests.conflict_tables import BOTH, Pair, Scenario, Side, Step, scenarios

PAGE = (Path(__file__).parents[1] / "docs" / "conflicts.md").read_text(encoding="utf-8")
SCENARIOS = list(scenarios(PAGE))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_page_tells_what_happens(scenario: Scenario) -> None:
    Pair().run(scenario)


def test_every_type_is_on_the_page() -> None:
    said = {step.command.split()[0] for scenario in SCENARIOS for step in scenario.steps}
    writers = {"string": "SET", "hash": "HSET", "set": "SADD", "gset": "GSET.ADD", "gcount": "GCOUNT.INCR"}
    writers |= {"flag": "FLAG.ENABLE", "expiry": "EXPIRE", "ReJSON-RL": "JSON.SET", "zset": "ZADD", "stream": "XADD"}
    writers |= {"list": "RPUSH", "text": "TEXT.INSERT"}
    for cls in catalog.CATALOG.values():
        assert writers[cls.NAME] in said, f"docs/conflicts.md says nothing of {cls.NAME}"


def test_a_wrong_table_is_caught() -> None:
    head = "| both have | replica A | replica B, later | after the exchange |\n|---|---|---|---|\n"
    (wrong,) = scenarios(head + "| `SET k 5` | `INCRBY k 2` | `INCRBY k 3` | `GET k` → `8` |\n")
    with pytest.raises(AssertionError, match="the page says 8"):
        Pair().run(wrong)
    for page in (
        "| A | B |\n|---|---|\n| `SET k x` | |\n",
        head + "| | `SET k x` | | nothing |\n",
        head + "| | `SET k x` | |\n",
    ):
        with pytest.raises(ValueError, match="line"):
            list(scenarios(page))


def test_a_refused_command_is_no_step() -> None:
    with pytest.raises(AssertionError):
        Pair().run(Scenario("", (Step(BOTH, "NONSENSE k"),)))
    assert Side("a", 1).say("GET k") == "(nil)"
