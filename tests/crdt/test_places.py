"""Places: bytes that order like the list, found by many at once without talking to each other."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crdt import places
from tests.strategies import steady

SEEDS = [places.seed_bytes(n) for n in (7, 2**63 + 1, 3)]
EDGES = [0, 63, 64, 65, 8255, 8256, 8257, 1 << 20, (1 << 20) + 8256, 134217728, 1 << 34, 1 << 40, (1 << 48) - 1]


class Writer:
    """One replica's list of places, in order, and its operations; without an index, so that nothing hides in it."""

    def __init__(self, seed: bytes, seq: int = 0) -> None:
        self.seed, self.seq = seed, seq
        self.held: list[bytes] = []

    def insert(self, index: int, count: int = 1, leftwards: bool = False) -> list[bytes]:
        left = self.held[index - 1] if index else None
        right = self.held[index] if index < len(self.held) else None
        new = places.between(left, right, self.seed, self.seq + 1, count, leftwards)
        self.seq += count
        assert len(set(new)) == count and not set(new) & set(self.held)
        ordered = sorted(new)
        assert ordered == (new[::-1] if leftwards else new)
        assert (left is None or left < ordered[0]) and (right is None or ordered[-1] < right)
        self.held[index:index] = ordered
        return new

    def hear(self, new: list[bytes]) -> None:
        self.held = sorted({*self.held, *new})


@steady
@given(st.lists(st.integers(-(1 << 48) + 1, (1 << 48) - 1), min_size=2))
@example([sign * edge + near for edge in EDGES[:-1] for near in (-1, 0, 1) for sign in (1, -1)])
@example([EDGES[-1], -EDGES[-1], 0])
def test_numbers_order_like_their_bytes(numbers: list[int]) -> None:
    ordered = sorted(set(numbers))
    spelled = [places.number(n) for n in ordered]
    assert spelled == sorted(spelled)
    assert not any(b.startswith(a) for a, b in pairwise(spelled))
    for bunch in (b"", places.number(5) + SEEDS[0] + places.number(1)):
        assert [places._read(bunch + word, len(bunch)) for word in spelled] == [
            (n, len(bunch + word)) for n, word in zip(ordered, spelled, strict=True)
        ]


