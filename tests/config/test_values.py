"""Each kind of value: what it takes, what it refuses, and that what is printed parses again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import values

DURATIONS = {
    "200ms": 0.2,
    "700ms": 0.7,
    "5s": 5.0,
    "1.5h": 5400.0,
    "1m": 60.0,
    "2d": 172800.0,
    "50us": 0.00005,
    "0": 0.0,
    " 3 s ": 3.0,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("bad", ["", "5", "fast", "-1s", "1 week", "1e3s", 5, 0.2, True, False, None, []])
def test_what_is_no_duration(bad: object) -> None:
    with pytest.raises(ValueError):
        values.duration(bad)


@given(st.integers(0, 10**12))
def test_a_printed_duration_parses_again(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert values.duration(values.shown_duration(seconds)) == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize(("text", "shown"), [("200ms", "200ms"), ("60s", "1m"), ("24h", "1d"), ("1.5s", "1500ms")])
def test_durations_are_printed_short(text: str, shown: str) -> None:
    assert values.shown_duration(values.duration(text)) == shown


@pytest.mark.parametrize(
    ("text", "count"), [("64KiB", 65536), ("16MiB", 16 << 20), ("12", 12), (12, 12), ("1 GiB", 1 << 30)]
)
def test_sizes(text: object, count: int) -> None:
    assert values.size(text) == count


@pytest.mark.parametrize("bad", ["64KB", "1.5MiB", "-1", "", True, None, 1.5])
def test_what_is_no_size(bad: object) -> None:
    with pytest.raises(ValueError):
        values.size(bad)


@given(st.integers(0, 1 << 50))
def test_a_printed_size_parses_again(count: int) -> None:
    assert values.size(values.shown_size(count)) == count


@pytest.mark.parametrize("good", ["a", "A-1_b.c", "9", "x" * 64])
def test_names(good: str) -> None:
    assert values.name(good) == good


@pytest.mark.parametrize("bad", ["", ".a", "-a", "a/b", "a+b", "#", "x" * 65, "ä", "a\n", 5, None])
def test_what_is_no_name(bad: object) -> None:
    with pytest.raises(ValueError):
        values.name(bad)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:0", "::1", 0), ("host:65535", "host", 65535)]
)
def test_addresses(text: str, host: str, port: int) -> None:
    found = values.address(text)
    assert found == (host, port)
    assert str(found) == text


def test_no_address_is_off() -> None:
    assert values.address("") is None


@pytest.mark.parametrize("bad", ["host", ":80", "host:", "host:x", "host:65536", "::1:80", "host:-1", 80])
def test_what_is_no_address(bad: object) -> None:
    with pytest.raises(ValueError):
        values.address(bad)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_is_judged_by_spelling(host: str, loopback: bool) -> None:
    assert values.Address(host, 1).loopback is loopback


@pytest.mark.parametrize(("text", "bits"), [("0660", 0o660), ("600", 0o600), (0o640, 0o640)])
def test_modes(text: object, bits: int) -> None:
    assert values.file_mode(text) == bits


@pytest.mark.parametrize("bad", [660, "8", "1777", "", None, True])
def test_what_is_no_mode(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        values.file_mode(bad)


def test_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert values.path("a/b") == tmp_path / "a" / "b"
    assert values.path("~/c") == tmp_path / "c"
    assert values.optional_path("") is None
    with pytest.raises(ValueError):
        values.path("")


@pytest.mark.parametrize(("word", "on"), [("true", True), ("NO", False), ("1", True), ("off", False), (True, True)])
def test_switches(word: object, on: bool) -> None:
    assert values.switch(word) is on


@pytest.mark.parametrize("bad", ["", "maybe", 1, None])
def test_what_is_no_switch(bad: object) -> None:
    with pytest.raises(ValueError):
        values.switch(bad)


@pytest.mark.parametrize("bad", [True, 1.5, None, "x"])
def test_what_is_no_count(bad: object) -> None:
    with pytest.raises(ValueError):
        values.count(bad)
