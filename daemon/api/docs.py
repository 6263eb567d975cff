"""The tables of docs/redis.md, made from the table of commands: `python -m daemon.api.docs` renews the page.

Knows the areas of the page and what holds across replicas in each. Promises that every announced command stands in
exactly one table; a group without an area is an error. Must not know any command by name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from daemon.api import commands as _commands  # noqa: F401  the table fills itself when they are imported
from daemon.api.registry import Command, commands, run_subcommand, subcommands

PAGE: Final = Path(__file__).parents[2] / "docs" / "redis.md"
BEGIN: Final = "<!-- made by python -m daemon.api.docs: edit the announcements of the commands instead -->\n"
END: Final = "<!-- end of what is made -->\n"

AREAS: Final[dict[str, tuple[str, str]]] = {
    "connection": ("Connection", "local"),
    "server": ("Server", "local, but for `FLUSHDB` and `FLUSHALL`, which remove what this replica has seen"),
    "generic": ("Keys", "`DEL` removes what this replica has seen; `RENAME`, `COPY` write what it reads as new rows"),
    "string": ("Strings and counters", "a register: causality, then the clock; increments add up"),
    "bitmap": ("Bits", "write the whole string, as `SETRANGE`"),
    "set": ("Sets", "an addition wins over a removal that had not seen it"),
    "hash": ("Hashes", "per field, as strings and counters; an update wins over a deletion that had not seen it"),
    "json": (
        "JSON documents",
        "per path: members and leaves as in hashes; containers of one kind merge; runs in arrays stay together",
    ),
    "sorted-set": ("Sorted sets", "additions win; scores are registers, increments add up"),
    "list": (
        "Lists",
        "order converges, what one replica inserts stays together; two may pop the same element",
    ),
    "stream": ("Streams", "entries of all replicas, by id; `XREAD` follows the order of arrival at this replica"),
    "transactions": ("Transactions", "`EXEC` is one frame: all of it or nothing; `WATCH` is judged on this replica"),
    "pubsub": ("Events", "`PUBLISH` is local; changes by peers send keyspace events too"),
    "native": ("No Redis equivalent", "see docs/conflicts.md"),
    "convergence": ("Waiting for peers", "made for it"),
    "seeing": ("Seeing", "what this replica knows, as of the last message heard"),
}
"""Group of the table of commands -> heading, and what holds across replicas; in the order of the page."""


def grouped() -> dict[str, list[Command]]:
    """All commands and subcommands by group, without mere containers. Raises ValueError for a group without an area."""
    found: dict[str, list[Command]] = {group: [] for group in AREAS}
    for parent in commands():
        alone = [] if parent.handler is run_subcommand else [parent]
        for entry in alone + subcommands(parent):
            if entry.group not in found:
                raise ValueError(f"{entry.name} is of group {entry.group!r}: give it an area in daemon/api/docs.py")
            found[entry.group].append(entry)
    return found


def tables() -> str:
    """A heading, a sentence and a table per area."""
    return "\n".join(_area(*AREAS[group], entries) for group, entries in grouped().items())


def _area(title: str, across: str, entries: list[Command]) -> str:
    lines = [f"### {title}", "", f"Across replicas: {across}.", "", "| command | |", "|---|---|"]
    lines += [f"| `{_cell(entry.syntax)}` | {_cell(entry.summary.rstrip('.'))} |" for entry in entries]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def renewed(page: str) -> str:
    """The page with its generated part as it has to be. Raises ValueError if the page has no such part."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks one of the two comments that enclose what is made")
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def main() -> int:
    """Renew docs/redis.md in place."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(renewed(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
