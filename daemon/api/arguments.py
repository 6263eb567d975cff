"""Arguments of commands to numbers, as strictly as Redis reads them.

Knows the accepted spellings and the error texts. Must not know sessions, replies or states.
"""

from __future__ import annotations

import re
from typing import Final

from crdt.errors import UsageError

NOT_AN_INTEGER: Final = "ERR value is not an integer or out of range"
SYNTAX: Final = "ERR syntax error"
MIN_INT64: Final = -(1 << 63)
MAX_INT64: Final = (1 << 63) - 1

_INTEGER = re.compile(rb"-?[1-9][0-9]{0,18}|0")


def integer(text: bytes, error: str = NOT_AN_INTEGER, low: int = MIN_INT64, high: int = MAX_INT64) -> int:
    """The signed 64-bit integer that `text` spells exactly as Redis prints it (no `+`, no leading zeros, no spaces).

    Raises UsageError(error) for any other spelling and for numbers outside low..high.
    """
    if _INTEGER.fullmatch(text) is None:
        raise UsageError(error)
    number = int(text)
    if not low <= number <= high:
        raise UsageError(error)
    return number


def printable(text: bytes) -> str:
    """Bytes of a client inside an error text: what is not UTF-8 goes through unchanged (see `resp.encode_text`)."""
    return text.decode("utf-8", "surrogateescape")
