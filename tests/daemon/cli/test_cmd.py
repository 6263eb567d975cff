"""cmd: as redis-cli, with exit statuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

from click.testing import Result

from tests.daemon.cli.scripted import ScriptedDaemon


def test_raw_when_not_on_a_terminal(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("GET k", b"$3\r\n\xff\x00a\r\n")
    result = gossamer("cmd", "GET", "k")
    assert (result.exit_code, result.stdout_bytes) == (0, b"\xff\x00a\n")
    scripted.says("SMEMBERS s", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
    assert gossamer("cmd", "SMEMBERS", "s").stdout == "a\nb\n"


def test_nil_exits_with_4(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("GET", b"$-1\r\n")
    assert gossamer("cmd", "GET", "none").exit_code == 4
    result = gossamer("cmd", "--json", "GET", "none")
    assert (result.exit_code, result.stdout) == (4, "null\n")


def test_an_error_goes_to_stderr(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("GET", b"-WRONGTYPE Operation against a key\r\n")
    for options in ([], ["--json"]):
        result = gossamer("cmd", *options, "GET", "k")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "WRONGTYPE Operation against a key\n"


def test_an_error_inside_a_transaction(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("EXEC", b"*2\r\n:1\r\n-ERR no\r\n")
    result = gossamer("cmd", "EXEC")
    assert (result.exit_code, result.stdout) == (1, "1\nERR no\n")


def test_json_speaks_resp3(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("HGETALL", b"%1\r\n$1\r\nf\r\n$1\r\n\xff\r\n")
    result = gossamer("cmd", "--json", "HGETALL", "h")
    assert json.loads(result.stdout) == {"f": {"base64": "/w=="}}
    assert scripted.words_seen() == ["HELLO 3", "HGETALL h"]


def test_options_behind_the_command_are_its_own(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("SET", b"+OK\r\n")
    assert gossamer("cmd", "SET", "k", "--json", "-n").stdout == "OK\n"
    assert scripted.words_seen() == ["SET k --json -n"]
    assert gossamer("cmd", "SET", "k", "-1").exit_code == 0


def test_another_space(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    gossamer("cmd", "-n", "2", "PING")
    assert scripted.words_seen() == ["SELECT 2", "PING"]


def test_the_last_argument_from_standard_input(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("SET", b"+OK\r\n")
    assert gossamer("cmd", "-x", "SET", "k", input=b"\x00\xff\n").exit_code == 0
    assert scripted.seen == [[b"SET", b"k", b"\x00\xff\n"]]


def test_shutdown_answers_by_going_away(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    scripted.says("SHUTDOWN", b"")
    scripted.says("GET", b"")
    assert gossamer("cmd", "shutdown").exit_code == 0
    assert gossamer("cmd", "GET", "k").exit_code == 3


def test_a_subscription_goes_on(scripted: ScriptedDaemon, gossamer: Callable[..., Result]) -> None:
    first = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    second = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"
    # What follows is no reply, so the verb ends, as it would when the daemon stops.
    scripted.says("SUBSCRIBE", first + second + b"garbage\r\n")
    result = gossamer("cmd", "SUBSCRIBE", "c")
    assert result.stdout == "subscribe\nc\n1\nmessage\nc\nhi\n"


def test_on_a_terminal_types_are_shown(scripted: ScriptedDaemon) -> None:
    scripted.says("LRANGE", b"*2\r\n$1\r\na\r\n$2\r\n\xff\n\r\n")
    ours, theirs = pty.openpty()
    code = "from daemon.cli import main; main()"
    arguments = [sys.executable, "-c", code, "cmd", "--socket", str(scripted.path), "LRANGE", "l", "0", "-1"]
    done = subprocess.run(arguments, stdout=theirs, timeout=30, check=False)
    os.close(theirs)
    text = os.read(ours, 4096).decode().replace("\r\n", "\n")
    os.close(ours)
    assert (done.returncode, text) == (0, '1) "a"\n2) "\\xff\\n"\n')
