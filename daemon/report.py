"""What a daemon can say of itself: the document of `GET /status` and CRDT.STATUS, and the lines of INFO.

Knows: where each figure is. Promises: everything is as of the last message heard; nothing here changes anything, shows
a key or shows a value. Must not know: HTTP, RESP.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crdt.replica import standing

if TYPE_CHECKING:
    from crdt.replica.peers import Peer
    from crdt.state import State
    from daemon.api.hub import Section
    from daemon.node import Node
    from daemon.space import Space

SHOWN: Final = 65_536  # rows that are hashed at once for somebody who looks: 20 ms


def status(node: Node) -> dict[str, Any]:
    """The document of GET /status, in the order of the API's text."""
    return {
        "name": node.config.replica.name,
        "version": node.version,
        "uptime_seconds": round(time.monotonic() - node.started, 3),
        "ready": node.loading is None,
        "spaces": [_space(space) for space in node.spaces],
        "peers": [peer for space in node.spaces for peer in peers(space)],
        "brokers": brokers(node),
    }


def incarnation(space: Space) -> str | None:
    """16 hex digits, None before the first write."""
    return f"{space.state.actor.nonce:016x}" if space.state.seq else None


def conflicts(space: Space) -> int:
    """Cells with several values, and keys with several types."""
    from crdt.types.conflicts import count

    return count(space.state)


def figures(space: Space) -> dict[str, int]:
    """The numbers of one space; costs nothing that grows with the number of actors."""
    state, replica = space.state, space.replica
    return {
        "keys": len(state.keys),
        "live_dots": state.live,
        "log_bytes": space.store.log_bytes,
        "pending": state.dot - state.cut_dot,
        "held_frames": len(replica.held),
        "conflicts": conflicts(space),
        "divergences": replica.counts["divergences"],
        "converged": replica.converged(space.now()),
    }


def state_hash(state: State) -> str | None:
    """The hash of a space as everybody is shown it; None while so much is being written that to hash it takes long."""
    return None if state.backlog > SHOWN else f"{state.hash:032x}"


def _space(space: Space) -> dict[str, Any]:
    state, known = space.state, figures(space)
    return {
        "name": space.name,
        "index": space.database.index,
        "incarnation": incarnation(space),
        "keys": known.pop("keys"),
        "live_dots": known.pop("live_dots"),
        "vv": {str(actor): n for actor, n in sorted(state.vector().items())},
        "state_hash": state_hash(state),
        "log_bytes": known.pop("log_bytes"),
        "log_floor": {str(actor): n for actor, n in sorted(space.store.floor().items())},
        **known,
        "alarms": dict(sorted(space.alarms.counts.items())),
    }


def peers(space: Space) -> list[dict[str, Any]]:
    """The peers of one space, by name."""
    now, known = space.now(), space.replica.peers.by_name
    strangers = any(peer.actor is None for peer in known.values())
    written = standing.written(space.state) if strangers else {}
    return [_peer(space, peer, written, now) for _, peer in sorted(known.items())]


def dropped(node: Node) -> dict[str, int]:
    """Messages that were dropped, by reason, in all spaces and by the transport."""
    out: dict[str, int] = {}
    counters = [space.replica.drops for space in node.spaces]
    if node.transport is not None:
        counters.append(node.transport.counters.dropped)
    for counter in counters:
        for reason, count in counter.items():
            out[reason] = out.get(reason, 0) + count
    return dict(sorted(out.items()))


def _lag_seconds(space: Space, lag: int, now: float) -> float:
    """How long ago the first operation that it lacks was applied here."""
    since = space.replica.moments.since(space.state.vector_sum - lag) if lag else None
    return 0.0 if since is None else round(now - since, 3)


def _peer(space: Space, peer: Peer, written: dict[str, int], now: float) -> dict[str, Any]:
    lag, behind = standing.gap(space.state, peer, space.replica.vectors.get(peer.name), written)
    return {
        "name": peer.name,
        "incarnation": f"{peer.actor.nonce:016x}" if peer.actor is not None and peer.seq else None,
        "space": space.name,
        "state": peer.state(now),
        "lag_operations": lag,
        "lag_seconds": _lag_seconds(space, lag, now),
        "behind_operations": behind,
        "last_seen_seconds": round(now - peer.last_seen, 3),
        "clock_skew_seconds": peer.skew_ms / 1000,
    }


def brokers(node: Node) -> list[dict[str, Any]]:
    """The brokers, in the order of the settings."""
    links = node.transport.links() if node.transport is not None else []
    return [
        {"url": link.url, "state": link.state, "round_trip_seconds": link.round_trip_seconds, "reason": link.reason}
        for link in links
    ]


def info(node: Node, index: int) -> Mapping[str, Section]:
    """INFO lines by section; those on convergence are of the space that the connection has selected."""
    return {
        "Server": [
            ("gossamer_version", node.version),
            ("process_id", os.getpid()),
            ("uptime_in_seconds", int(time.monotonic() - node.started)),
            ("uptime_in_days", int(time.monotonic() - node.started) // 86400),
            ("config_file", ""),
        ],
        "Memory": [("used_memory_rss", _resident()), ("used_memory", _resident())],
        "Replication": [("role", "master"), ("connected_slaves", 0)],
        "Crdt": _crdt(node, node.spaces[index]),
    }


def _resident() -> int:
    """Bytes of resident memory; where only the peak is told, the peak."""
    try:
        with Path("/proc/self/statm").open("rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _crdt(node: Node, space: Space) -> Section:
    state, replica = space.state, space.replica
    lines: Section = [
        ("crdt_name", replica.name),
        ("crdt_incarnation", incarnation(space) or ""),
        ("crdt_space", space.name),
        ("crdt_state_hash", state_hash(state) or ""),
        ("crdt_actors", len(state.vector())),
        ("crdt_live_dots", state.live),
        ("crdt_pending", state.dot - state.cut_dot),
        ("crdt_held_frames", len(replica.held)),
        ("crdt_log_bytes", space.store.log_bytes),
        ("crdt_conflicts", conflicts(space)),
        ("crdt_divergences", replica.counts["divergences"]),
        ("crdt_converged", int(replica.converged(space.now()))),
        ("crdt_peers", len(replica.peers.by_name)),
        ("crdt_dropped", ",".join(f"{reason}={count}" for reason, count in dropped(node).items())),
    ]
    for i, peer in enumerate(peers(space)):
        lines.append(
            (
                f"peer{i}",
                f"name={peer['name']},state={peer['state']},"
                f"lag={peer['lag_operations']},behind={peer['behind_operations']},"
                f"last_seen_ms={round(peer['last_seen_seconds'] * 1000)},"
                f"skew_ms={round(peer['clock_skew_seconds'] * 1000)}",
            )
        )
    for i, link in enumerate(brokers(node)):
        trip = link["round_trip_seconds"]
        lines.append(
            (
                f"broker{i}",
                f"url={link['url']},state={link['state']},rtt_ms={'' if trip is None else round(trip * 1000, 2)}",
            )
        )
    return lines
