"""JSON paths: what they mean, which are none, and that none holds the daemon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crdt.dots import Actor
from crdt.errors import UsageError
from crdt.state import State
from crdt.types import documents
from daemon.api import jsonpath
from daemon.api.jsonpath import compile_path

STORE: Any = {
    "book": [
        {"title": "A", "price": 5, "tags": ["x", "y"], "isbn": "1-2"},
        {"title": "B", "price": 12.5, "tags": []},
        {"title": "C", "price": 8, "tags": ["x"], "used": True},
    ],
    "bike": {"price": 200, "in stock": None, "book": "none"},
    "": 0,
    "é": [[1, 2, 3], [4, 5], 6],
    "q\"'\\": 7,
    "max": 10,
}


def find(path: str, value: Any = STORE) -> Any:
    state = State(Actor("a", 1))
    documents.put(state, b"k", value)
    doc = documents.document(state, b"k")
    assert doc is not None
    return [json.loads(documents.text(state, node)) for node in compile_path(path.encode()).find(state, doc.root)]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [STORE]),
        (".", [STORE]),
        ("$.bike.price", [200]),
        ("bike.price", [200]),
        (".bike.price", [200]),
        ("$['bike'][\"price\"]", [200]),
        ("['bike'].price", [200]),
        ("$.none", []),
        ("$.max.x", []),
        ("$.book[0].title", ["A"]),
        ("book[1].title", ["B"]),
        ("$.book[-1].title", ["C"]),
        ("$.book[5]", []),
        ("$.book[0,2].title", ["A", "C"]),
        ("$.book[-9].title", ["A"]),
        ('$.["max"]', [10]),
        ("$.book[0:2].title", ["A", "B"]),
        ("$.book[:-1].title", ["A", "B"]),
        ("$.book[1:].title", ["B", "C"]),
        ("$.book[::2].title", ["A", "C"]),
        ("$.book[:].title", ["A", "B", "C"]),
        ("$.book[2:1]", []),
        ("$.book[*].price", [5, 12.5, 8]),
        ("$.book.*.price", [5, 12.5, 8]),
        ("$.bike.*", [200, None, "none"]),
        ("$..title", ["A", "B", "C"]),
        ("$..book", [STORE["book"], "none"]),
        ("$..tags[0]", ["x", "x"]),
        ("..price", [5, 12.5, 8, 200]),
        ("$..[0].title", ["A"]),
        ("$['max','bike'].price", [200]),
        ("$['']", [0]),
        ("$.é[0][1]", [2]),
        ("$['é'][*][0]", [1, 4]),
        ('$["q\\"\'\\\\"]', [7]),
        ("$['q\"\\'\\\\']", [7]),
        ("$.bike['in stock']", [None]),
        ("$. book [ 0 ] . title", ["A"]),
        ("$.é..*", [[1, 2, 3], [4, 5], 6, 1, 2, 3, 4, 5]),
        ("$.book[?(@.price<10)].title", ["A", "C"]),
        ("$.book[?@.price>=8].title", ["B", "C"]),
        ("$.book[?(@.price==12.5)].title", ["B"]),
        ("$.book[?(@.title!='A')].title", ["B", "C"]),
        ("$.book[?(@.price>$.max)].title", ["B"]),
        ("$.book[?(@.isbn)].title", ["A"]),
        ("$.book[?(@.used==true)].title", ["C"]),
        ("$.book[?(@.price<6||@.price>10&&@.title=='B')].title", ["A", "B"]),
        ("$.book[?((@.price<6||@.price>10)&&@.title=='B')].title", ["B"]),
        ("$.book[?(@.isbn=~'^\\\\d-\\\\d$')].title", ["A"]),
        ('$.book[?(@.title=~"(?i)b")].title', ["B"]),
        ("$.book[?(@.tags==@.tags)].title", ["A", "B", "C"]),
        ("$.é[0][?(@>1)]", [2, 3]),
        ("$.bike[?(@=='none')]", ["none"]),
        ("$.max[?(@==10)]", [10]),
        ("$.bike[?(@==null)]", [None]),
        ("$.book[?(@.tags[*]=='x')].title", ["C"]),
        ("$.book[?(@.price<'9')]", []),
        ("$.book[?(@.title<'B')].title", ["A"]),
        ("$.é[?(@==6.0)]", [6]),
    ],
)
def test_what_a_path_means(path: str, found: list[Any]) -> None:
    assert find(path) == found


@pytest.mark.parametrize(
    "path",
    [
        "$.",
        "$..",
        "$[",
        "$]",
        "$[]",
        "$[a]",
        "$['a]",
        "$['a'",
        "$[1",
        "$[1,]",
        "$[1:2:0]",
        "$[::-1]",
        "$[?",
        "$[?()]",
        "$[?(@.a==)]",
        "$[?(@.a=1)]",
        "$[?@.a ==== 1]",
        "$.a b",
        "$.a[?(@.b]",
        "$[01]",
        "$[1.5]",
        "$[99999999999999999999]",
        "$.a.[",
        "",
        "a..",
        "$['a','b',]",
        "$[(@.length-1)]",
        "$[?(@.a==1e5)]",
        "$" + "[?(" * 100 + "@" + ")]" * 100,
        "$[?" + "(" * 100 + "@" + ")" * 100 + "]",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(UsageError, match="ERR invalid path: expected"):
        compile_path(path.encode())


def test_paths_of_bytes() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        compile_path(b"$.\xff")
    long = b"$" + b".a" * 1000
    assert len(compile_path(long).steps) == 1000


@pytest.mark.parametrize(
    ("path", "legacy", "static", "full"),
    [
        ("$", False, True, "$"),
        (".", True, True, "$"),
        ("a.b", True, True, "$.a.b"),
        (".a", True, True, "$.a"),
        ("$.a['b'][0]", False, True, "$.a['b'][0]"),
        ("$.*", False, False, "$.*"),
        ("$..a", False, False, "$..a"),
        ("$['a','b']", False, False, "$['a','b']"),
        ("$[0:1]", False, False, "$[0:1]"),
        ("$[?@]", False, False, "$[?@]"),
        ("$a", True, True, "$.$a"),
        ("['a']", True, True, "$.['a']"),
    ],
)
def test_kinds_of_paths(path: str, legacy: bool, static: bool, full: str) -> None:
    found = compile_path(path.encode())
    assert (found.legacy, found.is_static(), found.full) == (legacy, static, full)


def test_equality_is_of_kind_and_value() -> None:
    assert jsonpath.equal(1, 1.0) and not jsonpath.equal(1, True) and not jsonpath.equal(0, None)
    assert jsonpath.equal({"a": [1, None]}, {"a": [1.0, None]}) and not jsonpath.equal({"a": 1}, {"a": 1, "b": 2})
    assert not jsonpath.equal([1], [1, 2]) and not jsonpath.equal(jsonpath.INVALID, jsonpath.INVALID)
    for operator in ("<", "<=", ">", ">="):
        assert not jsonpath.compare(operator, "1", 1) and not jsonpath.compare(operator, [], [])
    assert jsonpath.compare("<=", None, None) and jsonpath.compare("<", False, True) and jsonpath.compare("<", "a", "é")


def test_no_path_visits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    value: Any = 1
    for _ in range(60):
        value = [value, value] if _ > 57 else [value]
    monkeypatch.setattr(jsonpath, "MAX_VISITS", 10_000)
    assert len(find("$..*", value)) > 100
    with pytest.raises(UsageError, match="visits more than 10000 values"):
        find("$..*..*..*..*..*", value)
    with pytest.raises(UsageError, match="visits more"):
        find("$..[?($..*..*..*)]", value)
