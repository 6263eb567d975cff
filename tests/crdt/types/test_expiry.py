"""Lifetimes: the truth table, what ends one, and what is removed when."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgpack
import pytest

from crdt.dots import Actor
from crdt.entry import GONE
from crdt.errors import NoSuchKeyError
from crdt.expiries import NEVER
from crdt.state import State
from crdt.types import counters, expiry, hashes, keyspace, sets, strings
from crdt.types.expiry import ExpiryEntry
from tests.crdt.replicas import Replicas, table

K = b"k"
START = 1_000_000


def after(seconds: int) -> int:
    return START + 1000 * seconds


def run(state: State, words: str) -> None:
    """A command of the truth table."""
    verb, *rest = words.split()
    if verb == "EXPIRE":
        expiry.expire(state, K, after(int(rest[0])))
    elif verb == "SET":
        strings.put(state, K, rest[0].encode())
        if len(rest) > 1:
            expiry.expire(state, K, after(int(rest[2])))
    elif verb == "APPEND":
        expiry.put(state, K, (strings.get(state, K) or b"") + rest[0].encode())
    else:
        plain: dict[str, Callable[[State, bytes], object]] = {
            "PERSIST": expiry.persist,
            "DEL": keyspace.delete,
            "INCR": lambda state, key: counters.incr(state, key, 1),
        }
        plain[verb](state, K)


def lives(state: State) -> str:
    if not keyspace.exists(state, K):
        return "no key"
    ends = expiry.deadline(state, K)
    return "for ever" if ends is None else f"{(ends - START) // 1000} s"


@pytest.mark.parametrize("row", table(expiry), ids=lambda row: " | ".join(row[:2]))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_truth_table(row: tuple[str, ...], mirrored: bool) -> None:
    both = Replicas()
    strings.put(both[0], K, b"5")
    expiry.expire(both[0], K, after(100))
    both.exchange()
    assert both.agree(lives) == "100 s"
    run(both[0], row[mirrored])
    run(both[1], row[1 - mirrored])
    both.exchange()
    assert both.agree(lives) == row[2]


def mortal(key: bytes = K) -> Replicas:
    """Two replicas with a set that lives 10 s."""
    both = Replicas()
    sets.add(both[0], key, [b"x"])
    expiry.expire(both[0], key, after(10))
    both.exchange()
    return both


def test_nobody_sees_an_expired_key_and_nothing_else_changes() -> None:
    both = mortal()
    a = both[0]
    before = a.hash, a.live, a.vector()
    a.begin(after(10) - 1)
    assert keyspace.exists(a, K)
    assert list(a.take_lapsed()) == []
    a.begin(after(10))
    assert not keyspace.exists(a, K)
    assert keyspace.type_name(a, K) is None
    assert sets.members(a, K) == set()
    assert keyspace.count(a) == 0 and list(keyspace.keys(a)) == []
    assert not expiry.persist(a, K)
    with pytest.raises(NoSuchKeyError):
        expiry.expire(a, K, after(100))
    assert list(a.take_lapsed()) == [K]
    assert list(a.take_lapsed()) == []
    assert a.cut() is None
    assert (a.hash, a.live, a.vector()) == before


def test_a_clock_that_was_set_back_shows_the_key_again() -> None:
    a = mortal()[0]
    a.begin(after(3600))
    assert not keyspace.exists(a, K)
    a.begin(after(9))
    assert keyspace.exists(a, K)
    a.begin(after(11))
    assert not keyspace.exists(a, K)
    assert list(a.take_lapsed()) == [K]


def test_who_writes_to_an_expired_key_begins_anew() -> None:
    both = mortal()
    for state in both.states:
        state.begin(after(11))
    assert sets.add(both[0], K, [b"y"]) == 1
    both.exchange()
    assert both.agree(lambda state: sorted(sets.members(state, K))) == [b"y"]
    assert both.agree(lives) == "for ever"
    assert both[0].live == 1


@pytest.mark.parametrize("write", [
    lambda state: strings.put(state, K, b"v"),
    lambda state: expiry.put(state, K, b"v"),
    lambda state: counters.incr(state, K, 1),
    lambda state: hashes.put(state, K, [(b"f", b"v")]),
    lambda state: strings.put_over(state, K, b"v", strings.context(state, b"other")),
])  # fmt: skip
def test_any_write_to_an_expired_key_may_be_of_another_type(write: Callable[[State], object]) -> None:
    both = mortal()
    both[1].begin(after(11))
    write(both[1])
    both.exchange()
    assert both.agree(lives) == "for ever"
    assert both[0].live == 1


def test_a_deletion_finds_no_expired_key_and_removes_it_all_the_same() -> None:
    both = mortal()
    both[1].begin(after(11))
    assert not keyspace.delete(both[1], K)
    both.exchange()
    assert both[0].live == 0
    assert not both[0].lifetimes and not both[0].expired


def test_an_extension_brings_the_key_back_and_says_so() -> None:
    both = mortal()
    both[0].begin(after(11))
    expiry.expire(both[1], K, after(60))
    frame = both[1].cut()
    assert frame is not None
    assert both[0].apply(frame) == {(K, "expire"): None}
    assert keyspace.exists(both[0], K)


def test_what_expires_when_it_comes_is_announced() -> None:
    both = mortal()
    both[1].begin(after(-1))
    expiry.expire(both[1], K, after(5))
    frame = both[1].cut()
    both[0].begin(after(6))
    assert frame is not None
    assert both[0].apply(frame) == {(K, "expired"): None}
    assert not both[0].lapsed
    assert not keyspace.exists(both[0], K)


def test_what_comes_late_for_an_expired_key_stays_hidden() -> None:
    both = mortal()
    sets.add(both[1], K, [b"late"])
    hashes.put(both[1], b"other", [(b"f", b"v")])
    frame = both[1].cut()
    both[0].begin(after(11))
    assert frame is not None
    assert both[0].apply(frame) == {(b"other", "hset"): None}
    assert not keyspace.exists(both[0], K)


def test_the_last_element_takes_the_lifetime_along() -> None:
    both = mortal()
    sets.remove(both[0], K, [b"x"])
    assert not both[0].lifetimes
    sets.add(both[0], K, [b"y"])
    both.exchange()
    assert both.agree(lives) == "for ever"
    assert both[0].live == 1


def test_a_lifetime_without_a_key_is_removed_by_who_gave_it() -> None:
    both = mortal()
    keyspace.delete(both[0], K)
    expiry.expire(both[1], K, after(100))
    both.exchange()
    assert not both.agree(lambda state: bool(state.lifetimes))
    assert both[0].live == 0


def test_keys_made_as_a_whole_live_for_ever_or_as_the_source_did() -> None:
    both = mortal()
    keyspace.rename(both[0], K, b"renamed")
    keyspace.copy(both[0], b"renamed", b"copied")
    hashes.put(both[0], b"h", [(b"f", b"v")])
    keyspace.copy(both[0], b"h", b"copied")
    strings.put(both[0], b"s", b"v")
    keyspace.copy(both[0], b"s", b"renamed")
    both.exchange()
    assert both.agree(lambda state: expiry.deadline(state, b"copied")) is None
    assert both.agree(lambda state: expiry.deadline(state, b"renamed")) is None
    keyspace.copy(both[0], b"s", b"t")
    expiry.expire(both[0], b"s", after(20))
    keyspace.rename(both[0], b"s", b"t")
    both.exchange()
    assert both.agree(lambda state: expiry.deadline(state, b"t")) == after(20)


def test_a_target_ends_no_earlier_than_who_had_not_seen_it_thought() -> None:
    """The mark of a STORE form: a concurrent EXPIRE of what it replaced does not reach the new rows."""
    both = Replicas()
    sets.add(both[0], K, [b"x"])
    both.exchange()
    keyspace.delete(both[0], K)
    sets.add(both[0], K, [b"y"])
    expiry.renew(both[0], K)
    expiry.expire(both[1], K, after(1))
    both.exchange()
    assert both.agree(lives) == "for ever"


def test_the_figures_follow() -> None:
    both = mortal()
    strings.put(both[0], b"s", b"v")
    expiry.expire(both[0], b"s", after(30))
    hashes.put(both[0], b"h", [(b"f", b"v")])
    both.exchange()
    assert both.agree(lambda state: (state.mortal, state.deadline_sum)) == (2, after(10) + after(30))
    both[0].begin(after(11))
    assert (both[0].mortal, both[0].deadline_sum) == (1, after(30))
    strings.put(both[0], b"s", b"w")
    assert (both[0].mortal, both[0].deadline_sum) == (0, 0)


def test_lifetimes_that_are_set_again_and_again_leave_nothing_behind() -> None:
    state = State(Actor("a", 1))
    state.begin(START)
    strings.put(state, K, b"v")
    for i in range(10_000):
        expiry.expire(state, K, after(100 + i))
        if i % 100 == 0:
            state.cut()
    state.cut()
    assert state.live == 2
    assert len(state.schedule) < 100
    state.begin(after(100 + 9_998))
    assert keyspace.exists(state, K)
    state.begin(after(100 + 9_999))
    assert not keyspace.exists(state, K)


@pytest.mark.parametrize("row", [
    [0], [0, -1], [0, NEVER], [1, 5], [0, "5"], [0, 5, 0], [0, 5, -1], [0, 5, ["a", 1]], [0, 5, ["a", -1, 1]],
    [0, 5, [1, 1, 1]], [0, 5, ["a", 1, 1, 1]], [True, 5], {}, 7, [[], 5],
])  # fmt: skip
def test_malformed_rows_are_refused(row: object) -> None:
    assert not ExpiryEntry.check(None, msgpack.ExtType(1, msgpack.packb(row)))


def test_well_formed_rows() -> None:
    for row in ([0, None], [3, 5], [0, NEVER - 1, 7, ["a", 1, 9]]):
        assert ExpiryEntry.check(None, msgpack.ExtType(1, msgpack.packb(row)))
    fine = msgpack.ExtType(1, msgpack.packb([0, 5]))
    assert not ExpiryEntry.check(b"field", fine)
    assert not ExpiryEntry.check(None, msgpack.ExtType(2, fine.data))
    for payload in (None, b"x", msgpack.ExtType(1, b"\xc1"), msgpack.ExtType(1, b"")):
        assert not ExpiryEntry.check(None, payload)
    assert ExpiryEntry(K).row(None, 1) is GONE


def test_counting_on_a_hexadecimal_text_keeps_its_lifetime() -> None:
    state = State(Actor("a", 1))
    state.begin(1_000)
    strings.put(state, K, b"0x10")
    expiry.expire(state, K, 99_000)
    counters.incr_float(state, K, Decimal(1))
    assert (strings.get(state, K), expiry.deadline(state, K)) == (b"17", 99_000)
