"""Random histories of several States that exchange frames, and the oracles they are compared with.

One `World` is one history drawn from one seed: local operations of every type, cuts, frames that travel alone, in log
order, merged, twice or not at all, snapshots joined at once or late, pruned logs, crashes with a checkpoint that was
written while work went on, new lives, and a stranger whose types nobody here knows.

Two oracles, written without the code under test:

- `live_rows`: the rows that the algebra of records leaves, union of adds - removes - what ranges cover;
- `Answers`: what readers must see, from the operations and what each had observed, without rows or dots at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgpack

from crdt import codec, frame
from crdt.dots import Actor, Runs, dominates, vector_hash
from crdt.entry import Wire
from crdt.errors import UsageError
from crdt.expiries import NEVER
from crdt.frame import Frame, Group
from crdt.hashing import row_hash
from crdt.joining import Joining
from crdt.state import Changes, State
from crdt.types import counters, expiry, flags, hashes, keyspace, lists, number, sets, streams, strings, texts, zsets
from crdt.types.lists import ListEntry
from crdt.types.texts import TextEntry
from tests.crdt import json_model
from tests.crdt.json_model import JSON

STRANGE = 200  # a type that this version does not know
KEYS = [b"a", b"ab", b"b"]
KINDS = ["hash", "list", "set", "zset", "stream", JSON, "text", "gset", "gcount", "flag", "string"]  # by rank
MEMBERS = [b"x", b"y", b"z", b"", b"xy"]
Row = tuple[int, bytes, bytes | None, Wire, int]  # code, key, field, payload, timestamp
Name = tuple[Actor, int]


# -- rows, by the algebra of records ----------------------------------------------------------------------------------


def rows_of(groups: Iterable[Group], actor: Actor) -> Iterator[tuple[Name, Row]]:
    """Every row of some groups, spelled out."""
    for group in groups:
        hlcs = [hlc for count, hlc in group.stamps for _ in range(count)]
        for i, seq in enumerate(group.seqs):
            payload = None if group.payloads is None else group.payloads[i]
            key, name = (group.fields[i], None) if group.key is None else (group.key, group.fields[i])
            yield (actor, seq), (group.code, key, name, payload, hlcs[i])


def in_range(path: tuple[bytes, ...], vector: dict[Actor, int], name: Name, row: Row) -> bool:
    """Whether a range removes a row."""
    code, key, _, payload, _ = row
    if name[1] > vector.get(name[0], 0) or (path[:1] and path[0] != key) or (path[1:] and path[1] != bytes([code])):
        return False
    return not (type(payload) is msgpack.ExtType and msgpack.unpackb(payload.data)[0] in (1, 2))


def live_rows(frames: Iterable[Frame], known: dict[Actor, int]) -> dict[Name, Row]:
    """What the frames below a vector leave live."""
    rows: dict[Name, Row] = {}
    dead: set[Name] = set()
    ranges = []
    for one in frames:
        if one.last <= known.get(one.actor, 0):
            rows.update(rows_of(one.groups, one.actor))
            dead.update((actor, seq) for actor, seqs in one.removes.items() for seq in seqs)
            ranges += one.ranges
    return {n: r for n, r in rows.items() if n not in dead and not any(in_range(p, v, n, r) for p, v in ranges)}


def rows_held(state: State) -> dict[Name, Row]:
    """All rows that the entries of a state hold, spelled out as they would travel. Cut first."""
    out: dict[Name, Row] = {}
    for key in {*state.keys, *state.hidden, *state.lifetimes}:
        assert key not in state.keys or key not in state.expired, "an expired key is shown"
        for entry in state.all_of(key):
            assert entry.key == key
            assert entry.visible() or state.keys.get(key) is not entry, "a hidden entry is shown"
            for name, dot, raw in entry.rows():
                actor, seq = state.name(dot)
                assert (actor, seq) not in out, "one dot in two places"
                assert entry.holds(name, dot), "a row that its entry denies"
                out[actor, seq] = (entry.CODE, key, name, state.wire(raw, dot), state.hlc(dot))
    return out


def check_books(state: State) -> list[str]:
    """What a state says of itself against what it holds: indexes, counts, hashes. Cut first."""
    rows = rows_held(state)
    indexed: list[Name] = []
    for owner in state.actors.values():
        assert owner.firsts == [chunk.dots[0] for chunk in owner.chunks]
        dots = [dot for chunk in owner.chunks for dot in chunk.dots]
        assert dots == sorted(set(dots)), "the rows of an actor ascend"
        for chunk in owner.chunks:
            columns = zip(*chunk.columns(0, len(chunk))[:3], strict=True)
            live = [i for i, (dot, e, field) in enumerate(columns) if e is not None and e.holds(field, dot)]
            assert live == list(chunk.live()), "a row is dead in the books and not in its entry, or the other way round"
            assert chunk.dead == len(chunk) - len(live), "dead rows miscounted"
            indexed += [(owner.actor, chunk.dots[i] - owner.base) for i in live]
    total = sum(
        row_hash(actor.seed(), code, key, name, payload, seq, hlc)
        for (actor, seq), (code, key, name, payload, hlc) in rows.items()
    )
    vector = state.vector()
    mortal = [e.deadline for key, e in state.lifetimes.items() if key in state.keys and e.deadline < NEVER]
    checks = {
        "deadlines miscounted": (state.mortal, state.deadline_sum) != (len(mortal), sum(mortal)),
        "index incomplete": sorted(indexed) != sorted(rows),
        "live rows miscounted": state.live != len(rows),
        "hash wrong": state.hash != total % (1 << 128),
        "hash by actor wrong": state.hash != sum(owner.hash for owner in state.actors.values()) % (1 << 128),
        "vector hash wrong": state.vector_hash != vector_hash(vector),
        "vector sum wrong": state.vector_sum != sum(vector.values()),
    }
    return [name for name, failed in checks.items() if failed]


# -- what readers must see, by operations -----------------------------------------------------------------------------


@dataclass(slots=True)
class Past:
    """What an operation had observed: the first `count` of its author's, and of others what `vector` covers."""

    author: Actor
    count: int
    vector: dict[Actor, int]

    def saw(self, other: Op) -> bool:
        if other.author == self.author:
            return other.index < self.count
        return other.last is not None and other.last <= self.vector.get(other.author, 0)


