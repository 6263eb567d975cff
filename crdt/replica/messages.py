"""The messages between replicas, as values and as bytes.

Promises: every message is self-contained and idempotent; `decode` returns a checked value or raises PeerError; what was
damaged on its way is never believed. A message is

    wire version     1 byte
    kind             1 byte, its place in _KINDS
    checksum         4 bytes, little-endian: the low half of xxh3_64(body), seeded with wire version * 256 + kind
    body             a MessagePack list of the fields below, in order

Frames of one author that stand beside each other travel as [author, body, body ...] (crdt/heads.py), the author empty
where they do not look like frames, and without its name where that is the sender's: its topic tells.

The checksum is against broken memory, cables and brokers, not against forgery (docs/guarantees.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
from xxhash import xxh3_64_intdigest

from crdt.clock import COUNTER_BITS
from crdt.codec import decode_actor, natural, pack
from crdt.dots import MASK_128, SEQ_MASK, Actor
from crdt.errors import PeerError
from crdt.heads import MAX_AUTHOR, NAMELESS, NONCE_BYTES, SMALLEST, parted, sized

WIRE: Final = 4
HEAD: Final = 6
FRAME: Final = 0
LETTER: Final = 1
ROW: Final = 2
RESERVED: Final = 3  # streams from here on are snapshots
MAX_LIST: Final = 256
ALL: Final = SEQ_MASK
MOMENT_BITS: Final = 64 - COUNTER_BITS


@dataclass(frozen=True, slots=True)
class Delta:
    """New frames of the sender. Broadcast."""

    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class Hello:
    """Where the sender stands, as of its last commit. Broadcast; `ask` > 0: the `asked` peers that have applied my
    operation `ask` answer ACK.
    """

    actor: Actor
    session: int
    seq: int
    vector_hash: int
    vector_sum: int
    state_hash: int | None  # None: too much is being written to tell
    wall_ms: int
    period_ms: int
    ask: int = 0
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """The sender has applied (and, where it promises so, stored) `seq` operations of `actor`."""

    actor: Actor
    seq: int
    vector_sum: int


@dataclass(frozen=True, slots=True)
class Presence:
    """The sender came or left: this space, or with `everywhere` all that it is in (then it is the last will, for a
    connection has only one). Retained; a hint: HELLO is the truth.
    """

    session: int
    online: bool
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """Send me what I lack: this is my vector, the `whole` of it or only the entries in question. `held` (actor, first,
    last): frames above it that I have already and that wait for others; `parts` (actor, last, total, bits): pieces of a
    frame that I have. The answer repeats `number`, so that a late one is not taken for that to a later question.
    `ended`: the last question whose answer came to its end: what that did not bring is lost, a later one may come yet.
    """

    vector: dict[Actor, int]
    budget: int
    held: list[tuple[Actor, int, int]] = field(default_factory=list)
    parts: list[tuple[Actor, int, int, bytes]] = field(default_factory=list)
    whole: bool = True
    number: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Repair:
    """Frames in the sender's log order, for the PULL of this number. The last message of an answer says how many there
    were (`total`, else 0), whether that was all (`complete`), and where the sender stands.
    """

    frames: list[bytes]
    total: int
    complete: bool
    vector_sum: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Part `index` of `total` of something larger than a message.

    `stream` FRAME: a frame, `actor` and `seq` (its last) name it. LETTER: a message (a PULL with a large vector), which
    `seq` numbers. ROW: a row, named by its dot. Else the list of what is live in the snapshot of that number, of which
    every part can be read alone; `total` 0: there is no such snapshot (any more).
    """

    stream: int
    actor: Actor
    seq: int
    index: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True)
class More:
    """Of the list of snapshot `stream` I have the parts below `index`: send the next, and again the `lost` ones."""

    stream: int
    index: int
    lost: list[int]


