"""Frames into messages, none of them too large."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.errors import PeerError
from crdt.frame import Frame
from crdt.replica import messages, outbox
from crdt.replica.effects import Lane, Send
from crdt.replica.messages import LETTER, Delta, Piece, Presence, Pull
from crdt.replica.outbox import BESIDE, HEADROOM, STRETCH, Outbox, Unsent, Written, line_up, packed, span
from crdt.state import State
from crdt.types import counters, sets, strings

ME = Actor("ä" * 64, (1 << 64) - 1)


def frame(size: int) -> bytes:
    state = State(ME)
    sets.add(state, b"s", [b"%0100d" % i for i in range(size // 100 + 1)])
    cut = state.cut()
    assert cut is not None
    return encode_frame(cut)


def test_order_is_kept() -> None:
    out = Outbox(ME.name, 1000)
    for i in range(3):
        out.send(Lane.HELLO, None, Presence(i, True))
    assert [order.data for order in out.take() if isinstance(order, Send)] == [
        messages.encode(Presence(i, True)) for i in range(3)
    ]
    assert out.take() == []


@pytest.mark.parametrize("limit", [700, 2000, 65_536])
def test_no_message_is_too_large(limit: int) -> None:
    out = Outbox(ME.name, limit)
    frames = [frame(size) for size in (10, 100, 5000, 100, 100, 900, 200_000)]
    out.publish(frames)
    sends = [order for order in out.take() if isinstance(order, Send)]
    assert all(len(order.data) <= limit for order in sends)
    whole, parts = [], b""
    for order in sends:
        message = messages.decode(order.data, ME.name)
        if isinstance(message, Delta):
            whole += message.frames
        else:
            assert isinstance(message, Piece) and message.actor == ME
            parts += message.data
            if message.index == message.total - 1:
                whole.append(parts)
                parts = b""
    assert whole == frames


def test_many_small_frames_of_many_authors_fit() -> None:
    frames = [encode_frame(Frame(Actor(ME.name, n % 7), 1, 1)) for n in range(500)]
    items = packed(frames, 2000 - HEADROOM, {})
    assert [data for item in items if isinstance(item, list) for data in item] == frames
    for item in items:
        assert isinstance(item, list)
        assert len(messages.encode(messages.Repair(item, 1 << 63, True, 1 << 63), "somebody")) <= 2000


def test_a_pull_with_a_large_vector_goes_as_a_letter() -> None:
    out = Outbox(ME.name, 2000)
    pull = Pull({Actor("r", i): i + 1 for i in range(3000)}, 1)
    out.send(Lane.INBOX, "b", pull, ME)
    pieces = [messages.decode(order.data, ME.name) for order in out.take() if isinstance(order, Send)]
    assert all(isinstance(piece, Piece) and piece.stream == LETTER for piece in pieces)
    assert messages.decode(b"".join(piece.data for piece in pieces if isinstance(piece, Piece))) == pull


def test_known_pieces_are_left_out() -> None:
    data = frame(5000)
    pieces = packed([data], 700 - HEADROOM, {})
    known = {(ME, span(data)[2]): (len(pieces), (0b101).to_bytes(4, "little"))}
    assert packed([data], 700 - HEADROOM, known) == [p for i, p in enumerate(pieces) if i not in (0, 2)]
    wrong = {(ME, span(data)[2]): (len(pieces) + 1, b"\xff" * 9)}
    assert packed([data], 700 - HEADROOM, wrong) == pieces


def test_span_reads_the_head_alone() -> None:
    assert span(frame(300)) == (ME, 1, 4)
    for junk in (b"", b"\x90", b"\xc1", bytes(20), frame(300)[:130], b"\1" + frame(300)[1:]):
        with pytest.raises(PeerError):
            span(junk)


def writings(state: State, commits: int, each: int) -> list[list[Written]]:
    """Small frames of a busy counter and of keys that are set anew and anew, a list for each commit."""
    out = []
    for n in range(commits):
        for i in range(each):
            counters.incr(state, b"n", 1)
            strings.put(state, b"k%d" % ((n * each + i) % 50), b"%d" % i)
        cut = state.cut()
        assert cut is not None
        out.append([(cut, encode_frame(cut))])
    return out


@pytest.mark.parametrize("stretch", [STRETCH, 1 << 30])
def test_what_waits_for_the_interval_is_put_together_in_short_steps(
    stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, the control, is one long step, and saves no more."""
    author, peer = State(ME), State(Actor("b", 2))
    steps, merge = [], outbox.merge

    def merging(frames: Iterable[Frame]) -> Frame:
        parts = list(frames)
        steps.append(sum(part.adds() for part in parts))
        return merge(parts)

    monkeypatch.setattr(outbox, "merge", merging)
    monkeypatch.setattr(outbox, "STRETCH", stretch)
    unsent = Unsent(60_000)
    for frames in writings(author, 200, 5):
        unsent.add(frames)
    assert unsent and unsent.last(ME) == author.me.applied and unsent.last(Actor("b", 2)) == 0
    (data,) = unsent.take()
    assert not unsent and unsent.take() == []
    assert (max(steps) <= 2 * STRETCH) is (stretch == STRETCH)
    peer.apply(decode_frame(data))
    assert peer.hash == author.hash and peer.vector_hash == author.vector_hash


def test_nothing_is_kept_for_nobody() -> None:
    unsent = Unsent(60_000)
    for frames in writings(State(ME), 100, 5):
        unsent.add(frames)
    unsent.clear()
    assert not unsent and unsent.take() == []


