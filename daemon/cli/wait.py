"""`gossamer wait`: until peers have applied everything this daemon has acknowledged."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import click

from daemon.cli.client import Client, ErrorReply
from daemon.cli.document import parse_status
from daemon.cli.errors import CliError, Exit
from daemon.cli.options import Duration, client_verb
from daemon.cli.output import print_json
from daemon.cli.target import Target

_AGAIN_AFTER = 0.1
"""Seconds between looks at a daemon that has no broker, or no peers, yet."""
_SLICE = 1.0
"""Seconds after which a wait looks again who is online."""


@dataclass(slots=True)
class _Space:
    """How far one space is. Its write is cut once; what is written later is not waited for."""

    index: int
    name: str
    cut: bool = False
    needed: int = 0
    applied: int = 0

    @property
    def reached(self) -> bool:
        return self.cut and 0 < self.needed <= self.applied


@click.command()
@click.option("--peers", type=click.IntRange(min=1), metavar="N", help="How many; by default all that are online.")
@click.option("--timeout", type=Duration(), default="10s", metavar="DURATION", help="By default 10s; 0 = for ever.")
@client_verb
def wait(target: Target, peers: int | None, timeout: float) -> None:
    """Wait until peers have applied everything this daemon has acknowledged, in every space. Exits with 6 if not in
    time.
    """
    start = time.monotonic()
    deadline = start + timeout if timeout else math.inf
    # Every call is bounded by a slice; the rest is what a daemon needs to answer.
    with target.connect() as client:
        spaces = _until(client, peers, deadline)
    seconds = time.monotonic() - start
    least = min(spaces, key=lambda space: space.applied - space.needed)
    reached = all(space.reached for space in spaces)
    if target.json:
        print_json(
            {"reached": reached, "peers": least.needed, "applied": least.applied, "seconds": round(seconds, 3)}
            | {"spaces": [{"name": s.name, "peers": s.needed, "applied": s.applied} for s in spaces]}
        )
    if not reached:
        raise CliError(_shortfall(least, seconds), Exit.TIMED_OUT)
    if not target.json:
        click.echo(f"{least.applied} of {least.needed} peers have everything ({seconds:.2f} s)")


def _until(client: Client, peers: int | None, deadline: float) -> list[_Space]:
    """The spaces when all are reached or the time is up. Raises CliError with status 8 if every broker refuses."""
    spaces: list[_Space] = []
    while True:
        found = _status(client)
        if found:
            _raise_if_refused(found["brokers"])
            spaces = spaces or [_Space(space["index"], space["name"]) for space in found["spaces"]]
            for space in spaces:
                if not space.reached:
                    _advance(client, space, peers or _online(found, space.name), deadline)
        if (spaces and all(space.reached for space in spaces)) or time.monotonic() >= deadline:
            return spaces or [_Space(0, "default", needed=peers or 0)]
        time.sleep(max(0.0, min(_AGAIN_AFTER, deadline - time.monotonic())))


def _status(client: Client) -> dict[str, Any] | None:
    """None while the daemon is loading."""
    reply = client.call("CRDT.STATUS")
    if isinstance(reply, ErrorReply) and str(reply).startswith("LOADING"):
        return None
    return parse_status(reply)


def _advance(client: Client, space: _Space, needed: int, deadline: float) -> None:
    """Cuts what is pending, once, and asks the peers for a slice of time."""
    space.needed = needed
    client.ask("SELECT", str(space.index))
    if not space.cut:
        reply = client.call("CRDT.SYNC")
        if isinstance(reply, ErrorReply) and "no broker" not in str(reply):
            raise CliError(f"the daemon answers: {reply}", Exit.FAILURE)
        space.cut = not isinstance(reply, ErrorReply)
    left = deadline - time.monotonic()
    if space.cut and needed:
        # 0 would mean for ever.
        milliseconds = max(1, int(min(_SLICE, left) * 1000))
        space.applied = int(client.ask("WAIT", str(needed), str(milliseconds)))


def _online(found: dict[str, Any], space: str) -> int:
    return sum(peer["space"] == space and peer["state"] == "online" for peer in found["peers"])


def _raise_if_refused(brokers: list[dict[str, Any]]) -> None:
    if brokers and all(broker["state"] == "refused" for broker in brokers):
        reasons = "; ".join(f"{broker['url']}: {broker.get('reason') or 'refused'}" for broker in brokers)
        raise CliError(f"every broker refuses this daemon ({reasons})", Exit.REFUSED)


def _shortfall(space: _Space, seconds: float) -> str:
    after = f"after {seconds:.1f} s"
    if not space.needed:
        return f"no peer is online in space {space.name!r} {after}: see 'gossamer members' and 'gossamer status'"
    if not space.cut:
        return f"no broker is connected {after}: see 'gossamer status'"
    short = f"{space.applied} of {space.needed} peers have everything of space {space.name!r} {after}"
    return f"{short}: see 'gossamer members'"
