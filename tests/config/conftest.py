"""A machine of our own: nothing of the real one leaks into what a test loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An ordinary user on a host called kitchen, with no system directories."""
    return Machine(uid=1000, host="kitchen.example.org", terminal=False, root=tmp_path / "root")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment such a user has."""
    return {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
