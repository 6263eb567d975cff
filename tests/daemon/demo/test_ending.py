"""The last words, and the exit status that goes with them."""

from __future__ import annotations

import pytest

from daemon.demo import ending
from daemon.demo.director import Outcome
from daemon.demo.verdict import Line, Verdict

GOOD, LOST = Line("tasks added", 10, 10, "all there"), Line("increments", 5, 4)
EQUAL, DIFFERENT = {"alpha": "aa", "beta": "aa"}, {"alpha": "aa", "beta": "bb"}


@pytest.mark.parametrize(
    ("line", "hashes", "status", "words"),
    [
        (GOOD, EQUAL, 0, ("CONVERGED 2.5 s after the heal", "and 0.3 s after the last write", "survived.")),
        (LOST, EQUAL, 1, ("CONVERGED", "did not survive")),
        (GOOD, DIFFERENT, 6, ("DIVERGED", "survived.")),
        (LOST, DIFFERENT, 6, ("DIVERGED", "did not survive")),
    ],
)
def test_words_and_status(line: Line, hashes: dict[str, str], status: int, words: tuple[str, ...]) -> None:
    outcome = Outcome(Verdict((line,), hashes), 2.5, 0.3, 40, 0)
    text = "\n".join(part.plain for part in ending.lines(outcome))
    assert ending.status(outcome) == status
    assert all(word in text for word in words)
    assert ("DIVERGED" in text) == (status == 6)
    assert all(hash_ in text for hash_ in hashes.values())
    assert max(len(part.plain) for part in ending.lines(outcome)) <= 100


def test_sums_stand_below() -> None:
    outcome = Outcome(Verdict((GOOD, LOST), EQUAL), None, 0.3, 40, 2)
    (total,) = [part.plain for part in ending.lines(outcome) if part.plain.startswith("  all")]
    assert total.split()[:3] == ["all", "15", "14"]
    assert total.endswith("in 40 acknowledged commands, and 2 more got no reply")


def test_something_wrong_is_said_in_words() -> None:
    outcome = Outcome(Verdict((Line("increments", 5, 5, "a note", "too many"),), EQUAL), None, 0.3, 40, 2)
    assert ending.status(outcome) == 1
    assert any("too many" in part.plain for part in ending.lines(outcome))
