"""A state as of one vector, without the rows that the asker has: what is sent when the log no longer reaches back.

The join (docs/protocol.md, "Below the log"): a row is kept if it is live there or above the vector. `live` names every
live dot as intervals, which are small, and that is what makes tombstones unnecessary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from crdt.codec import decode_actor, decode_live, decode_rows, encode_live, encode_rows, natural, pack
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Group
from crdt.state import State


@dataclass(slots=True)
class Snapshot:
    """`vector` where it stands; `base` what the asker had; `live` seqs per actor; `rows` that `base` does not cover."""

    vector: dict[Actor, int]
    base: dict[Actor, int]
    live: dict[Actor, Runs]
    rows: dict[Actor, list[Group]]


def encode_snapshot(state: State, base: Mapping[Actor, int]) -> bytes:
    """The state at its frame boundary (cut first), for an asker at `base`."""
    body: list[Any] = []
    vector = state.vector()
    for actor, n in sorted(vector.items()):
        rows = state.intern(actor)
        live = [dot & SEQ_MASK for chunk in rows.chunks for i in chunk.live() for dot in (chunk.dots[i],)]
        missing = [
            encode_rows(groups)
            for chunk, start in rows.above(base.get(actor, 0))
            if (groups := state.groups(chunk, start))
        ]
        body.append([*actor, n, encode_live(live), missing])
    return pack([body, [[*actor, n] for actor, n in sorted(base.items())]])  # type: ignore[no-any-return]


def decode_snapshot(data: bytes) -> Snapshot:
    """Inverse. Raises PeerError."""
    try:
        body, base = msgpack.unpackb(data, strict_map_key=False)
        snapshot = Snapshot({}, {decode_actor(name, nonce): natural(n) for name, nonce, n in base}, {}, {})
        for name, nonce, n, live, missing in body:
            actor = decode_actor(name, nonce)
            snapshot.vector[actor] = natural(n)
            snapshot.live[actor] = decode_live(live)
            snapshot.rows[actor] = [group for chunk in missing for group in decode_rows(chunk)]
            if any(
                group.seqs[-1] > n or not snapshot.live[actor].issuperset(group.seqs) for group in snapshot.rows[actor]
            ):
                raise ValueError("rows that the snapshot does not claim")
    except (
        ValueError,
        TypeError,
        IndexError,
        OverflowError,
        msgpack.UnpackException,
        msgpack.ExtraData,
        RecursionError,
    ) as error:
        raise PeerError("malformed", f"snapshot: {error}") from None
    return snapshot
