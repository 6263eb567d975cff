"""COMMAND INFO and COMMAND DOCS, made from the table alone."""

from __future__ import annotations

import pytest

from daemon.api import commands as _all  # noqa: F401
from daemon.api.description import CATEGORIES, FLAGS, categories, docs, info
from daemon.api.registry import TABLE, commands, subcommands
from daemon.api.resp import RESP2, RESP3
from tests.oracle import reply


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"get", ["read", "string", "fast"]),
        (b"set", ["write", "string", "slow"]),
        (b"del", ["keyspace", "write", "slow"]),
        (b"sadd", ["write", "set", "fast"]),
        (b"multi", ["fast", "transaction"]),
        (b"publish", ["pubsub", "fast"]),
        (b"monitor", ["admin", "slow", "dangerous"]),
        (b"client", ["slow"]),
        (b"keys", ["keyspace", "read", "slow", "dangerous"]),
    ],
)
def test_categories_are_redis(name: bytes, expected: list[str]) -> None:
    assert categories(TABLE[name]) == expected


def test_info_has_ten_parts() -> None:
    kind, parts = reply(info(RESP2, TABLE[b"mset"]))
    assert (kind, len(parts)) == ("*", 10)
    assert parts[:6] == [
        ("$", b"mset"),
        (":", b"-3"),
        ("*", [("+", b"write"), ("+", b"denyoom")]),
        (":", b"1"),
        (":", b"-1"),
        (":", b"2"),
    ]
    (spec,) = parts[8][1]
    assert spec[1][1] == ("*", [("+", b"RW"), ("+", b"update")])


def test_sets_and_maps_in_resp3() -> None:
    _, parts = reply(info(RESP3, TABLE[b"get"]))
    assert [parts[at][0] for at in (2, 6, 7, 8, 9)] == ["~"] * 5
    assert parts[8][1][0][0] == "%"


def test_docs_say_summary_group_and_subcommands() -> None:
    kind, parts = reply(docs(RESP3, TABLE[b"client"], "1.2.3"))
    words = [part[1] for part in parts]
    assert kind == "%"
    assert words[0::2] == [b"summary", b"since", b"group", b"subcommands"]
    assert words[3] == b"1.2.3"


def test_every_flag_has_its_place() -> None:
    for entry in commands():
        for one in (entry, *subcommands(entry)):
            assert one.flags <= set(FLAGS), one.name
            assert set(categories(one)) <= set(CATEGORIES)
