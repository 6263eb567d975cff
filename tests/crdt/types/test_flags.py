"""Flags: the truth table, and enabling again."""

from __future__ import annotations

import pytest

from crdt.errors import WrongTypeError
from crdt.state import State
from crdt.types import flags, keyspace, strings
from tests.crdt.replicas import Replicas, table

K = b"k"
VERBS = {"ENABLE": flags.enable, "DISABLE": flags.disable}


def enabled(state: State) -> bool:
    return flags.enabled(state, K)


@pytest.mark.parametrize("row", table(flags), ids=lambda row: " | ".join(row[:2]))
@pytest.mark.parametrize("before", [True, False])
def test_the_truth_table(row: tuple[str, ...], before: bool) -> None:
    both = Replicas()
    if before:
        flags.enable(both[0], K)
        both.exchange()
    VERBS[row[0]](both[0], K)
    VERBS[row[1]](both[1], K)
    both.exchange()
    assert both.agree(enabled) is row[2].startswith("yes")


def test_answers() -> None:
    both = Replicas()
    assert flags.disable(both[0], K) is False
    assert flags.enable(both[0], K) is True
    assert flags.enable(both[0], K) is False
    both.exchange()
    assert flags.enable(both[1], K) is False
    assert flags.disable(both[1], K) is True
    assert keyspace.exists(both[1], K) is False


def test_enabled_by_all_is_disabled_by_one() -> None:
    three = Replicas(3)
    for state in three.states:
        flags.enable(state, K)
    three.exchange()
    assert three[0].live == 3
    flags.disable(three[0], K)
    three.exchange()
    assert three.agree(enabled) is False
    assert three[0].live == 0


def test_wrong_types() -> None:
    both = Replicas()
    strings.put(both[0], K, b"v")
    for call in (flags.enable, flags.disable, flags.enabled):
        with pytest.raises(WrongTypeError):
            call(both[0], K)
