"""The longest common subsequence of two byte strings, as LCS shows it.

Promises the same choice among equally long ones as Redis, in rows of bits instead of numbers: a row of n columns costs
a few operations on n-bit integers. Must not know sessions or states.

Source: Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
"""

from __future__ import annotations

from typing import NamedTuple


class Match(NamedTuple):
    """A run that both strings share: first and last position in each."""

    a_first: int
    a_last: int
    b_first: int
    b_last: int

    @property
    def length(self) -> int:
        """How many bytes match."""
        return self.a_last - self.a_first + 1


def rows(a: bytes, b: bytes) -> list[int]:
    """Row i: bit j is set where the subsequence of a[:i] and b[:j + 1] is longer than that of a[:i] and b[:j]."""
    full = (1 << len(b)) - 1
    places = dict.fromkeys(a, 0)
    for j, byte in enumerate(b):
        if byte in places:
            places[byte] |= 1 << j
    level, out = full, [0]
    for byte in a:
        both = level & places[byte]
        level = (level + both | level - both) & full
        out.append(level ^ full)
    return out


def length(a: bytes, b: bytes) -> int:
    """How long it is."""
    return rows(a, b)[-1].bit_count()


def subsequence(a: bytes, b: bytes) -> tuple[bytes, list[Match]]:
    """The bytes themselves, and their runs from the last to the first."""
    table = rows(a, b)
    i, j = len(a), len(b)
    found = bytearray()
    matches: list[Match] = []
    start: tuple[int, int] | None = None  # where the run that is being followed backwards ends
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            start = start or (i - 1, j - 1)
            i, j = i - 1, j - 1
            continue
        if start is not None:
            matches.append(Match(i, start[0], j, start[1]))
            start = None
        # Up only if that keeps the length and left does not.
        mask = (1 << j) - 1
        left_loses = table[i] >> j - 1 & 1
        if left_loses and (table[i] & mask).bit_count() == (table[i - 1] & mask).bit_count():
            i -= 1
        else:
            j -= 1
    if start is not None:
        matches.append(Match(i, start[0], j, start[1]))
    found.reverse()
    return bytes(found), matches
