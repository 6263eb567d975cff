"""Numbers as strictly as Redis reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.errors import UsageError
from daemon.api.arguments import MAX_INT64, MIN_INT64, NOT_AN_INTEGER, integer, printable


@given(st.integers(MIN_INT64, MAX_INT64))
def test_every_number_in_its_one_spelling(number: int) -> None:
    assert integer(b"%d" % number) == number


@pytest.mark.parametrize(
    "text", [b"", b"+1", b"01", b"-0", b" 1", b"1 ", b"1\n", b"0x1", b"1.0", b"9223372036854775808", b"-"]
)
def test_other_spellings_are_refused(text: bytes) -> None:
    with pytest.raises(UsageError) as refusal:
        integer(text)
    assert refusal.value.resp == NOT_AN_INTEGER


@pytest.mark.parametrize("text", [b"0", b"11"])
def test_bounds_and_own_words(text: bytes) -> None:
    with pytest.raises(UsageError) as refusal:
        integer(text, "ERR one to ten", low=1, high=10)
    assert refusal.value.resp == "ERR one to ten"


def test_printable_keeps_what_is_text() -> None:
    assert printable("größe".encode()) == "größe"
