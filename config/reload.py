"""What a running daemon can take over from changed settings (SIGHUP), and what needs a restart.

Knows: which settings are read anew each time they matter. Promises: pure. Must not know: signals, or how a change is
put into effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from config.load import all_settings
from config.settings import LAYERS, Settings

LIVE = frozenset(
    {
        "gossip.interval",
        "gossip.heartbeat",
        "gossip.max_drift",
        "store.log_budget",
        *(f"limits.{key}" for key in LAYERS["limits"].model_fields),
        "log.level",
    }
)
"""All else names this daemon, or is something that is open: a socket, a file, a connection."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The outcome of a reload."""

    settings: Settings
    """The old settings with the live ones of the new."""
    changed: tuple[str, ...]
    """What took effect."""
    restart: tuple[str, ...]
    """What differs in the new settings, and will count after a restart."""


def reloaded(old: Settings, new: Settings) -> Reloaded:
    """Takes from `new` what can change while the daemon runs."""
    different = [setting for setting in all_settings() if _value(old, setting) != _value(new, setting)]
    changed = tuple(setting for setting in different if setting in LIVE)
    layers: dict[str, BaseModel] = {}
    for setting in changed:
        section, _, key = setting.partition(".")
        layer = layers.get(section) or getattr(old, section)
        layers[section] = layer.model_copy(update={key: _value(new, setting)})
    restart = tuple(setting for setting in different if setting not in LIVE)
    return Reloaded(old.model_copy(update=layers), changed, restart)


def _value(settings: Settings, setting: str) -> object:
    section, _, key = setting.partition(".")
    return getattr(getattr(settings, section), key)
