"""A part of the crash matrix, and that it notices what it is there for (see crash_matrix.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.witness import Witness
from tests import crash_matrix
from tests.crash_matrix import Disk, Tally, examine, expected, record, replay, run

REASON = crash_matrix.missing()
needs_strace = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@needs_strace
@pytest.mark.parametrize(
    ("workload", "mode", "every"), [("aci", "always", 11), ("rda", "interval", 7), ("aird", "soon", 9)]
)
def test_every_crash_recovers_to_what_was_acknowledged(workload: str, mode: str, every: int) -> None:
    tally = Tally()
    run(workload, mode, tally, every)
    assert tally.faults == []
    assert tally.disks > 20


def test_what_is_expected() -> None:
    assert expected("aid", 3) == (set(), b"1")
    assert expected("aia", 3) == ({b"0", b"x0", b"2", b"x2"}, b"1")
    assert expected("rc", 2) == (set(), None)


@needs_strace
def test_a_lost_log_is_noticed(tmp_path: Path) -> None:
    disk = _end("ai", tmp_path)
    files = _without_log(disk)
    assert any("acknowledged" in fault for fault in examine("ai", "always", disk, files, True))


@needs_strace
@pytest.mark.parametrize("mode", ["always", "soon"])
def test_a_sync_that_was_none_is_noticed(tmp_path: Path, mode: str) -> None:
    disk = _end("ai", tmp_path, mode)
    assert disk.acked == 2
    assert not examine("ai", mode, disk, dict(disk.synced), False)
    assert any("2 for sure" in fault for fault in examine("ai", mode, disk, _without_log(disk), False))


@needs_strace
def test_a_dot_that_is_spent_twice_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = _end("ai", tmp_path)
    files = _without_log(disk)
    assert not any("spent again" in fault for fault in examine("ai", "always", disk, files, True))
    monkeypatch.setattr(Witness, "claim", lambda self, last: disk.sent[0])
    assert any("spent again" in fault for fault in examine("ai", "always", disk, files, True))


def test_a_sync_promises_nothing_of_what_was_written_after_it_began(tmp_path: Path) -> None:
    wal = f"5<{tmp_path}/data/default.db-wal>"
    lines = [
        f'7 openat(AT_FDCWD, "x", O_RDWR|O_CREAT, 0644) = {wal}',
        f'7 pwrite64({wal}, "\\x61", 1, 0) = 1',
        f"8 fdatasync({wal} <unfinished ...>",
        f'7 pwrite64({wal}, "\\x62", 1, 1) = 1',
        "8 <... fdatasync resumed>) = 0",
    ]
    calls: list[Any] = crash_matrix.calls_of("\n".join(lines), tmp_path)
    *_, disk = replay(calls)
    assert disk.files == {"data/default.db-wal": b"ab"} and disk.synced == {"data/default.db-wal": b"a"}
    *_, disk = replay([*calls, ("fdatasync", "data/default.db-wal", [7])])
    assert disk.synced == {"data/default.db-wal": b"ab"}


def _end(workload: str, home: Path, mode: str = "always") -> Disk:
    """The disk when a workload is over."""
    calls: list[Any] = record(workload, mode, home)
    *_, disk = replay(calls)
    return disk


def _without_log(disk: Disk) -> dict[str, bytes]:
    return {path: bytes(held) for path, held in disk.files.items() if not path.endswith("-wal")}
