"""The guards around four packages with generic names, and around the locks."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
import zipfile
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

import crdt

ROOT = Path(__file__).parents[1]
PACKAGES = ("crdt", "transport", "config", "daemon")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def _pins(lock: str) -> dict[str, str]:
    """Package to version."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_ours_alone(package: str) -> None:
    # An editable install lists no packages, a wheel exactly these; anybody else (python-daemon) has overwritten a file.
    assert set(packages_distributions().get(package, [])) <= {"gossamer"}
    module = importlib.import_module(package)
    assert module.__file__ == str(ROOT / package / "__init__.py")


def test_no_index_takes_it() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


@pytest.mark.parametrize("package", ["config", "daemon"])
def test_generic_packages_run_nothing_when_imported(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_the_command_is_a_console_script() -> None:
    (script,) = distribution("gossamer").entry_points.select(group="console_scripts")
    assert (script.name, script.value) == ("gossamer", "daemon.cli:main")
    assert callable(script.load())
    for package in PACKAGES:
        assert not (ROOT / package / "__main__.py").exists(), "python -m in a foreign folder may run a foreign package"


def test_the_wheel_holds_the_four_packages_and_nothing_else(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    tops = {name.split("/", 1)[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert "config/gossamer.example.toml" in names
    assert not any(name.startswith("tests/") or "__pycache__" in name for name in names)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_name_no_place_and_hash_everything(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|^-[cefir] ", text, re.MULTILINE)
    requirements = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+( ; .+)? \\$", line), line
    assert text.count("--hash=sha256:") >= len(requirements)


def test_one_environment_can_hold_every_lock() -> None:
    everything = _pins("dev")
    for lock in ("base", "demo", "test"):
        assert _pins(lock).items() <= everything.items()
    for lock in ("build", "compile"):
        shared = _pins(lock).keys() & everything.keys()
        assert {name: _pins(lock)[name] for name in shared} == {name: everything[name] for name in shared}
    assert _pins("build").items() <= _pins("compile").items()


@pytest.mark.parametrize("lock", ["base", "demo", "test", "dev"])
def test_locks_hold_what_is_declared(lock: str) -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    declared = PROJECT["project"]["dependencies"] + ([] if lock == "base" else extras[lock])
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in declared}
    assert names <= _pins(lock).keys()


def test_the_lock_for_compiling_holds_what_the_hook_asks_for() -> None:
    hook = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    assert {re.split(r"[^a-z]", requirement)[0] for requirement in hook["dependencies"]} <= _pins("compile").keys()


def test_what_is_to_be_compiled_is_there() -> None:
    pytest.importorskip("hatchling.plugin")
    modules = importlib.import_module("hatch_build").modules()
    assert {"crdt/state.py", "crdt/types/strings.py", "daemon/api/requests.py"} <= set(modules)
    assert [module for module in modules if not (ROOT / module).exists()] == []


def test_it_is_compiled_as_a_whole_or_not_at_all() -> None:
    pytest.importorskip("hatchling.plugin")
    names = [
        module.removesuffix(".py").replace("/", ".") for module in importlib.import_module("hatch_build").modules()
    ]
    loaders = {type(importlib.import_module(name).__loader__) for name in names}
    assert loaders == {ExtensionFileLoader if crdt.COMPILED else SourceFileLoader}


def test_make_lists_its_verbs() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    for verb in ("help", "demo", "test", "lint", "lock", "bench", "simulate", "chaos", "clean"):
        assert re.search(rf"^ *make {verb} ", shown, re.MULTILINE)


def test_the_licence_is_the_one_declared() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
