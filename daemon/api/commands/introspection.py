"""COMMAND and INFO: what clients ask to find out what they are talking to."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api import description
from daemon.api.arguments import SYNTAX
from daemon.api.commands.connection import REDIS_VERSION
from daemon.api.glob import compile_glob
from daemon.api.hub import Section
from daemon.api.registry import Command, command, commands, lookup, resolve, run_subcommand
from daemon.api.session import PARKED

if TYPE_CHECKING:
    from crdt.state import State
    from daemon.api.session import Session

OK = b"+OK\r\n"
ANY_TIME = ("loading", "stale")
SECTIONS = ("Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Crdt", "Keyspace")


# -- COMMAND


@command(
    "COMMAND", arity=-1, flags=ANY_TIME, group="server", summary="Returns detailed information about all commands."
)
def command_(session: Session, args: list[bytes]) -> bytes:
    # The one container that is also a command.
    if len(args) > 1:
        return run_subcommand(session, args)
    return _everything(session)


def _everything(session: Session) -> bytes:
    return session.resp.array([description.info(session.resp, entry) for entry in commands()])


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
        return _everything(session)
    found = [_named(name) for name in args[2:]]
    return resp.array([resp.null if entry is None else description.info(resp, entry) for entry in found])


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
    since = session.hub.version
    entries = [entry for name in args[2:] if (entry := _named(name)) is not None] if len(args) > 2 else commands()
    return resp.map([(resp.bulk(entry.name.encode()), description.docs(resp, entry, since)) for entry in entries])


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
        elif kind == b"ACLCAT":
            category = args[4].lower().decode("utf-8", "replace")
            names = [entry.name.encode() for entry in commands() if category in description.categories(entry)]
        elif kind == b"MODULE":
            names = []
        else:
            raise UsageError(SYNTAX)
    elif len(args) != 2:
        raise UsageError(SYNTAX)
    return session.resp.bulks(names)


@command(
    "COMMAND GETKEYS command [arg [arg ...]]",
    arity=-4,
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
        "Keyspace": [(f"db{db.index}", _keyspace(db.state)) for db in hub.databases if db.state.keys],
    }
    for name, lines in hub.info(session.db).items():
        sections.setdefault(name, []).extend(lines)
    return sections


def _keyspace(state: State) -> str:
    mean = state.deadline_sum // state.mortal - state.time_ms if state.mortal else 0
    return f"keys={len(state.keys)},expires={state.mortal},avg_ttl={mean}"


def _calls(entries: Iterable[Command]) -> Iterable[int]:
    for entry in entries:
        yield entry.calls


def _system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"
