"""The catalogue is complete and its codes are for ever."""

from __future__ import annotations

import importlib
import pkgutil

import crdt.types
from crdt.entry import Entry, Opaque
from crdt.types.catalog import CATALOG, entry_class


def test_codes_on_the_wire_never_change() -> None:
    assert {code: cls.NAME for code, cls in CATALOG.items()} == {
        1: "string",
        2: "hash",
        3: "gcount",
        4: "set",
        5: "gset",
        6: "flag",
        7: "expiry",
        8: "list",
        9: "text",
        10: "ReJSON-RL",
        11: "zset",
        12: "stream",
    }


def test_every_type_is_announced() -> None:
    for module in pkgutil.iter_modules(crdt.types.__path__):
        importlib.import_module(f"crdt.types.{module.name}")
    found, new = set(), [Entry]
    while new:
        new = [sub for cls in new for sub in cls.__subclasses__()]
        found.update(new)
    assert found == {*CATALOG.values(), Opaque}


def test_unknown_codes() -> None:
    assert entry_class(1) is CATALOG[1]
    assert entry_class(200) is None
