"""Commands about the connection itself and the server as a whole.

Knows sessions, the server and its hub. Must not know what a key is.
"""

from __future__ import annotations

import time

from crdt.errors import UsageError
from crdt.types import keyspace
from daemon.api.arguments import SYNTAX, integer
from daemon.api.registry import command
from daemon.api.resp import RESP2, RESP3
from daemon.api.session import LOADING, MONITORED, UNAUTHENTICATED, Session

REDIS_VERSION = "7.0.15"
"""The Redis whose replies these are; clients decide by it what they may use."""

_NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
_WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
_HELLO_FIRST = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option "
    "can be used to authenticate the client and select the RESP protocol version at the same time"
)
_BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters."
_NO_SUCH_DB = "ERR DB index is out of range"
_EARLY = ("noscript", "loading", "stale", "fast", "no_auth", "allow_busy")



@command("PING [message]", arity=-1, flags=("fast",), group="connection", summary="Ping the server")
def ping(session: Session, args: list[bytes]) -> bytes:
    """PONG or the message; in RESP2 a subscribed client gets an array, as it cannot tell other replies from messages."""
    if len(args) > 2:
        raise UsageError("ERR wrong number of arguments for 'ping' command")
    resp = session.resp
    if session.subscriptions and resp.version == 2:
        return resp.bulks((b"pong", args[1] if len(args) > 1 else b""))
    return resp.bulk(args[1]) if len(args) > 1 else b"+PONG\r\n"


@command("ECHO message", arity=2, flags=("loading", "stale", "fast"), group="connection", summary="Echo the given string")
def echo(session: Session, args: list[bytes]) -> bytes:
    """The message."""
    return session.resp.bulk(args[1])


@command("QUIT", arity=-1, flags=_EARLY, group="connection", summary="Close the connection")
def quit_(session: Session, args: list[bytes]) -> bytes:
    """OK, then the connection closes."""
    session.close_after_reply()
    return session.resp.ok


@command("RESET", arity=1, flags=_EARLY, group="connection", summary="Reset the connection")
def reset(session: Session, args: list[bytes]) -> bytes:
    """The connection is as if it had just been made."""
    session.discard()
    session.unsubscribe_all()
    session.server.unmonitor(session)
    session.resp = RESP2
    session.name = b""
    session.skip = 0
    session.flags.clear()
    session.gate &= LOADING | MONITORED
    if session.guarded:
        session.gate |= UNAUTHENTICATED
    session.select(session.hub.databases[0])
    return b"+RESET\r\n"


@command("SELECT index", arity=2, flags=("loading", "stale", "fast"), group="connection", summary="Change the space")
def select(session: Session, args: list[bytes]) -> bytes:
    """The n-th space of the daemon, 0 is the first."""
    number = integer(args[1])
    if not -(1 << 31) <= number < 1 << 31:
        raise UsageError("ERR value is out of range, value must between -2147483648 and 2147483647")
    databases = session.hub.databases
    if not 0 <= number < len(databases):
        raise UsageError(_NO_SUCH_DB)
    session.select(databases[number])
    return session.resp.ok


# -- who and how


@command("AUTH [username] password", arity=-2, flags=_EARLY, group="connection", summary="Authenticate to the server")
def auth(session: Session, args: list[bytes]) -> bytes:
    """OK for the password of the TCP listener; the only user is `default`."""
    if len(args) > 3:
        raise UsageError(SYNTAX)
    if len(args) == 2 and not session.server.has_password:
        raise UsageError(_NO_PASSWORD)
    _authenticate(session, args[1] if len(args) == 3 else b"default", args[-1])
    return session.resp.ok


def _authenticate(session: Session, user: bytes, password: bytes) -> None:
    server = session.server
    if user != b"default" or (server.has_password and not server.accepts(password)):
        raise UsageError(_WRONG_PASSWORD)
    session.gate &= ~UNAUTHENTICATED


