"""Streams: ids given by us, and readers of two replicas. Grammar, replies and errors are compared with Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.state import State
from crdt.types import streams
from crdt.types.conflicts import conflicts
from crdt.types.streams import Id
from daemon.api.arguments import MAX_INT64
from tests.oracle import Hub

Ask = Callable[..., Any]


def test_ids_rise_and_carry_the_replica(ask: Ask, hub: Hub) -> None:
    given = [ask("XADD k * f v") for _ in range(20)]
    ids = [tuple(map(int, text.split(b"-"))) for text in given]
    assert ids == sorted(set(ids))
    own = streams.own(hub.states[0].actor)
    assert {seq & ((1 << streams.OWN_BITS) - 1) for _, seq in ids} == {own}
    assert [entry[0] for entry in ask("XRANGE k - +")] == given


def test_an_id_of_its_millisecond(ask: Ask) -> None:
    first, second = ask("XADD k 5-* f v"), ask("XADD k 5-* f v")
    assert first.startswith(b"5-") and second.startswith(b"5-") and first != second
    assert ask("XADD k 4-* f v").startswith("-ERR The ID specified in XADD is equal or smaller")


def test_what_comes_late_is_read(ask: Ask, hub: Hub) -> None:
    ask("XADD k 9-1 f mine")
    assert ask("XREAD STREAMS k 0") == [[b"k", [[b"9-1", [b"f", b"mine"]]]]]
    peer = State(Actor("peer", 7))
    peer.begin(1)
    streams.add(peer, b"k", Id(5, 1), [b"f", b"late"])
    frame = peer.cut()
    assert frame is not None
    hub.states[0].apply(decode_frame(encode_frame(frame)))
    assert ask("XREAD STREAMS k 9-1") == [[b"k", [[b"5-1", [b"f", b"late"]]]]]
    assert ask("XREAD STREAMS k 5-1") is None
    assert ask("XREAD STREAMS k $") is None
    assert [entry[0] for entry in ask("XRANGE k - +")] == [b"5-1", b"9-1"]


def test_trimming_about_is_trimming(ask: Ask) -> None:
    for n in range(1, 8):
        ask(f"XADD k {n}-1 f v")
    assert ask("XTRIM k MAXLEN ~ 5") == 2
    assert ask("XTRIM k MAXLEN ~ 0 LIMIT 2") == 2
    assert ask("XADD k MINID ~ 7 8-1 f v") == b"8-1"
    assert ask("XLEN k") == 2


@pytest.mark.parametrize(
    "command", ["XADD k {} f v", "XDEL k {}", "XRANGE k {} +", "XREAD STREAMS k {}", "XSETID k {}"]
)
@pytest.mark.parametrize("text", ["9" * 5000, "1-" + "9" * 5000])
def test_ids_of_thousands_of_digits_are_refused(ask: Ask, command: str, text: str) -> None:
    ask("XADD k 1-1 f v")
    assert ask(command.format(text)) == "-ERR Invalid stream ID specified as stream command argument"


def test_what_a_stream_has_seen_fits_a_reply(ask: Ask) -> None:
    """A number beyond 64 bits ends the connection of most clients."""
    ask("XADD k 1-1 f v")
    ask(f"XSETID k 5-5 ENTRIESADDED {MAX_INT64}")
    ask("XADD k 6-6 f v")
    told = ask("XINFO STREAM k")
    assert told[told.index(b"entries-added") + 1] == MAX_INT64


def test_a_conflict_of_two_entries_is_shown_as_people_write_it(ask: Ask, hub: Hub) -> None:
    ask("XADD k 5-1 who me")
    peer = State(Actor("peer", 7))
    peer.begin(1)
    streams.add(peer, b"k", Id(5, 1), [b"who", b"peer"])
    frame = peer.cut()
    assert frame is not None
    hub.states[0].apply(decode_frame(encode_frame(frame)))
    (found,) = conflicts(hub.states[0])
    assert found.field == b"5-1" and {one.value for one in found.siblings} == {b"who me", b"who peer"}
