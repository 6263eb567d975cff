"""How the traffic of a space grows with its replicas, by simulation; the table and the plot of docs/scaling.md.

    python tests/scaling.py                          10, 100 and 1,000 replicas
    python tests/scaling.py --replicas 10,30         others
    python tests/scaling.py --write-docs             and write the table and docs/scaling.svg

Time is virtual and everything is drawn from a seed: the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.simulation.fleet import Fleet, decoded_once

OPERATIONS = 10  # of each writer
LIMIT = 300.0  # virtual seconds within which everything has to converge


@dataclass(frozen=True)
class Row:
    """What was found for one number of replicas. Bytes are topic and payload."""

    replicas: int
    idle_received: float
    """Bytes a replica receives a second when nothing happens."""
    idle_sent: float
    operation: float
    """Bytes a replica receives for each operation of a burst, HELLOs and repairs for what was lost included."""
    burst_seconds: float
    """From the last write to all being equal, with one delivery in a hundred lost."""
    partition_seconds: float
    """From the end of a partition of half the space, in which both halves wrote, to all being equal."""
    partition_bytes: float
    """Received by a replica meanwhile, for each operation it lacked."""
    restart_seconds: float
    """From the moment the broker is back to all being equal; some wrote while it was away."""
    restart_peak: int
    """The most HELLOs that the space said in one second after that."""
    wall_seconds: float
    megabytes: int


def measure(replicas: int, seed: int = 1) -> Row:
    """One number of replicas, through everything."""
    began = time.monotonic()
    with decoded_once():
        fleet = Fleet(replicas, seed)
        period = fleet.members[0].replica.tuning.hello_period(replicas - 1)
        writers = min(replicas, 20)
        written = writers * OPERATIONS
        fleet.connect_all()
        fleet.run(3 * period + 30)
        assert all(len(member.replica.peers.by_name) == replicas - 1 for member in fleet.members)

        before = fleet.bytes_received(), fleet.bytes_sent()
        seconds = max(2 * period, 60.0)
        fleet.run(seconds)
        idle = [
            (after - b) / seconds / replicas
            for after, b in zip((fleet.bytes_received(), fleet.bytes_sent()), before, strict=True)
        ]

        bytes_before = fleet.bytes_received()
        with fleet.lossy():
            fleet.write(writers, OPERATIONS, 1.0)
            fleet.run(1.0)
            burst = fleet.until_equal(LIMIT)
        operation = (fleet.bytes_received() - bytes_before) / replicas / written

        fleet.divide()
        fleet.write(writers, OPERATIONS, 30.0)
        fleet.run(60.0)
        fleet.heal()
        bytes_before = fleet.bytes_received()
        partition = fleet.until_equal(LIMIT)
        partition_bytes = (fleet.bytes_received() - bytes_before) / replicas / (written / 2)

        fleet.run(30.0)
        fleet.stop_broker()
        fleet.write(writers, OPERATIONS, 5.0)
        fleet.run(10.0)
        back = int(fleet.now)
        fleet.connect_all()
        restart = fleet.until_equal(LIMIT)
        fleet.run(max(0.0, 60.0 - restart))
    peak = max(number for second, number in fleet.hellos.items() if second >= back)
    return Row(
        replicas, idle[0], idle[1], operation, burst, partition, partition_bytes, restart, peak,
        time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )  # fmt: skip


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="10,100,1000", help="numbers of replicas (default 10,100,1000)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for number in args.replicas.split(","):
        print(measure(int(number), args.seed), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
