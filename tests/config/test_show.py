"""What is printed can be written again, and is never a secret."""

from __future__ import annotations

import pytest

from config.load import all_settings, load, variable_of
from config.machine import Machine
from config.settings import SECRETS
from config.show import shown


def test_what_is_printed_loads_again(machine: Machine, home: dict[str, str]) -> None:
    environ = home | {
        "GOSSAMER_MQTT__BROKERS": "mqtts://u@h:99,mqtt://[::1]",
        "GOSSAMER_API__LISTEN": "[::1]:6379",
        "GOSSAMER_MQTT__MESSAGES_PER_SECOND": "0.5",
        "GOSSAMER_MQTT__BYTES_PER_SECOND": "512KiB",
        "GOSSAMER_GOSSIP__INTERVAL": "1500us",
        "GOSSAMER_API__SOCKET_MODE": "0600",
        "GOSSAMER_REPLICA__SPACES": "a,b",
    }
    settings = load({}, environ, machine).settings
    printed = {variable_of(s): shown(settings, s) for s in all_settings() if s not in SECRETS}
    assert load({}, home | printed, machine).settings == settings


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("gossip.interval", "200ms"),
        ("limits.value", "1MiB"),
        ("limits.clients", "1000"),
        ("api.socket_mode", "0660"),
        ("mqtt.allow_plaintext", "false"),
        ("mqtt.brokers", "mqtt://kitchen@127.0.0.1:1883"),
        ("api.http", ""),
    ],
)
def test_spelling(setting: str, text: str, machine: Machine, home: dict[str, str]) -> None:
    assert shown(load({}, home, machine).settings, setting) == text


def test_secrets_are_masked(machine: Machine, home: dict[str, str]) -> None:
    settings = load({}, home | {"GOSSAMER_MQTT__PASSWORD": "hunter2"}, machine).settings
    assert shown(settings, "mqtt.password") == "********"
    assert shown(settings, "api.password") == ""
    assert "hunter2" not in " ".join(shown(settings, s) for s in all_settings())
