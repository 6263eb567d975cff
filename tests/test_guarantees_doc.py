"""docs/guarantees.md: each promise names its tests, and the tests are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.wrong import WRONG

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
CONTROLS = (ROOT / "docs" / "negative-controls.md").read_text(encoding="utf-8")
NAMED = sorted(set(TEST.findall(PAGE + CONTROLS)))
INVARIANT = re.compile(r"invariant (I\d+)")


@cache
def named_in(path: str) -> frozenset[str]:
    """The names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_each_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in named_in(path)


def test_each_promise_names_a_test() -> None:
    promised = PAGE.partition("## What is not promised")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ") and "shown by" not in line]
    assert len(rows) > 30
    assert [row for row in rows if not TEST.search(row)] == []


def test_each_invariant_has_a_negative_control() -> None:
    listed = set(re.findall(r"^\| (I\d+) \|", PAGE, re.MULTILINE))
    controlled = {
        number for line in CONTROLS.splitlines() if line.startswith("| ") for number in re.findall(r"I\d+", line)
    }
    assert controlled == listed


def test_each_invariant_names_what_it_fails_with() -> None:
    rows = re.findall(r"^\| (I\d+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 10
    for number, cell in rows:
        mistakes = re.findall(r"\*([^*]+)\*", cell)
        assert mistakes or TEST.search(cell), number
        for name in mistakes:
            assert number in WRONG[name].invariant.split(", "), (number, name)


def test_docstrings_name_invariants_of_the_page() -> None:
    listed = set(re.findall(r"^\| (I\d+) \|", PAGE, re.MULTILINE))
    used = {
        number
        for folder in ("crdt", "transport", "config", "daemon")
        for module in (ROOT / folder).rglob("*.py")
        for number in INVARIANT.findall(module.read_text(encoding="utf-8"))
    }
    assert used <= listed and used
