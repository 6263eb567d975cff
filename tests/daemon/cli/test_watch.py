"""watch: one line per change."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _message(channel: bytes, event: bytes) -> bytes:
    return b"*4\r\n" + b"".join(map(_bulk, (b"pmessage", b"pattern", channel, event)))


# A closed connection ends the verb: what follows the last message is no RESP.
CHANGES = (
    b"*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n"
    + _message(b"__keyspace@0__:plain", b"set")
    + _message(b"__keyspace@1__:a__:b", b"del")
    + _message(b"__keyspace@0__:\xff\n", b"sadd")
    + b"garbage\r\n"
)


def test_a_line_per_change(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("PSUBSCRIBE", CHANGES)
    result = gossamer("watch", "user:*")
    assert result.stdout == 'set plain\ndel a__:b\nsadd "\\xff\\n"\n'
    assert scripted.words_seen() == ["PSUBSCRIBE __keyspace@*__:user:*"]


def test_json_names_the_space(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("PSUBSCRIBE", CHANGES)
    scripted.says_status()
    found = [json.loads(line) for line in gossamer("watch", "--json", "*").stdout.splitlines()]
    assert [(f["space"], f["key"], f["event"]) for f in found] == [
        ("default", "plain", "set"),
        ("1", "a__:b", "del"),
        ("default", {"base64": "/wo="}, "sadd"),
    ]
    assert all(f["time"] > 0 for f in found)


def test_the_daemon_goes_away(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("PSUBSCRIBE", b"")
    assert gossamer("watch", "*").exit_code == 3


def test_the_daemon_refuses(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    assert gossamer("watch", "*").exit_code == 1
