"""Whether the core is machine code."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader

import pytest

import crdt
from crdt import applying, codec, hashing, rows, state


@pytest.mark.parametrize("module", [applying, codec, hashing, rows, state], ids=lambda module: module.__name__)
def test_it_is_compiled_as_a_whole_or_not_at_all(module: object) -> None:
    loader = getattr(module, "__loader__", None)
    assert crdt.COMPILED == isinstance(loader, ExtensionFileLoader)
