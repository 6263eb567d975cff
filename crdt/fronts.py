"""Paths in short: what a field shares with the one before it is said as a number (front coding).

Knows: bytes that begin alike. Promises: `spelled(short(fields)) == fields`; a few bytes do not claim much: what is read
is at most AMPLE times as long as what was sent. Must not know: types, frames.

    [shared, rest, shared, rest ...]    the first `shared` bytes of the field before, then the rest

Rows of a document come in the order in which it was written, so neighbours share nearly all of their paths.
Source: Witten, Moffat, Bell, "Managing Gigabytes" (1999), section 4.1.
"""

from __future__ import annotations

from typing import Any, Final

AMPLE: Final = 64
ITEM: Final = 4  # what an item counts for beside its bytes


def short(fields: list[bytes]) -> list[Any]:
    """Fields front-coded; as they are where that is no shorter, or where `spelled` would not take it."""
    out: list[Any] = []
    before = b""
    sent = whole = 0
    for field in fields:
        shared = _shared(before, field)
        out.append(shared)
        out.append(field[shared:])
        sent += len(field) - shared
        whole += len(field)
        before = field
    sent += ITEM * len(fields)
    return out if sent < whole <= AMPLE * sent else fields


def spelled(column: list[Any]) -> list[bytes]:
    """Inverse of `short`. Raises ValueError, TypeError."""
    out: list[bytes] = []
    before = b""
    left = AMPLE * (ITEM * (len(column) // 2) + sum(map(len, column[1::2])))
    for shared, rest in zip(column[::2], column[1::2], strict=True):
        if type(shared) is not int or type(rest) is not bytes:
            raise TypeError("not a shared beginning")
        if not 0 <= shared <= len(before):
            raise ValueError("a beginning that is not there")
        before = before[:shared] + rest
        left -= len(before)
        if left < 0:
            raise ValueError("much out of little")
        out.append(before)
    return out


def _shared(one: bytes, two: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(two))
    if one[:high] == two[:high]:
        return high
    while high - low > 1:  # they agree up to `low`, and no longer up to `high`
        middle = (low + high) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle
    return low
