"""How to do one thing wrongly: each context manager makes the engine, the shell or a start do so, in tests only.

Knows: the insides of what it spoils. Must not know: how it is found out (wrong.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from crdt import frame as frames
from crdt import mending
from crdt.applying import Applying
from crdt.codec import encode_frame
from crdt.dots import Actor, Runs
from crdt.frame import Frame, Group
from crdt.frozen import Frozen
from crdt.joining import Joining
from crdt.replica import healing, intake, outbox, recovery, replica
from crdt.replica.acks import Acks
from crdt.replica.effects import Lane, LogFrame, Persist
from crdt.replica.fetching import Fetch
from crdt.replica.held import Held
from crdt.replica.lives import Lives
from crdt.replica.merging import Merging
from crdt.replica.messages import Ack, Compare, Hello, Piece
from crdt.replica.outbox import Outbox
from crdt.replica.peers import Peer
from crdt.replica.pieces import Pieces
from crdt.replica.reaper import Reaper
from crdt.replica.replica import Replica
from crdt.replica.serving import Serving
from crdt.state import State
from crdt.types import expiry, number, strings
from tests import simulator
from tests.simulation import disk
from tests.simulation.node import Node


@contextmanager
def send_before_persist() -> Iterator[None]:
    original = Replica.flush

    def flush(self: Replica, floors: dict[Actor, int] | None = None) -> None:
        original(self, floors)
        if self.batch in self._views:
            view, fresh = self._views[self.batch]
            self._views[self.batch] = (view, [])
            self._unsent.add(fresh)
            self.publish(0.0)

    with mock.patch.object(Replica, "flush", flush):
        yield


@contextmanager
def same_actor_after_restore() -> Iterator[None]:
    def identity(self: simulator.World, node: Node) -> Actor:
        image = node.disk.image
        names = [a for a in [*image.vector, *(f.actor for _, f in image.log)] if a.name == node.name]
        return names[-1] if names else Actor(node.name, self.rng.getrandbits(64))

    with mock.patch.object(simulator.World, "identity", identity):
        yield


@contextmanager
def no_causal_hold() -> Iterator[None]:
    def ready(self: State, frame: Frame) -> bool:
        return frame.first - 1 <= self.applied(frame.actor)

    with mock.patch.object(State, "ready", ready):
        yield


@contextmanager
def log_ignores_snapshot() -> Iterator[None]:
    original = disk.Disk.finish_checkpoint

    def finish(self: disk.Disk, state: State, begun: Any, frames: Any = (), floors: Any = None) -> None:
        original(self, state, begun, frames)

    with mock.patch.object(disk.Disk, "finish_checkpoint", finish):
        yield


@contextmanager
def snapshot_unions() -> Iterator[None]:
    with mock.patch.object(Joining, "_stays", lambda self, group, n, live: group):
        yield


@contextmanager
def snapshot_comes_late() -> Iterator[None]:
    """No mistake: every process also joins the last snapshot that came to the process before it.

    Alone this has to be harmless: rows that a process does not have any more make a join fail.
    """
    came: dict[str, tuple[Any, ...]] = {}
    begin, start = Merging.begin, simulator.World.start

    def remember(self: Merging, *snapshot: Any) -> None:
        came[self._replica.name] = snapshot
        begin(self, *snapshot)

    def start_late(self: simulator.World, node: Node, life: int) -> None:
        if self.now == 0:
            came.clear()
        starts = node.replica is None
        start(self, node, life)
        if starts and node.replica is not None and node.name in came:
            begin(node.replica.merging, *came[node.name])
            self._run(node, node.replica.out.take())

    with mock.patch.object(Merging, "begin", remember), mock.patch.object(simulator.World, "start", start_late):
        yield


@contextmanager
def snapshot_without_base() -> Iterator[None]:
    with snapshot_comes_late(), rows_unchecked():
        yield


@contextmanager
def snapshot_is_partial() -> Iterator[None]:
    original = Frozen.intervals

    def intervals(self: Frozen) -> Iterator[Any]:
        for portion in original(self):
            yield portion and (*portion[:2], Runs(list(portion[2])[:-1]))

    with mock.patch.object(Frozen, "intervals", intervals):
        yield


@contextmanager
def join_forgets_frames() -> Iterator[None]:
    with mock.patch.object(Joining, "follow", lambda *_: None):
        yield


@contextmanager
def rows_unchecked() -> Iterator[None]:
    """Whether all rows of a snapshot have come is not looked at: else some mistakes would only end in asking again."""

    def checked(groups: list[Group], live: Runs, first: int, last: int) -> Runs:
        return Runs(sorted(seq for group in groups for seq in group.seqs))

    with (
        mock.patch.object(Joining, "_complete", lambda *_: True),
        mock.patch.object(Fetch, "_checked", staticmethod(checked)),
    ):
        yield


@contextmanager
def merge_drops_removes() -> Iterator[None]:
    original = frames.merge

    def merge(frames: Any) -> Frame:
        parts = list(frames)
        one = original(parts)
        for actor, seqs in list(one.removes.items()):
            one.removes[actor] = Runs(
                s for s in seqs if actor != one.actor or not parts[0].first <= s <= parts[-1].last
            )
            if not len(one.removes[actor]):
                del one.removes[actor]
        return one

    with mock.patch.object(outbox, "merge", merge):
        yield


@contextmanager
def merge_keeps_ranged() -> Iterator[None]:
    with mock.patch.object(frames, "_ranged", lambda *_: False):
        yield


@contextmanager
def hello_before_commit() -> Iterator[None]:
    original = Outbox.send

    def hello(self: Replica, to: str | None, asked: tuple[str, ...]) -> None:
        kept, self.view = self.view, self._standing()
        original_hello(self, to, asked)
        self.view = kept

    original_hello = Replica.send_hello
    with mock.patch.object(Replica, "send_hello", hello), mock.patch.object(Outbox, "send", original):
        yield


@contextmanager
def ack_before_apply() -> Iterator[None]:
    def on_hello(self: Replica, sender: str, message: Hello, now: float) -> None:
        self.hearing.on_hello(sender, message, now)
        if self.name in message.asked:
            self.out.send(Lane.INBOX, sender, Ack(message.actor, message.ask, 0))

    with _handling(Hello, on_hello):
        yield


@contextmanager
def ack_before_stored() -> Iterator[None]:
    original = Acks.answer

    def answer(self: Acks) -> None:
        kept, self._replica.stored = self._replica.stored, 1 << 60
        original(self)
        self._replica.stored = kept

    with mock.patch.object(Acks, "answer", answer):
        yield


@contextmanager
def time_of_arrival() -> Iterator[None]:
    original = State.apply

    def apply(self: State, frame: Frame) -> Any:
        for group in frame.groups:
            group.stamps = [(len(group), self.clock.now)]
        return original(self, frame)

    with mock.patch.object(State, "apply", apply):
        yield


@contextmanager
def range_hits_numbers() -> Iterator[None]:
    """A range takes what is under every key, as a peer applies it."""
    original = Applying._in_range

    def in_range(self: Applying, path: Any, vector: Any) -> Any:
        keys = list({**self._state.keys, **self._state.hidden, **self._state.lifetimes})
        return itertools.chain.from_iterable(original(self, (key,), vector) for key in keys)

    with mock.patch.object(Applying, "_in_range", in_range):
        yield


@contextmanager
def wide_claim() -> Iterator[None]:
    original = State.cut

    def cut(self: State) -> Frame | None:
        frame = original(self)
        if frame is not None and frame.groups and len(frame.groups[-1]) > 1:
            last = frame.groups[-1]
            frame.groups[-1] = last.pick(list(range(len(last) - 1)))
        return frame

    with mock.patch.object(State, "cut", cut):
        yield


@contextmanager
def pruned_without_floor() -> Iterator[None]:
    original = disk.Disk.prune

    def prune(self: disk.Disk, number: int) -> int:
        floors = dict(self.image.floors)
        dropped = original(self, number)
        self.image = replace(self.image, floors=floors)
        return dropped

    with mock.patch.object(disk.Disk, "prune", prune):
        yield


@contextmanager
def clock_before_causality() -> Iterator[None]:
    original = strings.put

    def put(state: State, key: bytes, value: bytes) -> None:
        entry = state.keys.get(key)
        if isinstance(entry, strings.StringEntry) and entry.dot >= 0 and state.hlc(entry.dot) > state.clock.now:
            return
        original(state, key, value)

    with mock.patch.object(strings, "put", put):
        yield


@contextmanager
def set_forgets_counts() -> Iterator[None]:
    with mock.patch.object(number.Number, "_observed", lambda *_: {}):
        yield


@contextmanager
def checkpoint_before_commit() -> Iterator[None]:
    with mock.patch.object(simulator.World, "commits_before_checkpoint", False):
        yield


@contextmanager
def received_after_own() -> Iterator[None]:
    original = Replica.flush

    def flush(self: Replica, floors: dict[Actor, int] | None = None) -> None:
        theirs, self.intake.unsaved = self.intake.unsaved, []
        original(self, floors)
        self.intake.unsaved = theirs
        original(self)

    with mock.patch.object(Replica, "flush", flush):
        yield


@contextmanager
def transactions_torn() -> Iterator[None]:
    """A frame is cut inside of a transaction, and its first half travels alone: the other one has to be asked for."""
    original = State.cut

    def halves(self: Replica, floors: dict[Actor, int] | None = None) -> None:
        original_flush(self, floors)
        if self.batch not in self._views or len(self._views[self.batch][1]) != 1:
            return
        (frame, _), *_ = self._views[self.batch][1]
        parts = _halves(frame)
        if len(parts) < 2:
            return
        fresh = [(part, encode_frame(part)) for part in parts]
        self._views[self.batch] = (self._views[self.batch][0], fresh[:1])
        persist = self.out._effects[-1]
        assert isinstance(persist, Persist)
        logged = [LogFrame(part.actor, part.first, part.last, data) for part, data in fresh]
        before = [one for one in persist.frames if (one.actor, one.first) != (frame.actor, frame.first)]
        self.out._effects[-1] = replace(persist, frames=(*before, *logged))

    original_flush = Replica.flush
    with mock.patch.object(Replica, "flush", halves), mock.patch.object(State, "cut", original):
        yield


def _halves(frame: Frame) -> list[Frame]:
    seqs = sorted(seq for group in frame.groups for seq in group.seqs)
    if len(seqs) < 2 or frame.ranges:
        return [frame]
    at = seqs[len(seqs) // 2]
    first = Frame(frame.actor, frame.first, at - 1, frame.deps, removes=frame.removes)
    second = Frame(frame.actor, at, frame.last, {})
    for group in frame.groups:
        low = [i for i, seq in enumerate(group.seqs) if seq < at]
        high = [i for i, seq in enumerate(group.seqs) if seq >= at]
        first.groups += [group.pick(low)] if low else []
        second.groups += [group.pick(high)] if high else []
    return [first, second]


@contextmanager
def never_asks_back() -> Iterator[None]:
    """What was missed is never pulled."""
    with mock.patch.object(recovery.Recovery, "_ask", lambda *_, **__: None):
        yield


@contextmanager
def never_heals() -> Iterator[None]:
    with mock.patch.object(healing.Healing, "_suspect", lambda *_: None):
        yield


@contextmanager
def heals_with_one_content() -> Iterator[None]:
    original = mending.reissue

    def one(state: State, owner: Any, seq: int, contents: Any) -> None:
        original(state, owner, seq, contents[:1])

    with mock.patch.object(healing, "reissue", one), mock.patch.object(intake, "preserve", lambda *_: None):
        yield


@contextmanager
def heals_by_removing() -> Iterator[None]:
    original = mending.reissue

    def remove(state: State, owner: Any, seq: int, contents: Any) -> None:
        original(state, owner, seq, contents[1:])
        state.gap()

    with mock.patch.object(healing, "reissue", remove):
        yield


@contextmanager
def anybody_answers() -> Iterator[None]:
    original = healing.Healing.on_compare

    def answer(self: healing.Healing, sender: str, question: Compare, now: float) -> None:
        if self.comparing is None or self.comparing.number != question.number:  # else it is its own
            original(self, sender, replace(question, session=self._replica.session), now)

    with mock.patch.object(healing.Healing, "on_compare", answer):
        yield


@contextmanager
def clone_goes_on() -> Iterator[None]:
    with mock.patch.object(Lives, "fork", lambda *_: None):
        yield


@contextmanager
def waits_without_bound() -> Iterator[None]:
    original = Held.__init__

    def init(self: Held, limit: int) -> None:
        original(self, limit * 1000)

    with mock.patch.object(Held, "__init__", init):
        yield


@contextmanager
def answers_every_time() -> Iterator[None]:
    """Questions are repeated by a timer, and answered again while the answer is under way."""
    with (
        mock.patch.object(Peer, "timeout", lambda self, silent, limit: limit / 10),
        mock.patch.object(Serving, "_under_way", lambda *_: False),
        mock.patch.object(Serving, "_given", lambda *_: False),
    ):
        yield


@contextmanager
def pieces_expire_by_age() -> Iterator[None]:
    add_one, expire = Pieces.add, Pieces.expire

    def add(self: Pieces, sender: str, piece: Piece, now: float) -> bytes | None:
        name = (sender, piece.stream, piece.actor, piece.seq)
        began = self._open[name].grown if name in self._open else now
        whole = add_one(self, sender, piece, now)
        if name in self._open:
            self._open[name].grown = began
        return whole

    with (
        mock.patch.object(Pieces, "add", add),
        mock.patch.object(Pieces, "expire", lambda self, before, asked="": expire(self, before)),
    ):
        yield


@contextmanager
def waits_for_what_is_lost() -> Iterator[None]:
    with mock.patch.object(Replica, "transit", property(lambda self: self.patience)):
        yield


@contextmanager
def large_messages() -> Iterator[None]:
    original = Outbox.__init__

    def init(self: Outbox, sender: str, max_message: int) -> None:
        original(self, sender, max_message * 2)

    with mock.patch.object(Outbox, "__init__", init):
        yield


@contextmanager
def _handling(kind: type[Any], handler: Any) -> Iterator[None]:
    with mock.patch.dict(replica._HANDLERS, {kind: handler}):
        yield


@contextmanager
def reaped_without_grace() -> Iterator[None]:
    with mock.patch.object(Reaper, "_grace_ms", lambda self: 0):
        yield


@contextmanager
def reaped_by_a_wrong_clock() -> Iterator[None]:
    def heed(self: Reaper, now: float) -> None:
        original(self, now)
        self.off = False

    original = Reaper.heed
    with mock.patch.object(Reaper, "heed", heed):
        yield


@contextmanager
def reaped_by_the_author_alone() -> Iterator[None]:
    def plan(self: Reaper, key: bytes, deadline: int) -> None:
        state = self.replica.state
        if state.name(expiry.longest(state, key)).actor.name == self.replica.name:
            original(self, key, deadline)

    original = Reaper._plan
    with mock.patch.object(Reaper, "_plan", plan):
        yield


@contextmanager
def expire_rows_stay() -> Iterator[None]:
    def remove(self: Reaper, key: bytes, deadline: int) -> None:
        state = self.replica.state
        for entry in state.all_of(key):
            if entry.visible():
                entry.erase(state)
                state.place(entry)

    with mock.patch.object(Reaper, "_remove", remove):
        yield
