"""How the traffic of a space grows with its replicas, by simulation: the table and the plot of docs/scaling.md.

    python tests/scaling.py                          10, 100 and 1,000 replicas, and 5,000 that are idle
    python tests/scaling.py --replicas 10,30         others
    python tests/scaling.py --write-docs             and write the table and docs/scaling.svg

Time is virtual and everything is drawn from a seed: no figure but the last line of the table depends on the machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__" and not sys.flags.safe_path:  # with PYTHONSAFEPATH the caller says where crdt is
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.simulation.fleet import Fleet, decoded_once

ROOT = Path(__file__).resolve().parent.parent
WRITERS = 20
OPERATIONS = 10  # of each writer
LIMIT = 300.0  # virtual seconds within which everything has to converge
ALL_WRITE = 100  # up to so many replicas it is measured what it costs when all write
OBSERVED = 100  # of the idle thousands: the others only speak
BEGIN, END = "<!-- table: made by `make scale ARGS=--write-docs` -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Row:
    """What was found for one number of replicas. Bytes are topic and payload; None: not measured."""

    replicas: int
    period: float
    """Seconds between two HELLOs of one replica."""
    idle_received: float
    """Bytes a replica receives a second when nothing happens."""
    idle_sent: float
    wall_seconds: float
    megabytes: int
    """The most memory this process had, all replicas together."""
    operation: float | None = None
    """Bytes a replica receives for each operation of a burst, HELLOs and repairs for what was lost included."""
    operation_all: float | None = None
    """The same where every replica writes, and so names what it saw of every other."""
    burst: float | None = None
    """Seconds from the last write to all being equal, with one delivery in a hundred lost."""
    partition: float | None = None
    """Seconds from the end of a partition of half the space, in which both halves wrote, to all being equal."""
    partition_bytes: float | None = None
    """Received by a replica meanwhile, for each operation it lacked."""
    restart: float | None = None
    """Seconds from the moment the broker is back to all being equal; some wrote while it was away."""
    restart_peak: int | None = None
    """The most HELLOs that the space said in one second after that."""


def measure(replicas: int, seed: int = 1) -> Row:
    """One number of replicas, through everything."""
    began = time.process_time()
    with decoded_once():
        fleet = Fleet(replicas, seed)
        period = fleet.members[0].replica.tuning.hello_period(replicas - 1)
        writers = min(replicas, WRITERS)
        written = writers * OPERATIONS
        fleet.connect_all()
        fleet.run(3 * period + 30)
        assert all(len(member.replica.peers.by_name) == replicas - 1 for member in fleet.members)
        received, sent = _idle(fleet, max(2 * period, 60.0))

        before = fleet.bytes_received()
        with fleet.lossy():
            fleet.write(writers, OPERATIONS, 1.0)
            fleet.run(1.0)
            burst = fleet.until_equal(LIMIT)
        operation = (fleet.bytes_received() - before) / replicas / written

        fleet.divide()
        fleet.write(writers, OPERATIONS, 30.0)
        fleet.run(60.0)
        fleet.heal()
        before = fleet.bytes_received()
        partition = fleet.until_equal(LIMIT)
        partition_bytes = (fleet.bytes_received() - before) / replicas / (written / 2)

        fleet.run(30.0)
        fleet.stop_broker()
        fleet.write(writers, OPERATIONS, 5.0)
        fleet.run(10.0)
        back = int(fleet.now)
        fleet.connect_all()
        restart = fleet.until_equal(LIMIT)
        fleet.run(max(0.0, 60.0 - restart))
        peak = max(number for second, number in fleet.hellos.items() if second >= back)
        operation_all = _all_write(fleet) if replicas <= ALL_WRITE else None
    return Row(
        replicas, period, received, sent, time.process_time() - began, _megabytes(), operation, operation_all, burst,
        partition, partition_bytes, restart, peak,
    )  # fmt: skip


def _idle(fleet: Fleet, seconds: float) -> tuple[float, float]:
    """Bytes that a replica receives and sends a second."""
    received, sent = fleet.bytes_received(), fleet.bytes_sent()
    fleet.run(seconds)
    share = seconds * len(fleet.members)
    return (fleet.bytes_received() - received) / share, (fleet.bytes_sent() - sent) / share


def _all_write(fleet: Fleet) -> float:
    number = len(fleet.members)
    before = fleet.bytes_received()
    fleet.write(number, OPERATIONS, OPERATIONS * 1.0)
    fleet.run(OPERATIONS * 1.0)
    fleet.until_equal(LIMIT)
    return (fleet.bytes_received() - before) / number / (number * OPERATIONS)


def idle(replicas: int, seed: int = 1) -> Row:
    """Many that do nothing: OBSERVED real replicas, and others that only say HELLO when they should."""
    began = time.process_time()
    with decoded_once():
        fleet = Fleet(OBSERVED, seed)
        fleet.connect_all()
        fleet.add_voices(replicas - OBSERVED)
        period = fleet.members[0].replica.tuning.hello_period(replicas - 1)
        fleet.run(2 * period)
        assert all(len(member.replica.peers.by_name) == replicas - 1 for member in fleet.members)
        received, sent = _idle(fleet, period)
    return Row(replicas, period, received, sent, time.process_time() - began, _megabytes())


def _megabytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


LINES = (
    ("HELLO of each replica, every", "period", "{:,.0f} s"),
    ("idle: received a second by each", "idle_received", "{:,.0f} B"),
    ("idle: sent a second by each", "idle_sent", "{:,.1f} B"),
    ("burst: received for each operation, 20 write", "operation", "{:,.0f} B"),
    ("burst: received for each operation, all write", "operation_all", "{:,.0f} B"),
    ("burst: until all are equal, 1 % lost", "burst", "{:,.1f} s"),
    ("partition of half: until all are equal", "partition", "{:,.1f} s"),
    ("partition of half: received for each operation that was missed", "partition_bytes", "{:,.0f} B"),
    ("restart of the broker: until all are equal", "restart", "{:,.1f} s"),
    ("restart of the broker: most HELLOs a second in the space", "restart_peak", "{:,}"),
    ("simulated in (CPU of one core)", "wall_seconds", "{:,.0f} s"),
    ("memory of the simulation", "megabytes", "{:,} MB"),
)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a column for each number of replicas."""
    out = ["| replicas | " + " | ".join(f"{row.replicas:,}" for row in rows) + " |", "|---|" + "---:|" * len(rows)]
    for text, name, form in LINES:
        values = [getattr(row, name) for row in rows]
        out.append(f"| {text} | " + " | ".join("" if v is None else form.format(v) for v in values) + " |")
    return "\n".join(out) + "\n"


