"""COMMAND, CONFIG and INFO: what clients ask to find out what they are talking to."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api.arguments import SYNTAX, printable
from daemon.api.commands.connection import REDIS_VERSION
from daemon.api.glob import compile_glob
from daemon.api.hub import Section
from daemon.api.registry import Command, command, commands, lookup, resolve, subcommands
from daemon.api.session import PARKED

if TYPE_CHECKING:
    from daemon.api.resp import Resp
    from daemon.api.session import Session

OK = b"+OK\r\n"
ANY_TIME = ("loading", "stale")
SECTIONS = ("Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Crdt", "Keyspace")
# What only tunes Redis: libraries set it, and expect it to be there.
TUNING = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "save": "",
    "appendonly": "yes",
    "timeout": "0",
    "tcp-keepalive": "300",
    "notify-keyspace-events": "AKE",
    "proto-max-bulk-len": "536870912",
    "list-max-listpack-size": "-2",
    "hash-max-listpack-entries": "512",
    "set-max-intset-entries": "512",
    "slowlog-log-slower-than": "10000",
    "slowlog-max-len": "128",
    "latency-monitor-threshold": "0",
    "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
}


# -- COMMAND


def _shown(resp: Resp, entry: Command) -> bytes:
    flags = [resp.simple(flag.encode()) for flag in sorted(entry.flags)]
    shown_flags = resp.array(flags)
    if resp.version == 3:
        shown_flags = b"~" + shown_flags[1:]
    empty = b"~0\r\n" if resp.version == 3 else resp.empty_array
    children = [_shown(resp, child) for child in subcommands(entry)]
    return resp.array(
        [
            resp.bulk(entry.name.encode()),
            resp.integer(entry.arity),
            shown_flags,
            *(resp.integer(position) for position in entry.keys),
            empty,
            empty,
            resp.empty_array,
            resp.array(children),
        ]
    )


@command(
    "COMMAND", arity=-1, flags=ANY_TIME, group="server", summary="Returns detailed information about all commands."
)
def command_(session: Session, args: list[bytes]) -> bytes:
    return session.resp.array([_shown(session.resp, entry) for entry in commands()])


@command("COMMAND COUNT", arity=2, flags=ANY_TIME, group="server", summary="Returns a count of commands.")
def command_count(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(len(commands()))


@command(
    "COMMAND INFO [command-name [command-name ...]]",
    arity=-2,
    flags=ANY_TIME,
    group="server",
    summary="Returns information about commands.",
)
def command_info(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    if len(args) == 2:
        return command_(session, args)
    found = [_named(name) for name in args[2:]]
    return resp.array([resp.null_array if entry is None else _shown(resp, entry) for entry in found])


def _named(name: bytes) -> Command | None:
    parent, _, child = name.partition(b"|")
    entry = lookup(parent)
    return entry.subcommands.get(child.lower()) if entry is not None and child else entry


@command(
    "COMMAND DOCS [command-name [command-name ...]]",
    arity=-2,
    flags=ANY_TIME,
    group="server",
    summary="Returns documentary information about commands.",
)
def command_docs(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    entries = [entry for name in args[2:] if (entry := _named(name)) is not None] if len(args) > 2 else commands()
    return resp.map([(resp.bulk(entry.name.encode()), _documented(resp, entry)) for entry in entries])


def _documented(resp: Resp, entry: Command) -> bytes:
    pairs = [
        (resp.bulk(b"summary"), resp.bulk(entry.summary.encode())),
        (resp.bulk(b"since"), resp.bulk(b"1.0.0")),
        (resp.bulk(b"group"), resp.bulk(entry.group.encode())),
    ]
    children = subcommands(entry)
    if children:
        docs = resp.map([(resp.bulk(child.name.encode()), _documented(resp, child)) for child in children])
        pairs.append((resp.bulk(b"subcommands"), docs))
    return resp.map(pairs)


@command(
    "COMMAND LIST [FILTERBY MODULE module|ACLCAT category|PATTERN pattern]",
    arity=-2,
    flags=ANY_TIME,
    group="server",
    summary="Returns a list of command names.",
)
def command_list(session: Session, args: list[bytes]) -> bytes:
    names = [entry.name.encode() for entry in commands()]
    if len(args) == 5 and args[2].upper() == b"FILTERBY":
        kind = args[3].upper()
        if kind == b"PATTERN":
            expression = compile_glob(args[4].lower())
            names = [name for name in names if expression.fullmatch(name)]
        elif kind in (b"MODULE", b"ACLCAT"):
            names = []
        else:
            raise UsageError(SYNTAX)
    elif len(args) != 2:
        raise UsageError(SYNTAX)
    return session.resp.bulks(names)


@command(
    "COMMAND GETKEYS command [arg [arg ...]]",
    arity=-3,
    flags=ANY_TIME,
    group="server",
    summary="Extracts the key names from a command.",
)
def command_getkeys(session: Session, args: list[bytes]) -> bytes:
    request = args[2:]
    entry = resolve(request)
    if entry is None:
        raise UsageError("ERR Invalid command specified")
    if not entry.low <= len(request) <= entry.high:
        raise UsageError("ERR Invalid number of arguments specified for command")
    keys = [request[position] for position in entry.key_positions(request)]
    if not keys:
        raise UsageError("ERR The command has no key arguments")
    return session.resp.bulks(keys)


# -- CONFIG


def _settings(session: Session) -> dict[str, str]:
    hub = session.hub
    return {**TUNING, "databases": str(len(hub.databases)), "maxclients": str(hub.limits.clients), **hub.settings}


@command(
    "CONFIG GET parameter [parameter ...]",
    arity=-3,
    flags=("admin", "noscript", *ANY_TIME),
    group="server",
    summary="Returns the effective values of configuration parameters.",
)
def config_get(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    settings = _settings(session)
    chosen: dict[str, None] = {}
    for pattern in args[2:]:
        expression = compile_glob(pattern.lower())
        chosen.update(dict.fromkeys(name for name in settings if expression.fullmatch(name.encode())))
    return resp.map([(resp.bulk(name.encode()), resp.bulk(settings[name].encode())) for name in chosen])


@command(
    "CONFIG SET parameter value [parameter value ...]",
    arity=-4,
    flags=("admin", "noscript", *ANY_TIME),
    group="server",
    summary="Accepted for what only tunes Redis.",
)
def config_set(session: Session, args: list[bytes]) -> bytes:
    pairs = args[2:]
    if len(pairs) % 2:
        raise UsageError("ERR wrong number of arguments for 'config|set' command")
    for name in pairs[::2]:
        text = name.lower().decode("utf-8", "replace")
        if text in session.hub.settings:
            raise UsageError(f"ERR {text} is set in the configuration file; change it there and send SIGHUP")
        if text not in TUNING:
            raise UsageError(f"ERR Unknown option or number of arguments for CONFIG SET - '{printable(name)}'")
    return OK


@command(
    "CONFIG RESETSTAT",
    arity=2,
    flags=("admin", "noscript", *ANY_TIME),
    group="server",
    summary="Resets the statistics of INFO.",
)
def config_resetstat(session: Session, args: list[bytes]) -> bytes:
    session.server.reset_statistics()
    return OK


# -- INFO


@command(
    "INFO [section [section ...]]",
    arity=-1,
    flags=ANY_TIME,
    group="server",
    summary="Returns information and statistics about the server.",
)
def info(session: Session, args: list[bytes]) -> bytes:
    wanted = {arg.lower().decode("utf-8", "replace") for arg in args[1:]}
    everything = not wanted or wanted & {"all", "everything", "default"}
    sections = _sections(session)
    parts = []
    for name in SECTIONS:
        if name in sections and (everything or name.lower() in wanted):
            lines = "".join(f"{field}:{value}\r\n" for field, value in sections[name])
            parts.append(f"# {name}\r\n{lines}")
    return session.resp.verbatim("\r\n".join(parts).encode())


def _sections(session: Session) -> dict[str, Section]:
    server, hub = session.server, session.hub
    sections: dict[str, Section] = {
        "Server": [("redis_version", REDIS_VERSION.decode()), ("redis_mode", "standalone"), ("os", _system())],
        "Clients": [
            ("connected_clients", len(server.sessions)),
            ("maxclients", hub.limits.clients),
            ("blocked_clients", sum(bool(one.gate & PARKED) for one in server.sessions.values())),
        ],
        "Stats": [
            ("total_connections_received", server.statistics.connections),
            ("total_commands_processed", sum(_calls(commands())) - server.statistics.calls_before),
            ("rejected_connections", server.statistics.refused),
            ("pubsub_channels", len(server.channels.channels)),
            ("pubsub_patterns", len(server.channels.patterns)),
        ],
        "Keyspace": [
            (f"db{db.index}", f"keys={len(db.state.keys)},expires=0,avg_ttl=0") for db in hub.databases if db.state.keys
        ],
    }
    for name, lines in hub.info().items():
        sections.setdefault(name, []).extend(lines)
    return sections


def _calls(entries: Iterable[Command]) -> Iterable[int]:
    for entry in entries:
        yield entry.calls


def _system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"
