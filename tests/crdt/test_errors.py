"""Errors by blame."""

from __future__ import annotations

import pytest

from crdt import errors
from crdt.errors import PeerError, UsageError

MISTAKES = [cls for cls in UsageError.__subclasses__() if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", MISTAKES)
def test_mistakes_of_callers_carry_the_answer(cls: type[UsageError]) -> None:
    error = cls()  # type: ignore[call-arg]
    assert error.resp.split()[0].isupper(), "an error begins with its code, as in Redis"
    assert str(error) == error.resp


def test_mistakes_of_peers_carry_a_word_to_count() -> None:
    assert (PeerError("malformed").reason, str(PeerError("malformed"))) == ("malformed", "malformed")
    assert str(PeerError("malformed", "no frame")) == "malformed: no frame"
    assert not issubclass(PeerError, UsageError)
