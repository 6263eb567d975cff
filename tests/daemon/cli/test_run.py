"""`gossamer run`: how it refuses to start, and that it says what to do."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.processes import Daemon, World, free_port


@pytest.fixture
def world() -> Iterator[World]:
    """No broker: none is needed to refuse."""
    made = World()
    yield made
    made.end()


def refused(daemon: Daemon) -> tuple[int, str]:
    """The status with which it ends by itself, and the last line that it says."""
    daemon.launch()
    return daemon.wait(), daemon.said().strip().splitlines()[-1]


def a_store(world: World) -> Path:
    """The database of a daemon that has run."""
    daemon = world.daemon("before")
    daemon.start(connected=False)
    daemon.redis.set("k", "v")
    assert daemon.terminate() == 0
    return daemon.data / "default.db"


def test_a_path_too_long_for_a_socket(world: World) -> None:
    path = world.folder / ("x" * 120)
    status, text = refused(world.daemon("a", "--socket", str(path)))
    assert status == 2
    assert "at most" in text
    assert "--socket" in text


def test_a_socket_in_use_stays_as_it_is(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = world.folder / "used.sock"
        listener.bind(str(path))
        listener.listen()
        status, text = refused(world.daemon("a", "--socket", str(path)))
        assert (status, text.split(":")[1].strip()) == (1, f"{path} is in use")
        assert path.exists()


def test_a_file_in_place_of_the_socket_stays_as_it_is(world: World) -> None:
    path = world.folder / "precious"
    path.write_text("data")
    status, text = refused(world.daemon("a", "--socket", str(path)))
    assert status == 1
    assert "exists and is no socket" in text
    assert path.read_text() == "data"


def test_a_dead_socket_is_replaced(world: World) -> None:
    path = world.folder / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    daemon = world.daemon("a", "--socket", str(path))
    daemon.socket = path
    daemon.start(connected=False)
    assert path.stat().st_mode & 0o777 == 0o660


def test_a_data_directory_that_cannot_be_made(world: World) -> None:
    (world.folder / "file").write_text("")
    status, text = refused(world.daemon("a", "--data-dir", str(world.folder / "file" / "data")))
    assert status == 1
    assert text.startswith("gossamer: ")
    assert str(world.folder / "file") in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_is_not_ours(world: World) -> None:
    data = world.folder / "data"
    data.mkdir(mode=0o500)
    status, text = refused(world.daemon("a", "--data-dir", str(data)))
    assert status == 1
    assert str(data) in text


def test_data_of_a_newer_version(world: World) -> None:
    store = a_store(world)
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    status, text = refused(world.daemon("a", "--data-dir", str(store.parent)))
    assert status == 1
    assert "newer version" in text


@pytest.mark.parametrize("damage", ["head", "all"])
def test_damaged_data(world: World, damage: str) -> None:
    """It is moved aside, and the daemon serves."""
    store = a_store(world)
    data = store.read_bytes()
    store.write_bytes(b"\xff" * 64 + data[64:] if damage == "head" else b"\xff" * len(data))
    daemon = world.daemon("a", "--data-dir", str(store.parent)).start(connected=False)
    assert "damaged_store" in daemon.said() and str(store) in daemon.said()
    assert store.with_name("default.db.damaged-1").exists()


def test_the_database_of_another_program(world: World) -> None:
    store = a_store(world)
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA application_id = 7")
    db.close()
    status, text = refused(world.daemon("a", "--data-dir", str(store.parent)))
    assert status == 1
    assert "another program" in text and store.exists()


def test_a_port_in_use(world: World) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        for flag in ("--listen", "--http", "--embedded-broker"):
            status, text = refused(world.daemon(f"a{flag[2:]}", flag, f"127.0.0.1:{port}"))
            assert status == 1, flag
            assert text.startswith("gossamer: "), flag
            assert f"{port}" in text, flag
            assert flag in text, flag


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--interval", "soon"), "--interval"),
        (("--broker", "mqtt://u:secret@127.0.0.1"), "--broker"),
        (("--listen", "0.0.0.0:7000"), "listen"),
        (("--durability", "mostly"), "--durability"),
        (("--name", "no spaces"), "--name"),
    ],
)
def test_a_setting_that_does_not_fit(world: World, flags: tuple[str, str], named: str) -> None:
    status, text = refused(world.daemon("a", *flags))
    assert status == 2
    assert named in text
    assert "secret" not in text


def test_without_a_run_directory_it_starts_as_a_new_actor(world: World) -> None:
    """Only the witness is missing. Root's run directory is there."""
    if os.geteuid() == 0:
        pytest.skip("root has a run directory of its own")
    (world.folder / "not a directory").write_text("")
    environ = {"XDG_RUNTIME_DIR": str(world.folder / "not a directory")}
    daemon = world.daemon("a", **environ).start(connected=False)
    daemon.redis.set("k", "v")
    first = daemon.actor()
    assert daemon.terminate() == 0
    daemon.start(connected=False)
    daemon.redis.set("k", "w")
    assert daemon.actor() != first
    assert "no_run_directory" in daemon.said()
