"""What a replica orders, in order, until the shell takes it; and the fitting of frames into messages.

Promises: no message exceeds `max_message` (invariant I12): frames share messages, a frame that is too large
goes in pieces, and so does what holds a vector that is. Must not know: state, peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from crdt.codec import encode_frame, head_of
from crdt.dots import Actor
from crdt.frame import Frame, merge, overlap
from crdt.replica import messages
from crdt.replica.effects import Effect, Lane, Send
from crdt.replica.messages import FRAME, LETTER, Delta, Message, Piece
from crdt.replica.pieces import cut_up

BESIDE: Final = 8  # bytes that a message takes for a frame beside its own, if the author is said again
HEADROOM: Final = 384  # of a message, for its own fields: the longest name of an actor, and some numbers
SMALL: Final = 1024  # bytes of a frame beside which its header (some 25) is worth a merge
GAIN: Final = 8  # a larger frame is merged if it takes back at least one operation in so many of its own
STRETCH: Final = 256  # operations after which small frames are put together before their interval is over
Written = tuple[Frame | None, bytes]  # a frame, or None if it goes out as it is, and its encoding
Parts = Mapping[tuple[Actor, int], tuple[int, bytes]]  # (actor, last) -> (number of pieces, bits of those not needed)


class Outbox:
    """Effects in the order in which they have to be carried out."""

    def __init__(self, sender: str, max_message: int) -> None:
        self._sender = sender
        self.max_message = max_message
        self.room = max_message - HEADROOM
        self._effects: list[Effect] = []
        self._letters = 0

    def order(self, effect: Effect) -> None:
        """One more, behind the others."""
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """Everything ordered since the last call."""
        out, self._effects = self._effects, []
        return out

    def send(self, lane: Lane, to: str | None, message: Message, author: Actor | None = None) -> None:
        """Order a message to be sent. One with a vector may be larger than a message: it needs its `author` then."""
        data = messages.encode(message, self._sender)
        if len(data) <= self.max_message:
            self.order(Send(lane, to, data))
            return
        assert author is not None, f"a {type(message).__name__} of {len(data)} bytes"
        self._letters += 1
        for piece in cut_up(data, self.room, LETTER, author, self._letters):
            self.order(Send(lane, to, messages.encode(piece)))

    def publish(self, frames: Iterable[bytes]) -> None:
        """Order frames to be published in as few messages as fit, those that are too large in pieces, all in order."""
        for item in packed(frames, self.room, {}):
            self.send(Lane.DELTA, None, item if isinstance(item, Piece) else Delta(item))


def packed(frames: Iterable[bytes], room: int, parts: Parts) -> list[list[bytes] | Piece]:
    """Frames as what goes into one message each: several whole ones, or a piece of one; without the known `parts`."""
    out: list[list[bytes] | Piece] = []
    for batch in _batches(frames, room):
        data = batch[0]
        if len(data) + BESIDE > room:
            actor, _, last = span(data)
            pieces = cut_up(data, room, FRAME, actor, last)
            total, bits = parts.get((actor, last), (0, b""))
            known = int.from_bytes(bits, "little") if total == len(pieces) else 0
            out += [piece for piece in pieces if not known >> piece.index & 1]
        else:
            out.append(batch)
    return out


def _batches(frames: Iterable[bytes], room: int) -> list[list[bytes]]:
    """As many frames in a row as one message has room for; one that is too large for any is alone."""
    out: list[list[bytes]] = []
    size = room
    for data in frames:
        size += len(data) + BESIDE
        if size > room:
            out.append([])
            size = len(data) + BESIDE
        out[-1].append(data)
    return out


def span(data: bytes) -> tuple[Actor, int, int]:
    """Author, first and last of a frame, without decoding the rest of it. Raises PeerError on anything else."""
    head = head_of(data)
    return head.actor, head.first, head.first + head.count - 1


class Unsent:
    """Own frames that wait for the end of the interval, put together on the way: no step is longer than a cut."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._leaving: list[list[bytes]] = []  # a message's each, put together as far as it pays, the next one last
        self._merged: list[Written] = []
        self._loose: list[Written] = []  # the latest, not put together yet
        self._operations = 0  # of the loose ones

    def __bool__(self) -> bool:
        return bool(self._loose or self._merged or self._leaving)

    @property
    def leaving(self) -> bool:
        """Whether some of what belongs together was taken, and some was not."""
        return bool(self._leaving)

    def add(self, frames: list[Written]) -> None:
        """They were cut one after the other, and are stored."""
        for frame, data in frames:
            self._loose.append((frame, data))
            self._operations += STRETCH if frame is None else frame.last - frame.first + 1
            if self._operations >= STRETCH:
                for one in merged(self._loose, self._room):
                    line_up(self._merged, *one)
                self._loose, self._operations = [], 0

    def last(self, actor: Actor) -> int:
        """The latest operation of this actor that is among them; 0 if the latest is another's."""
        written = self._loose or self._merged
        author, _, last = span(written[-1][1] if written else self._leaving[0][-1])
        return last if author == actor else 0

    def take(self) -> list[bytes]:
        """What goes into the next message, at least one if there are any."""
        if not self._leaving:
            frames = [data for _, data in merged(self._merged + self._loose, self._room)]
            self.clear()
            self._leaving = _batches(frames, self._room)[::-1]
        return self._leaving.pop() if self._leaving else []

    def clear(self) -> None:
        """Nobody is to be sent them."""
        self._leaving, self._merged, self._loose, self._operations = [], [], [], 0


def line_up(line: list[Written], frame: Frame | None, data: bytes) -> None:
    """One more behind the others. Of the one before it the bytes are enough if it joins neither of its neighbours.

    To free a frame of 256 operations takes 30 us while it is in the caches, and all of an interval's at its end 2 ms.
    """
    line.append((frame, data))
    last = len(line) - 2
    if last > 0 and not _joins(_leader(line, last), line[last][1], frame, data):
        before, its = line[last]
        if not _joins(_leader(line, last - 1), line[last - 1][1], before, its):
            line[last] = None, its


def _leader(line: list[Written], at: int) -> Frame | None:
    """The earliest frame that the one there may have joined: a later leader would only join less."""
    while at and line[at][0] is not None and line[at - 1][0] is not None:
        at -= 1
    return line[at][0]


def merged(frames: list[Written], room: int) -> list[Written]:
    """Adjacent frames as one, where that pays and while a message has room for it.

    Putting two frames together costs about as much as cutting them did.
    """
    out: list[Written] = []
    run: list[Written] = []
    size = 0
    for frame, data in frames:
        if run and (size + len(data) > room or not _joins(run[0][0], run[-1][1], frame, data)):
            out.append(_one(run))
            run, size = [], 0
        run.append((frame, data))
        size += len(data)
    if run:
        out.append(_one(run))
    return out


def _joins(leader: Frame | None, before: bytes, frame: Frame | None, data: bytes) -> bool:
    """Whether to put a frame together with those from `leader` to the one before it: it saw nothing new, and that
    saves much.
    """
    if leader is None or frame is None or frame.deps:
        return False
    if len(data) < SMALL and len(before) < SMALL:
        return True
    return bool(frame.ranges) or overlap(leader.first, frame) * GAIN >= frame.last - frame.first + 1


def _one(run: list[Written]) -> Written:
    if len(run) == 1:
        return run[0]
    frames = [frame for frame, _ in run if frame is not None]
    assert len(frames) == len(run), "what is kept as bytes stands alone"
    frame = merge(frames)
    return frame, encode_frame(frame)
