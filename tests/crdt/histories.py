"""Random histories of several States that exchange frames, compared with two oracles.

One `World` is one history drawn from one seed: local operations of every type, cuts, frames that travel alone, in log
order, merged, twice or not at all, snapshots joined at once or late, pruned logs, crashes with a checkpoint that was
written while work went on, new lives, and a stranger whose types nobody here knows.

Two oracles, written without the code under test: the rows that the algebra of records leaves (algebra.py), and what
readers must see (answers.py). What a history may do is in acts.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from crdt import codec, frame
from crdt.applying import Changes
from crdt.dots import Actor, Runs, dominates
from crdt.errors import UsageError
from crdt.frame import Frame, Group
from crdt.joining import Joining
from crdt.state import State
from tests.crdt import json_model
from tests.crdt.algebra import check_books, live_rows, rows_held
from tests.crdt.answers import KEYS, Answers, Op, Past

STRANGE = 200  # a type that this version does not know
MEMBERS = [b"x", b"y", b"z", b"", b"xy"]


# -- one replica, its log and its disk --------------------------------------------------------------------------------


@dataclass(slots=True)
class Image:
    """A complete checkpoint: the vector it stands for, and rows that were packed then or later."""

    vector: dict[Actor, int] = field(default_factory=dict)
    segments: dict[Actor, list[bytes]] = field(default_factory=dict)


class Site:
    """A replica without its engine."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.state = State(Actor(name, world.rng.getrandbits(64)))
        self.ops: list[Op] = []  # of frames to come
        self.log: list[bytes] = []  # what it can serve
        self.floor: dict[Actor, int] = {}
        self.disk: list[bytes] = []  # frames above the checkpoint
        self.image = Image()
        self.partial: Image | None = None
        self.todo: list[Actor] = []
        self.backup: tuple[Image, list[bytes], list[bytes], dict[Actor, int]] | None = None
        self.staged: list[
            tuple[dict[Actor, int], dict[Actor, int], dict[Actor, list[int]], dict[Actor, list[bytes]]]
        ] = []

    # -- operations

    def past(self) -> Past:
        return Past(self.state.actor, len(self.world.ops[self.state.actor]) + len(self.ops), self.state.vector())

    def note(
        self, kind: str, key: bytes, name: bytes | None, verb: str, value: Any = None, over: Past | None = None
    ) -> None:
        past = self.past()
        self.ops.append(Op(past.author, past.count, kind, key, name, verb, value, past, over))

    # -- frames

    def cut(self) -> None:
        made = self.state.cut()
        if made is None:
            assert all(op.verb == "remove" for op in self.ops), "an operation without a dot"  # of what was not there
        else:
            data = codec.encode_frame(made)
            assert codec.decode_frame(data) == made, "codec"
            self.world.frames.append(codec.decode_frame(data))
            assert self.state.vector().keys() >= set(self.world.frames[-1].named), "a count of somebody it has not seen"
            self.world.saw[made.actor, made.last] = self.state.vector()
            self.log.append(data)
            self.disk.append(data)
            for op in self.ops:
                op.last = made.last
            self.world.publish(self, data)
        self.world.ops[self.state.actor] += self.ops
        self.ops = []

    def receive(self, data: bytes) -> bool:
        """Apply a frame that has arrived; False if it must wait."""
        one = codec.decode_frame(data)
        if one.actor == self.state.actor:
            return True
        if not self.state.ready(one):
            lacking = self.state.lacks(one)
            assert lacking is None or lacking[0] in (one.actor, *one.deps), "it waits for more than it says"
            return False
        if self.state.apply(one) is not None:
            self.log.append(data)
            self.disk.append(data)
        saw = self.world.saw.get((one.actor, one.last), {})
        assert dominates(self.state.vector(), saw), "an effect without its cause"
        return True

    def missing(self, have: dict[Actor, int]) -> list[bytes]:
        return [data for data in self.log if (f := codec.decode_frame(data)).last > have.get(f.actor, 0)]

    def prune(self, count: int) -> None:
        for data in self.log[:count]:
            one = codec.decode_frame(data)
            self.floor[one.actor] = max(self.floor.get(one.actor, 0), one.last)
        del self.log[:count]

    # -- snapshots

    def pull(self, peer: Site, late: bool) -> None:
        """Ask for what is missing: frames in log order, or below the floor a snapshot."""
        rng = self.world.rng
        peer.cut()
        self.cut()
        have = self.state.vector()
        if not dominates(have, peer.floor) or (not self.world.calm and rng.random() < 0.05):
            self.staged.append((have, *peer.snapshot(have)))
            if not late:
                self.join_staged()
            return
        frames = peer.missing(have)
        if rng.random() < 0.7:
            frames = merged(frames)
        if rng.random() < 0.3:
            frames = frames[: rng.randrange(len(frames) + 1)]
        for data in frames:
            if rng.random() < 0.05:
                return  # the rest is lost
            if rng.random() < 0.05:
                continue  # this one is lost, later ones arrive
            self.receive(data)
            if rng.random() < 0.1:
                self.receive(data)

    def snapshot(
        self, base: dict[Actor, int]
    ) -> tuple[dict[Actor, int], dict[Actor, list[int]], dict[Actor, list[bytes]]]:
        """Vector, live rows as intervals, and the rows above `base`, chunk by chunk."""
        state = self.state
        live: dict[Actor, list[int]] = {}
        rows: dict[Actor, list[bytes]] = {}
        for actor in state.vector():
            owner = state.intern(actor)
            seqs = [chunk.dots[i] - owner.base for chunk in owner.chunks for i in chunk.live()]
            live[actor] = codec.encode_live(Runs(seqs))
            parts = [state.groups(chunk, start) for chunk, start in owner.above(base.get(actor, 0))]
            rows[actor] = [codec.encode_rows(groups) for groups in parts if groups]
        return state.vector(), live, rows

    def join_staged(self) -> None:
        for base, vector, live, rows in self.staged:
            if not self.world.may_join(self.state.vector(), base):
                continue
            if vector.get(self.state.actor, 0) > self.state.applied(self.state.actor):
                continue
            self.cut()
            groups = {actor: [g for part in parts for g in codec.decode_rows(part)] for actor, parts in rows.items()}
            had = self.state.vector()
            if join(self.state, vector, {a: codec.decode_live(flat) for a, flat in live.items()}, groups) is None:
                continue  # rows are missing: it was made for another vector
            for actor, n in vector.items():
                if n > had.get(actor, 0):
                    self.floor[actor] = max(self.floor.get(actor, 0), n)
            self.checkpoint(whole=True)
        self.staged = []

    # -- disk

    def checkpoint(self, whole: bool = False) -> None:
        """Begin a checkpoint at this moment, or write a part of one that was begun; the log above it stays."""
        if self.partial is None or whole:
            self.cut()
            self.partial, self.todo = Image(self.state.vector()), list(self.state.vector())
            self.since = len(self.disk)
        while self.todo:
            actor = self.todo.pop()
            chunks = self.state.intern(actor).chunks
            self.partial.segments[actor] = [codec.encode_rows(g) for chunk in chunks if (g := self.state.groups(chunk))]
            if not whole and self.world.rng.random() < 0.5:
                break
        if not self.todo:
            self.world.before_checkpoint_ends(self)
            self.image, self.partial = self.partial, None
            del self.disk[: self.since]

    def restart(self, crash: bool) -> None:
        """Build the state anew from the disk. What was pending in a crash never happened."""
        if crash:
            self.ops = []
            self.world.forget_contexts(self.state.actor)
        else:
            self.cut()
        old = rows_held(self.state) if not crash else None
        vector = self.state.vector()
        self.load(self.state.actor)
        assert self.state.vector() == vector, "a start knows less than what was on disk"
        if old is not None:
            assert rows_held(self.state) == old, "a restart changed rows"

    def load(self, actor: Actor) -> None:
        """The state that the disk describes, to go on as this actor."""
        self.partial = None
        self.state = State(actor)
        for author, segments in self.image.segments.items():
            for segment in segments:
                self.state.load(author, 1, codec.decode_rows(segment), self.image.vector[author])
        self.state.loaded(self.image.vector)
        for data in self.disk:
            self.state.replay(codec.decode_frame(data))

    def copy(self) -> tuple[Image, list[bytes], list[bytes], dict[Actor, int]]:
        """A backup of the disk (images are never changed once complete)."""
        return self.image, list(self.disk), list(self.log), dict(self.floor)

    def restore(self) -> None:
        """Fall back to the backup, as a new actor. What was asked for before may still arrive."""
        if self.backup is None:
            return
        self.ops = []
        self.world.forget_contexts(self.state.actor)
        image, disk, log, floor = self.backup
        self.image, self.disk, self.log, self.floor = image, list(disk), list(log), dict(floor)
        self.load(Actor(self.state.actor.name, self.world.rng.getrandbits(64)))
        self.world.born(self)


