"""Commands on JSON arrays.

Knows what RedisJSON 2.6 answers. Indexes count from the end if negative; most are brought into the array.
"""

from __future__ import annotations

from crdt.errors import UsageError
from crdt.types import documents
from crdt.types.jsonnode import Node
from crdt.types.jsontext import Value, dump, parse
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.documents import (
    ROOT,
    Target,
    expected,
    first_of,
    legacy_absent,
    missing,
    path_of,
    target,
)
from daemon.api.jsonpath import compile_path
from daemon.api.registry import command
from daemon.api.session import Session

OUT_OF_BOUNDS = "ERR index out of bounds"


def _values(found: Target, texts: list[bytes]) -> list[Value]:
    """The values of a command, checked to fit into every array that it means."""
    values = [parse(text) for text in texts]
    found.check_size(sum(map(len, texts)))
    for _, node in found.of("array"):
        documents.check_elements(node, values)
    return values


@command(
    "JSON.ARRAPPEND key path value [value ...]",
    arity=-4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Appends one or more JSON values into the array at path after the last element in it",
)
def json_arrappend(session: Session, args: list[bytes]) -> bytes:
    found = target(session, args[1], args[2])
    values = _values(found, args[3:])

    def append(node: Node) -> bytes:
        documents.insert(found.state, found.doc, node, documents.size(node), values)
        return session.resp.integer(documents.size(node))

    done = found.change(found.of("array"), append)
    if done:
        found.touch("json.arrappend")
    return found.answers(done)


@command(
    "JSON.ARRINSERT key path index value [value ...]",
    arity=-5,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="json",
    summary="Inserts JSON values into the array at path before the index",
)
def json_arrinsert(session: Session, args: list[bytes]) -> bytes:
    index = integer(args[3])
    found = target(session, args[1], args[2])
    values = _values(found, args[4:])
    places = found.of("array")
    for _, node in places:
        if not -documents.size(node) <= index <= documents.size(node):
            raise UsageError(OUT_OF_BOUNDS)

    def insert(node: Node) -> bytes:
        size = documents.size(node)
        documents.insert(found.state, found.doc, node, min(index, size) if index >= 0 else max(size + index, 0), values)
        return session.resp.integer(documents.size(node))

    done = found.change(places, insert)
    if done:
        found.touch("json.arrinsert")
    return found.answers(done)


@command(
    "JSON.ARRPOP key [path [index]]",
    arity=-2,
    flags=("write",),
    keys=(1, 1, 1),
    group="json",
    summary="Removes and returns the element at the specified index in the array at path",
)
def json_arrpop(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 4:
        raise UsageError(SYNTAX)
    index = integer(args[3]) if len(args) == 4 else -1
    found = target(session, args[1], args[2] if len(args) > 2 else ROOT)
    resp = session.resp
    popped = []

    def pop(node: Node) -> bytes:
        size = documents.size(node)
        if not size:
            return resp.null
        (element,) = documents.elements(node, at := _inside(index, size), at + 1)
        text = documents.text(found.state, element)
        documents.take(found.state, found.doc, [element])
        popped.append(element)
        return resp.bulk(text)

    done = found.change(found.of("array"), pop)
    if popped:
        found.touch("json.arrpop")
    return found.answers(done)


def _inside(index: int, size: int) -> int:
    """An index brought into an array that is not empty."""
    return max(size + index, 0) if index < 0 else min(index, size - 1)


@command(
    "JSON.ARRTRIM key path start stop",
    arity=5,
    flags=("write",),
    keys=(1, 1, 1),
    group="json",
    summary="Trims the array at path to contain only the specified inclusive range of indices from start to stop",
)
def json_arrtrim(session: Session, args: list[bytes]) -> bytes:
    start, stop = integer(args[3]), integer(args[4])
    found = target(session, args[1], args[2])

    def trim(node: Node) -> bytes:
        size = documents.size(node)
        last = _inside(stop, size) if size else -1
        first = _inside(start, size) if size and start < size else last + 1
        if first > last:
            first = size
        outside = documents.elements(node, 0, first) + documents.elements(node, max(first, last + 1), size)
        documents.take(found.state, found.doc, outside)
        return session.resp.integer(documents.size(node))

    done = found.change(found.of("array"), trim)
    if done:
        found.touch("json.arrtrim")
    return found.answers(done)


@command(
    "JSON.ARRLEN key [path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the length of the array at path",
)
def json_arrlen(session: Session, args: list[bytes]) -> bytes:
    if legacy_absent(session, args):
        return session.resp.null
    other = first_of(session, args, "array")
    if other is not None:
        raise UsageError(missing(compile_path(path_of(args)), "array" if other else ""))
    found = target(session, args[1], path_of(args))
    if found.path.legacy:
        return session.resp.integer(documents.size(found.nodes[0]))
    sizes = [(i, session.resp.integer(documents.size(node))) for i, node in found.of("array")]
    return found.answers(sizes)


@command(
    "JSON.ARRINDEX key path value [start [stop]]",
    arity=-4,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="json",
    summary="Returns the index of the first occurrence of a JSON value in the array at path",
)
def json_arrindex(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 6:
        raise UsageError(SYNTAX)
    start = integer(args[4]) if len(args) > 4 else 0
    stop = integer(args[5]) if len(args) > 5 else 0
    wanted = parse(args[3])
    if documents.document(session.db.state, args[1]) is None:
        raise UsageError(missing(compile_path(args[2])))
    found = target(session, args[1], args[2])
    if found.path.legacy and found.kinds[:1] != ["array"]:
        raise UsageError(expected("array", found.kinds[0]) if found.kinds else missing(found.path))
    places = found.of("array")[: 1 if found.path.legacy else None]
    return found.answers([(i, session.resp.integer(_first(found, node, wanted, start, stop))) for i, node in places])


def _first(found: Target, node: Node, wanted: Value, start: int, stop: int) -> int:
    """Where the value stands first in start <= index < stop; a stop of 0 is the end. -1: nowhere."""
    size = documents.size(node)
    if not size:
        return -1
    first = _inside(start, size)
    last = size if stop == 0 else max(size + stop, 0) if stop < 0 else min(stop, size)
    text = dump(wanted)
    scalar = not isinstance(wanted, (list, dict))
    for at, element in enumerate(documents.elements(node, first, max(first, last)), first):
        if documents.text(found.state, element) == text:
            return at
        if not scalar and documents.equals(found.state, element, wanted):
            return at
    return -1
