"""What it costs to repair: a replica that was away while 1 % of a large set was added."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.servers import DEADLINE, Process, broker, connected, converged, daemon
from bench.sizes import fill_set
from bench.spy import Spy
from bench.table import Row

OPTIONS = ("--durability", "interval", "--heartbeat", "1s")


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """Bytes beside those that the same operations took as deltas, and the time from the first message to equality."""
    count = int(1_000_000 * scale)
    missing = count // 100
    what = f"repair of {missing:,} missing of {count:,}"
    size = Row(what, "their deltas, as published", "B", goal=1.1, more_is_better=False)
    took = Row(
        f"{what}, time", "the goal", "s", goal=2.0, more_is_better=False, note="from its first message to equal hashes"
    )
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        spy = stack.enter_context(Spy(port))
        whole = stack.enter_context(daemon(directory, "whole", port, *OPTIONS))
        with daemon(directory, "absent", port, *OPTIONS) as absent:
            connected(whole, absent)
            fill_set(whole, count)
            converged(whole, absent)
        for n in range(max(1, rounds // 2)):
            spy.reset()
            fill_set(whole, missing, key=f"missed-{n}")
            _settled(whole)
            size.theirs.append(_quiet(spy, "whole", "d"))
            spy.reset()
            with daemon(directory, "absent", port, *OPTIONS) as absent:
                converged(whole, absent)
                took.ours.append(spy.since_first("absent"))
                assert absent.client().scard(f"missed-{n}") == missing
                # The answer alone: the question (a version vector) is its author's, and a few bytes.
                size.ours.append(_quiet(spy, "whole", "i"))
    yield size
    yield took


def _settled(server: Process) -> None:
    """Everything acknowledged is cut, committed and handed to the broker."""
    server.ask("CRDT.SYNC")


def _quiet(spy: Spy, sender: str, lane: str) -> int:
    """What was counted, once nothing more has come for half a second."""
    until = time.monotonic() + DEADLINE
    last, since = -1, time.monotonic()
    while time.monotonic() < until:
        now = spy.bytes(sender, lane)
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 0.5:
            return now
        time.sleep(0.02)
    raise RuntimeError(f"{sender} does not stop sending on {lane}")
