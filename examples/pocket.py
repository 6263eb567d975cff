"""Three replicas without daemon, disk or network: what `crdt/` is by itself.

`meet` is all there is to replication: everybody cuts what it has done into a frame, and applies everybody's.
"""

from __future__ import annotations

from collections.abc import Callable

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.state import State

NAMES = ("ada", "bob", "cyd")
Replicas = tuple[State, State, State]


def pocket() -> tuple[Callable[[], None], Replicas]:
    """(meet, three empty replicas). The first operations of each are ordered ada, bob, cyd by their clocks."""
    replicas = (State(Actor("ada", 1)), State(Actor("bob", 2)), State(Actor("cyd", 3)))
    now = 1_700_000_000_000

    def begin() -> None:
        for late, state in enumerate(replicas):
            state.begin(now + late)  # the wall clock is told, never read

    def meet() -> None:
        nonlocal now
        frames = [(state, frame) for state in replicas if (frame := state.cut()) is not None]
        messages = [(author, encode_frame(frame)) for author, frame in frames]
        for author, message in messages:
            for state in replicas:
                if state is not author:
                    state.apply(decode_frame(message))
        assert len({state.hash for state in replicas}) == 1, "equal vectors mean equal state"
        now += 1_000
        begin()

    begin()
    return meet, replicas
