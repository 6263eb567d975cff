"""The shape of the project, checked by machine: imports point down, modules have tests, folders say what they are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("crdt", "transport", "config", "daemon")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FOLDERS = sorted({module.parent for module in MODULES})

TESTED_ELSEWHERE = {
    "config/errors.py": "two exception classes; every refusal in test_load.py goes through them",
    "daemon/cli/errors.py": "exit statuses and one line on stderr: every verb's test checks them",
    "transport/interface.py": "a Protocol and frozen values; the conformance suite is written against it",
    "daemon/cli/document.py": "its rows are what test_status.py and test_members.py read",
    "daemon/api/connections.py": "on the real sockets of test_server.py: waiting requests, limits, passwords, ends",
    "daemon/api/refused.py": "one attribute; test_requests.py and test_dispatch.py are about what is refused",
    "daemon/api/commands/zblocking.py": "the scenes of test_blocking.py, beside a real Redis",
}
"""Modules without a test file of their own, and why that is enough."""


def _tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def _only_a_docstring(module: Path) -> bool:
    body = _tree(module).body
    return not body or (len(body) == 1 and ast.get_docstring(_tree(module)) is not None)


def _test_of(module: Path) -> Path:
    """crdt/codec.py -> tests/crdt/test_codec.py; daemon/cli/__init__.py -> tests/daemon/cli/test_cli.py."""
    noun = module.parent.name if module.name == "__init__.py" else module.stem
    return Path("tests") / module.parent / f"test_{noun}.py"


def _lint_imports(path: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml over the packages in `path`."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=path,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_imports_point_down() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "wrong"),
    [
        ("crdt", "import time"),
        ("crdt", "import transport"),
        ("transport", "import config"),
        ("config", "import daemon"),
    ],
)
def test_a_wrong_import_is_caught(module: str, wrong: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(wrong if package == module else "")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_its_test(module: Path) -> None:
    if module.as_posix() in TESTED_ELSEWHERE or (module.name == "__init__.py" and _only_a_docstring(module)):
        return
    assert (ROOT / _test_of(module)).is_file(), f"write {_test_of(module)}, or say in TESTED_ELSEWHERE why not"


def test_the_list_of_exceptions_is_short_and_current() -> None:
    assert len(TESTED_ELSEWHERE) <= 15
    for module in TESTED_ELSEWHERE:
        assert (ROOT / module).is_file()
        assert not (ROOT / _test_of(Path(module))).is_file()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_says_what_it_is(module: Path) -> None:
    assert ast.get_docstring(_tree(module))


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_each_folder_has_a_readme(folder: Path) -> None:
    lines = (ROOT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert 5 <= len(lines) <= 60


def test_tests_are_no_packages() -> None:
    # tests/crdt/__init__.py would shadow the real crdt.
    assert not list((ROOT / "tests").rglob("__init__.py"))
