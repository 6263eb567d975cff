"""Commands on keys of any type, but for their lifetimes (expiry.py).

Knows what Redis answers for each; what a key holds is read and written through `crdt.types.keyspace`.
"""

from __future__ import annotations

from typing import Final

from crdt.errors import UsageError
from crdt.types import keyspace
from daemon.api.arguments import SYNTAX, integer
from daemon.api.commands.encodings import encoding, usage
from daemon.api.commands.scanning import Scan, parse_cursor
from daemon.api.database import Database
from daemon.api.glob import compile_glob
from daemon.api.registry import command
from daemon.api.session import Session

OK: Final = b"+OK\r\n"
SAME_OBJECT: Final = "ERR source and destination objects are the same"
INT_RANGE: Final = "ERR value is out of range, value must between -2147483648 and 2147483647"


def _delete(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    removed = 0
    for key in args[1:]:
        if keyspace.delete(db.state, key):
            removed += 1
            if db.observed:
                db.touch(key, "del")
    return session.resp.integer(removed)


@command("DEL key [key ...]", arity=-2, flags=("write",), keys=(1, -1, 1), group="generic", summary="Delete a key")
def del_(session: Session, args: list[bytes]) -> bytes:
    return _delete(session, args)


@command(
    "UNLINK key [key ...]", arity=-2, flags=("write", "fast"), keys=(1, -1, 1), group="generic", summary="Delete a key"
)
def unlink(session: Session, args: list[bytes]) -> bytes:
    return _delete(session, args)


def _count_existing(session: Session, args: list[bytes]) -> bytes:
    keys = session.db.state.keys
    return session.resp.integer(sum(key in keys for key in args[1:]))


@command(
    "EXISTS key [key ...]",
    arity=-2,
    flags=("readonly", "fast"),
    keys=(1, -1, 1),
    group="generic",
    summary="Determine if a key exists",
)
def exists(session: Session, args: list[bytes]) -> bytes:
    return _count_existing(session, args)


@command(
    "TOUCH key [key ...]",
    arity=-2,
    flags=("readonly", "fast"),
    keys=(1, -1, 1),
    group="generic",
    summary="Count the keys that exist; access times are not kept",
)
def touch(session: Session, args: list[bytes]) -> bytes:
    return _count_existing(session, args)


@command(
    "TYPE key",
    arity=2,
    flags=("readonly", "fast"),
    keys=(1, 1, 1),
    group="generic",
    summary="Determine the type stored at key",
)
def type_(session: Session, args: list[bytes]) -> bytes:
    return session.resp.simple((keyspace.type_name(session.db.state, args[1]) or "none").encode())


@command(
    "KEYS pattern",
    arity=2,
    flags=("readonly",),
    group="generic",
    summary="Find all keys matching the given pattern",
)
def keys(session: Session, args: list[bytes]) -> bytes:
    names = keyspace.keys(session.db.state)
    if args[1] == b"*":
        return session.resp.bulks(names)
    matches = compile_glob(args[1]).fullmatch
    return session.resp.bulks([name for name in names if matches(name)])


@command(
    "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]",
    arity=-2,
    flags=("readonly",),
    group="generic",
    summary="Incrementally iterate the keys space",
)
def scan(session: Session, args: list[bytes]) -> bytes:
    state = session.db.state
    cursor = parse_cursor(args[1])
    options = Scan(args[2:], typed=True)
    cursor, page = session.db.scans.page(cursor, None, keyspace.keys(state), options.count)
    names = [name for name in options.select(page) if name in state.keys]
    if options.type is not None:
        names = [name for name in names if keyspace.type_name(state, name) == options.type]
    return options.reply(session.resp, cursor, names)


@command("RANDOMKEY", arity=1, flags=("readonly",), group="generic", summary="Return a random key from the keyspace")
def randomkey(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    key = keyspace.random_key(db.state, session.hub.rng, db.sampler)
    return session.resp.null if key is None else session.resp.bulk(key)


def _announce_rename(session: Session, source: bytes, target: bytes) -> None:
    db = session.db
    if db.observed and source != target:
        db.touch(source, "rename_from")
        db.touch(target, "rename_to")
        session.served(db)


@command("RENAME key newkey", arity=3, flags=("write",), keys=(1, 2, 1), group="generic", summary="Rename a key")
def rename(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    keyspace.rename(db.state, args[1], args[2])
    _announce_rename(session, args[1], args[2])
    return OK


@command(
    "RENAMENX key newkey",
    arity=3,
    flags=("write", "fast"),
    keys=(1, 2, 1),
    group="generic",
    summary="Rename a key, only if the new key does not exist",
)
def renamenx(session: Session, args: list[bytes]) -> bytes:
    db = session.db
    if keyspace.exists(db.state, args[1]) and keyspace.exists(db.state, args[2]):
        return session.resp.integer(0)
    keyspace.rename(db.state, args[1], args[2])
    _announce_rename(session, args[1], args[2])
    return session.resp.integer(1)


@command(
    "COPY source destination [DB destination-db] [REPLACE]",
    arity=-3,
    flags=("write", "denyoom"),
    keys=(1, 2, 1),
    group="generic",
    summary="Copy a key",
)
def copy(session: Session, args: list[bytes]) -> bytes:
    into, replace = _copy_options(session, args)
    source, target, db = args[1], args[2], session.db
    if into is db and source == target:
        raise UsageError(SAME_OBJECT)
    if not keyspace.exists(db.state, source) or (keyspace.exists(into.state, target) and not replace):
        return session.resp.integer(0)
    keyspace.copy(db.state, source, target, into.state)
    if into is not db:
        session.writes[into] = into.written()
    if into.observed:
        into.touch(target, "copy_to")
        session.served(into)
    return session.resp.integer(1)


def _copy_options(session: Session, args: list[bytes]) -> tuple[Database, bool]:
    into, replace = session.db, False
    words = iter(args[3:])
    for word in words:
        if word.lower() == b"replace":
            replace = True
            continue
        number = next(words, None)
        if word.lower() != b"db" or number is None:
            raise UsageError(SYNTAX)
        index = integer(number)
        if not -(1 << 31) <= index < 1 << 31:
            raise UsageError(INT_RANGE)
        if not 0 <= index < len(session.hub.databases):
            raise UsageError("ERR DB index is out of range")
        into = session.hub.databases[index]
    return into, replace


def _check_flush(args: list[bytes]) -> None:
    if len(args) > 2 or (len(args) == 2 and args[1].lower() not in (b"sync", b"async")):
        raise UsageError(SYNTAX)


def _flush(db: Database) -> None:
    if db.observed:
        for key in db.watched():
            if keyspace.exists(db.state, key):
                db.changed(key)
    keyspace.flush(db.state)


@command(
    "FLUSHDB [ASYNC | SYNC]",
    arity=-1,
    flags=("write",),
    group="server",
    summary="Remove all keys from the current database",
)
def flushdb(session: Session, args: list[bytes]) -> bytes:
    _check_flush(args)
    _flush(session.db)
    return OK


@command(
    "FLUSHALL [ASYNC | SYNC]",
    arity=-1,
    flags=("write",),
    group="server",
    summary="Remove all keys from all databases",
)
def flushall(session: Session, args: list[bytes]) -> bytes:
    _check_flush(args)
    for db in session.hub.databases:
        if keyspace.count(db.state):
            _flush(db)
            session.writes[db] = db.written()
    return OK


# -- looking inside


@command(
    "OBJECT ENCODING key",
    arity=3,
    flags=("readonly",),
    keys=(2, 2, 1),
    group="generic",
    summary="Inspect the internal encoding of a Redis object",
)
def object_encoding(session: Session, args: list[bytes]) -> bytes:
    name = encoding(session.db.state, args[2])
    return session.resp.null if name is None else session.resp.bulk(name)


@command(
    "MEMORY USAGE key [SAMPLES count]",
    arity=-3,
    flags=("readonly",),
    keys=(2, 2, 1),
    group="server",
    summary="Estimate the memory usage of a key",
)
def memory_usage(session: Session, args: list[bytes]) -> bytes:
    samples = 5
    for at in range(3, len(args), 2):
        if args[at].lower() != b"samples" or at + 1 == len(args):
            raise UsageError(SYNTAX)
        samples = integer(args[at + 1])
        if samples < 0:
            raise UsageError(SYNTAX)
    size = usage(session.db.state, args[2], samples)
    return session.resp.null if size is None else session.resp.integer(size)
