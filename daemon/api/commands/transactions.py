"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: several commands as one.

Knows a session's queue and its watched keys. Promises that the commands of one EXEC run without anything in between and
in one space, so that they become one frame: other replicas see all of them or none. Must not know frames.
"""

from __future__ import annotations

from crdt.errors import UsageError
from daemon.api.dispatch import feed_monitors, invoke
from daemon.api.registry import Command, command, resolve
from daemon.api.resp import array_header
from daemon.api.session import MONITORED, QUEUING, Session, Transaction

_FLAGS = ("noscript", "loading", "stale", "fast", "allow_busy")
_ABORTED = "EXECABORT Transaction discarded because of previous errors."
_SPACES = "EXECABORT Transaction discarded because it writes to more than one space."


@command("MULTI", arity=1, flags=_FLAGS, group="transactions", summary="Mark the start of a transaction block")
def multi(session: Session, args: list[bytes]) -> bytes:
    """From now on commands are queued for EXEC."""
    if session.transaction is not None:
        raise UsageError("ERR MULTI calls can not be nested")
    session.transaction = Transaction()
    session.gate |= QUEUING
    return session.resp.ok


@command("DISCARD", arity=1, flags=_FLAGS, group="transactions", summary="Discard all commands issued after MULTI")
def discard(session: Session, args: list[bytes]) -> bytes:
    """Forget the queue and the watched keys."""
    if session.transaction is None:
        raise UsageError("ERR DISCARD without MULTI")
    session.discard()
    return session.resp.ok


@command(
    "EXEC",
    arity=1,
    flags=("noscript", "loading", "stale", "skip_slowlog"),
    group="transactions",
    summary="Execute all commands issued after MULTI",
)
def exec_(session: Session, args: list[bytes]) -> bytes:
    """The replies of all queued commands; nil if a watched key has changed."""
    transaction = session.transaction
    if transaction is None:
        raise UsageError("ERR EXEC without MULTI")
    stale = session.stale
    session.discard()
    if transaction.failed:
        raise UsageError(_ABORTED)
    if stale:
        return session.resp.null_array
    if _spaces_written(session, transaction) > 1:
        raise UsageError(_SPACES)
    replies = []
    session.executing = True
    try:
        for entry, queued in transaction.queue:
            replies.append(invoke(session, entry, queued))
            if session.gate & MONITORED:
                feed_monitors(session, resolve(queued) or entry, queued)
    finally:
        session.executing = False
    return array_header(len(replies)) + b"".join(replies)


def _spaces_written(session: Session, transaction: Transaction) -> int:
    """How many spaces the queued commands would write to, judged by SELECT, COPY ... DB and FLUSHALL."""
    current = session.db.index
    spaces = len(session.hub.databases)
    written: set[int] = set()
    for entry, args in transaction.queue:
        if entry.name == "select":
            current = _number(args[1], spaces, current)
        elif entry.name == "flushall":
            written.update(range(spaces))
        elif entry.write:
            written.add(_target(entry, args, spaces, current))
    return len(written)


def _target(entry: Command, args: list[bytes], spaces: int, current: int) -> int:
    """The space that one command writes to: COPY may name another than the selected one."""
    if entry.name == "copy":
        for at in range(3, len(args) - 1):
            if args[at].lower() == b"db":
                return _number(args[at + 1], spaces, current)
    return current


def _number(arg: bytes, spaces: int, current: int) -> int:
    """The space that SELECT `arg` leads to; one that it refuses changes nothing."""
    return int(arg) if arg.isdigit() and len(arg) < 10 and int(arg) < spaces else current


@command(
    "WATCH key [key ...]",
    arity=-2,
    flags=_FLAGS,
    keys=(1, -1, 1),
    group="transactions",
    summary="Watch the given keys to determine execution of the MULTI/EXEC block",
)
def watch(session: Session, args: list[bytes]) -> bytes:
    """EXEC will answer nil if one of the keys changes before, by a client here or by a peer."""
    if session.transaction is not None:
        raise UsageError("ERR WATCH inside MULTI is not allowed")
    if not session.stale:
        for key in args[1:]:
            session.watched[session.db, key] = None
            session.db.watch(key, session)
    return session.resp.ok


@command("UNWATCH", arity=1, flags=_FLAGS, group="transactions", summary="Forget about all watched keys")
def unwatch(session: Session, args: list[bytes]) -> bytes:
    """EXEC no longer depends on any key."""
    session.unwatch()
    return session.resp.ok
