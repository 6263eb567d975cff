"""The view on a terminal: one quiet picture that changes in place. Fits 100 columns."""

from __future__ import annotations

from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daemon.demo.observer import Distance, Glimpse
from daemon.demo.plain import SHORT
from daemon.demo.plan import Phase
from daemon.demo.scene import Scene

_NEWS = 7
"""Sentences that stay in sight."""
_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
_STATES = {"ready": "green", "starting": "yellow", "loading": "yellow", "down": "bold red"}


class LiveView:
    """Draws; see scene.View."""

    def __init__(self, console: Console) -> None:
        self._news: deque[tuple[float, str]] = deque(maxlen=_NEWS)
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, scene: Scene) -> None:
        self._live.update(picture(scene, list(self._news)), refresh=True)

    def say(self, elapsed: float, text: str) -> None:
        self._news.append((elapsed, text))

    def close(self) -> None:
        self._live.stop()


def picture(scene: Scene, news: list[tuple[float, str]]) -> RenderableType:
    """All of it."""
    return Group(Text(), _phases(scene), _bar(scene), Text(), _replicas(scene), _account(scene), Text(), *_told(news))


def _phases(scene: Scene) -> Text:
    text = Text(" ")
    phases = list(Phase)
    now = phases.index(scene.phase)
    for i, phase in enumerate(phases):
        mark, style = ("●", "green") if i < now else ("●", "bold white") if i == now else ("○", "dim")
        text.append(f"{mark} {phase.word}", style)
        text.append("   ")
    return text


def _bar(scene: Scene) -> RenderableType:
    total = scene.plan.seconds
    row = Table.grid(padding=(0, 1))
    open_end = scene.phase in (Phase.START, Phase.SETTLE, Phase.RESOLVE)
    bar = ProgressBar(total=1.0, completed=scene.progress, width=60, pulse=open_end, animation_time=scene.elapsed)
    row.add_row(" ", bar, Text(f"{scene.elapsed:.0f} s of about {total:.0f} s, seed {scene.plan.seed}", "dim"))
    return row


def _replicas(scene: Scene) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=True)
    for name, justify in (("replica", "left"), ("state", "left"), ("way", "left"), ("keys", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name in ("open", "done", "counter"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("hash", no_wrap=True)
    table.add_column("peers: lag / behind", no_wrap=True, overflow="ellipsis")
    hashes = _by_first_sight(scene)
    for name in scene.plan.replicas:
        table.add_row(*_row(scene, name, scene.glimpses[name], hashes))
    return table


def _row(scene: Scene, name: str, glimpse: Glimpse, hashes: dict[str, str]) -> list[Text]:
    state = Text(glimpse.state, _STATES.get(glimpse.state, "red"))
    way = scene.link(name)
    found = [Text(name, "bold"), state, Text(way, "red" if way != "open" else "dim")]
    if glimpse.state != "ready":
        return found
    numbers = (glimpse.keys, glimpse.open, glimpse.done, glimpse.completed)
    found += [Text(str(number)) for number in numbers]
    found.append(Text(glimpse.hash[:SHORT], hashes[glimpse.hash]))
    found.append(_distances(glimpse.peers))
    return found


def _by_first_sight(scene: Scene) -> dict[str, str]:
    """A colour per hash: equal states look equal."""
    hashes = dict.fromkeys(scene.glimpses[name].hash for name in scene.plan.replicas)
    return {hash_: _COLOURS[i % len(_COLOURS)] for i, hash_ in enumerate(hashes)}


def _distances(peers: tuple[Distance, ...]) -> Text:
    """With many peers only the sum would fit; with few each is shown."""
    if len(peers) > 3:
        far = [peer for peer in peers if peer.lag or peer.behind]
        return Text(f"{len(peers) - len(far)} of {len(peers)} level", "dim" if not far else "yellow")
    text = Text()
    for peer in peers:
        level = not (peer.lag or peer.behind)
        style = "red" if peer.state != "online" else "dim" if level else "yellow"
        text.append(f"{peer.peer} {peer.lag}/{peer.behind}  ", style)
    return text


def _account(scene: Scene) -> Text:
    text = Text("\n  ")
    text.append(f"{scene.writes}", "bold")
    text.append(" writes acknowledged, ")
    text.append(f"{scene.unsure} in doubt (no reply came). ", "dim" if not scene.unsure else "yellow")
    return text.append("All replicas equal.", "green") if scene.equal else text.append("Replicas differ.", "yellow")


def _told(news: list[tuple[float, str]]) -> list[Text]:
    lines = [Text.assemble((f"  {elapsed:5.1f} s  ", "dim"), text) for elapsed, text in news]
    return lines + [Text()] * (_NEWS - len(lines))
