"""The table of commands: the one place a command is announced.

Knows names, arities, flags, key positions and one line of help for each command; COMMAND, the help texts and
docs/redis.md are made from it. A module of `daemon/api/commands` fills it by decorating its handlers. Must not know
what any handler does, nor sessions beyond handing them on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from crdt.errors import UsageError
from daemon.api.arguments import printable

if TYPE_CHECKING:
    from daemon.api.session import Session

Handler = Callable[["Session", list[bytes]], bytes]
"""A command: (session, arguments with the name as sent first) -> one encoded reply, or UsageError."""

Positions = tuple[int, int, int]
"""First key, last key (negative: from the end), step; (0, 0, 0) without keys. As Redis's COMMAND shows them."""


class Command:
    """One command or subcommand. `calls` counts executions; the other attributes never change."""

    __slots__ = (
        "arity",
        "calls",
        "failed",
        "flags",
        "group",
        "handler",
        "high",
        "keys",
        "low",
        "name",
        "subcommands",
        "summary",
        "syntax",
        "write",
    )

    def __init__(
        self,
        name: str,
        syntax: str,
        arity: int,
        flags: Iterable[str],
        keys: Positions,
        group: str,
        summary: str,
        handler: Handler,
    ) -> None:
        """`name` is lower case, `client|id` for a subcommand; `arity` counts the name, negative means "at least"."""
        self.name: Final = name
        self.syntax: Final = syntax
        self.arity: Final = arity
        self.low: Final = abs(arity)
        self.high: Final = arity if arity > 0 else sys.maxsize
        self.flags: Final = frozenset(flags)
        self.write: Final = "write" in self.flags
        self.keys: Final = keys
        self.group: Final = group
        self.summary: Final = summary
        self.handler: Final = handler
        self.subcommands: Final[dict[bytes, Command]] = {}
        self.calls = 0
        self.failed = 0

    def __repr__(self) -> str:
        return f"Command({self.name})"

    def key_positions(self, args: list[bytes]) -> range:
        """Where the keys stand in `args`; empty without keys."""
        first, last, step = self.keys
        if first == 0:
            return range(0)
        stop = last + 1 if last >= 0 else len(args) + last + 1
        return range(first, min(stop, len(args)), step)


TABLE: Final[dict[bytes, Command]] = {}
"""Every command under its upper-case and its lower-case name (the hot path asks for nothing else)."""


def command(
    syntax: str,
    *,
    arity: int,
    flags: Iterable[str] = (),
    keys: Positions = (0, 0, 0),
    group: str,
    summary: str,
) -> Callable[[Handler], Handler]:
    """Announce the decorated handler as the command that `syntax` begins with.

    `syntax` is Redis's: the name and, for a subcommand, its own in capitals, then the arguments
    (`SADD key member [member ...]`, `CLIENT SETNAME connection-name`). Flags are Redis's words (`write`, `readonly`,
    `fast`, `admin`, `pubsub`, `blocking` ...). A subcommand's `arity` counts both words. Raises ValueError for a name
    announced twice.
    """
    names = _names(syntax)

    def announce(handler: Handler) -> Handler:
        entry = Command("|".join(names).lower(), syntax, arity, flags, keys, group, summary, handler)
        table = TABLE if len(names) == 1 else _container(names[0], group).subcommands
        for spelling in (names[-1].upper().encode(), names[-1].lower().encode()):
            if spelling in table:
                raise ValueError(f"command {entry.name} is announced twice")
            table[spelling] = entry
        return handler

    return announce


def lookup(name: bytes) -> Command | None:
    """The command called `name` in any mixture of cases."""
    return TABLE.get(name) or TABLE.get(name.lower())


def resolve(args: list[bytes]) -> Command | None:
    """The command that `args` calls: the subcommand where there is one, else None or the command itself."""
    found = lookup(args[0])
    if found is None or not found.subcommands or len(args) < 2:
        return found
    return found.subcommands.get(args[1].lower(), found)


def commands() -> list[Command]:
    """All commands (without subcommands), by name."""
    return [TABLE[name] for name in sorted(TABLE) if name.islower()]


def subcommands(parent: Command) -> list[Command]:
    """All subcommands of a command, by name."""
    return [parent.subcommands[name] for name in sorted(parent.subcommands) if name.islower()]


def _names(syntax: str) -> list[str]:
    words = syntax.split(" ")
    if len(words) > 1 and words[1].replace("-", "").isalpha() and words[1].isupper():
        return words[:2]
    return words[:1]


def _container(name: str, group: str) -> Command:
    """The command that only holds subcommands; made when its first one is announced."""
    found = TABLE.get(name.encode())
    if found is None:
        summary = f"A container for {name.lower()} commands."
        found = Command(name.lower(), name, -2, (), (0, 0, 0), group, summary, run_subcommand)
        TABLE[name.upper().encode()] = TABLE[name.lower().encode()] = found
    return found


def run_subcommand(session: Session, args: list[bytes]) -> bytes:
    """The handler of every container: check the second word as Redis does and hand on."""
    parent = TABLE[args[0].lower()]
    entry = parent.subcommands.get(args[1].lower())
    if entry is None:
        if args[1].lower() == b"help":
            return session.resp.array([session.resp.simple(line) for line in help_lines(parent)])
        raise UsageError(unknown_subcommand(parent, args[1]))
    if not entry.low <= len(args) <= entry.high:
        raise UsageError(wrong_arity(entry))
    entry.calls += 1
    session.last_command = entry.name
    return entry.handler(session, args)


def help_lines(parent: Command) -> list[bytes]:
    """What `NAME HELP` answers, made from the table."""
    name = parent.name.upper()
    lines = [f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for entry in subcommands(parent):
        lines += [entry.syntax.removeprefix(name + " "), "    " + entry.summary]
    lines += ["HELP", "    Prints this help."]
    return [line.encode() for line in lines]


def unknown_subcommand(parent: Command, word: bytes) -> str:
    """Redis's error text for a subcommand that is not there."""
    return f"ERR unknown subcommand '{printable(word[:128])}'. Try {parent.name.upper()} HELP."


def wrong_arity(entry: Command) -> str:
    """Redis's error text for too few or too many arguments."""
    return f"ERR wrong number of arguments for '{entry.name}' command"
