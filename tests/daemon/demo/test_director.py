"""The whole play on a real stage; and that it finds what is wrong, if something is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemon.demo import director, ending
from daemon.demo.director import DemoFailed, Director
from daemon.demo.network import Network
from daemon.demo.observer import Inspector
from daemon.demo.plan import Phase, make_plan
from daemon.demo.process import DaemonFailed
from daemon.demo.scene import Scene
from daemon.demo.stage import Stage

SECONDS = 2.0


class Recorder:
    """A view that remembers."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.sentences: list[str] = []
        self.last: Scene | None = None

    def show(self, scene: Scene) -> None:
        self.last = scene
        if scene.phase not in self.phases:
            self.phases.append(scene.phase)

    def say(self, elapsed: float, text: str) -> None:
        self.sentences.append(text)

    def close(self) -> None:
        pass


@pytest.fixture
def view() -> Recorder:
    return Recorder()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(make_plan(SECONDS, 3, 5)) as made:
        yield made


def test_all_goes_well(stage: Stage, view: Recorder) -> None:
    outcome = Director(stage, view).run()
    assert [line for line in outcome.verdict.lines if not line.good] == []
    assert outcome.verdict.converged
    assert ending.status(outcome) == 0
    assert outcome.heal_seconds is not None
    assert view.phases == list(Phase)
    assert view.last is not None
    assert view.last.equal
    assert min(line.acknowledged for line in outcome.verdict.lines) > 0
    assert any("kill -9 of" in sentence for sentence in view.sentences)


def test_a_write_that_vanishes_is_missed(stage: Stage, view: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Inspector.settle

    def vandal(self: Inspector, value: str, context: bytes) -> None:
        self._redis.spop("tasks:done")
        settle(self, value, context)

    monkeypatch.setattr(Inspector, "settle", vandal)
    outcome = Director(stage, view).run()
    assert {line.kind for line in outcome.verdict.lines if not line.good} == {"tasks added", "tasks done"}
    assert outcome.verdict.converged
    assert ending.status(outcome) == 1


def test_without_a_heal_it_diverges(stage: Stage, view: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "heal", lambda self: None)
    monkeypatch.setattr(director, "SETTLE_WITHIN", 0.5)
    outcome = Director(stage, view).run()
    assert not outcome.verdict.converged
    assert outcome.heal_seconds is None
    assert ending.status(outcome) == 6


def test_an_agent_that_stumbles_ends_it(stage: Stage, view: Recorder) -> None:
    stage.agents["ada"].failure = "ada beside alpha: it stumbled"
    with pytest.raises(DemoFailed, match="it stumbled"):
        Director(stage, view).run()


def test_a_daemon_that_cannot_start_ends_it(stage: Stage, view: Recorder) -> None:
    stage.daemons["alpha"].socket.write_text("in the way")
    with pytest.raises(DaemonFailed, match=r"alpha ended with status .*alpha\.log"):
        Director(stage, view).run()