@dataclass(frozen=True, slots=True)
class Probe:
    """To my own name: is somebody else alive under it?"""

    session: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Answer to the probe of another session under my name: I am alive, and this is what I have promised to clients."""

    probed: int
    session: int
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Want:
    """Send me the rows of snapshot `stream` in these `spans` (actor, first, last). `number` names the request.
    `parts` (actor, seq, total, bits): pieces of a row that I have. Without spans: I have everything.
    """

    stream: int
    number: int
    spans: list[tuple[Actor, int, int]]
    parts: list[tuple[Actor, int, int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rows:
    """Answer to a WANT. `items` (actor, first, last, rows): all rows first..last that are live in the snapshot.
    `final`: what was asked for and has not been sent will not be sent, unless it is asked for again.
    """

    stream: int
    number: int
    items: list[tuple[Actor, int, int, bytes]]
    final: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """Our vectors are equal and our states are not (healing.py). My live rows, as sums of their hashes (mending.short)
    over (actor, first, last, sum): which of these sums are others with you? `last` ALL: all of the actor's rows.
    `session`: whose state that is; other daemons under its name do not answer.
    """

    number: int
    session: int
    items: list[tuple[Actor, int, int, int]]


@dataclass(frozen=True, slots=True)
class Differ:
    """Answer to Compare `number`: of its first `answered` items these (their indexes) are `different` here.

    Where one of them is a single row, `rows` holds, at the same place, the row that stands under its dot here (empty:
    none does), and `vector` says of which operations that is true.
    """

    number: int
    answered: int
    different: list[int]
    vector: dict[Actor, int] = field(default_factory=dict)
    rows: list[bytes] = field(default_factory=list)


Message = Delta | Hello | Ack | Presence | Pull | Repair | Piece | More | Probe | Taken | Want | Rows | Compare | Differ

_KINDS: Final[list[type[Any]]] = [
    Delta, Hello, Ack, Presence, Pull, Repair, Piece, More, Probe, Taken, Want, Rows, Compare, Differ,
]  # fmt: skip


def encode(message: Message, sender: str = "") -> bytes:
    """Inverse of `decode`, which is told the same sender."""
    kind = _KINDS.index(type(message)) + 1
    fields = [_plain(getattr(message, name)) for name in message.__slots__]
    if isinstance(message, Delta | Repair):
        fields[0] = _by_author(message.frames, sized(sender.encode()))
    return envelope(kind, pack(fields))


def _by_author(frames: list[bytes], sender: bytes) -> list[list[bytes]]:
    """[author, body, body ...] for each run of frames of one author."""
    out: list[list[bytes]] = []
    last: bytes | None = None
    for data in frames:
        author, body = parted(data)
        if author != last:
            last = author
            own = len(author) == len(sender) + NONCE_BYTES and author.startswith(sender)
            out.append([NAMELESS + author[len(sender) :] if own else author])
        out[-1].append(body)
    return out


def _whole(runs: Any, sender: bytes) -> list[bytes]:
    """Inverse of `_by_author`. Raises ValueError, TypeError."""
    if type(runs) is not list:
        raise ValueError("not a list")
    out: list[bytes] = []
    for author, *bodies in runs:
        if not bodies or len(_bytes(author)) > MAX_AUTHOR:
            raise ValueError("frames of an author")
        if not all(len(_bytes(body)) >= SMALLEST for body in bodies):
            raise ValueError("a frame that is too short")
        whole = sender + author[1:] if author[:1] == NAMELESS else author
        out += [whole + _bytes(body) for body in bodies]
    return out


def envelope(kind: int, body: bytes) -> bytes:
    """A body as it travels."""
    return bytes((WIRE, kind)) + _checksum(kind, body) + body


def _checksum(kind: int, body: bytes | memoryview) -> bytes:
    return (xxh3_64_intdigest(body, WIRE << 8 | kind) & 0xFFFFFFFF).to_bytes(4, "little")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [x for actor, n in sorted(value.items()) for x in (*actor, n)]
    if isinstance(value, int) and value > (1 << 64) - 1:
        return value.to_bytes(16, "big")
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return [[*actor, *rest] for actor, *rest in value]
    return value


def decode(data: bytes, sender: str = "") -> Message:
    """Bytes from outside to a message: `sender` is who it is from, by its topic.

    Raises PeerError("version" | "checksum" | "kind" | "malformed").
    """
    if len(data) < HEAD or data[0] != WIRE:
        raise PeerError("version", f"wire version {data[0] if data else 'missing'}, this daemon speaks {WIRE}")
    body = memoryview(data)[HEAD:]
    if data[2:HEAD] != _checksum(data[1], body):
        raise PeerError("checksum", "damaged on its way")
    if not 0 < data[1] <= len(_KINDS):
        raise PeerError("kind", str(data[1]))
    cls = _KINDS[data[1] - 1]
    try:
        fields = msgpack.unpackb(body, strict_map_key=False)
        checks = _CHECKS[cls]
        if type(fields) is not list or len(fields) < len(checks):
            raise ValueError("fields")
        if cls is Delta or cls is Repair:
            fields[0] = _whole(fields[0], sized(sender.encode()))
        return cls(*(check(field) for check, field in zip(checks, fields, strict=False)))  # type: ignore[no-any-return]
    except (ValueError, TypeError, IndexError, OverflowError, msgpack.UnpackException, RecursionError) as error:
        raise PeerError("malformed", f"{cls.__name__}: {error}") from None


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise ValueError("not bytes")
    return value


def _blobs(value: object) -> list[bytes]:
    if type(value) is not list:
        raise ValueError("not a list")
    return [_bytes(item) for item in value]


def _actor(value: Any) -> Actor:
    name, nonce = value
    return decode_actor(name, nonce)


def _vector(value: Any) -> dict[Actor, int]:
    if type(value) is not list or len(value) % 3:
        raise ValueError("not a vector")
    return {decode_actor(value[i], value[i + 1]): natural(value[i + 2]) for i in range(0, len(value), 3)}


def _spans(value: Any) -> list[tuple[Actor, int, int]]:
    if type(value) is not list or len(value) > MAX_LIST:
        raise ValueError("not a short list")
    return [(decode_actor(name, nonce), natural(first), natural(last)) for name, nonce, first, last in value]


def _parts(value: Any) -> list[tuple[Actor, int, int, bytes]]:
    if type(value) is not list or len(value) > MAX_LIST:
        raise ValueError("not a short list")
    return [
        (decode_actor(name, nonce), natural(last), natural(total), _bytes(bits))
        for name, nonce, last, total, bits in value
    ]


def _items(value: Any) -> list[tuple[Actor, int, int, int]]:
    if type(value) is not list or not 0 < len(value) <= MAX_LIST:
        raise ValueError("not a short list")
    items = [(decode_actor(name, nonce), natural(a), natural(b), natural(s)) for name, nonce, a, b, s in value]
    if not all(0 < first <= last <= ALL for _, first, last, _ in items):
        raise ValueError("not a part of an actor's rows")
    return items


def _bool(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError("not a boolean")
    return value


def _hash(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is bytes and len(value) == 16:
        return int.from_bytes(value, "big") & MASK_128
    return natural(value)


def _naturals(value: object) -> list[int]:
    if type(value) is not list or len(value) > MAX_LIST:
        raise ValueError("not a short list")
    return [natural(item) for item in value]


def _names(value: object) -> tuple[str, ...]:
    if type(value) is not list or len(value) > 16 or not all(type(name) is str for name in value):
        raise ValueError("not names")
    return tuple(value)


def _moment(value: object) -> int:
    """A wall time that fits a timestamp (crdt/clock.py). No clock shows more, and lifetimes are reckoned with it."""
    if natural(value) >> MOMENT_BITS:
        raise ValueError("not a time")
    return natural(value)


_CHECKS: Final[dict[type[Any], tuple[Callable[[Any], Any], ...]]] = {
    Delta: (_blobs,),
    Hello: (_actor, natural, natural, natural, natural, _hash, _moment, natural, natural, _names),
    Ack: (_actor, natural, natural),
    Presence: (natural, _bool, _bool),
    Pull: (_vector, natural, _spans, _parts, _bool, natural, natural),
    Repair: (_blobs, natural, _bool, natural, natural),
    Piece: (natural, _actor, natural, natural, natural, _bytes),
    More: (natural, natural, _naturals),
    Probe: (natural,),
    Taken: (natural, natural, _bool),
    Want: (natural, natural, _spans, _parts),
    Rows: (natural, natural, _parts, _bool),
    Compare: (natural, natural, _items),
    Differ: (natural, natural, _naturals, _vector, _blobs),
}
