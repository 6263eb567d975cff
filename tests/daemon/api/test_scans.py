"""Walks: complete whatever happens, bounded in memory, forgetful without loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from crdt import shards
from crdt.shards import PARTS, Large, Shards, listed, roomy
from daemon.api import scans
from daemon.api.scans import Scans
from tests.compiled import as_python

NAMES = dict.fromkeys([b"%d" % i for i in range(100)], 1)
NOTHING: dict[bytes, int] = {}


def finish(held: Scans, cursor: int, names: Large[int], count: int = 7) -> list[bytes]:
    """The rest of a walk."""
    found: list[bytes] = []
    while True:
        cursor, page = held.page(cursor, b"k", names, count)
        found += page
        if not cursor:
            return found


def divided(count: int) -> Shards[int]:
    """A large collection, as it is when all has moved to its parts."""
    made = Shards(dict.fromkeys([b"%d" % i for i in range(count)], 1))
    made.divide()
    return made


def test_a_walk_returns_what_stood_there_when_it_began() -> None:
    held = Scans()
    cursor, page = held.page(0, b"k", NAMES, 30)
    assert page + finish(held, cursor, {b"other": 1}) == list(NAMES)
    assert len(held) == 0


@pytest.mark.parametrize("count", [100, 101, 10**18])
def test_a_short_walk_is_not_remembered(count: int) -> None:
    held = Scans()
    assert held.page(0, b"k", NAMES, count) == (0, list(NAMES))
    assert len(held) == 0


@pytest.mark.parametrize("count", [1, 3, 10, 999, 1000, 10**18])
def test_a_walk_through_parts(count: int) -> None:
    """Pages are full but for the last; a part that is empty is none."""
    held, live = Scans(), divided(1000)
    found: list[bytes] = []
    cursor, pages = 0, 0
    while True:
        cursor, page = held.page(cursor, b"k", live, count)
        found += page
        pages += 1
        assert len(page) == count or not cursor
        if not cursor:
            break
    assert sorted(found) == sorted(live) and pages == -(-1000 // count)
    assert len(held) == 0 == held._held
    assert Scans().page(0, b"k", divided(0), 10) == (0, [])


@as_python
def test_a_page_of_a_large_collection_lists_parts_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    names = Shards.names

    def counted(self: Shards[int], part: int) -> list[bytes]:
        found = names(self, part)
        lengths.append(len(found))
        return found

    monkeypatch.setattr(Shards, "names", counted)
    held, live = Scans(), divided(50_000)
    cursor, _ = held.page(0, b"k", live, 10)
    assert len(lengths) == 1
    finish(held, cursor, live, 1000)
    assert len(lengths) == PARTS and max(lengths) < 500


# -- whatever happens


def history(seed: int) -> Counter[bytes]:
    """One walk over a collection in all of its forms; how often it returned what was there all the time."""
    rng = Random(seed)
    stay = [b"stay%d" % i for i in range(rng.randrange(1, 60))]
    come = [b"new%d" % i for i in range(400)]
    live: Large[int] = dict.fromkeys([*stay, *come[: rng.randrange(100)]], 1)
    held, cursor, found, everything = Scans(), 0, Counter[bytes](), {*stay, *come}
    live = forms(live, rng)
    for _ in range(10_000):
        cursor, page = held.page(cursor, b"k", live, rng.choice([1, 2, 5, 20]))
        assert everything.issuperset(page)
        found.update(page)
        if not cursor:
            break
        held.page(0, rng.choice([b"k", b"other", None]), live, rng.choice([1, 5]))
        for _ in range(rng.randrange(6)):
            name = rng.choice(come)
            if rng.random() < 0.7:
                live[name] = 1
                live = roomy(live)
            elif name in live:
                del live[name]
        if rng.random() < 0.2:
            live = forms(live, rng)
    assert not cursor
    return Counter({name: found[name] for name in stay})


def forms(live: Large[int], rng: Random) -> Large[int]:
    """The same elements in another order and form: of a joined snapshot, a set stored anew, one that has grown."""
    names = list(live)
    rng.shuffle(names)
    form = rng.randrange(4)
    if form == 0:
        return dict.fromkeys(names, 1)
    made = Shards(dict.fromkeys(names, 1))
    if form == 1:
        made.divide()
    elif form == 2:
        made._move(len(names) // 2)
    return made


SEEDS = range(150)


def test_what_is_there_all_the_time_is_returned_once_whatever_the_collection_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "LIMIT", 50)
    monkeypatch.setattr(shards, "_FOR_LISTS", 3)
    for seed in SEEDS:
        assert set(history(seed).values()) == {1}, seed


def parts_alone(held: Large[int], part: int) -> tuple[list[bytes], int]:
    """Forgets what has not moved yet, and what moves meanwhile to a part that was listed before."""
    return (held.names(part), part + 1) if isinstance(held, Shards) else listed(held, part)


def nothing_more(held: Large[int], part: int) -> tuple[list[bytes], int]:
    """Forgets that another collection has taken the place of a divided one."""
    names, following = listed(held, part)
    return ([], PARTS) if part and following == PARTS and not isinstance(held, Shards) else (names, following)


def everything_again(held: Large[int], part: int) -> tuple[list[bytes], int]:
    """Forgets what was returned before that."""
    names, following = listed(held, part)
    return (list(held), PARTS) if part and following == PARTS and not isinstance(held, Shards) else (names, following)


@pytest.mark.parametrize("wrong", [parts_alone, nothing_more, everything_again])
def test_a_walk_that_forgets_is_found_out(
    wrong: Callable[[Large[int], int], tuple[list[bytes], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(shards, "LIMIT", 50)
    monkeypatch.setattr(shards, "_FOR_LISTS", 3)
    monkeypatch.setattr(scans, "listed", wrong)
    counts = {count for seed in SEEDS for count in history(seed).values()}
    assert (2 if wrong is everything_again else 0) in counts


def test_who_repeats_a_cursor_misses_nothing() -> None:
    """Clients that have lost a reply ask again; what a page has gone on from is not kept, so its part begins anew."""
    held, live = Scans(), divided(1000)
    cursors, found = [0], []
    while cursor := (reply := held.page(cursors[-1], b"k", live, 9))[0]:
        cursors.append(cursor)
        found.append(reply[1])
    for start in (3, 50, len(cursors) - 1):
        before = {name for page in found[:start] for name in page}
        assert before.union(finish(held, cursors[start], live)) == set(live)
    one = Scans()
    cursor, _ = one.page(0, b"k", NAMES, 30)
    assert one.page(cursor, b"k", NOTHING, 30)[1] == one.page(cursor, b"k", NOTHING, 30)[1] == list(NAMES)[30:60]
    in_parts = Scans()
    cursor, _ = in_parts.page(0, b"k", live, 1)
    ahead = in_parts.page(cursor, b"k", live, 500)[0]
    again, page = in_parts.page(cursor, b"k", live, 500)
    assert again >> 32 != ahead >> 32 and set(page) >= set(live.names(cursor >> 24 & 255))
    assert len(set(page).union(finish(in_parts, again, live))) >= 999
    assert len(finish(in_parts, ahead, live)) == 499, "the one that is ahead goes on"


def test_an_unknown_cursor_begins_anew() -> None:
    held = Scans()
    cursor, _ = held.page(0, b"k", NAMES, 30)
    for key, number in ((b"other", cursor), (None, cursor), (b"k", 5), (b"k", 1 << 60), (b"k", cursor + (1 << 24))):
        assert held.page(number, key, NAMES, 100) == (0, list(NAMES))
    assert finish(held, cursor, NOTHING) == list(NAMES)[30:]


def test_cursors_are_whole_numbers_in_a_double() -> None:
    held, live = Scans(), divided(1000)
    for _ in range(10):
        cursor, _ = held.page(0, b"k", NAMES, 99)
        assert 0 < cursor < 1 << 53
        assert 0 < held.page(0, b"k", live, 998)[0] < 1 << 53


def test_the_walk_that_rested_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "WALKS", 3)
    held = Scans()
    cursors = [held.page(0, b"k", NAMES, 10)[0] for _ in range(3)]
    cursors[0] = held.page(cursors[0], b"k", NOTHING, 10)[0]
    held.page(0, b"k", NAMES, 10)
    assert len(held) == 3
    assert finish(held, cursors[0], NOTHING) == list(NAMES)[20:]
    assert finish(held, cursors[1], NAMES) == list(NAMES)  # it repeats what was returned, and misses nothing


def test_names_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "ELEMENTS", 250)
    held = Scans()
    cursors = [held.page(0, b"k", NAMES, 10)[0] for _ in range(10)]
    assert len(held) == 2
    assert finish(held, cursors[9], NOTHING) == list(NAMES)[10:]
    held.page(0, b"k", dict.fromkeys([b"%d" % i for i in range(1000)], 1), 10)
    assert len(held) == 1
    many = Scans()
    live = divided(1000)
    for _ in range(500):
        many.page(0, b"k", live, 1)
    assert 250 - max(live.lengths()) < many._held <= 250 == scans.ELEMENTS


def test_names_held_are_counted_from_part_to_part() -> None:
    held, live = Scans(), divided(3000)
    cursors = [held.page(0, b"k", live, 5)[0] for _ in range(5)]
    for turn in range(100):
        cursors = [held.page(cursor, b"k", live, 5 + turn % 3)[0] for cursor in cursors]
        assert held._held == sum(len(walk.names) for walk in held._walks.values()) and len(held) == 5
    for cursor in cursors:
        finish(held, cursor, live)
    assert held._held == 0 == len(held)
