"""Draws from a container: every key in turn, whatever comes, goes and moves, without listing all of it each time.

A part is chosen by the hash of a key, which is another in every process; so the names here are picked by it, and what
is drawn depends on the seed alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random

import pytest

from crdt import shards
from crdt.sampler import Sampler
from crdt.shards import PARTS, Large, Shards, roomy

Draw = Callable[[Large[int], Random], bytes]


class Counted(dict[bytes, int]):
    """A dict that counts the walks over it."""

    walks = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.walks += 1
        return super().__iter__()


class Dial:
    """Dice that show what they were set to, once."""

    def __init__(self, value: float) -> None:
        self.values = [value]

    def random(self) -> float:
        return self.values.pop()


def homed(lengths: Iterable[int], word: bytes = b"") -> list[bytes]:
    """So many names for each of the parts, in turn."""
    wanted = list(lengths)
    found: list[list[bytes]] = [[] for _ in wanted]
    missing = sum(wanted)
    number = 0
    while missing:
        name = b"%s%d" % (word, number)
        number += 1
        part = hash(name) & PARTS - 1
        if len(found[part]) < wanted[part]:
            found[part].append(name)
            missing -= 1
    return [names[turn] for turn in range(max(wanted)) for names in found if turn < len(names)]


def divided(lengths: Iterable[int]) -> Shards[int]:
    """A divided container with so many elements in each part."""
    made: Shards[int] = Shards({})
    made.setdefaults(names := homed(lengths), [1] * len(names))
    return made


UNEVEN = [1 + 3 * (part % 4) for part in range(PARTS)]


def unfairness(counts: Mapping[bytes, int], keys: Collection[bytes]) -> float:
    """How far the counts of these keys are from equal chances, in standard deviations of what chance makes of them."""
    mean = sum([counts[key] for key in keys]) / len(keys)
    assert mean > 20
    deviation = sum([(counts[key] - mean) ** 2 / mean for key in keys])
    return abs(deviation - len(keys)) / (2 * len(keys)) ** 0.5


def drawn(draw: Draw, live: Large[int], draws: int) -> Counter[bytes]:
    """What that many draws came to."""
    rng = Random(1)
    return Counter(draw(live, rng) for _ in range(draws))


def test_every_key_has_an_equal_chance() -> None:
    live = {b"%d" % i: i for i in range(50)}
    counts = drawn(Sampler().draw, live, 20_000)
    assert len(counts) == 50 and unfairness(counts, live) < 3


def test_every_key_of_a_container_in_parts_has_an_equal_chance_however_long_its_part_is() -> None:
    live = divided(UNEVEN)
    names = [live.names(part) for part in range(PARTS)]
    counts = drawn(Sampler().draw, live, 50 * len(live))
    assert len(counts) == len(live) == 1408 and unfairness(counts, live) < 3
    assert unfairness(drawn(lambda _, rng: rng.choice(rng.choice(names)), live, 50 * len(live)), live) > 30


def test_each_key_has_one_place_in_the_grid() -> None:
    """Exactly: over all that the dice can show, each key is drawn once, from lists just taken and from older ones."""
    live = divided(UNEVEN)
    sampler, height = Sampler(), max(UNEVEN)
    for _ in range(3):
        counts: Counter[bytes] = Counter()
        beside = 0
        for place in range(PARTS * height):
            try:
                counts[sampler.draw(live, Dial((place + 0.5) / (PARTS * height)))] += 1  # type: ignore[arg-type]
            except IndexError:  # it wants to throw again
                beside += 1
        assert counts == Counter(dict(live.items())) and beside == PARTS * height - len(live)


def grown(draw: Draw) -> dict[str, Counter[bytes]]:
    """What is drawn while a container grows, and others than STAY come and go, by what it is at the moment."""
    rng, live, there = Random(5), dict.fromkeys(STAY, 1), []
    counts: dict[str, Counter[bytes]] = {"dict": Counter(), "mixed": Counter(), "divided": Counter()}
    large: Large[int] = live
    for step, name in enumerate(homed([8] * PARTS, b"new")):
        there.append(name)
        large[name] = 1
        large = roomy(large)
        if not step % 3:
            del large[there.pop(int(rng.random() * len(there)))]
        stage = "dict" if isinstance(large, dict) else "divided" if large.divided else "mixed"
        for _ in range(30 if stage == "divided" else 150):
            counts[stage][draw(large, rng)] += 1
    return counts


STAY = homed([1] * PARTS)


def test_what_stays_has_an_equal_chance_while_others_come_and_go_and_elements_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control keeps to the first dictionary, so that what has moved to the parts has to wait."""
    monkeypatch.setattr(shards, "LIMIT", 300)
    monkeypatch.setattr(shards, "_FOR_LISTS", 0)
    fair = grown(Sampler().draw)
    for stage in ("dict", "mixed", "divided"):
        assert unfairness(fair[stage], STAY) < 3, stage

    sampler = Sampler()

    def clinging(live: Large[int], rng: Random) -> bytes:
        key = sampler.draw(live, rng)
        while isinstance(live, Shards) and not live.divided and key not in live._first:
            key = sampler.draw(live, rng)
        return key

    unfair = grown(clinging)
    assert unfairness(unfair["dict"], STAY) < 3 and unfairness(unfair["mixed"], STAY) > 30


