"""The core alone, in one process: what an operation costs, what its cut and encoding add, what a peer pays for it.

Each figure stands beside a bare dict that takes the same keys in the same order, measured in turns: that ratio moves
little with the machine, so it guards against regressions. Keys are random out of 100,000, as for
redis-benchmark, all of them there already: nearly every write replaces a committed row, which is the dear case. Time is
CPU time of this thread; the garbage collector is off, as it is in the daemon.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time_ns
from typing import Final

from bench.table import Row
from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.state import State
from crdt.types import counters, hashes, sets, strings

KEYS: Final = 100_000
BATCH: Final = 256  # operations a cut, as the daemon cuts at the latest
Write = Callable[[State, bytes], object]

# Upper bounds of the ratio to a bare dict: a half above what is measured without compiling, so that only a real loss
# trips them.
WRITES: Final[dict[str, tuple[Write, float]]] = {
    "SET": (lambda state, name: strings.put(state, name, b"xxx"), 55),
    "INCR": (lambda state, name: counters.incr(state, name, 1), 92),
    "SADD": (lambda state, name: sets.add(state, b"set", [name]), 54),
    "HSET": (lambda state, name: hashes.put(state, b"hash", [(name, b"xxx")]), 67),
}
PARTS: Final = ("write", "cut", "encode", "decode", "apply")


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """For each operation, what one costs in all its parts, beside a bare dict."""
    batches = max(20, int(100 * scale))
    gc.collect()
    gc.disable()
    try:
        for name, (write, bound) in WRITES.items():
            yield _row(name, write, bound, rounds, batches)
        yield _reads(rounds, batches)
    finally:
        gc.enable()


def _row(name: str, write: Write, bound: float, rounds: int, batches: int) -> Row:
    rng, names = Random(1), [b"key:%012d" % i for i in range(KEYS)]
    state, peer, bare = _state(1), _state(2), dict.fromkeys(names, b"")
    _measure(state, peer, write, [names[i : i + BATCH] for i in range(0, KEYS, BATCH)])
    row = Row(f"{name} in the core, its cut and a peer's apply", "a bare dict", "ns", goal=bound, more_is_better=False)
    parts: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(rounds):
        chosen = [rng.choices(names, k=BATCH) for _ in range(batches)]
        count = batches * BATCH
        spent = _measure(state, peer, write, chosen)
        row.theirs.append(_bare(bare, chosen) / count)
        row.ours.append(sum(spent) / count)
        for part, ns in zip(PARTS, spent, strict=True):
            parts[part].append(ns / count)
    assert state.hash == peer.hash
    row.note = ", ".join(f"{part} {median(found):.0f}" for part, found in parts.items())
    return row


def _measure(state: State, peer: State, write: Write, chosen: list[list[bytes]]) -> list[int]:
    """CPU time in ns of each of PARTS."""
    spent = [0] * len(PARTS)
    for batch in chosen:
        state.begin(state.clock.wall_ms + 1)
        at = [thread_time_ns()]
        for name in batch:
            write(state, name)
        at.append(thread_time_ns())
        frame = state.cut()
        at.append(thread_time_ns())
        assert frame is not None
        data = encode_frame(frame)
        at.append(thread_time_ns())
        received = decode_frame(data)
        at.append(thread_time_ns())
        peer.apply(received)
        at.append(thread_time_ns())
        for i in range(len(PARTS)):
            spent[i] += at[i + 1] - at[i]
    return spent


def _bare(bare: dict[bytes, bytes], chosen: list[list[bytes]]) -> int:
    began = thread_time_ns()
    for batch in chosen:
        for name in batch:
            bare[name] = b"xxx"
    return thread_time_ns() - began


def _reads(rounds: int, batches: int) -> Row:
    rng, names = Random(2), [b"key:%012d" % i for i in range(KEYS)]
    state, bare = _state(3), dict.fromkeys(names, b"xxx")
    for name in names:
        strings.put(state, name, b"xxx")
    row = Row("GET in the core", "a bare dict", "ns", goal=5, more_is_better=False)
    for _ in range(rounds):
        chosen = rng.choices(names, k=batches * BATCH)
        began = thread_time_ns()
        for name in chosen:
            bare.get(name)
        between = thread_time_ns()
        for name in chosen:
            strings.get(state, name)
        row.ours.append((thread_time_ns() - between) / len(chosen))
        row.theirs.append((between - began) / len(chosen))
    return row


def _state(nonce: int) -> State:
    state = State(Actor("bench", nonce))
    state.begin(1_700_000_000_000)
    return state
