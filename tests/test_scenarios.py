"""The protocol's scenarios, word for word. Read tests/scenarios in the order of their names as an introduction to it.

After a change of the protocol: python tests/test_scenarios.py --rewrite, and review the diff; every line of it is a
message that is sent differently now.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.simulation.transcript import play

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_goes_as_written(path: Path) -> None:
    text = path.read_text()
    assert play(text) == text, "if that is meant: python tests/test_scenarios.py --rewrite"


def test_every_scenario_begins_with_prose() -> None:
    assert len(SCENARIOS) >= 8
    for path in SCENARIOS:
        assert len([line for line in path.read_text().splitlines() if line.startswith("#")]) >= 4, path


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit(__doc__)
    for scenario in SCENARIOS:
        scenario.write_text(play(scenario.read_text()))
        print(scenario)