def test_what_has_gone_is_not_drawn() -> None:
    for live in ({b"%d" % i: i for i in range(1000)}, divided([4] * PARTS)):
        sampler, rng = Sampler(), Random(2)
        taken, size = [], len(live)
        while live:
            taken.append(sampler.draw(live, rng))
            del live[taken[-1]]
        assert len(set(taken)) == size


def test_walks_are_rare() -> None:
    live = Counted({b"%d" % i: i for i in range(8000)})
    sampler, rng = Sampler(), Random(3)
    for _ in range(4000):
        del live[sampler.draw(live, rng)]
    assert live.walks < 8


def test_no_draw_lists_more_than_a_few_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where everything that was listed has gone and other things stand there."""
    live, rng, sampler = divided([40] * PARTS), Random(6), Sampler()
    listed: list[int] = []
    names = Shards.names
    monkeypatch.setattr(Shards, "names", lambda self, part: listed.append(part) or names(self, part))  # type: ignore[func-returns-value]
    most = 0
    for turn in range(3):
        for _ in range(3000):
            before = len(listed)
            sampler.draw(live, rng)
            most = max(most, len(listed) - before)
        if turn == 1:
            for name in list(live):
                del live[name]
            for name in homed([40] * PARTS, b"others"):
                live[name] = 1
    assert most <= 4 and set(listed) == set(range(PARTS)) and len(listed) < 3 * (PARTS + 8 * 3000 / 40 + PARTS)


def test_what_is_added_is_drawn_after_an_eighth_of_the_length() -> None:
    live = {b"%d" % i: i for i in range(800)}
    sampler, rng = Sampler(), Random(4)
    sampler.draw(live, rng)
    live = {b"new": 0} | live
    for name in list(live)[1:]:
        if len(live) > 2:
            del live[name]
    assert {sampler.draw(live, rng) for _ in range(200)} == set(live)


def test_what_is_added_to_parts_is_drawn_as_well() -> None:
    live, sampler, rng = divided([8] * PARTS), Sampler(), Random(7)
    for _ in range(3 * len(live)):
        sampler.draw(live, rng)
    new = set(homed([1] * PARTS, b"new"))
    for name in new:
        live[name] = 1
    assert new <= {sampler.draw(live, rng) for _ in range(20 * len(live))}


def test_one_of_many_that_have_gone_is_found() -> None:
    """The grid becomes as low as what is left."""
    live, sampler, rng = divided([30] * PARTS), Sampler(), Random(8)
    for _ in range(3000):
        sampler.draw(live, rng)
    last = next(iter(live))
    for name in list(live):
        if name != last:
            del live[name]
    assert {sampler.draw(live, rng) for _ in range(20)} == {last}


@pytest.mark.parametrize("count", [1, 7, 43, 44, 45, 600, 1407])
def test_samples_of_different_keys(count: int) -> None:
    for live in (dict.fromkeys(homed(UNEVEN), 1), divided(UNEVEN)):
        found = Sampler().draw_many(live, count, Random(count))
        assert len(set(found)) == len(found) == count and set(found) <= set(live)


def test_samples_at_the_edges() -> None:
    for live in (dict.fromkeys(homed(UNEVEN), 1), divided(UNEVEN)):
        size, sampler = len(live), Sampler()
        assert sampler.draw_many(live, 0, Random(1)) == []
        for count in (size, size + 1, 1 << 62):
            assert sorted(sampler.draw_many(live, count, Random(1))) == sorted(live)
        for count in (-1, -10, -5000):
            found = sampler.draw_many(live, count, Random(1))
            assert len(found) == -count and set(found) <= set(live)
        assert len(set(sampler.draw_many(live, -5000, Random(1)))) > size // 2
    assert Sampler().draw_many({}, 5, Random(1)) == Sampler().draw_many({}, -5, Random(1)) == []


def test_samples_of_different_keys_are_of_equal_chance() -> None:
    live, sampler, rng = divided(UNEVEN), Sampler(), Random(9)
    counts = Counter(key for _ in range(1500) for key in sampler.draw_many(live, 44, rng))
    rest = 1 - 44 / len(live)  # what is drawn is not drawn again: less chance
    deviation = sum([(counts[key] - 1500 * (1 - rest)) ** 2 / (1500 * (1 - rest)) for key in live]) / rest
    assert abs(deviation - len(live)) < 3 * (2 * len(live)) ** 0.5
