"""A checkpoint by itself: what is written, what is not, and what a start makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crdt.codec import decode_frame, decode_rows, encode_frame
from crdt.dots import Actor, Runs
from crdt.joining import Joining
from crdt.moving import go_on_as
from crdt.replica.effects import LogFrame
from crdt.rows import CHUNK
from crdt.state import State
from crdt.types import counters, keyspace, sets, strings
from daemon.checkpoint import PART, Checkpointer
from daemon.store import Store

ME = Actor("me", 1)
PARTS = CHUNK // PART + 1  # steps of a whole chunk


class Disk:
    """A state, its store, and a checkpointer between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = State(ME)
        self.store = Store.open(directory, "s")
        self.checkpointer = Checkpointer(self.state, self.store)
        self.ms = 1_700_000_000_000

    def write(self, change: Callable[[State], object]) -> None:
        """A change, cut and stored."""
        self.ms += 1
        self.state.begin(self.ms)
        change(self.state)
        frame = self.state.cut()
        if frame is not None:
            self.store.commit([LogFrame(frame.actor, frame.first, frame.last, encode_frame(frame))])

    def checkpoint(self) -> int:
        """A whole one; how many segments it wrote."""
        before = self.checkpointer.written
        self.checkpointer.begin()
        while self.checkpointer.step():
            pass
        self.checkpointer.finish()
        return self.checkpointer.written - before

    def reopened(self) -> tuple[State, int]:
        """What a start finds in the checkpoint alone, and the number of its segments."""
        self.store.close()
        self.store = Store.open(self.directory, "s")
        loaded = self.store.load()
        self.state = State(ME)
        on_disk = []
        for actor, start, data in loaded.segments:
            on_disk.append((actor, start))
            self.state.load(actor, start, decode_rows(data), loaded.checkpoint_vv[actor])
        self.state.loaded(loaded.checkpoint_vv)
        for logged in loaded.log:
            self.state.replay(decode_frame(logged.data))
        self.checkpointer = Checkpointer(self.state, self.store, on_disk)
        return self.state, len(on_disk)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.store.close()


def test_of_nothing(disk: Disk) -> None:
    assert disk.checkpoint() == 0
    assert disk.reopened()[1] == 0


def test_what_did_not_change_is_not_written_again(disk: Disk) -> None:
    for i in range(5):
        disk.write(lambda state, i=i: sets.add(state, b"k%d" % i, [b"%d" % n for n in range(2048)]))  # type: ignore[misc]
    assert disk.checkpoint() == 5
    assert disk.checkpoint() == 0
    disk.write(lambda state: sets.remove(state, b"k2", [b"7"]))
    assert disk.checkpoint() == 1
    expected = disk.state.hash
    state, segments = disk.reopened()
    assert state.hash == expected
    assert segments == 5
    assert disk.checkpoint() == 0


def test_segments_that_nobody_needs_are_dropped(disk: Disk) -> None:
    for i in range(5):
        disk.write(lambda state, i=i: sets.add(state, b"k%d" % i, [b"%d" % n for n in range(2048)]))  # type: ignore[misc]
    disk.checkpoint()
    for i in range(4):
        disk.write(lambda state, i=i: keyspace.delete(state, b"k%d" % i))  # type: ignore[misc]
    disk.checkpoint()
    expected = disk.state.hash
    state, segments = disk.reopened()
    assert state.hash == expected
    assert segments == 1
    disk.write(keyspace.flush)
    disk.checkpoint()
    state, segments = disk.reopened()
    assert (state.hash, state.live, segments) == (0, 0, 0)


def test_a_step_is_part_of_a_chunk_or_writes_it(disk: Disk) -> None:
    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(10_000)]))
    disk.checkpointer.begin()
    steps = 1
    while disk.checkpointer.step():
        assert disk.checkpointer.written == steps // PARTS
        steps += 1
    assert steps == 5 * PARTS + 1
    assert disk.checkpointer.running
    disk.checkpointer.finish()
    assert not disk.checkpointer.running
    assert not disk.state.chunks_held


