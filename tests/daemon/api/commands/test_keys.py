"""Keys of any type: what the oracle cannot see, because it is random, ours alone, or not there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.api.session import Session
from tests.oracle import Hub

Ask = Callable[..., Any]


def test_types_of_our_own(ask: Ask) -> None:
    for line in ("GSET.ADD g m", "GCOUNT.INCR c", "FLAG.ENABLE f"):
        ask(line)
    assert [ask(f"TYPE {key}") for key in "gcf"] == [b"gset", b"gcount", b"flag"]
    assert ask("DEL g c f") == 3


@pytest.mark.parametrize(
    "write", ["GSET.ADD a m", "GCOUNT.INCR a 5", "FLAG.ENABLE a", "HSET a f v", "SADD a 1", "SET a 1"]
)
def test_rename_and_copy_take_every_type(ask: Ask, write: str) -> None:
    ask(write)
    kind = ask("TYPE a")
    assert ask("RENAME a b") == b"OK"
    assert ask("COPY b c") == 1
    assert ask("COPY b b DB 1") == 1
    assert [ask(f"TYPE {key}") for key in "abc"] == [b"none", kind, kind]


def test_copy_into_another_space(ask: Ask, session: Session, hub: Hub) -> None:
    ask("SET a 1")
    assert ask("COPY a a DB 3") == 1
    assert session.writes[hub.databases[3]] == 1
    session.db = hub.databases[3]
    assert ask("GET a") == b"1"


def test_flushall_empties_every_space(ask: Ask, hub: Hub, session: Session) -> None:
    for database in hub.databases[:3]:
        session.db = database
        ask("SET k v")
    assert ask("FLUSHALL") == b"OK"
    assert not any(state.keys for state in hub.states)
    assert [database.index for database in session.writes] == [0, 1, 2]


def test_flushdb_fails_the_watches_of_keys_that_were_there(ask: Ask, session: Session) -> None:
    for key in (b"k", b"absent"):
        session.db.watch(key, session)
    ask("FLUSHDB")
    assert not session.stale
    ask("SET k v")
    session.stale = False
    ask("FLUSHDB")
    assert session.stale


def test_random_key_reaches_every_key(ask: Ask) -> None:
    assert ask("RANDOMKEY") is None
    ask("MSET", *(word for i in range(300) for word in (f"k{i}", "v")))
    assert len({ask("RANDOMKEY") for _ in range(6000)}) == 300


def test_random_key_of_a_changing_space(ask: Ask) -> None:
    for i in range(200):
        ask(f"SET k{i} v")
        ask(f"DEL k{i - 10}")
        assert ask(f"EXISTS {ask('RANDOMKEY').decode()}") == 1


@pytest.mark.parametrize("line", ["MOVE k 1", "SORT k 1"])
def test_what_is_not_built_is_unknown(ask: Ask, line: str) -> None:
    ask("SET k v")
    name = line.split()[0]
    assert ask(line).startswith(f"-ERR unknown command '{name}', with args beginning with: 'k' '1' ")
    assert ask("TTL k") == -1


def test_memory_usage(ask: Ask) -> None:
    ask("SET small v")
    ask(b"SET", b"large", b"v" * 10_000)
    ask("SADD set", *(f"m{i}" for i in range(1000)))
    ask("HSET hash", *(f"m{i}" for i in range(1000)))
    ask("GSET.ADD gset a b")
    ask("GCOUNT.INCR gcount")
    ask("FLAG.ENABLE flag")
    sizes = [ask(f"MEMORY USAGE {key}") for key in ("flag", "small", "gcount", "gset", "large", "set")]
    assert all(size > 0 for size in sizes)
    assert sizes[1] + 9_000 < sizes[4] < sizes[5]
    assert ask("MEMORY USAGE set SAMPLES 0") == pytest.approx(sizes[5], rel=0.1)
    assert ask("MEMORY USAGE hash") > 50_000
    assert ask("MEMORY USAGE absent") is None
    assert [ask(f"OBJECT ENCODING {key}") for key in ("gset", "gcount", "flag")] == [b"hashtable", b"int", b"int"]


def walk(ask: Ask, command: str, between: Callable[[int], None], step: int = 1) -> list[bytes]:
    """All of a scan, with something done between its pages."""
    cursor, found, page = b"0", [], 0
    while True:
        cursor, names = ask(*command.replace("CURSOR", cursor.decode()).split())
        found += names[::step]
        if cursor == b"0":
            return found
        between(page)
        page += 1


def test_scan_returns_what_was_there_all_the_time(ask: Ask) -> None:
    ask("MSET", *(word for i in range(1000) for word in (f"k{i}", "v")))

    def disturb(page: int) -> None:
        ask("DEL", *(f"k{i}" for i in range(page * 3, page * 3 + 3)))
        ask(f"SET new{page} v")
        ask("SET k999 again")

    found = walk(ask, "SCAN CURSOR COUNT 20", disturb)
    assert len(set(found)) == len(found)
    assert {b"k%d" % i for i in range(150, 1000)} <= set(found)


def test_scans_of_several_clients_do_not_disturb_each_other(ask: Ask) -> None:
    ask("MSET", *(word for i in range(100) for word in (f"k{i}", "v")))
    one, other = ask("SCAN 0 COUNT 60"), ask("SCAN 0 COUNT 30")
    names = ask(f"SCAN {one[0].decode()} COUNT 60")[1]
    assert set(one[1] + names) == set(ask("KEYS *"))
    assert len(ask(f"SCAN {other[0].decode()} COUNT 90")[1]) == 70


def test_scan_by_type(ask: Ask) -> None:
    ask("SET s v")
    ask("GSET.ADD g m")
    ask("GCOUNT.INCR c")
    assert ask("SCAN 0 TYPE gset") == [b"0", [b"g"]]
    assert ask("SCAN 0 TYPE string") == [b"0", [b"s"]]
