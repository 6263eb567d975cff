"""Commands on the numbers, booleans, texts and objects of JSON documents.

Knows what RedisJSON 2.6 answers.
"""

from __future__ import annotations

from crdt.errors import UsageError
from crdt.types import documents
from crdt.types.jsonnode import Node
from crdt.types.jsontext import Value, dump, parse
from daemon.api.arguments import SYNTAX
from daemon.api.commands.documents import ROOT, expected, first_of, legacy_absent, missing, path_of, target
from daemon.api.jsonpath import compile_path
from daemon.api.registry import command
from daemon.api.session import Session


@command(
    "JSON.NUMINCRBY key path value",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Increments the numeric value at path by a value",
)
def json_numincrby(session: Session, args: list[bytes]) -> bytes:
    by = parse(args[3])
    if isinstance(by, bool) or not isinstance(by, (int, float)):
        raise UsageError("ERR bad input number")
    found = target(session, args[1], args[2])
    places = list(dict.fromkeys(found.of("integer", "number")))
    for _, node in places:
        documents.check_increase(found.state, node, by)
    done = [(i, documents.increase(found.state, found.doc, node, by)) for i, node in places]
    if done:
        found.touch("json.numincrby")
    if session.resp.version == 3:
        numbers = [session.resp.null] * len(found.nodes)
        for i, text in done:
            numbers[i] = _number(session, parse(text))
        return session.resp.array(numbers)
    if found.path.legacy:
        return session.resp.bulk(done[-1][1])
    texts = [b"null"] * len(found.nodes)
    for i, text in done:
        texts[i] = text
    return session.resp.bulk(b"[%b]" % b",".join(texts))


def _number(session: Session, value: Value) -> bytes:
    return session.resp.integer(value) if isinstance(value, int) else session.resp.double(value)


@command(
    "JSON.TOGGLE key path",
    arity=3,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Toggles a boolean value",
)
def json_toggle(session: Session, args: list[bytes]) -> bytes:
    found = target(session, args[1], args[2])
    resp = session.resp

    def toggle(node: Node) -> bytes:
        truth = not documents.value(found.state, node)
        documents.assign(found.state, found.doc, node, truth)
        return resp.bulk(dump(truth)) if found.path.legacy else resp.integer(truth)

    done = found.change(found.of("boolean"), toggle)
    if done:
        found.touch("json.toggle")
    return found.answers(done)


@command(
    "JSON.STRAPPEND key [path] value",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Appends a string to a JSON string value at path",
)
def json_strappend(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 4:
        raise UsageError(SYNTAX)
    found = target(session, args[1], args[2] if len(args) == 4 else ROOT)
    more = parse(args[-1])
    if not isinstance(more, str):
        what = args[-1].decode("utf-8", "surrogateescape")
        raise UsageError(f"WRONGTYPE wrong type of path value - expected string but found {what}")
    places = found.of("string")
    texts = [documents.value(found.state, node) + more for _, node in places]
    for text in texts:
        session.hub.limits.check_value(len(dump(text)))
    found.check_size(max(map(len, texts), default=0))

    def append(node: Node) -> bytes:
        text = documents.value(found.state, node) + more
        documents.assign(found.state, found.doc, node, text)
        return session.resp.integer(len(text.encode()))

    done = found.change(places, append)
    if done:
        found.touch("json.strappend")
    return found.answers(done)


def _measured(session: Session, args: list[bytes], kind: str) -> bytes:
    """The size of every place of a kind."""
    found = target(session, args[1], path_of(args))
    integer = session.resp.integer
    if kind == "string":
        sizes = [(i, integer(len(documents.value(found.state, node).encode()))) for i, node in found.of(kind)]
    else:
        sizes = [(i, integer(documents.size(node))) for i, node in found.of(kind)]
    return found.answers(sizes)


@command(
    "JSON.STRLEN key [path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the length of the JSON String at path in key",
)
def json_strlen(session: Session, args: list[bytes]) -> bytes:
    if legacy_absent(session, args):
        return session.resp.null
    other = first_of(session, args, "string")
    if other is not None:
        raise UsageError(expected("string", other) if other else missing(compile_path(path_of(args))))
    return _measured(session, args, "string")


# -- objects


@command(
    "JSON.OBJLEN key [path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the number of keys of the object at path",
)
def json_objlen(session: Session, args: list[bytes]) -> bytes:
    if legacy_absent(session, args):
        return session.resp.null
    other = first_of(session, args, "object")
    if other is not None:
        if not other:
            return session.resp.null
        raise UsageError(expected("object", other))
    return _measured(session, args, "object")


@command(
    "JSON.OBJKEYS key [path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the JSON keys of the object at path",
)
def json_objkeys(session: Session, args: list[bytes]) -> bytes:
    if legacy_absent(session, args):
        return session.resp.null
    other = first_of(session, args, "object")
    if other is not None:
        if not other:
            return session.resp.null
        raise UsageError(missing(compile_path(path_of(args)), "object"))
    found = target(session, args[1], path_of(args))
    names = [(i, [name for name, _ in documents.members(node)]) for i, node in found.of("object")]
    session.hub.limits.check_reply(sum([len(name) for _, some in names for name in some]))
    return found.answers([(i, session.resp.bulks(some)) for i, some in names])
