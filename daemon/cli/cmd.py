"""`gossamer cmd ARGS...`: one command, printed as redis-cli prints it."""

from __future__ import annotations

import sys

import click

from daemon.cli.client import Client, ErrorReply, Reply
from daemon.cli.errors import Exit, Unreachable
from daemon.cli.options import client_verb
from daemon.cli.output import pretty, print_json, raw, to_json, write
from daemon.cli.target import Target

_ENDLESS = {"SUBSCRIBE", "PSUBSCRIBE", "MONITOR"}


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-n", "database", type=int, default=0, metavar="N", help="The n-th space; 0 is the first.")
@click.option("-x", "last_from_stdin", is_flag=True, help="Read the last argument from standard input.")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND [ARG]...")
@client_verb
def cmd(target: Target, database: int, last_from_stdin: bool, words: tuple[str, ...]) -> None:
    """Send one command, as redis-cli does: raw output when not on a terminal, 4 for nil, 1 for an error."""
    arguments: list[str | bytes] = list(words)
    if last_from_stdin:
        arguments.append(sys.stdin.buffer.read())
    # A command may block (BLPOP, WAIT ...) as long as it likes.
    with target.connect(answer_within=None) as client:
        if target.json:
            # RESP3 tells maps from arrays.
            client.ask("HELLO", "3")
        if database:
            client.ask("SELECT", str(database))
        _run(client, arguments, target.json)


def _run(client: Client, arguments: list[str | bytes], as_json: bool) -> None:
    name = words_of(arguments[0]).upper()
    try:
        reply = client.call(*arguments)
        _show(reply, as_json)
        if name in _ENDLESS and not isinstance(reply, ErrorReply):
            for message in client.messages():
                _show(message, as_json)
    except KeyboardInterrupt:
        return
    except Unreachable:
        # SHUTDOWN answers by going away.
        if name != "SHUTDOWN":
            raise
        return
    if isinstance(reply, ErrorReply):
        # As it is: programs compare it.
        click.echo(str(reply), err=True)
        sys.exit(Exit.FAILURE)
    if _contains_error(reply):
        sys.exit(Exit.FAILURE)
    if reply is None:
        sys.exit(Exit.NOT_FOUND)


def words_of(argument: str | bytes) -> str:
    """An argument as text, for comparing."""
    return argument if isinstance(argument, str) else argument.decode("utf-8", "replace")


def _contains_error(reply: Reply) -> bool:
    return isinstance(reply, list) and any(isinstance(item, ErrorReply) or _contains_error(item) for item in reply)


def _show(reply: Reply, as_json: bool) -> None:
    if isinstance(reply, ErrorReply):
        return
    if as_json:
        print_json(to_json(reply))
    elif sys.stdout.isatty():
        click.echo(pretty(reply))
    else:
        write(raw(reply) + b"\n")
