"""docs/redis.md says of every command what the table of commands says."""

from __future__ import annotations

from pathlib import Path

import pytest

import crdt
from daemon.api import docs
from daemon.api.registry import Command, commands, subcommands


@pytest.mark.skipif(crdt.COMPILED, reason="the page does not lie beside what was compiled")
def test_the_page_is_up_to_date() -> None:
    page = docs.PAGE.read_text(encoding="utf-8")
    assert page == docs.renewed(page), "python -m daemon.api.docs"


def test_every_command_stands_in_one_table() -> None:
    listed = [entry.name for entries in docs.grouped().values() for entry in entries]
    assert len(set(listed)) == len(listed)
    assert {entry.name for parent in commands() for entry in subcommands(parent) or [parent]} <= set(listed)
    assert "command" in listed and "client" not in listed  # a command with subcommands, and what only holds them
    assert all(docs.grouped().values()), "an area without commands"


def test_a_group_without_an_area_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stray = Command("x", "X", 1, (), (0, 0, 0), "nowhere", "", lambda session, args: b"")
    monkeypatch.setattr(docs, "commands", lambda: [stray])
    with pytest.raises(ValueError, match="nowhere"):
        docs.grouped()


def test_bars_do_not_end_a_cell() -> None:
    row = next(line for line in docs.tables().splitlines() if line.startswith("| `FLUSHDB"))
    assert row.count("|") - row.count("\\|") == 3


def test_a_page_without_the_comments_is_left_alone() -> None:
    with pytest.raises(ValueError, match="comments"):
        docs.renewed("# nothing")


def test_main_renews_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "redis.md"
    page.write_text(f"before\n{docs.BEGIN}old\n{docs.END}after\n", encoding="utf-8")
    monkeypatch.setattr(docs, "PAGE", page)
    assert docs.main() == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "`SADD key member" in text and "\nold\n" not in text
