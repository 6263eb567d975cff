"""Every worked example, with the library alone and through three daemons and a broker."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from examples.__main__ import ALL
from examples.fleet import fleet
from examples.pocket import pocket
from tests.test_architecture import ROOT


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.__name__)
def test_with_the_library_alone(example: ModuleType) -> None:
    assert example.library(*pocket())


def test_through_three_daemons() -> None:
    with fleet() as (meet, agents):
        for example in ALL:
            assert example.daemons(meet, agents) == example.library(*pocket())
            agents[0].flushdb()
            meet()


def test_the_readme_lists_them() -> None:
    table = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)\.py`", table, re.M) == [example.__name__.rpartition(".")[2] for example in ALL]