@dataclass(slots=True)
class Op:
    """One local operation on a cell, or a removal (`remove`) of everything in it that was observed."""

    author: Actor
    index: int
    kind: str  # the type; for removals "" is every type
    key: bytes
    name: bytes | None  # member or field; for removals None is all of them
    verb: str  # add, set, incr, remove
    value: Any
    past: Past
    over: Past | None = None  # for a SET with a context: what it replaces
    last: int | None = None  # last operation of the frame that carries it

    def removes(self, other: Op) -> bool:
        """Whether this is a deletion that `other` falls under."""
        if self.verb != "remove" or self.key != other.key or self.kind not in ("", other.kind):
            return False
        inside = self.kind == JSON and other.name is not None and json_model.is_below(other.name, self.name or b"")
        if self.value == "below":  # a place in a document that is written anew
            return inside and self.past.saw(other)
        return (inside or self.name in (None, other.name)) and self.past.saw(other)


class Answers:
    """What every reader must see once exactly these operations are known."""

    def __init__(self, ops: list[Op], rows: dict[Name, Row]) -> None:
        self.ops = ops
        self.rows = rows
        self.removals = [op for op in ops if op.verb == "remove"]

    def standing(self, kind: str, key: bytes, verb: str, name: bytes | None = None, any_name: bool = False) -> list[Op]:
        """Operations of a cell that no deletion has observed."""
        wanted = [
            o for o in self.ops if o.verb == verb and o.kind == kind and o.key == key and (any_name or o.name == name)
        ]
        return [op for op in wanted if not any(r.removes(op) for r in self.removals)]

    def values(self, kind: str, key: bytes, name: bytes | None) -> list[Op]:
        """The SETs that stand side by side in a register."""
        standing = self.standing(kind, key, "set", name)
        everything = [o for o in self.ops if o.verb == "set" and (o.kind, o.key, o.name) == (kind, key, name)]
        return [op for op in standing if not any((o.over or o.past).saw(op) and o is not op for o in everything)]

    def register(self, kind: str, key: bytes, name: bytes | None) -> tuple[bytes | Decimal | None, set[bytes]]:
        """What is shown of a register that is also counted on, and the values side by side."""
        values = {op.value: op for op in self.values(kind, key, name)}
        counted = self.standing(kind, key, "incr", name)
        if not values:
            return (Decimal(sum(op.value for op in counted)) if counted else None), set()
        code = {"string": 1, "hash": 2, "gcount": 3, "list": 8, "text": 9, "zset": 11}[kind]
        written = [
            (row[4], dot, value)
            for dot, row in self.rows.items()
            if row[:3] == (code, key, name)
            for value in [row[3] if type(row[3]) is bytes else msgpack.unpackb(row[3].data)[1]]
            if type(value) is bytes
        ]
        shown = max(written)[2]
        winner = values[shown]
        new = [op.value for op in counted if not (winner.over or winner.past).saw(op)]
        if not new or not shown.isdigit():
            return shown, set(values)
        return int(shown) + Decimal(sum(new)), set(values)

    def members(self, kind: str, key: bytes) -> set[bytes | None]:
        """Members of a set, fields of a hash or document, `{None}` for a string, flag or counter that exists."""
        if kind in ("set", "gset", "flag", "stream"):
            return {op.name for op in self.standing(kind, key, "add", any_name=True)}
        cells = {op.name for op in self.ops if (op.kind, op.key) == (kind, key) and op.verb in ("set", "incr")}
        return {n for n in cells if self.values(kind, key, n) or self.standing(kind, key, "incr", n)}

    def ends(self, key: bytes) -> int:
        """When a key ends: the longest of its expire rows, unless one of its string's values is in none of them."""
        spans = [(d[0], msgpack.unpackb(row[3].data)) for d, row in self.rows.items() if row[:2] == (7, key)]
        if not spans or any(span[1] is None for _, span in spans):
            return NEVER
        named = {
            (Actor(*name[:2]), name[2]) if isinstance(name, list) else (author, name)
            for author, span in spans
            for name in span[2:]
        }
        values = [d for d, row in self.rows.items() if row[:2] == (1, key) and not number.is_count(row[3])]
        values = [d for d in values if type(p := self.rows[d][3]) is bytes or msgpack.unpackb(p.data)[0] == 0]
        return NEVER if set(values) - named else max(span[1] for _, span in spans)

    def faults(self, state: State) -> list[str]:
        """Where the state answers otherwise."""
        out = []
        for key in KEYS:
            kinds = [kind for kind in KINDS if self.members(kind, key)]
            ends = self.ends(key)
            if ends <= state.time_ms:
                kinds = []
            if kinds and (expiry.deadline(state, key) or NEVER) != ends:
                out.append("lifetime wrong")
            shown = keyspace.type_name(state, key)
            if shown != (kinds[0] if kinds else None) or keyspace.exists(state, key) != bool(kinds):
                out.append("type wrong")
            elif shown is not None:
                out += [f"{shown} wrong"] * (not self.agrees(state, shown, key))
        if set(keyspace.keys(state)) != {key for key in KEYS if keyspace.exists(state, key)}:
            out.append("keys wrong")
        return out

    def agrees(self, state: State, kind: str, key: bytes) -> bool:
        """Whether reading a key of this type gives what it must."""
        names = self.members(kind, key)
        if kind == JSON:
            return json_model.agrees(self, state, key, {name for name in names if name is not None})
        if kind == "flag":
            return flags.enabled(state, key)
        if kind in ("set", "gset"):
            return set(sets.members(state, key, sets.GROW if kind == "gset" else sets.SetEntry)) == names
        if kind == "gcount":
            return counters.grown(state, key) == self.register(kind, key, None)[0]
        if kind == "string":
            return self.same(strings.get(state, key), strings.siblings(state, key), kind, key, None)
        if kind == "stream":
            entry = streams.find(state, key)
            return entry is not None and set(entry.ids) == names - {streams.META} == set(entry.after(state, b""))
        if kind == "zset":
            return self.ranked(state, key, names)
        if kind in PLACED:  # in the order of their places, and each the register that it is
            return standing(state, kind, key) == {name: self.register(kind, key, name)[0] for name in sorted(names)}  # type: ignore[type-var]
        if set(hashes.fields(state, key)) != names or dict(hashes.items(state, key)).keys() != names:
            return False
        return all(
            name is not None
            and self.same(hashes.get(state, key, name), hashes.siblings(state, key, name), kind, key, name)
            for name in names
        )

    def ranked(self, state: State, key: bytes, names: set[bytes | None]) -> bool:
        """Whether a sorted set has the scores it must have, in order."""
        order = list(zsets.ordered(state, key))
        scores = {name: float(self.register("zset", key, name)[0] or 0) for name in names}
        return order == sorted(order) and {member: score for score, member in order} == scores

    def same(
        self, text: bytes | None, siblings: list[strings.Sibling] | None, kind: str, key: bytes, name: bytes | None
    ) -> bool:
        """Whether a register reads as it must: the shown value to the byte if nothing counts on it."""
        shown, values = self.register(kind, key, name)
        if text is None or siblings is None:
            return False
        alike = text == (number.render(number.exact(shown)) if isinstance(shown, Decimal) else shown)
        seen = {sibling.value for sibling in siblings}
        return alike and (seen == values or isinstance(shown, Decimal) or len(seen) == len(values) + 1)


