"""CLIENT: the connections of this server, seen and managed by each other.

Knows sessions and the server's table of them. Must not know sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from crdt.errors import UsageError
from daemon.api.arguments import SYNTAX, integer, printable
from daemon.api.commands.connection import check_name
from daemon.api.registry import command
from daemon.api.session import CLOSING, QUIET, Session

_PLAIN = ("noscript", "loading", "stale")
_ADMIN = ("admin", *_PLAIN)
_TYPES = frozenset({"normal", "master", "replica", "slave", "pubsub"})
_POSITIVE = "ERR client-id should be greater than 0"


@command("CLIENT ID", arity=2, flags=_PLAIN, group="connection", summary="Return the ID of the current connection.")
def client_id(session: Session, args: list[bytes]) -> bytes:
    """The number of this connection; never used again by another."""
    return session.resp.integer(session.id)


@command("CLIENT SETNAME connection-name", arity=3, flags=_PLAIN, group="connection", summary="Name this connection.")
def client_setname(session: Session, args: list[bytes]) -> bytes:
    """Name this connection; an empty name takes it away."""
    check_name(args[2])
    session.name = args[2]
    return session.resp.ok


@command("CLIENT GETNAME", arity=2, flags=_PLAIN, group="connection", summary="Return the name of this connection.")
def client_getname(session: Session, args: list[bytes]) -> bytes:
    """The name or nil."""
    return session.resp.bulk(session.name) if session.name else session.resp.null


@command(
    "CLIENT SETINFO LIB-NAME libname | LIB-VER libver",
    arity=4,
    flags=_PLAIN,
    group="connection",
    summary="Say which client library this is.",
)
def client_setinfo(session: Session, args: list[bytes]) -> bytes:
    """As in Redis 7.2, because client libraries send it at once."""
    attribute = args[2].lower().decode("latin-1")
    if attribute not in session.library:
        raise UsageError(f"ERR Unrecognized option '{printable(args[2])}'")
    if any(not 0x21 <= byte <= 0x7E for byte in args[3]):
        raise UsageError(f"ERR {attribute} cannot contain spaces, newlines or special characters.")
    session.library[attribute] = args[3]
    return session.resp.ok


@command(
    "CLIENT REPLY ON | OFF | SKIP",
    arity=3,
    flags=_PLAIN,
    group="connection",
    summary="Control the replies sent to the current connection.",
)
def client_reply(session: Session, args: list[bytes]) -> bytes:
    """ON answers OK, OFF silences the connection, SKIP the next reply; pushes still come."""
    mode = args[2].lower()
    quiet = bool(session.gate & QUIET)
    if mode == b"on":
        session.gate &= ~QUIET
        session.skip = 0
        return session.resp.ok
    if mode == b"off":
        session.gate |= QUIET
        session.skip = 0
    elif mode == b"skip":
        if not quiet or session.skip:
            # While already skipping, dispatch counts this request itself as well.
            session.gate |= QUIET
            session.skip = 2 if quiet else 1
    else:
        raise UsageError(SYNTAX)
    return b""


@command("CLIENT NO-EVICT ON | OFF", arity=3, flags=_ADMIN, group="connection", summary="Accepted; nothing is evicted.")
def client_no_evict(session: Session, args: list[bytes]) -> bytes:
    """Shown in CLIENT LIST, without any effect."""
    return _switch(session, args[2], "e")


@command("CLIENT NO-TOUCH ON | OFF", arity=3, flags=_PLAIN, group="connection", summary="Accepted; reads leave no trace.")
def client_no_touch(session: Session, args: list[bytes]) -> bytes:
    """As in Redis 7.2: shown in CLIENT LIST, without any effect."""
    return _switch(session, args[2], "T")


def _switch(session: Session, value: bytes, flag: str) -> bytes:
    match value.lower():
        case b"on":
            session.flags.add(flag)
        case b"off":
            session.flags.discard(flag)
        case _:
            raise UsageError(SYNTAX)
    return session.resp.ok


# -- seeing


@command("CLIENT INFO", arity=2, flags=_PLAIN, group="connection", summary="Describe the current connection.")
def client_info(session: Session, args: list[bytes]) -> bytes:
    """One line as in CLIENT LIST."""
    return session.resp.verbatim(_line(session) + b"\n")


@command(
    "CLIENT LIST [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]",
    arity=-2,
    flags=_ADMIN,
    group="connection",
    summary="Describe the open connections.",
)
def client_list(session: Session, args: list[bytes]) -> bytes:
    """A line per connection."""
    sessions: Iterable[Session] = session.server.sessions.values()
    option = args[2].lower() if len(args) > 2 else b""
    if option == b"type" and len(args) == 4:
        kind = _type(args[3])
        sessions = [other for other in sessions if _kind(other) == kind]
    elif option == b"id" and len(args) > 3:
        numbers = [integer(arg, "ERR Invalid client ID") for arg in args[3:]]
        table = session.server.sessions
        sessions = [table[number] for number in numbers if number in table]
    elif len(args) > 2:
        raise UsageError(SYNTAX)
    return session.resp.verbatim(b"".join([_line(other) + b"\n" for other in sessions]))


def _line(session: Session) -> bytes:
    """One connection as CLIENT LIST shows it. What Redis counts of its own memory has no meaning here and is 0."""
    now = time.monotonic()
    transaction = session.transaction
    fields = {
        "id": session.id,
        "addr": session.address,
        "laddr": session.local_address,
        "fd": session.wire.fileno(),
        "name": session.name.decode(),
        "age": int(now - session.created),
        "idle": int(now - session.active),
        "flags": _flags(session),
        "db": session.db.index,
        "sub": len(session.channels),
        "psub": len(session.patterns),
        "ssub": 0,
        "multi": -1 if transaction is None else len(transaction.queue),
        "qbuf": 0,
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": 0 if transaction is None else transaction.size,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": session.wire.pending(),
        "tot-mem": session.wire.pending(),
        "events": "r",
        "cmd": session.last.name if session.last is not None else "NULL",
        "user": "default",
        "redir": -1,
        "resp": session.resp.version,
        "lib-name": session.library["lib-name"].decode(),
        "lib-ver": session.library["lib-ver"].decode(),
    }
    return " ".join([f"{name}={value}" for name, value in fields.items()]).encode()


def _flags(session: Session) -> str:
    """Redis's letters, in its order."""
    letters = {
        "O": session.monitoring,
        "P": bool(session.subscriptions),
        "x": session.transaction is not None,
        "b": session.parking is not None,
        "d": session.stale,
        "c": bool(session.gate & CLOSING),
        "U": session.address.startswith("/"),
        "e": "e" in session.flags,
        "T": "T" in session.flags,
    }
    return "".join([letter for letter, shown in letters.items() if shown]) or "N"


