"""Broker addresses and settings: what is refused, and that no secret is shown."""

from __future__ import annotations

from typing import Any

import pytest

from transport.mqtt_settings import BrokerAddress, MqttSettings


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "username"),
    [
        ("mqtt://example.org", "example.org", 1883, False, None),
        ("mqtts://example.org", "example.org", 8883, True, None),
        ("mqtt://me@10.0.0.1:1999", "10.0.0.1", 1999, False, "me"),
        ("mqtt://[::1]:1883", "::1", 1883, False, None),
    ],
)
def test_urls(url: str, host: str, port: int, tls: bool, username: str | None) -> None:
    address = BrokerAddress.parse(url)
    assert (address.url, address.host, address.port, address.tls, address.username) == (url, host, port, tls, username)


@pytest.mark.parametrize("url", ["", "example.org", "http://example.org", "mqtt://", "mqtt://u:secret@example.org"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        BrokerAddress.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert BrokerAddress("x", host, 1).is_loopback is loopback


def test_a_password_is_never_shown() -> None:
    address = BrokerAddress.parse("mqtt://h", password="swordfish")
    settings = MqttSettings((address,), "me", ("s",))
    assert "swordfish" not in repr(address) + repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"brokers": ()},
        {"replica": "a b"},
        {"spaces": ()},
        {"spaces": ("s/t",)},
        {"prefix": "a/b"},
        {"keepalive_seconds": 1},
        {"max_message": 1000},
        {"messages_per_second": -1},
        {"bytes_per_second": -1},
    ],
)
def test_values_out_of_bounds(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "brokers": (BrokerAddress.parse("mqtt://h"),),
        "replica": "me",
        "spaces": ("s",),
    }
    MqttSettings(**good)
    with pytest.raises(ValueError):
        MqttSettings(**(good | wrong))
