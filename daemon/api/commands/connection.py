"""A connection's own matters: PING, HELLO, AUTH, SELECT, QUIT, RESET, MONITOR, and what asks about the server as such.

CLIENT is in clients.py, what describes the server in introspection.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from crdt.types import keyspace
from daemon.api.arguments import integer
from daemon.api.registry import command
from daemon.api.resp import RESP2, RESP3
from daemon.api.session import MONITORED, QUIET, UNAUTHENTICATED

if TYPE_CHECKING:
    from daemon.api.session import Session

OK = b"+OK\r\n"
REDIS_VERSION = b"7.0.15"
ANY_TIME = ("fast", "loading", "stale", "noscript", "allow_busy")
NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."


@command(
    "PING [message]", arity=-1, flags=("fast",), group="connection", summary="Returns the server's liveliness response."
)
def ping(session: Session, args: list[bytes]) -> bytes:
    resp = session.resp
    if len(args) > 2:
        raise UsageError("ERR wrong number of arguments for 'ping' command")
    message = args[1] if len(args) > 1 else None
    if resp.version == 2 and (session.channels or session.patterns):
        return resp.array([resp.bulk(b"pong"), resp.bulk(message or b"")])
    return b"+PONG\r\n" if message is None else resp.bulk(message)


@command(
    "ECHO message", arity=2, flags=("fast", "loading", "stale"), group="connection", summary="Returns the given string."
)
def echo(session: Session, args: list[bytes]) -> bytes:
    return session.resp.bulk(args[1])


def _authenticate(session: Session, user: bytes, password: bytes, with_user: bool) -> None:
    """Raises UsageError unless this is the password (of the user `default`, the only one)."""
    server = session.server
    if not server.has_password:
        if not with_user:
            raise UsageError(NO_PASSWORD)
        if user != b"default":
            raise UsageError(WRONG_PASSWORD)
    elif user != b"default" or not server.accepts(password):
        raise UsageError(WRONG_PASSWORD)
    session.gate &= ~UNAUTHENTICATED


@command(
    "AUTH [username] password",
    arity=-2,
    flags=(*ANY_TIME, "no_auth"),
    group="connection",
    summary="Authenticates the connection.",
)
def auth(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        raise UsageError("ERR syntax error")
    user = args[1] if len(args) == 3 else b"default"
    _authenticate(session, user, args[-1], len(args) == 3)
    return OK


@command(
    "HELLO [protover [AUTH username password] [SETNAME clientname]]", arity=-1, flags=(*ANY_TIME, "no_auth"),
    group="connection", summary="Handshakes with the server.",
)  # fmt: skip
def hello(session: Session, args: list[bytes]) -> bytes:
    version = session.resp.version
    if len(args) > 1:
        version = integer(args[1], "ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise UsageError("NOPROTO unsupported protocol version")
    # Options take effect one by one, as in Redis: an error in a later one leaves the earlier ones standing.
    at = 2
    while at < len(args):
        option = args[at].upper()
        if option == b"AUTH" and at + 2 < len(args):
            _authenticate(session, args[at + 1], args[at + 2], with_user=True)
            at += 3
        elif option == b"SETNAME" and at + 1 < len(args):
            session.name = client_name(args[at + 1])
            at += 2
        else:
            raise UsageError(f"ERR Syntax error in HELLO option '{args[at].decode('utf-8', 'surrogateescape')}'")
    if session.gate & UNAUTHENTICATED:
        raise UsageError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
            "option can be used to authenticate the client and select the RESP protocol version at the same time"
        )
    session.resp = resp = RESP3 if version == 3 else RESP2
    return resp.map(
        [
            (resp.bulk(b"server"), resp.bulk(b"redis")),
            (resp.bulk(b"version"), resp.bulk(REDIS_VERSION)),
            (resp.bulk(b"proto"), resp.integer(version)),
            (resp.bulk(b"id"), resp.integer(session.id)),
            (resp.bulk(b"mode"), resp.bulk(b"standalone")),
            (resp.bulk(b"role"), resp.bulk(b"master")),
            (resp.bulk(b"modules"), resp.empty_array),
        ]
    )


def client_name(name: bytes) -> bytes:
    """A name that CLIENT LIST can show. Raises UsageError."""
    if any(not 0x21 <= byte <= 0x7E for byte in name):
        raise UsageError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


@command(
    "SELECT index",
    arity=2,
    flags=("fast", "loading", "stale"),
    group="connection",
    summary="Changes the selected space.",
)
def select(session: Session, args: list[bytes]) -> bytes:
    index = integer(args[1])
    if not -(1 << 31) <= index < 1 << 31:
        raise UsageError("ERR value is out of range, value must between -2147483648 and 2147483647")
    databases = session.hub.databases
    if not 0 <= index < len(databases):
        raise UsageError("ERR DB index is out of range")
    session.select(databases[index])
    return OK


@command("QUIT", arity=-1, flags=(*ANY_TIME, "no_auth"), group="connection", summary="Closes the connection.")
def quit_(session: Session, args: list[bytes]) -> bytes:
    session.close_after_reply()
    return OK


@command("RESET", arity=1, flags=(*ANY_TIME, "no_auth"), group="connection", summary="Resets the connection.")
def reset(session: Session, args: list[bytes]) -> bytes:
    server = session.server
    if session.monitoring:
        session.monitoring = False
        server.unmonitor(session)
    session.discard()
    session.unsubscribe_all()
    session.select(session.hub.databases[0])
    session.resp = RESP2
    session.name = b""
    session.gate &= ~QUIET
    session.skip = 0
    session.flags.clear()
    if session.guarded and server.has_password:
        session.gate |= UNAUTHENTICATED
    return b"+RESET\r\n"


@command(
    "MONITOR",
    arity=1,
    flags=("admin", "noscript", "loading", "stale"),
    group="server",
    summary="Shows every command as it is executed.",
)
def monitor(session: Session, args: list[bytes]) -> bytes:
    if not session.monitoring:
        session.monitoring = True
        session.server.monitor(session)
        session.gate |= MONITORED
    return OK


@command("TIME", arity=1, flags=("fast", "loading", "stale"), group="server", summary="Returns the server time.")
def time_(session: Session, args: list[bytes]) -> bytes:
    now = time.time_ns() // 1000
    return session.resp.bulks([b"%d" % (now // 1_000_000), b"%d" % (now % 1_000_000)])


@command("DBSIZE", arity=1, flags=("readonly", "fast"), group="server", summary="Returns the number of keys.")
def dbsize(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(keyspace.count(session.db.state))


@command(
    "SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
    arity=-1,
    flags=("admin", "noscript", "loading", "stale", "no_multi", "allow_busy"),
    group="server",
    summary="Stops the daemon.",
)
def shutdown(session: Session, args: list[bytes]) -> bytes:
    options = {arg.upper() for arg in args[1:]}
    if options - {b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"} or {b"NOSAVE", b"SAVE"} <= options:
        raise UsageError("ERR syntax error")
    if b"ABORT" in options:
        if len(options) > 1:
            raise UsageError("ERR syntax error")
        raise UsageError("ERR No shutdown in progress.")
    session.hub.shutdown()
    session.close_after_reply()
    return b""
