"""Numbers: the truth table, and what a reset takes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from random import Random

import pytest

from crdt.dots import Actor
from crdt.errors import NotANumberError, OverflowedError
from crdt.state import State
from crdt.types import counters, hashes, keyspace, number, strings
from crdt.types.amounts import INT_MAX, INT_MIN
from tests.crdt.replicas import Replicas, table

K = b"k"


class Cell:
    """The verbs of the table, on a string key or on a hash field."""

    def __init__(self, field: bytes | None) -> None:
        self.field = field

    def do(self, state: State, words: str) -> None:
        verb, *args = words.split()
        if verb == "SET":
            self.put(state, args[0].encode())
        elif verb == "INCRBY":
            self.incr(state, int(args[0]))
        else:
            assert verb == "DEL"
            self.delete(state)

    def put(self, state: State, value: bytes) -> None:
        strings.put(state, K, value) if self.field is None else hashes.put(state, K, [(self.field, value)])

    def incr(self, state: State, by: int) -> int:
        return counters.incr(state, K, by) if self.field is None else hashes.incr(state, K, self.field, by)

    def incr_float(self, state: State, by: str) -> bytes:
        if self.field is None:
            return counters.incr_float(state, K, Decimal(by))
        return hashes.incr_float(state, K, self.field, Decimal(by))

    def delete(self, state: State) -> None:
        keyspace.delete(state, K) if self.field is None else hashes.remove(state, K, [self.field])

    def get(self, state: State) -> bytes | None:
        return strings.get(state, K) if self.field is None else hashes.get(state, K, self.field)

    def siblings(self, state: State) -> list[strings.Sibling] | None:
        return strings.siblings(state, K) if self.field is None else hashes.siblings(state, K, self.field)


@pytest.fixture(params=[None, b"f"], ids=["string", "field"])
def cell(request: pytest.FixtureRequest) -> Cell:
    return Cell(request.param)


@pytest.mark.parametrize("row", table(number), ids=lambda row: " | ".join(row[:2]))
@pytest.mark.parametrize("start", ["SET 5", "INCRBY 5"])
def test_the_truth_table(cell: Cell, row: tuple[str, str, str], start: str) -> None:
    both = Replicas()
    cell.do(both[0], start)
    both.exchange()
    cell.do(both[0], row[0])
    cell.do(both[1], row[1])
    both.exchange()
    shown = both.agree(cell.get)
    if row[0] == "SET 7" and row[1] == "SET 9":
        assert shown == b"9", "b's clock is the later"
        assert [s.value for s in both.agree(cell.siblings) or []] == [b"9", b"7"]
    else:
        assert (shown or b"(nil)").decode() == row[2].split()[0]


def test_own_sets_are_shown_to_the_byte(cell: Cell) -> None:
    """A text that looks like a number is not reformatted because somebody once counted here."""
    both = Replicas()
    cell.incr(both[0], 3)
    both.exchange()
    for text in (b"007", b"1.50", b"1e3", b"+5", b" x", b""):
        cell.put(both[1], text)
        both.exchange()
        assert both.agree(cell.get) == text
        assert [s.value for s in both.agree(cell.siblings) or []] == [text]
        assert (both.agree(cell.siblings) or [])[0].origin == both[1].actor


def test_a_reset_takes_exactly_what_it_saw(cell: Cell) -> None:
    three = Replicas(3)
    cell.incr(three[0], 1)
    cell.incr(three[1], 10)
    three.exchange()
    cell.incr(three[1], 20)
    cell.put(three[2], b"100")
    three.exchange()
    assert three.agree(cell.get) == b"120"
    cell.incr(three[0], 2)
    cell.incr(three[1], 30)
    three.exchange()
    assert three.agree(cell.get) == b"152"


def test_a_losing_set_eats_nothing(cell: Cell) -> None:
    """Of two concurrent SETs, one of which saw an increment, the winner alone says what was observed."""
    three = Replicas(3)
    cell.incr(three[0], 5)
    three.cut()
    (frame,) = three.frames
    three[1].apply(frame)
    cell.put(three[1], b"7")  # has seen the 5
    cell.put(three[2], b"9")  # has not, and is later
    three.frames = [frame]
    three.cut()
    for state in three.states:
        for one in three.frames:
            if one.actor != state.actor and one.last > state.applied(one.actor):
                state.apply(one)
    assert three.agree(cell.get) == b"14"


def test_a_deletion_and_a_lineage_that_goes_on(cell: Cell) -> None:
    both = Replicas()
    cell.incr(both[0], 5)
    both.exchange()
    cell.delete(both[1])
    cell.incr(both[0], 1)
    both.exchange()
    assert both.agree(cell.get) == b"1"
    cell.incr(both[0], 1)
    both.exchange()
    assert both.agree(cell.get) == b"2"
    cell.delete(both[0])
    both.exchange()
    assert both.agree(cell.get) is None
    cell.incr(both[0], 4)
    both.exchange()
    assert both.agree(cell.get) == b"4"


def test_baselines_go_when_their_owner_sees_them(cell: Cell) -> None:
    both = Replicas()
    for _ in range(5):
        cell.incr(both[0], 5)
        both.exchange()
        cell.delete(both[1])
        both.exchange()
    assert both[0].live == both[1].live == 0
    assert both[0].hidden == both[1].hidden == {}


def test_a_new_life_counts_on_a_lineage_of_its_own(cell: Cell) -> None:
    both = Replicas()
    cell.incr(both[0], 5)
    both.exchange()
    both[0].become(Actor("a", 99))
    cell.incr(both[0], 1)
    both.exchange()
    assert both.agree(cell.get) == b"6"
    cell.delete(both[0])
    both.exchange()
    assert both.agree(cell.get) is None


def test_increments_between_cuts_are_one_row(cell: Cell) -> None:
    both = Replicas()
    for _ in range(100):
        cell.incr(both[0], 1)
    both.exchange()
    assert both[1].live == 1
    assert both[1].applied(both[0].actor) == 1


def test_overflow(cell: Cell) -> None:
    both = Replicas()
    cell.incr(both[0], INT_MAX)
    with pytest.raises(OverflowedError):
        cell.incr(both[0], 1)
    cell.incr(both[1], INT_MAX)
    both.exchange()
    assert both.agree(cell.get) == b"%d" % (2 * INT_MAX)
    for state in both.states:
        seq = state.seq
        with pytest.raises(OverflowedError):
            cell.incr(state, 1)
        assert state.seq == seq
    cell.put(both[0], b"%d" % INT_MIN)
    with pytest.raises(OverflowedError):
        cell.incr(both[0], -1)


def test_what_is_no_number_is_not_counted(cell: Cell) -> None:
    state = State(Actor("a", 1))
    cell.put(state, b"x")
    with pytest.raises(NotANumberError):
        cell.incr(state, 1)
    with pytest.raises(NotANumberError):
        cell.incr_float(state, "1")
    assert cell.get(state) == b"x"


def test_counting_beside_a_text(cell: Cell) -> None:
    """A SET of a text concurrent with increments: the text is shown, what was counted stands beside it."""
    both = Replicas()
    cell.incr(both[0], 5)
    cell.put(both[1], b"text")
    both.exchange()
    assert both.agree(cell.get) == b"text"
    assert [s.value for s in both.agree(cell.siblings) or []] == [b"text", b"5"]
    cell.put(both[0], b"8")
    both.exchange()
    assert both.agree(cell.get) == b"8"
    assert [s.value for s in both.agree(cell.siblings) or []] == [b"8"]


# -- floats -----------------------------------------------------------------------------------------------------------


def test_float_sums_do_not_depend_on_arrival(cell: Cell) -> None:
    rng = Random(1)
    steps = [str(rng.uniform(-1, 1) * 10 ** rng.randrange(-12, 12)) for _ in range(6)]
    three = Replicas(3)
    frames = []
    for i, state in enumerate(three.states):
        cell.incr_float(state, steps[i])
        cell.incr_float(state, steps[i + 3])
        one = state.cut()
        assert one is not None
        frames.append(one)
    seen = set()
    for order in permutations(frames):
        state = State(Actor("reader", 1))
        for one in order:
            state.apply(one)
        seen.add((cell.get(state), state.hash))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("start", "by", "shown"),
    [
        (b"10.5", "0.1", b"10.6"),
        (b"5.0e3", "2.0e2", b"5200"),
        (b"0", "-0", b"0"),
        (b"3", "-3.0", b"0"),
        (b"1", "1e-17", b"1.00000000000000001"),
    ],
)
def test_float_increments(cell: Cell, start: bytes, by: str, shown: bytes) -> None:
    both = Replicas()
    cell.put(both[0], start)
    both.exchange()
    assert cell.incr_float(both[1], by) == shown
    both.exchange()
    assert both.agree(cell.get) == shown


def test_huge_floats(cell: Cell) -> None:
    both = Replicas()
    assert len(cell.incr_float(both[0], "1e4900")) == 4901
    both.exchange()
    assert len(both.agree(cell.get) or b"") == 4901
    for by in ("1e5000", "Infinity", "1e999999999"):
        with pytest.raises(NotANumberError):
            cell.incr_float(both[0], by)


@pytest.mark.parametrize("merged", [False, True])
def test_integers_and_floats_mix(cell: Cell, merged: bool) -> None:
    both = Replicas()
    cell.incr(both[0], 3)
    if merged:
        both.exchange()
    cell.incr_float(both[0], "0.5")
    with pytest.raises(NotANumberError):
        cell.incr(both[0], 1)
    cell.incr_float(both[0], "0.5")
    assert cell.incr(both[0], 1) == 5
    both.exchange()
    assert both.agree(cell.get) == b"5"


# -- many operations, by their meaning alone --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_increments_that_nobody_reset(cell: Cell, seed: int) -> None:
    """Without SET and DEL, the value is the sum, whoever merges when."""
    rng = Random(seed)
    three = Replicas(3)
    total = 0
    ways: list[Callable[[], None]] = [three.exchange, three.cut, lambda: None]
    for _ in range(60):
        by = rng.randrange(-50, 100)
        cell.incr(rng.choice(three.states), by)
        total += by
        if rng.random() < 0.2:
            rng.choice(ways)()
    three.exchange()
    assert three.agree(cell.get) == b"%d" % total
    assert three[0].live == 3
