"""Scenarios of the protocol as text: commands, a line of dashes, and everything that then happened.

Knows: the few commands a scenario may use. Promises: the same text for the same commands, always.

    start a b          daemons start; again after `kill`
    meet a b           the same, and a second passes untold
    a SADD team alice  a client's command at daemon a: SADD SREM SET INCR DEL, BURST key n (n elements at once)
    run 1.5            seconds pass
    lose a DELTA       the next such message of a is lost for everybody; `lose a DELTA b`: for b alone
    cut a b            nothing passes between a and b any more, until `heal`
    kill a             kill -9; the disk and the witness stay
    checkpoint a       write a checkpoint, then prune a: drop the whole log behind it
    backup a           copy a's data directory away; restore a: start a on that copy
    copy a b           start b on a copy of a's data directory
    twin a             start a second daemon with a copy of a's data directory under a's name
    clone a            the machine of a goes on twice, memory and all; the second one has to connect anew
    lose-row a team x  the row of x in the set team is gone at a, as by bad memory
    show team          what every daemon answers for a key
"""

from __future__ import annotations

from typing import Any

from crdt.dots import Actor
from crdt.replica.effects import Alarm, Lane, Send
from crdt.replica.tuning import Tuning
from crdt.types import counters, keyspace, sets, strings
from tests.simulation import defects
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.oracle import rows_of_state
from tests.simulation.plan import Plan
from tests.simulation.words import describe, vector
from tests.simulator import World

NAMES = "abc"
DASHES = "----"


