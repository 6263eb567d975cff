"""Every setting there is, a model per layer, with its default.

Knows: names, types, bounds and what each setting means; a docstring under a field is its documentation. Promises: a
Settings value is checked and frozen. Must not know: where values come from (load.py) or what is done with them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from config.brokers import Mqtt
from config.errors import Because
from config.kinds import Bytes, Count, FilePath, Listen, Mode, Name, OptionalPath, OptionalText, Seconds, Takes

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["console", "json"]
Durability = Literal["always", "interval", "never"]


def _distinct(value: object) -> object:
    """Each name once: a space listed twice would be opened twice."""
    if isinstance(value, (list, tuple)) and len(set(map(str, value))) < len(value):
        raise Because("names one space twice")
    return value


class Layer(BaseModel):
    """What all layers share: no unknown keys, no changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Replica(Layer):
    """Who this daemon is."""

    name: Name
    """Unique among the daemons of a space; by default the host's name up to the first dot."""
    spaces: Annotated[
        tuple[Name, ...],
        BeforeValidator(_distinct),
        Field(min_length=1),
        Takes("one or more names: letters, digits, _ . -, at most 64, first a letter or digit"),
    ] = ("default",)
    """Replicated keyspaces, each with topics, a file and a vector of its own; `SELECT n` reaches the n-th."""


class Gossip(Layer):
    """When the replica speaks."""

    interval: Annotated[Seconds, Field(le=3600), Takes("a duration such as 200ms or 5s, from 0 to 1h")] = 0.2
    """How often deltas are published; 0 = after each commit. Longer saves traffic: what is overwritten in between is
    never sent.
    """
    heartbeat: Annotated[Seconds, Field(ge=0.01, le=3600), Takes("a duration such as 5s, from 10ms to 1h")] = 5.0
    """How often HELLO is said to few peers; its period grows with their number."""
    max_drift: Annotated[Seconds, Field(gt=0), Takes("a duration such as 1m, above 0")] = 60.0
    """How far another clock may be ahead before it is no longer followed."""


class Api(Layer):
    """Where local programs come in."""

    socket: FilePath
    """The Unix socket; its mode guards it."""
    socket_mode: Mode = 0o660
    socket_group: OptionalText = None
    """Group of the socket file, by name; by default the daemon's own."""
    listen: Listen = None
    """The same protocol over TCP. Beyond loopback only with a password."""
    http: Listen = None
    """Health, metrics and status; shows no keys and no values."""
    password: SecretStr | None = None
    """For TCP alone. Only from GOSSAMER_API__PASSWORD, or read from `password_file`."""
    password_file: OptionalPath = None


class Store(Layer):
    """What is on disk."""

    dir: FilePath
    """One SPACE.db per space. Never share it between two daemons."""
    durability: Annotated[Durability, Takes("always, interval or never")] = "always"
    """always: the reply waits for commit and fsync. interval: replies at once, commit and fsync every commit_interval
    (with gossip.interval = 0: commit in the same turn). never: the same without fsync.
    """
    commit_interval: Annotated[Seconds, Field(ge=0.001, le=3600), Takes("a duration such as 200ms, from 1ms to 1h")] = (
        0.2
    )
    log_budget: Annotated[Bytes, Field(ge=1 << 20), Takes("a size of at least 1MiB")] = 256 << 20
    """How much log is kept for peers that were away; who was away longer gets a snapshot."""


class Limits(Layer):
    """What one client or peer may take. They bind clients, never the frames of peers, except where said."""

    key: Annotated[Bytes, Field(ge=1), Takes("a size of at least 1 byte")] = 64 << 10
    value: Annotated[Bytes, Field(ge=1), Takes("a size of at least 1 byte")] = 1 << 20
    request: Annotated[Bytes, Field(ge=1024), Takes("a size of at least 1KiB")] = 16 << 20
    transaction: Annotated[Bytes, Field(ge=1024), Takes("a size of at least 1KiB")] = 64 << 20
    """Give all daemons of a space the same: a peer's frame beyond four times this cannot be put together here."""
    clients: Annotated[Count, Field(ge=1), Takes("a whole number of at least 1")] = 1000
    reply_buffer: Annotated[Bytes, Field(ge=1024), Takes("a size of at least 1KiB")] = 64 << 20
    """Unread replies of one client; beyond it the connection is closed."""
    actors: Annotated[Count, Field(ge=1), Takes("a whole number of at least 1")] = 100_000
    """Beyond it frames of an unknown actor are taken only from a peer that has applied them."""
    held: Annotated[Bytes, Field(ge=1024), Takes("a size of at least 1KiB")] = 64 << 20
    """Received frames that wait for others; what does not fit is pulled again."""


class Log(Layer):
    """What is written to standard error."""

    level: Annotated[Level, Takes("debug, info, warning or error")] = "info"
    format: Annotated[Format, Takes("console or json")]
    """By default console on a terminal, else json."""


class Settings(Layer):
    """All layers. `load.load({}, {})` gives the defaults of this machine."""

    replica: Replica
    gossip: Gossip = Gossip()
    mqtt: Mqtt = Mqtt()
    api: Api
    store: Store
    limits: Limits = Limits()
    log: Log


LAYERS: dict[str, type[BaseModel]] = {
    "replica": Replica,
    "gossip": Gossip,
    "mqtt": Mqtt,
    "api": Api,
    "store": Store,
    "limits": Limits,
    "log": Log,
}
SECRETS = frozenset({"mqtt.password", "api.password"})
"""Never in the file, never on the command line, never printed."""


def takes(setting: str) -> str:
    """What `section.key` takes, in words. Raises KeyError if there is no such setting."""
    section, _, key = setting.partition(".")
    words = [item.text for item in LAYERS[section].model_fields[key].metadata if isinstance(item, Takes)]
    return words[-1] if words else "text"


def is_list(setting: str) -> bool:
    """Whether several values may be given: repeated flags, commas in the environment, an array in TOML."""
    return setting in ("replica.spaces", "mqtt.brokers")


__all__ = [
    "LAYERS",
    "SECRETS",
    "Api",
    "Gossip",
    "Limits",
    "Log",
    "Mqtt",
    "Replica",
    "Settings",
    "Store",
    "is_list",
    "takes",
]
