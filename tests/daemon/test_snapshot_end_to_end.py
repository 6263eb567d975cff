"""Snapshots and damaged stores with real processes: kills in the middle, and what a damaged file still held."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.daemon.processes import Daemon, World, converged, until

MEMBERS = 60_000
SMALL_LOG = {"GOSSAMER_STORE__LOG_BUDGET": "1MiB"}


def fill(daemon: Daemon, key: str = "big") -> None:
    pipe = daemon.redis.pipeline(transaction=False)
    for i in range(0, MEMBERS, 500):
        pipe.sadd(key, *(f"member-{n:016d}" for n in range(i, i + 500)))
    pipe.execute()


def pruned(daemon: Daemon) -> bool:
    return bool(daemon.status()["spaces"][0]["log_floor"])


def file(daemon: Daemon) -> Path:
    return daemon.data / "default.db"


def staged(daemon: Daemon) -> int:
    """Portions that wait on its disk."""
    with contextlib.closing(sqlite3.connect(f"file:{file(daemon)}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM staged").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_a_snapshot_goes_on_after_kill_9_of_either_side(world: World) -> None:
    giver = world.daemon("a", GOSSAMER_MQTT__BYTES_PER_SECOND="400000", **SMALL_LOG).start()
    fill(giver)
    until(lambda: pruned(giver), "the log to be pruned")
    asker = world.daemon("b", **SMALL_LOG).start()
    until(lambda: staged(asker) > 3, "some rows")
    assert asker.redis.scard("big") == 0, "nothing of it is seen before all of it has come"
    asker.redis.set("mine", "1")
    asker.kill()
    before = staged(asker)
    assert before > 3
    asker.start()
    until(lambda: staged(asker) > before, "more rows, beside those that were there")
    giver.kill()
    assert asker.redis.get("mine") == b"1"
    giver.start()
    until(lambda: converged(giver, asker), "both to be equal", within=60)
    assert asker.redis.scard("big") == MEMBERS and giver.redis.get("mine") == b"1"
    until(lambda: staged(asker) == 0, "the staged rows to be thrown away")
    asker.kill()
    asker.start()
    assert asker.redis.scard("big") == MEMBERS, "what was joined was stored"


@pytest.mark.parametrize("damage", ["segment", "file"])
def test_a_damaged_store_is_moved_aside_and_the_rest_comes_from_peers(world: World, damage: str) -> None:
    a, b = (world.daemon(name, **SMALL_LOG).start() for name in "ab")
    fill(a)
    until(lambda: pruned(a) and converged(a, b), "both to be equal", within=60)
    b.kill()
    a.redis.set("last", "words")
    before = a.actor()
    assert a.terminate() == 0
    _spoil(file(a), damage)
    a.start(connected=False)
    said = a.said()
    assert "damaged_store" in said and "moved to" in said
    assert a.status()["spaces"][0]["alarms"] == {"damaged_store": 1} and a.actor() != before
    assert list(a.data.glob("default.db.damaged-1"))
    a.redis.set("new", "1")
    b.start()
    until(lambda: converged(a, b) and b.redis.get("new") == b"1", "both to be equal", within=60)
    assert a.redis.scard("big") == b.redis.scard("big") == MEMBERS
    if damage == "segment":
        until(lambda: b.redis.get("last") == b"words", "b to have what only the damaged log held")
        assert a.redis.get("last") == b"words"
        until(lambda: "salvaged" in a.said(), "a to say so")


def _spoil(path: Path, damage: str) -> None:
    if damage == "segment":
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE segments SET data = x'00' WHERE id = (SELECT max(id) FROM segments)")
            db.commit()
    else:
        data = bytearray(path.read_bytes())
        data[:4096] = b"\xff" * 4096
        path.write_bytes(data)
