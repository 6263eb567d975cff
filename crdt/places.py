"""Places: where an element of a list stands, as bytes whose order is the order of the list.

Knows: how to find a place between two others that no other replica finds as well, and how places are spelled.
Promises: places are unique, and their order is a pure function of their bytes, so every replica orders any set of them
alike, whatever else it has seen (invariant I9); a place names everything it depends on, so it stays where it is when
all around it is removed, and nothing has to be remembered of what was removed.
Must not know: what stands at a place, lists, state.

The order is Fugue's (Weidner, Kleppmann: "The Art of the Fugue", 2023): a tree whose nodes are elements, read in order:
left children, the node, right children. What one replica inserts in one go, in either direction, is a *bunch*: a chain
of nodes that are each the right (or left) child of the one before. A place is the path from the root:

    place  = step+          the last step has side 0, the others lead into a bunch left (-1) or right (+1) of a node
    step   = rank  seed  first  3 * offset + side
    rank   bunches under one node stand by rank, then seed, then first; 0 but where said below
    seed   64 bits for the actor that opened the bunch (Actor.seed)
    first  sequence number of the operation that opened it, at offset 0
    offset along the chain: n operations after `first` stands n to the right, or -n if the bunch grew to the left. An
           actor never has the same operation twice, so no offset is used twice, without any memory of those used

Every part is a code in which no word begins another and whose bytes order like the numbers (`number`), so a place can
stand anywhere in a longer byte string (`parse` finds its end), and comparing two is one comparison of bytes.

Two departures keep paths short, because a path is paid for by every bunch:

- An insertion at an end of the list continues an own bunch at the root, or opens one there, one rank beyond the
  outermost. So a queue that several producers feed has paths of one step for ever.
- Where two writers continue each other in the middle, each turn would be one step longer. From DEPTH steps on, a bunch
  is opened beside one that leads to its neighbour, one rank further, as near the root as the other neighbour leaves
  room. So paths get longer than that only where elements that stand now are nested that deep.

What one replica types in a run stays together whatever others type at the same place. Only where several writers took
turns, apart from others who took turns there as well, may the turns of both sides alternate.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final, NamedTuple

from crdt.dots import SEQ_MASK

DEPTH: Final = 4  # steps of a path from which bunches that continue each other stand beside each other
RANK_LIMIT: Final = 1 << 46  # nobody gets here by counting; a peer who claims more is not believed
SEED_BYTES: Final = 8

# -- numbers whose bytes order like they do ---------------------------------------------------------------------------

# (from, below, bytes, added before writing): one byte from 0x80, two from 0xC0, three from 0xE0, and so on.
# A negative number is the complement of the bytes of -1 - n, which makes another constant to add.
_SIZES: Final = ((1, 6), (2, 13), (3, 20), (4, 27), (5, 34), (7, 48))


def _classes() -> list[tuple[int, int, int, int]]:
    out, low = [], 0
    for size, bits in _SIZES:
        high = low + (1 << bits)
        added = (0xFF00 >> size & 0xFF) * (1 << 8 * (size - 1)) - low
        out += [(low, high, size, added), (-high, -low, size, (1 << 8 * size) - added)]
        low = high
    return sorted(out)


_CLASSES: Final = _classes()
_LOWS: Final = [low for low, _, _, _ in _CLASSES]


def _leads() -> list[tuple[int, int]]:
    """First byte of a number -> (bytes, what was added); bytes 0: no number begins so."""
    out = [(0, 0)] * 256
    for low, high, size, added in _CLASSES:
        for n in (low, high - 1):
            out[n + added >> 8 * (size - 1)] = (size, added)
        first, last = (n + added >> 8 * (size - 1) for n in (low, high - 1))
        out[first : last + 1] = [(size, added)] * (last + 1 - first)
    return out


NUMBER_LIMIT: Final = 1 << 48
_LEADS: Final = _leads()


def _class(n: int) -> tuple[int, int, int, int]:
    """The one of _CLASSES that a number is of."""
    assert -NUMBER_LIMIT < n < NUMBER_LIMIT, "numbers of places are bounded"
    return _CLASSES[bisect_right(_LOWS, n) - 1]


def number(n: int) -> bytes:
    """A number, |n| < 2**48, in the bytes that order like it."""
    _, _, size, added = _class(n)
    return (n + added).to_bytes(size, "big")


def leading(prefix: bytes, n: int) -> tuple[bytes, int, int]:
    """(lead, base, room): `prefix + number(m)` is the lead and the byte m - base, for n <= m < base + room."""
    _, high, size, added = _class(n)
    base = n - (n + added & 0xFF)
    return prefix + (n + added >> 8).to_bytes(size - 1, "big"), base, min(256, high - base, NUMBER_LIMIT - base)


def _numbers(prefix: bytes, numbers: range) -> list[bytes]:
    """`prefix + number(n)` for each, ascending or descending."""
    out: list[bytes] = []
    step = numbers.step
    while numbers:
        n = numbers[0]
        low, high, size, added = _class(n)
        edge = high if step > 0 else low - 1
        part = range(n, min(edge, numbers.stop) if step > 0 else max(edge, numbers.stop), step)
        out += [prefix + (m + added).to_bytes(size, "big") for m in part]
        numbers = numbers[len(part) :]
    return out


def _read(data: bytes, at: int) -> tuple[int, int]:
    """(number, end). Raises ValueError."""
    size, added = _LEADS[data[at]] if at < len(data) else (0, 0)
    end = at + size
    if not size or end > len(data):
        raise ValueError("not a number of a place")
    return int.from_bytes(data[at:end], "big") - added, end


# -- steps ------------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """What a place says of its last step, and where that stands in the bytes."""

    slot: int  # here the step begins
    head: int  # here its offset begins: the bytes before are the bunch
    end: int  # here the place ends
    rank: int
    seed: bytes
    first: int
    offset: int
    depth: int  # number of steps


def parse(data: bytes, start: int = 0) -> Place:
    """The place that begins there. Raises ValueError if none does, or if it is not spelled as `between` would."""
    at, depth = start, 0
    while True:
        slot = at
        rank, at = _read(data, at)
        seed = data[at : at + SEED_BYTES]
        first, head = _read(data, at + SEED_BYTES)
        code, at = _read(data, head)
        offset, side = (code + 1) // 3, (code + 1) % 3 - 1
        depth += 1
        if not (-RANK_LIMIT <= rank <= RANK_LIMIT and 0 < first <= SEQ_MASK and abs(offset) <= SEQ_MASK):
            raise ValueError("numbers of a place")
        if side == 0:
            return Place(slot, head, at, rank, seed, first, offset, depth)


def is_place(data: bytes) -> bool:
    """Whether the bytes are one whole place."""
    try:
        return parse(data).end == len(data)
    except ValueError:
        return False


def seed_bytes(seed: int) -> bytes:
    """An actor's seed as places hold it."""
    return seed.to_bytes(SEED_BYTES, "big")


