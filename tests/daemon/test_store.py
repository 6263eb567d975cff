"""The store as its caller sees it: what was committed is there, and a checkpoint never loses what it replaces."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store import Durability, Pruned, Store, StoreCorrupt, StoreFailed
from tests.daemon.stores import successor

ADA, BOB, EVE = (Actor(name, nonce) for name, nonce in (("ada", 1), ("bob", (1 << 64) - 1), ("eve", 7)))


def frame(actor: Actor, first: int, last: int | None = None, size: int = 10) -> LogFrame:
    last = first if last is None else last
    return LogFrame(actor, first, last, f"{actor.name}{first}-{last}".encode().ljust(size, b"."))


def frames(actor: Actor, first: int, last: int, size: int = 10) -> list[LogFrame]:
    return [frame(actor, seq, size=size) for seq in range(first, last + 1)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "data", "default")
    yield store
    store.close()


def reopened(store: Store) -> Store:
    store.close()
    return Store.open(store.path.parent, store.path.stem)


def killed(store: Store, place: Path) -> Store:
    """What a start finds if the process was killed now: the files as they are, without the shared memory."""
    place.mkdir()
    for suffix in ("", "-wal"):
        if (source := Path(f"{store.path}{suffix}")).exists():
            shutil.copy(source, place)
    return Store.open(place, store.path.stem)


Content = tuple[dict[Actor, int], list[tuple[Actor, int, bytes]], list[LogFrame]]


def content(store: Store) -> Content:
    loaded = store.load()
    result = loaded.checkpoint_vv, list(loaded.segments), list(loaded.log)
    assert not loaded.damaged
    return result


# -- commit and load ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["always", "interval", "never"])
def test_what_was_committed_is_loaded_in_order(tmp_path: Path, durability: Durability) -> None:
    store = Store.open(tmp_path, "default", durability)
    batches = [[frame(ADA, 1, 5), frame(BOB, 1)], [frame(ADA, 6)], [], [frame(BOB, 2, 9), frame(EVE, 1)]]
    for batch in batches:
        store.commit(batch)
    store = reopened(store)
    assert content(store) == ({}, [], list(chain.from_iterable(batches)))
    store.close()


def test_meta_is_kept_key_by_key(store: Store) -> None:
    store.commit([], {"hlc": b"1", "name": b"ada"})
    store.commit([frame(ADA, 1)], {"hlc": b"2"})
    store = reopened(store)
    assert store.load().meta == {"hlc": b"2", "name": b"ada"}
    store.close()


def test_a_refused_commit_changes_nothing(store: Store) -> None:
    store.commit([frame(ADA, 1, 5)])
    for wrong in (
        [frame(BOB, 1), frame(ADA, 5)],
        [frame(BOB, 1), frame(BOB, 1)],
        [LogFrame(BOB, 2, 1, b"backwards")],
    ):
        with pytest.raises(ValueError, match="does not follow"):
            store.commit(wrong, {"hlc": b"1"})
    store.commit([frame(ADA, 6)])
    assert store.missing({}, 1 << 20) == ([frame(ADA, 1, 5).data, frame(ADA, 6).data], True)
    assert store.load().meta == {}
    assert store.floor() == {}


def test_log_bytes_counts_frames(store: Store) -> None:
    store.commit(frames(ADA, 1, 10, size=100))
    assert store.log_bytes == 1000
    store = reopened(store)
    assert store.log_bytes == 1000
    store.close()


# -- checkpoints -------------------------------------------------------------------------------------------------


def test_a_checkpoint_replaces_the_log_before_it(store: Store) -> None:
    store.commit(frames(ADA, 1, 3))
    store.begin_checkpoint({ADA: 3, BOB: 9})
    store.put_segment(ADA, 0, b"a0")
    store.commit([frame(ADA, 4)])  # commits go on meanwhile
    store.put_segment(BOB, 100, b"b100")
    store.put_segment(BOB, 100, b"b100 again")
    store.finish_checkpoint(meta={"hlc": b"5"})
    store.commit([frame(ADA, 5)])
    store = reopened(store)
    assert content(store) == (
        {ADA: 3, BOB: 9},
        [(ADA, 0, b"a0"), (BOB, 100, b"b100 again")],
        [frame(ADA, 4), frame(ADA, 5)],
    )
    assert store.load().meta == {"hlc": b"5"}
    # The log itself goes on from its first frame.
    assert store.missing({}, 1 << 20) == ([each.data for each in frames(ADA, 1, 5)], True)
    store.close()


def test_unchanged_segments_are_shared_and_dropped_ones_gone(store: Store) -> None:
    store.begin_checkpoint({})
    for start in range(4):
        store.put_segment(ADA, start, b"old%d" % start)
    store.finish_checkpoint()
    store.begin_checkpoint({})
    store.put_segment(ADA, 1, b"new1")
    store.drop_segment(ADA, 2)
    store.drop_segment(ADA, 3)
    store.put_segment(ADA, 3, b"new3")
    store.drop_segment(BOB, 0)  # never was
    store.finish_checkpoint()
    store = reopened(store)
    assert content(store)[1] == [(ADA, 0, b"old0"), (ADA, 1, b"new1"), (ADA, 3, b"new3")]
    rows = sqlite3.connect(store.path).execute("SELECT count(*) FROM segments").fetchone()[0]
    assert rows == 3
    store.close()


def test_a_crash_at_any_step_of_a_checkpoint_leaves_a_whole_one(store: Store, tmp_path: Path) -> None:
    store.commit(frames(ADA, 1, 4))
    store.begin_checkpoint({ADA: 4})
    for start in range(3):
        store.put_segment(ADA, start, b"old%d" % start)
    store.finish_checkpoint()
    store.commit(frames(ADA, 5, 8))
    old: Content = ({ADA: 4}, [(ADA, start, b"old%d" % start) for start in range(3)], frames(ADA, 5, 8))
    new: Content = ({ADA: 8}, [(ADA, 1, b"new1"), (ADA, 2, b"old2"), (BOB, 0, b"new")], [])
    steps: list[tuple[Callable[[], object], Content]] = [
        (lambda: store.begin_checkpoint({ADA: 8}), old),
        (lambda: store.put_segment(ADA, 1, b"new1"), old),
        (lambda: store.drop_segment(ADA, 0), old),
        (lambda: store.put_segment(BOB, 0, b"new"), old),
        (store.finish_checkpoint, new),
        (lambda: store.sweep(1), new),
        (lambda: store.sweep(1), new),
        (lambda: store.sweep(1), new),
        (lambda: store.prune(0), new),
    ]
    for count, (step, expected) in enumerate(steps):
        step()
        crashed = killed(store, tmp_path / str(count))
        assert content(crashed) == expected, count
        # And the crashed one can take its checkpoint from there.
        crashed.begin_checkpoint({ADA: 8, BOB: 1})
        crashed.put_segment(ADA, 1, b"after")
        crashed.finish_checkpoint()
        crashed = reopened(crashed)
        again = {(actor, start): data for actor, start, data in expected[1]} | {(ADA, 1): b"after"}
        assert content(crashed) == ({ADA: 8, BOB: 1}, [(*key, again[key]) for key in sorted(again)], [])
        crashed.close()


def test_an_abandoned_checkpoint_leaves_nothing(store: Store) -> None:
    store.begin_checkpoint({ADA: 1})
    store.put_segment(ADA, 0, b"abandoned")
    store.abandon_checkpoint()
    store.begin_checkpoint({})
    store.put_segment(BOB, 0, b"abandoned too")
    store.begin_checkpoint({})
    store.put_segment(BOB, 1, b"kept")
    store.finish_checkpoint()
    store = reopened(store)
    assert content(store) == ({}, [(BOB, 1, b"kept")], [])
    store.abandon_checkpoint()
    store.close()


def test_a_checkpoint_is_refused_where_it_would_lose_something(store: Store) -> None:
    store.commit(frames(ADA, 1, 4))
    with pytest.raises(ValueError, match="the log holds ada"):
        store.begin_checkpoint({ADA: 3})
    with pytest.raises(ValueError, match="has not been called"):
        store.put_segment(ADA, 0, b"")
    with pytest.raises(ValueError, match="has not been called"):
        store.finish_checkpoint()
    store.begin_checkpoint({ADA: 4})
    with pytest.raises(ValueError, match="above the checkpoint"):
        store.finish_checkpoint(floors={ADA: 5})
    store.finish_checkpoint(floors={ADA: 4})
    assert dict(store.checkpoint_vv) == store.floor() == {ADA: 4}


def test_a_joined_snapshot_arrives_with_its_floor_and_frames_or_not_at_all(store: Store, tmp_path: Path) -> None:
    store.commit([frame(ADA, 1)])
    store.begin_checkpoint({ADA: 1, BOB: 500})
    store.put_segment(BOB, 0, b"taught by a snapshot")
    before = killed(store, tmp_path / "before")
    assert content(before) == ({}, [], [frame(ADA, 1)])
    assert before.floor() == {}
    before.close()
    store.finish_checkpoint([frame(ADA, 2)], floors={BOB: 500})
    store = reopened(store)
    assert content(store) == ({ADA: 1, BOB: 500}, [(BOB, 0, b"taught by a snapshot")], [frame(ADA, 2)])
    assert store.floor() == {BOB: 500}
    store.close()


# -- pruning -----------------------------------------------------------------------------------------------------


def test_pruning_stops_at_the_checkpoint(store: Store) -> None:
    store.commit([each for seq in range(1, 6) for each in (frame(ADA, seq), frame(BOB, seq))])
    assert store.prune(100) == Pruned(0, 0, more=False, wants_checkpoint=False)
    assert store.prune(0) == Pruned(0, 0, more=False, wants_checkpoint=True)
    store.begin_checkpoint({ADA: 5, BOB: 5})
    assert store.prune(0).wants_checkpoint  # not before it is finished
    store.commit([frame(ADA, 6)])
    store.finish_checkpoint()
    assert store.prune(75) == Pruned(4, 40, more=False, wants_checkpoint=False)
    assert (store.floor(), store.log_bytes) == ({ADA: 2, BOB: 2}, 70)
    assert store.prune(0, limit=4) == Pruned(4, 40, more=True, wants_checkpoint=False)
    assert store.prune(0, limit=4) == Pruned(2, 20, more=False, wants_checkpoint=True)
    store = reopened(store)
    assert (store.floor(), store.log_bytes) == ({ADA: 5, BOB: 5}, 10)
    assert store.missing({}, 1000) == ([frame(ADA, 6).data], True)
    store.close()


def test_an_emptied_log_goes_on_above_the_checkpoint(store: Store) -> None:
    store.commit(frames(ADA, 1, 5))
    store.begin_checkpoint({ADA: 5})
    store.finish_checkpoint()
    store.prune(0)
    store = reopened(store)
    store.commit([frame(ADA, 6)])
    store = reopened(store)
    assert content(store) == ({ADA: 5}, [], [frame(ADA, 6)])
    store.close()


# -- damage ------------------------------------------------------------------------------------------------------


def spoil(store: Store, change: str, *values: object) -> None:
    with sqlite3.connect(store.path) as db:
        assert db.execute(change, values).rowcount == 1
    db.close()


DAMAGES = (
    "UPDATE log SET data = CAST('other' AS BLOB) WHERE lsn = ?",
    "UPDATE log SET data = 'text' WHERE lsn = ?",
    "UPDATE log SET first = first - 1 WHERE lsn = ?",
    "UPDATE log SET last = 'x' WHERE lsn = ?",
    "UPDATE log SET actor = 99 WHERE lsn = ?",
    "UPDATE log SET checksum = zeroblob(8) WHERE lsn = ?",
    "DELETE FROM log WHERE lsn = ?",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_replay_stops_at_a_damaged_frame_and_drops_what_follows(store: Store, damage: str) -> None:
    store.commit(frames(ADA, 1, 10))
    store.begin_checkpoint({ADA: 10})
    store.finish_checkpoint()
    store.commit(frames(ADA, 11, 20))
    spoil(store, damage, 15)
    store.close()
    try:
        store = Store.open(store.path.parent, "default")
    except StoreCorrupt:
        assert "99" in damage or "'x'" in damage  # seen at once, in the index
        return
    loaded = store.load()
    assert list(loaded.segments) == []
    assert list(loaded.log) == frames(ADA, 11, 14)
    assert loaded.damaged
    # What comes next takes the place of what was dropped; the floor did not have to move.
    assert (store.log_bytes, store.floor()) == (140, {})
    store.commit([frame(ADA, 15)])
    store = reopened(store)
    assert content(store)[2] == frames(ADA, 11, 15)
    store.close()


def test_a_page_that_cannot_be_read_for_pruning_is_a_failure_of_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    store.commit(frames(ADA, 1, 5))
    monkeypatch.setattr(store._log, "oldest", unreadable)
    with pytest.raises(StoreFailed, match="malformed"):
        store.prune(0)
    store.commit([frame(ADA, 6)])


@pytest.mark.parametrize("damage", [*DAMAGES[:3], DAMAGES[5]])
def test_a_damaged_frame_below_the_checkpoint_is_skipped_and_the_floor_raised(store: Store, damage: str) -> None:
    store.commit(frames(ADA, 1, 5))
    spoil(store, damage, 3)
    intact = [each.data for each in frames(ADA, 1, 5) if each.last != 3]
    for _ in range(2):
        assert store.missing({}, 1000) == (intact, True)
        assert store.floor() == {ADA: 3}
    assert (store.wants_checkpoint, store.damaged_frames) == (True, 1)
    with sqlite3.connect(store.path) as db:
        assert db.execute("SELECT count(*) FROM floors").fetchone()[0] == 0  # not above the checkpoint on disk
    store.begin_checkpoint({ADA: 5})
    store.finish_checkpoint()
    assert not store.wants_checkpoint
    store = reopened(store)
    assert content(store) == ({ADA: 5}, [], [])
    assert store.floor() == {ADA: 3}
    assert (store.missing({}, 1000), store.log_bytes) == ((intact, True), 40)
    store.close()


def test_a_damaged_segment_is_told_and_the_log_salvaged(store: Store) -> None:
    store.commit(frames(ADA, 1, 3))
    store.begin_checkpoint({ADA: 3})
    store.put_segment(ADA, 0, b"good")
    store.put_segment(ADA, 1, b"to be spoilt")
    store.finish_checkpoint()
    store.commit([frame(ADA, 4)])
    spoil(store, "UPDATE segments SET data = zeroblob(12) WHERE start = ?", 1)
    spoil(store, "UPDATE log SET data = zeroblob(12) WHERE lsn = ?", 2)
    store = reopened(store)
    segments = store.load().segments
    assert next(segments) == (ADA, 0, b"good")
    with pytest.raises(StoreCorrupt, match="segment"):
        next(segments)
    assert list(store.salvage()) == [frame(ADA, 1), frame(ADA, 3), frame(ADA, 4)]
    moved = store.give_way(successor(store.path.parent))
    assert moved.exists()
    fresh = Store.open(store.path.parent, "default")
    assert content(fresh) == ({}, [], [])
    assert fresh.database_id != store.database_id
    fresh.close()


# -- any history -------------------------------------------------------------------------------------------------


class History(RuleBasedStateMachine):
    """Any order of commits, merges, checkpoints, prunings, crashes: the store against lists and dicts."""

    directory: Path

    @initialize()
    def start(self) -> None:
        self.store = Store.open(self.directory, "default", "never")
        self.log: list[LogFrame] = []
        self.done: dict[Actor, int] = {}
        self.floor: dict[Actor, int] = {}
        self.replay_from = 0  # index in `log`
        self.segments: dict[tuple[Actor, int], bytes] = {}
        self.checkpoint: dict[Actor, int] = {}
        self.staged: dict[tuple[Actor, int], bytes] | None = None

    @rule(
        batch=st.lists(st.tuples(st.sampled_from((ADA, BOB, EVE)), st.integers(1, 5), st.integers(0, 40)), max_size=5)
    )
    def commit(self, batch: list[tuple[Actor, int, int]]) -> None:
        new = []
        for actor, count, size in batch:
            first = self.done.get(actor, 0) + 1
            self.done[actor] = first + count - 1
            new.append(frame(actor, first, self.done[actor], size))
        self.store.commit(new)
        self.log += new

    @rule()
    def begin(self) -> None:
        self.store.begin_checkpoint(self.done)
        self.staged, self.staged_vv, self.staged_from = dict(self.segments), dict(self.done), len(self.log)

    @precondition(lambda self: self.staged is not None)
    @rule(key=st.tuples(st.sampled_from((ADA, BOB)), st.integers(0, 2)), data=st.none() | st.binary(max_size=8))
    def stage(self, key: tuple[Actor, int], data: bytes | None) -> None:
        assert self.staged is not None
        self.staged.pop(key, None)
        if data is None:
            self.store.drop_segment(*key)
        else:
            self.staged[key] = data
            self.store.put_segment(*key, data)

    @precondition(lambda self: self.staged is not None)
    @rule()
    def finish(self) -> None:
        assert self.staged is not None
        self.store.finish_checkpoint()
        self.segments, self.checkpoint, self.replay_from = self.staged, self.staged_vv, self.staged_from
        self.staged = None

    @rule()
    def sweep(self) -> None:
        self.store.sweep(1)

    @rule(budget=st.integers(0, 200), limit=st.integers(1, 6))
    def prune(self, budget: int, limit: int) -> None:
        pruned = self.store.prune(budget, limit)
        assert pruned.frames <= min(self.replay_from, limit)
        for each in self.log[: pruned.frames]:
            self.floor[each.actor] = each.last
        assert pruned.bytes == sum(len(each.data) for each in self.log[: pruned.frames])
        del self.log[: pruned.frames]
        self.replay_from -= pruned.frames
        if self.staged is not None:
            self.staged_from -= pruned.frames
        met = sum(len(each.data) for each in self.log) <= budget
        assert met or pruned.more or pruned.wants_checkpoint
        assert not (met and (pruned.more or pruned.wants_checkpoint))

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        if crash:
            place = self.directory / "crashed"
            crashed = killed(self.store, place)
            self.compare(crashed)
            crashed.close()
            shutil.rmtree(place)
        else:
            self.store.close()
            self.store = Store.open(self.directory, "default", "never")
            self.compare(self.store)
            self.staged = None

    def compare(self, store: Store) -> None:
        vv, segments, log = content(store)
        assert vv == self.checkpoint
        assert {(actor, start): data for actor, start, data in segments} == self.segments
        assert log == self.log[self.replay_from :]

    @rule(have=st.dictionaries(st.sampled_from((ADA, BOB, EVE)), st.integers(0, 60)), budget=st.integers(0, 300))
    def missing(self, have: dict[Actor, int], budget: int) -> None:
        wanted = [each.data for each in self.log if each.last > have.get(each.actor, 0)]
        found, complete = self.store.missing(have, budget)
        assert found == wanted[: len(found)]
        assert complete == (len(found) == len(wanted))
        assert found or complete
        assert len(found) <= 1 or sum(map(len, found)) <= budget
        if not complete:
            assert sum(map(len, wanted[: len(found) + 1])) > budget

    @invariant()
    def floors_and_sizes(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.floor() == self.floor
        assert all(seq <= self.store.checkpoint_vv.get(actor, 0) for actor, seq in self.store.floor().items())
        assert self.store.log_bytes == sum(len(each.data) for each in self.log)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.directory)


def test_any_history(tmp_path: Path) -> None:
    class Here(History):
        directory = tmp_path / "space"

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
