"""JSON documents: commands on places of any kind.

Knows what RedisJSON 2.6 answers: a `$` path has an array of answers, a legacy path one answer, or an error where it
leads nowhere. Commands on places of one kind: json_values.py, json_arrays.py; they build on this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from crdt.errors import UsageError
from crdt.state import State
from crdt.types import documents, keyspace
from crdt.types.documents import COMPACT, Style
from crdt.types.jsonnode import Node
from crdt.types.jsontext import Value, dump, parse
from crdt.types.jsontree import JsonEntry
from daemon.api.arguments import SYNTAX
from daemon.api.jsonpath import Path, compile_path
from daemon.api.registry import command
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
NO_KEY: Final = "ERR could not perform this operation on a key that doesn't exist"
NOT_ROOT: Final = "ERR new objects must be created at the root"
ROOT: Final = b"."
OPTIONS: Final = {b"INDENT": "indent", b"NEWLINE": "newline", b"SPACE": "space"}


class Target:
    """The places that a path means in one document, which is there."""

    def __init__(self, session: Session, key: bytes, doc: JsonEntry, path: Path) -> None:
        self.session = session
        self.key = key
        self.doc = doc
        self.path = path
        self.state: State = session.db.state
        self.nodes = path.find(self.state, doc.root)
        self.kinds = [documents.kind(self.state, node) for node in self.nodes]

    def of(self, *kinds: str) -> list[tuple[int, Node]]:
        """The places of these kinds, with their numbers among all. Raises UsageError if a legacy path finds none."""
        found = [(i, node) for i, (node, kind) in enumerate(zip(self.nodes, self.kinds, strict=True)) if kind in kinds]
        if self.path.legacy and not found:
            raise UsageError(missing(self.path, kinds[0]))
        return found

    def answers(self, found: list[tuple[int, bytes]]) -> bytes:
        """Encoded answers by number: an array, null for places of another kind; for a legacy path the last alone."""
        if self.path.legacy:
            return found[-1][1]
        replies = [self.session.resp.null] * len(self.nodes)
        for i, answer in found:
            replies[i] = answer
        return self.session.resp.array(replies)

    def change(self, places: Iterable[tuple[int, Node]], act: Callable[[Node], bytes]) -> list[tuple[int, bytes]]:
        """Do something at each of the places that is still there when its turn comes; the answers."""
        out: list[tuple[int, bytes]] = []
        for i, place in places:
            node = documents.again(self.doc, place)
            out.append((i, self.session.resp.null if node is None else act(node)))
        return out

    def check_size(self, size: int) -> None:
        """Raise UsageError where one short request would write more than a transaction may."""
        limit = self.session.hub.limits.transaction
        if size * len(self.nodes) > limit:
            raise UsageError(f"ERR {len(self.nodes)} times {size} bytes exceed limits.transaction ({limit})")

    def touch(self, event: str) -> None:
        """Say that the document has changed."""
        changed(self.session, self.key, event)


_NAMED: Final = {
    "boolean": "not a bool",
    "string": "not a string",
    "array": "not an array",
    "object": "not an object",
    "integer": "does not contains a number",  # RedisJSON's words
}


def missing(path: Path, kind: str = "") -> str:
    """RedisJSON's error text for a legacy path that leads nowhere, or to nothing of a kind."""
    return f"ERR Path '{path.full}' does not exist" + (f" or {_NAMED[kind]}" if kind else "")


def changed(session: Session, key: bytes, event: str) -> None:
    """A command ends: tell who watches or listens."""
    db = session.db
    if db.observed:
        db.touch(key, event)
        if not keyspace.exists(db.state, key):
            db.touch(key, "del")


def target(session: Session, key: bytes, path: bytes) -> Target:
    """The places of a path. Raises UsageError if there is no such key."""
    doc = documents.document(session.db.state, key)
    if doc is None:
        raise UsageError(NO_KEY)
    return Target(session, key, doc, compile_path(path))


def path_of(args: list[bytes], at: int = 2) -> bytes:
    """An optional path, the last argument. Raises UsageError if more follows."""
    if len(args) > at + 1:
        raise UsageError(SYNTAX)
    return args[at] if len(args) > at else ROOT


def legacy_absent(session: Session, args: list[bytes]) -> bool:
    """Whether a legacy path is asked of a key that does not exist: then the answer is null."""
    absent = documents.document(session.db.state, args[1]) is None
    return absent and compile_path(path_of(args)).legacy


def first_of(session: Session, args: list[bytes], kind: str) -> str | None:
    """The kind of the first place of a legacy path on an existing key, if it is not the wanted one; "" for no place."""
    path = compile_path(path_of(args))
    if not path.legacy:
        return None
    found = target(session, args[1], path_of(args))
    if not found.kinds:
        return ""
    return None if found.kinds[0] == kind else found.kinds[0]


