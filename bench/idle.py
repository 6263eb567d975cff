"""What a daemon with ten peers costs while nobody writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.servers import broker, connected, daemons
from bench.table import Row

PEERS = 10


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """CPU of each of eleven real daemons, per cent of a core, default heartbeat; after they have met."""
    seconds = 40.0 * scale
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        all_of_them = stack.enter_context(daemons(directory, (f"idle{n}" for n in range(PEERS + 1)), port))
        connected(*all_of_them)
        time.sleep(5.0)  # greetings
        before = [one.cpu() for one in all_of_them]
        time.sleep(seconds)
        shares = [(one.cpu() - was) / seconds * 100 for one, was in zip(all_of_them, before, strict=True)]
    note = f"each of {len(all_of_them)} daemons over {seconds:.0f} s"
    yield Row(f"idle CPU with {PEERS} peers", "the goal", "%", shares, goal=1.0, more_is_better=False, note=note)
