"""Several brokers at once, in virtual time: nothing is lost, nothing counts twice, nothing goes round in circles.

A replica forwards nothing unasked, also between two brokers that it sits on: those behind the other learn from its
HELLO that it has more, and pull.
"""

from __future__ import annotations

from random import Random

import pytest

from crdt.types import counters, sets, strings
from tests.simulation.fleet import EPOCH_MS, Fleet, Member

CHAIN = (frozenset((0,)), frozenset((0, 1)), frozenset((1,)))


def fleet(seed: int = 1, brokers: tuple[frozenset[int], ...] = CHAIN) -> Fleet:
    """All connected to all their brokers, and acquainted."""
    made = Fleet(len(brokers), seed, brokers=lambda i: brokers[i])
    for broker in sorted(made.epochs):
        made.connect_all(broker, within=0.1)
    made.run(10.0)
    return made


def increment(space: Fleet, member: Member) -> None:
    """One count."""
    member.replica.state.begin(EPOCH_MS + int(space.now * 1000))
    counters.incr(member.replica.state, b"n", 1)
    space.commit(member)


@pytest.mark.parametrize("seed", range(10))
def test_through_one_in_the_middle(seed: int) -> None:
    space = fleet(seed)
    space.write(1, 1, 0.0)
    space.run(0.1)
    assert space.until_equal(3.0) < 3.0


@pytest.mark.parametrize("seed", range(5))
def test_through_two_in_the_middle(seed: int) -> None:
    space = fleet(seed, (frozenset((0,)), frozenset((0, 1)), frozenset((1, 2)), frozenset((2,))))
    space.write(1, 5, 0.0)
    space.run(0.1)
    assert space.until_equal(6.0) < 6.0


def test_one_that_does_not_bridge_keeps_them_waiting_for_a_heartbeat() -> None:
    """The negative control: it is the HELLO soon after that makes it quick."""
    slow = Fleet(3, 1, brokers=lambda i: CHAIN[i])
    slow.members[1].replica.tuning = slow.members[0].replica.tuning
    slow.connect_all(0, within=0.1)
    slow.connect_all(1, within=0.1)
    slow.run(60.0)
    times = []
    for _ in range(5):
        increment(slow, slow.members[0])
        slow.run(0.1)
        times.append(slow.until_equal(10.0))
        slow.run(20.0)
    assert max(times) > 3.0


def test_somebody_who_never_stops_writing_gets_the_others_writes_all_the_same() -> None:
    space = fleet()
    a, _, c = space.members
    increment(space, a)
    for _ in range(600):
        increment(space, c)
        space.run(0.05)
        if c.replica.state.applied(a.replica.state.actor):
            break
    assert c.replica.state.applied(a.replica.state.actor) == 1


@pytest.mark.parametrize("seed", range(10))
def test_brokers_that_come_and_go(seed: int) -> None:
    rng = Random(seed)
    both = frozenset((0, 1))
    space = fleet(seed, rng.choice([CHAIN, (both, both, both), (both, both, frozenset((1,))), (*CHAIN, both)]))
    counted, added = 0, set[bytes]()
    with space.lossy():
        for step in range(120):
            member = rng.choice(space.members)
            if rng.random() < 0.7:
                increment(space, member)
                counted += 1
            else:
                member.replica.state.begin(EPOCH_MS + int(space.now * 1000))
                sets.add(member.replica.state, b"s", [b"%d" % step])
                added.add(b"%d" % step)
                space.commit(member)
            if rng.random() < 0.1:
                broker = rng.randrange(2)
                space.stop_broker(broker)
                space.at(space.now + rng.uniform(0.1, 3.0), space.connect_all, broker, 0.5)
            space.run(rng.uniform(0, 0.5))
    for broker in (0, 1):
        space.connect_all(broker, within=0.5)
    space.until_equal(15.0)
    for member in space.members:
        assert strings.get(member.replica.state, b"n") == b"%d" % counted
        assert set(sets.members(member.replica.state, b"s")) == added
        assert member.replica.counts["divergences"] == 0 and not member.replica.drops
    before = space.events
    space.run(60.0)
    assert space.events - before < 60 * 4 * len(space.members) ** 2, "idle, they go on talking"
