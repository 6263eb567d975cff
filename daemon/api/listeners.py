"""Where clients connect: a Unix socket and, on request, TCP.

Knows sockets and files. Promises that the socket file has its mode from the moment it exists, that a dead socket is
replaced and nothing else is, and that whatever prevents listening is told in one sentence. Must not know the protocol.
"""

from __future__ import annotations

import asyncio
import errno
import grp
import ipaddress
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

# The room of sockaddr_un.sun_path without its NUL: 108 on Linux, 104 on macOS and the BSDs.
MAX_PATH = 107 if os.uname().sysname == "Linux" else 103
QUEUE = 511

Factory = Callable[[], asyncio.Protocol]


class ListenError(Exception):
    """Listening is not possible; the message says why and what to do."""


class SocketInUseError(ListenError):
    """A live process listens there already."""


class Listener(Protocol):
    """One address. `guarded`: its clients must say the password, where there is one."""

    guarded: bool

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """Begin to accept. Raises ListenError."""

    async def close(self) -> None:
        """Stop accepting; connections stay."""


class UnixListener:
    """A Unix socket; whoever may write to the file may connect."""

    guarded = False

    def __init__(self, path: Path, mode: int = 0o660, group: str | None = None) -> None:
        """`group` (a name or a number) becomes the file's group."""
        self.path = path
        self._mode = mode
        self._group = group
        self._server: asyncio.AbstractServer | None = None
        self._identity: tuple[int, int] | None = None

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """Bind, then accept. Raises ListenError, SocketInUseError."""
        gid = _group_id(self._group) if self._group is not None else None
        make_way(self.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._bind(sock, gid)
            sock.setblocking(False)
            self._server = await loop.create_unix_server(factory, sock=sock, backlog=QUEUE)
        except BaseException:
            sock.close()
            raise

    def _bind(self, sock: socket.socket, gid: int | None) -> None:
        # The umask belongs to the whole process, but nothing else creates files between these two lines.
        before = os.umask(0o777 & ~self._mode)
        try:
            sock.bind(os.fspath(self.path))
        except OSError as error:
            raise ListenError(_bind_sentence(self.path, error)) from error
        finally:
            os.umask(before)
        found = self.path.lstat()
        self._identity = (found.st_dev, found.st_ino)
        if gid is not None:
            # Nobody can connect before listen(), so the old group never gets in.
            try:
                os.chown(self.path, -1, gid)
            except PermissionError as error:
                self.path.unlink()
                raise ListenError(
                    f"the socket {self.path} cannot be given to the group {self._group}: only a member of the group or "
                    "root may do that; set api.socket_group to a group of yours"
                ) from error

    async def close(self) -> None:
        """Stop accepting and remove the file, if it is still ours."""
        if self._server is None:
            return
        self._server.close()
        try:
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.path.unlink()
        except FileNotFoundError:
            pass


class TcpListener:
    """A TCP address; clients must say the password. Without one, only loopback addresses are taken."""

    guarded = True

    def __init__(self, host: str, port: int, password: bool) -> None:
        """`password`: whether the server has one."""
        self.host = host
        self.port = port
        self._password = password
        self._server: asyncio.AbstractServer | None = None

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        """Bind and accept; `port` is then the real one (where it was 0). Raises ListenError."""
        if not self._password and not is_loopback(self.host):
            raise ListenError(
                f"listening on {self.host} needs a password, because it is not a loopback address: "
                "set api.password_file, or listen on 127.0.0.1"
            )
        try:
            server = await loop.create_server(factory, self.host, self.port, backlog=QUEUE)
        except OSError as error:
            kind = SocketInUseError if error.errno == errno.EADDRINUSE else ListenError
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise kind(
                f"cannot listen on {self.host}:{self.port} ({reason}); choose another address with --listen"
            ) from error
        self._server = server
        self.port = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop accepting."""
        if self._server is not None:
            self._server.close()


def make_way(path: Path) -> None:
    """See to it that `path` can be bound: a dead socket is removed. Raises ListenError, SocketInUseError."""
    size = len(os.fsencode(path))
    if size > MAX_PATH:
        raise ListenError(
            f"the socket path {path} is {size} bytes long, this system takes {MAX_PATH}; choose a shorter one with --socket"
        )
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(_bind_sentence(path, error)) from error
    if not stat.S_ISSOCK(kind):
        raise ListenError(f"{path} exists and is not a socket; remove it or choose another path with --socket")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(os.fspath(path))
    except ConnectionRefusedError:
        path.unlink()
        return
    except FileNotFoundError:
        return
    except TimeoutError:
        pass  # its queue is full: somebody is there
    except OSError as error:
        raise ListenError(_bind_sentence(path, error)) from error
    finally:
        probe.close()
    raise SocketInUseError(
        f"a live daemon listens on {path}; stop it, or give this one another --name or --socket"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(f"api.socket_group names the group {group}, which does not exist on this machine") from None


def _bind_sentence(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the directory of the socket {path} does not exist; create it or choose another path with --socket"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot listen on {path} ({reason}); choose another path with --socket"
