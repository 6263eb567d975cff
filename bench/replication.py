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

from bench.servers import Process, broker, connected, converged, daemon, free_port, linked, redis_pair, redis_server
from bench.table import Row

# `gossip.interval`, `store.durability` (redis-server syncs every second), and the bound of p50 in ms.
MODES = (("0", "interval", 5.0), ("0", "always", 5.0), ("200ms", "interval", 210.0))
SPREAD = 0  # --spread: this many writes, whatever the scale


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
    yield from _spread(directory, rounds, SPREAD or int(200_000 * scale))


def _spread(directory: Path, rounds: int, writes: int) -> Iterator[Row]:
    title = f"{writes:,} writes until two others have them"
    row = Row(title, "redis-server, two replicas", "s", goal=3.0, more_is_better=False)
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        ours = [
            stack.enter_context(daemon(directory, f"spread{i}", port, "--durability", "interval")) for i in range(3)
        ]
        connected(*ours)
        master_port = free_port()
        master = stack.enter_context(redis_server(directory, "--port", str(master_port), name="master"))
        replicas = [
            stack.enter_context(
                redis_server(directory, "--replicaof", "127.0.0.1", str(master_port), name=f"replica{i}")
            )
            for i in range(2)
        ]
        for replica in replicas:
            linked(replica)
        for n in range(max(1, rounds // 2)):
            row.theirs.append(_burst(master, writes, n, lambda: master.ask("WAIT", 2, 60000)))
            row.ours.append(_burst(ours[0], writes, n, lambda: converged(*ours)))
    yield row


def _burst(server: Process, writes: int, n: int, everywhere: object) -> float:
    client = server.client()
    began = time.monotonic()
    for start in range(0, writes, 1000):
        pipe = client.pipeline(transaction=False)
        for i in range(start, start + 1000):
            pipe.set(b"burst:%d:%d" % (n, i), b"x" * 20)
        pipe.execute()
    client.set("last", str(n))
    everywhere()  # type: ignore[operator]
    return time.monotonic() - began