class Stage(World):
    """A world without chance faults, told line by line."""

    def __init__(self) -> None:
        self.nonces = 0
        self.losing: list[tuple[str, str, str | None]] = []
        super().__init__(Plan(0, 0, 0.0, frozenset(), ()))
        self.lines: list[str] = []
        self.kept: dict[str, Any] = {}

    # -- told ----------------------------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """One line, with the time."""
        self.lines.append(f"{self.now:7.3f}  {line}")

    def identity(self, node: Node) -> Actor:
        claimed = node.witness
        actor = super().identity(node)
        if claimed is not None and node.witness is not None:
            return actor
        self.nonces += 1
        return Actor(node.name, self.nonces << 48)

    def start(self, node: Node, life: int) -> None:
        super().start(node, life)
        if node.replica is not None:
            state = node.replica.state
            self.tell(f"{node} starts as {describe_actor(state.actor)}, its disk stands at {vector(state.vector())}")

    def _send(self, node: Node, effect: Send) -> None:
        where = effect.to or {"d": "everybody", "h": "everybody", "p": "everybody"}[effect.lane.value]
        self.tell(f"{node} -> {where}: {describe(effect.data, node.name)}")
        super()._send(node, effect)

    def _spread(self, node: Node, lane: Lane, to: str | None, data: bytes) -> None:
        kind = describe(data, node.name).split()[0]
        lost = [item for item in self.losing if item[:2] == (node.name, kind)]
        if not lost:
            super()._spread(node, lane, to, data)
            return
        self.losing.remove(lost[0])
        victim = lost[0][2]
        self.tell(f"         ... which is lost{f' on its way to {victim}' if victim else ''}")
        if victim is not None:
            pairs = tuple((node.index, other.index) for other in self.nodes if other.name == victim)
            self.blocked.append(pairs)
            super()._spread(node, lane, to, data)
            self.blocked.remove(pairs)

    def _alarm(self, node: Node, alarm: Alarm) -> None:
        self.tell(f"{node} alarm {alarm.code}: {alarm.text}")
        super()._alarm(node, alarm)

    # -- commands ------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """The daemon of this name, made when it is new."""
        for node in self.nodes:
            if str(node) == name or (node.name == name and not node.gone):
                return node
        self.nodes.append(self._make(len(self.nodes), name, Disk(True)))
        return self.nodes[-1]

    def _make(self, index: int, name: str, disk: Disk) -> Node:
        return Plain(index, name, Tuning(), disk)

    def command(self, line: str) -> None:
        """One line of a scenario."""
        what, *args = line.split()
        if what == "run":
            self._loop(self.now + float(args[0]))
        elif what == "start":
            for name in args:
                node = self.node(name)
                self.start(node, node.life)
        elif what == "meet":
            self.command(f"start {' '.join(args)}")
            self._loop(self.now + 1)
            self.lines.clear()
        elif what == "lose":
            self.losing.append((args[0], args[1], args[2] if len(args) > 2 else None))
        elif what == "cut":
            a, b = (self.node(name).index for name in args)
            self.blocked.append(((a, b), (b, a)))
        elif what == "heal":
            self.blocked.clear()
        elif what == "show":
            for node in self._running():
                assert node.replica is not None
                self.lines.append(f"         {node}: {self._answer(node, args[0].encode())}")
        elif what == "lose-row":
            self._lose_row(self.node(args[0]), args[1].encode(), args[2].encode())
        elif what in ("kill", "checkpoint", "prune", "backup", "restore", "copy", "twin", "clone"):
            self._operate(what, self.node(args[0]), args[1:])
        else:
            self._client(self.node(what), args)

    def _operate(self, what: str, node: Node, args: list[str]) -> None:
        if what == "kill":
            self._kill(node)
        elif what == "checkpoint":
            assert node.replica is not None
            node.disk.finish_checkpoint(node.replica.state, node.disk.begin_checkpoint(node.replica.state.vector()))
        elif what == "prune":
            self.tell(f"{node} drops {node.disk.prune(1000)} frames from its log")
        elif what == "backup":
            self.kept[node.name] = node.disk.image
        elif what == "restore":
            self._replace_disk(node, self.kept[node.name], 0.0)
        elif what == "copy":
            target = self.node(args[0])
            self._replace_disk(target, node.disk.image, 0.0)
        elif what == "clone":
            self.oracle.lenient = True
            defects.clone(self, node, self.rng, 0)
        else:
            self._start_twin(node)

    def _lose_row(self, node: Node, key: bytes, member: bytes) -> None:
        assert node.replica is not None
        state = node.replica.state
        ((actor, seq),) = [dot for dot, row in rows_of_state(state) if row[1:3] == (key, member)]
        self.oracle.lenient = True
        defects.lose(state, state.actors[state.indexes[actor]], seq)
        node.replica.view = node.replica._standing()

    def _client(self, node: Node, args: list[str]) -> None:
        assert node.replica is not None
        state = node.replica.state
        state.begin(self._wall(node))
        verb, key, *rest = [arg.encode() for arg in args]
        if verb == b"SADD":
            sets.add(state, key, rest)
        elif verb == b"SREM":
            sets.remove(state, key, rest)
        elif verb == b"SET":
            strings.put(state, key, rest[0])
        elif verb == b"INCR":
            counters.incr(state, key, int(rest[0]) if rest else 1)
        elif verb == b"DEL":
            keyspace.delete(state, key)
        elif verb == b"BURST":
            sets.add(state, key, [b"%04d" % i for i in range(int(rest[0]))])
        else:
            raise AssertionError(f"no such command: {args}")
        self._settle_later(node)

    def _answer(self, node: Node, key: bytes) -> str:
        assert node.replica is not None
        state = node.replica.state
        if keyspace.type_name(state, key) == "set":
            members = sorted(member.decode() for member in sets.members(state, key))
            return " ".join(members) if len(members) < 10 else f"{len(members)} members"
        return (strings.get(state, key) or b"(nil)").decode()


class Plain(Node):
    """Named by its name alone, unless it is a second one of that name."""

    def __str__(self) -> str:
        return self.name if self.index < len(NAMES) and NAMES[self.index] == self.name else f"{self.name}'"


def describe_actor(actor: Actor) -> str:
    """As in messages."""
    return f"{actor.name}/{actor.nonce >> 48:04x}"


def play(text: str) -> str:
    """A scenario with everything that happens after each of its commands, in the place of what stood there before."""
    stage, out = Stage(), []
    commands = True
    blocks = text.rstrip("\n").split("\n")
    pending: list[str] = []
    for line in [*blocks, ""]:
        if line == DASHES:
            for command in pending:
                stage.command(command)
            out += [*pending, DASHES, *stage.lines]
            stage.lines, pending, commands = [], [], False
        elif not line:
            out += [""] if commands is False or not pending else []
            commands = True
        elif line.startswith("#") or not commands:
            if commands:
                out.append(line)
        else:
            pending.append(line)
    return "\n".join(out).rstrip("\n") + "\n"
