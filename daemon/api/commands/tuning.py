"""CONFIG: our settings to read, and Redis's own parameters that libraries set and expect to be there.

Setting one of Redis's is remembered and changes nothing: what they tune does not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api.arguments import SYNTAX, printable
from daemon.api.glob import compile_glob
from daemon.api.registry import command

if TYPE_CHECKING:
    from daemon.api.session import Session

OK = b"+OK\r\n"
FLAGS = ("admin", "noscript", "loading", "stale")
TUNING = {
    "activedefrag": "no",
    "activerehashing": "yes",
    "appendfsync": "everysec",
    "appendonly": "yes",
    "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    "client-query-buffer-limit": "1073741824",
    "dynamic-hz": "yes",
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "64",
    "hash-max-ziplist-entries": "512",
    "hash-max-ziplist-value": "64",
    "hz": "10",
    "latency-monitor-threshold": "0",
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "lazyfree-lazy-server-del": "no",
    "lazyfree-lazy-user-del": "no",
    "lazyfree-lazy-user-flush": "no",
    "lfu-decay-time": "1",
    "lfu-log-factor": "10",
    "list-compress-depth": "0",
    "list-max-listpack-size": "-2",
    "list-max-ziplist-size": "-2",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": "5",
    "notify-keyspace-events": "AKE",
    "proto-max-bulk-len": "536870912",
    "save": "",
    "set-max-intset-entries": "512",
    "slowlog-log-slower-than": "10000",
    "slowlog-max-len": "128",
    "stop-writes-on-bgsave-error": "yes",
    "tcp-keepalive": "300",
    "timeout": "0",
    "zset-max-listpack-entries": "128",
    "zset-max-listpack-value": "64",
    "zset-max-ziplist-entries": "128",
    "zset-max-ziplist-value": "64",
}
"""What only tunes Redis, with the values of a fresh one; `maxmemory` and its like take units."""
SIZES = frozenset({"maxmemory", "proto-max-bulk-len", "client-query-buffer-limit"})
UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
_size = re.compile(r"([0-9]{1,18})([a-z]*)").fullmatch
_integer = re.compile(r"-?[0-9]{1,18}").fullmatch


def _fixed(session: Session) -> dict[str, str]:
    """What CONFIG SET cannot change."""
    hub = session.hub
    return {"databases": str(len(hub.databases)), "maxclients": str(hub.limits.clients), **hub.settings}


@command(
    "CONFIG GET parameter [parameter ...]",
    arity=-3,
    flags=FLAGS,
    group="server",
    summary="Returns the effective values of configuration parameters.",
)
def config_get(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    settings = {**TUNING, **session.server.tuned, **_fixed(session)}
    chosen: dict[bytes, str] = {}
    for pattern in args[2:]:
        exact = settings.get(pattern.lower().decode("latin-1"))
        if exact is not None:
            chosen[pattern] = exact
            continue
        expression = compile_glob(pattern.lower())
        chosen.update((name.encode(), value) for name, value in settings.items() if expression.fullmatch(name.encode()))
    return resp.map([(resp.bulk(name), resp.bulk(value.encode())) for name, value in chosen.items()])


@command(
    "CONFIG SET parameter value [parameter value ...]",
    arity=-4,
    flags=FLAGS,
    group="server",
    summary="Accepted for what only tunes Redis.",
)
def config_set(session: Session, args: list[bytes]) -> bytes:
    if len(args) % 2:
        raise UsageError(SYNTAX)
    fixed = _fixed(session)
    values: dict[str, str] = {}
    for name, value in zip(args[2::2], args[3::2], strict=True):
        known = name.lower().decode("latin-1")
        if known in session.hub.settings:
            raise UsageError(f"ERR {known} is set in the configuration file; change it there and send SIGHUP")
        if known not in TUNING and known not in fixed:
            raise UsageError(f"ERR Unknown option or number of arguments for CONFIG SET - '{printable(name)}'")
        if known in fixed:
            raise _failed(name, "can't set immutable config")
        if known in values:
            raise _failed(name, "duplicate parameter")
        values[known] = printable(value)
    checked = {known: _checked(known, value) for known, value in values.items()}
    session.server.tuned.update(checked)
    return OK


def _failed(name: bytes, why: str) -> UsageError:
    return UsageError(f"ERR CONFIG SET failed (possibly related to argument '{printable(name)}') - {why}")


def _checked(name: str, value: str) -> str:
    """The value as CONFIG GET will show it. What a parameter takes follows from the value it has in a fresh Redis."""
    default = TUNING[name]
    check: Callable[[str], str | None]
    if name in SIZES:
        check, why = _bytes, "argument must be a memory value"
    elif default in ("yes", "no"):
        check, why = _yes_or_no, "argument must be 'yes' or 'no'"
    elif _integer(default) is not None:
        check, why = _whole, "argument couldn't be parsed into an integer"
    else:
        return value
    found = check(value)
    if found is None:
        raise _failed(name.encode(), why)
    return found


def _bytes(value: str) -> str | None:
    match = _size(value.lower())
    if match is None or match[2] not in UNITS:
        return None
    return str(int(match[1]) * UNITS[match[2]])


def _yes_or_no(value: str) -> str | None:
    return value.lower() if value.lower() in ("yes", "no") else None


def _whole(value: str) -> str | None:
    return str(int(value)) if _integer(value) is not None else None


@command("CONFIG RESETSTAT", arity=2, flags=FLAGS, group="server", summary="Resets the statistics of INFO.")
def config_resetstat(session: Session, args: list[bytes]) -> bytes:
    session.server.reset_statistics()
    return OK
