"""Things in pieces, and whole again."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.replica.messages import FRAME, LETTER, Piece
from crdt.replica.pieces import EACH, OVERHEAD, Pieces, cut_up

A, B = Actor("a", 1), Actor("b", 2)


def test_any_order_any_number() -> None:
    data = bytes(range(256)) * 9
    pieces = cut_up(data, 100, FRAME, A, 7)
    rng, table = Random(1), Pieces(20_000)
    mixed = pieces * 2
    rng.shuffle(mixed)
    whole = [out for piece in mixed if (out := table.add("x", piece, 0.0)) is not None]
    assert whole[0] == data


def test_senders_and_streams_are_apart() -> None:
    table, (one, two) = Pieces(10_000), cut_up(b"abcd", 2, FRAME, A, 7)
    assert table.add("x", one, 0.0) is None and table.add("y", two, 0.0) is None
    assert table.add("x", Piece(LETTER, A, 7, 1, 2, b"zz"), 0.0) is None
    assert [(actor, seq, sorted(a.parts)) for actor, seq, a in table.partial("x", FRAME)] == [(A, 7, [0])]
    assert table.add("x", two, 0.0) == b"abcd"


def test_bounded_bytes_even_of_empty_pieces() -> None:
    table = Pieces(10 * OVERHEAD)
    for i in range(1000):
        table.add("x", Piece(FRAME, A, i, 0, 2, b""), 0.0)
    each = OVERHEAD + EACH
    assert table.bytes <= 10 * OVERHEAD + each and len(table) <= 10
    table.expire(1.0)
    assert table.bytes == 0 and len(table) == 0


def test_absurd_counts_are_refused() -> None:
    table = Pieces(10_000)
    assert table.add("x", Piece(FRAME, A, 1, 0, 1 << 60, b"x"), 0.0) is None
    assert table.add("x", Piece(FRAME, A, 1, 0, 0, b"x"), 0.0) is None and len(table) == 0


def test_bits_name_what_came() -> None:
    table, pieces = Pieces(10_000), cut_up(b"abcdefghij", 1, FRAME, A, 7)
    table.add("x", pieces[0], 0.0)
    table.add("x", pieces[9], 0.0)
    ((_, _, assembly),) = table.partial("x", FRAME)
    assert assembly.bits() == b"\x01\x02" and assembly.next_missing() == 1


def test_what_still_grows_is_not_given_up_however_long_it_takes() -> None:
    table, pieces = Pieces(10_000), cut_up(b"abcdefghij", 1, FRAME, A, 7)
    for i, piece in enumerate(pieces[:-1]):
        assert table.add("x", piece, 20.0 * i) is None
        table.expire(20.0 * i - 30.0)
    assert table.add("x", pieces[-1], 200.0) == b"abcdefghij"
    table.add("x", pieces[0], 0.0)
    for i in range(10):
        table.add("x", pieces[0], 20.0 * i)  # what is not new keeps nothing alive
    table.expire(100.0)
    assert not len(table)


def test_what_stands_still_makes_room_for_what_grows() -> None:
    table, pieces = Pieces(5_000), cut_up(bytes(3_000), 500, FRAME, A, 7)
    for i in range(100):  # of what never comes
        table.add("y", Piece(FRAME, A, 1000 + i, 0, 2, bytes(200)), 0.0)
    assert len(table) > 5
    whole = [table.add("x", piece, 1.0) for piece in pieces]
    assert whole[-1] == bytes(3_000) and table.bytes <= 5_000 + 600


def test_one_alone_may_be_larger_than_all_together() -> None:
    table, data = Pieces(1_000, 20_000), bytes(8_000)
    whole = [table.add("x", piece, 1.0) for piece in cut_up(data, 500, FRAME, A, 7)]
    assert whole[-1] == data and table.bytes == 0
    with pytest.raises(PeerError, match="larger"):
        for piece in cut_up(bytes(30_000), 500, FRAME, A, 8):
            table.add("x", piece, 1.0)
    assert table.bytes == 0 and not len(table)


def test_pieces_of_a_few_bytes_count_with_what_they_take() -> None:
    table = Pieces(20_000)
    for i in range(10):
        for piece in cut_up(bytes(200), 2, FRAME, A, i)[:-1]:
            table.add("x", piece, 0.0)
    counted = sorted(len(a.parts) for _, _, a in table.partial("x", FRAME))[:-1]
    assert sum(counted) < 20_000 // EACH


@pytest.mark.parametrize("every", [1, 3, 30])
def test_one_that_is_larger_than_all_together_arrives_whatever_others_send_meanwhile(every: int) -> None:
    table, data = Pieces(64_000, 256_000), bytes(100_000)
    for i, piece in enumerate(cut_up(data, 1_000, FRAME, A, 7)):
        whole = table.add("x", piece, 1.0)
        if i % every == 0:
            for other in cut_up(bytes(1_500), 1_000, FRAME, B, i):
                table.add("y", other, 1.0)
            table.add("z", Piece(FRAME, B, i, 0, 2, bytes(3_000)), 1.0)  # of what never comes
    assert whole == data


def test_all_but_the_largest_are_bounded_whatever_comes() -> None:
    rng, table = Random(1), Pieces(5_000, 20_000)
    most = 0
    for i in range(5_000):
        name, total = rng.randrange(12), rng.choice([3, 30])
        try:
            table.add("x", Piece(FRAME, A, name, rng.randrange(total + 1), total, bytes(rng.randrange(2_000))), i)
        except PeerError:
            pass
        sizes = sorted(a.size for _, _, a in table.partial("x", FRAME))
        assert table.bytes == sum(sizes) and sum(sizes[:-1]) <= 5_000 and sizes[-1:] <= [20_000]
        most = max(most, table.bytes)
    assert most > 15_000, "the test has come near"


def test_who_stands_still_does_not_keep_the_place_of_the_largest() -> None:
    table, data = Pieces(1_000, 20_000), bytes(8_000)
    for piece in cut_up(bytes(19_000), 1_000, FRAME, B, 1)[:15]:
        table.add("y", piece, 1.0)
    assert [table.add("x", piece, 2.0) for piece in cut_up(data, 500, FRAME, A, 7)][-1] == data


def test_a_piece_beyond_the_total_keeps_nothing_in_its_place() -> None:
    table = Pieces(10_000)
    for seq in (1, 2):
        table.add("x", Piece(FRAME, A, seq, 0, 2, b"x"), 0.0)
    table.add("x", Piece(FRAME, A, 1, 2, 2, b"x"), 0.0)
    assert [seq for _, seq, _ in table.partial("x", FRAME)] == [1, 2]


def test_what_the_asked_one_still_owes_is_kept() -> None:
    table = Pieces(10_000)
    pieces = cut_up(b"x" * 900, 100, FRAME, Actor("h", 1), 5)
    for sender in ("asked", "other"):
        for piece in pieces[:-1]:
            assert table.add(sender, piece, 1.0) is None
    table.expire(50.0, "asked")
    assert len(table) == 1
    assert table.add("asked", pieces[-1], 51.0) == b"x" * 900


def test_of_two_from_one_sender_that_come_by_turns_one_is_done() -> None:
    table = Pieces(2_000, 60_000)
    first, second = cut_up(bytes(20_000), 500, FRAME, A, 3), cut_up(bytes(30_000), 500, FRAME, A, 6)
    done: list[int] = []
    for two in zip(second, first, strict=False):
        for piece in two:
            try:
                done += [piece.seq] if table.add("x", piece, 1.0) is not None else []
            except PeerError as error:
                assert error.reason == "held_full"
    assert done == [3], "what is needed first"


def test_what_gets_no_further_makes_room_when_all_of_another_has_come() -> None:
    table = Pieces(2_000, 60_000)
    first, second = cut_up(bytes(20_000), 500, FRAME, A, 3), cut_up(bytes(30_000), 500, FRAME, A, 6)
    for piece in first[:-5]:
        table.add("x", piece, 1.0)
    whole: list[bytes | None] = []
    for _ in range(3):
        for piece in second:
            with suppress(PeerError):
                whole.append(table.add("x", piece, 1.0))
    assert bytes(30_000) in whole
