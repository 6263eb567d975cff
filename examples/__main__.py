"""Run the examples: `python -m examples` with the library alone, `python -m examples --daemons` with three daemons."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

from examples import add_and_remove, configuration, knowledge, metrics, one_task, resource_pool, task_list
from examples.pocket import pocket

ALL: Final = (task_list, metrics, resource_pool, configuration, add_and_remove, one_task, knowledge)


def main() -> None:
    """Each prints what came out; what is not as it says raises."""
    if sys.argv[1:] not in ([], ["--daemons"]):
        sys.exit("usage: python -m examples [--daemons]")
    if not sys.argv[1:]:
        for example in ALL:
            _tell(example, example.library(*pocket()))
        return
    from examples.fleet import fleet

    with fleet() as (meet, agents):
        for example in ALL:
            _tell(example, example.daemons(meet, agents))
            agents[0].flushdb()
            meet()


def _tell(example: ModuleType, outcome: str) -> None:
    print(f"{example.__name__.rpartition('.')[2]:<16} {outcome}", flush=True)


if __name__ == "__main__":
    main()
