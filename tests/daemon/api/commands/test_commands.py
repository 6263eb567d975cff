"""Every area in the folder is imported, so its commands are in the table."""

from __future__ import annotations

import pkgutil

from daemon.api import commands
from daemon.api.registry import TABLE, subcommands


def test_every_module_with_commands_is_imported() -> None:
    found = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    announcing = {
        one.handler.__module__.rpartition(".")[2] for entry in TABLE.values() for one in (entry, *subcommands(entry))
    }
    assert set(commands.__all__) <= found
    assert announcing - {"registry"} == set(commands.__all__)
