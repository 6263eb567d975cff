"""The broker of memory: its clock, its faults, its walls."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from transport.memory_hub import Connection, Faults, Hub, named

Heard = list[tuple[int, bytes]]


def connect(hub: Hub, replica: str, heard: Heard | None = None, will: bytes | None = None) -> Connection:
    def hear(topic: str, data: bytes) -> None:
        if heard is not None:
            heard.append((hub.now, data))

    last = None if will is None else ("t/" + replica, will)
    connection = Connection(hub, replica, (("t/+", True),), last, hear)
    assert hub.open(connection) is None
    return connection


def messages(hub: Hub, count: int) -> Heard:
    """`count` messages from a to b under the faults of the hub."""
    heard: Heard = []
    connect(hub, "b", heard)
    a = connect(hub, "a")
    for number in range(count):
        a.publish("t/a", b"%d" % number, retain=False)
    hub.settle()
    return heard


def test_nothing_moves_by_itself() -> None:
    hub = Hub(random.Random(0), Faults(min_delay=5, max_delay=5))
    heard: Heard = []
    connect(hub, "b", heard)
    connect(hub, "a").publish("t/a", b"x", retain=False)
    assert (heard, hub.next_due) == ([], 5)
    hub.advance(4)
    assert (heard, hub.now) == ([], 4)
    hub.advance(10)
    assert (heard, hub.now, hub.next_due) == ([(5, b"x")], 10, None)
    assert not hub.step()


def test_the_same_dice_give_the_same_run() -> None:
    faults = Faults(loss=0.2, duplication=0.3, min_delay=1, max_delay=20)
    runs = [messages(Hub(random.Random(seed), faults), 100) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_loss_and_duplication() -> None:
    assert messages(Hub(random.Random(0), Faults(loss=1.0)), 10) == []
    assert len(messages(Hub(random.Random(0), Faults(duplication=1.0)), 10)) == 20
    assert 20 < len(messages(Hub(random.Random(0), Faults(loss=0.5)), 100)) < 80


def test_a_range_of_delays_reorders_unless_told_otherwise() -> None:
    wild = [data for _, data in messages(Hub(random.Random(0), Faults(min_delay=1, max_delay=50)), 50)]
    tame = [data for _, data in messages(Hub(random.Random(0), Faults(min_delay=1, max_delay=50, ordered=True)), 50)]
    assert sorted(wild) == sorted(tame) and wild != tame
    assert tame == [b"%d" % number for number in range(50)]


def test_walls_may_have_one_side() -> None:
    hub = Hub(random.Random(0))
    heard: dict[str, Heard] = {"a": [], "b": []}
    a, b = connect(hub, "a", heard["a"]), connect(hub, "b", heard["b"])
    hub.block("a", "b")
    a.publish("t/a", b"1", retain=False)
    b.publish("t/b", b"2", retain=False)
    hub.settle()
    assert heard == {"a": [(0, b"2")], "b": []}
    hub.heal()
    a.publish("t/a", b"3", retain=False)
    hub.settle()
    assert heard["b"] == [(0, b"3")]


def test_a_partition_swallows_what_is_on_its_way() -> None:
    hub = Hub(random.Random(0), Faults(min_delay=3, max_delay=3))
    heard: dict[str, Heard] = {name: [] for name in "abc"}
    a, _b, c = (connect(hub, name, heard[name]) for name in "abc")
    a.publish("t/a", b"1", retain=False)
    hub.partition("ab", "c")
    c.publish("t/c", b"2", retain=False)
    hub.settle()
    assert heard == {"a": [], "b": [(3, b"1")], "c": []}


def test_retained_messages_are_the_last_of_their_topic_and_can_be_deleted() -> None:
    hub = Hub(random.Random(0))
    a = connect(hub, "a")
    for data in (b"old", b"new"):
        a.publish("t/a", data, retain=True)
    a.publish("t/a", b"passing", retain=False)
    a.publish("t/x", b"deleted", retain=True)
    a.publish("t/x", b"", retain=True)
    hub.settle()
    heard: Heard = []
    connect(hub, "b", heard)
    hub.settle()
    assert heard == [(0, b"new")]


@pytest.mark.parametrize(
    ("end", "wills"),
    [
        (lambda hub, a: a.close(clean=False), [b"will"]),
        (lambda hub, a: a.close(clean=True), []),
        (lambda hub, a: hub.sever("a"), [b"will"]),
        (lambda hub, a: hub.down(), []),
    ],
    ids=["killed", "left", "cable cut", "broker died"],
)
def test_when_a_will_is_published(end: Callable[[Hub, Connection], None], wills: list[bytes]) -> None:
    hub = Hub(random.Random(0))
    heard: Heard = []
    connect(hub, "b", heard)
    end(hub, connect(hub, "a", will=b"will"))
    hub.settle()
    assert [data for _, data in heard] == wills


def test_who_is_let_in() -> None:
    hub = Hub(random.Random(0))
    attempt = Connection(hub, "a", (), None, lambda topic, data: None)
    hub.refuse("a", "not you")
    assert hub.open(attempt) == "not you"
    hub.allow("a")
    hub.sever("a")
    assert hub.open(attempt) == "not reachable"
    hub.mend("a")
    hub.down()
    assert hub.open(attempt) == "not reachable"
    hub.up()
    assert hub.open(attempt) is None


def test_what_never_ends_is_noticed() -> None:
    hub = Hub(random.Random(0))

    def again() -> None:
        hub.later(1, again)

    again()
    with pytest.raises(AssertionError, match="still on their way"):
        hub.settle(steps=100)


def test_names_find_the_same_hub_while_it_is_used() -> None:
    hub = named("somewhere")
    assert named("somewhere") is hub
    del hub
    assert named("somewhere").now == 0
