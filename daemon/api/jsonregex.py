"""Regular expressions of JSON path filters (`=~`), in time linear in the text.

Knows the part of Rust's syntax that people use: `.` `[a-z]` `[^..]` `\\d \\w \\s` and their capitals, `^ $`, groups,
`|`, `* + ? {m,n}`, `(?i)` at the beginning. As in RedisJSON an expression is searched for, and one that cannot be read
matches nothing. Promises: no expression takes more than BUDGET steps; beyond, an error. Must not know paths, documents.

Python's `re` backtracks: `(a+)+$` against forty letters would hold every client of the daemon for minutes.

Source: Thompson, "Regular expression search algorithm" (1968); the sets of states are remembered as they come up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from crdt.errors import UsageError

MAX_STATES: Final = 2_000
MAX_NESTING: Final = 50
MAX_REPEAT: Final = 1_000
BUDGET: Final = 2_000_000
REMEMBERED: Final = 5_000

Test = Callable[[str], bool]
# A state is ("char", test, next) ("split", next, next) ("start", next) ("end", next) or ("match",).
Program = list[tuple[object, ...]]
_counted = re.compile(r"\{([0-9]{1,4})(,([0-9]{0,4}))?\}").match
_CLASSES: Final[dict[str, Test]] = {
    "d": str.isdecimal,
    "w": lambda char: char.isalnum() or char == "_",
    "s": str.isspace,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}


class Malformed(ValueError):
    """An expression that cannot be read here."""


def matches(pattern: str, text: str) -> bool:
    """Whether the expression is found anywhere in the text. Raises UsageError if that takes too long."""
    try:
        machine = _machine(pattern) if len(pattern) <= MAX_STATES else None
    except Malformed:
        machine = None
    return machine is not None and machine.search(text)


# -- reading: each part of an expression becomes a function that appends its states -----------------------------------

Part = Callable[[Program], None]


class _Reader:
    def __init__(self, text: str) -> None:
        self.folded = text.startswith("(?i)")
        self.text = text[4:] if self.folded else text
        self.at = 0
        self.nesting = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        char = self.peek()
        if not char:
            raise Malformed
        self.at += 1
        return char

    def whole(self) -> Part:
        part = self.either()
        if self.at < len(self.text):
            raise Malformed
        return part

    def either(self) -> Part:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        part = parts.pop()
        while parts:
            part = _alternative(parts.pop(), part)
        return part

    def sequence(self) -> Part:
        parts: list[Part] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.single()))
        return _all(parts)

    def repeated(self, part: Part) -> Part:
        while self.peek() and self.peek() in "*+?{":
            found = _counted(self.text, self.at)
            if found is not None:
                self.at = found.end()
                low = int(found[1])
                high = low if found[2] is None else int(found[3]) if found[3] else None
                if max(low, high or 0) > MAX_REPEAT or (high is not None and high < low):
                    raise Malformed
            else:
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (-1, None)}[self.next()]
                if low < 0:
                    raise Malformed
            if self.peek() == "?":  # lazy: the same texts are found
                self.at += 1
            part = _repeat(part, low, high)
        return part

    def single(self) -> Part:
        char = self.next()
        if char == "(":
            return self.group()
        if char == "[":
            return _char(self.fold(self.bracket()))
        if char == ".":
            return _char(lambda c: c != "\n")
        if char in "^$":
            kind = "start" if char == "^" else "end"
            return lambda program: program.append((kind, len(program) + 1))
        if char in "*+?{":
            raise Malformed
        return _char(self.fold(self.escaped() if char == "\\" else _equals(char)))

    def group(self) -> Part:
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self.peek() == "?":
            raise Malformed
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise Malformed
        part = self.either()
        self.nesting -= 1
        if self.next() != ")":
            raise Malformed
        return part

    def escaped(self) -> Test:
        char = self.next()
        if char.lower() in _CLASSES:
            test = _CLASSES[char.lower()]
            return test if char.islower() else _not(test)
        if char in _CONTROLS:
            return _equals(_CONTROLS[char])
        if char.isalnum():
            raise Malformed
        return _equals(char)

    def bracket(self) -> Test:
        negated = self.peek() == "^"
        self.at += negated
        tests: list[Test] = []
        while not tests or self.peek() != "]":
            char = self.next()
            if char == "\\":
                tests.append(self.escaped())
            elif self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("", "]", "\\"):
                self.at += 1
                tests.append(_between(char, self.next()))
            else:
                tests.append(_equals(char))
        self.at += 1
        return _not(_any(tests)) if negated else _any(tests)

    def fold(self, test: Test) -> Test:
        if not self.folded:
            return test
        return lambda char: test(char.lower()) or test(char.upper())


def _equals(wanted: str) -> Test:
    return lambda char: char == wanted


def _between(low: str, high: str) -> Test:
    return lambda char: low <= char <= high


def _not(test: Test) -> Test:
    return lambda char: not test(char)


def _any(tests: list[Test]) -> Test:
    return lambda char: any(test(char) for test in tests)


def _room(program: Program) -> None:
    if len(program) > MAX_STATES:
        raise Malformed


def _char(test: Test) -> Part:
    def append(program: Program) -> None:
        _room(program)
        program.append(("char", test, len(program) + 1))

    return append


def _all(parts: list[Part]) -> Part:
    def append(program: Program) -> None:
        for part in parts:
            part(program)

    return append


def _alternative(one: Part, other: Part) -> Part:
    def append(program: Program) -> None:
        _room(program)
        split = len(program)
        program.append(())
        one(program)
        end = len(program)
        program.append(())
        program[split] = ("split", split + 1, len(program))
        other(program)
        program[end] = ("split", len(program), len(program))

    return append


def _repeat(part: Part, low: int, high: int | None) -> Part:
    def append(program: Program) -> None:
        for _ in range(low):
            _room(program)
            part(program)
        if high is None:
            split = len(program)
            program.append(())
            part(program)
            _room(program)
            program.append(("split", split, split))
            program[split] = ("split", split + 1, len(program))
            return
        for _ in range(high - low):
            _room(program)
            split = len(program)
            program.append(())
            part(program)
            program[split] = ("split", split + 1, len(program))

    return append


# -- searching --------------------------------------------------------------------------------------------------------


class _Machine:
    """A program, and the sets of its states that texts have led to."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.after: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self.left = 0

    def search(self, text: str) -> bool:
        """Whether any part of the text matches."""
        self.left = BUDGET
        final = len(self.program) - 1
        states = self.closure([0], True, not text)
        fresh = self.closure([0], False, False)
        for at, char in enumerate(text):
            if final in states:
                return True
            last = at + 1 == len(text)
            step = self.step(states, char)
            # A match may begin behind any character; `$` holds behind the last.
            states = self.closure([*step, 0], False, True) if last else (step | fresh if step else fresh)
            self.spend(1)
        return final in states

    def step(self, states: frozenset[int], char: str) -> frozenset[int]:
        """The states behind one more character."""
        known = self.after.get((states, char))
        if known is None:
            reached = []
            for state in states:
                instruction = self.program[state]
                if instruction[0] == "char" and instruction[1](char):  # type: ignore[operator]
                    reached.append(instruction[2])
            self.spend(len(states))
            known = self.closure(reached, False, False)  # type: ignore[arg-type]
            if len(self.after) >= REMEMBERED:
                self.after.clear()
            self.after[states, char] = known
        return known

    def closure(self, states: list[int], start: bool, end: bool) -> frozenset[int]:
        """These states and all that need no further character."""
        seen = set(states)
        stack = list(seen)
        while stack:
            instruction = self.program[stack.pop()]
            kind = instruction[0]
            if kind == "split" or (kind == "start" and start) or (kind == "end" and end):
                for target in instruction[1:]:
                    if target not in seen:
                        seen.add(target)  # type: ignore[arg-type]
                        stack.append(target)  # type: ignore[arg-type]
        self.spend(len(seen))
        return frozenset(seen)

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise UsageError("ERR regular expression takes too long")


@lru_cache(64)
def _machine(pattern: str) -> _Machine:
    program: Program = []
    _Reader(pattern).whole()(program)
    program.append(("match",))
    return _Machine(program)
