"""Where connections come from: the Unix socket, and TCP.

Knows: what may stand at a socket's path, and how to make a socket file that is never more open than its mode.
Promises: a dead socket file is replaced, a live one or any other kind of file is left alone and refused with a
sentence; the file is gone after `close`. Must not know: sessions, commands, passwords.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

BACKLOG = 511

Factory = Callable[[], asyncio.Protocol]


class ListenError(Exception):
    """An address that cannot be listened at; the text says why and what to do."""


class Listener(Protocol):
    """One place where connections come in. `guarded`: they must say the password, if there is one."""

    guarded: bool

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """Begin to accept. Raises ListenError."""
        ...

    async def close(self) -> None:
        """Accept no more; open connections stay."""
        ...


class UnixListener:
    """The Unix socket at `path`, guarded by its `mode` and the `group` (by name) it is given to."""

    guarded = False

    def __init__(self, path: Path, mode: int = 0o660, group: str | None = None) -> None:
        self.path = path
        self._mode = mode
        self._group = group
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """See `Listener.open`."""
        self._clear()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o777 & ~self._mode)
        try:
            sock.bind(str(self.path))
        except OSError as error:
            sock.close()
            raise ListenError(self._refusal(error)) from None
        finally:
            os.umask(mask)
        try:
            self._give_away()
            sock.setblocking(False)
            self._server = await loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
        except BaseException:
            sock.close()
            with suppress(FileNotFoundError):
                self.path.unlink()
            raise
        self._inode = _inode(self.path)

    async def close(self) -> None:
        """See `Listener.close`. The file goes only if it is still ours."""
        if self._server is None:
            return
        with suppress(OSError):
            if _inode(self.path) == self._inode:
                self.path.unlink()
        self._server.close()
        self._server = None

    def _clear(self) -> None:
        """Make room: a socket file that nobody answers at is left over from a daemon that was killed."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ListenError(self._refusal(error)) from None
        if not stat.S_ISSOCK(found.st_mode):
            raise ListenError(f"{self.path} exists and is no socket: remove it, or name another path with --socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                with suppress(FileNotFoundError):
                    self.path.unlink()
                return
            except OSError as error:
                raise ListenError(self._refusal(error)) from None
        raise ListenError(f"{self.path} is in use: another daemon answers there; name another path with --socket")

    def _refusal(self, error: OSError) -> str:
        if error.errno == errno.ENOENT:
            return (
                f"{self.path} cannot be made: its directory does not exist; make it, or name another path with --socket"
            )
        if "too long" in str(error):
            return f"{self.path} is too long for a socket: name a shorter path with --socket"
        return f"{self.path} cannot be listened at: {error.strerror or error}; name another path with --socket"

    def _give_away(self) -> None:
        if self._group is None:
            return
        try:
            shutil.chown(self.path, group=self._group)
        except LookupError:
            raise ListenError(f"api.socket_group: there is no group {self._group!r}") from None
        except OSError as error:
            raise ListenError(f"{self.path} cannot be given to group {self._group!r}: {error.strerror}") from None


class TcpListener:
    """The same protocol over TCP. `port` 0 lets the system choose; `port` tells after `open`."""

    guarded = True

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """See `Listener.open`."""
        try:
            self._server = await loop.create_server(factory, self.host, self.port, backlog=BACKLOG)
        except OSError as error:
            where = f"{self.host}:{self.port}"
            raise ListenError(
                f"{where} cannot be listened at: {error.strerror or error}; pass another --listen"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """See `Listener.close`."""
        if self._server is not None:
            self._server.close()
            self._server = None


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