def expected(kind: str, found: str) -> str:
    """RedisJSON's error text for a place of another kind."""
    return f"WRONGTYPE wrong type of path value - expected {kind} but found {found}"


# -- whole values


@command(
    "JSON.SET key path value [NX | XX]",
    arity=-4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Sets or updates the JSON value at a path",
)
def json_set(session: Session, args: list[bytes]) -> bytes:
    condition = args[4].upper() if len(args) == 5 else b""
    if len(args) > 5 or condition not in (b"", b"NX", b"XX"):
        raise UsageError(SYNTAX)
    state, key, resp = session.db.state, args[1], session.resp
    doc = documents.document(state, key)
    value, path = parse(args[3]), compile_path(args[2])
    if doc is None:
        if condition == b"XX":
            return resp.null
        if not path.is_root():
            raise UsageError(NOT_ROOT)
        documents.put(state, key, value)
    elif path.is_root():
        if condition == b"NX":
            return resp.null
        documents.put(state, key, value)
    elif not _set(session, key, doc, path, value, condition):
        return resp.null
    changed(session, key, "json.set")
    return OK


def _set(session: Session, key: bytes, doc: JsonEntry, path: Path, value: Value, condition: bytes) -> bool:
    """Replace what the path means, or else add the member that it names; whether anything was written."""
    state = session.db.state
    found = Target(session, key, doc, path)
    if found.nodes:
        if condition == b"NX":
            return False
        found.check_size(len(dump(value)))
        for node in found.nodes:
            documents.check_place(node, value)
        written = found.change(enumerate(found.nodes), lambda node: _assigned(state, doc, node, value))
        return bool(written)
    return condition != b"XX" and _add(state, doc, path, value)


def _assigned(state: State, doc: JsonEntry, node: Node, value: Value) -> bytes:
    documents.assign(state, doc, node, value)
    return OK


def _add(state: State, doc: JsonEntry, path: Path, value: Value) -> bool:
    """The member that a path names which leads nowhere. Raises UsageError where a path cannot create."""
    if not path.is_static():
        raise UsageError("ERR wrong static path")
    kind, names = path.steps[-1]
    if kind == "indexes":
        raise UsageError("ERR array index out of range")
    parents = [node for node in path.parents(state, doc.root) if node.is_object()]
    for parent in parents:  # one at most
        documents.add(state, doc, parent, names[0], value)
    return bool(parents)


@command(
    "JSON.GET key [INDENT indent] [NEWLINE newline] [SPACE space] [path [path ...]]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Gets the value at one or more paths in JSON serialized form",
)
def json_get(session: Session, args: list[bytes]) -> bytes:
    style, paths = _get_options(args[2:])
    state, resp = session.db.state, session.resp
    doc = documents.document(state, args[1])
    if doc is None:
        return resp.null
    legacy = all(path.legacy for path in paths)
    texts = _Texts(session, style)
    if len(paths) == 1:
        return resp.bulk(texts.one(doc, paths[0], legacy, 0))
    separator = b":" + style.space
    answers = {path.text: texts.one(doc, path, legacy, 1) for path in paths}
    return resp.bulk(style.wrap([dump(name) + separator + answer for name, answer in answers.items()], b"{}", 0))


def _get_options(words: list[bytes]) -> tuple[Style, list[Path]]:
    spelled: dict[str, bytes] = {}
    paths = []
    rest = iter(words)
    for word in rest:
        name = OPTIONS.get(word.upper())
        if name is not None:
            value = next(rest, None)
            if value is None:
                raise UsageError(SYNTAX)
            spelled[name] = value
        elif word.upper() != b"NOESCAPE":  # of RedisJSON 1: nothing is escaped that need not be
            paths.append(compile_path(word))
    style = Style(**spelled) if any(spelled.values()) else COMPACT
    return style, paths or [compile_path(ROOT)]


class _Texts:
    """The texts of one reply, which together stay below limits.reply_buffer."""

    def __init__(self, session: Session, style: Style = COMPACT) -> None:
        self.state = session.db.state
        self.limits = session.hub.limits
        self.style = style
        self.total = 0

    def one(self, doc: JsonEntry, path: Path, legacy: bool, depth: int) -> bytes:
        """What a path means: an array of everything, or if all are `legacy` the first. Raises UsageError."""
        nodes = path.find(self.state, doc.root)
        if legacy:
            if not nodes:
                raise UsageError(missing(path))
            return self._text(nodes[0], depth)
        return self.style.wrap([self._text(node, depth + 1) for node in nodes], b"[]", depth)

    def _text(self, node: Node, depth: int) -> bytes:
        text = documents.text(self.state, node, self.style, depth)
        self.total += len(text)
        self.limits.check_reply(self.total)
        return text


