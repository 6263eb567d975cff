"""The stage: what is made, and that nothing of it stays."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from daemon.demo import stage as module
from daemon.demo.network import Network
from daemon.demo.plan import make_plan
from daemon.demo.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage(make_plan(30, 3, 1))


def test_everything_is_there_and_then_is_not(stage: Stage) -> None:
    before = threading.active_count()
    with stage:
        assert set(stage.daemons) == set(stage.inspectors) == set(stage.plan.replicas)
        assert set(stage.agents) == set(stage.plan.agents)
        assert all(daemon.socket.parent == stage.folder for daemon in stage.daemons.values())
        assert not stage.working()
        assert stage.failure() is None
        assert {glimpse.state for glimpse in stage.glimpses().values()} == {"starting"}
        stage.agents["ada"].failure = "it stumbled"
        assert stage.failure() == "it stumbled"
    assert not stage.folder.exists()
    assert threading.active_count() == before


def test_the_folder_stays_if_it_is_told_to(stage: Stage) -> None:
    with stage:
        stage.keep = True
    assert (stage.folder / "demo.log").is_file()
    (stage.folder / "demo.log").unlink()
    stage.folder.rmdir()


def test_a_stage_that_cannot_be_made_leaves_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Network) -> None:
        raise OSError("no ports left")

    monkeypatch.setattr(Network, "start", fail)
    with pytest.raises(OSError, match="no ports left"), stage:
        pass
    assert not stage.folder.exists()


def test_a_long_temporary_directory_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = module._folder("epsilon")
    assert folder.parent == Path("/tmp")
    assert list(long.iterdir()) == []
    folder.rmdir()
