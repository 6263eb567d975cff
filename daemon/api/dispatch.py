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
from daemon.api.limits import Limits, key_too_long
from daemon.api.refused import RefusedRequest
from daemon.api.registry import TABLE, Command, lookup, resolve, unknown_subcommand, wrong_arity
from daemon.api.session import (
    CLOSING,
    LOADING,
    MONITORED,
    PARKED,
    QUIET,
    SUBSCRIBED,
    UNAUTHENTICATED,
    Session,
    Transaction,
)

log = logging.getLogger(__name__)

WHILE_LOADING: Final = frozenset({"hello", "auth", "ping", "quit"})
SUBSCRIPTIONS: Final = frozenset({"subscribe", "psubscribe", "unsubscribe", "punsubscribe"})
WHILE_SUBSCRIBED: Final = SUBSCRIPTIONS | {"ping", "quit", "reset"}
UNQUEUED: Final = frozenset({"exec", "discard", "multi", "watch", "quit", "reset"})
NO_AUTH: Final = "NOAUTH Authentication required."
QUEUED: Final = b"+QUEUED\r\n"
INTERNAL: Final = "ERR internal error, see the log of the daemon"
_find = TABLE.get


def run(session: Session, requests: list[list[bytes]]) -> bool:
    """Run requests in order, replies to `session.out`; those behind a parked one go to the backlog.

    Returns whether one of them may have written, so that the hub has to settle.
    """
    out = session.out
    wrote = False
    entry: Command | None = None
    name, size = b"", 0  # of the last request, 0: none; what was found for it holds for another one like it
    pending = iter(requests)
    for args in pending:
        if session.gate:
            if session.gate & (PARKED | CLOSING):
                session.backlog.append(args)
                session.backlog.extend(pending)
                break
            out.append(_gated(session, args))
            wrote = True  # Rare here; whether it did write is not worth finding out.
            entry = None
            size = 0
            continue
        if len(args) != size or args[0] != name:
            name = args[0]
            size = len(args)
            entry = _find(name)
            if entry is None or not entry.low <= size <= entry.high:
                if wrote:
                    session.note_write()  # what follows may be a WAIT
                out.append(_unusual(session, args))
                entry = lookup(name)
                wrote |= entry is not None and entry.write
                size = 0
                continue
            found = entry
            handler = found.handler
            if entry.write:
                wrote = True
            elif wrote and "blocking" in entry.flags:
                session.note_write()
        found.calls += 1
        try:
            out.append(handler(session, args))
        except UsageError as error:
            found.failed += 1
            out.append(session.resp.error(error.resp))
        except Exception:
            out.append(_defect(session, found))
    if entry is not None and not entry.subcommands:
        session.last_command = entry.name
    if wrote:
        session.note_write()
    return wrote


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


def refuse_long_keys(requests: list[list[bytes]], limits: Limits) -> None:
    """Replace the requests with a key beyond `limits.key` by their refusal; called where one may be that long."""
    for number, args in enumerate(requests):
        entry = resolve(args) if max(map(len, args)) > limits.key else None
        if entry is None:
            continue
        longest = max((len(args[position]) for position in entry.key_positions(args)), default=0)
        if longest > limits.key:
            requests[number] = RefusedRequest(key_too_long(longest, limits.key))


def execute(session: Session, args: list[bytes]) -> bytes:
    """One request to its reply, with all checks but none of `run`'s bookkeeping."""
    return _gated(session, args) if session.gate else _unusual(session, args)


# -- what may keep a request from running


def _gated(session: Session, args: list[bytes]) -> bytes:
    """A request of a session whose gate is not 0."""
    quiet = session.gate & QUIET
    entry = resolve(args)
    problem = _problem(args, entry)
    if problem is None and entry is not None:
        problem = _hindrance(session, entry)
    if problem is not None or entry is None:
        reply = _rejected(session, entry, problem or INTERNAL)
    elif session.transaction is not None and entry.name not in UNQUEUED:
        reply = _queue(session, session.transaction, entry, args)
    else:
        session.last_command = entry.name
        reply = invoke(session, TABLE[args[0].lower()], args)
        if entry.write:
            session.note_write()
        if session.gate & MONITORED:
            reply += feed_monitors(session, entry, args)
    if not quiet:
        return reply
    heard = _audible(session, reply)
    # Confirmations of subscriptions are pushes, which CLIENT REPLY does not silence.
    return reply if entry is not None and entry.name in SUBSCRIPTIONS else heard


def invoke_queued(session: Session, entry: Command, args: list[bytes]) -> bytes:
    """Run one request of a transaction."""
    if session.gate & CLOSING:
        return b""
    silent = session.gate & QUIET and not session.skip  # a SKIP within the transaction means what comes after it
    reply = invoke(session, entry, args)
    if session.gate & MONITORED:
        own = feed_monitors(session, resolve(args) or entry, args)
        if own:
            session.push(own)  # never within the reply of EXEC
    return b"" if silent and session.gate & QUIET else reply


