"""Small helpers of the type tests: states that exchange everything, and the truth tables of docstrings."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from crdt import codec
from crdt.dots import Actor
from crdt.frame import Frame
from crdt.state import State
from tests.crdt.algebra import check_books

T = TypeVar("T")


def pending(state: State) -> Frame | None:
    """What is pending, cut, as a peer reads it."""
    one = state.cut()
    return None if one is None else codec.decode_frame(codec.encode_frame(one))


def cut(state: State) -> Frame:
    """`pending`, where there is something."""
    one = pending(state)
    assert one is not None
    return one


class Replicas:
    """States named a, b, c ... that wrote at different times: a's clock is behind b's, and so on."""

    def __init__(self, count: int = 2) -> None:
        self.states = [State(Actor("abcdef"[i], 10 + i)) for i in range(count)]
        self.frames: list[Frame] = []
        for i, state in enumerate(self.states):
            state.begin(1_000_000 + i)

    def __getitem__(self, i: int) -> State:
        return self.states[i]

    def cut(self) -> None:
        """Everybody's pending work becomes frames that have not travelled yet."""
        for state in self.states:
            one = pending(state)
            if one is not None:
                self.frames.append(one)

    def exchange(self) -> None:
        """Cut, and deliver until everybody has everything and nobody has anything more to say."""
        while True:
            self.cut()
            sent, self.frames = self.frames, []
            for state in self.states:
                waiting = [one for one in sent if one.actor != state.actor]
                while waiting:
                    ready = [one for one in waiting if state.ready(one)]
                    assert ready, "a frame waits for something that does not exist"
                    for one in ready:
                        state.apply(one)
                        waiting.remove(one)
            if not sent:
                break
        assert len({state.hash for state in self.states}) == 1
        assert all(check_books(state) == [] for state in self.states)

    def agree(self, read: Callable[[State], T]) -> T:
        """What all of them answer."""
        first, *others = [read(state) for state in self.states]
        assert all(answer == first for answer in others)
        return first


def table(module: ModuleType) -> list[tuple[str, ...]]:
    """The truth table in the module's docstring: what A does, what B does, what comes of it."""
    assert module.__doc__ is not None
    found = re.search(r"^    A  .*\n((?:    \S.*\n)+)", module.__doc__, re.MULTILINE)
    assert found is not None
    return [tuple(re.split(r" {2,}", line.strip())) for line in found[1].splitlines()]
