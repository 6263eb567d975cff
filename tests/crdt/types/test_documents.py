"""Documents: the truth table, numbers, order, values side by side. Rows and fields are in test_jsontree.py."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from crdt.errors import OverflowedError, UsageError, WrongTypeError
from crdt.state import State
from crdt.types import conflicts, documents, keyspace, strings
from crdt.types.documents import Style
from crdt.types.jsonnode import Node
from crdt.types.jsontext import DEPTH
from crdt.types.jsontree import JsonEntry
from tests.crdt.replicas import Replicas, table

K = b"k"
BEFORE = {"a": {"x": 1}, "l": [1, 2], "n": 5}


def doc_of(state: State) -> JsonEntry:
    doc = documents.document(state, K)
    assert doc is not None
    return doc


def at(state: State, *path: str | int) -> Node:
    node: Node | None = doc_of(state).root
    for step in path:
        assert node is not None
        node = documents.member(node, step.encode()) if isinstance(step, str) else node.elements()[step]
    assert node is not None
    return node


def read(state: State) -> Any:
    return json.loads(documents.text(state, doc_of(state).root))


def shown(*path: str | int) -> Any:
    """A reader of one place, for `agree`."""
    return lambda state: documents.text(state, at(state, *path)).decode()


def beside(*path: str | int) -> Any:
    """A reader of the values side by side."""
    return lambda state: [s.value.decode() for s in documents.siblings(state, at(state, *path))]


def steps(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in path[2:].replace("[", ".").replace("]", "").split(".")]


def do(state: State, words: str) -> None:
    """One line of the table."""
    verb, path, *args = words.split()
    doc, where = doc_of(state), steps(path)
    values = [json.loads(arg) for arg in args]
    parent = at(state, *where[:-1])
    if verb == "SET" and isinstance(where[-1], str) and documents.member(parent, where[-1].encode()) is None:
        documents.add(state, doc, parent, where[-1].encode(), values[0])
    elif verb == "SET":
        documents.assign(state, doc, at(state, *where), values[0])
    elif verb == "DEL":
        documents.remove(state, doc, at(state, *where))
    elif verb == "NUMINCRBY":
        documents.increase(state, doc, at(state, *where), values[0])
    elif verb == "ARRAPPEND":
        node = at(state, *where)
        documents.insert(state, doc, node, documents.size(node), values)
    else:
        assert verb == "ARRPOP"
        documents.take(state, doc, [at(state, *where).elements()[values[0] if values else -1]])


@pytest.fixture
def both() -> Replicas:
    """Two replicas that have the document of the truth table."""
    found = Replicas()
    documents.put(found[0], K, BEFORE)
    found.exchange()
    return found


@pytest.mark.parametrize("row", table(documents), ids=lambda row: " | ".join(row[:2]))
def test_the_truth_table(both: Replicas, row: tuple[str, ...]) -> None:
    do(both[0], row[0])
    do(both[1], row[1])
    both.exchange()
    path, _, text = row[2].partition(" is ")
    text = text.rpartition(": ")[0]
    assert both.agree(shown(*steps(path))) == text
    contested = both.agree(lambda state: len(list(conflicts.conflicts(state))))
    assert contested == (1 if "conflict" in row[2] or "MV.GET" in row[2] else 0)
    if contested:
        found = both.agree(beside(*steps(path + (".x" if "MV.GET" in row[2] else ""))))
        assert len(found) == 2 and found[0] == (text if "conflict" in row[2] else "3")


def test_a_model_of_one_replica() -> None:
    """Random commands on one replica do what they do to a plain value, in its order."""
    rng = Random(5)
    for seed in range(30):
        state = Replicas(1)[0]
        plain: Any = {"a": {"x": 1}, "l": [1, [2], {"y": 3}], "n": 5}
        documents.put(state, K, plain)
        for turn in range(60):
            if not isinstance(plain, dict):
                break
            places = list(walk(plain, []))
            path = rng.choice(places)
            node = at(state, *path)
            value = rng.choice([turn, f"t{turn}", {"q": turn, "p": []}, [turn, {"z": None}], {}, [], True])
            part = get(plain, path)
            if not path or rng.random() < 0.3:
                if isinstance(part, dict):
                    documents.merge(state, doc_of(state), node, {"m": value, "x": None})
                    part["m"] = merged(part.get("m"), value)
                    part.pop("x", None)
                elif isinstance(part, list):
                    index = rng.randrange(len(part) + 1)
                    documents.insert(state, doc_of(state), node, index, [value, turn])
                    part[index:index] = json.loads(json.dumps([value, turn]))
                elif isinstance(part, int) and not isinstance(part, bool):
                    documents.increase(state, doc_of(state), node, turn)
                    put(plain, path, part + turn)
            elif rng.random() < 0.5:
                documents.assign(state, doc_of(state), node, value)
                put(plain, path, json.loads(json.dumps(value)))
            else:
                documents.remove(state, doc_of(state), node)
                del get(plain, path[:-1])[path[-1]]
            if rng.random() < 0.3:
                state.cut()
            assert documents.text(state, doc_of(state).root).decode() == compact(plain), (seed, turn)


def walk(value: Any, path: list[str | int]) -> Any:
    yield path
    if isinstance(value, dict):
        for name, part in value.items():
            yield from walk(part, [*path, name])
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from walk(part, [*path, i])


def get(value: Any, path: list[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: list[str | int], new: Any) -> None:
    get(value, path[:-1])[path[-1]] = new


def merged(old: Any, patch: Any) -> Any:
    """RFC 7396, for patches without nulls but in arrays."""
    if not isinstance(patch, dict):
        return json.loads(json.dumps(patch))
    out = dict(old) if isinstance(old, dict) else {}
    for name, part in patch.items():
        out[name] = merged(out.get(name), part)
    return out


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- order and text


def test_members_keep_the_order_of_their_writer_on_every_replica(both: Replicas) -> None:
    names = ["z", "m", "a", "é", "", "B"]
    documents.put(both[0], K, dict.fromkeys(names, 0))
    both.exchange()
    documents.assign(both[1], doc_of(both[1]), at(both[1], "m"), 1)  # in its place
    documents.add(both[1], doc_of(both[1]), at(both[1]), b"new", 2)  # at the end
    both.exchange()
    assert both.agree(shown()) == '{"z":0,"m":1,"a":0,"é":0,"":0,"B":0,"new":2}'
    documents.put(both[0], K, {"B": 1, "a": 2, "z": 3})
    both.exchange()
    assert both.agree(shown()) == '{"B":1,"a":2,"z":3}'


def test_a_new_member_goes_before_one_that_only_its_parts_hold(both: Replicas) -> None:
    """Who added it showed it behind, as long as nothing else came, and all others before."""
    documents.put(both[0], K, {"y": [1]})
    both.exchange()
    documents.insert(both[1], doc_of(both[1]), at(both[1], "y"), 1, [2])
    documents.remove(both[0], doc_of(both[0]), at(both[0], "y"))
    documents.put(both[0], K, {})
    both.exchange()
    assert both.agree(shown()) == '{"y":[2]}'
    documents.add(both[0], doc_of(both[0]), at(both[0]), b"z", 3)
    assert read(both[0]) == {"z": 3, "y": [2]}
    both.exchange()
    assert both.agree(shown()) == '{"z":3,"y":[2]}'


def test_styles(both: Replicas) -> None:
    documents.put(both[0], K, {"a": [1, {}], "b": {"c": []}})
    style = Style(b"  ", b"\n", b" ")
    text = documents.text(both[0], doc_of(both[0]).root, style).decode()
    assert text == '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": {\n    "c": []\n  }\n}'


def test_where() -> None:
    state = Replicas(1)[0]
    documents.put(state, K, {"a": [{"b c": {'q"\\': [0, 1]}}], "x_1": {"-": 5}})
    assert documents.where(at(state, "a", 0, "b c", 'q"\\', 1)) == b'$.a[0]["b c"]["q\\"\\\\"][1]'
    assert documents.where(at(state, "x_1")) == b"$.x_1"
    assert documents.where(at(state, "x_1", "-")) == b'$.x_1["-"]'
    assert documents.where(at(state)) == b"$"


# -- numbers


def test_numbers(both: Replicas) -> None:
    state, doc = both[0], doc_of(both[0])
    n = at(state, "n")
    assert documents.increase(state, doc, n, 3) == b"8"
    assert documents.increase(state, doc, n, 0.5) == b"8.5"
    assert documents.increase(state, doc, n, 0.5) == b"9.0"
    documents.assign(state, doc, n, 0.1)
    assert documents.increase(state, doc, n, 0.2) == b"0.30000000000000004"
    assert documents.increase(state, doc, n, 1) == b"1.3"
    documents.assign(state, doc, n, 1)
    assert documents.increase(state, doc, n, 2.0) == b"3.0"
    assert documents.kind(state, n) == "number"
    both.exchange()
    assert both.agree(shown("n")) == "3.0"


def test_sums_of_floats_do_not_depend_on_the_order_of_arrival() -> None:
    three = Replicas(3)
    documents.put(three[0], K, {"n": 0.1})
    three.exchange()
    for i, by in enumerate((1e16, -1e16, 0.2)):
        documents.increase(three[i], doc_of(three[i]), at(three[i], "n"), by)
    three.exchange()
    texts = {documents.text(state, at(state, "n")) for state in three.states}
    assert len(texts) == 1


def test_integers_stay_within_64_bits_on_one_replica_and_may_pass_them_together(both: Replicas) -> None:
    for state in both.states:
        documents.increase(state, doc_of(state), at(state, "n"), (1 << 63) - 6)
        with pytest.raises(OverflowedError):
            documents.increase(state, doc_of(state), at(state, "n"), 1)
    both.exchange()
    assert both.agree(shown("n")) == str(5 + 2 * ((1 << 63) - 6))
    with pytest.raises(OverflowedError):
        documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 1)
    documents.assign(both[0], doc_of(both[0]), at(both[0], "n"), 1e308)
    with pytest.raises(UsageError):
        documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 1e308)
    assert documents.text(both[0], at(both[0], "n")) == b"1e308"


def test_a_set_takes_exactly_the_increments_that_it_saw(both: Replicas) -> None:
    documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 10)
    both.exchange()
    documents.assign(both[1], doc_of(both[1]), at(both[1], "n"), 100)
    documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 1)
    both.exchange()
    assert both.agree(shown("n")) == "101"
    documents.put(both[1], K, {"n": 7})
    documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 2)
    both.exchange()
    assert both.agree(shown()) == '{"n":9}'


def test_what_was_counted_under_a_text_is_a_conflict(both: Replicas) -> None:
    documents.assign(both[1], doc_of(both[1]), at(both[1], "n"), "text")
    documents.increase(both[0], doc_of(both[0]), at(both[0], "n"), 2)
    both.exchange()
    assert both.agree(shown("n")) == '"text"'
    assert both.agree(beside("n")) == ['"text"', "2"]


# -- values side by side


def test_siblings_and_contexts(both: Replicas) -> None:
    documents.assign(both[0], doc_of(both[0]), at(both[0], "a", "x"), 2)
    documents.assign(both[1], doc_of(both[1]), at(both[1], "a", "x"), 3)
    both.exchange()
    assert both.agree(beside("a", "x")) == ["3", "2"]
    found = documents.siblings(both[0], at(both[0], "a", "x"))
    assert [s.origin.name for s in found] == ["b", "a"] and found[0].time_ms == found[1].time_ms + 1
    (conflict,) = conflicts.conflicts(both[0])
    assert (conflict.field, conflict.type) == (b"$.a.x", "ReJSON-RL")
    context = documents.context(both[0], at(both[0], "a", "x"))
    documents.assign(both[1], doc_of(both[1]), at(both[1], "a", "x"), 4)
    both.exchange()
    documents.put_over(both[0], doc_of(both[0]), at(both[0], "a", "x"), 5, context)
    both.exchange()
    assert sorted(both.agree(beside("a", "x"))) == ["4", "5"]
    documents.assign(both[0], doc_of(both[0]), at(both[0], "a", "x"), 6)
    both.exchange()
    assert both.agree(beside("a", "x")) == ["6"]
    assert both.agree(lambda state: conflicts.count(state)) == 0


def test_a_context_covers_what_is_below(both: Replicas) -> None:
    context = documents.context(both[0], at(both[0]))
    documents.add(both[1], doc_of(both[1]), at(both[1], "a"), b"later", {"deep": [1]})
    both.exchange()
    documents.put_over(both[0], doc_of(both[0]), at(both[0]), {"new": [1], "a": {}}, context)
    both.exchange()
    assert both.agree(read) == {"new": [1], "a": {"later": {"deep": [1]}}}
    with pytest.raises(UsageError):
        documents.put_over(both[0], doc_of(both[0]), at(both[0]), 1, b"no context")


def test_a_conflict_of_kinds_is_settled_by_who_writes(both: Replicas) -> None:
    do(both[0], 'SET $.b {"x":[1]}')
    do(both[1], 'SET $.b ["y"]')
    both.exchange()
    assert both.agree(shown("b")) == '{"x":[1]}'
    assert both.agree(beside("b")) == ['{"x":[1]}', '["y"]']
    documents.assign(both[1], doc_of(both[1]), at(both[1], "b"), "one")
    both.exchange()
    assert both.agree(beside("b")) == ['"one"']
    assert both.agree(lambda state: conflicts.count(state)) == 0


# -- the key


def test_copies_and_renames(both: Replicas) -> None:
    keyspace.copy(both[0], K, b"copy")
    keyspace.rename(both[0], K, b"moved")
    both.exchange()
    for key in (b"copy", b"moved"):
        doc = documents.document(both[1], key)
        assert doc is not None and documents.value(both[1], doc.root) == BEFORE
    assert documents.document(both[1], K) is None


def test_other_types(both: Replicas) -> None:
    strings.put(both[0], b"s", b"v")
    for call in (documents.document, lambda state, key: documents.put(state, key, 1)):
        with pytest.raises(WrongTypeError):
            call(both[0], b"s")
    strings.put(both[0], K, b"v")
    both.exchange()
    assert both.agree(lambda state: strings.get(state, K)) == b"v"


def test_what_is_too_deep_changes_nothing(both: Replicas) -> None:
    state, doc = both[0], doc_of(both[0])
    value: Any = 1
    for _ in range(DEPTH - 1):
        value = [value]
    state.cut()
    before = documents.text(state, doc.root), state.seq
    calls = [
        lambda: documents.put(state, K, [[value]]),
        lambda: documents.assign(state, doc, at(state, "a", "x"), value),
        lambda: documents.add(state, doc, at(state, "a"), b"new", value),
        lambda: documents.insert(state, doc, at(state, "l"), 0, [1, [value]]),
        lambda: documents.merge(state, doc, at(state), {"q": {"q": value}}),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert before == (documents.text(state, doc.root), state.seq)
    documents.add(state, doc, at(state), b"deep", value)
    both.exchange()
    assert both.agree(lambda s: documents.text(s, at(s, "deep"))).count(b"[") == DEPTH - 1


def test_elements_of_concurrent_runs_stay_together(both: Replicas) -> None:
    for state, first in zip(both.states, (10, 20), strict=True):
        for i in range(5):  # one by one, in the middle
            documents.insert(state, doc_of(state), at(state, "l"), 1 + i, [first + i])
    both.exchange()
    found = both.agree(read)["l"]
    runs = found[1:6], found[6:11]
    assert sorted(runs) == [list(range(10, 15)), list(range(20, 25))]
    assert (found[0], found[-1]) == (1, 2)
