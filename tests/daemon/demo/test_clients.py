"""The client: replies as maps, and nothing repeated behind a program's back."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from daemon.demo.clients import AWAY, as_map, connect


@pytest.mark.parametrize("reply", [{b"a": 1, b"b": [2]}, [b"a", 1, b"b", [2]]])
def test_a_map_in_either_protocol(reply: object) -> None:
    assert as_map(reply) == {b"a": 1, b"b": [2]}


def test_a_command_whose_reply_is_lost_is_sent_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    commands: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(4096):
                    commands.append(data)
                    if b"INCR" in data:
                        break  # gone, without a reply
                    greeting = b"%1\r\n$5\r\nproto\r\n:3\r\n" * data.count(b"HELLO")
                    connection.sendall(greeting + b"+OK\r\n" * data.count(b"CLIENT"))

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(AWAY):
            connect(path, 5.0).execute_command("INCR", "n")
    assert sum(b"INCR" in data for data in commands) == 1


def test_nobody_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(AWAY):
        connect(tmp_path / "none.sock").execute_command("PING")
