"""Bytes: on the wire after coalescing, and of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

import msgpack

from bench.servers import Process, broker, daemon, redis_server
from bench.table import Row
from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.replica.messages import Delta, encode
from crdt.state import State
from crdt.types import counters, sets, strings

ACTOR: Final = Actor("bench", 0xB5297A4D3C1E8F67)
MS: Final = 1_700_000_000_000
TOPIC: Final = "gs/v1/default/b/bench/d"


def wire() -> Iterator[Row]:
    """Whole frames, as they are stored and repaired, against the MessagePack of what is left after coalescing: keys,
    fields and values alone, without the author, the numbers and the times of the operations.
    """
    rng = Random(1)
    members = [rng.randbytes(20) for _ in range(10_000)]
    state = State(ACTOR)
    state.begin(MS)
    sets.add(state, b"set", members)
    size = len(_cut(state))
    yield Row(
        "bytes of a 20-byte set element in a batch",
        "the goal",
        "B",
        [size / len(members)],
        goal=100,
        more_is_better=False,
    )
    yield _bytes("10,000 set adds", size, msgpack.packb([b"set", members]))
    for _ in range(10_000):
        counters.incr(state, b"counter", 1)
    row = _bytes("10,000 increments of one counter", len(_cut(state)), msgpack.packb([b"counter", 10_000]))
    said = msgpack.packb([*ACTOR, 10_001, 20_000, MS, strings.StringEntry.CODE, b"counter", 10_000])
    row.note = f"MessagePack with author, range and time as well: {len(said)} B"
    yield row
    left = {}
    for i in range(10_000):
        state.begin(MS + i // 50)
        key = b"register:%d" % rng.randrange(100)
        left[key] = rng.randbytes(20)
        strings.put(state, key, left[key])
    yield _bytes("10,000 writes over 100 registers", len(_cut(state)), msgpack.packb(left))
    yield from _messages()


def _messages() -> Iterator[Row]:
    """What a single write is on the network, from topic to value, where each has a message of its own."""
    state = State(ACTOR)
    key, value = b"key:0001", b"v" * 20
    acts: list[tuple[str, Callable[[], object]]] = [
        ("a first INCR", lambda: counters.incr(state, b"counter", 1)),
        ("INCR", lambda: counters.incr(state, b"counter", 1)),
        ("SADD of 20 bytes", lambda: sets.add(state, b"set", [value])),
        ("SREM", lambda: sets.remove(state, b"set", [value])),
        ("a first SET of 20 bytes", lambda: strings.put(state, key, value)),
        ("SET of 20 bytes", lambda: strings.put(state, key, value)),
    ]
    for i, (what, act) in enumerate(acts):
        state.begin(MS + 100 * i)
        act()
        frame = _cut(state)
        message = encode(Delta([frame]), ACTOR.name)
        size = 2 + 2 + len(TOPIC) + 2 + 1 + len(message)  # MQTT 5 at QoS 1 without properties
        note = f"frame {len(frame)} B, message {len(message)} B"
        yield Row(f"wire: {what} alone, as PUBLISH", "", "B", [size], more_is_better=False, note=note)


def _cut(state: State) -> bytes:
    frame = state.cut()
    assert frame is not None
    return encode_frame(frame)


def _bytes(what: str, ours: int, theirs: bytes) -> Row:
    return Row(
        f"wire: {what}", "MessagePack of what is left", "B", [ours], [len(theirs)], goal=1.3, more_is_better=False
    )


def memory(directory: Path, count: int) -> Iterator[Row]:
    """Resident bytes per element and per key."""
    with ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        ours = stack.enter_context(daemon(directory, "memory", port, "--durability", "interval"))
        theirs = stack.enter_context(redis_server(directory, name="memory-redis"))
        for what, fill in (("set element of 20 bytes", fill_set), ("string key", fill_strings)):
            row = Row(f"memory per {what}", "redis-server", "B", goal=3.0, more_is_better=False)
            for server, samples in ((ours, row.ours), (theirs, row.theirs)):
                before = server.resident()
                fill(server, count)
                time.sleep(1.0)
                samples.append((server.resident() - before) / count)
            yield row


def fill_set(server: Process, count: int, key: str = "big", batch: int = 5000) -> None:
    """`count` members of 20 bytes, `batch` in a command."""
    client = server.client()
    for start in range(0, count, batch):
        client.sadd(key, *(b"member:%013d" % i for i in range(start, min(count, start + batch))))


def fill_strings(server: Process, count: int) -> None:
    """`count` keys with a value of 20 bytes."""
    client = server.client()
    for start in range(0, count, 5000):
        client.mset({b"key:%d" % i: b"value:%014d" % i for i in range(start, min(count, start + 5000))})


def rows(directory: Path, rounds: int, scale: float) -> Iterator[Row]:
    """All rows of this module."""
    yield from wire()
    yield from memory(directory, int(1_000_000 * scale))
