"""Random JSON commands, put to fakeredis and to us: what both understand must do the same to the same documents.

fakeredis is no RedisJSON. Where it does otherwise than the documentation (and RedisJSON itself) says, the documentation
wins, and the commands stay out of the comparison:

    paths            fakeredis
    `$..x`, `$.x[0]` a write reaches some places or none, or crashes; a SET under `$..` may never return
    legacy           answers arrays, or null where there is an error; names in brackets are not found if not ASCII
    no such place    an error where the documentation has an empty array
    JSON.GET         an array that is the only match loses a level; keys of several paths are spelled anew
    JSON.MERGE       a null adds a member, nothing is merged below the first level
    JSON.SET         a member is added to what is no object; `null` counts as nothing; a missing key is made at any path
    JSON.ARRINSERT   an index out of bounds is brought into the array
    JSON.ARRINDEX    objects and arrays are not found, true is found as 1
    JSON.ARRPOP      the JSON value null cannot be popped; an index out of bounds is a crash
    JSON.ARRTRIM     a start behind the stop leaves an element
    JSON.CLEAR       the root is not cleared; what is empty or 0 already is counted
    JSON.STRLEN      characters are counted, not bytes of UTF-8
    JSON.MGET        values without the array of a `$` path
"""

from __future__ import annotations

import json
import random
import re
from typing import Any, Final

import fakeredis
import pytest

from crdt.types import documents
from crdt.types.jsonnode import Node
from daemon.api.dispatch import execute
from daemon.api.session import Session
from tests.oracle import Hub, open_session, reply
from tests.random_documents import KEYS, Documents

NUMBER, TEXT, ARRAY, OBJECT = {"integer", "number"}, {"string"}, {"array"}, {"object"}
COMPARED: dict[bytes, set[str]] = {
    b"JSON.SET": {"object", "array", "string", "integer", "number", "boolean", "null"},
    b"JSON.DEL": {"object", "array", "string", "integer", "number", "boolean", "null"},
    b"JSON.TYPE": {"object", "array", "string", "integer", "number", "boolean", "null"},
    b"JSON.CLEAR": {"object", "array", "integer", "number"},
    b"JSON.NUMINCRBY": NUMBER, b"JSON.STRAPPEND": TEXT, b"JSON.STRLEN": TEXT, b"JSON.TOGGLE": {"boolean"},
    b"JSON.OBJKEYS": OBJECT, b"JSON.OBJLEN": OBJECT, b"JSON.ARRAPPEND": ARRAY, b"JSON.ARRINSERT": ARRAY,
    b"JSON.ARRPOP": ARRAY, b"JSON.ARRLEN": ARRAY, b"JSON.ARRINDEX": ARRAY, b"JSON.ARRTRIM": ARRAY,
}  # fmt: skip
"""Command -> kinds of places for which both mean the same."""


def value(found: Any) -> Any:
    """A reply of ours by its meaning: JSON texts as values."""
    kind, content = found
    if isinstance(content, list):
        return [value(item) for item in content]
    if content is None or kind == "_":
        return None
    return int(content) if kind == ":" else "error" if kind == "-" else loaded(content)


def loaded(answer: Any) -> Any:
    """A reply of theirs by its meaning."""
    if isinstance(answer, list):
        return [loaded(item) for item in answer]
    if not isinstance(answer, bytes):
        return answer
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode()


PLAIN: Final = re.compile(rb"\$(\.[a-z]+)*").fullmatch


class Trial:
    """Both sides, and what has been compared."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.make = Documents(self.rng)
        self.session: Session = open_session(Hub(seed=seed))
        self.fake: Any = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer(), protocol=2)
        self.fake.response_callbacks.clear()
        self.compared: dict[bytes, int] = {}

    def ours(self, *words: bytes) -> Any:
        return value(reply(execute(self.session, list(words))))

    def theirs(self, *words: bytes) -> Any:
        try:
            return loaded(self.fake.execute_command(*words))
        except fakeredis._commands.SimpleError:
            return "error"

    def aim(self, words: list[bytes]) -> bool:
        """Let the command mean a place for which both mean the same; False if there is none."""
        if words[0] not in COMPARED or words[1] not in KEYS or len(words) < 3:
            return False
        state = self.session.db.state
        doc = documents.document(state, words[1])
        assert doc is not None
        places = [node for node in doc.root.below() if node.live and PLAIN(documents.where(node))]
        places = [
            node for node in places if documents.kind(state, node) in COMPARED[words[0]] and self.fits(words, node)
        ]
        if not places:
            return False
        words[2] = documents.where(self.rng.choice(places))
        return True

    def fits(self, words: list[bytes], node: Node) -> bool:
        """Whether both mean the same by the command at this place."""
        state = self.session.db.state
        if words[0] in (b"JSON.SET", b"JSON.DEL", b"JSON.CLEAR"):
            whole = node.parent is None or (words[0] == b"JSON.CLEAR" and not documents.value(state, node))
            return not whole and b"NX" not in words[3:] and documents.value(state, node) is not None
        if words[0] == b"JSON.ARRINSERT":
            return abs(int(words[3])) < documents.size(node)
        if words[0] in (b"JSON.STRAPPEND", b"JSON.STRLEN"):
            return documents.text(state, node).isascii() and b"\\u" not in words[-1] and words[-1].isascii()
        if words[0] == b"JSON.ARRINDEX":
            return words[3][:1] == b'"' and len(words) == 4
        if words[0] == b"JSON.ARRTRIM":
            return 0 <= int(words[3]) <= int(words[4])
        if words[0] == b"JSON.ARRPOP":
            elements = documents.value(state, node)
            return None not in elements and (abs(int(words[3])) if len(words) > 3 else 0) < len(elements)
        return True

    def step(self) -> None:
        """One command, and what both hold afterwards. Raises AssertionError."""
        for key in KEYS:
            if self.ours(b"JSON.TYPE", key, b".") != "object":
                document = self.make.document()
                self.ours(b"JSON.SET", key, b"$", document)
                self.theirs(b"JSON.SET", key, b"$", document)
        words = self.make()
        if not self.aim(words):
            return
        self.compared[words[0]] = self.compared.get(words[0], 0) + 1
        before = self.ours(b"JSON.GET", words[1], b"$")
        mine, other = self.ours(*words), self.theirs(*words)
        if words[0] == b"JSON.OBJKEYS":
            mine, other = sorted(mine[0]), sorted(other[0])
        assert mine == other, (words, before)
        assert self.ours(b"JSON.GET", words[1], b"$") == self.theirs(b"JSON.GET", words[1], b"$"), (words, before)


def test_random_sequences() -> None:
    compared: dict[bytes, int] = {}
    for seed in range(40):
        trial = Trial(seed)
        for _ in range(150):
            trial.step()
        for name, count in trial.compared.items():
            compared[name] = compared.get(name, 0) + count
    assert compared.keys() == COMPARED.keys() and sum(compared.values()) > 500, compared


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "take", lambda state, doc, nodes: None)
    with pytest.raises(AssertionError):
        test_random_sequences()
