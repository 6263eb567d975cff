"""What every transport does, whatever carries the bytes: the executable half of transport/interface.py."""

from __future__ import annotations

import time
from typing import Any

import pytest

from transport.interface import Incoming, Outgoing

World = Any  # see conftest.py
OFFLINE = Outgoing("s", "p", None, b"\x01offline")


async def silence(world: World, *parties: Any) -> None:
    """Waits until whatever was under way to these parties has arrived: a marker sent to oneself is the last to come."""
    for party in parties:
        name = party.transport._door.topics.replica
        assert party.transport.publish(party.space, "i", name, b"\x01marker")
        await world.until(lambda party=party: party.has(b"\x01marker"), "a marker")  # type: ignore[misc]
        party.heard = [message for message in party.heard if message.data != b"\x01marker"]


@pytest.mark.parametrize("lane", ["d", "h", "p"])
async def test_a_broadcast_reaches_all_others(world: World, lane: str) -> None:
    a, b, c = await world.started("a", "b", "c")
    data = bytes(range(1, 256))
    assert a.say(data, lane)
    for other in (b, c):
        await world.until(lambda other=other: other.heard, "the broadcast")  # type: ignore[misc]
        assert other.heard == [Incoming("s", lane, "a", data)]
    await silence(world, a)
    assert a.heard == ([] if world.no_local else [Incoming("s", lane, "a", data)])


async def test_an_inbox_reaches_only_its_owner(world: World) -> None:
    a, b, c = await world.started("a", "b", "c")
    assert a.say(b"\x01for b", "i", "b")
    await world.until(lambda: b.heard, "the message")
    assert b.heard == [Incoming("s", "i", "a", b"\x01for b")]
    await silence(world, a, c)
    assert a.heard == c.heard == []


async def test_a_replica_can_write_to_itself(world: World) -> None:
    """How a second daemon of the same name is found."""
    (a,) = await world.started("a")
    assert a.say(b"\x01who is there", "i", "a")
    await world.until(lambda: a.heard, "the message")
    assert a.heard == [Incoming("s", "i", "a", b"\x01who is there")]


async def test_spaces_do_not_mix(world: World) -> None:
    (a,) = await world.started("a", spaces=("s", "t"))
    (b,) = await world.started("b", spaces=("t",))
    (c,) = await world.started("c", spaces=("s",))
    assert a.transport.publish("s", "d", None, b"\x01in s")
    assert a.transport.publish("t", "d", None, b"\x01in t")
    await world.until(lambda: b.heard and c.heard, "both messages")
    await silence(world, b, c)
    assert b.heard == [Incoming("t", "d", "a", b"\x01in t")]
    assert c.heard == [Incoming("s", "d", "a", b"\x01in s")]


async def test_what_does_not_belong_is_dropped_and_counted(world: World) -> None:
    (a,) = await world.started("a")
    await world.inject("gs/v1/s/b/b/x", b"\x01unknown lane")
    await world.inject("gs/v1/s/b/not a name/d", b"\x01bad name")
    await world.inject("gs/v1/s/b/b/d", b"")
    await world.inject("gs/v1/s/i/a/b", b"\x00not our probe")
    await world.inject("gs/v1/s/b/b/d", b"\x01good")
    await world.until(lambda: a.heard, "the good message")
    assert a.heard == [Incoming("s", "d", "b", b"\x01good")]
    dropped = a.transport.counters.dropped
    assert dropped["foreign_topic"] == 2
    assert dropped["empty"] == 1


async def test_the_size_limit_is_enforced_before_the_broker_sees_it(world: World) -> None:
    a, b = await world.started("a", "b", max_message=2000)
    assert not a.say(bytes([1]) * 2001)
    assert a.say(bytes([1]) * 2000)
    await world.until(lambda: b.heard, "the allowed message")
    assert len(b.heard) == 1
    assert a.transport.counters.dropped == {"too_large": 1}
    assert a.states() == ["connected"]


