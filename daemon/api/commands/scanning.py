"""What SCAN, SSCAN and HSCAN have in common: cursors as arguments, options, the shape of the reply.

Knows Redis's spellings and error texts. Must not know what is walked through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from crdt.errors import UsageError
from daemon.api.arguments import SYNTAX, integer
from daemon.api.glob import compile_glob
from daemon.api.resp import Resp

DEFAULT_COUNT: Final = 10
_cursor = re.compile(rb"[+-]?[0-9]+").fullmatch
_MASK_64: Final = (1 << 64) - 1


def parse_cursor(text: bytes) -> int:
    """A cursor as `strtoul` reads it, which takes an empty text for 0. Raises UsageError."""
    if not text:
        return 0
    if _cursor(text) is None or len(text) > 40 or abs(int(text)) > _MASK_64:
        raise UsageError("ERR invalid cursor")
    return int(text) & _MASK_64


class Scan:
    """The options of one call: `count`, `type` (in lower case, or None) and a pattern."""

    __slots__ = ("_pattern", "count", "type")

    def __init__(self, words: list[bytes], typed: bool = False) -> None:
        """`words` follow the cursor; TYPE is an option only if `typed`. Raises UsageError."""
        self.count = DEFAULT_COUNT
        self.type: str | None = None
        self._pattern: bytes | None = None
        for at in range(0, len(words), 2):
            word = words[at].lower()
            if at + 1 == len(words) or word not in (b"count", b"match", b"type"):
                raise UsageError(SYNTAX)
            value = words[at + 1]
            if word == b"count":
                self.count = integer(value)
                if self.count < 1:
                    raise UsageError(SYNTAX)
            elif word == b"match":
                self._pattern = value
            elif typed:
                self.type = value.decode("latin-1").lower()
            else:
                raise UsageError(SYNTAX)

    def select(self, names: Iterable[bytes]) -> Iterable[bytes]:
        """Those that the pattern takes."""
        if self._pattern is None or self._pattern == b"*":
            return names
        matches = compile_glob(self._pattern).fullmatch
        return [name for name in names if matches(name)]

    def reply(self, resp: Resp, cursor: int, flat: Iterable[bytes]) -> bytes:
        """The cursor to go on with, and what was found."""
        return resp.array([resp.bulk(b"%d" % cursor), resp.bulks(flat)])


def nothing(resp: Resp) -> bytes:
    """The reply for a key that is not there."""
    return resp.array([resp.bulk(b"0"), resp.empty_array])
