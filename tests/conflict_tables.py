"""The tables of docs/conflicts.md as steps that two replicas can carry out.

Knows: how a table of that page is spelled, and how its replies are. Promises: every code span of a table is either a
command or the reply expected after an arrow; a table of another shape is an error, never skipped.
Must not know: what the right answer is.

Two shapes:

    | both have | replica A | replica B, later | after the exchange |     one round a row
    | step | replica A | replica B |                                one story a table, `exchange` or `wait 5 s` in a row
                                                                    of its own
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.state import State
from daemon.api import commands as _table  # noqa: F401  fills the table of commands
from daemon.api.database import Database
from daemon.api.dispatch import execute
from daemon.api.limits import Limits
from daemon.api.session import Session
from tests.oracle import Reply, reply

ROUNDS: Final = ("both have", "replica A", "replica B, later", "after the exchange")
STORY: Final = ("step", "replica A", "replica B")
BOTH: Final = "AB"
EXCHANGE: Final = "exchange"
WAIT: Final = re.compile(r"wait (\d+) s")
SPAN: Final = re.compile(r"`([^`]+)`(?: → `([^`]+)`)?")
UNORDERED: Final = frozenset({"SMEMBERS", "SINTER", "SUNION", "SDIFF", "KEYS", "GSET.MEMBERS", "HKEYS", "HVALS"})


@dataclass(frozen=True, slots=True)
class Step:
    """`who`: the replicas that say it, one after the other. `expected`: None if any reply will do that is no error."""

    who: str
    command: str
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Steps on two replicas that begin empty. `name`: the heading and the line in the page."""

    name: str
    steps: tuple[Step, ...]


# -- the page -----------------------------------------------------------------------------------------------------


def scenarios(page: str) -> Iterator[Scenario]:
    """Every round and every story of the page, in order. Raises ValueError for a table of another shape."""
    for heading, line, head, rows in _tables(page):
        if head == ROUNDS:
            for number, (before, a, b, after) in enumerate(rows, line + 2):
                steps = _steps(BOTH, before)
                steps += [Step(BOTH, EXCHANGE), *_steps("A", a), *_steps("B", b), Step(BOTH, EXCHANGE)]
                yield Scenario(f"{heading}, line {number}", (*steps, *_checks(after, number)))
        elif head == STORY:
            steps = [step for _, a, b in rows for step in _row(a, b)]
            yield Scenario(f"{heading}, line {line}", tuple(steps))
        else:
            raise ValueError(f"line {line}: a table with the columns {head}")


def _tables(page: str) -> Iterator[tuple[str, int, tuple[str, ...], list[tuple[str, ...]]]]:
    heading, lines = "", page.splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("#"):
            heading = lines[at].lstrip("# ")
        if lines[at].startswith("|"):
            start = at
            while at < len(lines) and lines[at].startswith("|"):
                at += 1
            head, _, *rows = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines[start:at]]
            if any(len(row) != len(head) for row in rows):
                raise ValueError(f"line {start + 1}: rows of different lengths")
            yield heading, start + 1, head, rows
        at += 1


def _steps(who: str, cell: str) -> list[Step]:
    return [Step(who, command, expected) for command, expected in _spans(cell)]


def _spans(cell: str) -> list[tuple[str, str | None]]:
    return [(command, expected or None) for command, expected in SPAN.findall(cell)]


def _checks(cell: str, line: int) -> list[Step]:
    steps = _steps(BOTH, cell)
    if not steps or any(step.expected is None for step in steps):
        raise ValueError(f"line {line}: a check without a reply")
    return steps


def _row(a: str, b: str) -> list[Step]:
    if a == b and (a == EXCHANGE or WAIT.fullmatch(a)):
        return [Step(BOTH, a)]
    return [*_steps("A", a), *_steps("B", b)]


# -- two replicas ---------------------------------------------------------------------------------------------------


class Side:
    """One replica: a state and a connection to it, without a daemon around."""

    def __init__(self, name: str, nonce: int) -> None:
        self.state = State(Actor(name, nonce))
        self.database = Database(0, "default", self.state)
        hub: Any = SimpleNamespace(
            databases=[self.database], limits=Limits(), rng=random.Random(nonce), loading=None, hold_replies=False
        )
        server: Any = SimpleNamespace(hub=hub, schedule=lambda session: None, monitors={})
        wire: Any = SimpleNamespace(write=lambda data: None, close=lambda: None, abort=lambda: None)
        self.session = Session(server, 1, wire)
        self._context = b""

    def say(self, text: str) -> str:
        """One command, its reply as the page spells it. The word `c` after CONTEXT: what the last MV.GET answered."""
        args = [word.encode() for word in text.split()]
        if args[-2:] == [b"CONTEXT", b"c"]:
            args[-1] = self._context
        found = reply(execute(self.session, args))
        if args[0] == b"MV.GET" and found[1] is not None:
            self._context = found[1][1][1]
            return " ".join(item[1][1][1].decode() for item in found[1][3][1])
        if args[0] == b"HGETALL" and isinstance(found[1], list):
            pairs = sorted(zip(found[1][::2], found[1][1::2], strict=True))
            found = found[0], [word for pair in pairs for word in pair]
        return spelled(found, args[0].decode() in UNORDERED)

    def cut(self) -> bytes | None:
        """What is pending, as the bytes that travel."""
        frame = self.state.cut()
        return None if frame is None else encode_frame(frame)

    def take(self, data: bytes) -> None:
        """A frame of the other side, as a daemon takes it in: watchers hear of what it changed."""
        frame = decode_frame(data)
        assert self.state.ready(frame)
        for key, event in self.state.apply(frame) or ():
            self.database.touch(key, event)


class Pair:
    """Replicas A and B; the clock of B is always later."""

    def __init__(self) -> None:
        self.sides = {"A": Side("a", 1), "B": Side("b", 2)}
        self._now = 1_000

    def run(self, scenario: Scenario) -> None:
        """All steps, and what the page promises after each. Raises AssertionError."""
        for step in scenario.steps:
            if step.command == EXCHANGE:
                self.exchange()
                continue
            if pause := WAIT.fullmatch(step.command):
                self._now += 1000 * int(pause[1])
                continue
            # What both have was written by one of them.
            for who in "A" if step.who == BOTH and step.expected is None else step.who:
                self._now += 1
                self.sides[who].database.begin(self._now)
                answer = self.sides[who].say(step.command)
                problem = f"{who}: {step.command} -> {answer}, the page says {step.expected}"
                assert not answer.startswith("(error)") if step.expected is None else answer == step.expected, problem

    def exchange(self) -> None:
        """Both cut and give each other what they cut; then they hold the same."""
        a, b = self.sides.values()
        cuts = a.cut(), b.cut()
        for side, data in ((b, cuts[0]), (a, cuts[1])):
            if data is not None:
                side.take(data)
        for data, side in ((a.cut(), b), (b.cut(), a)):  # what a frame has released: baselines of dead counts
            if data is not None:
                side.take(data)
        assert a.state.hash == b.state.hash and a.state.vector() == b.state.vector()


def spelled(found: Reply, unordered: bool = False) -> str:
    """A reply on one line: words of an array beside each other, those without an order sorted."""
    kind, content = found
    if content is None:
        return "(nil)"
    if kind == "-":
        return f"(error) {content.decode()}"
    if not isinstance(content, list):
        return content.decode() or '""'
    words = [spelled(item) for item in content]
    return " ".join(sorted(words) if unordered else words) or "(empty)"
