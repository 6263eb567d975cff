"""The bytes of a snapshot: the list of what is live, in parts, and rows in portions that fit a message.

A snapshot is a vector, the live dots of every actor as intervals, and rows (docs/protocol.md, "Below the log"). The
list of the intervals is small, and is what makes tombstones unnecessary. Its parts can each be read alone: a
MessagePack array of [name, nonce, n, gap, length, gap, length ...], the gaps counted from 0 in each of them.
Must not know: who asks, when what is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack

from crdt.codec import decode_actor, decode_live, encode_live, encode_rows, natural, pack
from crdt.columns import Row, Wires, grouped
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.errors import PeerError
from crdt.frozen import Frozen

_HEADER: Final = 5  # bytes of an array's, at most
_packer = msgpack.Packer(autoreset=True)
_ROW: Final = 12  # bytes of a row besides its key or field and its value, for an estimate


def list_parts(frozen: Frozen, room: int) -> Iterator[bytes | None]:
    """The list in parts of at most `room` bytes; None: take a break here."""
    batch: list[bytes] = []
    size = 0
    for portion in frozen.intervals():
        if portion is None:
            yield None
            continue
        actor, n, runs = portion
        for data in _fragments(actor, n, runs, room - _HEADER):
            if batch and size + len(data) > room - _HEADER:
                yield _array(batch)
                batch, size = [], 0
            batch.append(data)
            size += len(data)
    yield _array(batch)


def _array(entries: list[bytes]) -> bytes:
    header: bytes = _packer.pack_array_header(len(entries))
    return header + b"".join(entries)


def _fragments(actor: Actor, n: int, runs: Runs, room: int) -> list[bytes]:
    data: bytes = pack([*actor, n, *encode_live(runs)])
    if len(data) <= room or len(runs.starts) < 2:
        return [data]
    half = len(runs.starts) // 2
    low, high = Runs(), Runs()
    low.starts, low.stops = runs.starts[:half], runs.stops[:half]
    high.starts, high.stops = runs.starts[half:], runs.stops[half:]
    return _fragments(actor, n, low, room) + _fragments(actor, n, high, room)


def decode_part(data: bytes) -> list[tuple[Actor, int, Runs]]:
    """Inverse of one part. Raises PeerError."""
    out: list[tuple[Actor, int, Runs]] = []
    try:
        for name, nonce, n, *flat in msgpack.unpackb(data, strict_map_key=False):
            runs = decode_live(flat)
            if not 0 < natural(n) <= SEQ_MASK or (runs.stops and runs.stops[-1] > n + 1):
                raise ValueError("rows above the vector")
            out.append((decode_actor(name, nonce), n, runs))
    except (
        ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException, msgpack.ExtraData
    ) as error:  # fmt: skip
        raise PeerError("malformed", f"snapshot: {error}") from None
    return out


def portions(rows: list[Row], wires: Wires, room: int) -> Iterator[tuple[int, bytes]]:
    """(seq of its last row, encoded rows) of portions of at most `room` bytes, or of one row that is larger."""
    start, size = 0, 0
    for i, (_, entry, field, raw, _) in enumerate(rows):
        size += _ROW + len(entry.key if field is None else field) + (len(raw) if raw.__class__ is bytes else 0)
        if size > room and i > start:
            yield from _fitting(rows[start:i], wires, room)
            start, size = i, 0
    if start < len(rows):
        yield from _fitting(rows[start:], wires, room)


def _fitting(rows: list[Row], wires: Wires, room: int) -> Iterator[tuple[int, bytes]]:
    data = encode_rows(grouped(rows, wires))
    if len(data) <= room or len(rows) == 1:
        yield rows[-1][0] & SEQ_MASK, data
    else:
        half = len(rows) // 2
        yield from _fitting(rows[:half], wires, room)
        yield from _fitting(rows[half:], wires, room)
