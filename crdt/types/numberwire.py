"""The structured payloads of a number's rows, between the form in which they are held and the one that travels.

Knows: the canonical bytes, in which lineages are named in full, except in a count, where the owner is the row's actor.
Promises: `check` lets through exactly what `encode` makes, because a row's hash is taken from the bytes that came when
it comes and from our own when it goes. Must not know: how rows add up to a number.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgpack

from crdt import longdouble
from crdt.dots import SEQ_MASK, Actor
from crdt.entry import STRUCTURED, Wire
from crdt.types.amounts import INT_MAX, INT_MIN, Amount, exact

if TYPE_CHECKING:
    from crdt.state import State

SET: Final = 0
COUNT: Final = 1
BASE: Final = 2
FOSTER: Final = 4  # 3 is a kind of lifetime (expiry.py), which a range may take
# Amounts come from texts of at most 5,119 digits within 10 ** +-4951: no honest one comes near these bounds.
HIGHEST_DIGIT: Final = 5_000
LOWEST_DIGIT: Final = -11_000
_COUNT_HEAD: Final = b"\x93\1"  # an array of three, the first of which is COUNT
_MALFORMED: Final = (
    ValueError, TypeError, IndexError, ArithmeticError, RecursionError, msgpack.UnpackException, msgpack.ExtraData
)  # fmt: skip
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_extension: Any = tuple.__new__

Bases = dict[int, tuple[int, Amount]]


def encode(state: State, raw: tuple[Any, ...], dot: int) -> msgpack.ExtType:
    """Raw to wire."""
    return structured(STRUCTURED, content(state, raw, dot))


def structured(code: int, data: bytes) -> msgpack.ExtType:
    """An ExtType without its constructor, which costs three times the packing. Raises ValueError, as that does."""
    if not 0 <= code < 128:
        raise ValueError("code of an extension")
    return _extension(msgpack.ExtType, (code, data))


def content(state: State, raw: tuple[Any, ...], dot: int) -> bytes:
    """The canonical bytes: lineages are named in full, except in a count, where the owner is the row's own actor."""
    row: list[Any]
    if raw[0] == COUNT:
        lineage: int = raw[1]
        return _pack([COUNT, lineage & SEQ_MASK, _out(raw[2])])  # type: ignore[no-any-return]
    if raw[0] == BASE:
        row = [BASE, raw[1] & SEQ_MASK, raw[2], _out(raw[3]), *state.name(raw[1]).actor]
    elif raw[0] == FOSTER:
        row = [FOSTER, raw[1] & SEQ_MASK, raw[3], _out(raw[2]), *state.name(raw[1]).actor]
    else:
        named = sorted((*state.name(lineage), n, _out(total)) for lineage, (n, total) in raw[2].items())
        row = [SET, raw[1], [[a.name, a.nonce, seq, n, total] for a, seq, n, total in named]]
    return _pack(row)  # type: ignore[no-any-return]


def decode(state: State, data: bytes, dot: int) -> tuple[Any, ...]:
    """Wire to raw. `data` has passed `check`."""
    seq, total = _counted(data)
    if seq:
        return (COUNT, (dot & ~SEQ_MASK) + seq, total)
    row = msgpack.unpackb(data)
    if row[0] == COUNT:
        return (COUNT, (dot & ~SEQ_MASK) + row[1], _in(row[2]))
    if row[0] == BASE:
        return (BASE, state.intern(Actor(row[4], row[5])).base + row[1], row[2], _in(row[3]))
    if row[0] == FOSTER:
        return (FOSTER, state.intern(Actor(row[4], row[5])).base + row[1], _in(row[3]), row[2])
    bases = {state.intern(Actor(name, nonce)).base + seq: (n, _in(total)) for name, nonce, seq, n, total in row[2]}
    return (SET, row[1], bases)


def _counted(data: bytes) -> tuple[int, int]:
    """Lineage and total of a canonical count, if that is a natural number, without unpacking; else (0, 0).

    Nearly all counts are such, and a peer looks at each of them twice.
    """
    if data[:2] != _COUNT_HEAD:
        return 0, 0
    lineage, at = _natural(data, 2)
    total, end = _natural(data, at)
    if end != len(data) or lineage <= 0 or lineage > SEQ_MASK or not 0 <= total <= INT_MAX:
        return 0, 0
    return lineage, total


