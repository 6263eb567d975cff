"""Several links as one: who decides, who is counted."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from transport.interface import LinkStatus, Owner
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.multi import MqttTransport


class Stub:
    """A link that answers as told."""

    def __init__(self, answer: str | None, ready: float = 0.0) -> None:
        self.answer = answer
        self.ready = ready
        self.up = answer != "disconnected"
        self.offered: list[bytes] = []

    def offer(self, topic: str, lane: str, data: bytes) -> str | None:
        self.offered.append(data)
        return self.answer

    def ready_in(self) -> float:
        return self.ready

    def status(self) -> LinkStatus:
        return LinkStatus("x", "connected", None, None)


async def made(*links: Stub) -> MqttTransport:
    settings = MqttSettings((BrokerAddress.parse("mqtt://h"),), "me", ("s",), max_message=2000)
    transport = MqttTransport(settings, random.Random(0))
    transport._links = cast(Any, list(links))
    return transport


async def test_all_links_are_offered_everything_and_one_suffices() -> None:
    links = Stub("disconnected"), Stub(None), Stub("rate_limited"), Stub(None)
    transport = await made(*links)
    assert transport.publish("s", "d", None, b"\x01")
    assert [link.offered for link in links] == [[b"\x01"]] * 4
    assert transport.counters.dropped == {}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["disconnected", "disconnected"], "disconnected"),
        (["rate_limited", "disconnected"], "rate_limited"),
        (["disconnected", "mute"], "mute"),
    ],
)
async def test_a_message_nobody_took_is_counted_once_with_the_most_telling_reason(
    answers: list[str], reason: str
) -> None:
    transport = await made(*(Stub(answer) for answer in answers))
    assert not transport.publish("s", "d", None, b"\x01")
    assert transport.counters.dropped == {reason: 1}


async def test_what_is_too_large_is_offered_to_nobody() -> None:
    link = Stub(None)
    transport = await made(link)
    assert not transport.publish("s", "d", None, bytes([1]) * 2001)
    assert (link.offered, transport.counters.dropped) == ([], {"too_large": 1})


async def test_the_first_link_that_is_ready_decides() -> None:
    assert (await made(Stub(None, 3.0), Stub(None, 1.0), Stub("disconnected", 0.0))).ready_in() == 1.0
    assert (await made(Stub("disconnected", 3.0))).ready_in() == 0.0


async def test_the_owner_hears_of_each_new_link_and_of_the_last_lost() -> None:
    one, two = Stub(None), Stub(None)
    transport = await made(one, two)
    log: list[str] = []
    transport.listen(Owner(lambda message: None, lambda: log.append("up"), lambda: log.append("down")))
    transport.link_up()
    transport.link_up()
    one.up = False
    transport.link_down()
    assert log == ["up", "up"]
    two.up = False
    transport.link_down()
    assert log == ["up", "up", "down"]
