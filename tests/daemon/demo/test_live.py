"""The picture: fits, and says what a line would."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from daemon.demo.live import LiveView, picture
from daemon.demo.plan import Phase
from daemon.demo.scene import Scene
from tests.daemon.demo.scenes import scene

WIDTH = 100


def _drawn(shown: Scene, news: list[tuple[float, str]] | None = None) -> str:
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=True)
    console.print(picture(shown, news or []))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("replicas", [2, 3, 8])
@pytest.mark.parametrize("phase", list(Phase))
def test_it_fits(replicas: int, phase: Phase) -> None:
    drawn = _drawn(scene(replicas, phase))
    assert max(map(len, drawn.splitlines())) <= WIDTH
    for name in scene(replicas).plan.replicas:
        assert len([text for text in drawn.splitlines() if text.startswith(f" {name} ")]) == 1


def test_it_tells_lag_and_hash() -> None:
    drawn = _drawn(scene())
    assert "beta 12345/678" in drawn
    assert "000000" in drawn
    assert "Replicas differ." in drawn
    assert "All replicas equal." in _drawn(scene(equal=True))
    assert "0 of 7 level" in _drawn(scene(8))


def test_who_is_down_shows_no_figures() -> None:
    (row,) = [text for text in _drawn(scene(down="beta")).splitlines() if text.startswith(" beta")]
    assert row.split()[:2] == ["beta", "down"]
    assert "12345" not in row


def test_the_picture_keeps_its_height() -> None:
    few, many = _drawn(scene(), [(1.0, "one")]), _drawn(scene(), [(float(i), "x") for i in range(7)])
    assert "1.0 s  one" in few
    assert len(few.splitlines()) == len(many.splitlines())


def test_the_view_ends_with_the_last_picture() -> None:
    console = Console(file=io.StringIO(), width=WIDTH, force_terminal=True)
    view = LiveView(console)
    for second in range(20):
        view.say(float(second), f"sentence {second}")
    view.show(scene())
    view.close()
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "sentence 19" in shown
    assert "sentence 2 " not in shown