def _natural(data: bytes, at: int) -> tuple[int, int]:
    """The natural number that stands there in the shortest form MessagePack has for it, and where that ends; (-1, at)
    if there is none.
    """
    head = data[at] if at < len(data) else 0xC0
    if head < 0x80:
        return head, at + 1
    if not 0xCC <= head <= 0xCF:
        return -1, at
    width = 1 << head - 0xCC
    value, end = 0, at + 1 + width
    for i in range(at + 1, min(end, len(data))):
        value = value << 8 | data[i]
    shorter = 0x80 if width == 1 else 1 << 4 * width  # what the form before ends at
    return (value, end) if value >= shorter else (-1, at)


def counted_by(state: State, data: bytes) -> Bases | None:
    """Inverse of `Number.counted`; None if it names counts that have not been applied here. Raises ValueError."""
    payload = msgpack.ExtType(STRUCTURED, data)
    if not check(payload, (SET,)):
        raise ValueError("not what was counted")
    known = {**state.vector(), state.actor: state.seq}
    if any(n > known.get(Actor(name, nonce), 0) for name, nonce, _, n, _ in msgpack.unpackb(data)[2]):
        return None
    return decode(state, data, 0)[2]  # type: ignore[no-any-return]


def is_count(payload: Wire) -> bool:
    """Whether a payload that has passed `check` counts: its second byte is the kind."""
    return type(payload) is msgpack.ExtType and payload.data[1] in (COUNT, FOSTER)


def is_lone(payload: Wire) -> bool:
    """Whether a payload that has passed `check` is a count by the row's own actor."""
    return type(payload) is msgpack.ExtType and payload.data[1] == COUNT


def foster(payload: Wire, owner: Actor, seq: int) -> Wire:
    """What stands for the row of this dot under a dot of somebody else: a count named in full, the rest as it was.

    `payload` has passed `check`.
    """
    if type(payload) is not msgpack.ExtType or payload.data[1] != COUNT:
        return payload
    row = msgpack.unpackb(payload.data)
    if len(row) != 3:
        return payload  # of a type that this version does not know
    return msgpack.ExtType(STRUCTURED, _pack([FOSTER, row[1], seq, row[2], *owner]))


def check(payload: Wire, kinds: tuple[int, ...] = (SET, COUNT, BASE, FOSTER)) -> bool:
    """Whether a structured payload from outside is well formed and of one of these kinds.

    It must be canonical as well, that is equal to what `encode` makes of it: its hash is taken from these bytes when it
    comes, and from those when it goes.
    """
    if type(payload) is not msgpack.ExtType or payload.code != STRUCTURED:
        return False
    try:
        if COUNT in kinds and _counted(payload.data)[0]:
            return True
        row = msgpack.unpackb(payload.data)
        if type(row) is not list or _pack(row) != payload.data:
            return False
        if type(row[0]) is not int or row[0] not in kinds:
            return False
        if row[0] == COUNT:
            return len(row) == 3 and _seq(row[1]) and _amount(row[2])
        if row[0] in (BASE, FOSTER):
            return len(row) == 6 and _seq(row[1]) and _seq(row[2]) and _amount(row[3]) and _actor(row[4], row[5])
        return len(row) == 3 and type(row[1]) is bytes and _bases(row[2])
    except _MALFORMED:
        return False


def _bases(bases: list[list[Any]]) -> bool:
    fine = type(bases) is list and len(bases) > 0 and all(
        len(b) == 5 and _actor(b[0], b[1]) and _seq(b[2]) and _seq(b[3]) and _amount(b[4]) for b in bases
    )  # fmt: skip
    return fine and all(a[:3] < b[:3] for a, b in pairwise(bases))


def _out(amount: Amount) -> int | str:
    if type(amount) is not int:
        return str(amount)
    return amount if INT_MIN <= amount <= INT_MAX else longdouble.digits(amount)


def _in(amount: int | str) -> Amount:
    return amount if type(amount) is int else exact(Decimal(amount))


def _amount(value: object) -> bool:
    if type(value) is int:
        return INT_MIN <= value <= INT_MAX
    if type(value) is not str or len(value) >= 30_000:
        return False
    amount = Decimal(value)
    # Bounded before anything is computed with it: 1e999999999 as an integer would fill the memory.
    if not amount.is_finite() or amount.adjusted() > HIGHEST_DIGIT or amount.as_tuple().exponent < LOWEST_DIGIT:  # type: ignore[operator]
        return False
    return _out(exact(amount)) == value


def _seq(value: object) -> bool:
    return type(value) is int and 0 < value <= SEQ_MASK


def _actor(name: object, nonce: object) -> bool:
    return type(name) is str and type(nonce) is int and nonce >= 0
