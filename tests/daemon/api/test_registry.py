"""The table of commands: announcing, finding, containers, and that every command in it is whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crdt.errors import UsageError
from daemon.api.dispatch import execute
from daemon.api.registry import TABLE, Command, command, commands, lookup, resolve, subcommands
from daemon.api.server import Server
from daemon.api.session import Session
from tests.daemon.api.serving import Hub, session


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """What a test announces is gone afterwards."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def announce(syntax: str, arity: int, **more: object) -> None:
    @command(syntax, arity=arity, group="test", summary="Says what it was.", **more)  # type: ignore[arg-type]
    def handler(session: Session, args: list[bytes]) -> bytes:
        return session.resp.bulks(args)


def ask(*args: bytes) -> bytes:
    return execute(session(Server(Hub())), list(args))


def test_both_cases_are_in_the_table_and_others_are_found() -> None:
    announce("XYZZY key [word ...]", -2, flags=("write",), keys=(1, 1, 1))
    entry = TABLE[b"xyzzy"]
    assert TABLE[b"XYZZY"] is entry
    assert lookup(b"XyzzY") is entry
    assert lookup(b"nosuch") is None
    assert (entry.name, entry.low, entry.write) == ("xyzzy", 2, True)


def test_a_name_is_announced_once() -> None:
    announce("XYZZY", 1)
    with pytest.raises(ValueError, match="xyzzy is announced twice"):
        announce("XYZZY", 1)


async def test_a_subcommand_makes_its_container() -> None:
    announce("XYZZY ONE word", 3)
    announce("XYZZY TWO-B", 2)
    assert [entry.name for entry in subcommands(TABLE[b"xyzzy"])] == ["xyzzy|one", "xyzzy|two-b"]
    assert ask(b"Xyzzy", b"One", b"w") == b"*3\r\n$5\r\nXyzzy\r\n$3\r\nOne\r\n$1\r\nw\r\n"
    assert TABLE[b"xyzzy"].subcommands[b"one"].calls == 1
    assert resolve([b"XYZZY", b"TWO-b"]) is TABLE[b"xyzzy"].subcommands[b"two-b"]
    assert resolve([b"XYZZY", b"three"]) is TABLE[b"xyzzy"]


async def test_what_a_container_says() -> None:
    announce("XYZZY ONE word", 3)
    assert ask(b"XYZZY") == b"-ERR wrong number of arguments for 'xyzzy' command\r\n"
    assert ask(b"XYZZY", b"ONE") == b"-ERR wrong number of arguments for 'xyzzy|one' command\r\n"
    assert ask(b"XYZZY", b"three") == b"-ERR unknown subcommand 'three'. Try XYZZY HELP.\r\n"
    assert ask(b"XYZZY", b"help") == (
        b"*5\r\n+XYZZY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+ONE word\r\n"
        b"+    Says what it was.\r\n+HELP\r\n+    Prints this help.\r\n"
    )


@pytest.mark.parametrize(
    ("keys", "count", "expected"),
    [
        ((0, 0, 0), 5, []),
        ((1, 1, 1), 5, [1]),
        ((1, -1, 1), 4, [1, 2, 3]),
        ((1, -1, 2), 5, [1, 3]),
        ((1, -2, 1), 4, [1, 2]),
        ((1, 2, 1), 2, [1]),
    ],
)
def test_key_positions(keys: tuple[int, int, int], count: int, expected: list[int]) -> None:
    entry = Command("x", "X", -1, (), keys, "test", "", lambda session, args: b"")
    assert list(entry.key_positions([b""] * count)) == expected


async def test_a_refusal_is_counted() -> None:
    @command("XYZZY", arity=1, group="test", summary="Refuses.")
    def refuse(session: Session, args: list[bytes]) -> bytes:
        raise UsageError("ERR not today")

    assert ask(b"xyzzy") == b"-ERR not today\r\n"
    assert (TABLE[b"xyzzy"].calls, TABLE[b"xyzzy"].failed) == (1, 1)


@pytest.mark.parametrize("entry", commands(), ids=lambda entry: entry.name)
def test_every_command_is_whole(entry: Command) -> None:
    for one in (entry, *subcommands(entry)):
        assert one.summary
        assert one.group
        assert one.syntax.split()[0] == one.name.partition("|")[0].upper()
        assert one.write == ("write" in one.flags)
        assert not {"write", "readonly"} <= one.flags
        first = one.keys[0]
        assert first == 0 or first < one.low, "the first key is always there"
