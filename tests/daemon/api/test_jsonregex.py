"""Regular expressions of filters: what they find, and that no expression holds the daemon."""

from __future__ import annotations

import random
import re

import pytest

from crdt.errors import UsageError
from daemon.api import jsonregex
from daemon.api.jsonregex import matches


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("foo", "barefoots", True),
        ("^foo$", "barefoots", False),
        ("^foo$", "foo", True),
        ("(?i)usb", "USB-C", True),
        ("usb", "USB-C", False),
        ("", "anything", True),
        ("^$", "", True),
        ("^$", "x", False),
        ("a|b", "xb", True),
        (r"^\d+\.\d*$", "12.5", True),
        (r"\D", "12", False),
        (r"\w\s\w", "a b", True),
        ("[]a]", "]", True),
        ("[^a-c]", "abc", False),
        ("[a-c]{2,3}x", "abx", True),
        ("x{2}", "x", False),
        ("a+?b", "aab", True),
        (r"\$", "5 $", True),
        ("é.", "caféx", True),
        (".", "\n", False),
        ("(?:ab)*c", "ababc", True),
        (r"\t", "\t", True),
    ],
)
def test_what_is_found(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "*a",
        "a{2,1}",
        "a{5000}",
        "{",
        "a{",
        "(?=a)",
        r"\1",
        r"\q",
        "\\",
        "(" * 60 + ")" * 60,
        "((a{99}){99}){99}",
        "a" * 5000,
    ],
)
def test_what_cannot_be_read_matches_nothing(pattern: str) -> None:
    assert matches(pattern, "aaa(") is False


def test_as_python_where_that_has_the_same_meaning() -> None:
    rng = random.Random(1)
    atoms = [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "(a|b)",
        "(ab)",
        "a*",
        "b+",
        "(a|)?",
        "^",
        "$",
        r"\w",
        "a{1,2}",
        "(?:b|ab)*",
    ]
    compared = 0
    for _ in range(5000):
        pattern = "".join(rng.choice(atoms) for _ in range(rng.randint(1, 5)))
        if rng.random() < 0.3:
            pattern += "|" + rng.choice(atoms)
        text = "".join(rng.choice("abc\n") for _ in range(rng.randint(0, 7)))
        try:
            wanted = re.search(pattern.replace("$", r"\Z"), text) is not None
        except re.error:
            continue
        compared += 1
        assert matches(pattern, text) == wanted, (pattern, text)
    assert compared > 4000


def test_no_expression_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matches("(a+)+$", "a" * 5000 + "b") is False  # 2 ** 5000 steps for an engine that tries
    assert matches("(a|a)*(a|a)*(a|a)*c", "a" * 5000) is False
    monkeypatch.setattr(jsonregex, "BUDGET", 1000)
    with pytest.raises(UsageError, match="takes too long"):
        matches("x" * 3 + "y", "x" * 2000)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonregex, "REMEMBERED", 10)
    machine = jsonregex._machine("[a-z]+0")
    assert machine.search("".join(map(chr, range(97, 123))) + "0")
    assert len(machine.after) <= 10
