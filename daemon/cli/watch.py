"""`gossamer watch PATTERN`: changes of keys, as they happen, in all spaces."""

from __future__ import annotations

import time

import click

from daemon.cli.client import ErrorReply, Reply
from daemon.cli.document import ask_status
from daemon.cli.errors import CliError, Exit
from daemon.cli.options import client_verb
from daemon.cli.output import plain, print_json, to_json
from daemon.cli.target import Target


@click.command()
@click.argument("pattern")
@client_verb
def watch(target: Target, pattern: str) -> None:
    """Print `EVENT KEY` for each change of a key like PATTERN (as in KEYS), local or from a peer, until Ctrl-C."""
    with target.connect(answer_within=None) as client:
        # The names of the spaces are wanted before the connection turns into a subscriber.
        spaces = {space["index"]: space["name"] for space in ask_status(client)["spaces"]} if target.json else {}
        reply = client.call("PSUBSCRIBE", f"__keyspace@*__:{pattern}")
        if isinstance(reply, ErrorReply):
            raise CliError(f"the daemon answers: {reply}", Exit.FAILURE)
        try:
            for message in client.messages():
                _show(message, spaces if target.json else None)
        except KeyboardInterrupt:
            return


def _show(message: Reply, spaces: dict[int, str] | None) -> None:
    """`spaces` (index to name) asks for JSON."""
    if not isinstance(message, list) or len(message) != 4 or message[0] != b"pmessage":
        return
    _, _, channel, event = message
    prefix, _, key = channel.partition(b"__:")
    if spaces is None:
        click.echo(f"{event.decode()} {plain(key)}")
    else:
        index = int(prefix.removeprefix(b"__keyspace@"))
        space = spaces.get(index, str(index))
        print_json({"time": round(time.time(), 3), "space": space, "key": to_json(key), "event": event.decode()})
