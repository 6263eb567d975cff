"""Lists: what the random comparison with Redis does not reach: long ones, limits, what peers' changes announce."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crdt.dots import Actor
from crdt.state import State
from crdt.types import lists
from daemon.api.commands.lists import span
from tests.oracle import Hub

Ask = Callable[..., Any]


def test_a_long_list(ask: Ask, hub: Hub) -> None:
    words = [b"%d" % i for i in range(20_000)]
    assert ask("RPUSH k", *words) == 20_000
    assert ask("LINDEX k 12345") == b"12345" and ask("LINDEX k -1") == b"19999" and ask("LINDEX k 20000") is None
    assert ask("LRANGE k 9990 10009") == words[9990:10010]
    assert ask("LPOS k 15000") == 15_000 and ask("LPOS k 15000 MAXLEN 100") is None
    assert ask("LREM k 0 777") == 1 and ask("LINSERT k BEFORE 776 new") == 20_000
    assert ask("LRANGE k 775 778") == [b"775", b"new", b"776", b"778"]
    assert ask("LTRIM k 100 -101") and ask("LLEN k") == 19_800
    assert ask("LPOP k 19800") == [*words[100:776], b"new", b"776", *words[778:19_900]]
    assert ask("EXISTS k") == 0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("LSET absent x v", "ERR no such key"),
        ("LSET k x v", "ERR value is not an integer or out of range"),
        ("LSET k 2 v", "ERR index out of range"),
        ("LPOP k -1", "ERR value is out of range, must be positive"),
        ("LPOP k 1 1", "ERR wrong number of arguments for 'lpop' command"),
        ("LINSERT k BESIDE m v", "ERR syntax error"),
        ("LMOVE k t UP LEFT", "ERR syntax error"),
        ("LMPOP 0 k LEFT", "ERR numkeys should be greater than 0"),
        ("LMPOP 1 k LEFT COUNT", "ERR syntax error"),
        ("LPOS k m RANK 0", "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use"
         " negative to start from the end of the list"),
        ("RPUSH s v", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LMOVE k s LEFT LEFT", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SORT k", "ERR unknown command 'SORT', with args beginning with: 'k' "),
    ],
)  # fmt: skip
def test_errors_change_nothing(ask: Ask, hub: Hub, line: str, error: str) -> None:
    ask("RPUSH k m n")
    ask("SET s v")
    before = hub.states[0].seq
    assert ask(line) == f"-{error}"
    assert hub.states[0].seq == before


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, -1, (0, 5)), (-2, -1, (3, 5)), (1, 2, (1, 3)), (3, 1, (3, 3)),
     (-9, 9, (0, 5)), (9, 9, (9, 9)), (0, -9, (0, 0))],
)  # fmt: skip
def test_indexes_of_a_span(start: int, end: int, found: tuple[int, int]) -> None:
    assert span(start, end, 5) == found


def test_what_peers_change_is_announced(ask: Ask, hub: Hub) -> None:
    """One event for each key, kind and frame; `del` when the key is gone."""
    ask("RPUSH k m n")
    peer, here = State(Actor("peer", 1)), hub.states[0]
    peer.begin(5_000)
    frame = here.cut()
    assert frame is not None
    peer.apply(frame)

    def told() -> list[tuple[bytes, str]]:
        one = peer.cut()
        assert one is not None
        return list(here.apply(one) or {})

    lists.push(peer, b"k", [b"o", b"p"])
    lists.push(peer, b"k", [b"l"], True)
    assert told() == [(b"k", "rpush")]
    lists.put(peer, b"k", 0, b"x")
    assert told() == [(b"k", "rpush")]
    lists.pop(peer, b"k", 1, True)
    lists.move(peer, b"k", b"t", True, True)
    assert told() == [(b"t", "rpush"), (b"k", "lrem")]
    lists.pop(peer, b"k", 9, True)
    assert told() == [(b"k", "lrem"), (b"k", "del")]