async def test_large_and_many_messages_arrive_unharmed_and_in_order(world: World) -> None:
    a, b = await world.started("a", "b")
    sent = [bytes([1]) + index.to_bytes(2, "big") * 30_000 for index in range(3)]
    sent += [b"\x01%d" % index for index in range(300)]
    for data in sent:
        assert a.say(data)
    await world.until(lambda: len(b.heard) >= len(sent), "all messages")
    assert [message.data for message in b.heard] == sent


async def test_counters_name_direction_and_lane(world: World) -> None:
    a, b = await world.started("a", "b")
    assert a.say(b"\x01delta", "d")
    assert a.say(b"\x01inbox", "i", "b")
    await world.until(lambda: len(b.heard) == 2, "both messages")
    sent, received = a.transport.counters, b.transport.counters
    assert (sent.sent_messages["d"], sent.sent_messages["i"]) == (1, 1)
    assert (received.received_messages["d"], received.received_messages["i"]) == (1, 1)
    assert sent.sent_bytes["d"] == received.received_bytes["d"] == len("gs/v1/s/b/a/d") + 6


async def test_a_callback_may_publish(world: World) -> None:
    a, b = await world.started("a", "b")
    b.reply = lambda message: b.say(b"\x01answer", "i", message.sender)
    assert a.say(b"\x01question")
    await world.until(lambda: a.has(b"\x01answer"), "the answer")


async def test_a_callback_that_raises_harms_only_itself(world: World) -> None:
    a, b = await world.started("a", "b")

    def fail(message: Incoming) -> None:
        raise RuntimeError("on purpose")

    b.reply = fail
    assert a.say(b"\x01first")
    await world.until(lambda: b.transport.counters.dropped["callback_failed"] == 1, "the failure")
    b.reply = None
    assert a.say(b"\x01second")
    await world.until(lambda: b.has(b"\x01second"), "the second message")
    assert (b.states(), b.downs) == (["connected"], 0)


async def test_bugs_of_the_caller_are_raised(world: World) -> None:
    (a,) = await world.started("a")
    for space, lane, to, data in (
        ("s", "d", None, b""),
        ("s", "d", None, b"\x00"),
        ("s", "x", None, b"\x01"),
        ("t", "d", None, b"\x01"),
        ("s", "d", "b", b"\x01"),
        ("s", "i", None, b"\x01"),
        ("s", "i", "b/c", b"\x01"),
    ):
        with pytest.raises(ValueError):
            a.transport.publish(space, lane, to, data)


async def test_a_link_that_works_says_so(world: World) -> None:
    (a,) = await world.started("a")
    assert (a.link.state, a.link.reason) == ("connected", None)
    assert a.link.round_trip_seconds is not None and 0 <= a.link.round_trip_seconds < 5
    assert (a.ups, a.downs) == (1, 0)
    assert a.transport.ready_in() == 0.0


async def test_presence_is_retained_for_those_who_come_later(world: World) -> None:
    (a,) = await world.started("a")
    assert a.say(b"\x01online", "p")
    assert a.say(b"\x01delta", "d")
    await silence(world, a)
    (b,) = await world.started("b")
    await world.until(lambda: b.heard, "the retained presence")
    await silence(world, b)
    assert set(b.heard) == {Incoming("s", "p", "a", b"\x01online")}  # amqtt says it twice


async def test_who_vanishes_leaves_a_will(world: World) -> None:
    (a,) = await world.started("a")
    kill = await world.doomed("b", OFFLINE)
    assert a.heard == []
    kill()
    await world.until(lambda: a.heard, "the will")
    assert a.heard == [Incoming("s", "p", "b", b"\x01offline")]
    (c,) = await world.started("c")
    await world.until(lambda: c.heard, "the retained will")
    assert set(c.heard) == {Incoming("s", "p", "b", b"\x01offline")}


async def test_who_leaves_publishes_a_farewell_and_no_will(world: World) -> None:
    (a,) = await world.started("a")
    b = await world.party("b")
    b.will = OFFLINE
    await b.transport.start()
    await world.until(lambda: b.ups, "b to be connected")
    farewell = [Outgoing("s", "d", None, b"\x01last delta"), Outgoing("s", "p", None, b"\x01bye")]
    await b.transport.stop(farewell)
    await world.until(lambda: a.has(b"\x01bye"), "the farewell")
    await silence(world, a)
    assert [message.data for message in a.heard] == [b"\x01last delta", b"\x01bye"]


