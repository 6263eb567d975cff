"""Rows that wait on disk for the rest of their snapshot."""

from __future__ import annotations

import sqlite3

import pytest

from crdt.dots import Actor
from crdt.replica.effects import Stage
from daemon.store import Store

ALL = 1 << 30
ADA, BOB = Actor("ada", 1), Actor("bob", 1 << 63)


def order(number: int, actor: Actor = ADA) -> Stage:
    return Stage(number, actor, 1, 2, b"seqs%d" % number, b"data%d" % number * 1000)


def reopened(store: Store) -> Store:
    store.close()
    return Store.open(store.path.parent, "s")


def test_it_is_there_after_a_restart(store: Store) -> None:
    for one in (order(1), order(2, BOB)):
        store.stage(one)
    assert store.unwritten == len(order(1).data + order(2).data)
    store.write_staged(ALL)
    store.write_staged(ALL)
    assert store.unwritten == 0
    again = reopened(store)
    assert list(again.staged_index()) == [(1, ADA, b"seqs1"), (2, BOB, b"seqs2")]
    assert [again.staged(n) for n in (1, 2, 3)] == [order(1).data, order(2).data, None]
    again.close()


def test_so_much_is_written_at_a_time(store: Store) -> None:
    for number in (1, 2, 3):
        store.stage(order(number))
    size = len(order(1).data)
    assert store.write_staged(size + 1) and store.unwritten == size
    assert [number for number, _, _ in store.staged_index()] == [1, 2]
    assert store.staged(3) == order(3).data
    assert not store.write_staged(size + 1) and store.unwritten == 0


def test_what_is_being_written_waits_no_more_and_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.stage(order(1))
    number = store._file.number
    seen: list[tuple[int, bytes | None]] = []

    def meanwhile(actor: Actor) -> int:
        seen.append((store.unwritten, store.staged(1)))
        return number(actor)

    monkeypatch.setattr(store._file, "number", meanwhile)
    store.write_staged(ALL)
    assert seen == [(0, order(1).data)]


def test_what_is_not_needed_goes_in_slices(store: Store) -> None:
    for number in range(1, 11):
        store.stage(order(number))
    store.write_staged(ALL)
    store.unstage(range(1, 10))
    assert store.sweep(4) and store.sweep(4) and not store.sweep(4)
    assert [number for number, _, _ in store.staged_index()] == [10]


def test_a_number_can_be_used_again_before_it_is_swept(store: Store) -> None:
    store.stage(order(1))
    store.write_staged(ALL)
    store.unstage([1])
    store.stage(order(1, BOB))
    while store.sweep():
        pass
    store.write_staged(ALL)
    assert store.staged(1) == order(1).data and list(store.staged_index()) == [(1, BOB, b"seqs1")]


def test_it_is_read_before_it_is_written(store: Store) -> None:
    store.stage(order(1))
    store.stage(order(2))
    assert store.staged(1) == order(1).data and list(store.staged_index()) == []
    store.unstage([1])
    assert store.staged(1) is None
    store.write_staged(ALL)
    assert store.staged(2) == order(2).data and list(store.staged_index()) == [(2, ADA, b"seqs2")]
    assert not store.sweep()
    assert store.unwritten == 0


@pytest.mark.parametrize("reused", [False, True])
def test_what_is_dropped_while_it_is_written_goes(store: Store, monkeypatch: pytest.MonkeyPatch, reused: bool) -> None:
    """Also if its number is used again meanwhile."""
    store.stage(order(1))
    number = store._file.number

    def meanwhile(actor: Actor) -> int:
        monkeypatch.undo()
        store.unstage([1])
        if reused:
            store.stage(order(1, BOB))
        return number(actor)

    monkeypatch.setattr(store._file, "number", meanwhile)
    store.write_staged(ALL)
    assert store.unwritten == len(order(1).data) * reused
    store.write_staged(ALL)
    while store.sweep():
        pass
    assert list(store.staged_index()) == ([(1, BOB, b"seqs1")] if reused else [])
    assert store.staged(1) == (order(1).data if reused else None)


@pytest.mark.parametrize("change", ["data = x'00'", "data = 'text'", "seqs = x'00'", "checksum = x'00'", "actor = 99",
                                    "actor = 2"])  # fmt: skip
def test_what_is_damaged_is_not_handed_out(store: Store, change: str) -> None:
    store.stage(order(1))
    store.stage(order(2, BOB))
    store.write_staged(ALL)
    with sqlite3.connect(store.path) as db:
        db.execute(f"UPDATE staged SET {change} WHERE number = 1")
    db.close()
    assert store.staged(1) is None and store.staged(2) is not None


def test_a_file_of_the_first_version_is_used(store: Store) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute("DROP TABLE staged")
    db.close()
    again = reopened(store)
    again.stage(order(1))
    again.write_staged(ALL)
    assert again.staged(1) == order(1).data
    again.close()