PLACED = {"list": ListEntry, "text": TextEntry}


def standing(state: State, kind: str, key: bytes) -> dict[bytes, bytes]:
    """What stands at which place, in the order that readers see; nothing where another type is shown."""
    if keyspace.type_name(state, key) != kind:
        return {}
    entry = lists.of(state, key, PLACED[kind])
    assert entry is not None
    size = len(entry.elements)
    return dict(zip(entry.elements.places(0, size), entry.shown(state, 0, size), strict=True))


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
            return False
        if self.state.apply(one) is not None:
            self.log.append(data)
            self.disk.append(data)
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
        self.acts = acts or ACTS
        self.weather = {**WEATHER, **weather}
        self.frames: list[Frame] = []
        self.ops: dict[Actor, list[Op]] = {}
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
        path: tuple[bytes, ...] = rng.choice([(), (b"a",), (b"a", bytes([STRANGE]))])
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


def _noted(kind: str, verb: str, value: Callable[[World], Any], run: Callable[..., object], names: list[Any]) -> Act:
    """An act on one cell: run it, then note it."""

    def act(world: World, site: Site, key: bytes) -> None:
        name, amount = world.rng.choice(names), value(world)
        past = site.past()
        run(site.state, key, name, amount)
        if verb == "remove" and key in site.state.expired:
            return  # it found no key
        site.ops.append(Op(past.author, past.count, kind, key, name, verb, amount, past))

    return act