async def test_a_broker_that_comes_back_is_used_again(world: World) -> None:
    a, b = await world.started("a", "b")
    await world.down()
    await world.until(lambda: (a.downs, b.downs) == (1, 1), "both to notice")
    assert a.states() == ["connecting"] and a.link.reason
    assert not a.say(b"\x01into the void")
    assert a.transport.counters.dropped["disconnected"] == 1
    await world.up()
    await world.until(lambda: (a.ups, b.ups) == (2, 2), "both to be connected again")
    assert a.say(b"\x01broadcast") and a.say(b"\x01direct", "i", "b")
    await world.until(lambda: b.has(b"\x01broadcast") and b.has(b"\x01direct"), "messages after the restart")
    assert not b.has(b"\x01into the void")


async def test_a_broker_that_is_down_at_the_start_is_no_error(world: World) -> None:
    await world.down()
    party = await world.party("a")
    await party.transport.start()
    assert party.states() == ["connecting"]
    assert not party.say(b"\x01too early")
    await world.up()
    await world.until(lambda: party.ups == 1, "the connection")
    assert party.say(b"\x01now")


async def test_stopping_is_quick_while_the_broker_is_down(world: World) -> None:
    await world.down()
    party = await world.party("a")
    await party.transport.start()
    begin = time.monotonic()
    await party.transport.stop([Outgoing("s", "p", None, b"\x01bye")])
    assert time.monotonic() - begin < 3


async def test_two_brokers_at_once(world: World) -> None:
    a, b = await world.started("a", "b", brokers=2)
    assert (a.ups, b.ups) == (2, 2)
    assert a.say(b"\x01over both")
    await world.until(lambda: [m.data for m in b.heard] == [b"\x01over both"] * 2, "one copy over each")
    await world.down(0)
    await world.until(lambda: a.states() == b.states() == ["connecting", "connected"], "one broker to be missed")
    assert (a.downs, b.downs) == (0, 0)
    assert a.say(b"\x01over one")
    await world.until(lambda: b.has(b"\x01over one"), "the message over the other broker")
    assert a.transport.counters.dropped["disconnected"] == 0
    await world.down(1)
    await world.until(lambda: (a.downs, b.downs) == (1, 1), "the last link to be missed")
    await world.up(1)
    await world.until(lambda: (a.ups, b.ups) == (3, 3), "one broker to be back")


async def test_a_refusal_is_reported_and_tried_again(guarded: World) -> None:
    guarded.forbid("a")
    a = await guarded.party("a", brokers=1)
    await a.transport.start()
    await guarded.until(lambda: a.states() == ["refused"], "the refusal")
    assert a.link.reason
    assert not a.say(b"\x01nobody hears")
    assert (a.ups, a.downs) == (0, 0)
    guarded.permit("a")
    await guarded.until(lambda: a.states() == ["connected"], "the broker to have second thoughts")
    assert a.say(b"\x01heard")


async def test_a_mute_broker_is_reported(guarded: World) -> None:
    guarded.silence("c")
    (b,) = await guarded.started("b")
    c = await guarded.party("c")
    await c.transport.start()
    await guarded.until(lambda: c.states() == ["mute"], "muteness")
    assert c.link.reason
    assert not c.say(b"\x01swallowed")
    assert c.transport.counters.dropped["mute"] == 1
    assert b.say(b"\x01b is heard")
    await guarded.until(lambda: c.has(b"\x01b is heard"), "what others say")
    await silence(guarded, b)
    assert b.heard == []


async def test_the_acl_lets_everything_through_that_is_needed(guarded: World) -> None:
    a, b = await guarded.started("a", "b")
    for lane in ("d", "h", "p"):
        assert a.say(b"\x01lane " + lane.encode(), lane)
    assert a.say(b"\x01inbox", "i", "b")
    await guarded.until(lambda: len(b.heard) == 4, "all four lanes")
    assert {message.sender for message in b.heard} == {"a"}
