"""TEXT.*: replies as the contract has them, and arguments that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.oracle import Hub

Ask = Callable[..., Any]
EURO = "\u20ac".encode()


def test_replies(ask: Ask) -> None:
    assert ask("TEXT.GET t") is None and ask("TEXT.LEN t") == 0
    assert ask("TEXT.INSERT t 0", b"m" + EURO + b"n") == 3
    assert ask("TEXT.INSERT t 1", "\U0001f600".encode()) == 4
    assert ask("TEXT.GET t") == b"m\xf0\x9f\x98\x80" + EURO + b"n"
    assert ask("TEXT.LEN t") == 4 and ask("TYPE t") == b"text"
    assert ask("TEXT.GET t 2 2") == EURO and ask("TEXT.GET t -1 -1") == b"n" and ask("TEXT.GET t 3 1") == b""
    assert ask("TEXT.GET t -100 0") == b"m" and ask("TEXT.GET t 9 10") == b""
    assert ask("TEXT.DELETE t 1 2") == 2 and ask("TEXT.DELETE t 1 100") == 1 and ask("TEXT.DELETE t 1 5") == 0
    assert ask("TEXT.DELETE t 0 1") == 1 and ask("EXISTS t") == 0
    assert ask("TEXT.INSERT t 0", b"") == 0 and ask("EXISTS t") == 0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("TEXT.INSERT t 3 x", "ERR index out of range"),
        ("TEXT.INSERT t -1 x", "ERR index out of range"),
        ("TEXT.INSERT t x x", "ERR value is not an integer or out of range"),
        ("TEXT.INSERT t 9223372036854775808 x", "ERR value is not an integer or out of range"),
        ("TEXT.INSERT t 0", "ERR wrong number of arguments for 'text.insert' command"),
        ("TEXT.DELETE t 3 1", "ERR index out of range"),
        ("TEXT.DELETE t 0 -1", "ERR value is out of range, must be positive"),
        ("TEXT.DELETE t 0 x", "ERR value is out of range, must be positive"),
        ("TEXT.DELETE absent 1 1", "ERR index out of range"),
        ("TEXT.GET t 1", "ERR syntax error"),
        ("TEXT.GET t 1 x", "ERR value is not an integer or out of range"),
        ("TEXT.GET s", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("TEXT.LEN s", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("TEXT.INSERT s 0 x", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("RPUSH t x", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET t", "WRONGTYPE Operation against a key holding the wrong kind of value"),
    ],
)
def test_errors_change_nothing(ask: Ask, hub: Hub, line: str, error: str) -> None:
    ask("TEXT.INSERT t 0 mn")
    ask("SET s v")
    before = hub.states[0].seq
    assert ask(line) == f"-{error}"
    assert hub.states[0].seq == before and ask("TEXT.GET t") == b"mn"


@pytest.mark.parametrize("junk", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"])
def test_what_is_no_text(ask: Ask, hub: Hub, junk: bytes) -> None:
    before = hub.states[0].seq
    assert ask("TEXT.INSERT t 0", junk) == "-ERR value is not valid UTF-8"
    assert hub.states[0].seq == before


def test_events(ask: Ask, hub: Hub) -> None:
    ask("TEXT.INSERT t 0 mn")
    ask("TEXT.INSERT t 0", b"")
    ask("TEXT.DELETE t 0 0")
    ask("TEXT.DELETE t 0 1")
    ask("TEXT.DELETE t 0 1")
    names = [channel.decode().partition(":")[2] for channel, _ in hub.told.events]
    assert names == ["text.insert", "text.delete", "text.delete", "del"]