def merged(frames: list[bytes]) -> list[bytes]:
    """Neighbours of one actor, the later with nothing new in deps, as one."""
    out: list[list[Frame]] = []
    for data in frames:
        one = codec.decode_frame(data)
        if out and out[-1][-1].actor == one.actor and out[-1][-1].last == one.first - 1 and not one.deps:
            out[-1].append(one)
        else:
            out.append([one])
    return [codec.encode_frame(frame.merge(run) if len(run) > 1 else run[0]) for run in out]


# -- the world --------------------------------------------------------------------------------------------------------


WEATHER = {
    "act": 550, "cut": 130, "deliver": 100, "pull": 100, "join": 20, "prune": 20, "checkpoint": 30, "restart": 10,
    "crash": 10, "back_up": 5, "restore": 5, "become": 5, "strange": 15,
}  # fmt: skip


def join(
    state: State, vector: Mapping[Actor, int], live: Mapping[Actor, Runs], rows: Mapping[Actor, list[Group]]
) -> Changes | None:
    """A whole snapshot at once; what changed, or None if it lacks rows."""
    parts = {a: [(g.seqs[0], g.seqs[-1], lambda g=g: [g]) for g in groups] for a, groups in rows.items()}
    joining = Joining(state, vector, live, lambda actor: parts.get(actor, []))
    joining.begin()
    while joining.step():
        pass
    if joining.failed:
        return None
    joining.finish()
    changes = dict.fromkeys(joining.changes())
    while joining.discard():
        pass
    return changes


