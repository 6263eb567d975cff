"""The fuzzer's targets without the fuzzer: inputs that were kept, honest ones, and nearly honest ones."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.errors import PeerError
from tests import fuzz
from tests.fuzz import TARGETS
from tests.strategies import steady

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
SEEDS = fuzz.seeds()
NAMES = sorted(TARGETS)


@st.composite
def nearly(draw: st.DrawFn, target: str) -> bytes:
    """An honest input, cut, doubled, and with some bytes changed."""
    data = bytearray(draw(st.sampled_from(SEEDS[target])))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(("set", "cut", "insert", "double")))
        if what == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 20))]
        elif what == "insert":
            data[at:at] = draw(st.binary(max_size=6))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


@pytest.mark.parametrize("target", NAMES)
def test_what_was_kept(target: str) -> None:
    kept = [data for name, data in fuzz.corpus() if name == target]
    assert kept, "the corpus has something for each target"
    for data in kept:
        TARGETS[target](data)


@pytest.mark.parametrize("target", NAMES)
def test_honest_inputs(target: str) -> None:
    assert SEEDS[target]
    for data in SEEDS[target]:
        TARGETS[target](data)


@pytest.mark.timeout(60 + EXAMPLES // 5)
@pytest.mark.parametrize("target", NAMES)
def test_nearly_honest_inputs(target: str) -> None:
    @settings(steady, max_examples=EXAMPLES)
    @given(nearly(target))
    def check(data: bytes) -> None:
        TARGETS[target](data)

    check()


def test_a_decoder_that_lets_something_escape_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fuzz.decode_frame

    def careless(data: bytes) -> object:
        try:
            return real(data)
        except PeerError as error:
            raise ValueError("not mine") from error

    monkeypatch.setattr(fuzz, "decode_frame", careless)
    with pytest.raises(ValueError, match="not mine"):
        TARGETS["frame"](b"\x90")


def test_a_frame_that_spoils_the_books_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz.State, "count", lambda self, owner, groups: None)
    with pytest.raises(AssertionError):
        for data in SEEDS["frame"]:
            TARGETS["frame"](data)
