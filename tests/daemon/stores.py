"""Stores that tests need beside the one they look at."""

from __future__ import annotations

from pathlib import Path

from daemon.store import Store


def successor(directory: Path) -> Path:
    """An empty store, closed, for one in the same directory that is to be set aside."""
    store = Store.open(directory / "successor", "default")
    store.close()
    return store.path
