"""The little client: replies, errors as values, and a daemon that goes away."""

from __future__ import annotations

import pytest

from daemon.cli.client import Client, ErrorReply
from daemon.cli.errors import CliError, Unreachable
from tests.daemon.cli.scripted import ScriptedDaemon


def test_replies_come_back_in_their_types(scripted: ScriptedDaemon) -> None:
    scripted.says("A", b"*3\r\n:1\r\n$-1\r\n$2\r\n\xff\x00\r\n")
    with Client(scripted.path) as client:
        assert client.call("PING") == b"PONG"
        assert client.call("A") == [1, None, b"\xff\x00"]


def test_words_may_be_any_bytes(scripted: ScriptedDaemon) -> None:
    scripted.says("SET", b"+OK\r\n")
    with Client(scripted.path) as client:
        client.call("SET", b"\r\n\xff", "ä", "\udcff")
    assert scripted.seen == [[b"SET", b"\r\n\xff", "ä".encode(), b"\xff"]]


def test_an_error_is_a_value_unless_asked(scripted: ScriptedDaemon) -> None:
    with Client(scripted.path) as client:
        reply = client.call("NO")
        assert isinstance(reply, ErrorReply)
        assert str(reply).startswith("ERR unknown command 'NO'")
        with pytest.raises(CliError, match="the daemon answers: ERR unknown") as failure:
            client.ask("NO")
        assert failure.value.exit_code == 1


def test_a_reply_in_two_pieces(scripted: ScriptedDaemon) -> None:
    big = b"x" * 300_000
    scripted.says("BIG", b"$%d\r\n%s\r\n" % (len(big), big))
    with Client(scripted.path) as client:
        assert client.call("BIG") == big


def test_a_closed_connection(scripted: ScriptedDaemon) -> None:
    scripted.says("BYE", b"")
    with Client(scripted.path) as client, pytest.raises(Unreachable, match="closed the connection"):
        client.call("BYE")


def test_no_answer_in_time(scripted: ScriptedDaemon) -> None:
    # Half a reply: the rest never comes.
    scripted.says("SLOW", b"$5\r\nab")
    with Client(scripted.path, answer_within=0.05) as client, pytest.raises(Unreachable, match="does not answer"):
        client.call("SLOW")


def test_what_is_not_redis(scripted: ScriptedDaemon) -> None:
    scripted.says("X", b"HTTP/1.1 400\r\n\r\n")
    with Client(scripted.path) as client, pytest.raises(CliError, match="Redis protocol"):
        client.call("X")


def test_messages_go_on(scripted: ScriptedDaemon) -> None:
    scripted.says("SUB", b":1\r\n:2\r\n:3\r\n")
    with Client(scripted.path) as client:
        client.send("SUB")
        found = client.messages()
        assert [next(found) for _ in range(3)] == [1, 2, 3]