def test_large_values_do_not_share_a_segment_without_end(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No blob that SQLite would not take, and no step that holds the loop; what is gone leaves nothing."""
    monkeypatch.setattr("daemon.checkpoint.SEGMENT", 10_000)
    written: list[int] = []
    put = disk.store.put_segment

    def noting(actor: Actor, start: int, data: bytes) -> None:
        written.append(len(data))
        put(actor, start, data)

    monkeypatch.setattr(disk.store, "put_segment", noting)
    for i in range(300):
        disk.write(lambda state, i=i: strings.put(state, b"k%d" % i, bytes(50_000 if i == 77 else 10 * i)))
    count = disk.checkpoint()
    assert count == len(written) > 300 * 10 * 150 // 10_000
    assert sorted(written)[-1] > 50_000 and sorted(written)[-2] < 11_000
    assert disk.checkpoint() == 0
    disk.write(lambda state: strings.put(state, b"k250", b"smaller"))
    assert disk.checkpoint() > 1
    before = disk.state
    after, segments = disk.reopened()
    assert after.hash == before.hash and segments > 40
    assert disk.checkpoint() == 0, "each part is known again"
    disk.write(lambda state: strings.put(state, b"k299", b"smaller"))
    assert disk.checkpoint() < 5, "of a chunk that was loaded in parts only what changed"
    for i in range(300):
        if i % 50:
            disk.write(lambda state, i=i: keyspace.delete(state, b"k%d" % i))
    disk.checkpoint()
    before = disk.state
    after, segments = disk.reopened()
    assert after.hash == before.hash and len(after.keys) == 6 and segments <= 6


def test_a_long_key_weighs_as_well(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each set is a group of its own, with its key."""
    monkeypatch.setattr("daemon.checkpoint.SEGMENT", 10_000)
    for i in range(300):
        disk.write(lambda state, i=i: sets.add(state, b"%d" % i + bytes(5000), [b"member"]))
    assert disk.checkpoint() >= 150


def test_one_large_value_does_not_make_what_follows_slow(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.checkpoint.SEGMENT", 10_000)
    for i in range(1500):
        disk.write(lambda state, i=i: strings.put(state, b"k%d" % i, bytes(0 if i else 50_000)))
    disk.checkpointer.begin()
    steps = 0
    while disk.checkpointer.step():
        steps += 1
    assert steps < 30
    disk.checkpointer.finish()


def come_and_go(disk: Disk) -> None:
    """Rows of every part of a set of 3,000."""
    disk.write(lambda state: sets.remove(state, b"s", [b"%d" % n for n in range(0, 3000, 100)]))
    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(0, 4000, 70)]))


@pytest.mark.parametrize("when", range(2 * PARTS + 1))
def test_what_changes_between_the_steps_of_a_chunk_is_in_the_log(disk: Disk, when: int) -> None:
    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(3000)]))
    disk.checkpointer.begin()
    steps, more = 0, True
    while more:
        if steps == when:
            come_and_go(disk)
        more = disk.checkpointer.step()
        steps += 1
    disk.checkpointer.finish()
    expected = disk.state.hash, disk.state.live
    disk.checkpoint()
    assert (disk.state.hash, disk.state.live) == expected
    state, _ = disk.reopened()
    assert (state.hash, state.live) == expected, "a chunk that changed while it was gathered is written again"


@pytest.mark.parametrize("when", range(2 * PARTS + 1))
def test_a_kill_behind_a_checkpoint_during_which_rows_came_and_went(disk: Disk, when: int) -> None:
    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(3000)]))
    disk.checkpointer.begin()
    for _ in range(when):
        disk.checkpointer.step()
    come_and_go(disk)
    while disk.checkpointer.step():
        pass
    disk.checkpointer.finish()
    expected = disk.state.hash, disk.state.live
    state, _ = disk.reopened()
    assert (state.hash, state.live) == expected


@pytest.mark.parametrize("when", range(3))
def test_a_checkpoint_does_not_outlive_its_actor(disk: Disk, when: int) -> None:
    """Going on as another actor undoes removals that were pending while their chunk was gathered."""
    disk.write(lambda state: (counters.incr(state, b"n", 5), strings.put(state, b"other", b"x")))
    disk.checkpointer.begin()
    disk.state.begin(disk.ms + 1)
    counters.incr(disk.state, b"n", 1)  # until it is cut, what was committed counts as removed
    for _ in range(when):
        disk.checkpointer.step()
    assert not disk.checkpointer.stale
    go_on_as(disk.state, Actor("me", 2))
    disk.write(lambda state: None)
    while disk.checkpointer.step():
        pass
    assert disk.checkpointer.stale
    disk.checkpointer.abandon()
    disk.checkpoint()
    assert not disk.checkpointer.stale
    expected = disk.state.hash
    state, _ = disk.reopened()
    assert state.hash == expected and strings.get(state, b"n") == b"6"


def test_given_up_and_begun_anew(disk: Disk) -> None:
    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(5000)]))
    disk.checkpoint()
    disk.write(lambda state: sets.remove(state, b"s", [b"%d" % n for n in range(0, 5000, 7)]))
    disk.checkpointer.begin()
    for _ in range(PARTS + 1):
        disk.checkpointer.step()
    disk.checkpointer.abandon()
    disk.checkpointer.abandon()
    assert not disk.checkpointer.running
    assert not disk.state.chunks_held
    assert disk.checkpoint() == 3
    expected = disk.state.hash
    assert disk.reopened()[0].hash == expected