def _decimal(world: World) -> Decimal:
    return Decimal(world.rng.randrange(-30, 90)) / 10


def put_over(world: World, site: Site, key: bytes) -> None:
    """MV.SET with a context that somebody was given some time ago."""
    state = site.state
    if not world.contexts or world.rng.random() < 0.5:
        name = world.rng.choice([None, *MEMBERS])
        if keyspace.type_name(state, key) in (None, "string" if name is None else "hash"):
            token = strings.context(state, key) if name is None else hashes.context(state, key, name)
            world.contexts.append((token, site.past(), key, name))
        return
    token, over, key, name = world.rng.choice(world.contexts)
    value, past = world.text(), site.past()
    try:
        if name is None:
            strings.put_over(state, key, value, token)
        else:
            hashes.put_over(state, key, name, value, token)
    except UsageError:  # of another type by now, or it names increments that have not arrived here
        return
    kind = "string" if name is None else "hash"
    site.ops.append(Op(past.author, past.count, kind, key, name, "set", value, past, Both(over, past)))


class Both(Past):
    """What two pasts both saw: a context may cover what has not arrived here."""

    __slots__ = ("one", "two")

    def __init__(self, one: Past, two: Past) -> None:
        self.one, self.two = one, two

    def saw(self, other: Op) -> bool:
        return self.one.saw(other) and self.two.saw(other)


def put(world: World, site: Site, key: bytes) -> None:
    """SET: a deletion of every other type, then a write."""
    value = world.text()
    strings.put(site.state, key, value)
    for kind in KINDS[:-1]:
        site.note(kind, key, None, "remove")
    site.note("string", key, None, "set", value)


def delete(world: World, site: Site, key: bytes) -> None:
    keyspace.delete(site.state, key)
    site.note("", key, None, "remove")


def flush(world: World, site: Site, key: bytes) -> None:
    if world.rng.random() < 0.2:
        keyspace.flush(site.state)
        for name in KEYS:
            site.note("", name, None, "remove")


def fill(world: World, site: Site, key: bytes) -> None:
    """Enough to be removed by a range."""
    if world.rng.random() < 0.5:
        sets.add(site.state, key, MEMBERS)
        for name in MEMBERS:
            site.note("set", key, name, "add", True)
        return
    pairs = [(name, world.text()) for name in MEMBERS]
    hashes.put(site.state, key, pairs)
    for name, value in pairs:
        site.note("hash", key, name, "set", value)


