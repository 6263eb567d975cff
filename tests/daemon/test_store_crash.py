"""Crashes: processes killed in the middle of their writes, and write-ahead logs cut or changed at any byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store import Store

ROOT = Path(__file__).parents[2]
ADA, BOB = Actor("ada", 1), Actor("bob", 2)

# Writes frame after frame, says which are safe, and with "full" takes checkpoints and prunes as it goes. A segment
# holds the numbers of its block that have been applied when it is written.
WRITER = """
import sys
from pathlib import Path
from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon import store_file
from daemon.store import Store

directory, durability, work = sys.argv[1:]
store_file.FOLD_FROM = 0
store = Store.open(Path(directory), "default", durability)
ada, bob = Actor("ada", 1), Actor("bob", 2)
loaded = store.load()
count = max([loaded.checkpoint_vv.get(ada, 0), *(frame.last for frame in loaded.log if frame.actor == ada)])

def write():
    global count
    count += 1
    store.commit([LogFrame(actor, count, count, b"%d " % count * 50) for actor in (ada, bob)], {"last": b"%d" % count})
    print(count, flush=True)

while True:
    write()
    if work == "full" and count % 5 == 0:
        store.begin_checkpoint({ada: count, bob: count})
        for block in range(count // 20 + 1):
            write()
            if block >= count // 20 - 1:
                numbers = range(block * 20, min(block * 20 + 20, count + 1))
                store.put_segment(ada, block, b" ".join(b"%d" % number for number in numbers))
        store.finish_checkpoint()
        while store.sweep(1):
            pass
        while store.prune(3000, 3).more:
            pass
    if count % 7 == 0:
        store.fold()
"""


def run_and_kill(directory: Path, durability: str, work: str, lines: int) -> int:
    """The last number that the writer acknowledged before it was killed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), durability, work], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    try:
        for _ in range(lines):
            assert writer.stdout.readline()
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.communicate()[0]
    assert writer.returncode == -signal.SIGKILL
    # Only whole lines were acknowledged.
    whole = rest[: rest.rfind(b"\n") + 1].split()
    return int(whole[-1]) if whole else -1


@pytest.mark.parametrize("durability", ["always", "interval", "never"])
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, durability: str) -> None:
    acknowledged = 0
    for lines in (1, 40, 83):
        acknowledged = max(acknowledged + lines, run_and_kill(tmp_path, durability, "commit", lines))
        store = Store.open(tmp_path, "default")
        loaded = store.load()
        log = list(loaded.log)
        assert not loaded.damaged
        # Both frames of a commit or none, in order, without a gap, up to what was acknowledged or one more.
        assert [(each.actor, each.last) for each in log] == [
            (actor, number) for number in range(1, len(log) // 2 + 1) for actor in (ADA, BOB)
        ]
        assert len(log) // 2 - acknowledged in (0, 1)
        assert all(each.data == b"%d " % each.last * 50 for each in log)
        assert loaded.meta["last"] == b"%d" % (len(log) // 2)
        acknowledged = len(log) // 2
        store.close()


def test_a_process_killed_between_checkpoints_and_prunings_keeps_all_of_its_state(tmp_path: Path) -> None:
    acknowledged = 0
    for lines in (3, 17, 29, 41, 64):
        acknowledged = max(acknowledged + lines, run_and_kill(tmp_path, "always", "full", lines))
        store = Store.open(tmp_path, "default")
        loaded = store.load()
        reached = loaded.checkpoint_vv.get(ADA, 0)
        numbers = {int(number) for _, _, data in loaded.segments for number in data.split() if int(number) <= reached}
        assert numbers == set(range(reached + 1 if reached else 0))
        for each in loaded.log:
            if each.actor == ADA and each.last > reached:
                assert each.first == reached + 1
                reached = each.last
        assert not loaded.damaged
        assert reached - acknowledged in (0, 1)
        assert all(seq <= loaded.checkpoint_vv[actor] for actor, seq in store.floor().items())
        acknowledged = reached
        store.close()


@pytest.fixture(scope="module")
def unfolded(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, list[LogFrame]]:
    """Database, WAL and frames of a store that was killed before it folded anything."""
    directory = tmp_path_factory.mktemp("unfolded")
    store = Store.open(directory, "default")
    frames = [
        LogFrame(actor, seq, seq, b"%s %d " % (actor.name.encode(), seq) * 120)
        for seq in range(1, 9)
        for actor in (ADA, BOB)
    ]
    for place in range(0, len(frames), 2):
        store.commit(frames[place : place + 2])
    result = (directory / "default.db").read_bytes(), (directory / "default.db-wal").read_bytes(), frames
    store.close()
    return result


def recovered(directory: Path, database: bytes, wal: bytes) -> list[LogFrame]:
    directory.mkdir()
    (directory / "default.db").write_bytes(database)
    (directory / "default.db-wal").write_bytes(wal)
    store = Store.open(directory, "default", "never")
    loaded = store.load()
    log = list(loaded.log)
    assert not loaded.damaged
    # It goes on from there.
    store.commit([LogFrame(ADA, log[-1].last + 1 if log else 1, 99, b"next")])
    assert store.missing({}, 1 << 20) == ([*(each.data for each in log), b"next"], True)
    store.close()
    shutil.rmtree(directory)
    return log


def test_a_wal_cut_at_any_place_gives_whole_commits(
    unfolded: tuple[bytes, bytes, list[LogFrame]], tmp_path: Path
) -> None:
    database, wal, frames = unfolded
    page = 4096 + 24  # of the WAL: header and page, after 32 bytes
    places = {0, 1, 31, 32, len(wal)} | set(range(0, len(wal), 1711))
    places |= {edge + near for edge in range(32, len(wal), page) for near in (-1, 0, 1)}
    before = 0
    for place in sorted(places):
        log = recovered(tmp_path / "cut", database, wal[:place])
        assert log == frames[: len(log)], place
        assert len(log) % 2 == 0, place
        assert len(log) >= before, place
        before = len(log)
    assert before == len(frames)


def test_a_changed_byte_in_the_wal_ends_it_there(unfolded: tuple[bytes, bytes, list[LogFrame]], tmp_path: Path) -> None:
    database, wal, frames = unfolded
    lengths = set()
    for place in range(5, len(wal), 2503):
        changed = wal[:place] + bytes([wal[place] ^ 0x55]) + wal[place + 1 :]
        log = recovered(tmp_path / "changed", database, changed)
        assert log == frames[: len(log)], place
        assert len(log) % 2 == 0, place
        lengths.add(len(log))
    assert len(lengths) > 4


def test_a_lost_wal_is_an_earlier_state_and_no_error(
    unfolded: tuple[bytes, bytes, list[LogFrame]], tmp_path: Path
) -> None:
    database, _, _ = unfolded
    (tmp_path / "default.db").write_bytes(database)
    store = Store.open(tmp_path, "default")
    assert list(store.load().log) == []
    store.close()
