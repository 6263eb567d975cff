"""CLIENT: what one connection may know of, and do to, itself and the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.connection import client_name
from daemon.api.registry import command
from daemon.api.session import MONITORED, PARKED, QUIET

if TYPE_CHECKING:
    from daemon.api.session import Session

OK = b"+OK\r\n"
FLAGS = ("noscript", "loading", "stale")
KINDS = (b"normal", b"master", b"replica", b"slave", b"pubsub")


def describe(session: Session) -> str:
    """A line of CLIENT LIST."""
    now = time.monotonic()
    flags = "".join(
        letter
        for letter, on in (
            ("O", session.monitoring),
            ("P", bool(session.channels or session.patterns)),
            ("x", session.transaction is not None),
            ("b", bool(session.gate & PARKED)),
            ("d", session.stale),
            ("U", session.address.startswith("/")),
            ("e", "no-evict" in session.flags),
            ("T", "no-touch" in session.flags),
        )
        if on
    )
    queued = -1 if session.transaction is None else len(session.transaction.queue)
    fields = {
        "id": session.id,
        "addr": session.address,
        "laddr": session.local_address,
        "fd": 0,
        "name": session.name.decode("utf-8", "surrogateescape"),
        "age": int(now - session.created),
        "idle": int(now - session.active),
        "flags": flags or "N",
        "db": session.db.index,
        "sub": len(session.channels),
        "psub": len(session.patterns),
        "ssub": 0,
        "multi": queued,
        "qbuf": 0,
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": 0 if session.transaction is None else session.transaction.size,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": 0,
        "tot-mem": 0,
        "events": "r",
        "cmd": session.last_command,
        "user": "default",
        "redir": -1,
        "resp": session.resp.version,
        **{name: value.decode("utf-8", "surrogateescape") for name, value in session.library.items()},
    }
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _lines(sessions: list[Session]) -> bytes:
    return "".join(describe(session) + "\n" for session in sessions).encode("utf-8", "surrogateescape")


@command(
    "CLIENT ID", arity=2, flags=FLAGS, group="connection", summary="Returns the unique client ID of the connection."
)
def client_id(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(session.id)


@command("CLIENT INFO", arity=2, flags=FLAGS, group="connection", summary="Returns information about the connection.")
def client_info(session: Session, args: list[bytes]) -> bytes:
    return session.resp.verbatim(_lines([session]))


@command(
    "CLIENT LIST [TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]", arity=-2, flags=("admin", *FLAGS),
    group="connection", summary="Lists open connections.",
)  # fmt: skip
def client_list(session: Session, args: list[bytes]) -> bytes:
    sessions = list(session.server.sessions.values())
    options = args[2:]
    if len(options) == 2 and options[0].upper() == b"TYPE":
        kind = options[1].lower()
        if kind not in KINDS:
            raise UsageError(f"ERR Unknown client type '{options[1].decode('utf-8', 'surrogateescape')}'")
        sessions = [one for one in sessions if _kind(one) == _canonical(kind)]
    elif len(options) > 1 and options[0].upper() == b"ID":
        wanted = {integer(text, "ERR Invalid client ID") for text in options[1:]}
        sessions = [one for one in sessions if one.id in wanted]
    elif options:
        raise UsageError(SYNTAX)
    return session.resp.verbatim(_lines(sessions))


def _canonical(kind: bytes) -> bytes:
    return b"replica" if kind == b"slave" else kind


def _kind(session: Session) -> bytes:
    # Redis counts a monitor among the replicas.
    if session.monitoring:
        return b"replica"
    return b"pubsub" if session.channels or session.patterns else b"normal"


@command(
    "CLIENT SETNAME connection-name", arity=3, flags=FLAGS, group="connection", summary="Sets the connection name."
)
def client_setname(session: Session, args: list[bytes]) -> bytes:
    session.name = client_name(args[2])
    return OK


@command("CLIENT GETNAME", arity=2, flags=FLAGS, group="connection", summary="Returns the name of the connection.")
def client_getname(session: Session, args: list[bytes]) -> bytes:
    return session.resp.bulk(session.name) if session.name else session.resp.null


@command(
    "CLIENT SETINFO LIB-NAME|LIB-VER value",
    arity=4,
    flags=FLAGS,
    group="connection",
    summary="Sets information about the client library.",
)
def client_setinfo(session: Session, args: list[bytes]) -> bytes:
    attribute = args[2].lower().decode("utf-8", "surrogateescape")
    if attribute not in session.library:
        raise UsageError(f"ERR Unrecognized option '{args[2].decode('utf-8', 'surrogateescape')}'")
    if any(not 0x21 <= byte <= 0x7E for byte in args[3]):
        raise UsageError(f"ERR {attribute} cannot contain spaces, newlines or special characters.")
    session.library[attribute] = args[3]
    return OK


def _on_or_off(session: Session, name: str, word: bytes) -> bytes:
    if word.upper() == b"ON":
        session.flags.add(name)
    elif word.upper() == b"OFF":
        session.flags.discard(name)
    else:
        raise UsageError(SYNTAX)
    return OK


@command(
    "CLIENT NO-EVICT ON|OFF",
    arity=3,
    flags=("admin", *FLAGS),
    group="connection",
    summary="Accepted; nothing is ever evicted here.",
)
def client_no_evict(session: Session, args: list[bytes]) -> bytes:
    return _on_or_off(session, "no-evict", args[2])


@command(
    "CLIENT NO-TOUCH ON|OFF",
    arity=3,
    flags=FLAGS,
    group="connection",
    summary="Accepted; nothing is ever evicted here.",
)
def client_no_touch(session: Session, args: list[bytes]) -> bytes:
    return _on_or_off(session, "no-touch", args[2])


@command(
    "CLIENT REPLY ON|OFF|SKIP",
    arity=3,
    flags=FLAGS,
    group="connection",
    summary="Instructs the server whether to reply to commands.",
)
def client_reply(session: Session, args: list[bytes]) -> bytes:
    word = args[2].upper()
    if word == b"ON":
        session.gate &= ~QUIET
        session.skip = 0
        return OK
    if word == b"OFF":
        session.gate |= QUIET
        session.skip = 0
        return b""
    if word == b"SKIP":
        if not session.gate & QUIET:
            session.gate |= QUIET
            session.skip = 1
        elif session.skip:
            session.skip = 2  # this request is itself the one that is skipped
        return b""
    raise UsageError(SYNTAX)


@command(
    "CLIENT UNBLOCK client-id [TIMEOUT|ERROR]",
    arity=-3,
    flags=("admin", *FLAGS),
    group="connection",
    summary="Unblocks a client blocked by a blocking command.",
)
def client_unblock(session: Session, args: list[bytes]) -> bytes:
    error = False
    if len(args) == 4:
        word = args[3].upper()
        if word not in (b"TIMEOUT", b"ERROR"):
            raise UsageError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        error = word == b"ERROR"
    elif len(args) > 4:
        raise UsageError("ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.")
    target = session.server.sessions.get(integer(args[2]))
    return session.resp.integer(int(target is not None and target.unblock(error)))


@command(
    "CLIENT KILL addr:port|[ID client-id] [TYPE type] [ADDR addr] [LADDR addr] [USER name] [SKIPME YES|NO]", arity=-3,
    flags=("admin", *FLAGS), group="connection", summary="Terminates open connections.",
)  # fmt: skip
def client_kill(session: Session, args: list[bytes]) -> bytes:
    if len(args) == 3:
        address = args[2].decode("utf-8", "surrogateescape")
        for other in list(session.server.sessions.values()):
            if other.address == address:
                _kill(session, other)
                return OK
        raise UsageError("ERR No such client")
    chosen = _chosen(session, args[2:])
    for other in chosen:
        _kill(session, other)
    return session.resp.integer(len(chosen))


def _chosen(session: Session, options: list[bytes]) -> list[Session]:
    if len(options) % 2:
        raise UsageError(SYNTAX)
    skip_me = True
    sessions = list(session.server.sessions.values())
    for name, value in zip(options[::2], options[1::2], strict=True):
        text = value.decode("utf-8", "surrogateescape")
        match name.upper():
            case b"ID":
                number = integer(value, "ERR client-id should be greater than 0", low=1)
                sessions = [one for one in sessions if one.id == number]
            case b"TYPE":
                if value.lower() not in KINDS:
                    raise UsageError(f"ERR Unknown client type '{text}'")
                sessions = [one for one in sessions if _kind(one) == _canonical(value.lower())]
            case b"ADDR":
                sessions = [one for one in sessions if one.address == text]
            case b"LADDR":
                sessions = [one for one in sessions if one.local_address == text]
            case b"USER":
                if value != b"default":
                    raise UsageError(f"ERR No such user '{text}'")
            case b"SKIPME":
                if value.lower() not in (b"yes", b"no"):
                    raise UsageError(SYNTAX)
                skip_me = value.lower() == b"yes"
            case _:
                raise UsageError(SYNTAX)
    return [one for one in sessions if one is not session or not skip_me]


def _kill(session: Session, other: Session) -> None:
    if other is session:
        session.close_after_reply()
    else:
        other.gate &= ~MONITORED
        other.wire.abort()
