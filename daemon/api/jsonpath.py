"""JSON paths: the two languages of RedisJSON, read and walked.

Knows the grammar (`$` paths: members, `[..]` lists, slices, `*`, `..`, filters; legacy paths: the same without `$`, and
`.` for the root) and walks a document's tree, so that a path costs what it visits and not what the document holds.
Promises: no path makes the daemon stand still: a walk ends with an error after MAX_VISITS places, filters nest up to
MAX_NESTING, regular expressions run in linear time. Must not know: sessions, replies, how documents are written.

Written here because no library fits: jsonpath-ng and python-jsonpath want plain lists and dicts (a copy of the
document for each command), know no legacy paths, use backtracking regular expressions, and differ from RedisJSON in
what a filter compares, in negative indexes and in which paths are "static", that is may create what they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from crdt.errors import UsageError
from crdt.state import State
from crdt.types import documents
from crdt.types.jsonnode import Node
from daemon.api.jsonregex import matches

MAX_VISITS: Final = 300_000
MAX_NESTING: Final = 64
CACHED: Final = 256  # a longer path is read anew each time
Step = tuple[str, Any]  # ("names", [bytes]) ("indexes", [int]) ("slice", (start, stop, step)) ("all", None)
# ("scan", None): what follows holds at each place below, too; ("filter", Term)
Term = tuple[Any, ...]
INVALID: Final = object()  # a term without exactly one value
_literal = re.compile(r"(?:[A-Za-z0-9_`~+#%$^/:-]|[^\x00-\x7f])+").match
_number = re.compile(r"-?(?:[1-9][0-9]*|[0-9])").match
_decimal = re.compile(r"-?(?:[1-9][0-9]*|[0-9])(?:\.[0-9]+)?").match
_quoted = re.compile(r'"((?:[^"\\]|\\["\\])*)"|' + r"'((?:[^'\\]|\\['\\])*)'").match
_escapes = re.compile(r"\\(.)")
_operator = re.compile(r"==|!=|>=|<=|=~|>|<").match


class Path:
    """One path as sent (`text`), whether it is legacy, the `$` path that it stands for (`full`), and its steps."""

    __slots__ = ("full", "legacy", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.legacy = not (text[:1] == "$" and text[1:2] in ("", ".", "["))
        self.full = text
        if self.legacy:
            self.full = "$" if text == "." else "$" + text if text[:1] == "." else "$." + text
        self.steps = _Reader(self.full).query()

    def is_root(self) -> bool:
        """Whether the path means the whole document."""
        return not self.steps

    def is_static(self) -> bool:
        """Whether the path names one place at most, so that it may be created."""
        return all(kind in ("names", "indexes") and len(names) == 1 for kind, names in self.steps)

    def find(self, state: State, root: Node) -> list[Node]:
        """The places that the path means, in its order. Raises UsageError where there are too many."""
        return _Walk(state, root).run(self.steps, root)

    def parents(self, state: State, root: Node) -> list[Node]:
        """The places that the path without its last step means."""
        return _Walk(state, root).run(self.steps[:-1], root)


def compile_path(text: bytes) -> Path:
    """A path from a client. Raises UsageError."""
    return _cached(text) if len(text) <= CACHED else _compile(text)


def _compile(text: bytes) -> Path:
    try:
        return Path(text.decode())
    except UnicodeDecodeError:
        raise UsageError("ERR invalid path: not valid UTF-8") from None


_cached = lru_cache(1024)(_compile)


# -- reading ----------------------------------------------------------------------------------------------------------


class _Reader:
    """One pass over a `$` path. Spaces count nowhere but in quotes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nesting = 0

    def fail(self, expected: str) -> UsageError:
        return UsageError(f"ERR invalid path: expected {expected} at position {self.at}")

    def skip(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def take(self, token: str) -> bool:
        """Whether the text goes on with a token; then it is behind us."""
        self.skip()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def want(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"'{token}'")

    def match(self, pattern: Callable[[str, int], re.Match[str] | None]) -> re.Match[str] | None:
        self.skip()
        found = pattern(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def query(self) -> list[Step]:
        """The whole text."""
        self.want("$")
        steps = self.steps()
        self.skip()
        if self.at < len(self.text):
            raise self.fail("'.', '..' or '['")
        return steps

    def steps(self) -> list[Step]:
        out: list[Step] = []
        while True:
            if self.take(".."):
                out.append(("scan", None))
                out.append(self.after_dot())
            elif self.take("."):
                out.append(self.after_dot())
            elif self.take("["):
                out.append(self.bracket())
            else:
                return out

    def after_dot(self) -> Step:
        if self.take("["):
            return self.bracket()
        if self.take("*"):
            return "all", None
        found = self.match(_literal)
        if found is None:
            raise self.fail("a name, '*' or '['")
        return "names", [found[0].encode()]

    def bracket(self) -> Step:
        """What stands between brackets, the closing one included."""
        step = self.bracketed()
        self.want("]")
        return step

    def bracketed(self) -> Step:
        if self.take("*"):
            return "all", None
        if self.take("?"):
            return "filter", self.either()
        self.skip()
        if self.text[self.at : self.at + 1] in ("'", '"'):
            names = [self.string().encode()]
            while self.take(","):
                names.append(self.string().encode())
            return "names", names
        first = self.integer()
        if self.take(":"):
            return "slice", self.slice(first)
        if first is None:
            raise self.fail("a name in quotes, an index, a slice, '*' or '?'")
        indexes = [first]
        while self.take(","):
            more = self.integer()
            if more is None:
                raise self.fail("an index")
            indexes.append(more)
        return "indexes", indexes

    def slice(self, start: int | None) -> tuple[int | None, int | None, int]:
        stop = self.integer()
        step = self.integer() if self.take(":") else None
        if step is not None and step < 1:
            raise self.fail("a step above 0")
        return start, stop, step or 1

    def integer(self) -> int | None:
        found = self.match(_number)
        if found is not None and len(found[0]) > 19:
            raise self.fail("an index of 64 bits")
        return None if found is None else int(found[0])

    def string(self) -> str:
        found = self.match(_quoted)
        if found is None:
            raise self.fail("a name in quotes")
        inner = found[1] if found[1] is not None else found[2]
        return _escapes.sub(r"\1", inner) if "\\" in inner else inner

    # -- filters

    def either(self) -> Term:
        """`&&` binds tighter than `||`."""
        terms = [self.both()]
        while self.take("||"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else ("or", terms)

    def both(self) -> Term:
        terms = [self.single()]
        while self.take("&&"):
            terms.append(self.single())
        return terms[0] if len(terms) == 1 else ("and", terms)

    def single(self) -> Term:
        if self.take("("):
            self.nesting += 1
            if self.nesting > MAX_NESTING:
                raise self.fail(f"at most {MAX_NESTING} parentheses")
            inner = self.either()
            self.want(")")
            self.nesting -= 1
            return inner
        left = self.term()
        found = self.match(_operator)
        return ("exists", left) if found is None else ("compare", found[0], left, self.term())

    def term(self) -> Term:
        if self.take("@"):
            return "current", self.nested()
        if self.take("$"):
            return "root", self.nested()
        self.skip()
        if self.text[self.at : self.at + 1] in ("'", '"'):
            return "value", self.string()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.take(word):
                return "value", value
        found = self.match(_decimal)
        if found is None:
            raise self.fail("'@', '$', a text, a number, true, false or null")
        return "value", float(found[0]) if "." in found[0] or len(found[0]) > 20 else int(found[0])

    def nested(self) -> list[Step]:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.fail(f"at most {MAX_NESTING} filters in each other")
        steps = self.steps()
        self.nesting -= 1
        return steps


# -- walking ----------------------------------------------------------------------------------------------------------


class _Walk:
    """One evaluation of a path over a document."""

    def __init__(self, state: State, root: Node) -> None:
        self.state = state
        self.root = root
        self.visits = 0

    def run(self, steps: list[Step], start: Node) -> list[Node]:
        """Where the steps lead from a place."""
        if not steps:
            return [start]
        out: list[Node] = []
        stack = [(start, 0)]
        while stack:
            node, at = stack.pop()
            if at == len(steps):
                out.append(node)
                continue
            found = list(self.step(steps[at], node))
            if steps[at][0] == "scan":
                # What follows holds here first, then at each part and below it.
                stack += [(part, at) for part in reversed(found)]
                stack.append((node, at + 1))
            else:
                stack += [(part, at + 1) for part in reversed(found)]
            self.visits += len(found) + 1
            if self.visits > MAX_VISITS:
                raise UsageError(f"ERR path visits more than {MAX_VISITS} values")
        return out

    def step(self, step: Step, node: Node) -> Iterator[Node]:
        """The places that one step leads to."""
        kind, what = step
        if kind == "names":
            if node.is_object():
                found = (documents.member(node, name) for name in what)
                yield from (child for child in found if child is not None)
        elif kind in ("scan", "all"):
            yield from documents.parts(node)
        elif kind == "filter":
            parts = documents.parts(node) if node.is_object() or node.is_array() else [node]
            yield from (part for part in parts if self.holds(what, part))
        elif not node.is_object() and node.is_array():
            yield from self.indexed(kind, what, node)

    def indexed(self, kind: str, what: Any, node: Node) -> list[Node]:
        size = documents.size(node)
        if kind == "slice":
            start, stop, step = what
            last = size if stop is None else _index(stop, size)
            return documents.elements(node, _index(start or 0, size), last)[::step]
        places = [_index(index, size) for index in what]
        return [documents.elements(node, place, place + 1)[0] for place in places if place < size]

    def holds(self, filter: Term, node: Node) -> bool:
        """Whether a filter lets a place through."""
        kind = filter[0]
        if kind == "or":
            return any(self.holds(part, node) for part in filter[1])
        if kind == "and":
            return all(self.holds(part, node) for part in filter[1])
        if kind == "exists":
            return self.evaluate(filter[1], node) is not INVALID
        left, right = self.evaluate(filter[2], node), self.evaluate(filter[3], node)
        if isinstance(left, Node) and isinstance(right, Node):
            left, right = documents.value(self.state, left), documents.value(self.state, right)
        return compare(filter[1], left, right)

    def evaluate(self, term: Term, node: Node) -> Any:
        """The value of a term at a place, a container as its place; INVALID if it leads to none or to several."""
        kind, what = term
        if kind == "value":
            return what
        found = self.run(what, node if kind == "current" else self.root)
        if len(found) != 1:
            return INVALID
        place = found[0]
        return place if place.is_object() or place.is_array() else documents.value(self.state, place)


def _index(index: int, size: int) -> int:
    """Counted from the end if negative, and never outside."""
    return min(index, size) if index >= 0 else max(index + size, 0)


def compare(operator: str, left: Any, right: Any) -> bool:
    """As RedisJSON compares: numbers with numbers, texts with texts by their bytes; what else differs in kind never."""
    if operator == "=~":
        return isinstance(left, str) and isinstance(right, str) and matches(right, left)
    if operator == "==":
        return equal(left, right)
    if operator == "!=":
        return not equal(left, right)
    kind = _family(left)
    if kind != _family(right) or kind in ("", "container"):
        return False
    if kind == "null":
        return operator in (">=", "<=")
    if kind == "text":
        left, right = left.encode(), right.encode()
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    return bool(left > right) if operator == ">" else bool(left >= right)


def _family(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "" if value is INVALID else "container"


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; true is not 1, 1 is 1.0."""
    kind = _family(left)
    if not kind or kind != _family(right):
        return False
    if kind != "container":
        return bool(left == right)
    if isinstance(left, dict):
        same = isinstance(right, dict) and left.keys() == right.keys()
        return same and all(equal(part, right[name]) for name, part in left.items())
    return isinstance(right, list) and len(left) == len(right) and all(map(equal, left, right))
