"""A small synchronous client of the local socket.

Knows: RESP requests, and replies through hiredis. Promises: a reply, or Unreachable; an error reply is a value, not
an exception. Must not know: any command.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hiredis

from daemon.cli.errors import CliError, Exit, Unreachable

ANSWER_WITHIN = 10.0
"""Seconds for a command that does not block; a healthy daemon takes milliseconds."""

Reply = Any
"""bytes, int, float, bool, None, ErrorReply, a list or a dict of these."""


class ErrorReply(Exception):
    """A reply that begins with `-`; `str()` is its text without it."""


_NOTHING_YET = object()


class Client:
    """One connection to a Unix socket. Raises Unreachable wherever the daemon is away."""

    def __init__(self, path: Path, answer_within: float | None = ANSWER_WITHIN) -> None:
        self.path = path
        self._reader = hiredis.Reader(replyError=ErrorReply, notEnoughData=_NOTHING_YET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(answer_within)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Unreachable(_why_not(path, error)) from None

    def call(self, *words: str | bytes) -> Reply:
        """Sends one command and waits for its reply."""
        self.send(*words)
        return self.receive()

    def ask(self, *words: str | bytes) -> Reply:
        """As `call`, for commands that must work: an error reply ends the program with status 1."""
        reply = self.call(*words)
        if isinstance(reply, ErrorReply):
            raise CliError(f"the daemon answers: {reply}", Exit.FAILURE)
        return reply

    def send(self, *words: str | bytes) -> None:
        """Sends one command."""
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word
            parts += (b"$%d\r\n" % len(data), data, b"\r\n")
        try:
            self._socket.sendall(b"".join(parts))
        except OSError as error:
            raise Unreachable(_lost(self.path, error)) from None

    def receive(self) -> Reply:
        """The next reply or message."""
        try:
            while (reply := self._reader.gets()) is _NOTHING_YET:
                data = self._socket.recv(65536)
                if not data:
                    raise Unreachable(f"the daemon closed the connection at {self.path}: its log says why")
                self._reader.feed(data)
        except OSError as error:
            raise Unreachable(_lost(self.path, error)) from None
        except hiredis.ProtocolError:
            raise CliError(f"what listens at {self.path} does not speak the Redis protocol", Exit.FAILURE) from None
        return reply

    def messages(self) -> Iterator[Reply]:
        """What is pushed, for ever."""
        while True:
            yield self.receive()

    def close(self) -> None:
        """Closes the connection; a second time does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _why_not(path: Path, error: OSError) -> str:
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return f"no daemon listens at {path}: start one with 'gossamer run', or name another with --socket"
    if isinstance(error, PermissionError):
        return f"{path} may not be used by this user: ask for membership of its group (api.socket_group)"
    return _lost(path, error)


def _lost(path: Path, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"the daemon at {path} does not answer: it may be stopped or overloaded"
    return f"no connection to the daemon at {path}: {error.strerror or error}"
