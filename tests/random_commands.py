"""Random data commands, by weight: what the oracle asks of both sides.

Few keys and few members, so that commands meet; now and then an argument too many or too few, of the wrong type, at a
limit of the grammar. Knows every command that the data modules offer and its options. Must not know any reply.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

STRINGS = [b"s%d" % i for i in range(4)] + [b"", b"\x00\xffbin"]
NUMBERS = [b"n%d" % i for i in range(3)]
SETS = [b"e%d" % i for i in range(4)]
HASHES = [b"h%d" % i for i in range(3)]
ZSETS = [b"z%d" % i for i in range(4)]
LISTS = [b"l%d" % i for i in range(4)]
STREAMS = [b"x%d" % i for i in range(3)]
KEYS = STRINGS + NUMBERS + SETS + HASHES + ZSETS + LISTS + STREAMS
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

    def __init__(self, rng: random.Random, only: Collection[str] | None = None) -> None:
        """With `only` nothing else is drawn."""
        self.rng = rng
        # Small collections meet the same element often; large ones leave Redis's compact encodings.
        self.width, self.most = rng.choice([(30, 8), (30, 8), (3000, 600)])
        self._names = [
            name for name, (weight, _) in COMMANDS.items() if only is None or name in only for _ in range(weight)
        ]

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

    def zset(self) -> bytes:
        """A key that mostly holds a sorted set."""
        return self.key(ZSETS)

    def score(self) -> bytes:
        """A score: mostly one of few, so that members share them."""
        pick = self.rng.random()
        if pick < 0.6:
            return b"%d" % self.rng.randint(-3, 6)
        return self.rng.choice([b"1.5", b"0.1", b"inf", b"-inf", b"-0", b"3e2"]) if pick < 0.85 else self.float()

    def scores(self) -> list[bytes]:
        """What follows the key in ZADD."""
        words = (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR")
        options = [word for word in words for word in self.option(word, chance=0.12)]
        if b"INCR" in [word.upper() for word in options] and self.rng.random() < 0.9:
            return [*options, self.score(), self.member()]
        return [*options, *self.pairs(self.score, self.member)]

    def bound(self) -> bytes:
        """An end of a range of scores."""
        return b"(" + self.score() if self.rng.random() < 0.3 else self.score()

    def lex(self) -> bytes:
        """An end of a range of members."""
        if self.rng.random() < 0.25:
            return self.rng.choice([b"-", b"+", b"", b"x", b"+x"])
        return self.rng.choice([b"[", b"("]) + self.member()

    def limit(self) -> list[bytes]:
        """LIMIT or nothing."""
        if self.rng.random() < 0.65:
            return self.option(b"WITHSCORES", b"x", chance=0.2)
        return [self.case(b"LIMIT"), self.small(), self.small()]

    def small(self) -> bytes:
        """A small number, rarely another."""
        return b"%d" % self.rng.randint(-3, 5) if self.rng.random() < 0.9 else self.integer()

    def zrange(self) -> list[bytes]:
        """Ends and options of ZRANGE."""
        pick = self.rng.random()
        if pick < 0.4:
            words = [self.small(), self.small()]
        elif pick < 0.7:
            words = [self.bound(), self.bound(), self.case(b"BYSCORE")]
        else:
            words = [self.lex(), self.lex(), self.case(b"BYLEX")]
        return [
            *words,
            *self.option(b"REV", chance=0.4),
            *self.limit(),
            *self.option(b"WITHSCORES", b"BYLEX", chance=0.2),
        ]

    def sources(self, weights: bool = True) -> list[bytes]:
        """Number of keys, keys, WEIGHTS and AGGREGATE."""
        names = self.some(lambda: self.key(ZSETS + SETS), 3)
        words = [b"%d" % len(names) if self.rng.random() < 0.92 else self.small(), *names]
        if weights and self.rng.random() < 0.3:
            words += [self.case(b"WEIGHTS"), *[self.score() for _ in names]]
        if weights and self.rng.random() < 0.3:
            words += [self.case(b"AGGREGATE"), self.case(self.rng.choice([b"SUM", b"MIN", b"MAX", b"MAX", b"x"]))]
        return words + self.option(b"WITHSCORES", chance=0.3) + self.option(b"x", b"LIMIT", chance=0.03)

    def zmpop(self) -> list[bytes]:
        """What follows ZMPOP."""
        names = self.some(self.zset, 3)
        count = b"%d" % len(names) if self.rng.random() < 0.9 else self.small()
        options = [self.case(b"COUNT"), self.small()] if self.rng.random() < 0.4 else []
        return [count, *names, self.case(self.rng.choice([b"MIN", b"MAX"])), *options, *self.option(b"x", chance=0.04)]

    def list(self) -> bytes:
        """A key that mostly holds a list."""
        return self.key(LISTS)

    def side(self) -> bytes:
        """An end of a list."""
        return self.case(self.rng.choice([b"LEFT", b"RIGHT"]) if self.rng.random() < 0.97 else b"x")

    def timeout(self) -> bytes:
        """Seconds, or none."""
        if self.rng.random() < 0.7:
            return self.rng.choice([b"0", b"0.1", b"1", b"5."])
        return self.rng.choice([*FLOATS, b"9223372036854775", b"9223372036854776", b"1e15"])

    def stream(self) -> bytes:
        """A key that mostly holds a stream."""
        return self.key(STREAMS)

    def entry(self) -> bytes:
        """An id: few enough to meet again, and a spelling that is none now and then."""
        pick = self.rng.random()
        if pick < 0.75:
            return b"%d-%d" % (self.rng.randint(0, 40), self.rng.randint(0, 3))
        if pick < 0.9:
            return b"%d" % self.rng.randint(0, 45)
        return self.rng.choice([b"-", b"+", b"x", b"", b"1-", b"-1", b"1-x", b"01-02", b"0-0",
                                b"18446744073709551615-1", b"18446744073709551616", b"$", b">", b"*"])  # fmt: skip

    def rising(self) -> bytes:
        """An id for XADD: mostly one that is high enough."""
        self.ids = getattr(self, "ids", 0) + self.rng.randint(0, 2)
        pick = self.rng.random()
        if pick < 0.7:
            return b"%d-%d" % (self.ids, self.rng.randint(0, 9))
        return b"%d-*" % self.ids if pick < 0.85 else b"*" if pick < 0.87 else self.entry()

    def end(self) -> bytes:
        """An end of a range of ids."""
        return self.rng.choice([b"-", b"+", b"(", b"("]) if self.rng.random() < 0.3 else self.entry()

    def ends(self) -> list[bytes]:
        """Both ends, and how many."""
        words = [b"(" + self.entry() if self.rng.random() < 0.2 else self.end() for _ in range(2)]
        return [*words, *([self.case(b"COUNT"), self.small()] if self.rng.random() < 0.3 else [])]

    def trim(self) -> list[bytes]:
        """MAXLEN or MINID, exact."""
        if self.rng.random() < 0.5:
            words = [self.case(b"MAXLEN"), *self.option(b"=", chance=0.3), self.small()]
        else:
            words = [self.case(b"MINID"), *self.option(b"=", chance=0.3), self.entry()]
        return words + ([b"LIMIT", self.small()] if self.rng.random() < 0.1 else [])

    def added(self) -> list[bytes]:
        """What follows the key in XADD."""
        options = self.option(b"NOMKSTREAM", chance=0.1) + (self.trim() if self.rng.random() < 0.2 else [])
        return [*options, self.rising(), *self.pairs(self.member, self.value)]

    def read(self) -> list[bytes]:
        """XREAD."""
        names = self.some(self.stream, 2)
        count = [self.case(b"COUNT"), self.small()] if self.rng.random() < 0.4 else []
        return [
            *count,
            *self.option(b"NOACK", b"x", chance=0.02),
            self.case(b"STREAMS"),
            *names,
            *[self.entry() for _ in names],
        ]

    def left(self) -> list[bytes]:
        """What follows XSETID."""
        words = [self.rising()]
        if self.rng.random() < 0.3:
            words += [self.case(b"ENTRIESADDED"), self.small()]
        if self.rng.random() < 0.3:
            words += [self.case(b"MAXDELETEDID"), self.entry()]
        return words

    def few(self) -> list[bytes]:
        """How many, or nothing."""
        return [self.rng.choice([b"0", b"1", b"2", b"3", b"100", b"-1", b"x", b"1.5", b""])] * (self.rng.random() < 0.4)

    def positions(self) -> list[bytes]:
        """Options of LPOS."""
        words: list[bytes] = []
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
            words += [self.case(self.rng.choice([b"RANK", b"COUNT", b"MAXLEN"])), self.position()]
        return words + self.option(b"RANK", b"x", chance=0.05)

    def position(self) -> bytes:
        """A small number, rarely another."""
        return b"%d" % self.rng.randint(-4, 6) if self.rng.random() < 0.85 else self.integer()

    def pops(self) -> list[bytes]:
        """What follows LMPOP."""
        names = self.some(self.list, 3)
        count = b"%d" % len(names) if self.rng.random() < 0.9 else self.integer()
        options = [word for _ in range(2) for word in ([b"COUNT", self.position()] if self.rng.random() < 0.3 else [])]
        return [count, *names, self.side(), *options, *self.option(b"COUNT", b"x", chance=0.04)]

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
        """NX, XX, GET, KEEPTTL, a deadline in any mixture."""
        words = [word for _ in range(3) for word in self.option(b"NX", b"XX", b"GET", b"KEEPTTL", b"x", chance=0.2)]
        return words + self.deadline(0.2) if self.rng.random() < 0.5 else self.deadline(0.2) + words

    def deadline(self, chance: float) -> list[bytes]:
        """EX, PX, EXAT, PXAT with a number, or nothing."""
        if self.rng.random() > chance:
            return []
        unit = self.rng.choice([b"EX", b"PX", b"EXAT", b"PXAT"])
        number = self.lifetime(unit.startswith(b"P"), unit.endswith(b"AT"), False)
        return [self.case(unit), number] if self.rng.random() < 0.97 else [unit]

    def lifetime(self, milliseconds: bool, absolute: bool, past: bool = True) -> bytes:
        """A time so far from now and from all others that the order of two never depends on how fast they were asked.

        `past`: it may have passed; not for SET, after which a Redis takes its time to find that out.
        """
        pick = self.rng.random()
        if pick < 0.1:
            huge = [b"9223372036854775000", b"9223372036854775", b"-9223372036854775808", b"9223372036854775808"]
            return self.rng.choice([b"x", b"", b"01", b"0", b"-5", *(huge if past else huge[::2])])
        if past and pick < 0.2:
            return self.rng.choice([b"0", b"-1", b"-1000", *([b"1", b"1000000"] if absolute else [])])
        seconds = self.rng.randint(1, 100_000) * 1000 + (4_000_000_000 if absolute else 0)
        return b"%d" % (seconds * 1000 if milliseconds else seconds)

    def expire(self, milliseconds: bool, absolute: bool) -> list[bytes]:
        """A key, a time, conditions."""
        words = [word for _ in range(2) for word in self.option(b"NX", b"XX", b"GT", b"LT", b"x", chance=0.25)]
        return [self.key(), self.lifetime(milliseconds, absolute), *words]

    def getex_options(self) -> list[bytes]:
        """A deadline, PERSIST, both, or nonsense."""
        words = self.deadline(0.5) + self.option(b"PERSIST", b"PERSIST", b"x", b"KEEPTTL", chance=0.3)
        return words if self.rng.random() < 0.9 else words[::-1]

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
    "EXPIRE": (7, lambda g: g.expire(False, False)),
    "PEXPIRE": (4, lambda g: g.expire(True, False)),
    "EXPIREAT": (4, lambda g: g.expire(False, True)),
    "PEXPIREAT": (4, lambda g: g.expire(True, True)),
    "TTL": (5, lambda g: [g.key()]),
    "PTTL": (4, lambda g: [g.key()]),
    "EXPIRETIME": (3, lambda g: [g.key()]),
    "PEXPIRETIME": (3, lambda g: [g.key()]),
    "PERSIST": (4, lambda g: [g.key()]),
    "SETEX": (4, lambda g: [g.string(), g.lifetime(False, False, False), g.value()]),
    "PSETEX": (3, lambda g: [g.string(), g.lifetime(True, False, False), g.value()]),
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
    "GETEX": (6, lambda g: [g.string(), *g.getex_options()]),
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
    "LPUSH": (12, lambda g: [g.list(), *g.some(g.member, g.most)]),
    "RPUSH": (14, lambda g: [g.list(), *g.some(g.member, g.most)]),
    "LPUSHX": (3, lambda g: [g.list(), *g.some(g.member)]),
    "RPUSHX": (3, lambda g: [g.list(), *g.some(g.member)]),
    "LPOP": (8, lambda g: [g.list(), *g.few()]),
    "RPOP": (8, lambda g: [g.list(), *g.few()]),
    "LLEN": (4, lambda g: [g.list()]),
    "LRANGE": (8, lambda g: [g.list(), g.position(), g.position()]),
    "LINDEX": (5, lambda g: [g.list(), g.position()]),
    "LSET": (8, lambda g: [g.list(), g.position(), g.member()]),
    "LINSERT": (8, lambda g: [g.list(), g.case(g.rng.choice([b"BEFORE", b"AFTER"])), g.member(), g.member()]),
    "LREM": (6, lambda g: [g.list(), g.position(), g.member()]),
    "LTRIM": (4, lambda g: [g.list(), g.position(), g.position()]),
    "LPOS": (6, lambda g: [g.list(), g.member(), *g.positions()]),
    "LMOVE": (6, lambda g: [g.list(), g.list(), g.side(), g.side()]),
    "RPOPLPUSH": (5, lambda g: [g.list(), g.list()]),
    "LMPOP": (5, lambda g: g.pops()),
    "BLPOP": (5, lambda g: [*g.some(g.list, 3), g.timeout()]),
    "BRPOP": (5, lambda g: [*g.some(g.list, 3), g.timeout()]),
    "BLMOVE": (5, lambda g: [g.list(), g.list(), g.side(), g.side(), g.timeout()]),
    "BRPOPLPUSH": (4, lambda g: [g.list(), g.list(), g.timeout()]),
    "BLMPOP": (5, lambda g: [g.timeout(), *g.pops()]),
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
    "ZADD": (24, lambda g: [g.zset(), *g.scores()]),
    "ZINCRBY": (10, lambda g: [g.zset(), g.score(), g.member()]),
    "ZREM": (6, lambda g: [g.zset(), *g.some(g.member)]),
    "ZSCORE": (5, lambda g: [g.zset(), g.member()]),
    "ZMSCORE": (3, lambda g: [g.zset(), *g.some(g.member)]),
    "ZCARD": (3, lambda g: [g.zset()]),
    "ZRANK": (4, lambda g: [g.zset(), g.member()]),
    "ZREVRANK": (4, lambda g: [g.zset(), g.member()]),
    "ZRANDMEMBER": (4, lambda g: [g.zset(), *g.sample(), *g.option(b"WITHSCORES", b"WITHSCORES", b"x", chance=0.5)]),
    "ZSCAN": (3, lambda g: [g.zset(), b"0", *g.scan()]),
    "ZPOPMIN": (4, lambda g: [g.zset(), *([g.small()] if g.rng.random() < 0.5 else [])]),
    "ZPOPMAX": (4, lambda g: [g.zset(), *([g.small()] if g.rng.random() < 0.5 else [])]),
    "ZMPOP": (4, lambda g: g.zmpop()),
    "ZRANGE": (10, lambda g: [g.zset(), *g.zrange()]),
    "ZREVRANGE": (4, lambda g: [g.zset(), g.small(), g.small(), *g.limit()]),
    "ZRANGEBYSCORE": (5, lambda g: [g.zset(), g.bound(), g.bound(), *g.limit()]),
    "ZREVRANGEBYSCORE": (5, lambda g: [g.zset(), g.bound(), g.bound(), *g.limit()]),
    "ZRANGEBYLEX": (4, lambda g: [g.zset(), g.lex(), g.lex(), *g.limit()]),
    "ZREVRANGEBYLEX": (4, lambda g: [g.zset(), g.lex(), g.lex(), *g.limit()]),
    "ZRANGESTORE": (4, lambda g: [g.zset(), g.zset(), *g.zrange()]),
    "ZCOUNT": (4, lambda g: [g.zset(), g.bound(), g.bound()]),
    "ZLEXCOUNT": (4, lambda g: [g.zset(), g.lex(), g.lex()]),
    "ZREMRANGEBYRANK": (3, lambda g: [g.zset(), g.small(), g.small()]),
    "ZREMRANGEBYSCORE": (3, lambda g: [g.zset(), g.bound(), g.bound()]),
    "ZREMRANGEBYLEX": (3, lambda g: [g.zset(), g.lex(), g.lex()]),
    "ZUNION": (4, lambda g: g.sources()),
    "ZINTER": (4, lambda g: g.sources()),
    "ZDIFF": (4, lambda g: g.sources(weights=False)),
    "ZUNIONSTORE": (4, lambda g: [g.zset(), *g.sources()]),
    "ZINTERSTORE": (4, lambda g: [g.zset(), *g.sources()]),
    "ZDIFFSTORE": (4, lambda g: [g.zset(), *g.sources(weights=False)]),
    "ZINTERCARD": (4, lambda g: [*g.sources(weights=False), *([b"LIMIT", g.small()] if g.rng.random() < 0.4 else [])]),
    "XADD": (30, lambda g: [g.stream(), *g.added()]),
    "XDEL": (6, lambda g: [g.stream(), *g.some(g.entry)]),
    "XTRIM": (3, lambda g: [g.stream(), *g.trim()]),
    "XSETID": (2, lambda g: [g.stream(), *g.left()]),
    "XLEN": (4, lambda g: [g.stream()]),
    "XRANGE": (8, lambda g: [g.stream(), *g.ends()]),
    "XREVRANGE": (8, lambda g: [g.stream(), *g.ends()]),
    "XREAD": (8, lambda g: g.read()),
    "XINFO|STREAM": (5, lambda g: [g.stream(), *g.option(b"FULL", b"x", chance=0.2)]),
    "BZPOPMIN": (3, lambda g: [*g.some(g.zset, 3), g.timeout()]),
    "BZPOPMAX": (3, lambda g: [*g.some(g.zset, 3), g.timeout()]),
    "BZMPOP": (3, lambda g: [g.timeout(), *g.zmpop()]),
}
