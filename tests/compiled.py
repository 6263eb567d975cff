"""Most tests of daemon/api run on machine code as well (hatch_build.py); those that say so here do not.

PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. python -m pytest -o "pythonpath=build/compiled ." tests/daemon/api
"""

from __future__ import annotations

import pytest

import crdt

WHY = "puts something else in the place of what is fixed in machine code"
as_python = pytest.mark.skipif(crdt.COMPILED, reason=WHY)


def need_python() -> None:
    """For fixtures: skip the test."""
    if crdt.COMPILED:
        pytest.skip(WHY)