@pytest.mark.parametrize("edge", EDGES)
def test_numbers_that_lead_and_end_in_a_byte(edge: int) -> None:
    for n in (edge - 300, edge - 3, edge - 1, edge, edge + 1, edge + 100):
        if abs(n) < places.NUMBER_LIMIT:
            lead, base, room = places.leading(b"x", n)
            assert base <= n < base + room <= base + 256
            for m in {n, (n + base + room) // 2, base + room - 1}:
                assert lead + bytes((m - base,)) == b"x" + places.number(m)


def test_runs_of_numbers_are_what_single_ones_are() -> None:
    for numbers in (range(-9000, 9000, 3), range(9000, -9000, -3), range(0, 0, 3), range(5, -5, -1)):
        assert places._numbers(b"x", numbers) == [b"x" + places.number(n) for n in numbers]


@steady
@given(st.binary(max_size=40))
def test_what_is_no_place_is_refused(data: bytes) -> None:
    """A place is spelled in one way: what is accepted is what `between` would have written."""
    if places.is_place(data):
        at, out = 0, b""
        while at < len(data):
            rank, at = places._read(data, at)
            seed, at = data[at : at + 8], at + 8
            first, at = places._read(data, at)
            code, at = places._read(data, at)
            out += places.number(rank) + seed + places.number(first) + places.number(code)
        assert out == data


def test_some_that_are_none() -> None:
    good = places.between(None, None, SEEDS[0], 1)[0]
    assert places.is_place(good)
    within = places.parse(b"pre" + good + b"post", 3)
    assert (within.end, within.seed, within.first, within.offset, within.depth) == (3 + len(good), SEEDS[0], 1, 0, 1)
    rank, seed, one = places.number(0), SEEDS[0], places.number(1)
    for bad in (
        b"", good[:-1], good + b"\x80", b"\x00" + good[1:], b"\xff" + good[1:],
        rank + seed + places.number(0) + places.number(0),  # no operation has the number 0
        rank + seed + places.number(1 << 43) + places.number(0),
        rank + seed + one + places.number(1),  # leads on, but ends
        rank + seed + one + places.number(3 << 43),
        places.number((1 << 46) + 1) + seed + one + places.number(0),
    ):  # fmt: skip
        assert not places.is_place(bad), bad


@steady
@given(st.data())
def test_new_places_lie_between(data: st.DataObject) -> None:
    """Three writers who hear of each other now and then, removals included; `insert` checks what it is promised."""
    writers = [Writer(seed) for seed in SEEDS]
    for _ in range(data.draw(st.integers(1, 25))):
        writer = data.draw(st.sampled_from(writers))
        index = data.draw(st.integers(0, len(writer.held)))
        writer.insert(index, data.draw(st.integers(1, 3)), data.draw(st.booleans()))
        if data.draw(st.booleans()):
            writer.hear(data.draw(st.sampled_from(writers)).held)
        elif data.draw(st.booleans()):
            del writer.held[index : index + 2]
    for writer in writers:
        assert all(map(places.is_place, writer.held))
    everything = [place for writer in writers for place in set(writer.held)]
    for a, b in combinations(set(everything), 2):
        assert not a.startswith(b) and not b.startswith(a)  # so places can stand inside longer bytes


def joined(common: list[bytes], runs: list[list[bytes]]) -> list[int]:
    """Who wrote what, in the order of the places: -1 what was there before."""
    owner = {place: who for who, run in enumerate(runs) for place in run} | dict.fromkeys(common, -1)
    return [owner[place] for place in sorted(owner)]


def turns(order: list[int]) -> int:
    """How many stretches of one writer there are."""
    return sum(1 for i, who in enumerate(order) if who >= 0 and (i == 0 or order[i - 1] != who))


def type_around(writer: Writer, index: int, size: int, rng: Random) -> list[bytes]:
    """A run of insertions, each at, before or inside what this writer has just put there."""
    out: list[bytes] = []
    while len(out) < size:
        count = rng.randint(1, 4)
        out += writer.insert(index + rng.choice((0, len(out), rng.randint(0, len(out)))), count, rng.random() < 0.3)
    return out


@pytest.mark.parametrize("where", ["start", "middle", "end", "alone"])
def test_concurrent_runs_do_not_interleave(where: str) -> None:
    """Invariant I9: what each of several writers types at one place, forwards, backwards and within, stays whole."""
    for seed in range(150):
        rng = Random(seed)
        author = Writer(rng.choice(SEEDS))
        if where != "alone":
            for _ in range(rng.randint(2, 8)):
                author.insert(rng.randint(0, len(author.held)), rng.randint(1, 3))
        size = len(author.held)
        index = {"start": 0, "end": size, "alone": 0}.get(where, rng.randint(1, max(1, size - 1)))
        writers = [Writer(name, author.seq if name == author.seed else 0) for name in SEEDS]
        for writer in writers:
            writer.held = list(author.held)
        runs = [type_around(writer, index, rng.randint(1, 12), rng) for writer in writers]
        assert turns(joined(author.held, runs)) == len(writers), seed


def test_places_by_fractions_would_interleave() -> None:
    """The control: the well-known scheme of numbers between numbers mixes two runs typed at one place."""
    runs: list[list[float]] = []
    for writer in range(2):
        left, run = 0.0, []
        for _ in range(5):
            left = (left + 1.0 + writer / 1000) / 2
            run.append(left)
        runs.append(run)
    order = [who for _, who in sorted((at, who) for who, run in enumerate(runs) for at in run)]
    assert turns(order) > 2


def test_what_continues_another_stands_behind_it() -> None:
    """Fugue's forward rule with short paths: who goes on where somebody ended is not parted from that by a third."""
    for seed in range(150):
        rng = Random(seed)
        first, second, third = (Writer(name) for name in rng.sample(SEEDS, 3))
        frame = first.insert(0, 2)
        second.hear(frame)
        third.hear(frame)
        pair = first.insert(1, 3)
        second.hear(pair)
        pair += second.insert(4, 3)
        apart = third.insert(1, 4)
        assert turns(joined(frame, [pair, apart])) == 2


def test_a_queue_of_two_producers_keeps_short_places() -> None:
    writers = [Writer(seed) for seed in SEEDS[:2]]
    held: list[bytes] = []
    for turn in range(20_000):
        writer = writers[turn % 2]
        writer.held = held
        writer.insert(len(held))
        if len(held) > 10:
            del held[0]
    assert len({place[: places.parse(place).head] for place in held}) == 10
    assert max(map(len, held)) <= 16
    assert {places.parse(place).depth for place in held} == {1}


def test_two_who_take_turns_in_the_middle() -> None:
    """Paths stop growing at DEPTH: without that rule the last of 2,000 turns would have a path of 2,000 steps."""
    writers = [Writer(seed) for seed in SEEDS[:2]]
    held: list[bytes] = []
    writers[0].held = held
    writers[0].insert(0, 10)
    for turn in range(2000):
        writer = writers[turn % 2]
        writer.held = held
        writer.insert(5 + turn)
    assert max(places.parse(place).depth for place in held) == places.DEPTH
    backwards = held[: 5 + 1000]
    writers[0].held = writers[1].held = held = backwards + held[5 + 1000 :]
    for turn in range(2000):
        writer = writers[turn % 2]
        writer.held = held
        writer.insert(5)
    assert max(places.parse(place).depth for place in held) <= 2 * places.DEPTH
    assert max(map(len, held)) < 100


def test_one_who_goes_on_after_a_pause_stays_in_the_own_bunch() -> None:
    """No memory is needed for that: the next operation's number is the next offset."""
    writer = Writer(SEEDS[0])
    first = writer.insert(0, 3)
    writer.seq += 5000
    writer.held.remove(first[-1])
    later = writer.insert(2, 2)
    before = writer.insert(0)
    heads = {place[: places.parse(place).head] for place in [*first, *later, *before]}
    assert len(heads) == 1


def test_what_is_remembered_is_bounded_and_changes_nothing() -> None:
    """Ten lists that grow in turns at both ends."""
    lists: list[list[bytes]] = [[] for _ in range(10)]
    for seq in range(1, 3_000):
        own, seed, leftwards = lists[seq % 10], SEEDS[seq % 2], seq % 3 == 0
        left, right = (None, own[0]) if own and leftwards else (own[-1], None) if own else (None, None)
        new = places.between(left, right, seed, seq, 2, leftwards)
        remembered = dict(places._known)
        assert len(remembered) <= places.KNOWN_BUNCHES
        places._known.clear()
        assert places.between(left, right, seed, seq, 2, leftwards) == new
        places._known.clear()
        places._known.update(remembered)
        own[:] = sorted([*own, *new])


def test_a_rank_at_the_limit_is_no_way_out() -> None:
    """A peer may claim the outermost rank; what is pushed then still lies outside."""
    for side, rank in ((1, places.RANK_LIMIT), (-1, -places.RANK_LIMIT)):
        edge = places.number(rank) + SEEDS[0] + places.number(1) + places.number(0)
        new = places.between(edge if side > 0 else None, None if side > 0 else edge, SEEDS[1], 9)[0]
        assert places.is_place(new) and (new > edge) == (side > 0)


@steady
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4), st.booleans(), st.booleans()), min_size=1, max_size=14)
)
def test_going_on_as_another_actor_keeps_the_order(steps: list[tuple[int, int, bool, bool]]) -> None:
    """What was named after late operations gets names of the new actor; what goes on from there finds its place."""
    old, other, new = Writer(SEEDS[0]), Writer(SEEDS[1]), places.seed_bytes(9)
    for i, (index, count, leftwards, alone) in enumerate(steps):
        if i == len(steps) // 2:
            cut = old.seq
        old.insert(index % (len(old.held) + 1), count, leftwards)
        if not alone:
            other.held = list(old.held)
            old.hear(other.insert(index % (len(old.held) + 1)))
    names = [places.renamed(place, SEEDS[0], new, cut) for place in old.held]
    assert names == sorted(set(names)) and all(map(places.is_place, names))
    for before, after in zip(old.held, names, strict=True):
        place = places.parse(before)
        late = place.seed == SEEDS[0] and place.first + abs(place.offset) > cut
        assert (places.parse(after).seed == new) == late
    heir = Writer(new, old.seq - cut)
    heir.held = names
    for index, count, leftwards, _ in steps:
        heir.insert(index % (len(heir.held) + 1), count, leftwards)


