"""The core as a library beside pycrdt and loro: the same operations, from Python, in one process.

Ours count the cut and, for merges, encoding and decoding. A set is a map to True in the libraries that have none.
Both are optional (`pip install pycrdt loro`); what is missing is skipped. The garbage collector runs as it does by
default for everybody.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench.table import Row
from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.frame import Frame
from crdt.state import State
from crdt.types import counters, hashes, lists, sets, texts

COUNT = 20_000  # pycrdt appends to a list in time that grows with its square
Job = Callable[[int], float]  # number of operations -> seconds


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """Operations a second of each kind, for each library that is installed."""
    count = int(COUNT * scale)
    ours = {
        "map set": _map,
        "set add": _set,
        "counter": _counter,
        "merge": _merge,
        "list append": _list,
        "text typing": _typing,
        "text insert anywhere": _anywhere,
        "text merge": _text_merge,
    }
    for name, jobs in (("pycrdt", _pycrdt), ("loro", _loro)):
        try:
            others = jobs(importlib.import_module(name))
        except ImportError:
            yield Row("as a library", name, "", skipped=f"{name} is not installed (pip install {name})")
            continue
        for what, other in others.items():
            row = Row(f"{what}, as a library", name, "/s", goal=1.0)
            for _ in range(rounds):
                row.theirs.append(_rate(other, count))
                row.ours.append(_rate(ours[what], count))
            yield row


def _rate(job: Job, count: int) -> float:
    gc.collect()
    return count / job(count)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _names(count: int) -> list[bytes]:
    return [b"field:%d" % i for i in range(count)]


def _map(count: int) -> float:
    state, names = _state(1), _names(count)

    def work() -> None:
        for name in names:
            hashes.put(state, b"map", [(name, b"value")])
        state.cut()

    return _timed(work)


def _set(count: int) -> float:
    state, names = _state(1), _names(count)

    def work() -> None:
        for name in names:
            sets.add(state, b"set", [name])
        state.cut()

    return _timed(work)


def _counter(count: int) -> float:
    state = _state(1)

    def work() -> None:
        for _ in range(count):
            counters.incr(state, b"counter", 1)
        state.cut()

    return _timed(work)


def _merge(count: int) -> float:
    source, target = _state(1), _state(2)
    for name in _names(count):
        hashes.put(source, b"map", [(name, b"value")])
    frame = source.cut()
    assert frame is not None

    return _timed(lambda: target.apply(decode_frame(encode_frame(frame))))


def _list(count: int) -> float:
    state = _state(1)

    def work() -> None:
        for _ in range(count):
            lists.push(state, b"list", [b"value"])
        state.cut()

    return _timed(work)


def _typing(count: int) -> float:
    return _typed(list(range(count)))[1]


def _anywhere(count: int) -> float:
    return _typed(_spots(count))[1]


def _typed(spots: list[int]) -> tuple[Frame, float]:
    """One character at each of these indexes, and their frame."""
    state = _state(1)
    frames: list[Frame | None] = []

    def work() -> None:
        for at in spots:
            texts.insert(state, b"text", at, "x")
        frames.append(state.cut())

    seconds = _timed(work)
    frame = frames[0]
    assert frame is not None
    return frame, seconds


def _text_merge(count: int) -> float:
    frame, target = _typed(_spots(count))[0], _state(2)
    return _timed(lambda: target.apply(decode_frame(encode_frame(frame))))


def _spots(count: int) -> list[int]:
    """Where somebody types who jumps about: runs of 20 characters, each at a random place. The same for everybody."""
    dice = Random(1)
    out: list[int] = []
    while len(out) < count:
        at = dice.randint(0, len(out))
        out += range(at, at + min(20, count - len(out)))
    return out


def _state(nonce: int) -> State:
    state = State(Actor("bench", nonce))
    state.begin(1_700_000_000_000)
    return state


def _pycrdt(pycrdt: Any) -> dict[str, Job]:
    def filled(count: int) -> tuple[Any, float]:
        doc = pycrdt.Doc()
        doc["map"] = held = pycrdt.Map()
        names = [f"field:{i}" for i in range(count)]

        def work() -> None:
            with doc.transaction():
                for name in names:
                    held[name] = "value"

        return doc, _timed(work)

    def taken_in(source: Any) -> float:
        target = pycrdt.Doc()
        return _timed(lambda: target.apply_update(source.get_update()))

    def append(count: int) -> float:
        doc = pycrdt.Doc()
        doc["list"] = held = pycrdt.Array()

        def work() -> None:
            with doc.transaction():
                for _ in range(count):
                    held.append("value")

        return _timed(work)

    def typed(spots: list[int]) -> tuple[Any, float]:
        doc = pycrdt.Doc()
        doc["text"] = held = pycrdt.Text()

        def work() -> None:
            with doc.transaction():
                for at in spots:
                    held.insert(at, "x")

        return doc, _timed(work)

    return {
        "map set": lambda count: filled(count)[1],
        "set add": lambda count: filled(count)[1],
        "merge": lambda count: taken_in(filled(count)[0]),
        "list append": append,
        "text typing": lambda count: typed(list(range(count)))[1],
        "text insert anywhere": lambda count: typed(_spots(count))[1],
        "text merge": lambda count: taken_in(typed(_spots(count))[0]),
    }


def _loro(loro: Any) -> dict[str, Job]:
    def filled(count: int) -> tuple[Any, float]:
        doc = loro.LoroDoc()
        held = doc.get_map("map")
        names = [f"field:{i}" for i in range(count)]

        def work() -> None:
            for name in names:
                held.insert(name, "value")
            doc.commit()

        return doc, _timed(work)

    def count_up(count: int) -> float:
        doc = loro.LoroDoc()
        counter = doc.get_counter("counter")

        def work() -> None:
            for _ in range(count):
                counter.increment(1)
            doc.commit()

        return _timed(work)

    def taken_in(source: Any) -> float:
        target = loro.LoroDoc()
        return _timed(lambda: target.import_(source.export(loro.ExportMode.Updates(loro.VersionVector()))))

    def append(count: int) -> float:
        doc = loro.LoroDoc()
        held = doc.get_list("list")

        def work() -> None:
            for _ in range(count):
                held.push("value")
            doc.commit()

        return _timed(work)

    def typed(spots: list[int]) -> tuple[Any, float]:
        doc = loro.LoroDoc()
        held = doc.get_text("text")

        def work() -> None:
            for at in spots:
                held.insert(at, "x")
            doc.commit()

        return doc, _timed(work)

    return {
        "map set": lambda count: filled(count)[1],
        "set add": lambda count: filled(count)[1],
        "counter": count_up,
        "merge": lambda count: taken_in(filled(count)[0]),
        "list append": append,
        "text typing": lambda count: typed(list(range(count)))[1],
        "text insert anywhere": lambda count: typed(_spots(count))[1],
        "text merge": lambda count: taken_in(typed(_spots(count))[0]),
    }
