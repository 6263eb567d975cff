"""Cursors and options of the scans, as Redis reads them."""

from __future__ import annotations

import pytest

from crdt import shards
from crdt.errors import UsageError
from crdt.shards import Shards
from crdt.types import hashes, sets, zsets
from daemon.api.commands.scanning import Scan, nothing, parse_cursor
from daemon.api.resp import RESP2
from daemon.api.session import Session
from tests.compiled import need_python
from tests.daemon.api.commands.conftest import Ask


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


# -- large collections, which are in parts


@pytest.fixture
def large(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 members, fields, and keys, each collection divided."""
    need_python()
    monkeypatch.setattr(shards, "LIMIT", 500)
    state, names = session.db.state, [b"n%d" % i for i in range(2997)]
    for name in names:
        sets.add(state, b"s", [name])
        hashes.put(state, b"h", [(name, b"v")])
        zsets.put(state, b"z", [(name, 1.5)])
        sets.add(state, name, [b"x"])
    for live in (state.keys, sets.live(state, b"s"), hashes.live(state, b"h"), zsets.live(state, b"z")):
        assert isinstance(live, Shards) and live.divided


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("line", "step", "total"),
    [
        ("SCAN @", 1, 3000),
        ("SCAN @ TYPE set", 1, 2998),
        ("SSCAN s @", 1, 2997),
        ("HSCAN h @", 2, 2997),
        ("ZSCAN z @", 2, 2997),
    ],
)
@pytest.mark.parametrize("options", ["COUNT 7", "COUNT 500", "COUNT 100000", "MATCH n1* COUNT 100"])
def test_walks_through_large_collections(ask: Ask, line: str, step: int, total: int, options: str) -> None:
    found: list[bytes] = []
    cursor, pages = b"0", 0
    while True:
        cursor, page = ask(line.replace("@", cursor.decode()) + " " + options)
        found += page[::step]
        pages += 1
        if cursor == b"0":
            break
    if "MATCH" in options:
        total = len([i for i in range(2997) if str(i)[0] == "1"])
    assert len(found) == len(set(found)) == total
    assert pages == (1 if "100000" in options else pages) and pages <= 3000 // 7 + 1


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("command", ["SRANDMEMBER s", "HRANDFIELD h", "ZRANDMEMBER z"])
@pytest.mark.parametrize("count", [0, 1, 40, 93, 94, 2996, 2997, 5000, -1, -40, -5000])
def test_samples_of_large_collections(ask: Ask, command: str, count: int) -> None:
    found = ask(f"{command} {count}")
    assert len(found) == (-count if count < 0 else min(count, 2997))
    assert len(set(found)) == len(found) or count < -1
    assert all(name.startswith(b"n") for name in found)
    assert ask(command).startswith(b"n")


@pytest.mark.usefixtures("large")
def test_a_large_set_is_taken_apart_by_chance(ask: Ask) -> None:
    taken = [ask("SPOP s") for _ in range(1000)] + ask("SPOP s 30") + ask("SPOP s 1900")
    assert len(set(taken)) == 2930 and sorted(taken + ask("SMEMBERS s")) == sorted(b"n%d" % i for i in range(2997))
    assert len(ask("SPOP s 100")) == 67 and ask("EXISTS s") == 0
