"""How soon a write is seen elsewhere, and how long many writes take to be everywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.servers import Process, broker, connected, daemon, daemons, free_port, linked, redis_pair, redis_server
from bench.table import Row

# `gossip.interval`, `store.durability` (redis-server syncs every second), and the bound of p50 in ms.
MODES = (("0", "interval", 5.0), ("0", "always", 5.0), ("200ms", "interval", 210.0))


def trips(writer: Process, reader: Process, count: int, pause: float) -> list[float]:
    """Milliseconds from a write on one server until a read on the other shows it."""
    source, target = writer.client(), reader.client()
    out = []
    for i in range(count):
        value = b"%d" % i
        began = time.perf_counter()
        source.set("trip", value)
        while target.get("trip") != value:
            pass
        out.append((time.perf_counter() - began) * 1000)
        time.sleep(pause)
    return out


def bare(port: int, count: int) -> list[float]:
    """Milliseconds of a publish to a subscriber through the broker, with nothing of ours."""
    arrived = threading.Event()
    ready = threading.Event()
    reader = mqtt.Client(CallbackAPIVersion.VERSION2)
    reader.on_message = lambda *_: arrived.set()
    reader.on_subscribe = lambda *_: ready.set()
    reader.connect("127.0.0.1", port)
    reader.subscribe("bench", qos=1)
    reader.loop_start()
    writer = mqtt.Client(CallbackAPIVersion.VERSION2)
    writer.connect("127.0.0.1", port)
    writer.loop_start()
    ready.wait(10)
    out = []
    for _ in range(count):
        arrived.clear()
        began = time.perf_counter()
        writer.publish("bench", b"x" * 100, qos=1)
        arrived.wait(10)
        out.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    for client in (reader, writer):
        client.disconnect()
        client.loop_stop()
    return out


def _p99(samples: list[float]) -> float:
    return quantiles(samples, n=100)[98]


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """All rows of this module."""
    count = max(20, int(100 * scale))
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        master, replica = stack.enter_context(redis_pair(directory))
        theirs = trips(master, replica, count, 0.01)
        for interval, durability, bound in MODES:
            options = ("--interval", interval, "--durability", durability, "--space", f"{durability}-{interval}")
            a = stack.enter_context(daemon(directory, f"a-{durability}-{interval}", port, *options))
            b = stack.enter_context(daemon(directory, f"b-{durability}-{interval}", port, *options))
            connected(a, b)
            samples = trips(a, b, count, 0.01)
            title = f"write read elsewhere, interval {interval}"
            title += ", always" if durability == "always" else ""
            for name, of in (("p50", median), ("p99", _p99)):
                row = Row(f"{title}, {name}", "redis-server to a replica", "ms", [of(samples)], [of(theirs)])
                row.goal, row.more_is_better, row.absolute = bound if name == "p50" else None, False, True
                yield row
            if (interval, durability) == ("0", "interval"):
                wire = bare(port, count)
                row = Row(
                    "... beside a bare MQTT trip, p50", "paho, same broker", "ms", [median(samples)], [median(wire)]
                )
                row.goal, row.more_is_better, row.absolute = round(1.5 * median(wire) + 1, 2), False, True
                row.note = "goal: 1.5 times the bare trip + 1 ms"
                yield row
    yield from _spread(directory, rounds, int(1_000_000 * scale))


def _spread(directory: Path, rounds: int, writes: int) -> Iterator[Row]:
    title = f"{writes:,} writes until two others have them"
    row = Row(title, "redis-server, two replicas", "s", goal=3.0, more_is_better=False)
    for n in range(rounds):  # new servers each time: every write is that of a new key
        with ExitStack() as stack:
            port = stack.enter_context(broker(directory))
            names = [f"spread{n}-{i}" for i in range(3)]
            ours = stack.enter_context(daemons(directory, names, port, "--durability", "interval"))
            connected(*ours)
            row.ours.append(_burst(ours, writes))
        with ExitStack() as stack:
            master_port = str(free_port())
            theirs = [stack.enter_context(redis_server(directory, "--port", master_port, name=f"master{n}"))]
            for i in range(2):
                of_master = ("--replicaof", "127.0.0.1", master_port)
                theirs.append(stack.enter_context(redis_server(directory, *of_master, name=f"replica{n}-{i}")))
                linked(theirs[-1])
            row.theirs.append(_burst(theirs, writes))
    yield row


def _burst(servers: list[Process], writes: int) -> float:
    """Seconds from the first write on the first server until WAIT tells the writer that the others have the last."""
    client = servers[0].client()
    client.ping()
    began = time.monotonic()
    for start in range(0, writes, 1000):
        pipe = client.pipeline(transaction=False)
        for i in range(start, start + 1000):
            pipe.set(b"burst:%d" % i, b"x" * 20)
        pipe.execute()
    others = client.execute_command("WAIT", len(servers) - 1, 60_000)  # type: ignore[no-untyped-call]
    seconds = time.monotonic() - began
    if others != len(servers) - 1 or any(server.client().dbsize() < writes for server in servers):
        raise RuntimeError(f"{others} of {len(servers) - 1} have all {writes:,} writes, by what they say")
    return seconds
