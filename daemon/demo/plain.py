"""The view without a terminal: a line a second, a line for what happens."""

from __future__ import annotations

import math
from collections.abc import Callable

from daemon.demo.scene import Scene

SHORT = 6
"""Hex digits that are shown of a hash."""

FEW = 4
"""Replicas of which each has room in a line."""


class PlainView:
    """Writes lines; see scene.View."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._second = -1

    def show(self, scene: Scene) -> None:
        """At most a line a second."""
        second = math.floor(scene.elapsed)
        if second != self._second:
            self._second = second
            self._write(line(scene))

    def say(self, elapsed: float, text: str) -> None:
        self._write(f"{elapsed:5.1f} s  * {text}")

    def close(self) -> None:
        pass


def line(scene: Scene) -> str:
    """One moment, in a line: phase, then per replica done tasks, counter and hash, then whether all are equal."""
    names = scene.plan.replicas
    replicas = "  ".join(_replica(scene, name) for name in names) if len(names) <= FEW else _all(scene)
    verdict = "equal" if scene.equal else "differ"
    return f"{scene.elapsed:5.1f} s  {scene.phase.word:<8}  {replicas}  {verdict}, {scene.writes} acknowledged"


def _replica(scene: Scene, name: str) -> str:
    glimpse = scene.glimpses[name]
    if glimpse.state != "ready":
        return f"{name} {glimpse.state}"
    cut = "!" if scene.link(name) != "open" else ""
    return f"{name}{cut} {glimpse.completed} #{glimpse.hash[:SHORT]}"


def _all(scene: Scene) -> str:
    """Many replicas, in numbers."""
    ready = [glimpse for glimpse in scene.glimpses.values() if glimpse.state == "ready"]
    if not ready:
        return "no replica is ready"
    cut = sum(scene.link(name) != "open" for name in scene.plan.replicas)
    counters = [glimpse.completed for glimpse in ready]
    states = len({glimpse.hash for glimpse in ready if glimpse.hash})
    return f"{len(ready)} ready, {cut} cut off, {states} states, counter {min(counters)} to {max(counters)}"
