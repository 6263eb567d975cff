"""When reads wait for each other, and when no more."""

from __future__ import annotations

from daemon.api.crowd import PROBED, Crowd
from daemon.api.server import MEASURED


def turns(crowd: Crowd, reads: int, most: int = 100) -> int:
    """Turns of so many reads that were counted until it was believed that there is no crowd."""
    for number in range(most):
        if not crowd.here:
            return number
        crowd.count(reads)
    return most


def test_one_client_is_no_crowd_and_many_are() -> None:
    crowd = Crowd()
    assert not crowd.here
    crowd.passed(PROBED)
    assert turns(crowd, 1) < 8
    crowd.passed(2 * PROBED)
    assert turns(crowd, 5) == 100


def test_a_crowd_that_leaves_is_noticed() -> None:
    crowd = Crowd()
    crowd.passed(PROBED)
    turns(crowd, 50)
    assert turns(crowd, 1) < 20


def test_one_quiet_turn_is_not_the_end_of_a_crowd() -> None:
    crowd = Crowd()
    crowd.passed(PROBED)
    turns(crowd, 8)
    crowd.count(1)
    assert crowd.here


def test_those_who_are_alone_are_counted_now_and_then() -> None:
    crowd = Crowd()
    for reads in range(1, PROBED):
        crowd.passed(reads)
    assert not crowd.here
    crowd.passed(PROBED)
    assert crowd.here
    assert not PROBED % MEASURED  # only reads that are measured are told
