"""How a value is printed: as it could be written again, and never a secret.

Knows: the spelling of each kind. Promises: what is printed parses to the same value, secrets apart. Must not know:
tables, colours, JSON.
"""

from __future__ import annotations

from typing import get_args

from pydantic import SecretStr

from config.brokers import Broker
from config.kinds import Bytes, Mode, Seconds
from config.settings import LAYERS, Settings
from config.values import shown_duration, shown_size


def shown(settings: Settings, setting: str) -> str:
    """The value of "section.key" as text; the empty string where nothing is set. Raises KeyError if there is no such
    setting.
    """
    section, _, key = setting.partition(".")
    return _text(getattr(getattr(settings, section), key), LAYERS[section].model_fields[key].metadata)


def _text(value: object, kind: list[object]) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ",".join(_broker(item) if isinstance(item, Broker) else str(item) for item in value)
    for annotated, spelling in ((Seconds, shown_duration), (Bytes, shown_size), (Mode, "{:04o}".format)):
        if isinstance(value, (int, float)) and get_args(annotated)[1] in kind:
            return spelling(value)  # type: ignore[arg-type]  # each spelling takes the numbers of its kind
    return f"{value:g}" if isinstance(value, float) else str(value)


def _broker(broker: Broker) -> str:
    scheme, _, place = broker.url.partition("//")
    return f"{scheme}//{broker.username}@{place}" if broker.username else broker.url
