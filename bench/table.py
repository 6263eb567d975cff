"""A measured row, and the table and plot made of them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import log2
from statistics import median

from crdt import COMPILED

NEAR = 0.8  # share of a goal from which a row is close to it
OCTAVES = 6  # of the plot, to either side of 1
COLOURS = {"reached": "#2e7d5b", "close": "#c98a1b", "MISSED": "#c0392b", "": "#8a8f98"}


def measured_on() -> str:
    """A sentence for the docs: machine, Python, core."""
    machine = f"{platform.system()} {platform.machine()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"Measured on {machine}, {python}, the core {'compiled' if COMPILED else 'as Python'}."


@dataclass
class Row:
    """`ours` and `theirs` are samples in `unit`; `goal` bounds their ratio, or `ours` alone where nothing is compared
    or the row is `absolute`.
    """

    what: str
    against: str
    unit: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    goal: float | None = None
    more_is_better: bool = True
    note: str = ""
    skipped: str = ""
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        """Median of ours to median of theirs; ours alone where nothing is compared."""
        if not self.ours:
            return None
        if not self.theirs:
            return median(self.ours)
        return median(self.ours) / median(self.theirs) if median(self.theirs) else None

    @property
    def judged(self) -> float | None:
        """What the goal bounds."""
        return median(self.ours) if self.absolute and self.ours else self.ratio

    @property
    def verdict(self) -> str:
        """Whether the goal is reached, or missed by no more than a fifth of it."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.goal is None or self.judged is None:
            return ""
        share = self.judged / self.goal if self.more_is_better else self.goal / max(self.judged, 1e-9)
        return "reached" if share >= 1 else "close" if share >= NEAR else "MISSED"

    def cells(self) -> list[str]:
        """The columns of the table."""
        sign = ">=" if self.more_is_better else "<="
        goal = "" if self.goal is None else f"{sign} {self.goal:g}" + (f" {self.unit}" if self.absolute else "")
        ratio = "" if self.ratio is None or not self.theirs else f"{self.ratio:.2f}"
        return [self.what, self.against, _figure(self.ours, self.unit), _figure(self.theirs, self.unit), ratio, goal,
                self.verdict, self.note]  # fmt: skip

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}


HEAD = ["what", "against", "ours", "theirs", "ratio", "goal", "", "note"]


def _figure(samples: Sequence[float], unit: str) -> str:
    if not samples:
        return ""
    middle = median(samples)
    shown = f"{middle:,.0f}" if middle >= 1000 else f"{middle:.3g}"
    spread = (max(samples) - min(samples)) / middle / 2 * 100 if middle else 0
    return f"{shown} {unit}" + (f" ±{spread:.0f} %" if len(samples) > 1 else "")


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def svg(rows: Sequence[Row]) -> str:
    """Ratios as bars from 1, each doubling as long as the next, the goal as a tick; rows that are judged by a ratio."""
    shown = [row for row in rows if row.theirs and row.ratio and not row.absolute]
    left, octave, step = 430, 36, 26
    one, width, height = left + OCTAVES * octave, left + 2 * OCTAVES * octave + 50, step * len(shown) + 50

    def place(ratio: float) -> float:
        return one + octave * max(-OCTAVES, min(OCTAVES, log2(ratio)))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="10" y="18" font-weight="bold">ours / theirs</text>',
    ]
    for n in range(-OCTAVES, OCTAVES + 1, 2):
        x = one + octave * n
        parts.append(f'<text x="{x}" y="18" fill="#666" text-anchor="middle">{2.0**n:.2g}</text>')
        parts.append(f'<line x1="{x}" y1="26" x2="{x}" y2="{height - 12}" stroke="{"#666" if n == 0 else "#ddd"}"/>')
    for i, row in enumerate(shown):
        y, ratio = 32 + i * step, row.ratio or 1.0
        end = place(ratio)
        tick = end if row.goal is None else place(row.goal)
        near = (end, tick) if abs(tick - end) < 40 else (end,)  # a figure stands beside the tick, not on it
        begin, anchor = (max(near) + 6, "start") if ratio >= 1 else (min(near) - 6, "end")
        what = row.what if row.against.startswith("redis-server") else f"{row.what} ({row.against})"
        parts.append(f'<text x="10" y="{y + 13}">{what}</text>')
        parts.append(
            f'<rect x="{min(one, end):.1f}" y="{y}" width="{abs(end - one):.1f}" height="17"'
            f' fill="{COLOURS[row.verdict]}"/>'
        )
        parts.append(f'<text x="{begin:.1f}" y="{y + 13}" text-anchor="{anchor}">{_short(ratio)}</text>')
        if row.goal is not None:
            parts.append(
                f'<line x1="{tick:.1f}" y1="{y - 3}" x2="{tick:.1f}" y2="{y + 20}" stroke="black" stroke-width="2"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}"
