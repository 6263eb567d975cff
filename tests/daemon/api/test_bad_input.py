"""Every data command with words that do not fit: Redis's error, to the byte, and nothing changed.

Each command gets keys of every type that is there, and from one word too few to three more than it needs, all of one
kind of junk. What is an error must have changed nothing; where Redis 7.0.15 offers the command, whatever is an error on
one side must be the same error on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

import pytest

from crdt.errors import UsageError
from crdt.types import strings
from daemon.api.registry import TABLE, Command, commands, subcommands
from daemon.api.session import Session
from tests import oracle
from tests.compiled import as_python

REASON = oracle.missing()
JUNK = (b"1", b"x", b"", b"-1", b"1.5", b"9223372036854775808", b"\xff\x00", b"NX", b"WITHSCORES", b"nan")
MAKE = {
    b"string": (b"SET", b"string", b"text"),
    b"number": (b"SET", b"number", b"7"),
    b"set": (b"SADD", b"set", b"x", b"y"),
    b"hash": (b"HSET", b"hash", b"f", b"v", b"n", b"3"),
    b"list": (b"RPUSH", b"list", b"a", b"b"),
    b"zset": (b"ZADD", b"zset", b"1", b"x"),
    b"stream": (b"XADD", b"stream", b"5-1", b"f", b"v"),
}
OWN = {
    b"flag": (b"FLAG.ENABLE", b"flag"),
    b"gset": (b"GSET.ADD", b"gset", b"x"),
    b"gcount": (b"GCOUNT.INCR", b"gcount", b"2"),
    b"text": (b"TEXT.INSERT", b"text", b"0", b"hello"),
    b"doc": (b"JSON.SET", b"doc", b"$", b'{"a":1,"b":[1,2]}'),
}


def every() -> list[Command]:
    """The commands that work on keys; containers are their subcommands, and what would block is asked elsewhere."""
    flat = chain.from_iterable(subcommands(entry) or [entry] for entry in commands())
    return [entry for entry in flat if entry.keys[0] and "blocking" not in entry.flags]


def words(entry: Command, key: bytes) -> Iterator[list[bytes]]:
    """The command with each kind of junk, from too few words to too many."""
    least = abs(entry.arity)
    name = entry.name.upper().encode().split(b"|")
    for junk, extra in product(JUNK, range(-1, 4)):
        line = [*name, *[junk] * (least + extra - len(name))]
        if entry.keys[0] < len(line):
            line[entry.keys[0]] = key
        yield line


def offered(make: tuple[bytes, ...]) -> bool:
    return any(entry.name.upper().encode() == make[0] for entry in commands())


@pytest.fixture(scope="module")
def redis() -> Iterator[oracle.Redis | None]:
    if REASON is not None:
        yield None
        return
    with oracle.redis_server() as path:
        yield oracle.Redis(path)


def prepare(sides: list[tuple[oracle.Redis | oracle.Ours, dict[bytes, tuple[bytes, ...]]]]) -> None:
    """Each side has one key of each type."""
    for side, makes in sides:
        side.ask([b"FLUSHALL"])
        for make in makes.values():
            assert side.ask(list(make))[:1] != b"-", make


@pytest.mark.parametrize("entry", every(), ids=lambda entry: entry.name)
def test_junk_is_refused_as_redis_does_and_changes_nothing(entry: Command, redis: oracle.Redis | None) -> None:
    assert faults(entry, redis) == []


@as_python
def test_a_command_that_changes_something_before_it_refuses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(session: Session, args: list[bytes]) -> bytes:
        strings.put(session.db.state, args[1], b"changed")
        raise UsageError("ERR value is not an integer or out of range")

    entry = TABLE[b"INCR"]
    monkeypatch.setattr(entry, "handler", hasty)
    assert "changed something" in faults(entry, None)[0]


@as_python
def test_another_error_than_that_of_redis_is_caught(
    redis: oracle.Redis | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if redis is None:
        pytest.skip(REASON or "")
    entry = TABLE[b"INCR"]
    monkeypatch.setattr(entry, "handler", lambda session, args: b"-ERR no\r\n")
    assert "redis" in faults(entry, redis)[0]


def faults(entry: Command, redis: oracle.Redis | None) -> list[str]:
    """What is wrong with the first line of junk that shows it."""
    ours = oracle.Ours(1)
    shared = {kind: make for kind, make in MAKE.items() if offered(make)}
    own = {kind: make for kind, make in OWN.items() if offered(make)}
    their_name = entry.name.encode().replace(b"|", b" ").split()[0]
    known = redis is not None and redis.ask([b"COMMAND", b"INFO", their_name]) not in (
        b"*1\r\n*-1\r\n",
        b"*1\r\n$-1\r\n",
    )
    sides: list[tuple[oracle.Redis | oracle.Ours, dict[bytes, tuple[bytes, ...]]]] = [(ours, {**shared, **own})]
    if redis is not None and known:
        sides.append((redis, shared))
    prepare(sides)
    ours.commit()
    state = ours.hub.states[0]
    for key in (*shared, b"nothing", *own):
        for line in words(entry, key):
            before = (state.seq, state.hash)
            mine = ours.ask(line)
            ours.commit()
            failed = mine[:1] == b"-"
            if failed and (state.seq, state.hash) != before:
                return [f"{line} changed something: {mine!r}"]
            if redis is not None and known and key not in own:
                theirs = redis.ask(line)
                if mine != theirs and (failed or theirs[:1] == b"-"):
                    return [f"{line}: redis {theirs!r}, ours {mine!r}"]
            if not failed and "write" in entry.flags:
                prepare(sides)
                ours.commit()
    return []
