"""Runs many simulated histories, shows how far it is, and shrinks the first that breaks an invariant.

    python tests/simulate.py --seeds 100000 --jobs 2
    python tests/simulate.py --seeds 1 --start 4711        the history of one seed
    PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. python tests/simulate.py      on the compiled core (make compile)
    python tests/simulate.py --wrong all --seeds 3000      how many seeds each deliberate mistake needs, as a table

Exit code 0: every history held; 1: one did not, and its seed and shrunk trace were printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__" and not sys.flags.safe_path:  # with PYTHONSAFEPATH the caller says where crdt is
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.simulation import wrong
from tests.simulation.defects import CLONES
from tests.simulation.plan import draw
from tests.simulation.shrink import failure, shrink, trace

CHUNK = 50


def check(seeds: range) -> tuple[int, str | None, int]:
    """(first failing seed or -1, what failed, how many histories were run)."""
    for done, seed in enumerate(seeds):
        what = failure(draw(seed))
        if what is not None:
            return seed, what, done + 1
    return -1, None, len(seeds)


def chunks(start: int, seeds: int) -> Iterator[range]:
    """The seeds in portions."""
    for first in range(start, start + seeds, CHUNK):
        yield range(first, min(first + CHUNK, start + seeds))


def simulate(start: int, seeds: int, jobs: int) -> int:
    """All seeds; the exit code."""
    began, done, shown = time.monotonic(), 0, 0.0
    with multiprocessing.Pool(jobs) as pool:
        for seed, what, number in pool.imap_unordered(check, chunks(start, seeds)):
            done += number
            seconds = time.monotonic() - began
            if what is not None:
                pool.terminate()
                report(seed, what)
                return 1
            if seconds - shown > 1 or done == seeds:
                shown = seconds
                print(f"\r{done:,} of {seeds:,} histories, {done / seconds:,.0f} a second", end="", flush=True)
    core = "" if CLONES else ", compiled core, no machine cloned"
    print(f"\nevery invariant held in {done:,} histories ({time.monotonic() - began:,.0f} s, seeds from {start}{core})")
    return 0


def report(seed: int, what: str) -> None:
    """Print a failing seed, and its history as short as it can be made."""
    print(f"\nseed {seed}: {what}\nshrinking ...", flush=True)
    plan = shrink(draw(seed))
    print(f"shrunk to {len(plan.actions)} actions, faults: {', '.join(sorted(plan.faults)) or 'none'}")
    print("\n".join(trace(plan)))
    print(f"\nagain: python tests/simulate.py --seeds 1 --start {seed}")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes (default: all cores)")
    parser.add_argument("--wrong", help="a deliberate mistake that has to be caught, or 'all' for the table of them")
    args = parser.parse_args()
    if args.wrong:
        return wrong.table([args.wrong] if args.wrong != "all" else sorted(wrong.WRONG), args.seeds, args.start)
    return simulate(args.start, args.seeds, args.jobs)


if __name__ == "__main__":
    sys.exit(main())
