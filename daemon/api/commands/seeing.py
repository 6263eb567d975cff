"""CRDT.HASH, PEERS, CONFLICTS, DEBUG, STATUS: what one can see of convergence, as of the last message heard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgpack

from crdt.clock import milliseconds
from crdt.dots import Dot
from crdt.entry import LIFETIME, Entry, Raw
from crdt.replica.replica import HASH_SLICE
from crdt.types import conflicts, expiry, streams
from crdt.types.amounts import render
from crdt.types.jsoncell import body
from crdt.types.jsontree import JsonEntry
from crdt.types.numberwire import BASE, COUNT, FOSTER
from crdt.types.streams import StreamEntry
from daemon import report
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.convergence import space_of
from daemon.api.commands.native import siblings_reply
from daemon.api.glob import compile_glob
from daemon.api.registry import command

if TYPE_CHECKING:
    from crdt.state import State
    from daemon.api.resp import Resp
    from daemon.api.session import Session
    from daemon.space import Space

from crdt.errors import UsageError

DEFAULT_COUNT = 100


@command("CRDT.HASH", arity=1, group="seeing", summary="Returns the hash of this replica's state.")
def hash_(session: Session, args: list[bytes]) -> bytes:
    """32 hex digits; equal on replicas that have applied the same. In slices, where much was written lately."""
    state, resp = space_of(session).state, session.resp
    if state.backlog <= HASH_SLICE or not session.may_park():
        return resp.bulk(b"%032x" % state.hash)
    parked = session.park(None, lambda: resp.null)
    _Hashing(session, state).go_on()
    return parked


class _Hashing:
    """A CRDT.HASH that waits for its slices. No closure that names itself: nobody collects cycles."""

    __slots__ = ("_left", "_parking", "_session", "_slice", "_state")

    def __init__(self, session: Session, state: State) -> None:
        self._session = session
        self._state = state
        self._parking = session.parking
        self._left = state.unhashed()  # what was written before it
        self._slice = HASH_SLICE

    def go_on(self) -> None:
        """The next slice."""
        session = self._session
        if session.parking is not self._parking:
            return  # the client has left, or was unblocked
        if self._state.hash_some(self._slice):
            session.resume(session.resp.bulk(b"%032x" % self._state.hash))
            return
        self._left -= self._slice
        if self._left <= 0:  # others write as much as it hashes
            self._left, self._slice = self._state.unhashed(), 2 * self._slice
        session.server.call_later(0, self.go_on)


@command("CRDT.STATUS", arity=1, group="seeing", summary="Returns the document of GET /status.")
def status(session: Session, args: list[bytes]) -> bytes:
    """JSON."""
    space_of(session)
    return session.resp.bulk(json.dumps(session.hub.status()).encode())


@command("CRDT.PEERS", arity=1, group="seeing", summary="Lists the peers and how far they are.")
def peers(session: Session, args: list[bytes]) -> bytes:
    """An array of maps, by name."""
    resp = session.resp
    return resp.array([_peer(resp, peer) for peer in report.peers(space_of(session))])


def _peer(resp: Resp, peer: dict[str, object]) -> bytes:
    incarnation = peer["incarnation"]
    return resp.map(
        [
            (resp.bulk(b"name"), resp.bulk(str(peer["name"]).encode())),
            (resp.bulk(b"incarnation"), resp.null if incarnation is None else resp.bulk(str(incarnation).encode())),
            (resp.bulk(b"state"), resp.bulk(str(peer["state"]).encode())),
            (resp.bulk(b"lag"), resp.integer(int(str(peer["lag_operations"])))),
            (resp.bulk(b"behind"), resp.integer(int(str(peer["behind_operations"])))),
            (resp.bulk(b"last_seen"), resp.integer(_ms(peer["last_seen_seconds"]))),
            (resp.bulk(b"skew"), resp.integer(_ms(peer["clock_skew_seconds"]))),
        ]
    )


def _ms(seconds: object) -> int:
    assert isinstance(seconds, (int, float))
    return round(seconds * 1000)


@command(
    "CRDT.CONFLICTS [MATCH pattern] [COUNT count]", arity=-1, group="seeing",
    summary="Lists cells with several values, and keys with several types.",
)  # fmt: skip
def conflicts_(session: Session, args: list[bytes]) -> bytes:
    """An array of maps: key, where, type, siblings."""
    pattern, count = b"*", DEFAULT_COUNT
    options = args[1:]
    if len(options) % 2:
        raise UsageError(SYNTAX)
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name.upper() == b"MATCH":
            pattern = value
        elif name.upper() == b"COUNT":
            count = integer(value, low=1)
        else:
            raise UsageError(SYNTAX)
    resp = session.resp
    expression = compile_glob(pattern)
    found: list[bytes] = []
    for conflict in conflicts.conflicts(space_of(session).state):
        if len(found) == count:
            break
        if expression.fullmatch(conflict.key):
            found.append(_conflict(resp, conflict))
    return resp.array(found)


def _conflict(resp: Resp, conflict: conflicts.Conflict) -> bytes:
    return resp.map(
        [
            (resp.bulk(b"key"), resp.bulk(conflict.key)),
            (resp.bulk(b"where"), resp.null if conflict.field is None else resp.bulk(conflict.field)),
            (resp.bulk(b"type"), resp.bulk(conflict.type.encode())),
            (resp.bulk(b"siblings"), siblings_reply(resp, conflict.siblings)),
        ]
    )


@command(
    "CRDT.DEBUG key", arity=2, keys=(1, 1, 1), group="seeing",
    summary="Lists the rows under a key, with their dots.",
)  # fmt: skip
def debug(session: Session, args: list[bytes]) -> bytes:
    """An array of maps, nil if there is no row."""
    space = space_of(session)
    session.db.show_dots()
    resp = session.resp
    rows = [
        _row(resp, space, entry, field, dot, raw)
        for entry in space.state.all_of(args[1])
        for field, dot, raw in entry.rows()
    ]
    return resp.array(rows) if rows else resp.null_array


def _row(resp: Resp, space: Space, entry: Entry, field: bytes | None, dot: int, raw: Raw) -> bytes:
    state = space.state
    return resp.map(
        [
            (resp.bulk(b"dot"), resp.bulk(str(state.name(dot)).encode())),
            (resp.bulk(b"type"), resp.bulk(entry.NAME.encode())),
            (resp.bulk(b"cell"), resp.null if field is None else resp.bulk(conflicts.where(entry, field))),
            (resp.bulk(b"value"), _value(resp, space, entry, field, dot, raw)),
            (resp.bulk(b"time"), resp.integer(milliseconds(state.hlc(dot)))),
        ]
    )


def _value(resp: Resp, space: Space, entry: Entry, field: bytes | None, dot: int, raw: Raw) -> bytes:
    """A plain value as it is; the rows of numbers, streams and lifetimes in words; what is unknown as it travels."""
    if raw is None:
        return resp.null
    if isinstance(raw, bytes):
        return resp.bulk(_plain(entry, field, raw))
    if isinstance(raw, msgpack.ExtType):  # which is a tuple, too
        return resp.bulk(expiry.described(raw).encode() if entry.CODE == LIFETIME else raw.data)
    name = space.state.name
    if raw[0] in (COUNT, FOSTER):
        since = Dot(name(dot).actor, raw[1]) if raw[0] == COUNT else name(raw[1])
        return resp.bulk(b"count %s since %s" % (render(raw[2]), str(since).encode()))
    if raw[0] == BASE:
        return resp.bulk(b"taken %s of %s up to %d" % (render(raw[3]), str(name(raw[1])).encode(), raw[2]))
    return resp.bulk(_plain(entry, field, raw[1]))


def _plain(entry: Entry, field: bytes | None, value: bytes) -> bytes:
    if isinstance(entry, StreamEntry):
        assert field is not None
        return streams.described(field, value)
    return body(value) if isinstance(entry, JsonEntry) else value
