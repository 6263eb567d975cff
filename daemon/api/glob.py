"""Redis's glob patterns (KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET) as compiled regular expressions.

Knows the syntax: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, backslash. Promises that matching takes no exponential time. Must
not know what is matched.
"""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=256)
def compile_glob(pattern: bytes) -> re.Pattern[bytes]:
    """A regular expression whose `fullmatch` says what Redis's `stringmatchlen` says; never fails."""
    segments: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            # Several stars in a row are one.
            if segments[-1] or len(segments) == 1:
                segments.append([])
            at += 1
        elif char == b"[":
            part, at = _class(pattern, at + 1)
            segments[-1].append(part)
        else:
            if char == b"\\" and at + 1 < len(pattern):
                at += 1
                char = pattern[at : at + 1]
                segments[-1].append(re.escape(char))
            else:
                segments[-1].append(b"." if char == b"?" else re.escape(char))
            at += 1
    # To Redis no pattern but the empty one matches the empty text, not even a star.
    something = b"(?=.)" if pattern else b""
    return re.compile(something + _expression([b"".join(segment) for segment in segments]), re.DOTALL)


def _expression(segments: list[bytes]) -> bytes:
    """Segments with a star between each two. The leftmost place for each is as good as any other, so it is atomic."""
    if len(segments) == 1:
        return segments[0]
    middle = b"".join(b"(?>.*?%b)" % segment for segment in segments[1:-1])
    return segments[0] + middle + b".*" + segments[-1]


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The class that begins after `[` at `at`, and where the pattern goes on. One without end ends with the pattern."""
    negated = pattern[at : at + 1] == b"^"
    if negated:
        at += 1
    allowed: set[int] = set()
    end = len(pattern)
    while at < end:
        if pattern[at] == 0x5C and at + 1 < end:
            at += 1
            allowed.add(pattern[at])
        elif pattern[at] == 0x5D:
            break
        elif at + 2 < end and pattern[at + 1] == 0x2D:
            low, high = sorted((pattern[at], pattern[at + 2]))
            allowed.update(range(low, high + 1))
            at += 2
        else:
            allowed.add(pattern[at])
        at += 1
    if negated:
        allowed = set(range(256)) - allowed
    if not allowed:
        return b"(?!)", at + 1
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(allowed)) + b"]", at + 1