@steady
@given(data=st.data())
def test_runs_say_the_same_in_short(data: st.DataObject) -> None:
    writers = [Writer(seed, data.draw(st.sampled_from([0, 60, 8000]))) for seed in SEEDS[:2]]
    fields: list[bytes] = []
    for _ in range(data.draw(st.integers(1, 6))):
        writer = data.draw(st.sampled_from(writers))
        new = writer.insert(
            data.draw(st.integers(0, len(writer.held))), data.draw(st.integers(1, 300)), data.draw(st.booleans())
        )
        fields += [b"prefix" + place for place in new]
    if data.draw(st.booleans()):
        fields += [b"", b"\x80", b"\x83", b"\x86", b"\x80"]
    column = places.runs(fields)
    assert places.spelled(column, len(fields)) == fields
    for most in (0, len(fields) - 2):
        if any(type(item) is list for item in column):
            with pytest.raises(ValueError):
                places.spelled([*column, *column], most)


def test_a_run_is_short() -> None:
    writer = Writer(SEEDS[0], 100)
    for leftwards in (False, True):
        assert len(places.runs(writer.insert(0, 10_000, leftwards))) == 1


@pytest.mark.parametrize(
    "item",
    [
        [b"x", 0, 1 << 60], [b"x", 1 << 60, 2], [b"x", 0, -(1 << 60)], [b"x", 0, 1], [b"x", 0, 0], [b"x", 0],
        ["x", 0, 2], [b"x", 0.0, 2], [b"x", 0, True], 7, None, "abc", {b"x": 0}, [[], 0, 2],
    ],
)  # fmt: skip
def test_runs_that_are_none(item: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        places.spelled([item], 100)
