"""What may stand at a socket's path, who may connect, and what a user is told."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from daemon.api.listeners import ListenError, TcpListener, UnixListener


async def opened(listener: UnixListener | TcpListener) -> UnixListener | TcpListener:
    await listener.open(asyncio.get_running_loop(), asyncio.Protocol)
    return listener


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666])
async def test_the_file_has_its_mode_and_goes_with_the_listener(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "s"
    before = os.umask(0o022)
    try:
        listener = await opened(UnixListener(path, mode))
    finally:
        assert os.umask(before) == 0o022
    assert stat.S_IMODE(path.stat().st_mode) == mode
    await listener.close()
    assert not path.exists()


async def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    inode = path.stat().st_ino
    listener = await opened(UnixListener(path))
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await listener.close()
    assert inode


async def test_a_live_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = await opened(UnixListener(path))
    with pytest.raises(ListenError, match=r"is in use: another daemon answers there; name another path with --socket"):
        await opened(UnixListener(path))
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await listener.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_anything_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "target").write_text("precious")
        path.symlink_to(tmp_path / "target")
    with pytest.raises(ListenError, match="exists and is no socket: remove it, or name another path with --socket"):
        await opened(UnixListener(path))
    assert path.lstat()


async def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="is too long for a socket: name a shorter path with --socket"):
        await opened(UnixListener(tmp_path / ("x" * 120)))


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="its directory does not exist"):
        await opened(UnixListener(tmp_path / "nowhere" / "s"))


async def test_the_file_can_be_given_to_a_group(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    listener = await opened(UnixListener(tmp_path / "s", group=group))
    assert (tmp_path / "s").stat().st_gid == os.getgid()
    await listener.close()


async def test_a_group_that_does_not_exist_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"api\.socket_group: there is no group 'nosuchgroup'"):
        await opened(UnixListener(tmp_path / "s", group="nosuchgroup"))
    assert not (tmp_path / "s").exists()


async def test_a_successors_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = await opened(UnixListener(path))
    path.rename(tmp_path / "moved")
    successor = await opened(UnixListener(path))
    await listener.close()
    assert path.exists()
    await successor.close()


async def test_tcp_takes_a_free_port_and_says_which() -> None:
    listener = TcpListener("127.0.0.1", 0)
    await opened(listener)
    assert listener.port
    with pytest.raises(
        ListenError, match=f"127.0.0.1:{listener.port} cannot be listened at: .*; pass another --listen"
    ):
        await opened(TcpListener("127.0.0.1", listener.port))
    await listener.close()
