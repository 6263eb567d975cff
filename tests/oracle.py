"""Random data commands, put to a real Redis and to us: replies must be equal, byte for byte where Redis has an order.

`Generator` makes the commands, `Trial` puts them to both sides and compares. What Redis leaves to chance (SPOP,
SRANDMEMBER, the order of a set, the pages of a scan) is compared by what it promises. Our side also cuts frames now and
then and feeds them to a second replica, which has to end with the same state.

Runs longer as a program: python tests/oracle.py --commands 1000000 --seed 7
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from crdt.dots import Actor
from crdt.state import State
from daemon.api.commands import counters, hashes, keys, native, sets, strings
from daemon.api.database import Database
from daemon.api.dispatch import execute
from daemon.api.limits import Limits
from daemon.api.resp import RESP2, RESP3
from daemon.api.session import Session

OFFERED = (counters, hashes, keys, native, sets, strings)
"""The modules whose commands are offered here."""
DATABASES = 16
REDIS = "redis-server"
VERSION = "7.0.15"
Reply = tuple[str, Any]


# -- replies


def read_reply(data: bytes, at: int = 0) -> tuple[Reply, int] | None:
    """The reply at a position as (kind, content) and where the next begins; None if it is not complete."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, line, at = chr(data[at]), data[at + 1 : end], end + 2
    if kind in "$=":
        size = int(line)
        if size < 0:
            return ("_", None), at
        return None if len(data) < at + size + 2 else ((kind, data[at : at + size]), at + size + 2)
    if kind in "*~%>":
        count = int(line)
        if count < 0:
            return ("_", None), at
        items = []
        for _ in range(count * (2 if kind == "%" else 1)):
            found = read_reply(data, at)
            if found is None:
                return None
            items.append(found[0])
            at = found[1]
        return (kind, items), at
    assert kind in "+-:_,#(", data[:40]
    return (kind, line), at


def reply(data: bytes) -> Reply:
    """A whole reply."""
    found = read_reply(data)
    assert found is not None and found[1] == len(data), data
    return found[0]


def texts(value: Reply) -> list[bytes]:
    """The strings of an array, set or map of strings."""
    return [item[1] for item in value[1]]


# -- the two sides


class Redis:
    """A connection to a Redis server."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.settimeout(20)

    def ask(self, args: list[bytes]) -> bytes:
        """The bytes of the reply."""
        self._socket.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args))
        data = b""
        while read_reply(data) is None:
            more = self._socket.recv(1 << 20)
            assert more, "redis closed the connection"
            data += more
        return data

    def protocol(self, version: int) -> None:
        """Speak RESP2 or RESP3."""
        assert self.ask([b"HELLO", b"%d" % version])[:1] != b"-"

    def select(self, index: int) -> None:
        """Change the database."""
        self.ask([b"SELECT", b"%d" % index])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Events(Redis):
    """Redis's keyspace events."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.ask([b"CONFIG", b"SET", b"notify-keyspace-events", b"EA"])
        self.ask([b"PSUBSCRIBE", b"__keyevent@*__:*"])

    def heard(self) -> list[tuple[bytes, bytes]]:
        """(channel, key) of the events since the last call."""
        self._socket.sendall(b"PING\r\n")
        found = []
        data = b""
        while True:
            message = read_reply(data)
            if message is None:
                data += self._socket.recv(1 << 20)
                continue
            data = data[message[1] :]
            words = texts(message[0])
            if words[0] == b"pong":
                return found
            found.append((words[2], words[3]))


class Space(Database):
    """A space whose events are kept in a list."""

    __slots__ = ("events",)

    def __init__(self, index: int, name: str, state: State) -> None:
        super().__init__(index, name, state)
        self.observed = True
        self.events: list[tuple[bytes, bytes]] = []

    def touch(self, key: bytes, event: str) -> None:
        """Remember."""
        self.events.append((b"__keyevent@%d__:%b" % (self.index, event.encode()), key))


