"""`gossamer status`: the daemon at a glance."""

from __future__ import annotations

import click

from daemon.cli.document import ask_status, broker_rows, peer_rows, space_rows
from daemon.cli.options import client_verb
from daemon.cli.output import print_json, table
from daemon.cli.target import Target


@click.command()
@client_verb
def status(target: Target) -> None:
    """Show spaces, peers and brokers."""
    with target.connect() as client:
        found = ask_status(client)
    if target.json:
        print_json(found, indent=2)
        return
    ready = "ready" if found["ready"] else "not ready"
    click.echo(f"{found['name']}: gossamer {found['version']}, up {_elapsed(found['uptime_seconds'])}, {ready}")
    click.echo("\n" + table(space_rows(found["spaces"])))
    for space in found["spaces"]:
        if space.get("alarms"):
            said = ", ".join(f"{code} {count}" for code, count in space["alarms"].items())
            click.echo(f"\nalarms in {space['name']} since the start: {said}; the log says what to do")
    click.echo("\n" + (table(peer_rows(found["peers"])) if found["peers"] else "no peers yet"))
    click.echo("\n" + (table(broker_rows(found["brokers"])) if found["brokers"] else "no brokers configured"))


def _elapsed(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    # Two units say enough.
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2])