class World:
    """Sites, what is in flight between them, and everything that was ever done."""

    def __init__(self, seed: int, sites: int = 4, acts: Sequence[Act] = (), **weather: int) -> None:
        self.rng = random.Random(seed)
        from tests.crdt.acts import ACTS  # which imports this module

        self.acts = acts or ACTS
        self.weather = {**WEATHER, **weather}
        self.frames: list[Frame] = []
        self.ops: dict[Actor, list[Op]] = {}
        self.saw: dict[tuple[Actor, int], dict[Actor, int]] = {}  # actor, last of a frame -> what was applied by then
        self.flying: list[tuple[Site, bytes]] = []
        self.contexts: list[tuple[bytes, Past, bytes, bytes | None]] = []
        self.now = 1_000_000
        self.calm = False  # the end has come: nothing is asked for that is not missing
        self.unique = 1000
        self.sites: list[Site] = []
        for i in range(sites):
            site = Site(self, f"r{i}")
            self.sites.append(site)
            self.born(site)
        self.stranger = Actor("stranger", self.rng.getrandbits(64))
        self.strange_seq = 0
        self.strange_live: list[int] = []

    def born(self, site: Site) -> None:
        self.ops[site.state.actor] = []

    def may_join(self, have: dict[Actor, int], base: dict[Actor, int]) -> bool:
        """The guard of a late snapshot (a negative control opens it)."""
        return dominates(have, base)

    def before_checkpoint_ends(self, site: Site) -> None:
        """Removals that segments reflect already must be on disk before the checkpoint counts."""
        site.cut()

    def publish(self, origin: Site, data: bytes) -> None:
        for site in self.sites:
            if site is not origin and self.rng.random() < 0.7:
                self.flying.append((site, data))

    def forget_contexts(self, actor: Actor) -> None:
        self.contexts = [c for c in self.contexts if c[1].author != actor]

    # -- what may happen

    def step(self) -> None:
        """One thing happens to one site; WEATHER says how often which."""
        (happening,) = self.rng.choices(list(self.weather), list(self.weather.values()))
        getattr(self, happening)(self.rng.choice(self.sites))

    def cut(self, site: Site) -> None:
        site.cut()

    def pull(self, site: Site) -> None:
        site.pull(self.rng.choice([s for s in self.sites if s is not site]), late=self.rng.random() < 0.7)

    def join(self, site: Site) -> None:
        site.join_staged()

    def prune(self, site: Site) -> None:
        site.prune(self.rng.randrange(len(site.log) + 1))

    def checkpoint(self, site: Site) -> None:
        site.checkpoint()

    def restart(self, site: Site) -> None:
        site.restart(crash=False)

    def crash(self, site: Site) -> None:
        site.restart(crash=True)

    def back_up(self, site: Site) -> None:
        site.backup = site.copy()

    def restore(self, site: Site) -> None:
        site.restore()

    def become(self, site: Site) -> None:
        """The site finds out that it cannot prove to be who it was."""
        site.cut()
        site.state.become(Actor(site.state.actor.name, self.rng.getrandbits(64)))
        self.born(site)
        site.checkpoint(whole=True)

    def deliver(self, site: Site) -> None:
        """Frames in flight arrive in any order; some twice, some never."""
        for _ in range(min(3, len(self.flying))):
            i = self.rng.randrange(len(self.flying))
            site, data = self.flying[i]
            if self.receives(site, data) and self.rng.random() < 0.8:
                del self.flying[i]

    def receives(self, site: Site, data: bytes) -> bool:
        return site.receive(data)

    def strange(self, site: Site) -> None:
        """A frame of a newer version: types unknown here, with and without fields, removals and a range."""
        rng, first = self.rng, self.strange_seq + 1
        one = Frame(self.stranger, first, first + 2)
        path: tuple[bytes, ...] = rng.choice([(b"a",), (b"a", bytes([STRANGE]))])
        if rng.random() < 0.3:
            one.ranges = [(path, {self.stranger: self.strange_seq})]
        elif self.strange_live:
            one.removes = {self.stranger: Runs([self.strange_live.pop(0)])}
        hlc = self.now << 16
        two = rng.choice([None, [None, msgpack.ExtType(1, b"\x91\x01")]])
        one.groups = [
            Group(STRANGE, None, [b"a"], rng.choice([None, [b"p"]]), [first], [(1, hlc)]),
            Group(STRANGE, b"a", [b"f", b"g"], two, [first + 1, first + 2], [(2, hlc)]),
        ]
        self.strange_live += [first, first + 1, first + 2]
        self.strange_seq += 3
        self.frames.append(one)
        data = codec.encode_frame(one)
        self.sites[0].receive(data)  # always somebody's, so that it cannot be lost altogether
        for site in self.sites[1:]:
            self.flying.append((site, data))

    # -- operations

    def act(self, site: Site) -> None:
        """One operation, or one that is refused and then must have changed nothing."""
        self.now += self.rng.choice([0, 0, 1, 1000])
        if self.rng.random() < 0.7:
            site.state.begin(self.now + self.rng.choice([0, 0, 5, -5]))
        seq, past, expired = site.state.seq, site.past(), set(site.state.expired)
        try:
            self.rng.choice(self.acts)(self, site, self.rng.choice(KEYS))
        except UsageError:
            assert site.state.seq == seq, "a refused operation left a trace"
        for key in sorted(expired - set(site.state.expired)):  # who writes to an expired key deletes it first
            site.ops.append(Op(past.author, past.count, "", key, None, "remove", None, past))

    def text(self) -> bytes:
        self.unique += 1
        return (b"%d", b"%d", b"0%d", b"x%d")[self.rng.randrange(4)] % self.unique

    def score(self) -> bytes:
        """A score that no other ZADD has."""
        self.unique += 1
        return b"%d" % self.unique

    def amount(self) -> int:
        return self.rng.randrange(-3, 9)

    def sync(self) -> None:
        """Exchange until nothing is missing."""
        self.calm = True
        for site in self.sites:
            site.staged = []
        for _ in range(60):
            for a in self.sites:
                for b in self.sites:
                    if a is not b:
                        b.pull(a, late=False)
            vectors = [site.state.vector() for site in self.sites]
            if all(v == vectors[0] for v in vectors) and all(s.state.dot == s.state.cut_dot for s in self.sites):
                return

    # -- verdict

    def faults(self, site: Site) -> list[str]:
        """What is wrong with a site that has cut."""
        known = site.state.vector()
        rows = live_rows(self.frames, known)
        ops = [
            op for ops in self.ops.values() for op in ops if op.last is not None and op.last <= known.get(op.author, 0)
        ]
        out = check_books(site.state)
        if rows_held(site.state) != rows:
            out.append("rows differ from the algebra of records")
        return out + Answers(ops, rows).faults(site.state)

    def run(self, steps: int) -> list[str]:
        """Everything that went wrong in one history."""
        for i in range(steps):
            self.step()
            if i % 25 == 24:
                site = self.rng.choice(self.sites)
                site.cut()
                faults = self.faults(site)
                if faults:
                    return faults
        self.sync()
        first = self.sites[0].state
        out = ["vectors differ"] * any(s.state.vector() != first.vector() for s in self.sites)
        out += ["hashes differ"] * any(s.state.hash != first.hash for s in self.sites)
        out += ["texts differ"] * any(json_model.differ(s.state, first) for s in self.sites)
        for site in [*self.sites, self.newcomer()]:
            out += self.faults(site)
        return out

    def newcomer(self) -> Site:
        """Somebody new who asks a single peer, and must learn all that this one knows."""
        peer, site = self.rng.choice(self.sites), Site(self, "new")
        self.born(site)
        for _ in range(30):
            site.pull(peer, late=False)
        assert dominates(site.state.vector(), peer.state.vector()), "a peer cannot give what it has"
        return site


Act = Callable[[World, Site, bytes], None]