class Hub:
    """Spaces without replication."""

    def __init__(self, seed: int, count: int = DATABASES) -> None:
        self.states = [State(Actor(f"oracle{i}", i + 1)) for i in range(count)]
        self.databases = [Space(i, f"space{i}", state) for i, state in enumerate(self.states)]
        self.hold_replies = False
        self.loading = None
        self.limits = Limits()
        self.rng = random.Random(seed)
        self.now = 1_000
        self.begin()

    def begin(self) -> None:
        """A batch begins."""
        self.now += 1
        for state in self.states:
            state.begin(self.now)


def open_session(hub: Any) -> Session:
    """A session on a hub, without any server behind it."""
    server: Any = SimpleNamespace(hub=hub, schedule=lambda session: None, monitors={})
    wire: Any = SimpleNamespace(write=lambda data: None, close=lambda: None, abort=lambda: None)
    return Session(server, 1, wire)


class Ours:
    """Our commands in this process, and a peer that gets every frame."""

    def __init__(self, seed: int) -> None:
        self.hub = Hub(seed)
        self.session = open_session(self.hub)
        self.peers = [State(Actor(f"peer{i}", 1)) for i in range(DATABASES)]
        self._rng = random.Random(seed)

    def ask(self, args: list[bytes]) -> bytes:
        """The bytes of the reply."""
        answer = execute(self.session, args)
        if self._rng.random() < 0.2:
            self.commit()
        return answer

    def commit(self) -> None:
        """Cut what is pending and give it to the peer."""
        for state, peer in zip(self.hub.states, self.peers, strict=True):
            frame = state.cut()
            if frame is not None:
                peer.apply(frame)
        self.hub.begin()

    def heard(self) -> list[tuple[bytes, bytes]]:
        """(channel, key) of the events since the last call."""
        found = [event for database in self.hub.databases for event in database.events]
        for database in self.hub.databases:
            database.events.clear()
        return found

    def protocol(self, version: int) -> None:
        """Speak RESP2 or RESP3."""
        self.session.resp = RESP3 if version == 3 else RESP2

    def select(self, index: int) -> None:
        """Change the database."""
        self.session.db = self.hub.databases[index]


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of its own for as long as the context lasts; its socket."""
    with tempfile.TemporaryDirectory(prefix="oracle") as folder:
        path = f"{folder}/redis.sock"
        process = subprocess.Popen(
            [REDIS, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    Redis(path).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline, "redis-server does not start"
                    time.sleep(0.01)
            yield path
        finally:
            process.terminate()
            process.wait(10)


def missing() -> str | None:
    """Why the oracle cannot be asked here, or None."""
    program = shutil.which(REDIS)
    if program is None:
        return f"{REDIS} is not installed"
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return None if f"v={VERSION} " in found else f"{REDIS} {VERSION} is needed, there is {found.strip()}"


# -- commands

STRINGS = [b"s%d" % i for i in range(4)] + [b"", b"\x00\xffbin"]
NUMBERS = [b"n%d" % i for i in range(3)]
SETS = [b"e%d" % i for i in range(4)]
HASHES = [b"h%d" % i for i in range(3)]
KEYS = STRINGS + NUMBERS + SETS + HASHES
LIMITS = [(1 << 63) - 1, -(1 << 63), (1 << 63) - 2, 1 << 63, -(1 << 63) - 1, 10**23]
INTEGERS = [b"%d" % n for n in (0, 1, -1, 40, 100, -100, *LIMITS)]
INTEGERS += [b"x", b"1.5", b"01", b"+1", b"-0", b"1e3", b"0x10", b"", b" 1"]
FLOATS = [b"0", b"1", b"-1", b"0.1", b"0.2", b"-0.1", b"1e3", b"1.5e-3", b"-2.5E+2", b"5.0e-10", b"1e17", b"1e19"]
FLOATS += [b"-1e19", b"123456789.123456789", b"0.00000000000000001", b"1e300", b"-1e300", b"1e4931", b"-1e4931"]
FLOATS += [b"12.50", b"inf", b"-inf", b"+Infinity", b"nan", b"0x10", b"0x1.8p-3", b"+5", b".5", b"5.", b"-0", b"1e5000"]
FLOATS += [b"1e-5000", b"x", b"1e", b"1_0", b"", b" 1", b"1 "]
WORDS = [b"a", b"b", b"hello", b"Hello World", b"", b"\x00\xff\r\n", b"foo\tbar", b"z" * 45, b"y" * 70, b"caf\xc3\xa9"]

Make = Callable[["Generator"], list[bytes]]


class Generator:
    """Random commands, by weight. Now and then one has an argument too few or too many, or is of the wrong type."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        # Small collections meet the same element often; large ones leave Redis's compact encodings.
        self.width, self.most = rng.choice([(30, 8), (30, 8), (3000, 600)])
        self._names = [name for name, (weight, _) in COMMANDS.items() for _ in range(weight)]

    def __call__(self) -> list[bytes]:
        """The next command."""
        name = self.rng.choice(self._names)
        args = [*name.encode().split(b"|"), *COMMANDS[name][1](self)]
        chance = self.rng.random()
        if chance < 0.02 and len(args) > 1:
            args.pop()
        elif chance < 0.04:
            args.append(self.value())
        if self.rng.random() < 0.1:
            args[0] = self.case(args[0])
        return args

    def case(self, word: bytes) -> bytes:
        """The word in some mixture of cases."""
        return bytes(byte ^ 0x20 if self.rng.random() < 0.5 and chr(byte).isalpha() else byte for byte in word)

    def some(self, make: Callable[[], bytes], most: int = 4) -> list[bytes]:
        """One to `most` of something."""
        return [make() for _ in range(self.rng.randint(1, most))]

    def option(self, *words: bytes, chance: float = 0.4) -> list[bytes]:
        """One of these words, or none."""
        return [self.case(self.rng.choice(words))] if self.rng.random() < chance else []

    def key(self, family: list[bytes] = KEYS) -> bytes:
        """A key that mostly holds the right type."""
        return self.rng.choice(family if self.rng.random() < 0.93 else KEYS)

    def string(self) -> bytes:
        """A key that mostly holds a string."""
        return self.key(STRINGS + NUMBERS)

    def number_key(self) -> bytes:
        """A key that mostly holds a number."""
        return self.key(NUMBERS)

    def set(self) -> bytes:
        """A key that mostly holds a set."""
        return self.key(SETS)

    def hash(self) -> bytes:
        """A key that mostly holds a hash."""
        return self.key(HASHES)

    def integer(self) -> bytes:
        """Mostly a small number, else one at a limit or none at all."""
        if self.rng.random() < 0.7:
            return b"%d" % self.rng.randint(-20, 20)
        return self.rng.choice(INTEGERS)

    def float(self) -> bytes:
        """A number in one of its spellings, or none."""
        if self.rng.random() < 0.4:
            return f"{self.rng.uniform(-500, 500):.{self.rng.randint(0, 12)}f}".encode()
        return self.rng.choice(FLOATS)

    def value(self) -> bytes:
        """Any value."""
        pick = self.rng.random()
        if pick < 0.35:
            return self.integer()
        return self.float() if pick < 0.5 else self.rng.choice(WORDS)

    def member(self) -> bytes:
        """An element or field: few enough to meet again."""
        pick = self.rng.random()
        if pick < 0.6:
            return b"%d" % self.rng.randint(0, self.width)
        return b"m%d" % self.rng.randint(0, self.width) if pick < 0.8 else self.rng.choice(WORDS)

    def pattern(self) -> bytes:
        """A glob."""
        if self.rng.random() < 0.3:
            return b"*"
        return b"".join(self.rng.choice([b"*", b"?", b"[", b"]", b"^", b"-", b"\\", b"s", b"e", b"h", b"1", b"m", b"a"])
                        for _ in range(self.rng.randint(0, 6)))  # fmt: skip

    def offset(self) -> bytes:
        """A place in a string: never one that would make it larger than limits.value allows."""
        if self.rng.random() < 0.85:
            return b"%d" % self.rng.randint(0, 40)
        return self.rng.choice([b"-1", b"x", b"", b"1.0", b"4294967296", *(b"%d" % n for n in LIMITS)])

    def pairs(self, one: Callable[[], bytes], other: Callable[[], bytes]) -> list[bytes]:
        """One to three pairs, or many more."""
        return [part for _ in range(self.rng.randint(1, max(3, self.most - 8))) for part in (one(), other())]

    def sample(self) -> list[bytes]:
        """How many, or nothing. A count that would be repeated 2 ** 63 times is left out."""
        if self.rng.random() < 0.3:
            return []
        return [self.rng.choice([b"0", b"1", b"2", b"5", b"100", b"-1", b"-4", b"-30", b"x", b"9223372036854775807",
                                 b"-9223372036854775808", b"1.5", b"01"])]  # fmt: skip

    def scan(self, *extra: bytes) -> list[bytes]:
        """Options of a scan."""
        words: list[bytes] = []
        for _ in range(self.rng.randint(0, 2)):
            name = self.rng.choice([b"COUNT", b"MATCH", *extra])
            value = self.integer() if name == b"COUNT" else self.pattern()
            if name == b"TYPE":
                value = self.rng.choice([b"string", b"SET", b"hash", b"list", b"nonsense"])
            words += [self.case(name), value]
        if self.rng.random() < 0.05:
            words.append(self.rng.choice([b"COUNT", b"nonsense", b"MATCH"]))
        return words

    def copy_options(self) -> list[bytes]:
        """REPLACE and DB."""
        words = self.option(b"REPLACE", chance=0.6)
        if self.rng.random() < 0.3:
            words += [b"DB", self.rng.choice([b"0", b"1", b"1", b"99", b"-1", b"x", b"99999999999"])]
        return words + self.option(b"nonsense", chance=0.03)

    def lcs_options(self) -> list[bytes]:
        """LEN, IDX, WITHMATCHLEN, MINMATCHLEN."""
        words = self.option(b"LEN", b"IDX", b"IDX", b"nonsense", chance=0.7) + self.option(b"WITHMATCHLEN")
        if self.rng.random() < 0.3:
            words += [b"MINMATCHLEN", self.integer()]
        return words + self.option(b"IDX", b"MINMATCHLEN", chance=0.1)

    def set_options(self) -> list[bytes]:
        """NX, XX, GET, KEEPTTL in any mixture."""
        return [word for _ in range(3) for word in self.option(b"NX", b"XX", b"GET", b"KEEPTTL", b"x", chance=0.2)]

    def intercard(self) -> list[bytes]:
        """Number of keys, keys, LIMIT."""
        names = self.some(self.set, 3)
        count = b"%d" % len(names) if self.rng.random() < 0.85 else self.integer()
        limit = [b"LIMIT", self.integer()] if self.rng.random() < 0.5 else self.option(b"LIMIT", b"x", chance=0.1)
        return [count, *names, *limit]


