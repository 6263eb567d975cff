"""Streams: entries that are never changed, under ids that only grow on one replica.

An id is (ms, seq), 64 bits each. `*` takes the time, and a seq whose low 48 bits are the actor's own, so that no two
replicas give one id to two entries. A row per entry; one more, under the empty field, remembers what removed entries
leave behind (the last id, how many there were, the highest that was removed), and that an empty stream is there.

    A              B              after
    XADD k * f 1   XADD k * f 2   both entries, by id
    XADD k 5-1 a   XADD k 5-1 b   one is shown, the later by clock; the other is a conflict
    XADD k * f 1   XTRIM k 0      the entry: a removal takes what it has seen
    XADD k * f 1   DEL k          the entry

Readers follow a stream in the order in which its entries arrived at *this* replica. An entry of a peer may arrive late,
with an id below others that have been read: it stands behind them in the order of arrival, so whoever reads on from the
last id he got, skips nothing. Most entries are not late, and the order of arrival is the order of ids but for the late
ones, of which it is remembered behind which id they came (`State.latecomers`, kept with checkpoints). After a start the
order of the log is that of arrival: therefore own entries are cut before what a peer has for the same stream is applied
(`State.streamed`). An id that is not there (0, or one that was removed) stands where it would have stood had it not
been late: so something may be repeated then, and nothing is skipped.

Source: the order of ids follows Redis's streams; arrival order is our own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgpack
from sortedcontainers import SortedList
from xxhash import xxh3_64_intdigest

from crdt.dots import Actor
from crdt.entry import Gone, Leaving, Raw, Wire
from crdt.errors import UsageError, WrongTypeError
from crdt.state import State
from crdt.types.hashes import HashEntry, write
from crdt.types.number import Number

META: Final = b""  # the field of what removed entries leave behind
SIZE: Final = 16  # bytes of an id
OWN_BITS: Final = 48
_OWN: Final = (1 << OWN_BITS) - 1
MOST: Final = (1 << 64) - 1
NOTHING: Final = bytes(SIZE)
TOO_SMALL: Final = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
EXHAUSTED: Final = "ERR The stream has exhausted the last possible ID, unable to add more items"
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_MALFORMED: Final = (ValueError, TypeError, IndexError, OverflowError, msgpack.UnpackException, msgpack.ExtraData)

Place = tuple[bytes, int]  # the highest id when it arrived, itself included; the number among those that came late


class Id(NamedTuple):
    """The id of an entry."""

    ms: int
    seq: int

    def field(self) -> bytes:
        """As the field of a row; fields sort as ids do."""
        return self.ms.to_bytes(8, "big") + self.seq.to_bytes(8, "big")

    def following(self) -> Id | None:
        """The next id, None behind the last."""
        if self.seq < MOST:
            return Id(self.ms, self.seq + 1)
        return Id(self.ms + 1, 0) if self.ms < MOST else None

    def preceding(self) -> Id | None:
        """The id before, None before the first."""
        if self.seq:
            return Id(self.ms, self.seq - 1)
        return Id(self.ms - 1, MOST) if self.ms else None


def id_of(field: bytes) -> Id:
    """Inverse of `Id.field`."""
    return Id(int.from_bytes(field[:8], "big"), int.from_bytes(field[8:], "big"))


class Left(NamedTuple):
    """What removed entries have left behind, as far as this replica has seen."""

    last: bytes = NOTHING  # no entry was ever above
    removed: int = 0  # how many there were that are no more
    highest: bytes = NOTHING  # the highest that XDEL removed


class StreamEntry(HashEntry):
    """A hash of entries. `ids` sorted; `arrivals` in order of arrival, those that have gone included for a while."""

    __slots__ = ("arrivals", "ids", "late", "top")

    CODE = 12
    NAME = "stream"
    STRICT = True  # ids have one length
    RANK = 40
    ADDED = "xadd"
    REMOVED = "xdel"
    NOTED = "xsetid"

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.ids: Any = SortedList()
        self.arrivals: list[tuple[bytes, int, bytes]] | None = None
        self.late: dict[bytes, Place] = {}
        self.top = NOTHING

    # -- rows ---------------------------------------------------------------------------------------------------------

    def insert(self, state: State, field: bytes | None, payload: Wire, dot: int) -> None:
        assert field is not None
        super().insert(state, field, payload, dot)
        self._came(state, (field,))

    def insert_all(self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int]) -> None:
        super().insert_all(state, fields, payloads, dots)
        self._came(state, sorted(set(fields)))

    def swap_all(
        self, state: State, fields: list[bytes], payloads: list[Wire] | None, dots: Sequence[int], leaving: Leaving
    ) -> None:
        super().swap_all(state, fields, payloads, dots, leaving)
        self._came(state, sorted(set(fields)))

    def discard(self, state: State, field: bytes | None, dot: int) -> Raw | Gone:
        assert field is not None
        held = super().discard(state, field, dot)
        self._went(state, field)
        return held

    def erase_field(self, state: State, field: bytes) -> bool:
        found = super().erase_field(state, field)
        self._went(state, field)
        return found

    def erase(self, state: State) -> None:
        super().erase(state)
        for field in [field for field in self.ids if field not in self.values]:
            self._went(state, field)

    @classmethod
    def check(cls, field: object, payload: Wire) -> bool:
        return super().check(field, payload) and len(field) in (0, SIZE)  # type: ignore[arg-type]

    def told(self, fields: list[bytes]) -> str:
        return self.NOTED if fields == [META] else self.ADDED

    def contested(self, field: bytes | None) -> bool:
        return field != META and super().contested(field)  # of several notes nobody has to choose: `left`

    # -- order --------------------------------------------------------------------------------------------------------

    def _came(self, state: State, fields: Iterable[bytes]) -> None:
        """Entries have arrived, in this order; some of them may have been there before."""
        fields = [field for field in fields if field in self.values and field != META and field not in self.ids]
        if not fields:
            return
        if state.loading:  # what was late is told by the checkpoint
            self.ids.update(fields)
            return
        arrivals = self._settled(state)
        for field in fields:
            self.ids.add(field)
            if field > self.top:
                self.top = field
                arrivals.append((field, 0, field))
            else:
                top, number, _ = arrivals[-1] if arrivals else (self.top, 0, field)
                self.late[field] = (self.top, number + 1 if top == self.top else 1)
                arrivals.append((*self.late[field], field))
                state.latecomers[self.key] = self.late

    def _settled(self, state: State) -> list[tuple[bytes, int, bytes]]:
        """The order of arrival, made anew after a start or when most of it has gone."""
        arrivals = self.arrivals
        if arrivals is None:
            self.late = {f: place for f, place in state.latecomers.get(self.key, {}).items() if f in self.values}
            self.top = max([*self.ids[-1:], self.left(state).last, *(top for top, _ in self.late.values())])
        elif len(arrivals) <= 2 * len(self.ids) + 64:
            return arrivals
        self.arrivals = sorted([(*self.late.get(field, (field, 0)), field) for field in self.ids])
        return self.arrivals

    def _went(self, state: State, field: bytes) -> None:
        if field in self.values or field not in self.ids:
            return
        self.ids.remove(field)
        if self.late.pop(field, None) is not None and not self.late:
            state.latecomers.pop(self.key, None)

    def after(self, state: State, last: bytes) -> Iterator[bytes]:
        """The entries that arrived after this one, in order of arrival."""
        arrivals = self._settled(state)
        top, number = self.late.get(last, (last, 0))
        for at in range(bisect_right(arrivals, (top, number, b"\xff" * (SIZE + 1))), len(arrivals)):
            field = arrivals[at][2]
            if field in self.values and self.late.get(field, (field, 0)) == arrivals[at][:2]:
                yield field

    def newest(self, state: State) -> bytes:
        """The id behind which nothing has arrived yet."""
        arrivals = self._settled(state)
        return arrivals[-1][2] if arrivals and arrivals[-1][2] in self.values else self.top

    # -- reads --------------------------------------------------------------------------------------------------------

    def words(self, state: State, field: bytes) -> list[bytes]:
        """Fields and values of one entry, flat."""
        value = self.values[field]
        return unpacked(value.text(state) if isinstance(value, Number) else value)

    def left(self, state: State) -> Left:
        """What removed entries have left behind: the highest of what replicas noted at the same time."""
        value = self.values.get(META)
        if value is None:
            return Left()
        texts = [value] if isinstance(value, bytes) else [_plain(raw) for raw in value.sets.values()]
        notes = [_note(text) for text in texts] or [Left()]
        return Left(max(n.last for n in notes), max(n.removed for n in notes), max(n.highest for n in notes))

    def last(self, state: State) -> bytes:
        """The last id that was given, as far as this replica knows."""
        left = self.left(state).last
        return max(left, self.ids[-1]) if self.ids else left


def described(field: bytes, payload: bytes) -> bytes:
    """A row for people: the words of an entry, or what removed entries left behind."""
    if field != META:
        return b" ".join(unpacked(payload))
    last, removed, highest = _note(payload)
    text = b"last id %d-%d, %d removed" % (*id_of(last), removed)
    return text if highest == NOTHING else text + b" by XDEL up to %d-%d" % id_of(highest)


def unpacked(payload: bytes | None) -> list[bytes]:
    """The words in a payload."""
    try:
        found = msgpack.unpackb(payload or b"\x90")
    except _MALFORMED:  # no XADD writes that: a peer's must not stop a reader
        return []
    return [word for word in found if type(word) is bytes] if type(found) is list else []


def _plain(raw: bytes | tuple[Any, ...]) -> bytes:
    return raw if isinstance(raw, bytes) else raw[1]


def _note(text: bytes) -> Left:
    try:
        last, removed, highest = msgpack.unpackb(text)
        if len(last) == len(highest) == SIZE and type(last) is type(highest) is bytes:
            return Left(last, int(removed), highest)
    except _MALFORMED:
        pass
    return Left()


def find(state: State, key: bytes) -> StreamEntry | None:
    """The stream under a key. Raises WrongTypeError."""
    entry = state.keys.get(key)
    if entry is not None and type(entry) is not StreamEntry:
        raise WrongTypeError
    return entry


def own(actor: Actor) -> int:
    """The low bits of every seq that this actor gives."""
    return xxh3_64_intdigest(b"%b %d" % (actor.name.encode(), actor.nonce)) & _OWN


def next_id(state: State, key: bytes, ms: int | None = None) -> Id:
    """The id for `*`, or for `ms-*`. Raises UsageError, WrongTypeError."""
    entry = find(state, key)
    last = id_of(NOTHING if entry is None else entry.last(state))
    if last == (MOST, MOST):
        raise UsageError(EXHAUSTED)
    if ms is None:
        ms = max(state.time_ms, last.ms)
    elif ms < last.ms:
        raise UsageError(TOO_SMALL)
    mine = own(state.actor)
    counter = (last.seq >> OWN_BITS) + 1 if ms == last.ms else 0
    if ms == last.ms and last.seq >> OWN_BITS << OWN_BITS | mine > last.seq:
        counter -= 1
    if counter >> (64 - OWN_BITS):  # 65,536 in this millisecond
        following = last.following()
        assert following is not None
        return following if ms == MOST else Id(ms + 1, mine)
    return Id(ms, counter << OWN_BITS | mine)


def add(state: State, key: bytes, entry_id: Id, words: Sequence[bytes]) -> None:
    """XADD with this id. Raises UsageError, WrongTypeError; nothing has changed then."""
    entry = find(state, key)
    field = entry_id.field()
    if entry is not None and field <= entry.last(state):
        raise UsageError(EXHAUSTED if entry.last(state) == b"\xff" * SIZE else TOO_SMALL)
    target = entry or state.create(StreamEntry, key)
    assert isinstance(target, StreamEntry)
    write(state, target, ((field, _pack(list(words))),))
    target._came(state, [field])
    state.streamed.add(key)


def remove(state: State, key: bytes, fields: Sequence[bytes], trimmed: bool = False) -> int:
    """XDEL and (`trimmed`) XTRIM: how many there were; what they leave behind is noted. Raises WrongTypeError."""
    entry = find(state, key)
    if entry is None:
        return 0
    last, left = entry.last(state), entry.left(state)
    gone = [field for field in dict.fromkeys(fields) if field != META and entry.erase_field(state, field)]
    if gone:
        highest = left.highest if trimmed else max(left.highest, *gone)
        _leave(state, entry, Left(last, left.removed + len(gone), highest))
    return len(gone)


def set_left(state: State, key: bytes, left: Left) -> None:
    """XSETID. The stream is there. Raises WrongTypeError."""
    entry = find(state, key)
    assert entry is not None
    _leave(state, entry, left)


def replace(state: State, key: bytes, entries: Sequence[tuple[bytes, list[bytes]]], left: Left) -> None:
    """What COPY and RENAME write under a key that is free."""
    for field, words in entries:
        add(state, key, id_of(field), words)
    entry = find(state, key) or state.create(StreamEntry, key)
    assert isinstance(entry, StreamEntry)
    if left != Left() or not entries:
        _leave(state, entry, left)


def _leave(state: State, entry: StreamEntry, left: Left) -> None:
    entry.top = max(entry.top, left.last)
    write(state, entry, ((META, _pack(list(left))),))


def size(state: State, key: bytes) -> int:
    """XLEN. Raises WrongTypeError."""
    entry = find(state, key)
    return 0 if entry is None else len(entry.ids)


# -- what a checkpoint keeps of the order of arrival ------------------------------------------------------------------


def pack_latecomers(state: State) -> bytes:
    """Which entries came late, and behind what."""
    late = [[key, [[f, top, n] for f, (top, n) in places.items()]] for key, places in state.latecomers.items()]
    return _pack(late)  # type: ignore[no-any-return]


def unpack_latecomers(state: State, data: bytes) -> None:
    """Inverse of `pack_latecomers`, before the rows are loaded. What cannot be read is left out: something is then read
    twice, or by id.
    """
    try:
        for key, places in msgpack.unpackb(data):
            state.latecomers[bytes(key)] = {bytes(f): (bytes(top), int(n)) for f, top, n in places}
    except _MALFORMED:
        state.latecomers.clear()
