"""Draws from a dict: every key in turn, whatever comes and goes, without walking it each time."""

from __future__ import annotations

from collections import Counter
from random import Random

from crdt.sampler import Sampler


class Counted(dict[bytes, int]):
    """A dict that counts the walks over it."""

    walks = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.walks += 1
        return super().__iter__()


def test_every_key_has_an_equal_chance() -> None:
    live = {b"%d" % i: i for i in range(50)}
    sampler, rng = Sampler(), Random(1)
    drawn = Counter(sampler.draw(live, rng) for _ in range(20_000))
    assert len(drawn) == 50
    assert 300 < min(drawn.values()) and max(drawn.values()) < 500


def test_what_has_gone_is_not_drawn() -> None:
    live = {b"%d" % i: i for i in range(1000)}
    sampler, rng = Sampler(), Random(2)
    drawn = []
    while live:
        drawn.append(sampler.draw(live, rng))
        del live[drawn[-1]]
    assert len(set(drawn)) == 1000


def test_walks_are_rare() -> None:
    live = Counted({b"%d" % i: i for i in range(8000)})
    sampler, rng = Sampler(), Random(3)
    for _ in range(4000):
        del live[sampler.draw(live, rng)]
    assert live.walks < 8


def test_what_is_added_is_drawn_after_an_eighth_of_the_length() -> None:
    live = {b"%d" % i: i for i in range(800)}
    sampler, rng = Sampler(), Random(4)
    sampler.draw(live, rng)
    live = {b"new": 0} | live
    for name in list(live)[1:]:
        if len(live) > 2:
            del live[name]
    assert {sampler.draw(live, rng) for _ in range(200)} == set(live)
