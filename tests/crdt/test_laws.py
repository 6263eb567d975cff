from __future__ import annotations
import pytest
from crdt import rows
from crdt.types import hashes, sets
from tests.crdt.histories import World

@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 8)
    monkeypatch.setattr(sets, "RANGE_FROM", 3)
    monkeypatch.setattr(hashes, "RANGE_FROM", 3)

@pytest.mark.parametrize("seed", range(60))
def test_history(seed):
    assert World(seed).run(150) == []
