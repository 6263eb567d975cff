"""The kinds of values as types of pydantic fields.

Knows: which parser makes each kind, and what it takes in words. Promises: nothing of its own; the parsers do. Must
not know: which settings exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from config import values


@dataclass(frozen=True, slots=True)
class Takes:
    """What a setting takes, in words that continue "it takes ..."; the last one of a field counts."""

    text: str


Seconds = Annotated[float, BeforeValidator(values.duration), Takes("a duration such as 200ms, 5s, 1m or 0")]
Bytes = Annotated[int, BeforeValidator(values.size), Takes("a size such as 4096, 64KiB or 16MiB")]
Name = Annotated[str, BeforeValidator(values.name), Takes("a name: a letter or digit, then up to 63 of A-Za-z0-9_.-")]
Listen = Annotated[values.Address | None, BeforeValidator(values.address), Takes("HOST:PORT, or nothing for off")]
Mode = Annotated[int, BeforeValidator(values.file_mode), Takes('octal permission bits such as "0660"')]
FilePath = Annotated[Path, BeforeValidator(values.path), Takes("a path")]
OptionalPath = Annotated[Path | None, BeforeValidator(values.optional_path), Takes("a path, or nothing for none")]
OptionalText = Annotated[str | None, BeforeValidator(values.optional_text), Takes("text, or nothing for none")]
Switch = Annotated[bool, BeforeValidator(values.switch), Takes("true or false")]
Count = Annotated[int, BeforeValidator(values.count), Takes("a whole number")]
Rate = Annotated[float, BeforeValidator(values.rate), Takes("a number per second, 0 for no limit")]
