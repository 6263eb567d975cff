"""`gossamer run`: the daemon, until a signal ends it.

Knows: signals, and which error ends with which status. Must not know: what a daemon is made of (daemon/node.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from config.errors import ConfigError
from config.load import Loaded, load
from daemon.cli.errors import CliError, Exit
from daemon.cli.options import settings_options
from daemon.logs import configure, get_logger

if TYPE_CHECKING:
    from daemon.node import Node

log = get_logger("run")


@click.command()
@settings_options
def run(flags: dict[str, object]) -> None:
    """Run the daemon."""
    loaded = load(flags, os.environ)
    configure(loaded.settings.log.level, loaded.settings.log.format)
    sys.exit(_loop(_main(loaded, flags)))


def _loop(main: Coroutine[Any, Any, int]) -> int:
    """Run under uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def _main(loaded: Loaded, flags: dict[str, object]) -> int:
    from daemon.api.listeners import ListenError
    from daemon.node import Node
    from daemon.store import StoreBusy, StoreError
    from transport.embedded import EmbeddedBrokerMissing

    try:
        node = Node(loaded.settings)
        _handle_signals(node, flags)
        return await node.run()
    except StoreBusy as error:
        raise CliError(str(error), Exit.TAKEN) from None
    except EmbeddedBrokerMissing as error:
        raise CliError(str(error), Exit.USAGE) from None
    except (StoreError, ListenError, OSError) as error:
        raise CliError(str(error), Exit.FAILURE) from None


def _handle_signals(node: Node, flags: dict[str, object]) -> None:
    loop = asyncio.get_running_loop()
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            os._exit(Exit.FAILURE)
        node.stop()

    def reload() -> None:
        try:
            node.reload(load(flags, os.environ).settings)
        except ConfigError as error:
            log.error("reload_failed", what=f"{error}; the settings in use stay")

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, node.stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
