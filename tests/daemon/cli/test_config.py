"""config: every value and where it came from; a refused one ends with 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from config.load import all_settings


@pytest.fixture(autouse=True)
def _nothing_from_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    monkeypatch.setenv("GOSSAMER_CONFIG", str(empty))


def test_every_setting_is_shown(gossamer: Callable[..., Result], run_dir: Path) -> None:
    lines = gossamer("config", "--name", "a").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["SETTING", *all_settings()]
    assert lines[1].split() == ["replica.name", "a", "--name"]
    assert f"{run_dir}/a.sock" in "\n".join(lines)


def test_json_and_origins(gossamer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_GOSSIP__INTERVAL", "1s")
    monkeypatch.setenv("GOSSAMER_MQTT__PASSWORD", "hunter2")
    result = gossamer("config", "--json", "--name", "a", "--space", "x", "--space", "y", "--heartbeat", "2s")
    found = json.loads(result.stdout)
    assert found["gossip.interval"] == {"value": "1s", "origin": "GOSSAMER_GOSSIP__INTERVAL"}
    assert found["gossip.heartbeat"] == {"value": "2s", "origin": "--heartbeat"}
    assert found["replica.spaces"] == {"value": "x,y", "origin": "--space"}
    assert found["store.durability"] == {"value": "always", "origin": "default"}
    assert found["mqtt.password"]["value"] == "********"
    assert "hunter2" not in result.output


def test_what_is_refused_ends_with_2_and_one_line(gossamer: Callable[..., Result]) -> None:
    result = gossamer("config", "--name", "a", "--interval", "fast")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("gossamer: --interval: gossip.interval takes a duration")
    assert result.stderr.count("\n") == 1


def test_a_name_before_the_verb_counts(gossamer: Callable[..., Result]) -> None:
    assert json.loads(gossamer("--name", "z", "--json", "config").stdout)["replica.name"]["value"] == "z"
