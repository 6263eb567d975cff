"""A measured row, and the table and plot made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median


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
        """Whether the goal is reached."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.goal is None or self.judged is None:
            return ""
        reached = self.judged >= self.goal if self.more_is_better else self.judged <= self.goal
        return "reached" if reached else "MISSED"

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
    """Ratios as bars, the goal as a tick; only rows that are judged by a ratio."""
    shown = [row for row in rows if row.theirs and row.ratio is not None and not row.absolute]
    width, left, step = 760, 330, 26
    scale = (width - left - 70) / max([2.0, *(row.ratio or 0 for row in shown)])
    height = step * len(shown) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="10" y="18" font-weight="bold">ours / theirs</text>',
    ]
    one = left + scale
    parts.append(f'<line x1="{one}" y1="26" x2="{one}" y2="{height - 12}" stroke="#999" stroke-dasharray="3 3"/>')
    for i, row in enumerate(shown):
        y = 32 + i * step
        ratio = row.ratio or 0
        colour = "#c0392b" if row.verdict == "MISSED" else "#2e7d5b"
        parts.append(f'<text x="10" y="{y + 13}">{row.what}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="17" fill="{colour}"/>')
        parts.append(f'<text x="{left + ratio * scale + 6:.1f}" y="{y + 13}">{ratio:.2f}</text>')
        if row.goal is not None and not row.absolute:
            x = left + row.goal * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + 20}" stroke="black" stroke-width="2"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