def test_a_failed_abandon_leaves_nothing_that_a_later_checkpoint_loses(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while the staged segments are thrown away; the next checkpoint puts the same ones."""
    from daemon.store import StoreFailed

    disk.write(lambda state: sets.add(state, b"s", [b"%d" % n for n in range(5000)]))
    disk.checkpointer.begin()
    for _ in range(PARTS):
        disk.checkpointer.step()
    assert disk.checkpointer.written == 1

    def full(count: int) -> bool:
        raise StoreFailed("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(disk.store._segments, "sweep", full)
        disk.checkpointer.abandon()
    assert disk.checkpoint() == 3
    while disk.store.sweep():
        pass
    expected = disk.state.hash
    state, segments = disk.reopened()
    assert (state.hash, segments) == (expected, 3)


def test_in_one_transaction_with_what_a_snapshot_taught(disk: Disk) -> None:
    """A join in slices: frames and floors are there together with the rows, and what was written meanwhile."""
    other = State(Actor("other", 2))
    other.begin(disk.ms)
    strings.put(other, b"theirs", b"1")
    other.cut()
    disk.write(lambda state: strings.put(state, b"mine", b"1"))
    (rows,) = other.actors.values()
    groups = [group for chunk in rows.chunks for group in other.groups(chunk)]
    joining = Joining(disk.state, other.vector(), {other.actor: Runs([1])}, lambda actor: [(1, 1, lambda: groups)])
    disk.checkpointer.begin_join(joining)
    disk.checkpointer.step()
    disk.state.begin(disk.ms)
    strings.put(disk.state, b"meanwhile", b"1")
    frame = disk.state.cut()
    assert frame is not None
    joining.follow(frame)
    while disk.checkpointer.step():
        pass
    assert strings.get(disk.state, b"theirs") is None, "nothing is seen before it is joined"
    joining.finish()
    logged = LogFrame(frame.actor, frame.first, frame.last, encode_frame(frame))
    disk.checkpointer.finish([logged], {other.actor: 1})
    assert not disk.checkpointer.running and not disk.state.chunks_held
    assert disk.store.floor() == {other.actor: 1}
    expected = disk.state.hash
    state, _ = disk.reopened()
    assert state.hash == expected
    assert [strings.get(state, key) for key in (b"mine", b"theirs", b"meanwhile")] == [b"1"] * 3


@pytest.mark.parametrize("when", range(0, 6 * PARTS, 2))
def test_what_follows_into_a_join_between_the_steps_of_a_chunk(disk: Disk, when: int) -> None:
    other = State(Actor("other", 2))
    other.begin(disk.ms)
    sets.add(other, b"theirs", [b"%d" % n for n in range(1500)])
    other.cut()
    disk.write(lambda state: sets.add(state, b"mine", [b"%d" % n for n in range(2500)]))
    (rows,) = other.actors.values()
    groups = [group for chunk in rows.chunks for group in other.groups(chunk)]
    live = {other.actor: Runs(range(1, 1501))}
    joining = Joining(disk.state, other.vector(), live, lambda actor: [(1, 1500, lambda: groups)])
    disk.checkpointer.begin_join(joining)
    logged: list[LogFrame] = []
    steps, more = 0, True
    while more or not logged:
        if steps == when or not more:
            for change in (sets.remove, sets.add):
                disk.state.begin(disk.ms)
                change(disk.state, b"mine", [b"%d" % n for n in range(0, 3000, 70)])
                frame = disk.state.cut()
                assert frame is not None
                joining.follow(frame)
                logged.append(LogFrame(frame.actor, frame.first, frame.last, encode_frame(frame)))
        more = disk.checkpointer.step()
        steps += 1
    joining.finish()
    disk.checkpointer.finish(logged, {other.actor: 1500})
    expected = disk.state.hash, disk.state.live
    disk.checkpoint()
    state, _ = disk.reopened()
    assert (state.hash, state.live) == expected
    assert len(sets.members(state, b"theirs")) == 1500


def test_a_join_given_up_leaves_the_checkpoint_as_it_was(disk: Disk) -> None:
    disk.write(lambda state: strings.put(state, b"mine", b"1"))
    disk.checkpoint()
    joining = Joining(disk.state, {Actor("other", 2): 1}, {}, lambda actor: [])
    disk.checkpointer.begin_join(joining)
    disk.checkpointer.step()
    disk.checkpointer.abandon()
    assert joining.abandoned and not disk.state.chunks_held and not disk.checkpointer.running
    assert disk.checkpoint() == 0, "the chunks that are on disk are still known to be"
    assert strings.get(disk.reopened()[0], b"mine") == b"1"
