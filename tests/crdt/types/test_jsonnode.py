"""Places in a document: texts are kept while they are true, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crdt.state import State
from crdt.types import documents
from crdt.types.jsonnode import Node
from crdt.types.jsontree import JsonEntry
from tests.crdt.replicas import Replicas

K = b"k"
BEFORE = {"a": {"b": [1, {"c": "x"}], "n": 1}, "other": {"d": 2}}


@pytest.fixture
def both() -> Replicas:
    """Two replicas that have the document, and have read all of it."""
    found = Replicas()
    documents.put(found[0], K, BEFORE)
    found.exchange()
    for state in found.states:
        assert text(state) == b'{"a":{"b":[1,{"c":"x"}],"n":1},"other":{"d":2}}'
    return found


def doc_of(state: State) -> JsonEntry:
    found = documents.document(state, K)
    assert found is not None
    return found


def text(state: State) -> bytes:
    return documents.text(state, doc_of(state).root)


def at(state: State, *steps: Any) -> Node:
    node = doc_of(state).root
    for step in steps:
        found = node.elements()[step] if isinstance(step, int) else documents.member(node, step)
        assert found is not None
        node = found
    return node


Write = Callable[[State], object]
WRITES: dict[str, tuple[Write, bytes]] = {
    "a leaf": (lambda s: documents.assign(s, doc_of(s), at(s, b"a", b"b", 1, b"c"), "y"), b'[1,{"c":"y"}],"n":1}'),
    "a count": (lambda s: documents.increase(s, doc_of(s), at(s, b"a", b"n"), 2), b'[1,{"c":"x"}],"n":3}'),
    "a member": (lambda s: documents.add(s, doc_of(s), at(s, b"a"), b"m", {}), b'[1,{"c":"x"}],"n":1,"m":{}}'),
    "an element": (lambda s: documents.insert(s, doc_of(s), at(s, b"a", b"b"), 0, [0]), b'[0,1,{"c":"x"}],"n":1}'),
    "a removal": (lambda s: documents.remove(s, doc_of(s), at(s, b"a", b"b", 1)), b'[1],"n":1}'),
    "a pop": (lambda s: documents.take(s, doc_of(s), at(s, b"a", b"b").elements(0, 1)), b'[{"c":"x"}],"n":1}'),
    "another kind": (lambda s: documents.assign(s, doc_of(s), at(s, b"a", b"b"), 7), b'7,"n":1}'),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("again", [False, True])
def test_a_text_follows_what_is_written_here_and_by_peers(both: Replicas, name: str, again: bool) -> None:
    """`again`: over what is pending, which is overwritten in place."""
    write, expected = WRITES[name]
    if again:
        documents.assign(both[0], doc_of(both[0]), at(both[0], b"a"), BEFORE["a"])
        assert text(both[0]).startswith(b'{"a":{"b":[1,{"c":"x"}],"n":1}')
    write(both[0])
    whole = b'{"a":{"b":' + expected + b',"other":{"d":2}}'
    assert text(both[0]) == text(both[0]) == whole
    both.exchange()
    assert both.agree(text) == whole


def test_what_did_not_change_is_not_spelled_again(both: Replicas) -> None:
    other = at(both[1], b"other")
    kept = other.spelled
    assert kept == b'{"d":2}'
    documents.assign(both[0], doc_of(both[0]), at(both[0], b"a", b"n"), 5)
    both.exchange()
    assert doc_of(both[1]).root.spelled is None
    text(both[1])
    assert other.spelled is kept


def test_only_the_compact_text_is_kept(both: Replicas) -> None:
    root = doc_of(both[0]).root
    spaced = documents.text(both[0], at(both[0], b"other"), documents.Style(space=b" "))
    assert spaced == b'{"d": 2}'
    assert text(both[0]) == root.spelled


def test_a_text_that_is_kept_too_long_is_noticed(both: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(Node, "changed", lambda self: None)
    documents.assign(both[0], doc_of(both[0]), at(both[0], b"a", b"b", 1, b"c"), "y")
    assert b'"x"' in text(both[0])
