"""What peers that mean harm, and an honest one beside them, say to an engine on a desk."""

from __future__ import annotations

import msgpack

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica.messages import Delta, Hello, Pull, Repair
from crdt.replica.tuning import Tuning
from crdt.types import numberwire, sets, strings
from tests.crdt.replica.desk import Desk

B = Actor("b", 2)
MADE_UP = Actor("made up", 9)  # nobody has ever heard of it


def frame(actor: Actor = B, first: int = 1, last: int = 1, seq: int = 1, hlc: int = 1 << 26) -> bytes:
    return encode_frame(Frame(actor, first, last, {}, [Group(1, None, [b"t"], [b"v"], [seq], [(1, hlc)])]))


def counted_on(actor: Actor) -> msgpack.ExtType:
    """The payload of a deletion that has seen a count of this actor's."""
    return msgpack.ExtType(1, msgpack.packb([numberwire.BASE, 1, 1, 5, *actor]))


def many(n: int, first: int = 1) -> list[bytes]:
    """As many frames of one peer, one after the other."""
    return [frame(first=k, last=k, seq=k, hlc=k << 26) for k in range(first, first + n)]


def victim(tuning: Tuning | None = None) -> Desk:
    """One that has written, and stored it."""
    a = Desk("a", 1, tuning)
    sets.add(a.state, b"s", [b"x"])
    a.commit()
    a.take()
    return a


def goes_on(a: Desk, actor: Actor = B, n: int = 1) -> None:
    """What an honest peer says is still taken."""
    a.receive("b", Delta([frame(actor, n, n, n)]), inbox=False)
    assert strings.get(a.state, b"t") == b"v"


def honest(name: str, n: int) -> Hello:
    """It wrote n operations."""
    return Hello(Actor(name, 7), 7, n, 3, n, 1, 1000, 5000)


def strangers(a: Desk, count: int) -> None:
    """They say that they have more than anybody, for an hour, and never answer."""
    for i in range(count):
        claim = Hello(Actor(f"x{i}", i + 1), i + 1, 0, i + 1, 1 << 40, 1, 1000, 3_600_000)
        a.receive(f"x{i}", claim, inbox=False)


def until_asked(a: Desk, name: str, most: float) -> float:
    """Seconds until a PULL goes to this peer."""
    began = a.now
    while not any(to == name and isinstance(message, Pull) for _, to, message in a.sent):
        assert a.now < began + most
        a.sent.clear()
        a.wait(0.05)
    return a.now - began


def acquainted(count: int, answers: bool) -> Desk:
    """One that has met an honest peer, which `answers` when it is asked, and then that many strangers."""
    a = victim()
    if answers:
        a.receive("h", honest("h", 1), inbox=False)
        until_asked(a, "h", 5)
        (pull,) = a.take(Pull)
        assert isinstance(pull, Pull)
        a.receive("h", Repair([frame(Actor("h", 7))], 1, True, 2, pull.number))
    strangers(a, count)
    a.wait(5)
    a.receive("h", honest("h", 2), inbox=False)
    return a
