"""`make curves`: what a write costs as connections, values, keys and replicas grow.

The figure is CPU time of the server for an operation, in microseconds: on a machine that client, servers, peers and
broker share, throughput says more about the scheduler. What is flat ought to be flat; docs/performance.md explains what
bends. No goals are judged here (`make bench` does).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from bench.servers import broker, connected, converged, daemon, redis_server
from bench.table import measured_on
from bench.throughput import run

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- curves: made by `make curves ARGS=--write-docs` -->", "<!-- end of curves -->"
OPTIONS = ("--durability", "interval")
LINES = ("#2e7d5b", "#1f5fa8", "#c0392b", "#8a6d1b")


@dataclass
class Curve:
    """`lines`: name -> a figure for each of `at`."""

    title: str
    axis: str
    at: Sequence[int]
    unit: str = "us of CPU an operation"
    lines: dict[str, list[float]] = field(default_factory=dict)

    def add(self, line: str, figure: float) -> None:
        self.lines.setdefault(line, []).append(figure)

    def markdown(self) -> str:
        """A table: a row for each line."""
        head = [f"{self.axis} ->", *(f"{n:,}" for n in self.at)]
        rows = [[name, *(f"{figure:.3g}" for figure in figures)] for name, figures in self.lines.items()]
        table = [head, ["---"] * len(head), *rows]
        return f"**{self.title}** ({self.unit})\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in table) + "\n"


class Bench:
    """Ours with a live peer, and redis-server; the median of a few alternations."""

    def __init__(self, directory: Path, stack: ExitStack, rounds: int) -> None:
        port = stack.enter_context(broker(directory))
        self.theirs = stack.enter_context(redis_server(directory, "--appendfsync", "everysec"))
        self.peer = stack.enter_context(daemon(directory, "peer", port, *OPTIONS))
        self.ours = stack.enter_context(daemon(directory, "ours", port, *OPTIONS))
        connected(self.ours, self.peer)
        self.rounds = rounds
        self._spent = self.peer.cpu()

    def measure(self, curve: Curve, test: str, clients: int, requests: int, keys: int, size: int = 3) -> None:
        """One point of each line."""
        samples: dict[str, list[float]] = {}
        for _ in range(self.rounds):
            for name, server in (("redis-server", self.theirs), ("ours", self.ours)):
                cpu = run(server, test, clients, 1, requests, keys, size)["cpu"]
                samples.setdefault(f"{name}, {test.upper()}", []).append(cpu)
            samples.setdefault("our peer, " + test.upper(), []).append(self._applied(requests))
        for name, figures in samples.items():
            if test != "get" or not name.startswith("our peer"):
                curve.add(name, median(figures))

    def rest(self) -> None:
        """Until what was written is stored, published and folded into the files."""
        self._applied(1)
        time.sleep(1.0)
        self._spent = self.peer.cpu()

    def _applied(self, requests: int) -> float:
        """What the peer has spent since the last call, for each write."""
        converged(self.ours, self.peer)
        before, self._spent = self._spent, self.peer.cpu()
        return (self._spent - before) / requests * 1e6


def _connections(directory: Path, rounds: int, scale: float) -> Iterator[Curve]:
    with ExitStack() as stack:
        bench = Bench(directory, stack, rounds)
        curve = Curve("Connections", "connections", (1, 2, 5, 10, 25, 50))
        for test in ("get", "set"):
            for clients in curve.at:
                bench.measure(curve, test, clients, int((20_000 if clients < 5 else 100_000) * scale), 100_000)
        yield curve


def _values(directory: Path, rounds: int, scale: float) -> Iterator[Curve]:
    with ExitStack() as stack:
        bench = Bench(directory, stack, rounds)
        curve = Curve("Size of the value, 10 connections", "bytes", (10, 100, 1_000, 10_000, 100_000, 1_000_000))
        for test in ("get", "set"):
            for size in curve.at:
                requests = int(min(50_000, max(1_000, 100_000_000 // size)) * scale)
                if test == "get":  # what it reads
                    for server in (bench.theirs, bench.ours):
                        run(server, "set", 1, 1, 400, 100, size)
                    bench.rest()
                bench.measure(curve, test, 10, requests, 100, size)
        yield curve


def _keys(directory: Path, rounds: int, scale: float) -> Iterator[Curve]:
    with ExitStack() as stack:
        bench = Bench(directory, stack, rounds)
        curve = Curve("Keys, and elements of one set, 50 connections", "keys", (1_000, 10_000, 100_000, 1_000_000))
        for test in ("set", "get", "sadd"):
            for keys in curve.at:
                if test != "get":
                    for server in (bench.theirs, bench.ours):
                        run(server, test, 50, 16, min(2 * keys, 400_000), keys)  # fill them
                    bench.rest()
                bench.measure(curve, test, 50, int(100_000 * scale), keys)
        yield curve


def _replicas(directory: Path, rounds: int, scale: float) -> Iterator[Curve]:
    curve = Curve("Replicas: writes on one until all have them", "replicas", (2, 5, 10, 20))
    requests = int(100_000 * scale)
    for count in curve.at:
        with ExitStack() as stack:
            home = directory / str(count)
            home.mkdir()
            port = stack.enter_context(broker(home))
            daemons = [stack.enter_context(daemon(home, f"r{n}", port, *OPTIONS)) for n in range(count)]
            connected(*daemons)
            first, *others = daemons
            before = [one.cpu() for one in others]
            began = time.monotonic()
            curve.add("author, SET", run(first, "set", 50, 1, requests, 100_000)["cpu"])
            written = time.monotonic() - began
            converged(*daemons)
            spent = sum(one.cpu() for one in others) - sum(before)
            curve.add("each peer", spent / len(others) / requests * 1e6)
            curve.add("writing, s", written)
            curve.add("... until all have them, s", time.monotonic() - began)
    yield curve


PARTS: dict[str, Callable[[Path, int, float], Iterator[Curve]]] = {
    "connections": _connections,
    "values": _values,
    "keys": _keys,
    "replicas": _replicas,
}


def svg(curve: Curve, top: int) -> list[str]:
    """Lines over a logarithmic axis, from zero."""
    width, height, left = 420, 180, 50
    highest = max(max(figures) for name, figures in curve.lines.items() if not name.endswith(", s"))
    across = [left + i * (width / max(1, len(curve.at) - 1)) for i in range(len(curve.at))]
    out = [f'<text x="{left}" y="{top + 14}" font-weight="bold">{curve.title}: {curve.unit}</text>']
    base = top + 24 + height
    out.append(f'<path d="M{left},{top + 24} V{base} H{left + width}" fill="none" stroke="#999"/>')
    out.append(f'<text x="4" y="{top + 34}">{highest:.3g}</text><text x="4" y="{base}">0</text>')
    for x, n in zip(across, curve.at, strict=True):
        out.append(f'<text x="{x - 8:.0f}" y="{base + 14}">{n:,}</text>')
    drawn = [(name, figures) for name, figures in curve.lines.items() if not name.endswith(", s")]
    for i, (name, figures) in enumerate(drawn):
        points = [(x, base - figure / highest * height) for x, figure in zip(across, figures, strict=True)]
        colour, dash = LINES[i % len(LINES)], "4 3" if name.startswith("redis") else "none"
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-dasharray="{dash}"/>')
        out.append(f'<text x="{left + width + 10}" y="{top + 40 + 16 * i}" fill="{colour}">{name}</text>')
    return out


def _plot(curves: Sequence[Curve]) -> str:
    each = 240
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{each * len(curves) + 10}"'
    parts = [head, 'font-family="sans-serif" font-size="12">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for i, curve in enumerate(curves):
        parts += svg(curve, i * each + 4)
    return "\n".join([*parts, "</svg>"]) + "\n"


@click.command()
@click.option("--quick", is_flag=True, help="One alternation and a fifth of the work.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="These curves alone; repeatable.")
@click.option("--write-docs", is_flag=True, help="Put tables and a plot into docs/performance.md.")
def main(quick: bool, only: tuple[str, ...], write_docs: bool) -> None:
    """Measure what a write costs as things grow."""
    rounds, scale = (1, 0.2) if quick else (3, 1.0)
    click.echo(measured_on() + "\n")
    curves: list[Curve] = []
    for name in only or tuple(PARTS):
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            for curve in PARTS[name](Path(directory), rounds, scale):
                curves.append(curve)
                click.echo(curve.markdown())
    if write_docs:
        file = DOCS / "performance.md"
        before, _, rest = file.read_text().partition(BEGIN)
        tables = "\n".join(curve.markdown() for curve in curves)
        file.write_text(
            f"{before}{BEGIN}\n\n{measured_on()}\n\n{tables}\n![curves](curves.svg)\n\n{END}{rest.partition(END)[2]}"
        )
        (DOCS / "curves.svg").write_text(_plot(curves))


if __name__ == "__main__":
    main()