def _hindrance(session: Session, entry: Command) -> str | None:
    """Why this session may not run a proper request now, in the order of Redis."""
    gate = session.gate
    if gate & UNAUTHENTICATED and "no_auth" not in entry.flags:
        return NO_AUTH
    if gate & SUBSCRIBED and session.resp.version == 2 and entry.name not in WHILE_SUBSCRIBED:
        return (
            f"ERR Can't execute '{entry.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
            "are allowed in this context"
        )
    if gate & LOADING:
        if session.hub.loading is None:
            session.gate &= ~LOADING
        elif entry.name not in WHILE_LOADING:
            return f"LOADING {session.hub.loading}"
    if session.monitoring and (entry.write or "readonly" in entry.flags or entry.name == "publish"):
        return "ERR Replica can't interact with the keyspace"
    return None


def _rejected(session: Session, entry: Command | None, problem: str) -> bytes:
    """Answer a request that does not run; a transaction it was meant for is spoilt."""
    if entry is not None and entry.name == "exec":
        session.discard()
        problem = f"EXECABORT Transaction discarded because of: {problem.removeprefix('ERR ')}"
    elif session.transaction is not None:
        session.transaction.failed = True
    return session.resp.error(problem)


def _audible(session: Session, reply: bytes) -> bytes:
    """Nothing where CLIENT REPLY OFF or SKIP, said before this request, keeps the client from hearing it."""
    if not session.gate & QUIET:
        return reply
    if session.skip:
        session.skip -= 1
        if session.skip == 0:
            session.gate &= ~QUIET
    return b""


def _queue(session: Session, transaction: Transaction, entry: Command, args: list[bytes]) -> bytes:
    """What MULTI does with a request: keep it for EXEC, within bounds."""
    if "no_multi" in entry.flags:
        transaction.failed = True
        return session.resp.error("ERR Command not allowed inside a transaction")
    transaction.size += sum(map(len, args))
    limit = session.hub.limits.transaction
    if transaction.size > limit:
        transaction.failed = True
        transaction.queue.clear()
        return session.resp.error(f"ERR transaction of {transaction.size} bytes exceeds limits.transaction ({limit})")
    if not transaction.failed:
        transaction.queue.append((TABLE[args[0].lower()], args))
    return QUEUED


def _unusual(session: Session, args: list[bytes]) -> bytes:
    """A request that the hot path did not take: a name in mixed case, or one that is refused."""
    entry = resolve(args)
    problem = _problem(args, entry)
    if problem is not None:
        return _rejected(session, entry, problem)
    entry = TABLE[args[0].lower()]
    if not entry.subcommands:
        session.last_command = entry.name
    return invoke(session, entry, args)


def _problem(args: list[bytes], entry: Command | None) -> str | None:
    """What is wrong with a request before anything of it runs; `entry` is what `resolve` says of it."""
    if isinstance(args, RefusedRequest):
        return args.error
    if entry is None:
        return unknown_command(args)
    if entry.subcommands and len(args) > 1:
        # `resolve` gives the container back only for a second word that it does not know.
        if args[1].lower() != b"help":
            return unknown_subcommand(entry, args[1])
        return None
    if not entry.low <= len(args) <= entry.high:
        return wrong_arity(entry)
    return None


def unknown_command(args: list[bytes]) -> str:
    """Redis's error text for a command that is not there; names and arguments shortened as Redis does."""
    shown = ""
    for arg in args[1:]:
        if len(shown) >= 128:
            break
        shown += f"'{printable(arg[: 128 - len(shown)])}' "
    return f"ERR unknown command '{printable(args[0][:128])}', with args beginning with: {shown}"


def _defect(session: Session, entry: Command) -> bytes:
    """A handler raised what it must not: our mistake. The client hears so, the log has the traceback."""
    log.exception("command %s failed; this is a defect, please report it with the traceback", entry.name)
    entry.failed += 1
    return session.resp.error(INTERNAL)


# -- MONITOR


def feed_monitors(session: Session, entry: Command, args: list[bytes]) -> bytes:
    """Show a command that has run to the clients that said MONITOR.

    Returns what goes behind the reply: the line, if the client watches itself, else nothing.
    """
    if "admin" in entry.flags:
        return b""
    now = time.time_ns() // 1000
    origin = f"{now // 1000000}.{now % 1000000:06d} [{session.db.index} {session.origin()}]"
    line = b"+%b %b\r\n" % (origin.encode(), b" ".join(_shown_words(entry, args)))
    for monitor in list(session.server.monitors):
        if monitor is not session:
            monitor.push(line)
    return line if session.monitoring and not session.gate & CLOSING else b""


def _shown_words(entry: Command, args: list[bytes]) -> list[bytes]:
    """The words of a command, passwords left out."""
    hidden: range = range(0)
    if entry.name == "auth":
        hidden = range(1, len(args))
    elif entry.name == "hello":
        found = [at for at, arg in enumerate(args) if at > 1 and arg.lower() == b"auth"]
        hidden = range(found[0] + 1, found[0] + 3) if found else hidden
    return [b'"(redacted)"' if at in hidden else quoted(arg) for at, arg in enumerate(args)]


_VISIBLE: Final = {
    byte: {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x07: b"\\a", 0x08: b"\\b"}.get(
        byte, bytes([byte]) if 0x20 <= byte < 0x7F else b"\\x%02x" % byte
    )
    for byte in range(256)
}


def quoted(arg: bytes) -> bytes:
    """An argument as Redis prints it for people (`sdscatrepr`)."""
    return b'"' + b"".join([_VISIBLE[byte] for byte in arg]) + b'"'
