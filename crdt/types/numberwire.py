"""The structured payloads of a number's rows, between the form in which they are held and the one that travels.

Knows: the canonical forms. A count, (COUNT, lineage, total), is hashed and sent as it is held if its total is an
integer of 62 bits, as nearly all are. Its lineage is the seq with which it began, and its owner the row's own actor: no
name has to be said. Other totals, and what speaks of other actors' lineages, travel as an ExtType of canonical bytes.
Promises: `check` lets through exactly what `encode` makes, because a row's hash is taken from that, whoever wrote it.
Must not know: how rows add up to a number.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgpack

from crdt import longdouble
from crdt.dots import SEQ_MASK, Actor, is_actor
from crdt.entry import LARGEST, STRUCTURED, Wire, is_counted
from crdt.hashing import counted
from crdt.types.amounts import INT_MAX, INT_MIN, Amount, exact

if TYPE_CHECKING:
    from crdt.state import State

SET: Final = 0
COUNT: Final = 1  # entry.COUNTED
BASE: Final = 2
FOSTER: Final = 4  # 3 is a kind of lifetime (expiry.py), which a range may take
# Amounts come from texts of at most 5,119 digits within 10 ** +-4951: no honest one comes near these bounds.
HIGHEST_DIGIT: Final = 5_000
LOWEST_DIGIT: Final = -11_000
_MALFORMED: Final = (
    ValueError, TypeError, IndexError, ArithmeticError, RecursionError, msgpack.UnpackException, msgpack.ExtraData
)  # fmt: skip
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_extension: Any = tuple.__new__

Bases = dict[int, tuple[int, Amount]]


def encode(state: State, raw: tuple[Any, ...]) -> Wire:
    """Raw to wire."""
    kind: int = raw[0]
    if kind == COUNT and is_small(raw[2]):
        return raw
    return structured(STRUCTURED, _canonical(state, raw))


def structured(code: int, data: bytes) -> msgpack.ExtType:
    """An ExtType without its constructor, which costs three times the packing. Raises ValueError, as that does."""
    if not 0 <= code < 128:
        raise ValueError("code of an extension")
    return _extension(msgpack.ExtType, (code, data))


def is_small(total: Amount) -> bool:
    """Whether a count with this total is sent as it is held."""
    return isinstance(total, int) and -LARGEST <= total <= LARGEST


def content(state: State, raw: tuple[Any, ...]) -> bytes:
    """What is hashed of a raw payload."""
    kind: int = raw[0]
    if kind == COUNT and is_small(raw[2]):
        return counted(COUNT, raw[1], raw[2])
    return _canonical(state, raw)


def _canonical(state: State, raw: tuple[Any, ...]) -> bytes:
    row: list[Any]
    if raw[0] == COUNT:
        return _pack([COUNT, raw[1], _out(raw[2])])  # type: ignore[no-any-return]
    if raw[0] == BASE:
        row = [BASE, raw[1] & SEQ_MASK, raw[2], _out(raw[3]), *state.name(raw[1]).actor]
    elif raw[0] == FOSTER:
        row = [FOSTER, raw[1] & SEQ_MASK, raw[3], _out(raw[2]), *state.name(raw[1]).actor]
    else:
        named = sorted((*state.name(lineage), n, _out(total)) for lineage, (n, total) in raw[2].items())
        row = [SET, raw[1], [[a.name, a.nonce, seq, n, total] for a, seq, n, total in named]]
    return _pack(row)  # type: ignore[no-any-return]


def decode(state: State, payload: Wire) -> tuple[Any, ...]:
    """Wire to raw. `payload` has passed `check`; whom it names is known, or will be once all is loaded."""
    if type(payload) is tuple:
        return payload
    row = msgpack.unpackb(payload.data)
    if row[0] == COUNT:
        return (COUNT, row[1], _in(row[2]))
    if row[0] == BASE:
        return (BASE, state.intern(Actor(row[4], row[5])).base + row[1], row[2], _in(row[3]))
    if row[0] == FOSTER:
        return (FOSTER, state.intern(Actor(row[4], row[5])).base + row[1], _in(row[3]), row[2])
    bases = {state.intern(Actor(name, nonce)).base + seq: (n, _in(total)) for name, nonce, seq, n, total in row[2]}
    return (SET, row[1], bases)


def counted_by(state: State, data: bytes) -> Bases | None:
    """Inverse of `Number.counted`; None if it names counts that have not been applied here. Raises ValueError."""
    payload = msgpack.ExtType(STRUCTURED, data)
    if not check(payload, (SET,)):
        raise ValueError("not what was counted")
    known = {**state.vector(), state.actor: state.seq}
    if any(n > known.get(Actor(name, nonce), 0) for name, nonce, _, n, _ in msgpack.unpackb(data)[2]):
        return None
    return decode(state, payload)[2]  # type: ignore[no-any-return]


def is_count(payload: Wire) -> bool:
    """Whether a payload that has passed `check` counts: if it is bytes, the second is the kind."""
    return type(payload) is tuple or (type(payload) is msgpack.ExtType and payload.data[1] in (COUNT, FOSTER))


def named(payload: Wire) -> list[Actor]:
    """Whose counts a payload speaks of, besides those of its author. It has passed `check`."""
    if type(payload) is not msgpack.ExtType or payload.data[1] == COUNT:
        return []
    row = msgpack.unpackb(payload.data)
    return [Actor(base[0], base[1]) for base in row[2]] if row[0] == SET else [Actor(row[4], row[5])]


def foster(payload: Wire, owner: Actor, seq: int) -> Wire:
    """What stands for the row of this dot under a dot of somebody else: a count named in full, the rest as it was.

    `payload` has passed `check`.
    """
    row = payload
    if type(payload) is msgpack.ExtType and payload.data[1:2] == b"\1":
        try:
            row = msgpack.unpackb(payload.data)
        except _MALFORMED:  # bytes of a type that this version does not know
            return payload
    if type(row) not in (tuple, list) or len(row) != 3:
        return payload  # no count, or of a type that this version does not know
    return msgpack.ExtType(STRUCTURED, _pack([FOSTER, row[1], seq, row[2], *owner]))


def check(payload: Wire, kinds: tuple[int, ...] = (SET, COUNT, BASE, FOSTER)) -> bool:
    """Whether a structured payload from outside is well formed and of one of these kinds.

    Bytes must be canonical as well, that is equal to what `encode` makes of them: a row's hash is taken from those.
    """
    if type(payload) is tuple:
        return COUNT in kinds and is_counted(payload)
    if type(payload) is not msgpack.ExtType or payload.code != STRUCTURED:
        return False
    try:
        row = msgpack.unpackb(payload.data)
        if type(row) is not list or _pack(row) != payload.data:
            return False
        if type(row[0]) is not int or row[0] not in kinds:
            return False
        if row[0] == COUNT:
            return len(row) == 3 and _seq(row[1]) and _amount(row[2]) and not is_small(_in(row[2]))
        if row[0] in (BASE, FOSTER):
            return len(row) == 6 and _seq(row[1]) and _seq(row[2]) and _amount(row[3]) and is_actor(row[4], row[5])
        return len(row) == 3 and type(row[1]) is bytes and _bases(row[2])
    except _MALFORMED:
        return False


def _bases(bases: list[list[Any]]) -> bool:
    fine = type(bases) is list and len(bases) > 0 and all(
        len(b) == 5 and is_actor(b[0], b[1]) and _seq(b[2]) and _seq(b[3]) and _amount(b[4]) for b in bases
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
