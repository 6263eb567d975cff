"""MULTI, EXEC, DISCARD, WATCH, UNWATCH.

EXEC runs its queue in one turn of the loop, so it becomes part of one frame: other replicas see all of it or none.
WATCH fails on changes by clients of this daemon and by peers alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api.dispatch import invoke_queued
from daemon.api.registry import command
from daemon.api.session import QUEUING, Transaction

if TYPE_CHECKING:
    from daemon.api.session import Session

OK = b"+OK\r\n"
FLAGS = ("fast", "noscript", "loading", "stale", "allow_busy")
SEVERAL_SPACES = "EXECABORT Transaction discarded because it writes to more than one space, which no frame can carry"


@command(
    "MULTI",
    arity=1,
    flags=FLAGS,
    group="transactions",
    summary="Starts a transaction.",
)
def multi(session: Session, args: list[bytes]) -> bytes:
    if session.transaction is not None:
        raise UsageError("ERR MULTI calls can not be nested")
    session.transaction = Transaction()
    session.gate |= QUEUING
    return OK


@command(
    "DISCARD",
    arity=1,
    flags=FLAGS,
    group="transactions",
    summary="Discards a transaction.",
)
def discard(session: Session, args: list[bytes]) -> bytes:
    if session.transaction is None:
        raise UsageError("ERR DISCARD without MULTI")
    session.discard()
    return OK


@command(
    "EXEC",
    arity=1,
    flags=("noscript", "loading", "stale", "skip_slowlog"),
    group="transactions",
    summary="Executes all commands in a transaction.",
)
def exec_(session: Session, args: list[bytes]) -> bytes:
    transaction = session.transaction
    if transaction is None:
        raise UsageError("ERR EXEC without MULTI")
    stale = session.stale
    if transaction.failed:
        session.discard()
        raise UsageError("EXECABORT Transaction discarded because of previous errors.")
    if stale:
        session.discard()
        return session.resp.null_array
    if _writes_to_several(session, transaction):
        session.discard()
        raise UsageError(SEVERAL_SPACES)
    session.discard()
    session.executing = True
    replies: list[bytes] = []
    size, limit = 0, session.hub.limits.reply_buffer
    try:
        for entry, request in transaction.queue:
            reply = invoke_queued(session, entry, request)
            size += len(reply)
            if size <= limit:
                replies.append(reply)
            if entry.write:
                session.note_write()
    finally:
        session.executing = False
    for db in session.hub.databases:
        db.serve()
    if size > limit:  # all of it has run, but nobody could be told
        session.server.drown(session)
        return b""
    return session.resp.array(replies)


def _writes_to_several(session: Session, transaction: Transaction) -> bool:
    """Whether the queue would write to more than one space: by SELECT, by COPY ... DB or by FLUSHALL."""
    count = len(session.hub.databases)
    spaces: set[int] = set()
    selected = session.db.index
    for entry, request in transaction.queue:
        if entry.name == "select":
            selected = _number(request[1], count, selected)
        elif entry.name == "flushall":
            spaces.update(range(count))
        elif entry.name == "copy":
            named = [at for at in range(3, len(request) - 1) if request[at].lower() == b"db"]
            # The last one counts; a word that could be the number of the one before makes the request fail anyway.
            spaces.add(_number(request[named[-1] + 1], count, selected) if named else selected)
        elif entry.write:
            spaces.add(selected)
    return len(spaces) > 1


def _number(text: bytes, count: int, otherwise: int) -> int:
    """The space that `text` names; a request that names none fails and changes nothing."""
    return int(text) if text.isdigit() and len(text) < 10 and int(text) < count else otherwise


@command(
    "WATCH key [key ...]", arity=-2, flags=FLAGS, keys=(1, -1, 1),
    group="transactions", summary="Monitors changes to keys to determine the execution of a transaction.",
)  # fmt: skip
def watch(session: Session, args: list[bytes]) -> bytes:
    if session.transaction is not None:
        raise UsageError("ERR WATCH inside MULTI is not allowed")
    for key in args[1:]:
        if (session.db, key) not in session.watched:
            session.watched[session.db, key] = None
            session.db.watch(key, session)
    return OK


@command(
    "UNWATCH",
    arity=1,
    flags=FLAGS,
    group="transactions",
    summary="Forgets about watched keys.",
)
def unwatch(session: Session, args: list[bytes]) -> bytes:
    session.unwatch()
    return OK
