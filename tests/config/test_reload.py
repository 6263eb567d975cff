"""What SIGHUP changes, and what it only announces."""

from __future__ import annotations

from config.load import all_settings, load
from config.machine import Machine
from config.reload import LIVE, reloaded


def test_live_settings_take_effect_and_others_wait(machine: Machine, home: dict[str, str]) -> None:
    old = load({}, home, machine).settings
    new = load({"interval": "1s", "log_level": "debug", "http": "127.0.0.1:0", "space": ("x",)}, home, machine).settings
    outcome = reloaded(old, new)
    assert outcome.changed == ("gossip.interval", "log.level")
    assert outcome.restart == ("replica.spaces", "api.http")
    assert outcome.settings.gossip.interval == 1.0
    assert outcome.settings.log.level == "debug"
    assert outcome.settings.api.http is None
    assert outcome.settings.replica == old.replica


def test_nothing_new_changes_nothing(machine: Machine, home: dict[str, str]) -> None:
    old = load({}, home, machine).settings
    outcome = reloaded(old, load({}, home, machine).settings)
    assert (outcome.settings, outcome.changed, outcome.restart) == (old, (), ())


def test_two_settings_of_one_layer(machine: Machine, home: dict[str, str]) -> None:
    old = load({}, home, machine).settings
    new = load({"interval": "1s", "heartbeat": "9s"}, home, machine).settings
    assert reloaded(old, new).settings == new


def test_live_settings_exist() -> None:
    assert set(all_settings()) >= LIVE
