"""What must never happen, made to happen: rows that are lost without a word, contents that change, a cloned machine.

Knows: how to damage a replica that stands still, and what everybody held before. Promises: `check` raises Violation if
something that was live anywhere is gone, something is there that nobody held, or a count was counted twice.
Must not know: how it is healed.
"""

from __future__ import annotations

import copy
from array import array
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Any

import msgpack

from crdt import COMPILED
from crdt.applying import Applying
from crdt.dots import WORD, Runs
from crdt.hashing import group_hash
from crdt.mending import row_at
from crdt.replica.events import Disconnected
from crdt.rows import ActorRows
from crdt.state import State
from crdt.types import amounts, counters, number, numberwire, sets, strings
from crdt.types.jsontree import JsonEntry
from tests.simulation.disk import Disk
from tests.simulation.oracle import Violation, rows_of_state, structure

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulator import World

KINDS = ("lost", "back", "twice", "disk")
CLONES = not COMPILED  # machine code cannot be copied in memory
Content = tuple[Any, ...]  # code, key, field, payload, hlc; of a count ("count", code, key, field, lineage, n)


def strike(world: World, rng: Random) -> None:
    """One to four defects, or a clone, at replicas that are equal and stand still."""
    nodes = [node for node in world.nodes if node.replica is not None]
    if rng.random() < 0.35 and CLONES:
        clone(world, rng.choice(nodes), rng, copies=Random(~world.plan.seed).choice((1, 1, 2, 3)))
        return
    for _ in range(rng.randint(1, 4)):
        damage(world, rng.choice(KINDS), rng.choice(nodes), rng)
    for node in nodes:
        if node.replica is not None:
            node.replica.view = node.replica._standing()


def crowded(world: World) -> list[Node]:
    """The daemons of a name that three or more share: those of a machine that was cloned more than once."""
    running = [node for node in world.nodes if node.replica is not None]
    names = Counter(node.name for node in running)
    return [node for node in running if names[node.name] > 2]


def strike_a_namesake(world: World, rng: Random) -> None:
    """Of daemons that share a name one loses a row."""
    node = rng.choice(crowded(world))
    damage(world, "lost", node, rng)
    if node.replica is not None:
        node.replica.view = node.replica._standing()


def damage(world: World, kind: str, node: Node, rng: Random) -> None:
    """One row is damaged at one node ("back": at all others, as if this one had missed its removal)."""
    assert node.replica is not None
    rows = sorted(dot for dot, _ in rows_of_state(node.replica.state))
    if not rows:
        return
    actor, seq = rng.choice(rows)
    victims = [other for other in world.nodes if other.replica is not None and (other is node) == (kind != "back")]
    for victim in victims:
        assert victim.replica is not None
        state = victim.replica.state
        owner = state.actors[state.indexes[actor]]
        if row_at(state, owner, seq) is None:
            continue
        if kind == "twice":
            exchange(state, owner, seq, rng)
        else:
            lose(state, owner, seq)
    if kind == "disk":
        node.disk.finish_checkpoint(node.replica.state, node.disk.begin_checkpoint(node.replica.state.vector()))
        world._kill(node)
        world.start(node, node.life)
    for holder in (node, *victims):
        if holder.replica is not None:
            holder.replica.acknowledged = True  # what it alone holds must not leave with it because its name is taken


def lose(state: State, owner: ActorRows, seq: int) -> None:
    """The row is gone, as by a removal that nobody wrote."""
    applying = Applying(state, told=False)
    applying.take_rows(owner, Runs([seq]))
    applying.drop()
    applying.settle()


def exchange(state: State, owner: ActorRows, seq: int, rng: Random) -> None:
    """Another content stands under the dot."""
    found, before = owner.locate(owner.base + seq), row_at(state, owner, seq)
    assert found is not None and before is not None
    (chunk, i), dot = found, owner.base + seq
    entry, field = chunk.cell(i)
    assert entry is not None
    payload = before.payloads[0] if before.payloads is not None else None
    if numberwire.is_count(payload) and structure(payload)[0] == numberwire.COUNT:
        kind, lineage, total = numberwire.decode(state, payload)
        payload = numberwire.encode(state, (kind, lineage, amounts.plus(total, rng.randint(1, 9))))
    elif type(payload) is bytes:
        changed = (b"?" if payload == b"!" else b"!") if entry.POINTS else payload + b"!"
        payload = b'"damaged"' if isinstance(entry, JsonEntry) else changed  # what cannot be is refused, not healed
    else:
        hlcs = chunk.times(range(len(chunk)))
        hlcs[i] += 1 << 16
        chunk.starts, chunk.hlcs = list(range(len(chunk))), array(WORD, hlcs)
    entry.discard(state, field, dot)
    entry.insert(state, field, payload, dot)
    state.settle(entry)
    after = row_at(state, owner, seq)
    assert after is not None
    if dot <= owner.hashed:
        state.add_hash(owner, group_hash(owner.seed, after) - group_hash(owner.seed, before))