# -- new places -------------------------------------------------------------------------------------------------------


class Bunch:
    """What all places of a bunch have in common: the last step, without its offset. `head`: bytes before that."""

    __slots__ = ("depth", "first", "head", "seed")

    def __init__(self, head: int, seed: bytes, first: int, depth: int) -> None:
        self.head = head
        self.seed = seed
        self.first = first
        self.depth = depth


KNOWN_BUNCHES: Final = 64
_known: Final[dict[bytes, Bunch]] = {}  # a cache: places that were looked at or made last, for whoever goes on there


def between(
    left: bytes | None, right: bytes | None, seed: bytes, seq: int, count: int = 1, leftwards: bool = False
) -> list[bytes]:
    """Places for `count` new elements between two neighbours (None: an end of the list).

    `seq`: the sequence number of the actor's next operation. The elements are named after operations seq to
    seq + count - 1, which this actor must use for no other element of the same list. The neighbours must be adjacent in
    what the actor knows. Ascending; `leftwards`: descending, each stands before the one before it (as LPUSH a b puts b
    before a).
    """
    right_own = None if left is None else continued(left, right, seed, seq)
    left_own = None if right is None else continued(right, left, seed, seq)
    if right_own is not None and (left_own is None or not leftwards):
        assert left is not None
        bunch, step = right_own, 3
        path = left[: bunch.head]
    elif left_own is not None:
        assert right is not None
        bunch, step = left_own, -3
        path = right[: bunch.head]
    else:
        path = _opened(left, right) + seed + number(seq)
        return _numbers(path, range(0, -3 * count, -3) if leftwards else range(0, 3 * count, 3))
    first = step * (seq - bunch.first)
    made = [path + number(first)] if count == 1 else _numbers(path, range(first, first + step * count, step))
    _remember(made[-1], bunch)
    return made if leftwards == (step < 0) else made[::-1]


def continued(near: bytes, far: bytes | None, seed: bytes, seq: int) -> Bunch | None:
    """The bunch of `near` if it is the own and goes on towards `far`: nothing known of it lies beyond `near`."""
    bunch = _known.get(near) or _bunch(near)
    if bunch.seed != seed or bunch.first >= seq:
        return None
    return None if (far.startswith(near[: bunch.head]) if far is not None else bunch.depth > 1) else bunch


def _bunch(near: bytes) -> Bunch:
    place = parse(near)
    bunch = Bunch(place.head, place.seed, place.first, place.depth)
    _remember(near, bunch)
    return bunch


def _remember(place: bytes, bunch: Bunch) -> None:
    if len(_known) >= KNOWN_BUNCHES:
        _known.clear()
    _known[place] = bunch


