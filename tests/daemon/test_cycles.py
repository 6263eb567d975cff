"""Memory and disk of daemons in which much comes and goes: invariant I11, with real processes.

`make test` runs a few thousand cycles. With more, and figures (docs/guarantees.md has what came of it):

    CYCLES=1000000 make test ARGS="-s tests/daemon/test_cycles.py"
"""

from __future__ import annotations

import os

import pytest

from tests.daemon.processes import Daemon, World, converged, online, until

CYCLES = int(os.environ.get("CYCLES", "8000"))
STAY = 3000  # members and keys that are there at any time: more than a cut takes, so each is in a frame
BATCH = 1000
MIB = 1 << 20


def cycles(daemon: Daemon, first: int, count: int) -> None:
    """As many members of a set and keys are added, and those removed that came STAY before."""
    for start in range(first, first + count, BATCH):
        pipe = daemon.redis.pipeline(transaction=False)
        for i in range(start, start + BATCH):
            pipe.sadd("s", f"member {i}")
            pipe.set(f"key {i}", "some value")
            pipe.srem("s", f"member {i - STAY}")
            pipe.delete(f"key {i - STAY}")
        pipe.execute()


def resident(daemon: Daemon) -> int:
    """Bytes of memory."""
    return int(daemon.redis.info("memory")["used_memory_rss"])


def on_disk(daemon: Daemon) -> int:
    """Bytes of its files."""
    return sum(file.stat().st_size for file in daemon.data.rglob("*") if file.is_file())


@pytest.mark.timeout(900)
def test_what_comes_and_goes_leaves_nothing_in_memory_and_on_disk(world: World) -> None:
    daemons = [world.daemon(name, GOSSAMER_STORE__LOG_BUDGET="1MiB").start() for name in "ab"]
    writer, _ = daemons
    until(lambda: all(online(one) for one in daemons), "the peers")
    step, early = CYCLES // 4, [0, 0]
    for first in range(0, CYCLES, step):
        cycles(writer, first, step)
        until(lambda: converged(*daemons), "both to be equal")
        memory, disk = [resident(one) for one in daemons], [on_disk(one) for one in daemons]
        print(f"\n{first + step:,} cycles: memory {memory}, disk {disk} bytes", end="")
        early = early if first else memory
    assert [writer.redis.scard("s"), writer.redis.dbsize()] == [STAY, STAY + 1]
    assert all(late < before + 8 * MIB for late, before in zip(memory, early, strict=True))
    assert max(disk) < 12 * MIB
