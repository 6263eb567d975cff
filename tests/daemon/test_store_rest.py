"""What stood in the log behind a damaged frame: kept from the cut until the store holds it again."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon import store_rest
from daemon.store import Store, StoreCorrupt
from daemon.store_rest import Rest

ADA, BOB = Actor("ada", 1), Actor("bob", 1 << 63)


def frames(actor: Actor, first: int, last: int) -> list[LogFrame]:
    return [LogFrame(actor, seq, seq, b"%d" % seq * 20) for seq in range(first, last + 1)]


def damaged(store: Store, nth: int) -> Store:
    """One bit of the nth frame in the log is another, and the store is opened anew."""
    store.close()
    with sqlite3.connect(store.path) as db:
        lsn, data = db.execute("SELECT lsn, data FROM log ORDER BY lsn").fetchall()[nth - 1]
        db.execute("UPDATE log SET data = ? WHERE lsn = ?", (data[:-1] + bytes([data[-1] ^ 1]), lsn))
    db.close()
    return Store.open(store.path.parent, "s")


def test_what_stands_behind_a_damaged_frame_is_kept(store: Store) -> None:
    store.commit([*frames(BOB, 1, 3), *frames(ADA, 1, 50)])
    store = damaged(store, 2)
    assert store.rest() == []
    loaded = store.load()
    assert list(loaded.log) == frames(BOB, 1, 1) and loaded.damaged
    assert store.rest() == [*frames(ADA, 1, 2), *frames(BOB, 3, 3), *frames(ADA, 3, 50)], "each actor's in order"
    store.close()


def test_it_is_there_at_every_start_until_the_store_holds_it(store: Store) -> None:
    store.commit([*frames(BOB, 1, 2), *frames(ADA, 1, 5)])
    store = damaged(store, 2)
    list(store.load().log)
    for taken in range(1, 6):
        assert not store.forget_rest() and len(store.rest()) == 5
        store.close()
        store = Store.open(store.path.parent, "s")
        loaded = store.load()
        assert list(loaded.log) == [*frames(BOB, 1, 1), *frames(ADA, 1, taken - 1)] and not loaded.damaged
        store.commit(frames(ADA, taken, taken))
    assert store.forget_rest() and store.rest() == [] and store.forget_rest()
    store.close()


def test_a_checkpoint_that_covers_it_is_enough(store: Store) -> None:
    store.commit([*frames(BOB, 1, 2), *frames(ADA, 1, 5)])
    store = damaged(store, 2)
    list(store.load().log)
    store.begin_checkpoint({BOB: 1, ADA: 5})
    store.finish_checkpoint()
    assert store.forget_rest() and store.rest() == []
    store.close()


def test_a_second_damage_adds_to_it(store: Store) -> None:
    store.commit([*frames(BOB, 1, 2), *frames(ADA, 4, 5)])
    store = damaged(store, 2)
    list(store.load().log)
    store.commit(frames(ADA, 1, 3))
    store = damaged(store, 3)  # ADA 2
    list(store.load().log)
    assert [frame.first for frame in store.rest()] == [3, 4, 5]
    assert [frame.first for frame in store.salvage()] == [1, 1, 3, 4, 5], "and where the whole store is given up"
    store.close()


def test_what_is_damaged_of_it_is_left_out(store: Store) -> None:
    store.commit([*frames(BOB, 1, 2), *frames(ADA, 1, 5)])
    store = damaged(store, 2)
    list(store.load().log)
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE rest SET data = zeroblob(20) WHERE number = 2")
        db.execute("UPDATE rest SET actor = 99 WHERE number = 4")
        db.execute("UPDATE rest SET last = 'x' WHERE number = 5")
    db.close()
    store = Store.open(store.path.parent, "s")
    assert [frame.first for frame in store.rest()] == [1, 3]
    store.close()


def test_cut_and_kept_in_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between both would lose it."""
    store.commit([*frames(BOB, 1, 2), *frames(ADA, 1, 5)])
    store = damaged(store, 2)

    def crash(rest: Rest, db: sqlite3.Connection, kept: list[LogFrame]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_rest.Rest, "keep", crash)
        with pytest.raises(KeyboardInterrupt):
            list(store.load().log)
    store.close()
    store = Store.open(store.path.parent, "s")
    loaded = store.load()
    assert list(loaded.log) == frames(BOB, 1, 1) and loaded.damaged and store.rest() == frames(ADA, 1, 5)
    store.close()


def test_a_page_that_cannot_be_read_hides_only_itself(tmp_path: Path) -> None:
    """Both ways out of it: what follows is kept, or, where the cut fails as well, salvaged from the whole file."""
    store = Store.open(tmp_path, "s")
    written = [LogFrame(ADA, seq, seq, b"%6d" % seq * 30) for seq in range(1, 2001)]
    store.commit(written)
    store.close()
    data = bytearray(store.path.read_bytes())
    at = data.index(written[999].data) // 4096 * 4096
    data[at : at + 8] = random.Random(1).randbytes(8)
    store.path.write_bytes(data)
    store = Store.open(tmp_path, "s")
    try:
        list(store.load().log)
        found = store.rest()
    except StoreCorrupt:
        found = list(store.salvage())
    assert found[-1] == written[-1] and len(found) > 900 and set(found) <= set(written)
    store.close()
