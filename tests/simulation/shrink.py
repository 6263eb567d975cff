"""Making a failing history short: leave out faults and actions as long as it still fails, whatever way it fails."""

from __future__ import annotations

import traceback
from dataclasses import replace

from tests.simulation.oracle import Violation
from tests.simulation.plan import Plan
from tests.simulator import World

ATTEMPTS = 600


def failure(plan: Plan) -> str | None:
    """What goes wrong in this history; None if nothing does."""
    try:
        World(plan).run()
    except Violation as violation:
        return str(violation)
    except Exception as error:  # a crash of the engine is a finding like any other
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
    return None


def shrink(plan: Plan) -> Plan:
    """The shortest failing variant found in a bounded number of attempts."""
    attempts = ATTEMPTS
    for fault in sorted(plan.faults):
        smaller = plan.without(fault)
        if failure(smaller) is not None:
            plan = smaller
    size = max(1, len(plan.actions) // 2)
    while attempts > 0:
        before, at = len(plan.actions), 0
        while at < len(plan.actions) and attempts > 0:
            attempts -= 1
            smaller = replace(plan, actions=plan.actions[:at] + plan.actions[at + size :])
            if failure(smaller) is not None:
                plan = smaller
            else:
                at += size
        if size == 1 and len(plan.actions) == before:
            break
        size = max(1, size // 2)
    return plan


def trace(plan: Plan, last: int = 150) -> list[str]:
    """The last lines of a history, told event by event."""
    lines: list[str] = []
    try:
        World(plan, lines).run()
    except Exception as error:
        lines.append(f"         {type(error).__name__}: {error}")
    return lines[-last:]
