"""Things in pieces, and whole again."""

from __future__ import annotations

from random import Random

from crdt.dots import Actor
from crdt.replica.messages import FRAME, LETTER, Piece
from crdt.replica.pieces import OVERHEAD, Pieces, cut_up

A = Actor("a", 1)


def test_any_order_any_number() -> None:
    data = bytes(range(256)) * 9
    pieces = cut_up(data, 100, FRAME, A, 7)
    rng, table = Random(1), Pieces(10_000)
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
    assert table.bytes <= 10 * OVERHEAD and len(table) <= 10
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
