"""The command `gossamer`: one verb a module, imported when it is used.

Knows: the names of the verbs and a line about each. Promises: `gossamer ping` imports nothing the daemon needs;
errors end in one line on standard error and the exit status of the API. Must not know: what a verb does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from config.errors import ConfigError
from daemon.cli.errors import CliError, Exit
from daemon.cli.options import target_options

VERBS = {
    "run": "Run the daemon.",
    "demo": "Watch three replicas part, write on both sides, and converge.",
    "ping": "Ask whether the daemon answers, and how fast.",
    "status": "Show spaces, peers and brokers.",
    "members": "Show the peers.",
    "cmd": "Send one command, as redis-cli does.",
    "watch": "Print changes of keys as they happen.",
    "wait": "Wait until peers have everything.",
    "config": "Print every setting and where it came from.",
}
"""Verb to summary. `daemon.cli.VERB` defines the click command VERB."""


class _Verbs(click.Group):
    """A group whose commands are modules: listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"daemon.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise CliError(str(error), Exit.USAGE) from None


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        # Reading metadata takes as long as all of click; nobody else needs it.
        from importlib.metadata import version

        click.echo(f"gossamer {version('gossamer')}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
@target_options
def main(**_target: object) -> None:
    """Replicated state over MQTT: programs talk Redis to a local daemon, the daemons converge."""
