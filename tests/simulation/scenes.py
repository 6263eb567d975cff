"""Scenes in which a mistake always does harm, for mistakes that random histories meet once in a thousand.

Each scene plays the same few steps with the real engine and codec, and says what is wrong in the end, or None.
Must not know: which mistake it is for.
"""

from __future__ import annotations

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.frame import Frame
from crdt.replica import outbox
from crdt.replica.messages import Delta
from crdt.replica.tuning import Tuning
from crdt.state import RANGE_FROM, State
from crdt.types import keyspace, sets
from tests.crdt.replica.desk import Desk, exchange

ROOM = 65_536  # bytes of a message


def _cut(state: State) -> tuple[Frame, bytes]:
    frame = state.cut()
    assert frame is not None
    return frame, encode_frame(frame)


def _differs(state: State, from_whom: State) -> str | None:
    if state.vector() != from_whom.vector():
        return f"not equal: {state.actor.name} never gets what {from_whom.actor.name} has"
    return None if state.hash == from_whom.hash else "the vector of another replica and another state"


def merged_and_known() -> str | None:
    """Two frames travel as one, the second removes what the first has added, and the receiver has the first already."""
    a, b = State(Actor("a", 1)), State(Actor("b", 2))
    a.begin(1000)
    sets.add(a, b"s", [b"stays", b"goes"])
    first = _cut(a)
    sets.remove(a, b"s", [b"goes"])
    ((_, together),) = outbox.merged([first, _cut(a)], ROOM)
    b.apply(decode_frame(first[1]))
    b.apply(decode_frame(together))
    return _differs(b, a)


def merged_range() -> str | None:
    """Two frames travel as one, the first fills a set, and the second removes it by a range."""
    a, b = State(Actor("a", 1)), State(Actor("b", 2))
    a.begin(1000)
    sets.add(a, b"s", [b"%d" % i for i in range(RANGE_FROM + 1)])
    first = _cut(a)
    keyspace.delete(a, b"s")
    second = _cut(a)
    assert second[0].ranges, "more than RANGE_FROM rows are removed by a range"
    ((_, together),) = outbox.merged([first, second], ROOM)
    b.apply(decode_frame(together))
    return _differs(b, a)


def second_hand() -> str | None:
    """Who joined a snapshot is asked by a third one for everything, when nobody else is left who has it."""
    a, b, c = Desk("a", 1), Desk("b", 2), Desk("c", 3)
    sets.add(a.state, b"s", [b"1", b"2"])
    a.commit()
    a.take()  # which nobody hears
    a.prune()
    exchange(a, b)
    assert b.replica.counts["snapshots"] == 0 and a.replica.counts["snapshots"] == 1, "the log of a holds nothing"
    sets.add(b.state, b"s", [b"3"])
    b.commit()
    exchange(b, c)
    return _differs(c.state, b.state)


def hourly() -> str | None:
    """With an hour between DELTAs one of them is lost, the next one comes."""
    a, b = Desk("a", 1, Tuning(interval=3600.0)), Desk("b", 2, Tuning(interval=3600.0))
    sets.add(a.state, b"s", [b"1"])
    a.commit()
    a.wait(3600.0)
    a.take()  # which nobody hears
    sets.add(a.state, b"s", [b"2"])
    a.commit()
    exchange(a, b, 30.0)
    return _differs(b.state, a.state)


def waiting() -> str | None:
    """A thousand frames come, but not what they go on from."""
    a, b = State(Actor("a", 1)), Desk("b", 2, Tuning(held_bytes=ROOM))
    a.begin(1000)
    for i in range(1000):
        sets.add(a, b"s", [b"%d" % i])
        _, data = _cut(a)
        if i:
            b.receive("a", Delta([data]), inbox=False)
    return f"holds {b.replica.held.bytes} bytes" if b.replica.held.bytes > ROOM else None
