"""The plain view: a line a second."""

from __future__ import annotations

from dataclasses import replace

from daemon.demo.observer import Glimpse
from daemon.demo.plain import PlainView, line
from tests.daemon.demo.scenes import scene


def test_a_line_a_second_and_one_for_what_happens() -> None:
    lines: list[str] = []
    view = PlainView(lines.append)
    for elapsed in (1.0, 1.3, 1.9, 2.0, 2.5):
        view.show(replace(scene(), elapsed=elapsed))
    view.say(2.6, "something happened")
    view.close()
    assert [text.split(" s ")[0].strip() for text in lines] == ["1.0", "2.0", "2.6"]
    assert lines[-1] == "  2.6 s  * something happened"


def test_a_moment() -> None:
    text = line(scene(equal=True, cut=False))
    assert text == (
        " 12.3 s  parted    alpha 12345 #ababab  beta 12345 #ababab  gamma 12345 #ababab  equal, 1234 acknowledged"
    )
    assert "beta down" in line(scene(down="beta"))
    (far,) = scene().plan.cuts
    assert f"{far}! " in line(scene())


def test_many_replicas_are_told_in_numbers() -> None:
    text = line(scene(8, down="eta"))
    assert "7 ready, 3 cut off, 7 states, counter 12345 to 12345" in text
    assert len(text) <= 100
    starting = replace(scene(8), glimpses=dict.fromkeys(scene(8).plan.replicas, Glimpse()))
    assert "no replica is ready" in line(starting)
