"""The transport of memory without an event loop, as the simulator drives it. (With one: test_conformance.py.)"""

from __future__ import annotations

import random

from transport.interface import Incoming, Outgoing, Owner
from transport.memory import MemoryTransport
from transport.memory_hub import Hub


class Replica:
    """A transport and what happened to it, in order."""

    def __init__(self, name: str, *hubs: Hub) -> None:
        self.log: list[object] = []
        self.transport = MemoryTransport(hubs, name, ("s",))
        self.transport.listen(
            Owner(
                self.log.append,
                lambda: self.log.append("up"),
                lambda: self.log.append("down"),
                lambda: Outgoing("s", "p", None, b"\x01gone"),
            )
        )
        self.transport.connect()

    def say(self, data: bytes) -> bool:
        return self.transport.publish("s", "d", None, data)

    @property
    def state(self) -> str:
        return self.transport.links()[0].state


def test_callbacks_come_with_steps_never_from_within_a_call() -> None:
    hub = Hub(random.Random(0))
    a, b = Replica("a", hub), Replica("b", hub)
    assert a.log == [] and not a.say(b"\x01too early")
    hub.settle()
    assert a.log == b.log == ["up"]
    assert a.say(b"\x01hello")
    assert b.log == ["up"]
    hub.settle()
    assert b.log == ["up", Incoming("s", "d", "a", b"\x01hello")]


def test_a_cut_cable_and_a_mended_one() -> None:
    hub = Hub(random.Random(0))
    a, b = Replica("a", hub), Replica("b", hub)
    hub.settle()
    hub.sever("a")
    hub.settle()
    assert a.log == ["up", "down"] and not a.say(b"\x01lost")
    assert b.log == ["up", Incoming("s", "p", "a", b"\x01gone")]
    hub.mend("a")
    hub.settle()
    will = Incoming("s", "p", "a", b"\x01gone")
    assert a.log == ["up", "down", "up", will], "its own will is retained: whoever is back has to say so"
    assert a.say(b"\x01here again")


def test_a_killed_replica_hears_nothing_more_and_a_new_one_takes_its_name() -> None:
    hub = Hub(random.Random(0))
    a, b = Replica("a", hub), Replica("b", hub)
    hub.settle()
    b.say(b"\x01on its way")
    a.transport.kill()
    hub.settle()
    assert a.log == ["up"]
    assert b.log[-1] == Incoming("s", "p", "a", b"\x01gone")
    again = Replica("a", hub)
    hub.settle()
    assert again.log == ["up", Incoming("s", "p", "a", b"\x01gone")]
    assert again.say(b"\x01new life")


def test_two_of_one_name_hear_each_other() -> None:
    hub = Hub(random.Random(0))
    one, two = Replica("a", hub), Replica("a", hub)
    hub.settle()
    one.say(b"\x01it is me")
    hub.settle()
    assert two.log[-1] == Incoming("s", "d", "a", b"\x01it is me")
    assert one.log == ["up"]


def test_as_with_old_brokers_own_broadcasts_come_back() -> None:
    hub = Hub(random.Random(0))
    hub.no_local = False
    a = Replica("a", hub)
    hub.settle()
    a.say(b"\x01echo")
    hub.settle()
    assert a.log == ["up", Incoming("s", "d", "a", b"\x01echo")]


def test_a_hub_goes_down_and_up_between_two_steps() -> None:
    hub = Hub(random.Random(0))
    a = Replica("a", hub)
    hub.settle()
    hub.down()
    hub.up()
    hub.settle()
    assert a.log == ["up", "down", "up"] and a.state == "connected"


def test_muteness_comes_and_goes() -> None:
    hub = Hub(random.Random(0))
    a = Replica("a", hub)
    hub.settle()
    hub.mute("a")
    hub.settle()
    assert a.state == "mute" and a.log == ["up", "down"] and not a.say(b"\x01x")
    hub.mute("a", on=False)
    hub.settle()
    assert a.state == "connected" and a.log == ["up", "down", "up"]


def test_a_refusal_does_not_end_what_works() -> None:
    hub, other = Hub(random.Random(0)), Hub(random.Random(0))
    hub.refuse("a", "no")
    a = Replica("a", hub, other)
    hub.settle()
    other.settle()
    assert [link.state for link in a.transport.links()] == ["refused", "connected"]
    assert a.say(b"\x01over the other")
