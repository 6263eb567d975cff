"""Cursors and options of the scans, as Redis reads them."""

from __future__ import annotations

import pytest

from crdt.errors import UsageError
from daemon.api.commands.scanning import Scan, nothing, parse_cursor
from daemon.api.resp import RESP2


@pytest.mark.parametrize(("text", "cursor"), [(b"0", 0), (b"", 0), (b"17", 17), (b"+3", 3), (b"-1", (1 << 64) - 1)])
def test_cursors(text: bytes, cursor: int) -> None:
    assert parse_cursor(text) == cursor


@pytest.mark.parametrize("text", [b"x", b" 1", b"1 ", b"1.5", b"-", b"18446744073709551616", b"9" * 10_000])
def test_no_cursors(text: bytes) -> None:
    with pytest.raises(UsageError, match="ERR invalid cursor"):
        parse_cursor(text)


def test_options() -> None:
    scan = Scan([b"count", b"5", b"MATCH", b"a*", b"TYPE", b"Set"], typed=True)
    assert (scan.count, scan.type) == (5, "set")
    assert list(scan.select([b"a", b"b", b"ab"])) == [b"a", b"ab"]
    assert (Scan([]).count, Scan([]).type) == (10, None)


@pytest.mark.parametrize(
    "words", [[b"COUNT"], [b"COUNT", b"0"], [b"TYPE", b"set"], [b"x", b"1"], [b"MATCH", b"a", b"COUNT"]]
)
def test_bad_options(words: list[bytes]) -> None:
    with pytest.raises(UsageError, match="ERR syntax error"):
        Scan(words)


def test_replies() -> None:
    assert Scan([]).reply(RESP2, 7, [b"a"]) == b"*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n"
    assert nothing(RESP2) == b"*2\r\n$1\r\n0\r\n*0\r\n"
