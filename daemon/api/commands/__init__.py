"""The commands, a file per area. Importing this package fills the table (`daemon/api/registry.py`)."""

from __future__ import annotations

from daemon.api.commands import (
    clients,
    connection,
    convergence,
    counters,
    documents,
    events,
    expiry,
    hashes,
    introspection,
    json_arrays,
    json_values,
    keys,
    native,
    seeing,
    sets,
    strings,
    transactions,
    tuning,
)

__all__ = [
    "clients",
    "connection",
    "convergence",
    "counters",
    "documents",
    "events",
    "expiry",
    "hashes",
    "introspection",
    "json_arrays",
    "json_values",
    "keys",
    "native",
    "seeing",
    "sets",
    "strings",
    "transactions",
    "tuning",
]