def clone(world: World, node: Node, rng: Random, most: int = 5, copies: int = 1) -> None:
    """The machine goes on twice or more often, memory and all, and each of them writes up to `most` times before it
    hears of the others.
    """
    twins = [_copy(world, node, rng) for _ in range(copies)]
    for machine in (node, *twins):
        for i in range(rng.randint(0, most)):
            write(world, machine, b"%d.%d" % (machine.index, i), rng)
    for twin in twins:
        world._handle(twin, twin.life, Disconnected())
        world.at(world.now + rng.uniform(0.05, 1.0), world._connect, twin, twin.life)


def _copy(world: World, node: Node, rng: Random) -> Node:
    """The same machine once more. It has to connect anew."""
    assert node.replica is not None
    twin = world._make(len(world.nodes), node.name, Disk(node.disk.synced_at_once, node.disk.image))
    world.nodes.append(twin)
    itself = {id(number.UNKNOWN): number.UNKNOWN}  # it is told by what it is, which a copy is not
    twin.replica, twin.durable, twin.witness = copy.deepcopy(node.replica, itself), dict(node.durable), node.witness
    twin.reached, twin.sum_seen, twin.order = dict(node.reached), node.sum_seen, node.order
    twin.replica.log, twin.replica.rng = twin.disk, Random(rng.getrandbits(32))
    return twin


def write(world: World, node: Node, name: bytes, rng: Random) -> None:
    """Something that only adds: what is written here has to be there in the end."""
    if node.replica is None:
        return
    state, node.replica.acknowledged = node.replica.state, True
    state.begin(world._wall(node))
    what = rng.randrange(3)
    if what == 0:
        sets.add(state, b"s0", [b"new " + name])
        world.written.append((b"s0", b"new " + name))
    elif what == 1:
        strings.put(state, b"new " + name, name)
        world.written.append((b"new " + name, b""))
    else:
        counters.incr(state, b"new", 1)
        world.written.append((b"new", b""))
    world._settle_later(node)


def contents(states: Iterable[State]) -> set[Content]:
    """Everything that is live in any of these states, whatever its dot."""
    rows = (row for state in states for row in rows_of_state(state))
    return {_content(dot, row) for dot, row in rows if not _is_base(row[3])}


def _is_base(payload: Any) -> bool:
    """Baselines go when their lineage is dead, whoever holds them."""
    return isinstance(payload, msgpack.ExtType) and payload.data[1] == numberwire.BASE


def _content(dot: Any, row: Any) -> Content:
    code, key, field, payload, hlc = row
    if not numberwire.is_count(payload):
        return (code, key, field, bytes(payload.data) if hasattr(payload, "data") else payload, hlc)
    kind, lineage, *rest = structure(payload)
    owner, n = (dot[0], dot[1]) if kind == numberwire.COUNT else (tuple(rest[2:]), rest[0])
    return ("count", code, key, field, tuple(owner), lineage, n)


def check(states: list[State], before: set[Content], written: list[tuple[bytes, bytes]], who: str) -> None:
    """What was live before is live; so is what was written since, and nothing else."""
    now = contents(states)
    lost = {c for c in before if c not in now and not _gone_on(c, now)}
    extra = {c for c in now - before if not _new(c)}
    counted = sum(key == b"new" for key, _ in written)
    for state in states:
        for key, member in written:
            if key not in state.keys or (member and member not in sets.members(state, key)):
                raise Violation(f"{who}: {key!r} {member!r} was written and is lost")
    if lost or extra:
        raise Violation(f"{who}: healing lost {sorted(map(repr, lost))[:4]}, brought {sorted(map(repr, extra))[:4]}")
    for state in states:
        shown = int(strings.get(state, b"new") or 0)
        if shown > counted:
            raise Violation(f"{who}: {counted} increments make {shown}")
        members = set(sets.members(state, b"s0")) if b"s0" in state.keys else set()
        if members != (set(sets.members(states[0], b"s0")) if b"s0" in states[0].keys else set()):
            raise Violation(f"{who}: equal hashes, other members")


def _gone_on(content: Content, now: set[Content]) -> bool:
    """Whether it is a count that its owner has gone on with, or two totals of one place of which one stands."""
    return content[0] == "count" and any(c[:6] == content[:6] and c[6] >= content[6] for c in now if c[0] == "count")


def _new(content: Content) -> bool:
    key, field = (content[2], content[3]) if content[0] == "count" else (content[1], content[2])
    return key.startswith(b"new") or (field or b"").startswith(b"new ")
