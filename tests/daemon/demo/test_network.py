"""The network of the demo: a broker in a thread, a way for each, cut and healed from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiomqtt
import pytest

from daemon.demo.link import Cut
from daemon.demo.network import Network

SOON = 10.0


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(["alpha", "beta"])
    made.start()
    yield made
    made.stop()


def _client(network: Network, replica: str) -> aiomqtt.Client:
    host, port = network.url(replica).removeprefix("mqtt://").split(":")
    return aiomqtt.Client(host, int(port), identifier=replica, protocol=aiomqtt.ProtocolVersion.V311)


async def _next(client: aiomqtt.Client) -> object:
    async for message in client.messages:
        return message.payload
    raise AssertionError("the messages ended")


async def test_what_is_cut_hears_nothing_until_the_heal(network: Network) -> None:
    async with _client(network, "alpha") as alpha, _client(network, "beta") as beta:
        await beta.subscribe("t", qos=1)
        await alpha.publish("t", b"1", qos=1)
        assert await asyncio.wait_for(_next(beta), SOON) == b"1"
        network.cut("beta", Cut.SILENT)
        await alpha.publish("t", b"2", qos=1)
        waiting = asyncio.create_task(_next(beta))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        network.heal()
        assert await asyncio.wait_for(waiting, SOON) == b"2"


async def test_a_reset_is_felt_at_once(network: Network) -> None:
    with pytest.raises(aiomqtt.MqttError):
        async with _client(network, "alpha") as alpha:
            await alpha.subscribe("t")
            network.cut("alpha", Cut.RESET)
            await asyncio.wait_for(_next(alpha), SOON)


def test_it_may_be_stopped_before_it_started() -> None:
    Network(["alpha"]).stop()
