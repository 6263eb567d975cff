"""A daemon that says what a script tells it to, on a real Unix socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis

Answer = bytes | Callable[[list[bytes]], bytes]


class ScriptedDaemon:
    """Answers each command with what its script holds for the longest match of its words, others as Redis does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script: dict[str, Answer] = {"PING": b"+PONG\r\n", "HELLO": b"%0\r\n", "SELECT": b"+OK\r\n"}
        self.seen: list[list[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def says(self, words: str, answer: Answer) -> None:
        """From now on what begins with `words` is answered with `answer`; b"" closes the connection."""
        self.script[words] = answer

    def says_status(self, **parts: Any) -> None:
        """CRDT.STATUS answers a document with these parts."""
        data = json.dumps(status_document(**parts)).encode()
        self.says("CRDT.STATUS", b"$%d\r\n%s\r\n" % (len(data), data))

    def words_seen(self) -> list[str]:
        """The requests so far, as text."""
        return [b" ".join(request).decode() for request in self.seen]

    def stop(self) -> None:
        """Goes away as a killed daemon does: the socket's file stays."""
        for open_socket in (self._listener, *self._connections):
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            open_socket.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        try:
            while data := connection.recv(65536):
                reader.feed(data)
                while request := reader.gets():
                    self.seen.append(request)
                    if not (answer := self._answer(request)):
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    connection.sendall(answer)
        except OSError:
            return

    def _answer(self, request: list[bytes]) -> bytes:
        text = b" ".join([request[0].upper(), *request[1:]]).decode("utf-8", "replace")
        for words in sorted(self.script, key=len, reverse=True):
            if text == words or text.startswith(words + " "):
                answer = self.script[words]
                return answer if isinstance(answer, bytes) else answer(request)
        return b"-ERR unknown command '%s', with args beginning with: \r\n" % request[0]


def status_document(**parts: Any) -> dict[str, Any]:
    """A document of /status with one healthy space, and `parts` in place of its own."""
    space = {"name": "default", "index": 0, "incarnation": "00000000000000aa", "keys": 3, "live_dots": 4}
    space |= {"vv": {}, "state_hash": "ab" * 16, "log_bytes": 9, "log_floor": 0, "pending": 0, "held_frames": 0}
    space |= {"conflicts": 0, "divergences": 0, "converged": True}
    document = {"name": "a", "version": "0.1.0", "uptime_seconds": 3725.0, "ready": True, "spaces": [space]}
    return document | {"peers": [], "brokers": []} | parts


def peer(name: str, state: str = "online", **parts: Any) -> dict[str, Any]:
    """A peer of a status document."""
    found = {"name": name, "incarnation": None, "space": "default", "state": state, "lag_operations": 0}
    found |= {"lag_seconds": 0.0, "behind_operations": 0, "last_seen_seconds": 0.5, "clock_skew_seconds": 0.003}
    return found | parts
