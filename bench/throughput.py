"""redis-benchmark against both servers, alternating."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import servers
from bench.servers import Process, broker, connected, converged, daemon, need, redis_pair, redis_server
from bench.table import Row

TESTS = ("set", "get", "incr", "sadd", "hset", "rpush")
ABSOLUTE = 50_000  # single-command writes a second


def run(
    server: Process, test: str, clients: int, pipeline: int, requests: int, keys: int = 100_000, size: int = 3
) -> dict[str, float]:
    """One run: requests per second, p50 and p99 in ms, server CPU in us per operation."""
    before = server.cpu()
    command = [need("redis-benchmark"), "-s", str(server.path), "-c", str(clients), "-P", str(pipeline)]
    command += ["-n", str(requests), "-r", str(keys), "-d", str(size), "-t", test, "--csv"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(iter(csv.DictReader(out.splitlines())))
    cpu = (server.cpu() - before) / requests * 1e6
    return {
        "rps": float(line["rps"]),
        "p50": float(line["p50_latency_ms"]),
        "p99": float(line["p99_latency_ms"]),
        "cpu": cpu,
    }


def compare(
    title: str, against: str, ours: Process, theirs: Process, peers: tuple[Process, ...], tests: tuple[str, ...],
    clients: int, pipeline: int, requests: int, rounds: int, goal: float | None,
) -> Iterator[Row]:  # fmt: skip
    """For each test a row of throughput, and one of p99 or, with one connection, of p50."""
    if servers.PINNED:
        ours.pin(0)
        theirs.pin(0)
    quantile, bound = ("p50", 1.0) if clients == 1 else ("p99", 3.0)
    for test in tests:
        row = Row(f"{test.upper()} {title}", against, "/s", goal=goal)
        tail = Row(f"{test.upper()} {title}, {quantile}", against, "ms", goal=bound, more_is_better=False)
        cpu: list[float] = []
        other: list[float] = []
        for _ in range(rounds):
            for server in (ours, theirs):
                server.ask("DEL", "mylist")  # else the list of "rpush" would grow from row to row
            them = run(theirs, test, clients, pipeline, requests)
            us = run(ours, test, clients, pipeline, requests)
            converged(ours, *peers)
            row.ours.append(us["rps"])
            row.theirs.append(them["rps"])
            tail.ours.append(us[quantile])
            tail.theirs.append(them[quantile])
            cpu.append(us["cpu"])
            other.append(them["cpu"])
        row.note = (
            f"server CPU {sorted(cpu)[len(cpu) // 2]:.1f} us an operation, theirs {sorted(other)[len(other) // 2]:.1f}"
        )
        yield row
        if pipeline == 1:
            yield tail


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """All rows of this module."""
    requests = int(200_000 * scale)
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        theirs = stack.enter_context(redis_server(directory, "--appendfsync", "everysec"))
        peer = stack.enter_context(daemon(directory, "peer", port, "--durability", "interval"))
        ours = stack.enter_context(daemon(directory, "ours", port, "--durability", "interval"))
        connected(ours, peer)
        against = "redis-server, everysec"
        plain = list(compare("-c 50", against, ours, theirs, (peer,), TESTS, 50, 1, requests, rounds, 0.9))
        yield from plain
        for row in plain[:1]:
            yield Row("SET a second, -c 50, interval", "the goal", "/s", list(row.ours), goal=ABSOLUTE)
        with redis_pair(directory, "--appendfsync", "everysec") as (master, _):
            theirs_too = "redis-server and its replica"
            pairs = compare("-c 50", theirs_too, ours, master, (peer,), ("set", "hset"), 50, 1, requests, rounds, None)
            yield from (row for row in pairs if row.unit == "/s")
        yield from compare("-c 50 -P 16", against, ours, theirs, (peer,), TESTS, 50, 16, requests * 2, rounds, 0.5)
        yield from compare("one connection", against, ours, theirs, (peer,), TESTS, 1, 1, requests // 4, rounds, None)
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        theirs = stack.enter_context(redis_server(directory, "--appendfsync", "always", name="redis-always"))
        peer = stack.enter_context(daemon(directory, "peer-always", port))
        ours = stack.enter_context(daemon(directory, "ours-always", port, "--durability", "always"))
        connected(ours, peer)
        against = "redis-server, always"
        yield from compare(
            "-c 50, always", against, ours, theirs, (peer,), ("set", "hset"), 50, 1, requests // 4, rounds, 0.9
        )
