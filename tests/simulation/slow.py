"""Links with a rate: what they carry leaves one after the other, behind what waits already, or finds no room.

Knows: which links of a history are slow and how slow, the large values that are written in it, how many bytes were sent
to repair. Promises: all of it follows from the seed by dice of its own, so that histories without it are drawn as ever;
a queue goes with its connection, or with the broker. Must not know: what a message says beyond its kind.

Every seventh history has them. A value may be larger than a message, than what may wait, and than what a link
carries within any time-out. `check` is the measure: what is sent to repair after the last fault is bounded by what
was missing then.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from crdt.dots import Actor
from crdt.replica.messages import Piece, Repair, Rows, encode
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.plan import Plan

FEATURE: Final = "slow"
SLOWEST: Final = 10_000  # bytes a second
SIZES: Final = (500, 3_000, 12_000, 30_000)
REPAIRS: Final = frozenset(encode(message)[1] for message in (
    Repair([], 0, False, 0), Piece(0, Actor("a", 0), 0, 0, 1, b""), Rows(0, 0, [], False)
))  # fmt: skip
"""Their kinds, as in a message's second byte."""
PATIENCE: Final = 8  # times what everything that was written takes, until it has arrived
SHARE: Final = 3  # bytes that each of the others may send to repair for each byte that was missing
BESIDE: Final = 20_000  # and to each replica beside that, and beside what was asked for when it was still missing


def drawn(seed: int) -> bool:
    """Whether a history has slow links."""
    return seed % 7 == 3


def _values(seed: int) -> list[int]:
    rng = Random(f"{FEATURE} {seed}")
    return [rng.choice(SIZES) for _ in range(rng.randrange(2, 7))]


def actions(seed: int, nodes: int, duration: float) -> list[tuple[Any, ...]]:
    """Large values are written."""
    rng = Random(f"{FEATURE} values {seed}")
    return [
        (rng.uniform(0, duration), "write", rng.randrange(nodes), "blob", rng.randrange(3), rng.randrange(6), size)
        for size in _values(seed)
    ]


def tuning(plan: Plan) -> dict[str, Any]:
    """What is set otherwise, beside the defaults of the simulator: limits that the values exceed."""
    rng = Random(f"{FEATURE} limits {plan.seed}")
    message, held = rng.choice([2_048, 8_192, 65_536]), rng.choice([10_000, 40_000, 400_000])
    return {
        "max_message": 700 if plan.has("small") else message,
        "held_bytes": held,
        "held_time": rng.choice([2.0, 4.0, 30.0]),
    }


class Link:
    """A queue that empties at `rate` bytes a second; what finds no room in it (bytes; 0: there always is) is lost."""

    def __init__(self, rate: float, room: int) -> None:
        self.rate = rate
        self.room = room
        self._free = 0.0  # when all of it has left
        self._run: tuple[int, int] = (0, 0)

    def leaves(self, size: int, now: float, run: tuple[int, int]) -> float:
        """When a message that comes now leaves; infinity: it is lost. `run`: a queue of an earlier one is gone."""
        if run != self._run:
            self._run, self._free = run, now
        start = max(now, self._free)
        if self.room and start > now and (start - now) * self.rate + size > self.room:
            return float("inf")
        self._free = start + size / self.rate
        return self._free

    @property
    def empty_at(self) -> float:
        """When what waits now has left."""
        return self._free


class Links:
    """The slow links of one history: the broker's to everybody, or those of all its clients, or of one."""

    def __init__(self, seed: int, nodes: int) -> None:
        rng = Random(f"{FEATURE} links {seed}")
        written = sum(_values(seed))
        where = rng.choice(["broker", "all", "one"])
        share = written * (nodes - 1 if where == "broker" else 1)
        self.rate = max(SLOWEST, share / rng.choice([3, 6, 12]))
        self.room = rng.choice([0, 0, 0, 2 * max(*SIZES, 65_536)])
        self.seconds = share / self.rate  # in which all that was written goes to everybody once
        self._shared = Link(self.rate, self.room) if where == "broker" else None
        self._own: dict[int, Link] = {}
        self._only = rng.randrange(nodes) if where == "one" else None
        self.repairs: dict[str, int] = {}  # bytes sent to each name
        self._had: dict[str, dict[Actor, int]] = {}  # vectors when the faults were over

    def arrives(self, to: Node, size: int, now: float, epoch: int) -> float | None:
        """When the last byte of a message comes, infinity if it does not; None where the link is a fast one."""
        if not to.connected:
            return float("inf")  # nothing waits for who has no connection
        if self._shared is not None:
            return self._shared.leaves(size, now, (epoch, 0))
        if self._only not in (None, to.index):
            return None
        if to.index not in self._own:
            self._own[to.index] = Link(self.rate, self.room)
        return self._own[to.index].leaves(size, now, (epoch, to.life))

    @property
    def empty_at(self) -> float:
        """When what waits in any of them has left."""
        links = [*self._own.values(), *([self._shared] if self._shared is not None else [])]
        return max((link.empty_at for link in links), default=0.0)

    def sent(self, to: str, data: bytes) -> None:
        """A message leaves for the inbox of this peer."""
        if data[1] in REPAIRS:
            self.repairs[to] = self.repairs.get(to, 0) + len(data)

    def calm(self, nodes: list[Node]) -> None:
        """The last fault is over: from here on it counts."""
        self.repairs = {}
        self._had = {node.name: node.replica.state.vector() for node in nodes if node.replica is not None}
        if sum(not node.gone for node in nodes) > len(self._had):
            self._had = {}  # two of one name answer twice, and get twice what is asked for

    def patience(self, names: list[str]) -> float:
        """How many seconds more than elsewhere replicas of these names may take to become equal."""
        return PATIENCE * self.seconds * (3 if len(set(names)) < len(names) else 1)

    def check(self, sizes: dict[tuple[Actor, int], int]) -> None:
        """Repairs have cost what they may. `sizes`: bytes of all frames by author and last. Raises Violation."""
        there = sum(sizes.values())
        for name, had in self._had.items():
            missing = sum(size for (actor, last), size in sizes.items() if last > had.get(actor, 0))
            size = self.repairs.get(name, 0)
            if size > SHARE * (len(self._had) - 1) * missing + there + BESIDE:
                raise Violation(f"{size} bytes were sent to repair {missing} of {there} that {name} lacked")
