"""What `missing` promises: log order, the whole of a commit or nothing of it, and a cost that follows the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store import Store
from daemon.store_log import checksum

ACTORS = [Actor(f"r{number}", number << 60) for number in range(5)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path, "default", "never")
    yield store
    store.close()


def a_log(pattern: list[tuple[int, int]]) -> list[LogFrame]:
    """One frame per (actor's number, how many records it holds)."""
    done = dict.fromkeys(ACTORS, 0)
    frames = []
    for number, count in pattern:
        actor = ACTORS[number]
        first, done[actor] = done[actor] + 1, done[actor] + count
        frames.append(LogFrame(actor, first, done[actor], f"{actor}:{first}".encode() * count))
    return frames


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    pattern=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=200),
    have=st.dictionaries(st.sampled_from([*ACTORS, Actor("unknown", 1)]), st.integers(0, 200)),
    budget=st.integers(0, 4000),
)
def test_missing_is_what_a_scan_of_the_log_finds(
    tmp_path_factory: pytest.TempPathFactory, pattern: list[tuple[int, int]], have: dict[Actor, int], budget: int
) -> None:
    store = Store.open(tmp_path_factory.mktemp("space"), "default", "never")
    frames = a_log(pattern)
    store.commit(frames)
    wanted = [each.data for each in frames if each.last > have.get(each.actor, 0)]
    # Page by page, as a peer asks: it has applied what it got and asks again.
    got: list[bytes] = []
    applied = dict(have)
    by_data = {each.data: each for each in frames}
    complete = False
    while not complete:
        page, complete = store.missing(applied, budget)
        assert page or complete
        assert len(page) <= 1 or sum(map(len, page)) <= budget
        got += page
        for each in map(by_data.__getitem__, page):
            applied[each.actor] = each.last
    assert got == wanted
    store.close()


def test_missing_reads_little_when_little_is_missing(store: Store) -> None:
    """Counted in instructions of SQLite's machine, not in time."""
    frames = a_log([(number % 5, 1) for number in range(5000)])
    store.commit(frames)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    store._file.read.set_progress_handler(step, 10)

    def cost(have: dict[Actor, int], budget: int = 1 << 20) -> tuple[int, int]:
        nonlocal steps
        steps = 0
        found, _ = store.missing(have, budget)
        return len(found), steps

    everything = dict.fromkeys(ACTORS, 1000)
    assert cost(everything) == (0, 0)
    count, few = cost(everything | {ACTORS[2]: 995})
    assert count == 5
    count, early = cost(everything | {ACTORS[2]: 0}, budget=1)
    assert count == 1
    count, page = cost({}, budget=500)
    assert 10 < count < 50
    # A scan of 5,000 rows is above 2,000.
    assert max(few, early) < 50
    assert page < 200


def test_a_reader_beside_a_committing_thread_sees_whole_commits(store: Store) -> None:
    rounds = 300
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(rounds):
                # Each commit brings one more actor into being, and a record of two that belong together.
                fresh = Actor(f"fresh{number}", number)
                store.commit([LogFrame(actor, number + 1, number + 1, b"%d" % number) for actor in ACTORS[:2]])
                store.commit([LogFrame(fresh, 1, 1, b"fresh")])
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    seen = 0
    while worker.is_alive():
        found, complete = store.missing({}, 1 << 20)
        numbers = [data for data in found if data != b"fresh"]
        assert complete
        assert numbers == [b"%d" % number for number in range(len(numbers) // 2) for _ in range(2)]
        assert len(found) >= seen
        seen = len(found)
        store.floor()
    worker.join()
    assert not failed
    assert len(store.missing({}, 1 << 20)[0]) == rounds * 3


def test_a_commit_that_has_just_ended_in_the_worker_is_left_for_the_next_time(store: Store) -> None:
    """Its frames may follow one of an actor that the reader does not know of yet: only a whole prefix is causal."""
    store.commit([LogFrame(ACTORS[0], 1, 1, b"one")])
    late = [LogFrame(ACTORS[1], 1, 1, b"cause"), LogFrame(ACTORS[0], 2, 2, b"effect")]
    with store._file.transaction() as db:
        store._log.append(db, late)
    assert store.missing({}, 1000) == ([b"one"], True)
    store._log.written(late)
    assert store.missing({}, 1000) == ([b"one", b"cause", b"effect"], True)


def test_checkpoint_slices_and_commits_in_two_threads(store: Store) -> None:
    def work() -> None:
        for number in range(300):
            store.commit([LogFrame(ACTORS[0], number + 1, number + 1, b"x" * 50)])

    worker = threading.Thread(target=work)
    worker.start()
    taken = 0
    while worker.is_alive():
        store.begin_checkpoint({ACTORS[0]: 300})
        for start in range(3):
            store.put_segment(ACTORS[1], start, b"%d" % taken)
        store.finish_checkpoint()
        store.sweep(2)
        store.prune(1000, limit=7)
        taken += 1
    worker.join()
    path = store.path
    store.close()
    again = Store.open(path.parent, "default")
    loaded = again.load()
    assert [data for _, _, data in loaded.segments] == [b"%d" % (taken - 1)] * 3
    log = list(loaded.log)
    assert not loaded.damaged
    assert [each.last for each in log] == list(range(300 - len(log) + 1, 301))
    again.close()


def test_the_checksum_covers_every_column() -> None:
    good = LogFrame(ACTORS[1], 3, 7, b"data")
    others = [
        LogFrame(ACTORS[2], 3, 7, b"data"),
        LogFrame(Actor("other", ACTORS[1].nonce), 3, 7, b"data"),
        LogFrame(ACTORS[1], 2, 7, b"data"),
        LogFrame(ACTORS[1], 3, 8, b"data"),
        LogFrame(ACTORS[1], 7, 3, b"data"),
        LogFrame(ACTORS[1], 3, 7, b"datA"),
    ]
    assert checksum(good) not in {checksum(other) for other in others}
    assert checksum(good) == bytes.fromhex("167a2d990d36d688")