def _opened(left: bytes | None, right: bytes | None) -> bytes:
    """Where a new bunch begins: the path to it and its rank."""
    if left is None or right is None:
        near, side = (left, 1) if left is not None else (right, -1)
        rank = 0 if near is None else _read(near, 0)[0] + side
        return number(rank) if near is None or abs(rank) <= RANK_LIMIT else _child(near, parse(near), side)
    before = parse(left)
    bunch = left[: before.head]
    # If `right` stands in the subtree of `left`, it has no left child that is known.
    if right.startswith(bunch) and (before.offset >= 0 or _read(right, before.head)[0] == 3 * before.offset + 1):
        return _beside(right, left, -1)
    return _beside(left, right, 1)


def _beside(near: bytes, far: bytes, side: int) -> bytes:
    """A child of `near` on that side; where paths are long, a sibling as near the root as `far` leaves room."""
    place = parse(near)
    at = 0 if place.depth >= DEPTH else place.end
    while at < place.end:
        slot = near[:at]
        rank, at = _read(near, at)
        _, at = _read(near, at + SEED_BYTES)
        _, at = _read(near, at)
        rank += side
        room = not far.startswith(slot) or (_read(far, len(slot))[0] - rank) * side > 0
        if room and abs(rank) <= RANK_LIMIT:
            return slot + number(rank)
    return _child(near, place, side)


def _child(near: bytes, place: Place, side: int) -> bytes:
    return near[: place.head] + number(3 * place.offset + side) + number(0)


# -- many places, and going on as another actor -----------------------------------------------------------------------


def runs(fields: list[bytes]) -> list[Any]:
    """Fields that end with a place, in short: what goes along a bunch as [bytes before the number, number, count].

    A negative count goes left. Anything that `spelled` gives back the same is right, so the number is looked for where
    a field differs from the next.
    """
    out: list[Any] = []
    at, total = 0, len(fields)
    while at < total:
        count, step, head, first = 1, 0, b"", 0
        if at + 1 < total:
            head, first, step = _stride(fields[at], fields[at + 1])
        if step:
            count = 2
            while at + count < total:
                part = _numbers(head, range(first + step * count, first + step * min(2 * count, total - at), step))
                found = fields[at + count : at + count + len(part)]
                if part == found:
                    count += len(part)
                    continue
                count += next(i for i, (a, b) in enumerate(zip(part, found, strict=True)) if a != b)
                break
        out.append([head, first, count if step > 0 else -count] if step else fields[at])
        at += count
    return out


def _stride(one: bytes, two: bytes) -> tuple[bytes, int, int]:
    """(bytes before the number, number, step to the next) if two fields are neighbours in a bunch; else step 0."""
    for size, _ in _SIZES:
        start = len(one) - size
        if start >= 0 and two[:start] == one[:start] and _LEADS[one[start]][0] == size:
            n = _read(one, start)[0]
            for step in (3, -3):
                if abs(n) < NUMBER_LIMIT >> 1 and two == one[:start] + number(n + step):
                    return one[:start], n, step
    return b"", 0, 0


def spelled(column: list[Any], most: int) -> list[bytes]:
    """Inverse of `runs`. Raises ValueError, TypeError, also where it would be more than `most` fields."""
    out: list[bytes] = []
    for item in column:
        if type(item) is bytes:
            out.append(item)
            continue
        head, first, count = item
        if type(head) is not bytes or type(first) is not int or type(count) is not int:
            raise TypeError("not a run of places")
        if not 2 <= abs(count) <= most - len(out) or abs(first) + 3 * abs(count) >= NUMBER_LIMIT:
            raise ValueError("length of a run")
        out += _numbers(head, range(first, first + 3 * count, 3 if count > 0 else -3))
    return out


def renamed(place: bytes, old: bytes, new: bytes, cut: int) -> bytes:
    """The place of an element whose author goes on as another actor: `Entry.renamed`.

    What the old actor named after an operation above `cut` may also be named by somebody else who was it. So a bunch
    that such an operation opened stands, as the new actor's, before the first element of the one of that name; where an
    older bunch went on, what goes on is a bunch at its end. The order of what is here stays.
    """
    out, at = b"", 0
    while at < len(place):
        slot = at
        rank, at = _read(place, at)
        seed, at = place[at : at + SEED_BYTES], at + SEED_BYTES
        first, at = _read(place, at)
        code, at = _read(place, at)
        offset, side = (code + 1) // 3, (code + 1) % 3 - 1
        later = first + abs(offset) - cut  # the new actor's number of the operation that the node is named after
        if seed != old or later <= 0:
            out += place[slot:at]
        elif first > cut:
            out += number(rank) + old + number(first) + number(-1)
            out += number(0) + new + number(first - cut) + number(code)
        else:
            sign = 1 if offset > 0 else -1
            out += number(rank) + old + number(first) + number(sign * (3 * (cut - first + 1) - 1))
            out += number(0) + new + number(1) + number(3 * sign * (later - 1) + side)
    return out
