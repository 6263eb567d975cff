"""Health, status and metrics over HTTP. Shows no keys and no values.

Knows: the four paths of the API and the names of the metrics. Promises: a scrape reads plain integers that are counted
anyway; it never changes anything and never blocks on disk or network. Must not know: how a figure comes about
(report.py, metrics.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from daemon import report
from daemon.api.registry import commands, subcommands
from daemon.metrics import BOUNDS, Histogram
from transport.traffic import KINDS

if TYPE_CHECKING:
    from daemon.node import Node

MAX_PEERS = 100  # in labels: more would cost the monitoring more than they tell


class HttpServer:
    """`await start(host, port)`, `await stop()`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(node))
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status", self._status)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 lets the system choose, see `port`. Raises OSError."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._node.loading is not None:
            return web.Response(status=503, text=f"{self._node.loading}\n")
        return web.Response(text="ok\n")

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(report.status(self._node), dumps=lambda value: json.dumps(value, indent=1))

    async def _metrics(self, request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


class NodeCollector(Collector):
    """Reads the counters of a node at each scrape."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node = self._node
        info = InfoMetricFamily("gossamer_build", "Version of the daemon.")
        info.add_metric((), {"version": node.version, "python": sys.version.split()[0]})
        yield info
        yield from self._spaces()
        yield from self._peers()
        yield from self._commands()
        yield from self._traffic()

    def _spaces(self) -> Iterator[Metric]:
        gauges = {
            "keys": ("gossamer_keys", "Visible keys."),
            "live_dots": ("gossamer_live_dots", "Live rows."),
            "converged": ("gossamer_converged", "1 if nothing is pending or held, nobody online differs."),
            "conflicts": ("gossamer_conflicts", "Cells with several values, keys with several types."),
            "held_frames": ("gossamer_held_frames", "Received frames that wait for what they depend on."),
            "log_bytes": ("gossamer_log_bytes", "Bytes of frames kept for peers."),
        }
        spaces = [(space.name, report.figures(space)) for space in self._node.spaces]
        for field, (name, text) in gauges.items():
            gauge = GaugeMetricFamily(name, text, labels=["space"])
            yield _labelled(gauge, [((space,), known[field]) for space, known in spaces])
        text = "Peers found with the same vector and other rows."
        divergences = CounterMetricFamily("gossamer_divergences", text, labels=["space"])
        yield _labelled(divergences, [((space,), known["divergences"]) for space, known in spaces])
        text = "How long the last start took to load."
        recovery = GaugeMetricFamily("gossamer_recovery_seconds", text, labels=["space"])
        yield _labelled(recovery, [((space.name,), space.recovery_seconds) for space in self._node.spaces])

    def _peers(self) -> Iterator[Metric]:
        names = ["space", "peer"]
        lag = GaugeMetricFamily("gossamer_peer_lag_operations", "Operations the peer lacks.", labels=names)
        seen = GaugeMetricFamily("gossamer_peer_last_seen_timestamp_seconds", "When it was heard.", labels=names)
        skew = GaugeMetricFamily("gossamer_clock_skew_seconds", "Its clock minus ours.", labels=names)
        now = time.time()
        for space in self._node.spaces:
            for peer in report.peers(space)[:MAX_PEERS]:
                labels = (space.name, peer["name"])
                lag.add_metric(labels, peer["lag_operations"])
                seen.add_metric(labels, now - peer["last_seen_seconds"])
                skew.add_metric(labels, peer["clock_skew_seconds"])
        yield from (lag, seen, skew)

    def _commands(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("gossamer_commands", "Commands executed.", labels=["command"])
        for entry in commands():
            for one in (entry, *subcommands(entry)):
                if one.calls:
                    calls.add_metric((one.name,), one.calls)
        yield calls
        server = self._node.server
        running = [server.command_seconds] if server is not None else []
        yield _histogram("gossamer_command_seconds", "Time of a command, without the commit it waits for.", running)
        commits = [space.commits.seconds for space in self._node.spaces]
        yield _histogram("gossamer_commit_seconds", "Time of a commit.", commits)

    def _traffic(self) -> Iterator[Metric]:
        node = self._node
        frames = CounterMetricFamily("gossamer_frames", "Frames received and sent.", labels=["direction"])
        frames.add_metric(("in",), sum(s.replica.counts["frames_in"] for s in node.spaces))
        frames.add_metric(("out",), sum(s.replica.counts["frames_out"] for s in node.spaces))
        yield frames
        records = CounterMetricFamily("gossamer_records_applied", "Rows that peers' frames added.")
        records.add_metric((), sum(s.replica.counts["records"] for s in node.spaces))
        yield records
        repairs = CounterMetricFamily("gossamer_repairs", "Answers to peers that lacked something.", labels=["kind"])
        repairs.add_metric(("frames",), sum(s.replica.counts["repairs"] for s in node.spaces))
        repairs.add_metric(("snapshot",), sum(s.replica.counts["snapshots"] for s in node.spaces))
        yield repairs
        if node.transport is not None:
            counters = node.transport.counters
            received, sent = counters.received_bytes, counters.sent_bytes
            yield _lanes("gossamer_mqtt_bytes", "Topic and payload over MQTT.", received, sent)
            received, sent = counters.received_messages, counters.sent_messages
            yield _lanes("gossamer_mqtt_messages", "Messages over MQTT.", received, sent)
        drops = CounterMetricFamily("gossamer_dropped_messages", "Messages dropped, by reason.", labels=["reason"])
        yield _labelled(drops, [((reason,), count) for reason, count in report.dropped(node).items()])
        connected = GaugeMetricFamily("gossamer_broker_connected", "1 if the broker is usable.", labels=["broker"])
        states = [((broker["url"],), int(broker["state"] == "connected")) for broker in report.brokers(node)]
        yield _labelled(connected, states)


def _labelled(metric: Metric, rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    for labels, value in rows:
        metric.add_metric(labels, value)  # type: ignore[attr-defined]
    return metric


def _lanes(name: str, text: str, received: dict[str, int], sent: dict[str, int]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=["direction", "kind"])
    for direction, counts in (("in", received), ("out", sent)):
        for lane, count in counts.items():
            metric.add_metric((direction, KINDS[lane]), count)
    return metric


def _histogram(name: str, text: str, parts: list[Histogram]) -> Metric:
    total = 0
    buckets: list[tuple[str, float]] = []
    for i in range(len(BOUNDS) + 1):
        total += sum(part.buckets[i] for part in parts)
        buckets.append(("+Inf" if i == len(BOUNDS) else repr(BOUNDS[i]), float(total)))
    metric = HistogramMetricFamily(name, text)
    metric.add_metric((), buckets, sum(part.sum for part in parts))
    return metric