COMMANDS: dict[str, tuple[int, Make]] = {
    # name: (weight, arguments)
    "DEL": (6, lambda g: g.some(g.key, 2)),
    "UNLINK": (3, lambda g: g.some(g.key, 2)),
    "EXISTS": (4, lambda g: g.some(g.key)),
    "TOUCH": (2, lambda g: g.some(g.key)),
    "TYPE": (4, lambda g: [g.key()]),
    "KEYS": (4, lambda g: [g.pattern()]),
    "SCAN": (3, lambda g: [g.rng.choice([b"0", b"0", b"0", b"x", b"", b"-1x", b" 1"]), *g.scan(b"TYPE")]),
    "RANDOMKEY": (2, lambda g: []),
    "RENAME": (3, lambda g: [g.key(), g.key()]),
    "RENAMENX": (3, lambda g: [g.key(), g.key()]),
    "COPY": (4, lambda g: [g.key(), g.key(), *g.copy_options()]),
    "FLUSHDB": (1, lambda g: [g.rng.choice([b"sync", b"ASYNC", b"x"])] if g.rng.random() < 0.9 else []),
    "FLUSHALL": (1, lambda g: [g.rng.choice([b"x", b"y", b"sync"])]),
    "TTL": (2, lambda g: [g.key()]),
    "PTTL": (1, lambda g: [g.key()]),
    "EXPIRETIME": (1, lambda g: [g.key()]),
    "PEXPIRETIME": (1, lambda g: [g.key()]),
    "PERSIST": (1, lambda g: [g.key()]),
    "OBJECT|ENCODING": (4, lambda g: [g.key()]),
    "MEMORY|USAGE": (3, lambda g: [g.key(), *(g.option(b"SAMPLES") and [b"samples", g.integer()])]),
    "SET": (14, lambda g: [g.string(), g.value(), *g.set_options()]),
    "GET": (14, lambda g: [g.string()]),
    "MSET": (3, lambda g: g.pairs(g.string, g.value)),
    "MSETNX": (3, lambda g: g.pairs(g.string, g.value)),
    "MGET": (4, lambda g: g.some(g.string)),
    "SETNX": (3, lambda g: [g.string(), g.value()]),
    "GETSET": (4, lambda g: [g.string(), g.value()]),
    "GETDEL": (3, lambda g: [g.string()]),
    "GETEX": (3, lambda g: [g.string(), *g.option(b"PERSIST", b"x", b"KEEPTTL"), *g.option(b"PERSIST", chance=0.1)]),
    "APPEND": (5, lambda g: [g.string(), g.value()]),
    "STRLEN": (4, lambda g: [g.string()]),
    "SETRANGE": (5, lambda g: [g.string(), g.offset(), g.value()]),
    "GETRANGE": (5, lambda g: [g.string(), g.integer(), g.integer()]),
    "SUBSTR": (2, lambda g: [g.string(), g.integer(), g.integer()]),
    "SETBIT": (5, lambda g: [g.string(), g.offset(), g.rng.choice([b"0", b"1", b"1", b"2", b"x", b"-1"])]),
    "GETBIT": (4, lambda g: [g.string(), g.offset()]),
    "LCS": (5, lambda g: [g.string(), g.string(), *g.lcs_options()]),
    "INCR": (8, lambda g: [g.number_key()]),
    "DECR": (5, lambda g: [g.number_key()]),
    "INCRBY": (8, lambda g: [g.number_key(), g.integer()]),
    "DECRBY": (5, lambda g: [g.number_key(), g.integer()]),
    "INCRBYFLOAT": (12, lambda g: [g.number_key(), g.float()]),
    "SADD": (20, lambda g: [g.set(), *g.some(g.member, g.most)]),
    "SREM": (8, lambda g: [g.set(), *g.some(g.member)]),
    "SMEMBERS": (5, lambda g: [g.set()]),
    "SISMEMBER": (4, lambda g: [g.set(), g.member()]),
    "SMISMEMBER": (4, lambda g: [g.set(), *g.some(g.member)]),
    "SCARD": (4, lambda g: [g.set()]),
    "SPOP": (5, lambda g: [g.set(), *g.sample()]),
    "SRANDMEMBER": (5, lambda g: [g.set(), *g.sample()]),
    "SMOVE": (5, lambda g: [g.set(), g.set(), g.member()]),
    "SINTER": (4, lambda g: g.some(g.set, 3)),
    "SUNION": (4, lambda g: g.some(g.set, 3)),
    "SDIFF": (4, lambda g: g.some(g.set, 3)),
    "SINTERSTORE": (3, lambda g: [g.set(), *g.some(g.set, 3)]),
    "SUNIONSTORE": (3, lambda g: [g.set(), *g.some(g.set, 3)]),
    "SDIFFSTORE": (3, lambda g: [g.set(), *g.some(g.set, 3)]),
    "SINTERCARD": (5, lambda g: g.intercard()),
    "SSCAN": (4, lambda g: [g.set(), b"0", *g.scan()]),
    "HSET": (14, lambda g: [g.hash(), *g.pairs(g.member, g.value)]),
    "HMSET": (4, lambda g: [g.hash(), *g.pairs(g.member, g.value)]),
    "HSETNX": (4, lambda g: [g.hash(), g.member(), g.value()]),
    "HGET": (8, lambda g: [g.hash(), g.member()]),
    "HMGET": (4, lambda g: [g.hash(), *g.some(g.member)]),
    "HGETALL": (4, lambda g: [g.hash()]),
    "HDEL": (7, lambda g: [g.hash(), *g.some(g.member)]),
    "HEXISTS": (4, lambda g: [g.hash(), g.member()]),
    "HKEYS": (3, lambda g: [g.hash()]),
    "HVALS": (3, lambda g: [g.hash()]),
    "HLEN": (3, lambda g: [g.hash()]),
    "HSTRLEN": (3, lambda g: [g.hash(), g.member()]),
    "HINCRBY": (10, lambda g: [g.hash(), g.member(), g.integer()]),
    "HINCRBYFLOAT": (10, lambda g: [g.hash(), g.member(), g.float()]),
    "HRANDFIELD": (5, lambda g: [g.hash(), *g.sample(), *g.option(b"WITHVALUES", b"WITHVALUES", b"x", chance=0.5)]),
    "HSCAN": (4, lambda g: [g.hash(), b"0", *g.scan()]),
}


