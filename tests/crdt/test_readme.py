"""The lines of use in crdt/README.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "crdt" / "README.md").read_text(encoding="utf-8")


def test_the_lines_of_use_run() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(re.findall(r"^assert ", code, re.MULTILINE)) == 2
    names: dict[str, object] = {}
    exec(compile(code, "crdt/README.md", "exec"), names)
    assert {"a", "b", "from_a", "from_b"} <= names.keys()