def test_what_leaves_is_taken_a_message_at_a_time() -> None:
    author, peer = State(ME), State(Actor("b", 2))
    unsent, room = Unsent(5_000), 5_000
    for n in range(20):
        sets.add(author, b"s", [b"%d:%0100d" % (n, i) for i in range(15)])
        cut = author.cut()
        assert cut is not None
        unsent.add([(cut, encode_frame(cut))])
    messages_taken = 0
    while unsent:
        assert unsent.last(ME) == author.me.applied, "whoever announces what leaves announces all of it"
        frames = unsent.take()
        messages_taken += 1
        assert frames and sum(len(data) + BESIDE for data in frames) <= room
        for data in frames:
            peer.apply(decode_frame(data))
    assert messages_taken == 10
    assert peer.hash == author.hash and peer.vector_hash == author.vector_hash


def test_what_is_stored_between_two_messages_follows() -> None:
    author, peer = State(ME), State(Actor("b", 2))
    unsent = Unsent(2_000)
    for n in range(8):
        sets.add(author, b"s", [b"%d:%0100d" % (n, i) for i in range(15)])
        cut = author.cut()
        assert cut is not None
        unsent.add([(cut, encode_frame(cut))])
        if n % 3 == 2:
            (data,) = unsent.take()
            peer.apply(decode_frame(data))
            assert unsent.last(ME) == author.me.applied
    while unsent:
        for data in unsent.take():
            peer.apply(decode_frame(data))
    assert peer.hash == author.hash and peer.vector_hash == author.vector_hash


def lined_up(state: State, keys: Iterable[Iterable[int]], lean: bool = True) -> list[Written]:
    """Frames that set these keys, one each, cut one after the other; not `lean`: all of them kept whole."""
    out: list[Written] = []
    for n, some in enumerate(keys):
        for k in some:
            strings.put(state, b"%d" % k, b"%020d" % n)
        cut = state.cut()
        assert cut is not None
        if lean:
            line_up(out, cut, encode_frame(cut))
        else:
            out.append((cut, encode_frame(cut)))
    return out


def test_a_frame_that_joins_none_is_kept_as_bytes() -> None:
    """Frames are large objects: what is not looked at again is given back while it is still in the caches."""
    state, peer = State(ME), State(Actor("b", 2))
    apart = lined_up(state, [range(300 * n, 300 * n + 300) for n in range(6)])
    assert [frame is None for frame, _ in apart] == [False, True, True, True, True, False]
    again = lined_up(state, [range(300), range(300), range(300, 600), range(600, 900), range(900, 1200), range(600)])
    assert [frame is None for frame, _ in again] == [False, False, True, True, True, False]
    unsent = Unsent(60_000)
    unsent.add(apart)
    unsent.add(again)
    frames = []
    while unsent:
        frames += unsent.take()
    assert len(frames) < len(apart) + len(again), "those that take each other back go as one"
    for data in frames:
        peer.apply(decode_frame(data))
    assert peer.hash == state.hash and peer.vector_hash == state.vector_hash


def test_small_frames_are_kept_whole_until_they_are_put_together() -> None:
    state = State(ME)
    small = lined_up(state, [range(5 * n, 5 * n + 5) for n in range(6)])
    assert all(frame is not None for frame, _ in small)
    unsent = Unsent(60_000)
    unsent.add(small)
    assert len(unsent.take()) == 1


def test_what_the_next_one_takes_back_is_kept() -> None:
    state, peer = State(ME), State(Actor("b", 2))
    keys = [range(300), range(300, 600), range(600, 900), range(600, 900), range(900, 1200)]
    line = lined_up(state, keys)
    assert [frame is None for frame, _ in line] == [False, True, False, False, False]
    frames = outbox.merged(line, 60_000)
    assert len(frames) == 4
    for _, data in frames:
        peer.apply(decode_frame(data))
    assert peer.hash == state.hash


def test_no_merge_is_lost_by_not_keeping_frames() -> None:
    """What a frame takes back may lie in any of those that are put together before it."""
    spots = [range(1000, 1300), range(300), range(300, 600), range(50, 300), range(2000, 2300), range(3000, 3300)]
    keys = [list(some) for some in spots]
    keys[2] = [*range(50), *range(300, 550)]
    keys[3] += range(700, 750)
    kept, lean = lined_up(State(ME), keys, lean=False), lined_up(State(ME), keys)
    assert any(frame is None for frame, _ in lean)
    assert [data for _, data in outbox.merged(lean, 60_000)] == [data for _, data in outbox.merged(kept, 60_000)]


def test_what_nobody_is_sent_is_forgotten_in_the_middle_as_well() -> None:
    unsent = Unsent(2_000)
    for frames in writings(State(ME), 100, 30):
        unsent.add(frames)
    assert unsent.take() and unsent.leaving
    unsent.clear()
    assert not unsent and not unsent.leaving and unsent.take() == []


def test_so_it_is_with_frames_of_one_commit_each() -> None:
    state, peer = State(ME), State(Actor("b", 2))
    unsent = Unsent(60_000)
    for n in range(12):
        unsent.add(lined_up(state, [range(90 * n, 90 * n + 90)]))
    assert sum(frame is not None for frame, _ in unsent._merged + unsent._loose) <= 6
    for data in unsent.take():
        peer.apply(decode_frame(data))
    assert not unsent
    assert peer.hash == state.hash and peer.vector_hash == state.vector_hash
