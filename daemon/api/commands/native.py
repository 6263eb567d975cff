"""Commands without an equivalent in Redis: values side by side, grow-only sets and counters, flags.

Knows their replies as they are fixed in the contract. Bad arguments answer as Redis does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

from crdt.errors import UsageError
from crdt.state import State
from crdt.types import counters, documents, flags, hashes, keyspace, sets, strings
from crdt.types.jsontext import parse
from crdt.types.jsontree import JsonEntry
from crdt.types.strings import Sibling
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.documents import json_set
from daemon.api.jsonpath import compile_path
from daemon.api.registry import command
from daemon.api.resp import Resp
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
ZERO: Final = b":0\r\n"
ONE: Final = b":1\r\n"


# -- values side by side


@command(
    "MV.GET key [field or path]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="native",
    summary="Get every value that concurrent writers left in a string, field or JSON leaf, and a context for MV.SET",
)
def mv_get(session: Session, args: list[bytes]) -> bytes:
    state, resp = session.db.state, session.resp
    if len(args) > 3:
        raise UsageError(SYNTAX)
    context, found = _siblings(state, args[1], args[2] if len(args) == 3 else None)
    if found is None:
        return resp.null
    session.db.show_dots()
    values = siblings_reply(resp, found)
    return resp.map([(resp.bulk(b"context"), resp.bulk(_printed(context))), (resp.bulk(b"siblings"), values)])


def _siblings(state: State, key: bytes, where: bytes | None) -> tuple[bytes, list[Sibling] | None]:
    """A context for a string, a field of a hash or a place of a document, and what stands there; None for nothing."""
    if where is None:
        return strings.context(state, key), strings.siblings(state, key)
    entry = state.keys.get(key)
    if not isinstance(entry, JsonEntry):
        return hashes.context(state, key, where), hashes.siblings(state, key, where)
    places = compile_path(where).find(state, entry.root)
    return (documents.context(state, places[0]), documents.siblings(state, places[0])) if places else (b"", None)


def _printed(context: bytes) -> bytes:
    """A context in ASCII: many clients read every reply as UTF-8, and people paste it into a command line."""
    return base64.urlsafe_b64encode(context).rstrip(b"=")


def _context(printed: bytes) -> bytes:
    """Inverse of `_printed`. Raises UsageError."""
    try:
        return base64.b64decode(printed + b"=" * (-len(printed) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise UsageError("ERR invalid context, use the one that MV.GET returned") from None


def siblings_reply(resp: Resp, siblings: Iterable[Sibling]) -> bytes:
    """Values side by side: what, by whom, when."""
    return resp.array([_sibling(resp, sibling) for sibling in siblings])


def _sibling(resp: Resp, sibling: Sibling) -> bytes:
    return resp.map(
        [
            (resp.bulk(b"value"), resp.bulk(sibling.value)),
            (resp.bulk(b"origin"), resp.bulk(str(sibling.origin).encode())),
            (resp.bulk(b"time"), resp.integer(sibling.time_ms)),
        ]
    )


@command(
    "MV.SET key [FIELD field] value [CONTEXT context]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="native",
    summary="Replace exactly the values that a context of MV.GET covers",
)
def mv_set(session: Session, args: list[bytes]) -> bytes:
    db, key = session.db, args[1]
    field, value, context = _mv_words(args[2:])
    doc = None if field is None else db.state.keys.get(key)
    if field is not None and isinstance(doc, JsonEntry):
        return _mv_set_place(session, key, doc, field, value, context)
    if field is None:
        if context is None:
            strings.put(db.state, key, value)
        else:
            strings.put_over(db.state, key, value, context)
    elif context is None:
        hashes.put(db.state, key, [(field, value)])
    else:
        hashes.put_over(db.state, key, field, value, context)
    if db.observed:
        db.touch(key, "set" if field is None else "hset")
    return OK


def _mv_set_place(
    session: Session, key: bytes, doc: JsonEntry, where: bytes, value: bytes, context: bytes | None
) -> bytes:
    """MV.SET on the place of a document; without a context, or where nothing is yet, as JSON.SET."""
    state = session.db.state
    places = compile_path(where).find(state, doc.root)
    if context is None or not places:
        return json_set(session, [b"JSON.SET", key, where, value])
    documents.put_over(state, doc, places[0], parse(value), context)
    if session.db.observed:
        session.db.touch(key, "json.set")
    return OK


def _mv_words(words: list[bytes]) -> tuple[bytes | None, bytes, bytes | None]:
    """(field, value, context) of MV.SET, read from the left: `FIELD a b` is a field even if `a` reads CONTEXT."""
    field = context = None
    if len(words) > 2 and words[0].upper() == b"FIELD":
        field, words = words[1], words[2:]
    if len(words) == 3 and words[1].upper() == b"CONTEXT":
        context, words = _context(words[2]), words[:1]
    if len(words) != 1:
        raise UsageError(SYNTAX)
    return field, words[0], context


# -- grow-only sets


@command(
    "GSET.ADD key member [member ...]",
    arity=-3,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Add one or more members to a grow-only set",
)
def gset_add(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    added = sets.add(db.state, args[1], args[2:], sets.GROW)
    if added and db.observed:
        db.touch(args[1], "sadd")
    return session.resp.integer(added)


@command(
    "GSET.MEMBERS key",
    arity=2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="native",
    summary="Get all the members of a grow-only set",
)
def gset_members(session: Session, args: list[bytes]) -> bytes:
    return session.resp.set(sets.live(session.db.state, args[1], sets.GROW))


@command(
    "GSET.ISMEMBER key member",
    arity=3,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Determine if a given value is a member of a grow-only set",
)
def gset_ismember(session: Session, args: list[bytes]) -> bytes:
    return ONE if sets.contains(session.db.state, args[1], args[2], sets.GROW) else ZERO


@command(
    "GSET.CARD key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Get the number of members in a grow-only set",
)
def gset_card(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(sets.size(session.db.state, args[1], sets.GROW))


# -- grow-only counters


@command(
    "GCOUNT.INCR key [increment]",
    arity=-2,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Increment a grow-only counter",
)
def gcount_incr(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        raise UsageError(SYNTAX)
    db = session.db
    total = counters.grow(db.state, args[1], integer(args[2]) if len(args) == 3 else 1)
    if db.observed:
        db.touch(args[1], "incrby")
    return session.resp.integer(total)


@command(
    "GCOUNT.GET key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Get the value of a grow-only counter",
)
def gcount_get(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(counters.grown(session.db.state, args[1]))


# -- flags


@command(
    "FLAG.ENABLE key",
    arity=2,
    flags=("write", "denyoom", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Enable a flag; wins over a concurrent FLAG.DISABLE",
)
def flag_enable(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if not flags.enable(db.state, args[1]):
        return ZERO
    if db.observed:
        db.touch(args[1], "set")
    return ONE


@command(
    "FLAG.DISABLE key",
    arity=2,
    flags=("write", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Disable a flag",
)
def flag_disable(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if not flags.disable(db.state, args[1]):
        return ZERO
    if db.observed:
        db.touch(args[1], "set")
        if not keyspace.exists(db.state, args[1]):
            db.touch(args[1], "del")
    return ONE


@command(
    "FLAG.GET key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Determine if a flag is enabled",
)
def flag_get(session: Session, args: list[bytes]) -> bytes:
    return ONE if flags.enabled(session.db.state, args[1]) else ZERO
