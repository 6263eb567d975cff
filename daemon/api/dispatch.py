"""Requests to replies: the loop that every command runs through, and what may keep a request from running.

Knows the order in which Redis checks a request. Promises one reply per request, in order, and that an exception of a
handler ends in a reply, never in a lost connection. Must not know the commands themselves nor the socket.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from crdt.errors import UsageError
from daemon.api.arguments import printable
from daemon.api.limits import key_too_long
from daemon.api.registry import TABLE, Command, lookup, resolve, wrong_arity
from daemon.api.resp import RefusedRequest
from daemon.api.session import (
    CLOSING,
    LOADING,
    MONITORED,
    PARKED,
    QUEUING,
    QUIET,
    SUBSCRIBED,
    UNAUTHENTICATED,
    Session,
)

log = logging.getLogger(__name__)

WHILE_LOADING: Final = frozenset({"hello", "auth", "ping", "quit"})
WHILE_SUBSCRIBED: Final = frozenset({"subscribe", "psubscribe", "unsubscribe", "punsubscribe", "ping", "quit", "reset"})
UNQUEUED: Final = frozenset({"exec", "discard", "multi", "watch", "quit", "reset"})
SKIP_THIS: Final = 1
SKIP_NEXT: Final = 2
NO_AUTH: Final = "NOAUTH Authentication required."
INTERNAL: Final = "ERR internal error, see the log of the daemon"


def run(session: Session, requests: list[list[bytes]]) -> None:
    """Run requests in order; their replies are appended to `session.out`. Those behind a parked one go to the backlog."""
    get = TABLE.get
    add = session.out.append
    wrote = False
    pending = iter(requests)
    for args in pending:
        if session.gate:
            if session.gate & (PARKED | CLOSING):
                session.backlog.append(args)
                session.backlog.extend(pending)
                break
            add(_gated(session, args))
            wrote = True  # Rare here; whether it did write is not worth finding out.
            continue
        entry = get(args[0])
        if entry is None or not entry.low <= len(args) <= entry.high:
            add(_unusual(session, args))
            continue
        entry.calls += 1
        if entry.write:
            wrote = True
        try:
            add(entry.handler(session, args))
        except UsageError as error:
            entry.failed += 1
            add(session.resp.error(error.resp))
        except Exception:
            add(_defect(session, entry))
        session.last_command = entry.name
    if wrote:
        session.writes[session.db] = session.db.written()


def invoke(session: Session, entry: Command, args: list[bytes]) -> bytes:
    """Run one command whose arity was checked."""
    entry.calls += 1
    try:
        return entry.handler(session, args)
    except UsageError as error:
        entry.failed += 1
        return session.resp.error(error.resp)
    except Exception:
        return _defect(session, entry)


def execute(session: Session, args: list[bytes]) -> bytes:
    """One request to its reply, with all checks (the slow way; tests and the backlog use it)."""
    if session.gate:
        return _gated(session, args)
    entry = lookup(args[0])
    if entry is None or not entry.low <= len(args) <= entry.high:
        return _unusual(session, args)
    reply = invoke(session, entry, args)
    if entry.write:
        session.writes[session.db] = session.db.written()
    return reply
