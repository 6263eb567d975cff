"""RUN, STATE and the configuration file, as root, as a user, with and without XDG."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.machine import Machine, check_run_dir, make_run_dir


def _machine(root: Path, uid: int = 1000) -> Machine:
    return Machine(uid, "h", terminal=False, root=root)


def test_a_user_without_anything(tmp_path: Path) -> None:
    machine = _machine(tmp_path)
    assert machine.run_dir({}) == Path("/tmp/gossamer-1000")
    assert machine.run_dir({"TMPDIR": "/t"}) == Path("/t/gossamer-1000")
    assert machine.state_dir({"HOME": "/h"}) == Path("/h/.local/state/gossamer")
    assert machine.config_file({"HOME": "/h"}) == Path("/h/.config/gossamer/gossamer.toml")


def test_a_user_with_xdg(tmp_path: Path) -> None:
    machine = _machine(tmp_path)
    environ = {"XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c", "HOME": "/h"}
    assert machine.run_dir(environ) == Path("/r/gossamer")
    assert machine.state_dir(environ) == Path("/s/gossamer")
    assert machine.config_file(environ) == Path("/c/gossamer/gossamer.toml")


def test_relative_xdg_paths_are_ignored(tmp_path: Path) -> None:
    assert _machine(tmp_path).run_dir({"XDG_RUNTIME_DIR": "r"}) == Path("/tmp/gossamer-1000")


def test_root_uses_the_system(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var" / "lib").mkdir(parents=True)
    machine = _machine(tmp_path, uid=0)
    assert machine.run_dir({"XDG_RUNTIME_DIR": "/r"}) == tmp_path / "run" / "gossamer"
    assert machine.state_dir({}) == tmp_path / "var" / "lib" / "gossamer"
    assert machine.config_file({}) == tmp_path / "etc" / "gossamer" / "gossamer.toml"


def test_root_without_run_is_a_user_like_others(tmp_path: Path) -> None:
    assert _machine(tmp_path, uid=0).run_dir({"XDG_RUNTIME_DIR": "/r"}) == Path("/r/gossamer")


def test_a_system_directory_one_may_write_is_used(tmp_path: Path) -> None:
    (tmp_path / "run" / "gossamer").mkdir(parents=True)
    assert _machine(tmp_path).run_dir({"XDG_RUNTIME_DIR": "/r"}) == tmp_path / "run" / "gossamer"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_system_directory_one_may_not_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "run" / "gossamer").mkdir(parents=True, mode=0o500)
    assert _machine(tmp_path).run_dir({"XDG_RUNTIME_DIR": "/r"}) == Path("/r/gossamer")


def test_the_fall_back_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / f"gossamer-{os.getuid()}"
    make_run_dir(path, os.getuid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    make_run_dir(path, os.getuid())


def test_a_planted_fall_back_is_refused(tmp_path: Path) -> None:
    uid = os.getuid()
    path = tmp_path / f"gossamer-{uid}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="not a directory of ours"):
        check_run_dir(path, uid)
    path.unlink()
    path.mkdir(mode=0o700)
    check_run_dir(path, uid)
    path.chmod(0o770)
    with pytest.raises(ConfigError, match="mode 0700"):
        check_run_dir(path, uid)


def test_other_places_are_the_systems_business(tmp_path: Path) -> None:
    check_run_dir(tmp_path / "gossamer", os.getuid())


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made.*--socket"):
        make_run_dir(tmp_path / "file" / "gossamer", os.getuid())


def test_here_is_this_process() -> None:
    assert Machine.here().uid == os.getuid()
