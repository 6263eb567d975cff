"""Random data commands, put to a real Redis and to us: replies must be equal, byte for byte where Redis has an order.

`random_commands.py` makes the commands, `Trial` puts them to both sides and compares. What Redis leaves to chance
(SPOP, SRANDMEMBER, the order of a set, the pages of a scan) is compared by what it promises. Our side also cuts frames
now and then and feeds them to a second replica, which has to end with the same state.

Runs longer as a program: make oracle COMMANDS=100000 ARGS="--area string --area hash --seed 7"
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__" and not sys.flags.safe_path:  # with PYTHONSAFEPATH the caller says where crdt is
    # As a program its own folder comes first on the path, and tests/crdt would stand for crdt.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from crdt.dots import Actor
from crdt.state import State
from daemon.api import commands
from daemon.api.database import Database
from daemon.api.dispatch import execute
from daemon.api.limits import Limits
from daemon.api.registry import TABLE
from daemon.api.resp import RESP2, RESP3
from daemon.api.server import Server
from daemon.api.session import Session
from tests.random_commands import COMMANDS, Generator

OFFERED = (
    commands.blocking,
    commands.counters,
    commands.expiry,
    commands.hashes,
    commands.keys,
    commands.lists,
    commands.native,
    commands.sets,
    commands.streams,
    commands.strings,
    commands.zalgebra,
    commands.zblocking,
    commands.zranges,
    commands.zsets,
)
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


class Told:
    """Hears the keyspace events of all spaces, and keeps them."""

    keyspace = True

    def __init__(self) -> None:
        self.events: list[tuple[bytes, bytes]] = []

    def publish(self, channel: bytes, message: bytes) -> int:
        """Remember."""
        if channel.startswith(b"__keyevent"):
            self.events.append((channel, message))
        return 0


class Hub:
    """Spaces without replication."""

    def __init__(self, seed: int, count: int = DATABASES, now: int = 1_000) -> None:
        """`now`: Unix ms; from there time goes by itself, 1 ms a batch."""
        self.states = [State(Actor(f"oracle{i}", i + 1)) for i in range(count)]
        self.databases = [Database(i, f"space{i}", state) for i, state in enumerate(self.states)]
        self.told: Any = Told()
        self.hold_replies = False
        self.loading = None
        self.limits = Limits()
        self.rng = random.Random(seed)
        self.now = now
        self.begin()

    def begin(self) -> None:
        """A batch begins."""
        self.now += 1
        for database in self.databases:
            database.begin(self.now)


def open_session(hub: Any) -> Session:
    """A session on a hub, whose server never comes to its turn; events are told to the hub."""
    loop: Any = SimpleNamespace(call_soon=lambda callback: None, time=time.monotonic)
    server = Server(hub, loop=loop)
    for database in hub.databases:
        database.attach(hub.told)
    wire: Any = SimpleNamespace(write=lambda data: None, close=lambda: None, abort=lambda: None)
    return Session(server, 1, wire)


class Ours:
    """Our commands in this process, and a peer that gets every frame."""

    def __init__(self, seed: int) -> None:
        self.hub = Hub(seed, now=time.time_ns() // 1_000_000)
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
        found: list[tuple[bytes, bytes]] = [*self.hub.told.events]
        self.hub.told.events.clear()
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


def _with_id(args: list[bytes], theirs: bytes) -> list[bytes]:
    """XADD with the id that Redis has given, where it was asked for one."""
    found = reply(theirs)
    return [
        found[1] if found[0] == "$" and (word == b"*" or word.endswith(b"-*")) else word for word in args[:8]
    ] + args[8:]


def plain_zero(data: bytes) -> bytes:
    """Scores of -0 as 0, which they are here, and in Redis depending on the encoding of the moment."""
    return data.replace(b"$2\r\n-0\r\n", b"$1\r\n0\r\n").replace(b",-0\r\n", b",0\r\n")


_radix = re.compile(rb"(radix-tree-(?:keys|nodes)\r\n:)[0-9]+").sub  # of Redis's own memory
UNORDERED = frozenset({b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"KEYS", b"HKEYS", b"HVALS"})
SCANS = {b"SCAN": 1, b"SSCAN": 2, b"HSCAN": 2, b"ZSCAN": 2}  # where the cursor stands
SAMPLES = frozenset({b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER", b"RANDOMKEY"})
LOOSE = frozenset({b"MEMORY", b"OBJECT"})
WAITING = frozenset(
    {b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP"}
)  # asked in MULTI: there nobody waits
# The two clocks differ by the time that a trial takes: lifetimes are far longer, and further apart from each other.
TIMES = {b"TTL": 60, b"EXPIRETIME": 60, b"PTTL": 60_000, b"PEXPIRETIME": 60_000}


def _about(one: Reply, other: Reply, difference: int) -> bool:
    """Both are times, no further apart than that."""
    if one[0] != ":" or other[0] != ":" or min(int(one[1]), int(other[1])) <= 0:
        return False
    return abs(int(one[1]) - int(other[1])) <= difference


class Trial:
    """One run: both sides begin empty, get the same commands, and end with the same keys."""

    def __init__(
        self,
        redis: Redis,
        seed: int,
        protocol: int = 2,
        events: Events | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        """With `events` those are compared as well, at half the speed; with `only` no other commands are drawn."""
        self.redis = redis
        self.events = events
        self.ours = Ours(seed)
        self.seed = seed
        self.done = 0
        redis.protocol(protocol)
        self.ours.protocol(protocol)
        redis.select(0)
        redis.ask([b"FLUSHALL"])
        self.generate = Generator(random.Random(seed), only)
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
        if b"LEX" in b" ".join(args).upper() and not self._level(args):
            return
        if name in SAMPLES:
            self._sample(name, args)
        elif name in SCANS and len(args) > SCANS[name]:
            self._scan(name, args)
        else:
            around = ([[b"MULTI"]], [[b"EXEC"]]) if name in WAITING else ([], [])
            for words in (*around[0], args, *around[1]):
                theirs = self.redis.ask(words)
                mine = self.ours.ask(_with_id(words, theirs) if name == b"XADD" else words)
                if theirs != mine:
                    self._compare(name, args, theirs, mine)
        if self.events is not None:
            told, announced = self.events.heard(), self.ours.heard()
            if told != announced:
                self._fail(args, told, announced)

    def _level(self, args: list[bytes]) -> bool:
        """Whether all members have one score: else a range of members is not defined, by Redis's own words."""
        keys = args[2:3] if args[0].upper() == b"ZRANGESTORE" else args[1:2]
        ends = [self.redis.ask([b"ZRANGE", *keys, at, at, b"WITHSCORES"]) for at in (b"0", b"-1")]
        scores = [
            texts(found)[1:] if (found := reply(end))[1] and found[0] == "*" and found[1][0][0] == "$" else found
            for end in ends
        ]
        return scores[0] == scores[1]

    def _ignore_events(self) -> None:
        self.ours.heard()
        if self.events is not None:
            self.events.heard()

    def _fail(self, args: list[bytes], theirs: object, mine: object) -> None:
        words = " ".join(repr(arg)[1:] for arg in args)
        raise Difference(f"seed {self.seed}, command {self.done}: {words}\n  redis {theirs!r}\n  ours  {mine!r}")

    def _compare(self, name: bytes, args: list[bytes], theirs: bytes, mine: bytes) -> None:
        if name == b"XINFO":
            theirs, mine = _radix(rb"\g<1>0", theirs), _radix(rb"\g<1>0", mine)
        if b"Z" in name[:2]:
            theirs, mine = plain_zero(theirs), plain_zero(mine)
            if theirs == mine:
                return
        one, other = reply(theirs), reply(mine)
        if name in UNORDERED:
            one, other = unordered(one), unordered(other)
        elif name == b"HGETALL":
            one, other = unordered_map(one), unordered_map(other)
        elif (name in LOOSE and one[0] == other[0] != "-") or (name in TIMES and _about(one, other, TIMES[name])):
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
                answer = reply(plain_zero(side.ask(walk)))
                if answer[0] == "-":
                    found.append(answer)
                    break
                items += [
                    (kind, b"0" if name == b"ZSCAN" and text == b"-0" else text) for kind, text in answer[1][1][1]
                ]
                walk[SCANS[name]] = answer[1][0][1]
                if walk[SCANS[name]] == b"0":
                    found.append(
                        unordered_map(("*", items)) if name in (b"HSCAN", b"ZSCAN") else unordered(("*", items))
                    )
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
        if name == b"ZRANDMEMBER":
            found = reply(plain_zero(self.redis.ask([b"ZRANGE", args[1], b"0", b"-1", b"WITHSCORES"])))
        else:
            found = reply(self.redis.ask([b"HGETALL" if name == b"HRANDFIELD" else b"SMEMBERS", args[1]]))
        if found[0] == "-":
            return set()
        if name in (b"HRANDFIELD", b"ZRANDMEMBER"):
            if found[1] and found[1][0][0] == "*":
                return {tuple(texts(pair)) if len(args) > 3 else texts(pair)[0] for pair in found[1]}
            words = texts(found)
            pairs = zip(words[::2], words[1::2], strict=True)
            return set(pairs) if len(args) > 3 else set(words[::2])
        return set(texts(found))

    def _drawn(self, value: Reply, args: list[bytes]) -> list[Any]:
        if value[0] == "$":
            return [value[1]]
        if args[0].upper() in (b"HRANDFIELD", b"ZRANDMEMBER") and len(args) > 3:
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
                verb = {
                    b"string": b"GET", b"set": b"SMEMBERS", b"hash": b"HGETALL", b"list": b"LRANGE", b"zset": b"ZRANGE",
                    b"stream": b"XRANGE",
                }[kind]  # fmt: skip
                ends = {b"list": [b"0", b"-1"], b"zset": [b"0", b"-1", b"WITHSCORES"], b"stream": [b"-", b"+"]}
                self.step([verb, key, *ends.get(kind, [])])
                self.step([b"PTTL", key])
        self.redis.select(0)
        self.ours.select(0)


