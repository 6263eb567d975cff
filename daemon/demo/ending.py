"""The last words of a demo: acknowledged and surviving, CONVERGED or DIVERGED, in lines and an exit status.

Knows: outcomes. Must not know: how they came about.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from daemon.cli.errors import Exit
from daemon.demo.director import Outcome

_WIDTHS = (18, 14, 11)


def status(outcome: Outcome) -> int:
    """0 only if nothing acknowledged was lost and all states are equal."""
    if not outcome.verdict.converged:
        return Exit.TIMED_OUT
    return 0 if outcome.verdict.kept else Exit.FAILURE


def lines(outcome: Outcome) -> Iterator[Text]:
    """For the console, plain without one."""
    verdict = outcome.verdict
    yield Text()
    yield Text("  " + "".ljust(_WIDTHS[0]) + "acknowledged".rjust(_WIDTHS[1]) + "surviving".rjust(_WIDTHS[2]), "dim")
    for line in verdict.lines:
        text = Text("  " + line.kind.ljust(_WIDTHS[0]) + str(line.acknowledged).rjust(_WIDTHS[1]))
        text.append(str(line.surviving).rjust(_WIDTHS[2]), "green" if line.good else "bold red")
        note = line.wrong or line.note
        yield text.append(f"   {note}", "bold red" if line.wrong else "dim") if note else text
    acknowledged = sum(line.acknowledged for line in verdict.lines)
    surviving = sum(line.surviving for line in verdict.lines)
    text = Text("  " + "all".ljust(_WIDTHS[0]) + f"{acknowledged:{_WIDTHS[1]}}{surviving:{_WIDTHS[2]}}", "bold")
    doubt = f", and {outcome.unsure} more got no reply" if outcome.unsure else ""
    yield text.append(f"   in {outcome.writes} acknowledged commands{doubt}", "not bold dim")
    yield Text()
    for name, hash_ in verdict.hashes.items():
        yield Text(f"  {name.ljust(_WIDTHS[0])}{hash_}", "green" if verdict.converged else "red")
    yield Text()
    yield _state(outcome)
    yield _loss(outcome)


def _state(outcome: Outcome) -> Text:
    if not outcome.verdict.converged:
        return Text(
            f"DIVERGED: the replicas still differ {outcome.settle_seconds:.0f} s after the last write", "bold red"
        )
    after = f"{outcome.settle_seconds:.1f} s after the last write"
    if outcome.heal_seconds is not None:
        after = f"{outcome.heal_seconds:.1f} s after the heal (under load) and {after}"
    return Text(f"CONVERGED {after}", "bold green")


def _loss(outcome: Outcome) -> Text:
    if outcome.verdict.kept:
        return Text("Every acknowledged write survived.", "bold green")
    return Text("Acknowledged writes did not survive on every replica.", "bold red")