@command(
    "HELLO [protover [AUTH username password] [SETNAME clientname]]",
    arity=-1,
    flags=_EARLY,
    group="connection",
    summary="Handshake: choose the version of the protocol",
)
def hello(session: Session, args: list[bytes]) -> bytes:
    """Switch to RESP2 or RESP3 and say who is speaking."""
    version = 0
    if len(args) > 1:
        version = integer(args[1], "ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise UsageError("NOPROTO unsupported protocol version")
    credentials, name = _hello_options(args)
    if credentials is not None:
        _authenticate(session, *credentials)
    if session.gate & UNAUTHENTICATED:
        raise UsageError(_HELLO_FIRST)
    if name is not None:
        session.name = name
    if version:
        session.resp = RESP3 if version == 3 else RESP2
    resp = session.resp
    return resp.map(
        [
            (resp.bulk(b"server"), resp.bulk(b"redis")),
            (resp.bulk(b"version"), resp.bulk(REDIS_VERSION.encode())),
            (resp.bulk(b"proto"), resp.integer(resp.version)),
            (resp.bulk(b"id"), resp.integer(session.id)),
            (resp.bulk(b"mode"), resp.bulk(b"standalone")),
            (resp.bulk(b"role"), resp.bulk(b"master")),
            (resp.bulk(b"modules"), resp.empty_array),
        ]
    )


def _hello_options(args: list[bytes]) -> tuple[tuple[bytes, bytes] | None, bytes | None]:
    credentials: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    at = 2
    while at < len(args):
        option = args[at].lower()
        if option == b"auth" and at + 2 < len(args):
            credentials = (args[at + 1], args[at + 2])
            at += 3
        elif option == b"setname" and at + 1 < len(args):
            name = args[at + 1]
            check_name(name)
            at += 2
        else:
            raise UsageError(f"ERR Syntax error in HELLO option '{args[at].decode('utf-8', 'surrogateescape')}'")
    return credentials, name


def check_name(name: bytes) -> None:
    """Raise UsageError unless `name` can stand in CLIENT LIST."""
    if any(not 0x21 <= byte <= 0x7E for byte in name):
        raise UsageError(_BAD_NAME)


# -- the server as a whole


@command("TIME", arity=1, flags=("loading", "stale", "fast"), group="server", summary="Return the current server time")
def time_(session: Session, args: list[bytes]) -> bytes:
    """Unix time: seconds, and the microseconds of the second."""
    now = time.time_ns() // 1000
    return session.resp.bulks((b"%d" % (now // 1000000), b"%d" % (now % 1000000)))


@command("DBSIZE", arity=1, flags=("readonly", "fast"), group="server", summary="Return the number of keys in the space")
def dbsize(session: Session, args: list[bytes]) -> bytes:
    """Number of keys of the selected space."""
    return session.resp.integer(keyspace.count(session.db.state))


@command(
    "MONITOR",
    arity=1,
    flags=("admin", "noscript", "loading", "stale"),
    group="server",
    summary="Listen for all requests received by the server in real time",
)
def monitor(session: Session, args: list[bytes]) -> bytes:
    """From now on every command of every client is pushed to this one."""
    if session.executing:
        raise UsageError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    if not session.monitoring:
        session.monitoring = True
        session.server.monitor(session)
    return session.resp.ok


@command(
    "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    arity=-1,
    flags=("admin", "noscript", "loading", "stale", "no_multi", "allow_busy"),
    group="server",
    summary="Stop the daemon as SIGTERM does",
)
def shutdown(session: Session, args: list[bytes]) -> bytes:
    """No reply: the daemon commits, says goodbye to its peers and ends. It always saves, NOSAVE or not."""
    options = {arg.lower() for arg in args[1:]}
    if options - {b"nosave", b"save", b"now", b"force", b"abort"} or {b"nosave", b"save"} <= options:
        raise UsageError(SYNTAX)
    if b"abort" in options:
        if len(options) > 1:
            raise UsageError(SYNTAX)
        raise UsageError("ERR No shutdown in progress.")
    session.hub.shutdown()
    return b""
