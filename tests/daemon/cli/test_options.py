"""Shared options: the flags of run are the flags config knows."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from config.load import FLAGS
from daemon.cli.options import Duration, settings_options


def test_the_flags_are_those_of_config() -> None:
    seen: dict[str, object] = {}

    @click.command()
    @settings_options
    def verb(flags: dict[str, object]) -> None:
        seen.update(flags)

    assert CliRunner().invoke(verb, ["--embedded-broker", "127.0.0.1:1", "--space", "a"]).exit_code == 0
    assert set(seen) == {*FLAGS, "config"}
    assert (seen["embedded_broker"], seen["space"], seen["name"]) == ("127.0.0.1:1", ("a",), None)


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("0", 0.0), (1.5, 1.5)])
def test_durations(text: str | float, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


def test_what_is_no_duration() -> None:
    with pytest.raises(click.BadParameter, match="no duration such as"):
        Duration().convert("5", None, None)
