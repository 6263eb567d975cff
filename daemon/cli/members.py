"""`gossamer members`: the peers this daemon knows of."""

from __future__ import annotations

import click

from daemon.cli.document import ask_status, peer_rows
from daemon.cli.options import client_verb
from daemon.cli.output import print_json, table
from daemon.cli.target import Target


@click.command()
@client_verb
def members(target: Target) -> None:
    """Show the peers: who is there, what they lack, what we lack."""
    with target.connect() as client:
        peers = ask_status(client)["peers"]
    if target.json:
        print_json(peers, indent=2)
    else:
        click.echo(
            table(peer_rows(peers)) if peers else "no peers yet: they appear when they share a broker and a space"
        )
