"""Messages as bytes: every kind round trip, nothing unchecked."""

from __future__ import annotations

from random import Random

import msgpack
import pytest

from crdt import heads
from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.frame import Frame
from crdt.replica.messages import (
    ALL,
    HEAD,
    MAX_LIST,
    WIRE,
    Ack,
    Compare,
    Delta,
    Differ,
    Hello,
    Message,
    More,
    Piece,
    Presence,
    Probe,
    Pull,
    Repair,
    Taken,
    decode,
    encode,
    envelope,
)  # fmt: skip

A, B = Actor("a", 1), Actor("bé", (1 << 64) - 1)
EXAMPLES: list[Message] = [
    Delta([b"xx", b"\0\0"]),
    Hello(A, 1, 2, (1 << 64) - 1, 4, (1 << 128) - 1, 6, 7, 8, ("a", "b")),
    Hello(A, 1, 2, 3, 4, 5, 6, 7),
    Ack(B, 3, 4),
    Presence(1, False),
    Pull({A: 1, B: 2}, 3, [(A, 4, 5)], [(B, 6, 7, b"\x01")]),
    Pull({}, 0),
    Repair([b"xx"], 1, True, 9),
    Piece(0, B, 1, 2, 3, b"data"),
    More(5, 6, [7, 8]),
    Probe(1),
    Taken(1, 2, True),
    Compare(1, 3, [(A, 1, 5, 6), (B, 7, ALL, (1 << 64) - 1)]),
    Differ(1, 2, [0, 1], {A: 1}, [b"", b"row"]),
    Differ(1, 2, [0]),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_there_and_back(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_damaged_bytes_are_never_believed(message: Message) -> None:
    good = encode(message)
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerError) as caught:
            decode(bytes(data))
        assert caught.value.reason == ("version" if bit < 8 else "checksum")
    for length in range(len(good)):
        with pytest.raises(PeerError):
            decode(good[:length])


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_wrong_body_ends_in_a_peer_error_or_a_message(message: Message) -> None:
    rng, good = Random(1), encode(message)
    for _ in range(500):
        body = bytearray(good[HEAD:])
        for _ in range(rng.randint(1, 3)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        try:
            decode(envelope(good[1], bytes(body[: rng.randint(0, len(body))])))
        except PeerError:
            pass


def test_reasons() -> None:
    for data, reason in (
        (b"", "version"),
        (bytes((WIRE, 1)), "version"),
        (bytes((WIRE - 1, 1)) + b"\x90" * 5, "version"),
        (bytes((WIRE, 1)) + b"\x90" * 5, "checksum"),
        (envelope(0x63, b"\x90"), "kind"),
        (envelope(1, b"\xc1"), "malformed"),
    ):
        with pytest.raises(PeerError) as caught:
            decode(data)
        assert caught.value.reason == reason


def test_more_fields_of_a_later_version_are_ignored() -> None:
    data = encode(Probe(1))
    assert decode(envelope(data[1], msgpack.packb([1, "later"]))) == Probe(1)


def test_lists_are_bounded() -> None:
    with pytest.raises(PeerError):
        decode(encode(More(1, 2, list(range(MAX_LIST + 1)))))
    with pytest.raises(PeerError):
        decode(encode(Pull({}, 1, [(A, 1, 1)] * (MAX_LIST + 1))))


# -- frames of one author ---------------------------------------------------------------------------------------------

FRAMES = [encode_frame(Frame(actor, n, n)) for actor, n in ((A, 1), (A, 2), (B, 1), (A, 3))]


@pytest.mark.parametrize("sender", ["", "a", "bé", "somebody"])
def test_frames_come_back_whole_whoever_sends_them(sender: str) -> None:
    for message in (Delta(FRAMES), Repair(FRAMES, 1, True, 0), Delta([*FRAMES, b"\0\0", b"junk"])):
        assert decode(encode(message, sender), sender) == message


def test_an_author_is_said_once_and_a_sender_by_the_topic() -> None:
    alone = [len(encode(Delta(FRAMES[:n]), "a")) for n in (1, 2)]
    assert alone[1] - alone[0] == len(FRAMES[1]) - len(heads.author(A)) + 2
    assert b"pump-3" not in encode(Delta([encode_frame(Frame(Actor("pump-3", 1), 1, 1))]), "pump-3")


def test_what_has_no_name_is_the_senders() -> None:
    data = encode(Delta(FRAMES[:1]), "a")
    message = decode(data, "b")
    assert isinstance(message, Delta) and decode_frame(message.frames[0]).actor == Actor("b", 1)


@pytest.mark.parametrize(
    "frames",
    [
        5, [5], [[]], [[b"\0" + bytes(8)]], [["", b"x"]], [[b"", "x"]], [[bytes(9), b"x"]], [[bytes(300), b"xxx"]],
        [[bytes(9), b"xxx", None]], {}, [b"frame"],
        [[b"", b"long enough", b""]], [[b"", b"x"]],
    ],
)  # fmt: skip
def test_authors_that_are_none(frames: object) -> None:
    with pytest.raises(PeerError):
        decode(envelope(1, msgpack.packb([frames])), "a")
