"""Walks: complete whatever happens, bounded in memory, forgetful without loss."""

from __future__ import annotations

import pytest

from daemon.api import scans
from daemon.api.scans import Scans

NAMES = [b"%d" % i for i in range(100)]


def finish(held: Scans, cursor: int, names: list[bytes], count: int = 7) -> list[bytes]:
    """The rest of a walk."""
    found: list[bytes] = []
    while True:
        cursor, page = held.page(cursor, b"k", names, count)
        found += page
        if not cursor:
            return found


def test_a_walk_returns_what_stood_there_when_it_began() -> None:
    held = Scans()
    cursor, page = held.page(0, b"k", NAMES, 30)
    assert page + finish(held, cursor, [b"other"]) == NAMES
    assert len(held) == 0


@pytest.mark.parametrize("count", [100, 101, 10**18])
def test_a_short_walk_is_not_remembered(count: int) -> None:
    held = Scans()
    assert held.page(0, b"k", NAMES, count) == (0, NAMES)
    assert len(held) == 0


def test_an_unknown_cursor_begins_anew() -> None:
    held = Scans()
    cursor, _ = held.page(0, b"k", NAMES, 30)
    for key, number in ((b"other", cursor), (None, cursor), (b"k", 5), (b"k", 1 << 60)):
        assert held.page(number, key, NAMES, 100) == (0, NAMES)
    assert finish(held, cursor, []) == NAMES[30:]


def test_cursors_are_whole_numbers_in_a_double() -> None:
    held = Scans()
    for _ in range(10):
        cursor, _ = held.page(0, b"k", NAMES, 99)
        assert 0 < cursor < 1 << 53


def test_the_walk_that_rested_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "WALKS", 3)
    held = Scans()
    cursors = [held.page(0, b"k", NAMES, 10)[0] for _ in range(3)]
    cursors[0] = held.page(cursors[0], b"k", [], 10)[0]
    held.page(0, b"k", NAMES, 10)
    assert len(held) == 3
    assert finish(held, cursors[0], []) == NAMES[20:]
    assert finish(held, cursors[1], NAMES) == NAMES  # it repeats what was returned, and misses nothing


def test_names_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "ELEMENTS", 250)
    held = Scans()
    cursors = [held.page(0, b"k", NAMES, 10)[0] for _ in range(10)]
    assert len(held) == 2
    assert finish(held, cursors[9], []) == NAMES[10:]
    held.page(0, b"k", NAMES * 10, 10)
    assert len(held) == 1
