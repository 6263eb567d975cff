"""Generations of a checkpoint, one level below `test_store.py`: what is on disk after each step and each crash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from crdt.dots import Actor
from daemon.store_file import StoreFile, open_file
from daemon.store_segments import Segments

ADA = Actor("ada", 1)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StoreFile]:
    file = open_file(tmp_path, "default", "never")
    yield file
    file.close()


def flip(file: StoreFile, segments: Segments) -> None:
    with file.transaction() as db:
        segments.flip(db)
    segments.flipped()


def rows(file: StoreFile) -> list[tuple[int, int, bytes | None]]:
    return file.read.execute("SELECT start, generation, data FROM segments ORDER BY start, generation").fetchall()


def checkpoint(file: StoreFile, segments: Segments, parts: Mapping[int, bytes | None], lsn_start: int = 1) -> None:
    segments.begin({ADA: lsn_start}, lsn_start)
    for start, data in parts.items():
        segments.put(ADA, start, data)
    flip(file, segments)


def test_superseded_segments_are_swept_in_slices(file: StoreFile) -> None:
    segments = Segments(file)
    checkpoint(file, segments, dict.fromkeys(range(5), b"old"))
    assert not segments.sweep(10)
    checkpoint(file, segments, {0: b"new", 1: None, 2: None})
    assert rows(file)[:5] == [(0, 1, b"old"), (0, 2, b"new"), (1, 1, b"old"), (1, 2, None), (2, 1, b"old")]
    left = []
    while segments.sweep(2):
        left.append(len(rows(file)))
    assert left == [6, 4]
    assert rows(file) == [(0, 2, b"new"), (3, 1, b"old"), (4, 1, b"old")]


@pytest.mark.parametrize("swept", range(6))
def test_a_sweep_may_stop_anywhere(file: StoreFile, swept: int) -> None:
    segments = Segments(file)
    checkpoint(file, segments, dict.fromkeys(range(4), b"old"))
    checkpoint(file, segments, {0: None, 1: b"new", 2: None})
    for _ in range(swept):
        segments.sweep(1)
    assert [(start, data) for _, start, data in Segments(file).read()] == [(1, b"new"), (3, b"old")]


def test_what_was_staged_and_never_finished_is_gone_after_opening(file: StoreFile) -> None:
    segments = Segments(file)
    checkpoint(file, segments, {0: b"old"}, lsn_start=5)
    segments.begin({ADA: 9}, 9)
    segments.put(ADA, 0, b"staged")
    segments.put(ADA, 1, b"staged")
    again = Segments(file)
    assert rows(file) == [(0, 1, b"old")]
    assert (again.generation, again.lsn_start, again.vv) == (1, 5, {ADA: 5})


def test_a_failed_flip_can_be_repeated(file: StoreFile) -> None:
    segments = Segments(file)
    segments.begin({ADA: 3}, 7)
    segments.put(ADA, 0, b"data")
    with pytest.raises(ZeroDivisionError), file.transaction() as db:
        segments.flip(db)
        raise ZeroDivisionError
    assert list(Segments(file).vv) == []
    segments.begin({ADA: 3}, 7)
    segments.put(ADA, 0, b"data")
    flip(file, segments)
    assert (segments.generation, segments.lsn_start, segments.vv) == (1, 7, {ADA: 3})
    assert list(segments.read()) == [(ADA, 0, b"data")]
