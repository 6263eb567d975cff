"""WAIT, CRDT.VV, CRDT.WAITFOR, CRDT.SYNC: waiting for peers, and for what peers have.

A token names a vector: `SPACE.` and the base64url of its canonical bytes. Must not know: how peers are asked.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from crdt.dots import Actor, canonical_vector, parse_vector
from crdt.errors import UsageError
from daemon.api.arguments import integer
from daemon.api.registry import command

if TYPE_CHECKING:
    from daemon.api.session import Session
    from daemon.space import Space

NOT_A_TIMEOUT = "ERR timeout is not an integer or out of range"
NEGATIVE = "ERR timeout is negative"


def space_of(session: Session) -> Space:
    """The space that the connection has selected, with nothing pending: commands that report cut first.

    Inside EXEC nothing is cut, for a transaction is one frame: they report the state before it.
    """
    space = session.hub.space_of(session.db)
    if not session.executing:
        space.commit()
    return space


def _seconds(text: bytes) -> float | None:
    """A time-out in ms; 0 means for ever."""
    milliseconds = integer(text, NOT_A_TIMEOUT)
    if milliseconds < 0:
        raise UsageError(NEGATIVE)
    return milliseconds / 1000 or None


@command(
    "WAIT numreplicas timeout", arity=3, flags=("blocking",), group="convergence",
    summary="Waits until this many peers have applied all writes of this connection.",
)  # fmt: skip
def wait(session: Session, args: list[bytes]) -> bytes:
    """How many peers have it, when enough have or the time is up."""
    wanted = integer(args[1])
    seconds = _seconds(args[2])
    space = session.hub.space_of(session.db)
    seq, resp = session.last_write, session.resp

    def count() -> int:
        if seq:
            return space.replica.acked(seq, space.now())
        return len(space.replica.peers.online(space.now()))

    if not session.may_park():
        return resp.integer(count())
    if seq:
        space.ask(seq)
    if count() >= wanted:
        return resp.integer(count())
    number = space.waiters.add(lambda: count() >= wanted, lambda: session.resume(resp.integer(count())))
    return session.park(seconds, lambda: resp.integer(count()), lambda: space.waiters.forget(number))


@command(
    "CRDT.VV", arity=1, flags=("fast",), group="convergence",
    summary="Returns a token for everything this replica has applied.",
)  # fmt: skip
def vv(session: Session, args: list[bytes]) -> bytes:
    """The token; equal vectors give equal tokens on every replica."""
    state = space_of(session).state
    session.db.show_dots()
    vector = state.vector()
    if state.seq:
        vector[state.actor] = state.seq  # inside EXEC: with what the transaction has written so far
    text = base64.urlsafe_b64encode(canonical_vector(vector)).rstrip(b"=")
    return session.resp.bulk(session.db.name.encode() + b"." + text)


def parse_token(token: bytes, space: str) -> dict[Actor, int]:
    """The vector of a token of this space. Raises UsageError."""
    name, _, text = token.rpartition(b".")
    try:
        padded = text + b"=" * (-len(text) % 4)
        vector = parse_vector(base64.b64decode(padded, altchars=b"-_", validate=True))
        named = name.decode()
    except (ValueError, binascii.Error):
        raise UsageError("ERR invalid token") from None
    if not named:
        raise UsageError("ERR invalid token")
    if named != space:
        raise UsageError(f"ERR token is of space '{named}'")
    return vector


@command(
    "CRDT.WAITFOR token timeout", arity=3, flags=("blocking",), group="convergence",
    summary="Waits until this replica has applied everything a token names.",
)  # fmt: skip
def waitfor(session: Session, args: list[bytes]) -> bytes:
    """1 reached, 0 timed out."""
    space = space_of(session)
    vector = parse_token(args[1], space.name)
    seconds = _seconds(args[2])
    resp = session.resp

    def reached() -> bool:
        return all(space.state.applied(actor) >= n for actor, n in vector.items())

    if reached() or not session.may_park():
        return resp.integer(int(reached()))
    number = space.waiters.add(reached, lambda: session.resume(resp.integer(1)))
    return session.park(seconds, lambda: resp.integer(0), lambda: space.waiters.forget(number))


@command(
    "CRDT.SYNC", arity=1, flags=("no_multi",), group="convergence",
    summary="Commits and publishes what is pending, and greets the peers.",
)  # fmt: skip
def sync(session: Session, args: list[bytes]) -> bytes:
    """OK when that has left. A WAIT of this connection then asks for everything up to here."""
    space = session.hub.space_of(session.db)
    space.sync()
    session.writes[session.db] = space.state.seq
    if not space.replica.connected:
        raise UsageError("ERR no broker connected")
    return session.resp.ok
