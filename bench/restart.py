"""How long a start takes with much to load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.servers import broker, daemon, redis_server
from bench.sizes import fill_set
from bench.table import Row


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """Start with a million set elements, against redis-server and its append-only file as commands."""
    count = int(1_000_000 * scale)
    row = Row(
        f"start with {count:,} set elements", "redis-server, AOF as commands", "s", goal=3.0, more_is_better=False
    )
    form = ("--aof-use-rdb-preamble", "no", "--auto-aof-rewrite-percentage", "0")
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        with daemon(directory, "restart", port, "--durability", "interval") as ours:
            fill_set(ours, count)
            time.sleep(2.0)
        with redis_server(directory, *form, name="restart-redis") as theirs:
            fill_set(theirs, count)
        for _ in range(rounds):
            began = time.monotonic()
            with redis_server(directory, *form, name="restart-redis"):
                row.theirs.append(time.monotonic() - began)
            began = time.monotonic()
            with daemon(directory, "restart", port, "--durability", "interval") as ours:
                row.ours.append(time.monotonic() - began)
                assert ours.client().scard("big") == count
    yield row
    yield Row(f"start with {count:,} set elements", "the goal", "s", list(row.ours), goal=10.0, more_is_better=False)
