"""`python -m bench`: see README.md."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import engine, idle, library, repair, replication, restart, servers, sizes, stalls, throughput
from bench.servers import Skipped
from bench.table import HEAD, Row, markdown, measured_on, svg
from crdt import state

Measure = Callable[[Path, int, float], Iterator[Row]]
AREAS: dict[str, Measure] = {
    "engine": engine.rows,
    "throughput": throughput.rows,
    "replication": replication.rows,
    "sizes": sizes.rows,
    "restart": restart.rows,
    "repair": repair.rows,
    "stalls": stalls.rows,
    "idle": idle.rows,
    "library": library.rows,
}
DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- table: made by `make bench ARGS=--write-docs` -->", "<!-- end of table -->"


@click.command()
@click.option("--quick", is_flag=True, help="Three alternations and a seventh of the work; under two minutes.")
@click.option("--only", multiple=True, type=click.Choice(list(AREAS)), help="These areas alone; repeatable.")
@click.option(
    "--pin", is_flag=True, help="Measured servers on the first core, clients, broker and peers on the others."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all samples there.")
@click.option("--write-docs", is_flag=True, help="Put the table and a plot into docs/performance.md.")
def main(quick: bool, only: tuple[str, ...], pin: bool, json_file: Path | None, write_docs: bool) -> None:
    """Measure Gossamer beside redis-server."""
    console = Console(stderr=True)
    console.print(f"the core: {state.__file__}")
    rounds, scale = (3, 0.15) if quick else (5, 1.0)
    if pin:
        _pin()
    rows: list[Row] = []
    for name in only or tuple(AREAS):
        console.print(f"[bold]{name}[/bold] ...")
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            try:
                for row in AREAS[name](Path(directory), rounds, scale):
                    rows.append(row)
                    console.print("  " + "  ".join(cell for cell in row.cells() if cell))
            except Skipped as reason:
                rows.append(Row(name, "", "", skipped=str(reason)))
                console.print(f"  skipped: {reason}")
    _show(rows)
    if json_file is not None:
        json_file.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    if write_docs:
        _write(rows)
    for verdict, what in (("close", "come within a fifth of their goal"), ("MISSED", "miss it by more")):
        names = [row.what for row in rows if row.verdict == verdict]
        if names:
            console.print(f"{len(names)} of {len(rows)} rows {what}: {', '.join(names)}")


def _pin() -> None:
    """What this process starts inherits its cores; the servers that are measured are moved to the first."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise click.UsageError("--pin needs Linux and two cores")
    os.sched_setaffinity(0, set(cores[1:]))
    servers.PINNED = True


def _show(rows: list[Row]) -> None:
    table = Table(*HEAD, box=None)
    for row in rows:
        table.add_row(*row.cells())
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _write(rows: list[Row]) -> None:
    file = DOCS / "performance.md"
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    table = f"{BEGIN}\n\n{measured_on()}\n\n{markdown(rows)}\n{END}"
    file.write_text(before + table + after)
    (DOCS / "performance.svg").write_text(svg(rows))


main()
