"""The commands, a module per area. Importing this package fills the table of `daemon.api.registry`.

An area is a module here whose handlers are decorated with `command`; it need not be named anywhere else.
"""

from __future__ import annotations

import importlib
import pkgutil

for _area in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_area.name}")
