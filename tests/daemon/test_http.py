"""Health, status and metrics, as a monitoring system reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.http import HttpServer
from daemon.space import Space
from tests.daemon.nodes import a_folder, ask, get, running, settings
from tests.daemon.spaces import until
from transport.embedded import EmbeddedBroker

# API, section 5: name -> labels.
METRICS: dict[str, set[str]] = {
    "gossamer_build_info": {"version", "python"},
    "gossamer_keys": {"space"},
    "gossamer_live_dots": {"space"},
    "gossamer_converged": {"space"},
    "gossamer_conflicts": {"space"},
    "gossamer_divergences_total": {"space"},
    "gossamer_held_frames": {"space"},
    "gossamer_log_bytes": {"space"},
    "gossamer_peer_lag_operations": {"space", "peer"},
    "gossamer_peer_last_seen_timestamp_seconds": {"space", "peer"},
    "gossamer_commands_total": {"command"},
    "gossamer_command_seconds_bucket": {"le"},
    "gossamer_command_seconds_sum": set(),
    "gossamer_command_seconds_count": set(),
    "gossamer_commit_seconds_bucket": {"le"},
    "gossamer_commit_seconds_sum": set(),
    "gossamer_commit_seconds_count": set(),
    "gossamer_frames_total": {"direction"},
    "gossamer_records_applied_total": set(),
    "gossamer_mqtt_bytes_total": {"direction", "kind"},
    "gossamer_mqtt_messages_total": {"direction", "kind"},
    "gossamer_dropped_messages_total": {"reason"},
    "gossamer_repairs_total": {"kind"},
    "gossamer_clock_skew_seconds": {"space", "peer"},
    "gossamer_broker_connected": {"broker"},
    "gossamer_recovery_seconds": {"space"},
}


@pytest.fixture
async def folder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    async with a_folder(monkeypatch) as made:
        yield made


def port_of(server: HttpServer | None) -> int:
    assert server is not None
    return server.port


async def test_every_metric_of_the_api_and_no_other(folder: Path) -> None:
    broker = EmbeddedBroker()
    await broker.start()
    other = {"name": "b", "socket": str(folder / "b.sock"), "data_dir": str(folder / "b")}
    first = settings(folder, broker=(broker.url,), http="127.0.0.1:0")
    async with running(first) as node, running(settings(folder, broker=(broker.url,), **other)) as b:
        await until(lambda: node.status()["peers"], "both to meet")
        for i in range(16):
            await ask(folder / "a.sock", f"SADD secret-key secret-value-{i}")
        await until(lambda: b.spaces[0].state.live == 16, "b to have it")
        node.spaces[0].receive("x", False, b"\xff")
        status, text, headers = await get(port_of(node.http), "/metrics")
    await broker.stop()
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    found: dict[str, set[str]] = {}
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
            values[sample.name + ",".join(sample.labels.values())] = sample.value
    assert found == METRICS
    assert values["gossamer_keysdefault"] == 1
    assert values["gossamer_live_dotsdefault"] == 16
    assert values["gossamer_commands_totalsadd"] >= 16  # the table of commands is the process's
    assert values["gossamer_command_seconds_count"] == 16
    assert values["gossamer_commit_seconds_count"] == 16
    assert values[f"gossamer_broker_connected{broker.url}"] == 1
    assert values["gossamer_mqtt_messages_totalout,delta"] >= 1
    assert values["gossamer_dropped_messages_totalversion"] == 1
    assert "secret" not in text


async def test_not_ready_while_it_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    load = Space.load

    async def load_later(self: Space) -> None:
        await go.wait()
        await load(self)

    monkeypatch.setattr(Space, "load", load_later)
    async with running(settings(folder, http="127.0.0.1:0"), ready=False) as node:
        await until(lambda: node.http is not None and node.http.port, "it to listen")
        port = port_of(node.http)
        assert (await get(port, "/livez"))[:2] == (200, "ok\n")
        status, text, _ = await get(port, "/readyz")
        assert status == 503
        assert "loading" in text
        assert json.loads((await get(port, "/status"))[1])["ready"] is False
        assert (await get(port, "/metrics"))[0] == 200
        go.set()
        await until(lambda: node.loading is None, "it to be ready")
        assert (await get(port, "/readyz"))[:2] == (200, "ok\n")  # a missing broker does not make it unready


async def test_the_status_is_that_of_the_socket(folder: Path) -> None:
    async with running(settings(folder, http="127.0.0.1:0")) as node:
        status, text, headers = await get(port_of(node.http), "/status")
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        assert json.loads(text).keys() == node.status().keys()


@pytest.mark.parametrize("path", ["/", "/metricsx", "/status/../x"])
async def test_no_other_path(folder: Path, path: str) -> None:
    async with running(settings(folder, http="127.0.0.1:0")) as node:
        assert (await get(port_of(node.http), path))[0] == 404


async def test_it_only_looks(folder: Path) -> None:
    async with running(settings(folder, http="127.0.0.1:0", durability="interval", interval="1h")) as node:
        before = node.spaces[0].state.vector()
        for path in ("/status", "/metrics", "/readyz"):
            await get(port_of(node.http), path)
        assert node.spaces[0].state.vector() == before


async def test_at_most_a_hundred_peers_in_labels(folder: Path) -> None:
    async with running(settings(folder, http="127.0.0.1:0")) as node:
        space = node.spaces[0]
        for i in range(150):
            space.replica.peers.get(f"p{i}", space.now())
        text = (await get(port_of(node.http), "/metrics"))[1]
        assert text.count("gossamer_peer_lag_operations{") == 100
