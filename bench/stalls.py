"""How long the loop stands still: the longest answer to a PING while something large happens.

Each row stands beside redis-server's under a load of the same kind, or beside the same PING of an idle daemon: on a
shared machine the scheduler alone makes waits of several ms, and those are not the loop's. The log is short, so that
checkpoints are written all the time, and a newcomer needs a snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.pinger import Pinger
from bench.servers import Process, broker, connected, converged, daemon, redis_server
from bench.sizes import fill_set
from bench.table import Row

OPTIONS = ("--durability", "interval", "--heartbeat", "1s")
SHORT_LOG = {"GOSSAMER_STORE__LOG_BUDGET": "4MiB"}
GOAL = 20.0


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """All rows of this module; `ours` is compared with the goal, in ms."""
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        theirs = stack.enter_context(redis_server(directory, name="still-redis"))
        ours = stack.enter_context(daemon(directory, "still", port, *OPTIONS, **SHORT_LOG))
        peer = stack.enter_context(daemon(directory, "giver", port, *OPTIONS, **SHORT_LOG))
        connected(ours, peer)
        yield _row("idle", "redis-server, idle", _watched(ours, _nothing), _watched(theirs, _nothing), None)
        yield _merging(ours, peer, int(100_000 * scale), rounds)
        yield _growing(ours, theirs, int(2_200_000 * scale))
        converged(ours, peer)
        yield from _answering(directory, port, ours)


def _merging(ours: Process, peer: Process, count: int, rounds: int) -> Row:
    """A burst of a peer's comes in."""
    samples = []
    for n in range(rounds):
        with Pinger(_path(ours)) as pinger:
            fill_set(peer, count, key=f"merged-{n}")
            converged(peer, ours)
        samples.append(pinger.worst)
    row = _row(f"merging {count:,} records of a peer", "the goal", samples[0], None, GOAL)
    row.ours = samples
    return row


def _growing(ours: Process, theirs: Process, count: int) -> Row:
    """A set grows past a point where a plain dictionary would be copied for a quarter of a second; cuts and checkpoints
    are written meanwhile."""
    figures = []
    for server in (theirs, ours):
        with Pinger(_path(server)) as pinger:
            fill_set(server, count, key="grown", batch=200)
        figures.append(pinger.worst)
    return _row(f"a set grows to {count:,}", "redis-server", figures[1], figures[0], GOAL)


def _answering(directory: Path, port: int, ours: Process) -> Iterator[Row]:
    """A newcomer is given everything."""
    with (
        daemon(directory, "newcomer", port, *OPTIONS) as newcomer,
        Pinger(_path(ours)) as giver,
        Pinger(_path(newcomer)) as asker,
    ):
        converged(ours, newcomer, within=300)
        if newcomer.client().info()["crdt_log_bytes"] > 1 << 20:
            raise RuntimeError("the newcomer was given frames, not a snapshot")
    yield _row("giving a newcomer all of that", "the goal", giver.worst, None, GOAL)
    yield _row("being given all of that, and joining it", "the goal", asker.worst, None, GOAL)


def _watched(server: Process, what: object) -> float:
    with Pinger(_path(server)) as pinger:
        what()  # type: ignore[operator]
    return pinger.worst


def _nothing() -> None:
    time.sleep(3.0)


def _path(server: Process) -> Path:
    assert server.path is not None
    return server.path


def _row(what: str, against: str, ours: float, theirs: float | None, goal: float | None) -> Row:
    others = [] if theirs is None else [theirs]
    row = Row(f"longest wait, {what}", against, "ms", [ours], others, goal, more_is_better=False)
    row.absolute = True
    return row
