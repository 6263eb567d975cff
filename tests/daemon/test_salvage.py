"""What is taken in of a damaged store, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from crdt.state import State
from crdt.types import strings
from daemon.salvage import AT_ONCE, Salvage, open_or_replace, replace
from daemon.store import Store, StoreBusy, StoreCorrupt, StoreFailed, StoreForeign, StoreUnwritable
from tests.crdt.replica.desk import Desk
from tests.daemon.stores import successor

OLD = Actor("b", 77)
CHANGED = StoreCorrupt("a segment has changed; move it away")


def frames(count: int, owner: Actor = OLD) -> list[LogFrame]:
    state = State(owner)
    out = []
    for i in range(count):
        state.begin(1000 + i)
        strings.put(state, b"k%d" % i, b"v")
        frame = state.cut()
        assert frame is not None
        out.append(LogFrame(owner, frame.first, frame.last, encode_frame(frame)))
    return out


def test_what_can_be_applied_is_taken_in_under_its_authors_name() -> None:
    desk, salvage = Desk("b", 1), Salvage(frames(AT_ONCE + 5))
    assert salvage.feed(desk.replica, 0.0) and len(salvage) == 5
    assert salvage.feed(desk.replica, 0.0) and len(salvage) == 0
    assert desk.state.vector() == {OLD: AT_ONCE + 5} and desk.state.actor != OLD
    desk.commit()
    assert len(desk.disk.image.log) == AT_ONCE + 5


def test_what_builds_on_something_lost_waits_until_that_has_come() -> None:
    desk, found = Desk("b", 1), frames(5)
    salvage = Salvage(found[2:])
    assert not salvage.feed(desk.replica, 0.0) and len(salvage) == 3
    desk.receive("c", *[], inbox=True)
    for frame in found[:2]:
        desk.replica.intake.offer("c", frame.data, 0.0, first_hand=False)
    assert salvage.feed(desk.replica, 0.0) and len(salvage) == 0 and desk.state.applied(OLD) == 5


def test_what_peers_have_brought_meanwhile_is_dropped_and_garbage_as_well() -> None:
    desk, found = Desk("b", 1), frames(3)
    for frame in found:
        desk.replica.intake.offer("c", frame.data, 0.0, first_hand=False)
    salvage = Salvage([*found, LogFrame(Actor("x", 1), 1, 1, b"garbage")])
    assert salvage.feed(desk.replica, 0.0) and len(salvage) == 0


def test_nothing_is_looked_at_again_before_something_has_come() -> None:
    desk, salvage = Desk("b", 1), Salvage(frames(3)[1:])
    assert not salvage.feed(desk.replica, 0.0)
    desk.replica.intake.offer = None  # type: ignore[method-assign, assignment]
    assert not salvage.feed(desk.replica, 0.0)


def test_a_damaged_file_is_moved_and_an_empty_one_opened(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"\xff" * 5000)
    store, damage = open_or_replace(tmp_path, "s", "always")
    assert damage is not None and damage.aside.read_bytes() == b"\xff" * 5000 and damage.readable == 0
    assert store.last(OLD) == 0
    store.close()
    again, nothing = open_or_replace(tmp_path, "s", "always")
    assert nothing is None
    again.close()


def test_the_frames_of_an_open_one_are_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))
    fresh, damage = replace(store, "s", "always", CHANGED)
    assert damage.readable == 3 and fresh.last(OLD) == 0 and damage.aside.exists()
    assert damage.what == "a segment has changed" and fresh.rest() == frames(3)
    fresh.close()
    damaged = ["s.db.damaged-1", "s.db.damaged-1-shm", "s.db.damaged-1-wal"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.db", *damaged, "s.lock"]


def test_nothing_in_the_damaged_files_is_changed(tmp_path: Path) -> None:
    """Not even by SQLite, which folds a WAL when it is closed last."""
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))
    before = [(tmp_path / f"s.db{suffix}").read_bytes() for suffix in ("", "-wal")]
    fresh, damage = replace(store, "s", "always", CHANGED)
    fresh.close()
    assert [Path(f"{damage.aside}{suffix}").read_bytes() for suffix in ("", "-wal")] == before


def test_what_does_not_fit_beside_the_damaged_store_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it is written nor when closing it has to fold its WAL: the next start finds all of it."""
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))

    def full(*_: object) -> None:
        raise StoreFailed("disk full")

    def closed_without_folding(self: Store) -> None:
        wal = Path(f"{self.path}-wal")
        kept = wal.read_bytes()
        close(self)
        wal.write_bytes(kept)

    close, before = Store.close, _files(tmp_path)
    with monkeypatch.context() as then:
        then.setattr(Store, "keep_rest", full)
        with pytest.raises(StoreUnwritable, match=r"a segment has changed, and to keep .* disk full"):
            replace(store, "s", "always", CHANGED)
    with monkeypatch.context() as then:
        then.setattr(Store, "close", closed_without_folding)
        with pytest.raises(StoreUnwritable, match="does not fit; free space"):
            replace(store, "s", "always", CHANGED)
    assert _files(tmp_path) == before
    store, damage = replace(store, "s", "always", CHANGED)
    assert damage.readable == 3 and store.rest() == frames(3)
    store.close()


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix != ".db-shm"}


def _killed_before_renaming(store: Store, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`replace`, which ends before it renames what matches."""
    rename = Path.rename

    def killed(self: Path, target: Path | str) -> Path:
        if self.match(pattern):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as until_then:
        until_then.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            replace(store, "s", "always", CHANGED)
    store.close()


@pytest.mark.parametrize("moved", ["s.salvage/s.db", "s.db", "s.db-wal", "s.db-shm", "s.db.salvaged"])
def test_a_replacement_that_is_killed_on_the_way_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Up to the moment in which the damaged file goes all of it is there, and from then on what takes its place."""
    store = Store.open(tmp_path, "s")
    store.commit(frames(2))
    store.give_way(successor(tmp_path))  # another one is there from before
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))
    wal = (tmp_path / "s.db-wal").read_bytes()
    _killed_before_renaming(store, f"{tmp_path.name}/{moved}", monkeypatch)
    store, damage = open_or_replace(tmp_path, "s", "always")
    assert [*store.load().log, *store.rest()] == frames(3)
    if list(store.load().log):
        assert damage is None
    else:
        assert damage is not None and damage.aside == tmp_path / "s.db.damaged-2" and damage.readable == 3
        assert (tmp_path / "s.db.damaged-2-wal").read_bytes() == wal
    store.close()
    assert not list(tmp_path.glob("*.salvage*"))


def test_what_is_not_ours_or_in_use_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    db = sqlite3.connect(tmp_path / "s.db")
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    with pytest.raises(StoreForeign):
        open_or_replace(tmp_path, "s", "always")
    held = Store.open(tmp_path, "t")
    with pytest.raises(StoreBusy):
        open_or_replace(tmp_path, "t", "always")
    held.close()
