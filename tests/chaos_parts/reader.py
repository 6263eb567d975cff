"""A program that reads one replica all the time, and knows what it must never see.

Knows: what each key of the writers promises at every moment. Promises: changes nothing; the first sight of what must
not be ends it, with `failure`. Must not know: faults.
"""

from __future__ import annotations

from pathlib import Path

from tests.chaos_parts.ledger import Ledger, Loss
from tests.chaos_parts.writer import Program


class Reader(Program):
    """Looks at the keys of one writer after the other."""

    def __init__(
        self, name: str, names: list[str], replica: str, socket: Path, ledger: Ledger, seed: str, pause: float, key: str
    ) -> None:
        super().__init__(name, replica, socket, ledger, seed, pause)
        self._names = names
        self._prefix = key
        self._seen: dict[str, set[int]] = {}
        self._losses: list[Loss] = []
        self.looks = 0

    def step(self) -> None:
        writer = self.rng.choice(self._names)
        if writer.rstrip("0123456789") in self.ledger.rolled:
            self._whole(writer)  # its two lives are concurrent: no order among what they wrote
            return
        self.rng.choice((self._no_effect_without_cause, self._whole, self._in_order))(writer)
        self.looks += 1

    def _read(self, *keys: str) -> list[int]:
        return [int(self.redis.get(key) or 0) for key in keys]

    def _no_effect_without_cause(self, writer: str) -> None:
        """x was written before y, and z by somebody who had read y."""
        z, y, x = self._read(*(f"{self._prefix}:{key}" for key in (
            f"z:{writer}:{self.rng.choice(self._names)}", f"y:{writer}", f"x:{writer}",
        )))  # fmt: skip
        if writer.rstrip("0123456789") in self.ledger.rolled:
            return
        assert y <= x and z <= x and z <= y, f"{self.replica} shows an effect before its cause: {x=} {y=} {z=} {writer}"

    def _whole(self, writer: str) -> None:
        """All of a transaction or nothing."""
        keys = [f"{self._prefix}:{name}:{writer}" for name in ("t1", "t2", "up", "down")]
        one, two, up, down = (int(value or 0) for value in self.redis.mget(keys))
        assert one == two and up + down == 0, f"{self.replica} shows a torn transaction: {one=} {two=} {up=} {down=}"

    def _in_order(self, writer: str) -> None:
        """One writer's elements arrive in order, without gaps, and what was seen stays."""
        key = f"{self._prefix}:say:{writer}"
        if self.ledger.losses != self._losses:  # one began, or has ended: it shows what may go until it is dead
            self._losses = list(self.ledger.losses)
            self._seen.clear()
        losses = self._losses
        here = {int(member) for member in self.redis.execute_command("GSET.MEMBERS", key)}
        if self.ledger.losses != losses or writer.rstrip("0123456789") in self.ledger.rolled:
            return
        gone = self._seen.get(key, set()) - here
        assert not gone, f"{self.replica} showed {sorted(gone)[:5]} of {key} and no longer does"
        self._seen[key] = here
        last = max(here, default=0)
        owed = {
            write.what for write in list(self.ledger.said.get(key, ())) if write.what < last and self.ledger.kept(write)
        }
        assert owed <= here, f"{self.replica} shows {last} of {key} without {sorted(owed - here)[:5]} before it"
