"""TEXT.*: texts that several edit at once, counted in Unicode code points.

Knows their replies as they are fixed in the contract. Bad arguments answer as Redis does.
"""

from __future__ import annotations

from typing import Final

from crdt.errors import UsageError
from crdt.types import texts
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.lists import announce_removal, span
from daemon.api.registry import command
from daemon.api.session import Session

NOT_TEXT: Final = "ERR value is not valid UTF-8"


@command(
    "TEXT.INSERT key index text",
    arity=4,
    flags=("write", "denyoom"),
    keys=(1, 1, 1),
    group="native",
    summary="Insert into a text before the code point with this index; returns the new length",
)
def text_insert(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    index = integer(args[2])
    try:
        text = args[3].decode()
    except UnicodeDecodeError:
        raise UsageError(NOT_TEXT) from None
    length = texts.insert(db.state, args[1], index, text)
    if text and db.observed:
        db.touch(args[1], "text.insert")
    return session.resp.integer(length)


@command(
    "TEXT.DELETE key index count",
    arity=4,
    flags=("write",),
    keys=(1, 1, 1),
    group="native",
    summary="Remove code points from a text; returns how many",
)
def text_delete(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    index = integer(args[2])
    removed = texts.delete(db.state, args[1], index, integer(args[3], "ERR value is out of range, must be positive", 0))
    if removed:
        announce_removal(db, args[1], "text.delete")
    return session.resp.integer(removed)


@command(
    "TEXT.GET key [start end]",
    arity=-2,
    flags=("readonly",),
    keys=(1, 1, 1),
    group="native",
    summary="Get a text, or a part of it counted in code points as by GETRANGE",
)
def text_get(session: Session, args: list[bytes]) -> bytes:
    if len(args) not in (2, 4):
        raise UsageError(SYNTAX)
    state, resp = session.db.state, session.resp
    start, end = (integer(args[2]), integer(args[3])) if len(args) == 4 else (0, -1)
    text = texts.get(state, args[1], *span(start, end, texts.size(state, args[1])))
    return resp.null if text is None else resp.bulk(text)


@command(
    "TEXT.LEN key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="native",
    summary="Get the length of a text in code points",
)
def text_len(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(texts.size(session.db.state, args[1]))
