"""`gossamer ping`: does the daemon answer, and how fast."""

from __future__ import annotations

import time

import click

from daemon.cli.client import ANSWER_WITHIN
from daemon.cli.errors import Unreachable
from daemon.cli.options import Duration, client_verb
from daemon.cli.output import print_json
from daemon.cli.target import NoSocket, Target

_AGAIN_AFTER = 0.05
"""Seconds between attempts; a start takes a few tenths of a second."""


@click.command()
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Wait that long for the daemon to answer.")
@client_verb
def ping(target: Target, timeout: float | None) -> None:
    """Ask whether the daemon answers, and how fast. Exits with 3 if it does not."""
    deadline = time.monotonic() + (timeout or 0)
    while True:
        left = deadline - time.monotonic()
        try:
            seconds = _round_trip(target, max(left, _AGAIN_AFTER) if timeout else ANSWER_WITHIN)
            break
        except (Unreachable, NoSocket) as error:
            if not timeout:
                raise
            if left <= _AGAIN_AFTER:
                raise Unreachable(f"{error.message} (waited {timeout:g} s)") from None
        time.sleep(_AGAIN_AFTER)
    if target.json:
        print_json({"reply": "PONG", "round_trip_seconds": round(seconds, 6)})
    else:
        click.echo(f"PONG {seconds * 1000:.1f} ms")


def _round_trip(target: Target, answer_within: float) -> float:
    with target.connect(answer_within) as client:
        start = time.perf_counter()
        client.ask("PING")
        return time.perf_counter() - start
