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
from daemon.store import Store, StoreBusy, StoreForeign
from tests.crdt.replica.desk import Desk

OLD = Actor("b", 77)


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
    fresh, damage = replace(store, "s", "always", "a segment has changed")
    assert damage.readable == 3 and fresh.last(OLD) == 0 and damage.aside.exists()
    assert fresh.rest() == frames(3)
    fresh.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.db", "s.db.damaged-1", "s.lock"]


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
            replace(store, "s", "always", "a segment has changed")


@pytest.mark.parametrize("moved", ["s.salvage/s.db", "s.db-wal", "s.db-shm", "s.db"])
def test_the_frames_of_an_open_one_are_kept_by_whoever_is_killed_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Up to the moment in which the damaged file goes it is there, and from then on what takes its place."""
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))
    _killed_before_renaming(store, f"{tmp_path.name}/{moved}", monkeypatch)
    store = Store.open(tmp_path, "s")
    assert [*store.load().log, *store.rest()] == frames(3)
    store.close()
    open_or_replace(tmp_path, "s", "always")[0].close()
    assert not list(tmp_path.glob("*.salvage*"))


def test_what_was_about_to_take_its_place_does_when_the_damaged_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path, "s")
    store.commit(frames(3))
    _killed_before_renaming(store, "*.salvaged", monkeypatch)
    store, damage = open_or_replace(tmp_path, "s", "always")
    assert damage is None and store.rest() == frames(3)
    store.close()


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
