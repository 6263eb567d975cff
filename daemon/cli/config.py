"""`gossamer config`: every setting, its value, and where it came from."""

from __future__ import annotations

import os

import click

from config.load import load
from config.show import shown
from daemon.cli.options import json_option, settings_options
from daemon.cli.output import print_json, table


@click.command()
@json_option
@settings_options
def config(flags: dict[str, object], as_json: bool) -> None:
    """Print every setting a daemon started like this would have, and where it came from. Passwords are masked."""
    loaded = load(flags, os.environ)
    values = {setting: shown(loaded.settings, setting) for setting in loaded.origin}
    if as_json:
        print_json({s: {"value": values[s], "origin": loaded.origin[s]} for s in values}, indent=2)
    else:
        click.echo(table([["SETTING", "VALUE", "FROM"], *([s, values[s] or "-", loaded.origin[s]] for s in values)]))
