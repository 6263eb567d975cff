"""Each kind as a field: parsed on the way in, with words for what it takes."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from config import kinds
from config.kinds import Takes

GOOD = {
    "Seconds": ("1m", 60.0),
    "Bytes": ("1KiB", 1024),
    "Name": ("a", "a"),
    "Listen": ("h:1", ("h", 1)),
    "Mode": ("0600", 0o600),
    "OptionalPath": ("", None),
    "OptionalText": ("", None),
    "Switch": ("yes", True),
    "Count": ("3", 3),
    "Rate": ("0.5", 0.5),
}


@pytest.mark.parametrize("kind", GOOD)
def test_fields_parse(kind: str) -> None:
    text, value = GOOD[kind]
    assert TypeAdapter(getattr(kinds, kind)).validate_python(text) == value


@pytest.mark.parametrize("kind", [*GOOD, "FilePath"])
def test_fields_refuse_and_say_what_they_take(kind: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(getattr(kinds, kind)).validate_python(["no", "such", "value"])
    assert any(isinstance(item, Takes) for item in getattr(kinds, kind).__metadata__)