# -- comparing


class Difference(AssertionError):
    """The two sides disagree."""


def unordered(value: Reply) -> Reply:
    """The reply with its elements in an order of their own."""
    return (value[0], sorted(value[1])) if isinstance(value[1], list) else value


def unordered_map(value: Reply) -> Reply:
    """The same for a map, or an array of fields and values."""
    if not isinstance(value[1], list):
        return value
    items = value[1]
    return (value[0], sorted(zip(items[::2], items[1::2], strict=True)))


UNORDERED = frozenset({b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"KEYS", b"HKEYS", b"HVALS"})
SCANS = {b"SCAN": 1, b"SSCAN": 2, b"HSCAN": 2}  # where the cursor stands
SAMPLES = frozenset({b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"RANDOMKEY"})
LOOSE = frozenset({b"MEMORY", b"OBJECT"})


class Trial:
    """One run: both sides begin empty, get the same commands, and end with the same keys."""

    def __init__(self, redis: Redis, seed: int, protocol: int = 2, events: Events | None = None) -> None:
        """With `events` those are compared as well, at half the speed."""
        self.redis = redis
        self.events = events
        self.ours = Ours(seed)
        self.seed = seed
        self.done = 0
        redis.protocol(protocol)
        self.ours.protocol(protocol)
        redis.select(0)
        redis.ask([b"FLUSHALL"])
        self.generate = Generator(random.Random(seed))
        self._ignore_events()

    def run(self, count: int) -> None:
        """So many commands, then a look at everything. Raises Difference."""
        for _ in range(count):
            self.step(self.generate())
        self.compare_everything()

    def step(self, args: list[bytes]) -> None:
        """One command to both. Raises Difference."""
        self.done += 1
        name = args[0].upper()
        if name in SAMPLES:
            self._sample(name, args)
        elif name in SCANS and len(args) > SCANS[name]:
            self._scan(name, args)
        else:
            theirs, mine = self.redis.ask(args), self.ours.ask(args)
            if theirs != mine:
                self._compare(name, args, theirs, mine)
        if self.events is not None:
            told, announced = self.events.heard(), self.ours.heard()
            if told != announced:
                self._fail(args, told, announced)

    def _ignore_events(self) -> None:
        self.ours.heard()
        if self.events is not None:
            self.events.heard()

    def _fail(self, args: list[bytes], theirs: object, mine: object) -> None:
        words = " ".join(repr(arg)[1:] for arg in args)
        raise Difference(f"seed {self.seed}, command {self.done}: {words}\n  redis {theirs!r}\n  ours  {mine!r}")

    def _compare(self, name: bytes, args: list[bytes], theirs: bytes, mine: bytes) -> None:
        one, other = reply(theirs), reply(mine)
        if name in UNORDERED:
            one, other = unordered(one), unordered(other)
        elif name == b"HGETALL":
            one, other = unordered_map(one), unordered_map(other)
        elif name in LOOSE and one[0] == other[0] != "-":
            return
        if one != other or theirs[:1] in b"-_":
            self._fail(args, theirs, mine)

    def _scan(self, name: bytes, args: list[bytes]) -> None:
        """Both walk to the end; what they found must be equal, and nothing found twice."""
        found: list[Any] = []
        for side in (self.redis, self.ours):
            walk = list(args)
            items: list[Reply] = []
            while True:
                answer = reply(side.ask(walk))
                if answer[0] == "-":
                    found.append(answer)
                    break
                items += answer[1][1][1]
                walk[SCANS[name]] = answer[1][0][1]
                if walk[SCANS[name]] == b"0":
                    found.append(unordered_map(("*", items)) if name == b"HSCAN" else unordered(("*", items)))
                    break
        if found[0] != found[1]:
            self._fail(args, *found)

    def _sample(self, name: bytes, args: list[bytes]) -> None:
        """What is drawn differs; how much, and from what, does not. Then both sides are made equal again."""
        members = self._population(name, args)
        theirs, mine = self.redis.ask(args), self.ours.ask(args)
        if theirs == mine:
            return
        one, other = reply(theirs), reply(mine)
        if one[0] != other[0] or one[0] not in "$*~":
            self._fail(args, theirs, mine)
        drawn, own = self._drawn(one, args), self._drawn(other, args)
        repeated = len(args) > 2 and args[2].startswith(b"-")
        if len(drawn) != len(own) or not set(own) <= members or (not repeated and len(set(own)) != len(own)):
            self._fail(args, theirs, mine)
        if name == b"SPOP":
            for verb, names in ((b"SADD", set(own) - set(drawn)), (b"SREM", set(drawn) - set(own))):
                if names:
                    self.ours.ask([verb, args[1], *names])
            self._ignore_events()

    def _population(self, name: bytes, args: list[bytes]) -> set[Any]:
        """What may be drawn."""
        if name == b"RANDOMKEY":
            return set(texts(reply(self.redis.ask([b"KEYS", b"*"]))))
        if len(args) < 2:
            return set()
        found = reply(self.redis.ask([b"HGETALL" if name == b"HRANDFIELD" else b"SMEMBERS", args[1]]))
        if found[0] == "-":
            return set()
        if name == b"HRANDFIELD":
            words = texts(found)
            pairs = zip(words[::2], words[1::2], strict=True)
            return set(pairs) if len(args) > 3 else set(words[::2])
        return set(texts(found))

    def _drawn(self, value: Reply, args: list[bytes]) -> list[Any]:
        if value[0] == "$":
            return [value[1]]
        if args[0].upper() == b"HRANDFIELD" and len(args) > 3:
            if value[1] and value[1][0][0] == "*":
                return [tuple(texts(pair)) for pair in value[1]]
            words = texts(value)
            return list(zip(words[::2], words[1::2], strict=True))
        return texts(value)

    def compare_everything(self) -> None:
        """Every key of every space on both sides, and the peer that got our frames. Raises Difference."""
        self.ours.commit()
        for index, (state, peer) in enumerate(zip(self.ours.hub.states, self.ours.peers, strict=True)):
            if state.hash != peer.hash or state.keys.keys() != peer.keys.keys():
                self._fail([b"the peer of space", b"%d" % index], f"{peer.hash:x}", f"{state.hash:x}")
            self.redis.select(index)
            self.ours.select(index)
            self.step([b"KEYS", b"*"])
            for key in texts(reply(self.redis.ask([b"KEYS", b"*"]))):
                kind = reply(self.redis.ask([b"TYPE", key]))[1]
                verb = {b"string": b"GET", b"set": b"SMEMBERS", b"hash": b"HGETALL"}[kind]
                self.step([verb, key])
        self.redis.select(0)
        self.ours.select(0)


def main() -> int:
    """Run until the commands are used up; 1 and the command on a difference."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--commands", type=int, default=100_000, help="how many, in trials of 2000")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    with redis_server() as path:
        redis, events = Redis(path), Events(path)
        for trial in range(-(-options.commands // 2000)):
            seed = options.seed + trial
            try:
                Trial(redis, seed, 2 + seed % 2, events if seed % 3 == 0 else None).run(
                    min(2000, options.commands - 2000 * trial)
                )
            except Difference as difference:
                print(difference, file=sys.stderr)
                return 1
        print(f"{options.commands} commands, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