def svg(rows: Sequence[Row]) -> str:
    """Bars: what a replica receives when idle, and the three times."""
    panels = [("idle: bytes received a second by each replica", "idle_received", "B"), *(
        (text, name, "s") for text, name, _ in LINES if name in ("burst", "partition", "restart")
    )]  # fmt: skip
    width, left, step = 720, 110, 20
    parts, y = [], 24
    for text, name, unit in panels:
        shown = [(row, getattr(row, name)) for row in rows if getattr(row, name) is not None]
        scale = (width - left - 90) / max(value for _, value in shown)
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{text}</text>')
        for row, value in shown:
            y += step
            parts.append(f'<text x="{left - 10}" y="{y}" text-anchor="end">{row.replicas:,}</text>')
            parts.append(f'<rect x="{left}" y="{y - 12}" width="{value * scale:.1f}" height="15" fill="#2e7d5b"/>')
            label = f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
            parts.append(f'<text x="{left + value * scale + 6:.1f}" y="{y}">{label}</text>')
        y += 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y - 10}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="{width}" height="{y - 10}" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def write_docs(rows: Sequence[Row]) -> None:
    """Put table and plot into docs/."""
    page = ROOT / "docs" / "scaling.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(rows)}{END}{after}", encoding="utf-8")
    (ROOT / "docs" / "scaling.svg").write_text(svg(rows), encoding="utf-8")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="10,100,1000", help="numbers of replicas (default 10,100,1000)")
    parser.add_argument("--idle", type=int, default=5000, help="so many that do nothing; 0 = skip (default 5000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write-docs", action="store_true", help="write docs/scaling.md and docs/scaling.svg")
    args = parser.parse_args()
    rows: list[Row] = []
    for number in map(int, args.replicas.split(",")):
        print(f"{number:,} replicas ...", file=sys.stderr, flush=True)
        rows.append(measure(number, args.seed))
    if args.idle:
        print(f"{args.idle:,} idle ...", file=sys.stderr, flush=True)
        rows.append(idle(args.idle, args.seed))
    print(table(rows))
    if args.write_docs:
        write_docs(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
