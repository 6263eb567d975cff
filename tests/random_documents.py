"""Random JSON commands: few keys, few names, so that commands meet; now and then something that does not fit.

Must not know any reply. Stays within what RedisJSON's documentation describes; what is said about syntax errors and the
like is in the tests of each command.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

KEYS = [b"d0", b"d1", b"d2"]
NAMES = ["a", "b", "c", "long name", "é"]
WORDS = ["", "foo", "bar", "Hello", "é", 'q"\\', "line\nbreak"]


class Documents:
    """The next command each time it is called."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._names = [name for name, (weight, _) in COMMANDS.items() for _ in range(weight)]

    def __call__(self) -> list[bytes]:
        name = self.rng.choice(self._names)
        return [name.encode(), *COMMANDS[name][1](self)]

    def key(self) -> bytes:
        return self.rng.choice(KEYS if self.rng.random() < 0.97 else [b"none"])

    def value(self, deep: int = 0) -> Any:
        """Any value, small."""
        pick = self.rng.random()
        if pick < 0.35 and deep < 3:
            names = self.rng.sample(NAMES, self.rng.randrange(4))
            return {name: self.value(deep + 1) for name in names}
        if pick < 0.6 and deep < 3:
            return [self.value(deep + 1) for _ in range(self.rng.randrange(4))]
        scalars: list[Any] = [None, True, False, self.rng.randint(-9, 99), self.rng.choice(WORDS)]
        return self.rng.choice([*scalars, self.rng.randint(-99, 99) / 4])

    def text(self, value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=self.rng.random() < 0.5).encode()

    def document(self) -> bytes:
        return self.text({name: self.value(1) for name in self.rng.sample(NAMES, self.rng.randrange(1, 5))})

    def json(self) -> bytes:
        return self.text(self.value(1))

    def name(self) -> str:
        name = self.rng.choice(NAMES)
        return f'["{name}"]' if not name.isascii() or " " in name or self.rng.random() < 0.2 else f".{name}"

    def place(self) -> str:
        """The rest of a path that names one place."""
        out = ""
        for _ in range(self.rng.randrange(3)):
            out += f"[{self.rng.randint(-2, 3)}]" if self.rng.random() < 0.3 else self.name()
        return out + self.name()

    def path(self) -> bytes:
        """A path of either language; the root now and then."""
        pick = self.rng.random()
        if pick < 0.12:
            return b"$"
        if pick < 0.18:
            return b"."
        if pick < 0.35:
            return self.place().encode()
        if pick < 0.7:
            return ("$" + self.place()).encode()
        tail = self.rng.choice([".*", "[*]", "[0:2]", "[-1]", "[0,1]", self.name()])
        if self.rng.random() < 0.4:
            return f"$..{self.rng.choice(NAMES[:3])}".encode()
        return f"$.{self.rng.choice(NAMES[:3])}{tail}".encode()

    def static(self) -> bytes:
        """A path that names one place."""
        return ("$" + self.place()).encode() if self.rng.random() < 0.8 else b"$"

    def target(self) -> list[bytes]:
        """What to set where."""
        where, what = self.rng.choice([(lambda: b"$", self.document), (self.static, self.json), (self.path, self.json)])
        return [where(), what()]

    def index(self) -> bytes:
        return b"%d" % self.rng.randint(-4, 5)

    def number(self) -> bytes:
        return self.text(self.rng.choice([self.rng.randint(-9, 9), self.rng.randint(-99, 99) / 4]))


Make = Callable[[Documents], list[bytes]]
COMMANDS: dict[str, tuple[int, Make]] = {
    "JSON.SET": (14, lambda g: [g.key(), *g.target(), *g.rng.choice([[], [], [], [b"NX"], [b"XX"]])]),
    "JSON.GET": (8, lambda g: [g.key(), *[g.path() for _ in range(g.rng.choice([0, 1, 1, 1, 2]))]]),
    "JSON.MGET": (2, lambda g: [*g.rng.sample(KEYS, g.rng.randint(1, 3)), g.path()]),
    "JSON.DEL": (3, lambda g: [g.key(), *g.rng.choice([[], [g.path()], [g.path()], [g.path()]])]),
    "JSON.FORGET": (1, lambda g: [g.key(), g.path()]),
    "JSON.TYPE": (3, lambda g: [g.key(), g.path()]),
    "JSON.NUMINCRBY": (6, lambda g: [g.key(), g.path(), g.number()]),
    "JSON.STRAPPEND": (3, lambda g: [g.key(), g.path(), g.text(g.rng.choice(WORDS))]),
    "JSON.STRLEN": (2, lambda g: [g.key(), g.path()]),
    "JSON.ARRAPPEND": (5, lambda g: [g.key(), g.path(), *[g.json() for _ in range(g.rng.randint(1, 3))]]),
    "JSON.ARRINSERT": (3, lambda g: [g.key(), g.path(), g.index(), *[g.json() for _ in range(g.rng.randint(1, 2))]]),
    "JSON.ARRPOP": (3, lambda g: [g.key(), g.path(), *g.rng.choice([[], [g.index()]])]),
    "JSON.ARRLEN": (2, lambda g: [g.key(), g.path()]),
    "JSON.ARRINDEX": (2, lambda g: [g.key(), g.path(), g.json(), *[g.index() for _ in range(g.rng.randrange(3))]]),
    "JSON.ARRTRIM": (2, lambda g: [g.key(), g.path(), g.index(), g.index()]),
    "JSON.OBJKEYS": (2, lambda g: [g.key(), g.path()]),
    "JSON.OBJLEN": (2, lambda g: [g.key(), g.path()]),
    "JSON.CLEAR": (1, lambda g: [g.key(), g.path()]),
    "JSON.TOGGLE": (2, lambda g: [g.key(), g.path()]),
    "JSON.MERGE": (4, lambda g: [g.key(), g.rng.choice([b"$", g.static()]), g.document()]),
}  # fmt: skip