def _ordered(kind: str, run: Callable[[World, State, bytes, list[bytes]], list[bytes] | None]) -> Act:
    """An act on a list or text: `run` does it, and says what a plain list would hold after it (None: nothing is said).

    With `Answers` this is the strong list specification: there is one order of everything that was ever inserted, and
    every replica at every moment shows what stands in that order.
    """

    def act(world: World, site: Site, key: bytes) -> None:
        before = {name: standing(site.state, kind, name) for name in KEYS}
        lists.of(site.state, key, PLACED[kind])
        expected = run(world, site.state, key, list(before[key].values()))
        after = {name: standing(site.state, kind, name) for name in KEYS}
        assert expected is None or list(after[key].values()) == expected, "not what a plain list would hold"
        for name in KEYS:
            for place in before[name].keys() - after[name].keys():
                site.note(kind, name, place, "remove")
            for place, value in after[name].items():
                if before[name].get(place) != value:
                    site.note(kind, name, place, "set", value)

    return act


def _push(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    new = [world.text() for _ in range(world.rng.choice((1, 1, 2, 5)))]
    leftwards = world.rng.random() < 0.5
    lists.push(state, key, new, leftwards)
    return [*new[::-1], *held] if leftwards else [*held, *new]


def _insert(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    pivot, new = world.rng.choice(held or [b""]), world.text()
    after = world.rng.random() < 0.5
    lists.insert(state, key, pivot, new, after)
    at = held.index(pivot) + after if held else 0
    return [*held[:at], *([new] if held else []), *held[at:]]


def _set_element(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index = world.rng.randrange(-len(held) - 1, len(held) + 1)
    world.unique += 1
    lists.put(state, key, index, b"%d" % world.unique)
    return [b"%d" % world.unique if i == index % len(held) else value for i, value in enumerate(held)]


def _remove_elements(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    size, x = len(held), world.rng.randrange(5)
    i, j = sorted((world.rng.randint(0, size), world.rng.randint(0, size)))
    if x == 0:
        lists.trim(state, key, i, j)
        return held[i:j]
    if x == 1 and held:
        value = held[i - 1]
        assert lists.remove(state, key, value) == held.count(value)
        return [other for other in held if other != value]
    left, count = x < 4, world.rng.choice((1, 1, 2))
    taken = lists.pop(state, key, count, left)
    assert taken == (held[:count] if left else held[::-1][:count])
    return held[count:] if left else held[: max(0, size - count)]


def _move(world: World, state: State, key: bytes, held: list[bytes]) -> None:
    other, ends = world.rng.choice(KEYS), (world.rng.random() < 0.5, world.rng.random() < 0.5)
    total = sum(len(standing(state, "list", name)) for name in KEYS)
    moved = lists.move(state, key, other, *ends)
    assert moved == ((held[0] if ends[0] else held[-1]) if held else None)
    assert sum(len(standing(state, "list", name)) for name in KEYS) == total, "a move duplicates or loses"


def _type(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index = world.rng.randint(0, len(held))
    text = "".join(world.rng.choice("aé€😀\x00") for _ in range(world.rng.choice((1, 2, 6))))
    assert texts.insert(state, key, index, text) == len(held) + len(text)
    return [*held[:index], *(point.encode() for point in text), *held[index:]]


def _erase(world: World, state: State, key: bytes, held: list[bytes]) -> list[bytes]:
    index, count = world.rng.randint(0, len(held)), world.rng.randint(0, 4)
    assert texts.delete(state, key, index, count) == len(held[index : index + count])
    return held[:index] + held[index + count :]


def pop(world: World, site: Site, key: bytes) -> None:
    for member in sets.pop(site.state, key, 2, world.rng):
        site.note("set", key, member, "remove")


def expire(world: World, site: Site, key: bytes) -> None:
    """EXPIRE, mostly for so short that the history sees the end."""
    if key in site.state.keys:
        expiry.expire(site.state, key, site.state.time_ms + world.rng.choice([1, 4, 2000, 10**9]))


def persist(world: World, site: Site, key: bytes) -> None:
    expiry.persist(site.state, key)


def put_keeping(world: World, site: Site, key: bytes) -> None:
    """SET KEEPTTL."""
    value = world.text()
    expiry.put(site.state, key, value)
    for kind in KINDS[:-1]:
        site.note(kind, key, None, "remove")
    site.note("string", key, None, "set", value)


def store(world: World, site: Site, key: bytes) -> None:
    """SUNIONSTORE, or RENAME with a lifetime."""
    delete(world, site, key)
    name = world.rng.choice(MEMBERS)
    add = world.rng.choice([sets.SetEntry, sets.GROW])
    sets.add(site.state, key, [name], add)
    site.note("gset" if add is sets.GROW else "set", key, name, "add", True)
    expiry.renew(site.state, key, world.rng.choice([None, site.state.time_ms + 3]))


def append(world: World, site: Site, key: bytes) -> None:
    """XADD."""
    found = streams.next_id(site.state, key)
    streams.add(site.state, key, found, [b"f", world.text()])
    site.note("stream", key, found.field(), "add", True)


def trim(world: World, site: Site, key: bytes) -> None:
    """XDEL or XTRIM, which leave a note."""
    entry = streams.find(site.state, key)
    gone = [name for name in entry.ids if world.rng.random() < 0.6] if entry else []
    for name in gone:
        site.note("stream", key, name, "remove")
    if streams.remove(site.state, key, gone):
        site.note("stream", key, streams.META, "add", True)


def reap(world: World, site: Site, key: bytes) -> None:
    """The rows of an expired key are removed."""
    if key in site.state.expired:
        site.state.bury(key)


def _float(world: World, site: Site, key: bytes) -> None:
    """INCRBYFLOAT counts the difference between what was shown and what its arithmetic, which rounds, shows now."""
    entry, past = site.state.keys.get(key), site.past()
    before = _exact(getattr(entry, "value", None), site.state)
    after = Decimal(counters.incr_float(site.state, key, _decimal(world)).decode())
    site.ops.append(Op(past.author, past.count, "string", key, None, "incr", after - before, past))


def _hash_float(world: World, site: Site, key: bytes) -> None:
    entry, past, name = site.state.keys.get(key), site.past(), world.rng.choice(MEMBERS[:2])
    before = _exact(getattr(entry, "values", {}).get(name), site.state)
    after = Decimal(hashes.incr_float(site.state, key, name, _decimal(world)).decode())
    site.ops.append(Op(past.author, past.count, "hash", key, name, "incr", after - before, past))


def _exact(value: Any, state: State) -> Decimal:
    shown = number.shown_of(state, value)
    try:
        return Decimal(shown.decode() if isinstance(shown, bytes) else shown or 0)
    except ArithmeticError:
        return Decimal(0)


def _true(world: World) -> bool:
    return True


_ONE: list[Any] = [None]
add_member = _noted("set", "add", _true, lambda s, k, n, v: sets.add(s, k, [n]), MEMBERS)
remove_member = _noted("set", "remove", lambda w: None, lambda s, k, n, v: sets.remove(s, k, [n]), MEMBERS)
count = _noted("string", "incr", World.amount, lambda s, k, n, v: counters.incr(s, k, v), _ONE)
ON_LISTS = [_ordered("list", run) for run in (_push, _insert, _set_element, _remove_elements, _move)]
ACTS: list[Act] = [
    put,
    put,
    delete,
    flush,
    fill,
    pop,
    put_over,
    count,
    count,
    _float,
    _noted("hash", "set", World.text, lambda s, k, n, v: hashes.put(s, k, [(n, v)]), MEMBERS),
    _noted("hash", "incr", World.amount, hashes.incr, MEMBERS[:2]),
    _hash_float,
    _noted("hash", "remove", lambda w: None, lambda s, k, n, v: hashes.remove(s, k, [n]), MEMBERS),
    _noted("zset", "set", World.score, lambda s, k, n, v: zsets.put(s, k, [(n, float(v))]), MEMBERS),
    _noted("zset", "incr", World.amount, zsets.increase, MEMBERS[:2]),
    _noted("zset", "remove", lambda w: None, lambda s, k, n, v: zsets.remove(s, k, [n]), MEMBERS),
    add_member,
    remove_member,
    _noted("gset", "add", _true, lambda s, k, n, v: sets.add(s, k, [n], sets.GROW), MEMBERS),
    _noted("gcount", "incr", lambda w: abs(w.amount()), lambda s, k, n, v: counters.grow(s, k, v), _ONE),
    _noted("flag", "add", _true, lambda s, k, n, v: flags.enable(s, k), _ONE),
    _noted("flag", "remove", lambda w: None, lambda s, k, n, v: flags.disable(s, k), _ONE),
    expire,
    expire,
    persist,
    put_keeping,
    store,
    append,
    append,
    trim,
    reap,
    *json_model.ACTS,
    *ON_LISTS,
    _ordered("text", _type),
    _ordered("text", _erase),
]
