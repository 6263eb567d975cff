"""How a frame begins: whose it is, what it claims, and the row that is alone in it, in as few bytes as they take.

Knows: the layout below. Promises: what is read is what was written, and reading ends with ValueError or IndexError
where the bytes do not say it; whether it makes sense is asked in codec.py. Must not know: frames, groups, state.

    frame   author body
    author  length of the name, name (UTF-8), nonce (8 bytes, big-endian)
    body    flags (1 byte), first, count - 1 (not with ONE: there it is 0), then as the flags say, in this order:
      BACK  first - seq: an earlier operation of the author that is removed (most rows take the place of one)
      LONE  the only row: code, last - seq (not with ONE), 2 * ms + (1 if a counter follows), counter,
            [length of the key, key,] length of the field, field, [length of the payload, payload]
      TAIL  everything else, in MessagePack (crdt/codec.py)

Numbers are varints: 7 bits a byte, the lowest first, the high bit set where more follow. KEYED: the row has a key.
Of the payload two flags tell: PLAIN bytes, or STRUCTURED (msgpack.ExtType 1); neither: there is none. Both: a count,
instead of the length its lineage, then 2 * total, or -2 * total - 1 of a negative one.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from crdt.dots import MAX_NAME, Actor
from crdt.entry import COUNTED
from crdt.entry import STRUCTURED as EXTENSION

NONCE_BYTES: Final = 8
NAMELESS: Final = b"\0"  # the length of no name
MAX_AUTHOR: Final = 2 + 4 * MAX_NAME + NONCE_BYTES  # bytes of the longest author
SMALLEST: Final = 2  # bytes of a body
BACK: Final = 1
LONE: Final = 2
TAIL: Final = 4
KEYED: Final = 8
PLAIN: Final = 16
STRUCTURED: Final = 32
ONE: Final = 64
_ALL: Final = BACK | LONE | TAIL | KEYED | PLAIN | STRUCTURED | ONE
_LONE: Final = KEYED | PLAIN | STRUCTURED  # flags that only a lone row has
_BITS: Final = 63  # of the longest number

Lone = tuple[int, int, int, int, bytes | None, bytes, Any]  # code, last - seq, ms, counter, key, field, payload


def number(value: int) -> bytes:
    """A natural number below 2^63 as a varint."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(data: bytes) -> bytes:
    """Bytes behind their length."""
    return number(len(data)) + data


def author(actor: Actor) -> bytes:
    """How every frame of this actor begins."""
    return sized(actor.name.encode()) + actor.nonce.to_bytes(NONCE_BYTES, "big")


def parted(data: bytes) -> tuple[bytes, bytes]:
    """(author, body), as bytes, of what may be a frame; the author is empty where it does not look like one."""
    if data and data[0] < 0x80:  # a longer name is rare enough to be said each time
        at = 1 + data[0] + NONCE_BYTES
        if len(data) >= at + SMALLEST:
            return data[:at], data[at:]
    return b"", data


def is_lone(payload: object) -> bool:
    """Whether a row with this payload can stand alone."""
    kind = type(payload)
    return kind is bytes or kind is tuple or payload is None or (kind is msgpack.ExtType and payload.code == EXTENSION)  # type: ignore[attr-defined]


def body(first: int, count: int, back: int, lone: Lone | None, tail: bytes) -> bytes:
    """The rest of a frame. `back`, or an empty `tail`, or no `lone`: there is none."""
    flags = (BACK if back else 0) | (LONE if lone is not None else 0) | (TAIL if tail else 0)
    parts = [b"", number(first)]
    if count == 1:
        flags |= ONE
    else:
        parts.append(number(count - 1))
    if back:
        parts.append(number(first - back))
    if lone is not None:
        code, before, ms, counter, key, field, payload = lone
        parts.append(bytes((code,)))
        if count > 1:
            parts.append(number(before))
        parts.append(number(ms << 1 | (counter > 0)))
        if counter:
            parts.append(number(counter))
        if key is not None:
            flags |= KEYED
            parts.append(sized(key))
        parts.append(sized(field))
        if type(payload) is tuple:
            flags |= PLAIN | STRUCTURED
            _, lineage, total = payload
            parts += (number(lineage), number(total << 1 if total >= 0 else ~(total << 1)))
        elif payload is not None:
            flags |= PLAIN if type(payload) is bytes else STRUCTURED
            data: bytes = payload if type(payload) is bytes else payload.data
            parts.append(sized(data))
    parts[0] = bytes((flags,))
    parts.append(tail)
    return b"".join(parts)


class Head:
    """The beginning of a frame, read. `back` 0: it removes no earlier operation of its author, or more than one."""

    __slots__ = ("_at", "_data", "_flags", "actor", "back", "count", "first")

    def __init__(self, data: bytes) -> None:
        """As far as every frame says it; `lone` and `tail` read on. Raises ValueError, IndexError."""
        self._data = data
        self._at = 0
        name = self._take(self._number()).decode()
        if not 0 < len(name) <= MAX_NAME:
            raise ValueError("name of an actor")
        self.actor = Actor(name, int.from_bytes(self._take(NONCE_BYTES), "big"))
        self._flags = flags = data[self._at]
        self._at += 1
        if flags & ~_ALL or (flags & _LONE and not flags & LONE):
            raise ValueError("flags of a frame")
        self.first = self._number()
        self.count = 1
        if not flags & ONE:
            self.count += self._number()
            if self.count == 1:
                raise ValueError("one operation said as several")
        self.back = 0
        if flags & BACK:
            self.back = self.first - self._number()
            if not 0 < self.back < self.first:
                raise ValueError("an earlier operation")

    def lone(self) -> Lone | None:
        """The row that stands alone, if there is one."""
        flags = self._flags
        if not flags & LONE:
            return None
        code = self._data[self._at]
        self._at += 1
        before = 0 if flags & ONE else self._number()
        ms = self._number()
        counter = self._number() if ms & 1 else 0
        if ms & 1 and not counter:
            raise ValueError("a counter of 0")
        key = self._take(self._number()) if flags & KEYED else None
        field = self._take(self._number())
        payload: Any = None
        if flags & PLAIN and flags & STRUCTURED:
            lineage, total = self._number(), self._number()
            payload = (COUNTED, lineage, ~(total >> 1) if total & 1 else total >> 1)
        elif flags & (PLAIN | STRUCTURED):
            payload = self._take(self._number())
            if flags & STRUCTURED:
                payload = msgpack.ExtType(EXTENSION, payload)
        return code, before, ms >> 1, counter, key, field, payload

    def tail(self) -> bytes | None:
        """The rest; None where there should be none. Call `lone` before."""
        rest = self._data[self._at :]
        if bool(self._flags & TAIL) != bool(rest):
            raise ValueError("a frame without its end, or beyond it")
        return rest or None

    def _number(self) -> int:
        value = shift = 0
        while shift < _BITS:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift and not byte:
                    raise ValueError("a number longer than it needs to be")
                return value
            shift += 7
        raise ValueError("a number beyond all bounds")

    def _take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise ValueError("bytes are missing")
        self._at += size
        return part
