"""The document of `GET /status`, asked for over the socket, and its parts as tables.

Knows: the names in the document. Promises: rows of text, a head first. Must not know: which verb shows what.
"""

from __future__ import annotations

import json
from typing import Any

from daemon.cli.client import Client, ErrorReply, Reply
from daemon.cli.errors import CliError, Exit


def ask_status(client: Client) -> dict[str, Any]:
    """The document of GET /status."""
    return parse_status(client.call("CRDT.STATUS"))


def parse_status(reply: Reply) -> dict[str, Any]:
    """The document in a reply. An error reply ends the program with status 1."""
    if isinstance(reply, ErrorReply):
        raise CliError(f"the daemon answers: {reply}", Exit.FAILURE)
    document: dict[str, Any] = json.loads(reply)
    return document


def space_rows(spaces: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a row per space."""
    head = ["SPACE", "KEYS", "DOTS", "PENDING", "HELD", "CONFLICTS", "DIVERGENCES", "CONVERGED", "HASH"]
    keys = ("name", "keys", "live_dots", "pending", "held_frames", "conflicts", "divergences")
    return [
        head,
        *(
            [*(str(space[key]) for key in keys), "yes" if space["converged"] else "no", space["state_hash"] or "-"]
            for space in spaces
        ),
    ]


def broker_rows(brokers: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a row per broker."""
    rows = [["BROKER", "STATE", "ROUND TRIP", "REASON"]]
    for broker in brokers:
        seconds = broker.get("round_trip_seconds")
        round_trip = "-" if seconds is None else f"{seconds * 1000:.1f} ms"
        rows.append([broker["url"], broker["state"], round_trip, broker.get("reason") or ""])
    return rows


def peer_rows(peers: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a row per peer."""
    rows = [["PEER", "SPACE", "STATE", "LACKS", "WE LACK", "LAST SEEN", "CLOCK"]]
    for peer in peers:
        rows.append(
            [
                peer["name"],
                peer["space"],
                peer["state"],
                _number(peer["lag_operations"], ""),
                _number(peer["behind_operations"], ""),
                _number(peer["last_seen_seconds"], " s ago"),
                _number(peer["clock_skew_seconds"], " s", signed=True),
            ]
        )
    return rows


def _number(value: float | None, unit: str, signed: bool = False) -> str:
    if value is None:
        return "-"
    text = f"{value:{'+' if signed else ''}.3f}".rstrip("0").rstrip(".")
    return f"{text}{unit}"