def _type(arg: bytes) -> str:
    name = arg.lower().decode("latin-1")
    if name not in _TYPES:
        raise UsageError(f"ERR Unknown client type '{printable(arg)}'")
    return "replica" if name == "slave" else name


def _kind(session: Session) -> str:
    """Redis counts a monitor among the replicas."""
    return "replica" if session.monitoring else "pubsub" if session.subscriptions else "normal"


# -- ending


@command(
    "CLIENT KILL ip:port | <[ID client-id] | [TYPE type] | [USER username] | [ADDR addr] | [LADDR laddr] | [SKIPME YES | NO]>",
    arity=-3,
    flags=_ADMIN,
    group="connection",
    summary="Close connections.",
)
def client_kill(session: Session, args: list[bytes]) -> bytes:
    """The old form answers OK or an error, the form with filters the number of connections closed."""
    sessions = list(session.server.sessions.values())
    if len(args) == 3:
        found = [other for other in sessions if other.address == args[2].decode("latin-1")]
        if not found:
            raise UsageError("ERR No such client")
        _kill(found[0], session)
        return session.resp.ok
    tests, skip_me = _filters(args)
    count = 0
    for other in sessions:
        if (other is session and skip_me) or not all(test(other) for test in tests):
            continue
        _kill(other, session)
        count += 1
    return session.resp.integer(count)


def _filters(args: list[bytes]) -> tuple[list[Callable[[Session], bool]], bool]:
    tests: list[Callable[[Session], bool]] = []
    skip_me = True
    for at in range(2, len(args), 2):
        if at + 1 == len(args):
            raise UsageError(SYNTAX)
        option, value = args[at].lower(), args[at + 1]
        text = value.decode("latin-1")
        match option:
            case b"id":
                tests.append(lambda other, n=integer(value, _POSITIVE, low=1): other.id == n)  # type: ignore[misc]
            case b"type":
                tests.append(lambda other, kind=_type(value): _kind(other) == kind)  # type: ignore[misc]
            case b"addr":
                tests.append(lambda other, text=text: other.address == text)  # type: ignore[misc]
            case b"laddr":
                tests.append(lambda other, text=text: other.local_address == text)  # type: ignore[misc]
            case b"user":
                if value != b"default":
                    raise UsageError(f"ERR No such user '{printable(value)}'")
            case b"skipme":
                if value.lower() not in (b"yes", b"no"):
                    raise UsageError(SYNTAX)
                skip_me = value.lower() == b"yes"
            case _:
                raise UsageError(SYNTAX)
    return tests, skip_me


def _kill(victim: Session, by: Session) -> None:
    if victim is by:
        victim.close_after_reply()
    else:
        victim.wire.abort()


@command(
    "CLIENT UNBLOCK client-id [TIMEOUT | ERROR]",
    arity=-3,
    flags=_ADMIN,
    group="connection",
    summary="End the wait of another connection.",
)
def client_unblock(session: Session, args: list[bytes]) -> bytes:
    """1 if the connection was waiting, else 0."""
    if len(args) > 4:
        raise UsageError(SYNTAX)
    error = False
    if len(args) == 4:
        if args[3].lower() not in (b"timeout", b"error"):
            raise UsageError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        error = args[3].lower() == b"error"
    other = session.server.sessions.get(integer(args[2]))
    return session.resp.integer(int(other is not None and other.unblock(error)))