@command(
    "JSON.MGET key [key ...] path",
    arity=-3,
    flags=("readonly",),
    keys=(1, -2, 1),
    group="json",
    summary="Returns the values at a path from one or more keys",
)
def json_mget(session: Session, args: list[bytes]) -> bytes:
    path, resp = compile_path(args[-1]), session.resp
    texts = _Texts(session)
    replies = []
    for key in args[1:-1]:
        doc = session.db.state.keys.get(key)
        if not isinstance(doc, JsonEntry) or (path.legacy and not path.find(session.db.state, doc.root)):
            replies.append(resp.null)
        else:
            replies.append(resp.bulk(texts.one(doc, path, path.legacy, 0)))
    return resp.array(replies)


def _delete(session: Session, args: list[bytes]) -> bytes:
    path = compile_path(path_of(args))
    state, key = session.db.state, args[1]
    doc = documents.document(state, key)
    if doc is None:
        return session.resp.integer(0)
    nodes = dict.fromkeys(path.find(state, doc.root))
    inner = {node for node in nodes if _inside(node, nodes)}
    for node in nodes:
        if node not in inner:
            documents.remove(state, doc, node)
    if nodes:
        changed(session, key, "json.del")
    return session.resp.integer(len(nodes) - len(inner))


def _inside(node: Node, others: dict[Node, None]) -> bool:
    """Whether one of the others contains the node."""
    above = node.parent
    while above is not None:
        if above in others:
            return True
        above = above.parent
    return False


@command(
    "JSON.DEL key [path]",
    arity=-2,
    flags=("write",),
    keys=(1, 1, 1),
    group="json",
    summary="Deletes a value",
)
def json_del(session: Session, args: list[bytes]) -> bytes:
    return _delete(session, args)


@command(
    "JSON.FORGET key [path]",
    arity=-2,
    flags=("write",),
    keys=(1, 1, 1),
    group="json",
    summary="Deletes a value",
)
def json_forget(session: Session, args: list[bytes]) -> bytes:
    return _delete(session, args)


@command(
    "JSON.MERGE key path value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Merges a given JSON value into matching paths, as RFC 7396 says",
)
def json_merge(session: Session, args: list[bytes]) -> bytes:
    state, key = session.db.state, args[1]
    doc = documents.document(state, key)
    patch, path = parse(args[3]), compile_path(args[2])
    if doc is None:
        if not path.is_root():
            raise UsageError(NOT_ROOT)
        documents.put(state, key, patch)
    else:
        found = Target(session, key, doc, path)
        found.check_size(len(dump(patch)))
        for node in found.nodes:
            documents.check_place(node, patch)
        for place in found.nodes:
            still = documents.again(doc, place)
            if still is not None and patch is None and still is not doc.root:
                documents.remove(state, doc, still)  # as the documentation has it
            elif still is not None:
                documents.merge(state, doc, still, patch)
        if not found.nodes and not _add(state, doc, path, patch):
            return session.resp.null
    changed(session, key, "json.merge")
    return OK


@command(
    "JSON.CLEAR key [path]",
    arity=-2,
    flags=("write",),
    keys=(1, 1, 1),
    group="json",
    summary="Clears all values from an array or an object and sets numeric values at a path to 0",
)
def json_clear(session: Session, args: list[bytes]) -> bytes:
    found = target(session, args[1], path_of(args))
    full = [(i, node) for i, node in enumerate(found.nodes) if _clearable(found.state, node, found.kinds[i])]
    cleared = 0
    for i, place in full:  # what held it may have been cleared before
        still = documents.again(found.doc, place)
        if still is not None:
            empty: Value = {"object": {}, "array": []}.get(found.kinds[i], 0)
            documents.assign(found.state, found.doc, still, empty)
            cleared += 1
    if cleared:
        found.touch("json.clear")
    return session.resp.integer(cleared)


def _clearable(state: State, node: Node, kind: str) -> bool:
    if kind in ("object", "array"):
        return documents.size(node) > 0
    return bool(documents.amount(state, node))


@command(
    "JSON.TYPE key [path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the type of the JSON value at a path",
)
def json_type(session: Session, args: list[bytes]) -> bytes:
    path, resp = compile_path(path_of(args)), session.resp
    doc = documents.document(session.db.state, args[1])
    reply = resp.null
    if doc is not None:
        kinds = [resp.bulk(kind.encode()) for kind in Target(session, args[1], doc, path).kinds]
        reply = resp.array(kinds) if not path.legacy else kinds[0] if kinds else resp.null
    return reply if resp.version == 2 else resp.array([reply])
