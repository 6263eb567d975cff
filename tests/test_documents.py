"""The pages as a whole: every link leads somewhere, and every page of docs/ stands in its index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "docs", "crdt", "transport", "config", "daemon", "tests", "bench", "deploy", "clients")
PAGES = sorted(
    page for name in FOLDERS for page in ((ROOT / name).rglob("*.md") if name else ROOT.glob("*.md")) if page.is_file()
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
STATUS = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")


def absent_and_told(target: Path) -> bool:
    """Whether docs/status.md says that this is not there yet."""
    path = target.resolve().relative_to(ROOT)
    return path.name in STATUS or f"`{path.parts[0]}/`" in STATUS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", link):
            target = page.parent / link
            assert target.exists() or absent_and_told(target), f"{page}: {link}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_folders_list_exist(page: Path) -> None:
    """`name.py` at the beginning of an item of a folder's README, or after a sentence in it."""
    if page.name != "README.md" or page.parent in (ROOT, ROOT / "docs"):
        return
    items = re.findall(r"^- (.*(?:\n  .*)*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    for name in {name for item in items for name in re.findall(r"`([a-z_]+\.py)`", item)}:
        assert list(page.parent.rglob(name)), f"{page}: {name}"
