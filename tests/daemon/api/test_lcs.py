"""The longest common subsequence against the table that everybody writes first, with Redis's way back through it."""

from __future__ import annotations

import random

import pytest

from daemon.api.lcs import Match, length, subsequence


def reference(a: bytes, b: bytes) -> tuple[bytes, list[Match]]:
    """As Redis computes it."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]
            table[i][j] = table[i - 1][j - 1] + 1 if same else max(table[i - 1][j], table[i][j - 1])
    found, pairs = bytearray(), []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            found.append(a[i])
            pairs.append((i, j))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    matches: list[Match] = []
    for i, j in pairs:
        if matches and matches[-1].a_first == i + 1 and matches[-1].b_first == j + 1:
            matches[-1] = Match(i, matches[-1].a_last, j, matches[-1].b_last)
        else:
            matches.append(Match(i, i, j, j))
    return bytes(reversed(found)), matches


@pytest.mark.parametrize("seed", range(200))
def test_equal_to_the_table(seed: int) -> None:
    rng = random.Random(seed)
    a, b = (bytes(rng.choices(b"abcd", k=rng.randint(0, 40))) for _ in range(2))
    assert subsequence(a, b) == reference(a, b)
    assert length(a, b) == len(reference(a, b)[0])


def test_the_largest_that_redis_takes_is_quick() -> None:
    rng = random.Random(1)
    a, b = (bytes(rng.choices(b"acgt", k=11_000)) for _ in range(2))
    text, matches = subsequence(a, b)
    assert len(text) == sum(match.length for match in matches) == length(a, b) > 6_000