def areas() -> dict[str, set[str]]:
    """The commands that are drawn, by group."""
    found: dict[str, set[str]] = {}
    for name in COMMANDS:
        found.setdefault(TABLE[name.split("|")[0].encode()].group, set()).add(name)
    return found


def main() -> int:
    """Run until the commands are used up; 1 and the command on a difference."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--commands", type=int, default=100_000, help="how many for each area, in trials of 2000")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--area", choices=sorted(areas()), action="append", help="each alone (default: all mixed)")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    with redis_server() as path:
        for area in options.area or [None]:
            if not _survives(path, area, options.commands, options.seed):
                return 1
    return 0


def _survives(path: str, area: str | None, commands: int, first: int) -> bool:
    redis, events = Redis(path), Events(path)
    only = None if area is None else areas()[area]
    trials = -(-commands // 2000)
    for trial in range(trials):
        seed = first + trial
        if sys.stderr.isatty():
            print(f"\r{area or 'all'}: trial {trial + 1} of {trials}", end="", file=sys.stderr)
        try:
            Trial(redis, seed, 2 + seed % 2, events if seed % 3 == 0 else None, only).run(
                min(2000, commands - 2000 * trial)
            )
        except Difference as difference:
            print(difference, file=sys.stderr)
            return False
    print(f"{area or 'all'}: {commands} commands, no difference")
    return True


if __name__ == "__main__":
    sys.exit(main())
