"""A snapshot as it comes in: only what is lacking, nothing twice, whatever is lost and whoever goes on."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from unittest import mock

import msgpack
import pytest

from crdt.codec import decode_rows, encode_live, encode_rows, pack
from crdt.dots import Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Group
from crdt.frozen import Frozen
from crdt.joining import Joining
from crdt.replica import fetching
from crdt.replica.events import Tick
from crdt.replica.fetching import Fetch
from crdt.replica.messages import RESERVED, Delta, Hello, Message, More, Piece, Pull, Repair, Rows, Want
from crdt.replica.snapshot import list_parts
from crdt.replica.tuning import Tuning
from crdt.types import keyspace, numberwire, sets, strings
from tests.crdt.replica.desk import Desk, exchange
from tests.crdt.replica.hostile import MADE_UP, counted_on
from tests.simulation.mistakes import rows_unchecked

SMALL = Tuning(interval=0.0, max_message=700)
ME = Actor("a", 1)


def giver(count: int = 60, name: str = "a", nonce: int = 1) -> Desk:
    a = Desk(name, nonce, SMALL)
    sets.add(a.state, b"s", [b"%040d" % i for i in range(count)])
    a.commit()
    a.prune()
    a.take()
    return a


def asker(a: Desk) -> Desk:
    """One that has just asked for everything."""
    b = Desk("b", 2, SMALL)
    b.replica.recovery.suspect(a.replica.name, b.now, sure=True)
    b.replica.peers.get(a.replica.name, b.now)
    b.wait(0.2)
    return b


def talk(a: Desk, b: Desk, lose: Callable[[Message], bool] = lambda message: False, steps: int = 200) -> list[Message]:
    """Messages of the two to each other, in order, without the lost ones, until nothing is said; what a said."""
    said: list[Message] = []
    for _ in range(steps):
        to_a, to_b = b.take(), a.take()
        said += to_b
        a.receive(b.replica.name, *(message for message in to_a if not lose(message)))
        b.receive(a.replica.name, *(message for message in to_b if not lose(message)))
        for desk in (a, b):
            desk.wait(0.0)
        if not (a.sent or b.sent):
            break
    return said


def rows_in(messages: list[Message]) -> list[tuple[int, int]]:
    return [(first, last) for m in messages if isinstance(m, Rows) for _, first, last, _ in m.items]


def late(message: Message) -> bool:
    """Rows behind the first twenty, or the end."""
    return isinstance(message, Rows) and (message.final or rows_in([message])[0][0] > 20)


def same(a: Desk, b: Desk) -> bool:
    return a.state.hash == b.state.hash and a.state.vector_hash == b.state.vector_hash


def test_list_then_rows_then_done() -> None:
    a = giver()
    b = asker(a)
    said = talk(a, b)
    kinds = [type(message) for message in said]
    assert kinds[0] is Piece and set(kinds[1:]) == {Rows} and same(a, b)
    spans = rows_in(said)
    assert spans[0][0] == 1 and spans[-1][1] == 60 and all(x[1] + 1 == y[0] for x, y in itertools.pairwise(spans))
    assert not a.state.frozen and not b.disk.image.staged, "nothing is left behind"


def test_only_what_is_lacking_travels() -> None:
    a = giver()
    b = asker(a)
    talk(a, b)
    sets.remove(a.state, b"s", [b"%040d" % i for i in range(30)])
    sets.add(a.state, b"s", [b"new"])
    a.commit()
    a.prune()
    a.take()
    b.replica.recovery.suspect("a", b.now, sure=True)
    b.wait(0.2)
    said = talk(a, b)
    assert rows_in(said) == [(91, 91)] and same(a, b) and sets.size(b.state, b"s") == 31


def test_a_lost_message_is_asked_for_again_and_nothing_else() -> None:
    a = giver()
    b = asker(a)
    lost: list[Message] = []

    def lose(message: Message) -> bool:
        if isinstance(message, Rows) and len(lost) < 1 and rows_in([message])[0][0] > 20:
            lost.append(message)
            return True
        return False

    said = talk(a, b, lose)
    assert same(a, b)
    spans = rows_in(said)
    assert sum(last - first + 1 for first, last in spans) == 60 + sum(y - x + 1 for x, y in rows_in(lost))


def test_lost_requests_and_lost_ends_are_noticed_by_silence() -> None:
    for kind in (Want, More, Piece):
        a = giver()
        b = asker(a)
        lost: list[Message] = []
        talk(
            a,
            b,
            lambda message, kind=kind, lost=lost: isinstance(message, kind) and not lost and not lost.append(message),
        )  # type: ignore[misc, func-returns-value]
        assert lost
        exchange(a, b, 3)
        assert same(a, b), kind


def test_what_came_before_a_crash_is_not_fetched_again() -> None:
    a = giver()
    b = asker(a)
    talk(a, b, late, steps=5)
    staged = b.disk.image.staged
    assert 0 < len(staged) and not same(a, b)
    again = Desk("b", 3, SMALL)
    again.disk = b.disk
    again.replica.log = b.disk
    for number, order in staged.items():
        assert again.replica.merging.staged.found(number, order.actor, order.seqs)
    have = {seq for item in again.replica.merging.staged.items.values() for seq in item.seqs}
    a.replica.serving.thaw()
    a.take()
    again.replica.recovery.suspect("a", again.now, sure=True)
    again.replica.peers.get("a", again.now)
    again.wait(0.2)
    said = talk(a, again)
    assert same(a, again)
    sent = {seq for first, last in rows_in(said) for seq in range(first, last + 1)}
    assert not sent & have and sent | have == set(range(1, 61))


def test_attempts_that_never_end_leave_no_more_on_disk_than_one() -> None:
    a = giver()
    b = asker(a)
    staged = b.replica.merging.staged
    for attempt in range(5):
        came: list[Message] = []

        def behind_the_first(message: Message, came: list[Message] = came) -> bool:
            came += [message] if isinstance(message, Rows) else []
            return len(came) > 1

        talk(a, b, behind_the_first, steps=5)
        assert len(staged) == 1, attempt
        a.replica.serving.thaw()
        keyspace.delete(a.state, b"s")
        sets.add(a.state, b"s", [b"%040d" % i for i in range(60)])
        a.commit()
        a.prune()
        a.take(), b.take()
        b.replica.recovery.clear()
        b.replica.recovery.suspect("a", b.now, sure=True)
        b.wait(0.2)
    talk(a, b)
    assert same(a, b) and not staged


def test_another_peer_goes_on_where_the_first_left_off() -> None:
    """c has seen a removal that a had not, and more besides: what a gave counts as far as c still lists it."""
    a = giver()
    c = Desk("c", 3, SMALL)
    helper = asker(a)
    talk(a, helper)
    b = Desk("b", 2, SMALL)
    b.replica.recovery.suspect("a", b.now, sure=True)
    b.replica.peers.get("a", b.now)
    b.wait(0.2)
    talk(a, b, late, steps=5)
    staged = {seq for item in b.replica.merging.staged.items.values() for seq in item.seqs}
    assert staged
    c.replica.recovery.suspect("a", c.now, sure=True)
    c.replica.peers.get("a", c.now)
    c.wait(0.2)
    a.replica.serving.thaw()
    b.take()
    a.take()
    c.wait(1.0)
    talk(a, c)
    assert same(a, c)
    sets.remove(c.state, b"s", [b"%040d" % 0])
    strings.put(c.state, b"k", b"v")
    c.commit()
    c.prune()
    c.take()
    b.replica.recovery.asking = None
    b.replica.peers.get("c", b.now)
    b.replica.recovery.suspect("c", b.now, sure=True)
    b.wait(0.2)
    said = talk(c, b)
    sent = {(actor, seq) for m in said if isinstance(m, Rows) for actor, x, y, _ in m.items for seq in range(x, y + 1)}
    assert same(b, c) and sets.size(b.state, b"s") == 59
    assert not {(ME, seq) for seq in staged} & sent


def test_rows_larger_than_a_message_come_in_pieces() -> None:
    a = giver(3)
    strings.put(a.state, b"large", bytes(range(256)) * 20)
    a.commit()
    a.prune()
    a.take()
    b = asker(a)
    lost: list[Message] = []

    def lose(message: Message) -> bool:
        if isinstance(message, Piece) and message.stream == 2 and message.index in (2, 5) and len(lost) < 2:
            lost.append(message)
            return True
        return False

    said = talk(a, b, lose)
    exchange(a, b, 3)
    assert same(a, b) and len(lost) == 2
    pieces = [m.index for m in said if isinstance(m, Piece) and m.stream == 2]
    assert len(pieces) == len(set(pieces)) + 2 or len(pieces) == len(set(pieces))


def test_what_dies_while_it_is_sent_is_in_the_snapshot_and_gone_after_it() -> None:
    a = giver()
    b = asker(a)
    talk(a, b, lambda message: isinstance(message, Rows), steps=5)
    keyspace.delete(a.state, b"s")
    strings.put(a.state, b"k", b"v")
    a.commit()
    for desk in (a, b):
        desk.wait(0.5)
    said = talk(a, b)
    assert rows_in(said)[-1][1] == 60
    exchange(a, b, 3)
    assert same(a, b) and not sets.members(b.state, b"s")


def test_a_pending_removal_is_cut_before_rows_are_given() -> None:
    a = giver()
    b = asker(a)
    talk(a, b, lambda message: isinstance(message, Rows), steps=5)
    b.wait(0.5)
    sets.remove(a.state, b"s", [b"%040d" % i for i in range(60)])
    talk(a, b)
    exchange(a, b, 3)
    assert same(a, b)


def test_rows_that_the_list_does_not_claim_are_refused() -> None:
    a = giver()
    b = asker(a)
    a.receive("b", *b.take(Pull))
    b.receive("a", *a.take(Piece))
    b.wait(0.0)
    (want,) = b.take(Want)
    assert isinstance(want, Want)
    good = giver(61)
    good.receive("b", Pull({}, 1))
    good.take()
    rows, _, _ = next(iter([f.slice(good.state.me, 1, 61, 100) for f in good.state.frozen]))
    from crdt.codec import encode_rows
    from crdt.columns import grouped

    data = encode_rows(grouped(rows, good.state.wires))
    b.receive("a", Rows(want.stream, want.number, [(ME, 1, 60, data)], True))
    assert b.replica.drops == {"malformed": 1} and b.replica.recovery.asking is None and not b.disk.image.staged


def test_a_list_in_two_minds_is_refused() -> None:
    a = giver()
    b = asker(a)
    b.take()
    for n in (5, 6):
        entry = msgpack.packb([["a", 1, n, n, 1]])
        b.receive("a", Piece(77, ME, 0, n - 5, 2, entry))
    b.wait(0.0)
    assert b.replica.drops == {"malformed": 1} and b.replica.recovery.asking is None


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    a = giver()
    b = asker(a)
    said = talk(a, b)
    before = (b.state.hash, b.replica.batch)
    b.receive("a", *said)
    b.receive("c", *said)
    assert (b.state.hash, b.replica.batch) == before and not b.disk.image.staged


def with_a_large_row() -> tuple[Desk, Desk, list[Message]]:
    """A giver of a row in pieces, an asker, and the answer to its request, which is under way."""
    a = Desk("a", 1, SMALL)
    strings.put(a.state, b"k", bytes(3000))
    a.commit()
    a.prune()
    a.take()
    b = asker(a)
    a.receive("b", *b.take())
    b.receive("a", *a.take())
    b.wait(0.0)
    a.receive("b", *b.take())
    a.wait(0.0)
    answer = a.take()
    assert [type(message) for message in answer[-2:]] == [Piece, Rows]
    return a, b, answer


def test_frames_in_pieces_after_a_snapshot_that_is_no_more_are_the_answer() -> None:
    a, b, _ = with_a_large_row()
    asking = b.replica.recovery.asking
    assert asking is not None and asking.fetch is not None
    b.receive("a", Piece(asking.fetch.stream, ME, 0, 0, 0, b""))
    b.wait(5)  # it asks anew
    *_, pull = b.take(Pull)
    assert isinstance(pull, Pull) and b.replica.recovery.asking is not None
    strings.put(a.state, b"k", bytes(2000))
    a.commit()
    b.receive("a", *[piece for piece in a.take() if isinstance(piece, Piece)])
    b.receive("a", Repair([], 1, True, 2, pull.number))
    asking = b.replica.recovery.asking
    assert asking is None or asking.fetch is None, "nothing of the snapshot is waited for any more"


def test_the_last_piece_of_a_row_may_come_behind_the_end_of_the_answer() -> None:
    a, b, (*pieces, last, end) = with_a_large_row()
    b.receive("a", *pieces, end, last)
    assert same(a, b)


def test_requests_repeated_while_the_answer_is_under_way_are_answered_once() -> None:
    a, b, (*pieces, end) = with_a_large_row()
    b.wait(1.0)
    again = [message for message in b.take() if isinstance(message, Want)]
    assert len(again) >= 1
    a.receive("b", *again)
    a.wait(0.0)
    assert a.take() == []
    b.receive("a", *pieces, end)
    assert same(a, b), "the answer to the first is as good"


def test_rows_that_come_late_over_a_slow_link_count_and_make_the_asker_patient() -> None:
    a = giver(200)
    b = asker(a)
    under_way: list[Message] = []
    for _ in range(20):  # everything but rows arrives at once
        a.receive("b", *b.take())
        a.wait(0.0)
        sent = a.take()
        under_way += [message for message in sent if isinstance(message, Rows)]
        b.receive("a", *(message for message in sent if not isinstance(message, Rows)))
        b.wait(0.0)
    first = {message.number for message in under_way if isinstance(message, Rows)}
    b.wait(0.5)
    again = {message.number for message in b.take() if isinstance(message, Want)}
    assert first and again and not first & again
    b.receive("a", *under_way)
    assert rows_in(under_way) and (b.disk.image.staged or same(a, b))
    assert b.replica.peers.get("a", b.now).timeout(0, 3.0) > 0.4


@pytest.mark.parametrize("seed", range(10))
def test_any_loss(seed: int) -> None:
    from random import Random

    rng = Random(seed)
    a = giver(200)
    sets.remove(a.state, b"s", [b"%040d" % i for i in range(0, 200, 3)])
    a.commit()
    a.prune()
    a.take()
    b = asker(a)
    for _ in range(60):
        talk(a, b, lambda message: rng.random() < 0.3, steps=20)
        if same(a, b):
            break
        for desk in (a, b):
            desk.wait(0.3)
    assert same(a, b)


# -- deliberate mistakes that have to be caught -----------------------------------------------------------------------


def died_meanwhile() -> bool:
    """Whether b, given a snapshot while rows of it died, holds what a held at that moment."""
    a = giver()
    b = asker(a)
    talk(a, b, lambda message: isinstance(message, Rows), steps=5)
    held = a.state.hash
    sets.remove(a.state, b"s", [b"%040d" % 59])
    a.commit()
    b.merges = False
    for desk in (a, b):
        desk.wait(0.5)
    talk(a, b, lambda message: isinstance(message, Delta))
    b.merge()
    assert b.state.vector() == {ME: 60}
    return b.state.hash == held


def test_forgetting_what_dies_is_caught() -> None:
    assert died_meanwhile()
    with rows_unchecked(), mock.patch.object(Frozen, "keep", lambda *_: None):
        assert not died_meanwhile()


def staged_and_removed() -> bool:
    """Whether b, which has staged a row that was removed since, ends as a."""
    a = giver()
    b = asker(a)
    talk(a, b, late, steps=5)
    assert b.replica.merging.staged.seqs(ME).starts == [1]
    sets.remove(a.state, b"s", [b"%040d" % 0])
    a.commit()
    a.prune()
    a.replica.serving.thaw()
    a.take()
    b.wait(0.5)
    talk(a, b)
    b.wait(b.replica.tuning.pull_timeout)
    talk(a, b)
    return same(a, b)


def test_believing_staged_rows_is_caught() -> None:
    def comes(group: Group, had: int, n: int, live: Runs) -> Group:
        return group.pick([i for i, seq in enumerate(group.seqs) if seq > had])

    assert staged_and_removed()
    with rows_unchecked(), mock.patch.object(Joining, "_comes", staticmethod(comes)):
        assert not staged_and_removed()


def read_slowly(seconds: float) -> tuple[Desk, Desk, int]:
    """A snapshot of which every part of the list takes so long to be read, and how many lists it took within 60 s."""
    a = Desk("a", 1, SMALL)
    sets.add(a.state, b"s", [b"%08d" % i for i in range(4_000)])
    a.commit()
    sets.remove(a.state, b"s", [b"%08d" % i for i in range(0, 4_000, 2)])
    a.commit()
    a.prune()
    a.take()
    b = asker(a)
    lists: set[int] = set()
    read = Fetch.read_part

    def slowly(fetch: Fetch) -> None:
        read(fetch)
        b.now += seconds

    with mock.patch.object(Fetch, "read_part", slowly):
        while b.now < 60 and not same(a, b):
            a.now = b.now
            for source, target in ((a, b), (b, a)):
                for message in source.take():
                    if isinstance(message, Piece) and message.total:
                        lists.add(message.stream)
                    target.receive(source.replica.name, message)
            for desk in (a, b):
                if desk.replica.deadline <= desk.now:
                    desk.run(desk.replica.handle(Tick(), desk.now))
            b.now += 0.01
    return a, b, len(lists)


def test_a_list_that_takes_long_to_be_read_is_not_given_up_by_either_side() -> None:
    a, b, lists = read_slowly(2.0)  # more than 6 s for all of it
    assert same(a, b) and lists == 1


def test_that_the_answerer_hears_of_the_reading_is_what_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fetch, "still_reading", lambda fetch: None)
    a, b, lists = read_slowly(2.0)
    assert not same(a, b) and lists > 1


def made_slowly(slices: int) -> tuple[Desk, Desk]:
    """After 30 s of an asker that writes all the time, of one that needs so many tenths of a second for the list."""
    a = giver()
    b = asker(a)
    a.take()

    def slowly(frozen: Frozen, room: int) -> Iterator[bytes | None]:
        yield from [None] * slices
        yield from list_parts(frozen, room)

    with mock.patch("crdt.replica.serving.list_parts", slowly):
        for i in range(300):
            sets.add(b.state, b"mine", [b"%d" % i])
            b.commit()
            for desk in (a, b):
                desk.now = i / 10
                desk.run(desk.replica.handle(Tick(), desk.now))
            for source, target in ((b, a), (a, b)):
                for message in source.take():
                    target.receive(source.replica.name, message, inbox=not isinstance(message, Delta | Hello))
    return a, b


def test_the_list_for_one_that_writes_all_the_time_is_not_begun_anew_with_each_question() -> None:
    a, b = made_slowly(100)
    assert sets.size(b.state, b"s") == 60
    assert a.replica.counts["snapshots"] == 2, "the second when its session was first heard of"


@pytest.mark.parametrize("what", ["gaps", "actors"])
def test_a_list_counts_with_what_it_takes_once_it_is_read(what: str) -> None:
    """Three bytes on the wire are a run of 84 in memory, forty are an actor of 600."""
    runs = [Runs(range(10_000 * part + 1, 10_000 * (part + 1), 2)) for part in range(10)]
    many = [[*Actor(f"actor{n}", n), 300, 300, 1] for n in range(2_000)]
    entries = [[[*ME, 100_000, *encode_live(run)]] for run in runs] if what == "gaps" else [many]
    parts = [pack(entry) for entry in entries]

    def read(limit: int) -> tuple[int, int]:
        b = Desk("b", 2, Tuning(interval=0.0, held_bytes=limit, frame_bytes=0))
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            fetch = Fetch(b.replica, "a", RESERVED, len(parts), 0.0)
            for index, data in enumerate(parts):
                fetch.on_part(Piece(RESERVED, ME, 0, index, len(parts), bytes(bytearray(data))))
            while fetch.reading:
                fetch.read_part()
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before, fetch._size
        finally:
            tracemalloc.stop()

    grew, counted = read(1 << 30)
    assert grew / 2 < counted < 2 * grew and counted > 5 * sum(map(len, parts))
    with pytest.raises(PeerError, match="list of a snapshot"):
        read(counted - 1)


def test_a_list_of_more_actors_than_can_be_numbered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MOST_ACTORS", 50)
    b = Desk("b", 2)
    fetch = Fetch(b.replica, "a", RESERVED, 1, 0.0)
    fetch.on_part(Piece(RESERVED, ME, 0, 0, 1, pack([[*Actor(f"x{n}", n), 1] for n in range(60)])))
    with pytest.raises(PeerError, match="actors"):
        fetch.read_part()


def made_up(message: Rows) -> Rows:
    """The same dots, and counts of somebody of whom nobody has ever heard."""
    items = []
    for actor, first, last, data in message.items:
        seqs = [seq for group in decode_rows(data) for seq in group.seqs]
        fields = [b"%d" % seq for seq in seqs]
        group = Group(2, b"h", fields, [counted_on(MADE_UP)] * len(seqs), seqs, [(len(seqs), 1 << 26)])
        items.append((actor, first, last, encode_rows([group])))
    return Rows(message.stream, message.number, items, message.final)


@pytest.mark.parametrize("looked", [True, False])
def test_rows_that_name_whom_their_snapshot_does_not_know_are_not_taken(
    looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not looked:
        monkeypatch.setattr(numberwire, "named", lambda payload: [])
    a = giver()
    b = asker(a)
    for _ in range(50):
        a.receive("b", *b.take())
        b.receive("a", *(made_up(m) if isinstance(m, Rows) else m for m in a.take()))
        a.wait(0.0)
        b.wait(0.0)
    assert (MADE_UP in b.state.indexes) != looked
    assert not looked or (b.replica.drops["malformed"] and not b.disk.image.staged and not b.state.applied(ME))
